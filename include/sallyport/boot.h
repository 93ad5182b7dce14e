/* sallyport/boot.h - which kernel runs us, and since which of its starts.
 */
#pragma once

#include <stdint.h>

#define BOOT_KERNEL_MAX 200

struct boot {
	uint8_t id[16];               /* zeros: not known, for a sandbox may hide /proc/sys */
	char kernel[BOOT_KERNEL_MAX]; /* release, version and machine; zeros behind them */
};

/* Reads /proc: before a role confines itself. */
void boot_read(struct boot *ret_boot);

/* How long the kernel has been running, suspended or not. */
uint64_t boot_age_ns(void);
