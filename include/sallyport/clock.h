/* sallyport/clock.h - the three clocks that we read, by name.
 *
 * Durations, deadlines and pinhole expiry run on CLOCK_MONOTONIC (the kernel's set timeouts do,
 * too); what people see is CLOCK_REALTIME. Pure parts take the time as an argument instead.
 */
#pragma once

#include <stdint.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

uint64_t clock_mono_ns(void);        /* vDSO, about 20 ns */
uint64_t clock_mono_coarse_ns(void); /* a tick (1-4 ms) old at most, about 5 ns */
uint64_t clock_wall_ns(void);        /* since 1970, UTC */

/* "2026-11-23T09:00:00.123456Z" of wall-clock @ns into @out. */
#define CLOCK_RFC3339_LEN 28 /* with the terminator */
void clock_rfc3339(uint64_t ns, char out[static CLOCK_RFC3339_LEN]);

/* Parse a duration ("250ms", "30s", "5m", "2h", "7d", "2w") into milliseconds. Returns 0, ERR_INVAL
 * (no number, no unit, unknown unit) or ERR_LIMIT (over 100 years). */
int clock_parse_duration(const char *text, uint64_t *ret_ms);

/* Parse a moment: "2h" (ago), "2026-11-23", "2026-11-23 09:00", RFC 3339, "@epoch"; @local_zone
 * nonzero reads zone-less forms as local time. Returns 0 or ERR_INVAL. */
int clock_parse_moment(const char *text, uint64_t now_ns, int local_zone, uint64_t *ret_ns);
