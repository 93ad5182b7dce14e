/* policy/compile_region.c - a bump allocator. */
#include "compile_region.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/cleanup.h"

#define BLOCK_BYTES ((size_t)64 << 10)

struct region_block {
	struct region_block *next;
	size_t len;
	_Alignas(max_align_t) unsigned char data[];
};

void *region_alloc(struct region *region, size_t len)
{
	const size_t align = _Alignof(max_align_t);
	struct region_block *block;
	void *p;

	if (len > SIZE_MAX / 2)
		return NULL;
	len = (len + align - 1) / align * align;
	if (len > region->left) {
		size_t size = MAX(len, BLOCK_BYTES);

		block = malloc(sizeof(*block) + size);
		if (!block)
			return NULL;
		*block = (struct region_block){ .next = region->blocks, .len = size };
		region->blocks = block;
		region->left = size;
	}
	block = region->blocks;
	p = block->data + (block->len - region->left);
	region->left -= len;
	memset(p, 0, len);
	return p;
}

char *region_text(struct region *region, const char *text, size_t len)
{
	char *copy = len < SIZE_MAX ? region_alloc(region, len + 1) : NULL;

	if (copy && len)
		memcpy(copy, text, len);
	return copy;
}

void region_fini(struct region *region)
{
	while (region->blocks) {
		struct region_block *next = region->blocks->next;

		free(region->blocks);
		region->blocks = next;
	}
	region->left = 0;
}
