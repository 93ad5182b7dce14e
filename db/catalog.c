/* db/catalog.c - the names behind the ids of one policy version. */
#include "catalog.h"

#include <stdbool.h>
#include <string.h>

#include "sallyport/err.h"
#include "sallyport/limits.h"

#define FIELDS_MAX 6

void catalog_free(struct catalog *catalog)
{
	if (!catalog)
		return;
	free(catalog->workloads);
	free(catalog->rules);
	free(catalog->feeds);
	free(catalog->text);
	free(catalog);
}

/* Decimal digits only, at most 32 bits. */
static bool number(const char *text, uint32_t *ret_value)
{
	uint64_t value = 0;

	if (!*text || strlen(text) > 10)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	*ret_value = (uint32_t)value;
	return value <= UINT32_MAX;
}

/* Cut @line at its tabs. Returns the number of fields, 0 when there are too many. */
static size_t split(char *line, const char *fields[static FIELDS_MAX])
{
	size_t n = 0;

	for (char *tab; n < FIELDS_MAX; line = tab + 1) {
		fields[n++] = line;
		tab = strchr(line, '\t');
		if (!tab)
			return n;
		*tab = '\0';
	}
	return 0;
}

/* Room for one more element behind @n; sizes double from 64. */
static bool grow(void **array, size_t n, size_t size)
{
	void *more;

	if (n != 0 && (n < 64 || (n & (n - 1)) != 0))
		return true;
	more = realloc(*array, (n ? n * 2 : 64) * size);
	if (!more)
		return false;
	*array = more;
	return true;
}

static int parse_line(struct catalog *catalog, const char *const *fields, size_t n)
{
	uint32_t id, line;

	if (n < 3 || strlen(fields[0]) != 1 || !number(fields[1], &id))
		return ERR_MALFORMED;
	switch (fields[0][0]) {
	case 'W':
		if (n != 4 || id != catalog->n_workloads || id >= LIMIT_WORKLOADS)
			return ERR_MALFORMED;
		if (!grow((void **)&catalog->workloads, id, sizeof(*catalog->workloads)))
			return ERR_NOMEM;
		catalog->workloads[catalog->n_workloads++] =
		    (struct catalog_workload){ fields[2], fields[3] };
		return ERR_OK;
	case 'R':
		if (n != 6 || id != catalog->n_rules || id >= LIMIT_RULES ||
		    !number(fields[5], &line))
			return ERR_MALFORMED;
		if (strcmp(fields[2], "allow") != 0 && strcmp(fields[2], "deny") != 0)
			return ERR_MALFORMED;
		if (!grow((void **)&catalog->rules, id, sizeof(*catalog->rules)))
			return ERR_NOMEM;
		catalog->rules[catalog->n_rules++] =
		    (struct catalog_rule){ fields[3], fields[4], line };
		return ERR_OK;
	case 'F':
		if (n != 3 || id != catalog->n_feeds || id >= LIMIT_FEEDS)
			return ERR_MALFORMED;
		if (!grow((void **)&catalog->feeds, id, sizeof(*catalog->feeds)))
			return ERR_NOMEM;
		catalog->feeds[catalog->n_feeds++] = fields[2];
		return ERR_OK;
	default:
		return ERR_MALFORMED;
	}
}

static int parse_head(struct catalog *catalog, char *line)
{
	uint32_t format;
	char *words[3], *rest = line;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		words[i] = strsep(&rest, " \t");
		if (!words[i])
			return ERR_MALFORMED;
	}
	if (rest || strcmp(words[0], CATALOG_MAGIC) != 0 || !number(words[1], &format))
		return ERR_MALFORMED;
	if (format != CATALOG_FORMAT)
		return ERR_VERSION;
	return number(words[2], &catalog->version) && catalog->version ? ERR_OK : ERR_MALFORMED;
}

int catalog_parse(const void *text, size_t len, struct catalog **ret_catalog)
{
	CLEANUP(catalog_free) struct catalog *catalog = calloc(1, sizeof(*catalog));
	const uint8_t *octets = text;
	bool head = false;
	int r = ERR_OK;

	if (!catalog)
		return ERR_NOMEM;
	if (len > CATALOG_BYTES_MAX)
		return ERR_LIMIT;
	for (size_t i = 0; i < len; i++) {
		if ((octets[i] < 0x20 && octets[i] != '\t' && octets[i] != '\n') ||
		    octets[i] == 0x7f)
			return ERR_MALFORMED;
	}
	catalog->text = malloc(len + 1);
	if (!catalog->text)
		return ERR_NOMEM;
	if (len)
		memcpy(catalog->text, text, len);
	catalog->text[len] = '\0';
	catalog->text_len = len;

	for (char *line = catalog->text, *end; (end = strchr(line, '\n')); line = end + 1) {
		const char *fields[FIELDS_MAX];

		*end = '\0';
		if (!head) {
			r = parse_head(catalog, line);
			head = true;
		} else if (strcmp(line, "E") == 0) {
			if (end + 1 != catalog->text + len)
				return ERR_MALFORMED; /* something behind the end */
			*ret_catalog = TAKE(catalog);
			return ERR_OK;
		} else {
			size_t n = split(line, fields);

			r = parse_line(catalog, fields, n);
		}
		if (r < 0)
			return r;
	}
	return ERR_MALFORMED; /* no end line: cut short */
}
