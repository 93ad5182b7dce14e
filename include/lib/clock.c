/* include/lib/clock.c - clocks, durations, moments. */
#include "sallyport/clock.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sallyport/cleanup.h"
#include "sallyport/err.h"

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts); /* cannot fail for these ids */
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_mono_coarse_ns(void)
{
	return read_clock(CLOCK_MONOTONIC_COARSE);
}

uint64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

void clock_rfc3339(uint64_t ns, char out[static CLOCK_RFC3339_LEN])
{
	time_t s = (time_t)(ns / NS_PER_S);
	struct tm tm;
	char date[32]; /* room for any year that 64 bits of nanoseconds can reach */

	gmtime_r(&s, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, CLOCK_RFC3339_LEN, "%.19s.%06uZ", date, (unsigned int)(ns % NS_PER_S / 1000));
}

/* Digits only, at most @max_digits. Returns the octets read, 0 when there are none. */
static size_t digits(const char *text, size_t max_digits, uint64_t *ret_value)
{
	uint64_t value = 0;
	size_t n = 0;

	while (n < max_digits && isdigit((unsigned char)text[n]))
		value = value * 10 + (uint64_t)(text[n++] - '0');
	*ret_value = value;
	return n;
}

int clock_parse_duration(const char *text, uint64_t *ret_ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {
		{ "ms", 1 },      { "s", 1000 },     { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 }, { "w", UINT64_C(604800000) },
	};
	const uint64_t century_ms = UINT64_C(36525) * 86400000;
	uint64_t value;
	size_t n = digits(text, 12, &value);

	if (n == 0 || isdigit((unsigned char)text[n]))
		return n == 0 ? ERR_INVAL : ERR_LIMIT;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(text + n, units[i].unit) != 0)
			continue;
		if (value > century_ms / units[i].ms)
			return ERR_LIMIT;
		*ret_ms = value * units[i].ms;
		return ERR_OK;
	}
	return ERR_INVAL;
}

/* @count digits exactly, then @after (0: nothing is asked). Moves @text; false when it differs. */
static bool field(const char **text, size_t count, char after, int *ret)
{
	uint64_t value;

	if (digits(*text, count, &value) != count)
		return false;
	*text += count;
	*ret = (int)value;
	if (after && *(*text)++ != after)
		return false;
	return true;
}

/* "2026-11-23", then optionally 'T' or ' ' and a time of day, then a zone. */
static int parse_calendar(const char *text, int local_zone, uint64_t *ret_ns)
{
	struct tm tm = { .tm_isdst = -1 };
	uint64_t fraction_ns = 0;
	int64_t offset_s = 0;
	bool zoned = false;
	int year, month, sign, hours, minutes;
	time_t s;

	if (!field(&text, 4, '-', &year) || !field(&text, 2, '-', &month) ||
	    !field(&text, 2, 0, &tm.tm_mday))
		return ERR_INVAL;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	if (*text == 'T' || *text == 't' || *text == ' ') {
		text++;
		if (!field(&text, 2, ':', &tm.tm_hour) || !field(&text, 2, 0, &tm.tm_min))
			return ERR_INVAL;
		if (*text == ':') {
			text++;
			if (!field(&text, 2, 0, &tm.tm_sec))
				return ERR_INVAL;
		}
		if (*text == '.') {
			uint64_t value;
			size_t n = digits(++text, 9, &value);

			if (n == 0)
				return ERR_INVAL;
			for (size_t i = n; i < 9; i++)
				value *= 10;
			fraction_ns = value;
			text += n;
		}
		if (*text == 'Z' || *text == 'z') {
			zoned = true;
			text++;
		} else if (*text == '+' || *text == '-') {
			sign = *text++ == '-' ? -1 : 1;
			if (!field(&text, 2, ':', &hours) || !field(&text, 2, 0, &minutes) ||
			    hours > 23 || minutes > 59)
				return ERR_INVAL;
			offset_s = sign * (hours * 3600 + minutes * 60);
			zoned = true;
		}
	}
	if (*text || year < 1970 || month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return ERR_INVAL;

	struct tm normal = tm;

	s = local_zone && !zoned ? mktime(&normal) : timegm(&normal);
	if (normal.tm_mday != tm.tm_mday && tm.tm_sec != 60)
		return ERR_INVAL; /* February 30 */
	if (s < 0 || s - offset_s < 0)
		return ERR_INVAL;
	*ret_ns = (uint64_t)(s - offset_s) * NS_PER_S + fraction_ns;
	return ERR_OK;
}

int clock_parse_moment(const char *text, uint64_t now_ns, int local_zone, uint64_t *ret_ns)
{
	uint64_t value;

	if (text[0] == '@') {
		size_t n = digits(text + 1, 10, &value);

		if (n == 0 || text[1 + n])
			return ERR_INVAL;
		*ret_ns = value * NS_PER_S;
		return ERR_OK;
	}
	if (clock_parse_duration(text, &value) == 0) {
		*ret_ns = value * NS_PER_MS < now_ns ? now_ns - value * NS_PER_MS : 0;
		return ERR_OK;
	}
	return parse_calendar(text, local_zone, ret_ns);
}
