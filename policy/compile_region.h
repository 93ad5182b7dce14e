/* policy/compile_region.h - memory that is freed in one sweep when the compiler is done. */
#pragma once

#include <stddef.h>

struct region_block;
struct region {
	struct region_block *blocks; /* newest first */
	size_t left;                 /* octets free at the end of the newest */
};

/* Zeroed memory, aligned for anything; NULL when there is none. */
void *region_alloc(struct region *region, size_t len);
/* A terminated copy. NULL when there is no memory. */
char *region_text(struct region *region, const char *text, size_t len);
void region_fini(struct region *region);
static inline void region_fini_cleanup(struct region *region)
{
	region_fini(region);
}
