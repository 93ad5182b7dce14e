/* fwsync/kernel.h - what the batch planner needs of a kernel, so that a test can play it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "elements.h"

struct kernel {
	/* One transaction. 0: the kernel has confirmed all of them. ERR_TIMEOUT: the outcome is not
	 * known. Otherwise -errno, and nothing has changed. */
	int (*upsert)(struct kernel *kernel, const struct element_wish *wishes, size_t n);
	int (*remove)(struct kernel *kernel, const struct ledger_element *elements, size_t n);
	/* The table is gone (ENOENT): put it and its elements back. 0 or an error. */
	int (*restore)(struct kernel *kernel);
	uint64_t (*now_ns)(struct kernel *kernel); /* CLOCK_MONOTONIC */
	uint64_t (*wall_ns)(struct kernel *kernel);
	void (*pause_ms)(struct kernel *kernel, unsigned int ms);
	uint64_t (*epoch)(struct kernel *kernel); /* the present one */
};
