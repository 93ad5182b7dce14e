#include "entropy.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

void entropy_take(struct entropy *entropy, void *ret, size_t len)
{
	assert(len <= sizeof(entropy->pool));
	if (entropy->left < len) {
		randombytes_buf(entropy->pool, sizeof(entropy->pool));
		entropy->left = sizeof(entropy->pool);
	}
	entropy->left -= len;
	memcpy(ret, entropy->pool + entropy->left, len);
	/* Bits that went out must not be found in memory later. */
	memset(entropy->pool + entropy->left, 0, len);
}

uint16_t entropy_u16(struct entropy *entropy)
{
	uint16_t value;

	entropy_take(entropy, &value, sizeof(value));
	return value;
}
