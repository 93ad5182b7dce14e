/* resolver/entropy.h - random bits for IDs, ports' companions and letter case, from libsodium,
 * drawn in blocks: one getrandom a few hundred questions. Belongs to one worker; never given out
 * twice.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct entropy {
	uint8_t pool[1024];
	size_t left; /* octets of the pool that have not been given out; zero at first */
};

void entropy_take(struct entropy *entropy, void *ret, size_t len);
uint16_t entropy_u16(struct entropy *entropy);
