/* db/day.c - UTC days, and the names of the history files. */
#include "day.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sallyport/cleanup.h"
#include "sallyport/err.h"

static const char *const kinds[DAY_KINDS] = { [DAY_DENY] = ".deny.db", [DAY_ALLOW] = ".allow.db" };

void day_name(uint32_t day, enum day_kind kind, char out[static DAY_NAME_LEN])
{
	time_t s = (time_t)MIN(day, (uint32_t)DAY_MAX) * 86400;
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(out, DAY_NAME_LEN, "%Y-%m-%d", &tm);
	snprintf(out + n, DAY_NAME_LEN - n, "%s", kinds[kind]);
}

/* What stands behind a file's name. SQLite's companions (-wal ...) are no files of their own. */
static bool read_ending(const char *ending, enum day_aside *ret_aside)
{
	static const struct {
		const char *text;
		enum day_aside aside;
	} endings[] = {
		{ ".damaged-", DAY_ASIDE },
		{ ".newer-", DAY_ASIDE },
		{ ".schema-", DAY_COPY },
	};

	if (!*ending) {
		*ret_aside = DAY_IN_USE;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		const char *number = ending + strlen(endings[i].text);
		size_t digits;

		if (strncmp(ending, endings[i].text, strlen(endings[i].text)) != 0)
			continue;
		digits = strspn(number, "0123456789");
		*ret_aside = endings[i].aside;
		return digits > 0 &&
		       (number[digits] == '\0' ||
		        (endings[i].aside == DAY_COPY && strcmp(number + digits, ".part") == 0));
	}
	return false;
}

bool day_parse(const char *name, uint32_t *ret_day, enum day_kind *ret_kind,
               enum day_aside *ret_aside)
{
	struct tm tm = { 0 };
	char again[DAY_NAME_LEN];
	size_t n;

	if (strnlen(name, DAY_NAME_LEN) >= DAY_NAME_LEN || strlen(name) < 10)
		return false;
	for (int i = 0; i < 10; i++) {
		bool dash = i == 4 || i == 7;

		if (dash ? name[i] != '-' : name[i] < '0' || name[i] > '9')
			return false;
	}
	tm.tm_year = (name[0] - '0') * 1000 + (name[1] - '0') * 100 + (name[2] - '0') * 10 +
	             (name[3] - '0') - 1900;
	tm.tm_mon = (name[5] - '0') * 10 + (name[6] - '0') - 1;
	tm.tm_mday = (name[8] - '0') * 10 + (name[9] - '0');

	time_t s = timegm(&tm);

	if (s < 0)
		return false;
	for (enum day_kind kind = 0; kind < DAY_KINDS; kind++) {
		/* Printed again it must be the same: February 30 is not. */
		day_name((uint32_t)(s / 86400), kind, again);
		n = strlen(again);
		if (strncmp(name, again, n) != 0)
			continue;
		if (!read_ending(name + n, ret_aside))
			return false;
		*ret_day = (uint32_t)(s / 86400);
		*ret_kind = kind;
		return true;
	}
	return false;
}

static int compare(const void *a, const void *b)
{
	const struct day_entry *x = a, *y = b;

	if (x->day != y->day)
		return x->day < y->day ? -1 : 1;
	return (int)x->kind - (int)y->kind;
}

static void closedir_cleanup(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int day_list(const char *dir, struct day_entry **ret_entries, size_t *ret_n, size_t *ret_n_aside)
{
	CLEANUP(closedir) DIR *folder = opendir(dir);
	CLEANUP(free) struct day_entry *entries = NULL;
	size_t n = 0, cap = 0, n_aside = 0;
	struct dirent *found;

	if (!folder)
		return -errno;
	while ((found = readdir(folder))) {
		struct day_entry entry;
		enum day_aside aside;

		if (!day_parse(found->d_name, &entry.day, &entry.kind, &aside))
			continue;
		n_aside += aside == DAY_ASIDE;
		if (aside != DAY_IN_USE)
			continue;
		if (n == DAY_ENTRIES_MAX)
			return ERR_LIMIT;
		if (n == cap) {
			struct day_entry *more;

			cap = cap ? cap * 2 : 64;
			more = realloc(entries, cap * sizeof(*entries));
			if (!more)
				return ERR_NOMEM;
			entries = more;
		}
		entries[n++] = entry;
	}
	if (n)
		qsort(entries, n, sizeof(*entries), compare);
	*ret_entries = TAKE(entries);
	*ret_n = n;
	if (ret_n_aside)
		*ret_n_aside = n_aside;
	return ERR_OK;
}
