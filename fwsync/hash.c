/* fwsync/hash.c - heads of chains. */
#include "hash.h"

#include <stdlib.h>

uint32_t *hash_heads_new(uint32_t n)
{
	uint32_t *heads = malloc(n * sizeof(*heads));

	if (heads)
		memset(heads, 0xff, n * sizeof(*heads)); /* HASH_NONE */
	return heads;
}
