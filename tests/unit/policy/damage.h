/* tests/unit/policy/damage.h - put a damaged image's checksum right, and use it in every way there
 * is. For the unit test and the fuzz target.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

void damage_rechecksum(uint8_t *image, size_t len); /* nothing when it is too short */
void damage_relength(uint8_t *image, size_t len);
/* Returns 1 when the image opened. */
size_t damage_exercise(const uint8_t *image, size_t len);
