/* db/history.c - the folder of history files, filters, coverage. */
#include "db/history.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "history_core.h"
#include "pattern.h"
#include "schema.h"

int history_open(const char *dir, struct history **ret_history, struct diag *diag)
{
	CLEANUP(history_free) struct history *history = calloc(1, sizeof(*history));
	struct stat st;

	if (!history)
		return ERR_NOMEM;
	if (stat(dir, &st) != 0)
		return diag_set(diag, errno == EACCES ? ERR_DENIED : -errno, "%s: %s", dir,
		                err_str(-errno));
	if (!S_ISDIR(st.st_mode))
		return diag_set(diag, ERR_NOENT, "%s: not a folder", dir);
	if (access(dir, R_OK | X_OK) != 0)
		return diag_set(diag, ERR_DENIED,
		                "%s: you may not read the history; become a member of its group",
		                dir);
	history->dir = strdup(dir);
	if (!history->dir)
		return ERR_NOMEM;
	*ret_history = TAKE(history);
	return ERR_OK;
}

void history_free(struct history *history)
{
	if (!history)
		return;
	free(history->dir);
	free(history);
}

void history_filter_init(struct history_filter *filter)
{
	*filter = (struct history_filter){
		.verdict = HISTORY_ANY,
		.reason = HISTORY_ANY,
		.type = HISTORY_ANY,
		.rcode = HISTORY_ANY,
		.dnssec = HISTORY_ANY,
	};
}

static int copy_text(const char **to, const char *from)
{
	*to = NULL;
	if (!from)
		return ERR_OK;
	*to = strdup(from);
	return *to ? ERR_OK : ERR_NOMEM;
}

int history_filter_copy(struct history_filter *copy, const struct history_filter *filter,
                        struct diag *diag)
{
	struct pattern pattern;
	int r;

	*copy = *filter;
	copy->workload = copy->profile = copy->name = copy->rule = NULL;
	if (filter->name && pattern_read(filter->name, &pattern) < 0)
		return diag_set(
		    diag, ERR_CONFIG,
		    "\"%s\" is no name; \"**\" stands only in front, as in **.corp.test",
		    filter->name);
	if (filter->since_ns && filter->until_ns && filter->since_ns >= filter->until_ns)
		return diag_set(diag, ERR_CONFIG, "since is not before until");
	r = copy_text(&copy->workload, filter->workload);
	if (r == 0)
		r = copy_text(&copy->profile, filter->profile);
	if (r == 0)
		r = copy_text(&copy->name, filter->name);
	if (r == 0)
		r = copy_text(&copy->rule, filter->rule);
	if (r < 0)
		history_filter_fini(copy);
	return r;
}

void history_filter_fini(struct history_filter *filter)
{
	/* They are ours: history_filter_copy() made them. */
	free((void *)(uintptr_t)filter->workload);
	free((void *)(uintptr_t)filter->profile);
	free((void *)(uintptr_t)filter->name);
	free((void *)(uintptr_t)filter->rule);
	history_filter_init(filter);
}

int history_files_list(const struct history *history, const struct history_filter *filter,
                       struct history_files *ret_files)
{
	uint64_t first = filter->since_ns / DAY_NS;
	uint64_t last = filter->until_ns ? (filter->until_ns - 1) / DAY_NS : DAY_MAX;
	struct history_files files = { 0 };
	size_t kept = 0;
	int r;

	r = day_list(history->dir, &files.entries, &files.n, &files.n_aside);
	if (r < 0)
		return r;
	for (size_t i = 0; i < files.n; i++) {
		if (files.entries[i].day >= first && files.entries[i].day <= last)
			files.entries[kept++] = files.entries[i];
	}
	files.n = kept;
	*ret_files = files;
	return ERR_OK;
}

void history_files_fini(struct history_files *files)
{
	free(files->entries);
	*files = (struct history_files){ 0 };
}

int history_open_file(const struct history *history, const struct day_entry *entry,
                      struct history_coverage *coverage, struct diag *diag,
                      struct reader **ret_reader)
{
	char name[DAY_NAME_LEN];
	int r = reader_open(history->dir, entry->day, entry->kind, ret_reader);

	if (r == ERR_NOENT)
		return 0;
	if (r == 0) {
		coverage->n_files++;
		return 1;
	}
	coverage->n_unreadable++;
	day_name(entry->day, entry->kind, name);
	diag_add(diag, DIAG_WARNING, name, 0, 0, "cannot be read: %s", err_str(r));
	return r;
}

/* The first row's time of the oldest file of a kind. */
static uint64_t begin_of(const struct history *history, const struct day_entry *entries, size_t n,
                         enum day_kind kind)
{
	for (size_t i = 0; i < n; i++) {
		CLEANUP(reader_free) struct reader *reader = NULL;
		int64_t t;

		if (entries[i].kind != kind ||
		    reader_open(history->dir, entries[i].day, kind, &reader) < 0)
			continue;
		if (sql_int(reader_sqlite(reader), "SELECT t FROM query ORDER BY t LIMIT 1", &t) <
		    0)
			continue;
		return reader_time_us(reader, t) * 1000;
	}
	return 0;
}

void history_cover(const struct history *history, const struct history_filter *filter,
                   struct history_coverage *coverage)
{
	CLEANUP(free) struct day_entry *entries = NULL;
	size_t n, looked = 0;
	uint64_t until_us = 0;

	if (day_list(history->dir, &entries, &n, NULL) < 0)
		return;
	coverage->allow_from_ns = begin_of(history, entries, n, DAY_ALLOW);
	coverage->deny_from_ns = begin_of(history, entries, n, DAY_DENY);
	if (coverage->allow_from_ns)
		coverage->allow_from_ns = MAX(coverage->allow_from_ns, filter->since_ns);
	if (coverage->deny_from_ns)
		coverage->deny_from_ns = MAX(coverage->deny_from_ns, filter->since_ns);
	/* The last transaction is in one of the newest files. */
	for (size_t i = n; i-- > 0 && looked < 4; looked++) {
		CLEANUP(reader_free) struct reader *reader = NULL;

		if (reader_open(history->dir, entries[i].day, entries[i].kind, &reader) == 0)
			until_us = MAX(until_us, reader_committed_us(reader));
	}
	coverage->until_ns = until_us * 1000;
	if (filter->until_ns && (coverage->until_ns > filter->until_ns))
		coverage->until_ns = filter->until_ns;
}
