/* db/historian_files.c - the open files, the finished ones, and those that are too old. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "historian_core.h"
#include "sallyport/log.h"

#define PATH_LEN 4096

static struct historian_file *find(struct historian *h, uint32_t day, enum day_kind kind)
{
	for (size_t i = 0; i < HISTORIAN_FILES_MAX; i++) {
		struct day_file *file = h->files[i].file;

		if (file && day_file_day(file) == day && day_file_kind(file) == kind)
			return &h->files[i];
	}
	return NULL;
}

struct day_file *historian_open_file(struct historian *h, uint32_t day, enum day_kind kind)
{
	struct historian_file *slot = find(h, day, kind);

	return slot ? slot->file : NULL;
}

static void close_slot(struct historian_file *slot, enum day_file_close how)
{
	struct day_file *file = TAKE(slot->file);

	/* A reader may keep it from being finished; historian_finish_old() tries again. */
	if (file && day_file_close(file, how) < 0)
		log_debug(HISTORY_TAG, "a reader keeps a closed file in WAL mode");
}

/* A free slot; the least recently used file makes room. */
static struct historian_file *take_slot(struct historian *h)
{
	struct historian_file *oldest = &h->files[0];

	for (size_t i = 0; i < HISTORIAN_FILES_MAX; i++) {
		if (!h->files[i].file)
			return &h->files[i];
		if (h->files[i].used < oldest->used)
			oldest = &h->files[i];
	}
	close_slot(oldest, day_file_day(oldest->file) < h->area.state.day ? DAY_FILE_FINISH
	                                                                  : DAY_FILE_KEEP);
	return oldest;
}

static bool exists(const struct historian *h, uint32_t day, enum day_kind kind)
{
	char name[DAY_NAME_LEN], path[PATH_LEN];
	struct stat st;

	day_name(day, kind, name);
	return snprintf(path, sizeof(path), "%s/%s", h->dir, name) < (int)sizeof(path) &&
	       stat(path, &st) == 0;
}

static void aside(struct historian *h, uint32_t day, enum day_kind kind, int err)
{
	static const uint64_t none[VERDICT_N];
	uint64_t now_us = h->last_wall_us;
	char name[80];
	int r;

	r = day_file_aside(h->dir, day, kind, err, now_us / 1000000, name);
	if (r < 0) {
		log_error(HISTORY_TAG, "a %s history file cannot be moved aside: %s",
		          err == ERR_VERSION ? "newer" : "damaged", err_str(r));
		return;
	}
	if (err == ERR_VERSION) {
		log_kv(
		    LOG_LEVEL_ERROR, HISTORY_TAG, "file", name,
		    "a newer Sallyport has written this history file; it was moved aside as it is, "
		    "and a new one is begun");
	} else {
		log_kv(LOG_LEVEL_ERROR, HISTORY_TAG, "file", name,
		       "a history file is damaged and was moved aside");
		historian_count(h, COUNT_HISTORY_DAMAGED, 1);
	}
	agg_gap(&h->agg, HISTORY_GAP_DAMAGED, MIN(day * DAY_US, now_us),
	        MIN((day + 1) * DAY_US, MAX(now_us, day * DAY_US)), none, 0, name);
}

static struct day_file_where where_of(const struct historian *h)
{
	return (struct day_file_where){
		.dir = h->dir,
		.gid = h->options.gid,
		.alive = h->options.alive,
		.alive_arg = h->options.alive_arg,
		.log_max = h->options.log_max ? h->options.log_max : LIMIT_HISTORY_LOG_BYTES,
	};
}

static int open_sealed(const struct historian *h, uint32_t day, enum day_kind kind,
                       uint64_t id_base, struct day_file **ret_file)
{
	const struct day_file_where where = where_of(h);
	struct day_file *file;
	int r;

	r = day_file_open(&where, day, kind, id_base, &file);
	if (r < 0)
		return r;
	r = day_file_seal(file);
	if (r < 0)
		(void)day_file_close(file, DAY_FILE_KEEP); /* always 0 with DAY_FILE_KEEP */
	else
		*ret_file = file;
	return r;
}

int historian_file(struct historian *h, uint32_t day, enum day_kind kind, enum historian_make make,
                   uint64_t id_base, struct day_file **ret_file)
{
	struct historian_file *slot = find(h, day, kind);
	struct day_file *file;
	int r;

	if (!slot) {
		if (make == HISTORIAN_EXISTING && !exists(h, day, kind))
			return ERR_NOENT;
		r = open_sealed(h, day, kind, id_base, &file);
		if (r == ERR_DAMAGED || r == ERR_VERSION) {
			aside(h, day, kind, r);
			if (make == HISTORIAN_EXISTING)
				return ERR_NOENT;
			r = open_sealed(h, day, kind, id_base, &file);
		}
		if (r < 0)
			return r;
		slot = take_slot(h);
		slot->file = file;
	}
	slot->used = ++h->use;
	*ret_file = slot->file;
	return ERR_OK;
}

int historian_saved(struct historian *h, uint32_t day, enum day_kind kind, uint64_t area_id,
                    uint64_t *ret_token)
{
	struct day_file *file;
	int r = historian_file(h, day, kind, HISTORIAN_EXISTING, 0, &file);

	*ret_token = 0;
	if (r < 0)
		return r == ERR_NOENT ? ERR_OK : r;
	return day_file_saved(file, area_id, ret_token);
}

void historian_file_failed(struct historian *h, uint32_t day, enum day_kind kind, int err)
{
	struct historian_file *slot = find(h, day, kind);

	if (slot)
		close_slot(slot, DAY_FILE_KEEP);
	if (err == ERR_DAMAGED)
		aside(h, day, kind, err);
}

void historian_leave_readers(struct historian *h)
{
	const struct day_file_where where = where_of(h);

	for (size_t i = 0; i < HISTORIAN_FILES_MAX; i++) {
		struct historian_file *slot = &h->files[i];
		char name[DAY_NAME_LEN];
		enum day_kind kind;
		uint32_t day;
		int r;

		if (!slot->file || !day_file_is_held(slot->file))
			continue;
		day = day_file_day(slot->file);
		kind = day_file_kind(slot->file);
		day_name(day, kind, name);
		r = day_file_leave_behind(slot->file, &where);
		if (r < 0) {
			log_kv(LOG_LEVEL_WARNING, HISTORY_TAG, "file", name,
			       "a reader's transaction keeps its log growing, and no copy can be "
			       "made: %s",
			       err_str(r));
			continue;
		}
		slot->file = NULL;
		historian_count(h, COUNT_HISTORY_LEFT_BEHIND, 1);
		log_kv(LOG_LEVEL_WARNING, HISTORY_TAG, "file", name,
		       "a reader's transaction kept its log growing: the history goes on in a "
		       "copy, the reader keeps the old one");
		/* At once, for readers need its log; if it cannot be, the next write tells. */
		if (day_file_open(&where, day, kind, 0, &slot->file) < 0)
			slot->file = NULL;
	}
}

void historian_close_files(struct historian *h, enum day_file_close how)
{
	for (size_t i = 0; i < HISTORIAN_FILES_MAX; i++)
		close_slot(&h->files[i], how);
}

void historian_finish_old(struct historian *h, uint32_t day)
{
	CLEANUP(free) struct day_entry *entries = NULL;
	size_t n;

	for (size_t i = 0; i < HISTORIAN_FILES_MAX; i++) {
		if (h->files[i].file && day_file_day(h->files[i].file) < day)
			close_slot(&h->files[i], DAY_FILE_FINISH);
	}
	if (day_list(h->dir, &entries, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (entries[i].day >= day || find(h, entries[i].day, entries[i].kind) ||
		    !day_file_is_open_on_disk(h->dir, entries[i].day, entries[i].kind))
			continue;
		int r = day_file_finish(h->dir, entries[i].day, entries[i].kind);

		if (r == ERR_DAMAGED)
			aside(h, entries[i].day, entries[i].kind, r);
	}
}

/* --- retention ------------------------------------------------------------------------------- */

static void delete (const struct historian *h, const char *name)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	char path[PATH_LEN];

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		if (snprintf(path, sizeof(path), "%s/%s%s", h->dir, name, suffixes[i]) >=
		    (int)sizeof(path))
			return;
		if (unlink(path) != 0 && errno != ENOENT)
			log_kv(LOG_LEVEL_WARNING, HISTORY_TAG, "file", name,
			       "a file that is too old cannot be deleted: %s", err_str(-errno));
	}
}

void historian_retention(struct historian *h, uint64_t wall_ns)
{
	uint64_t now_s = wall_ns / NS_PER_S;
	DIR *folder = opendir(h->dir);
	struct dirent *found;

	if (!folder)
		return;
	while ((found = readdir(folder))) {
		enum day_aside moved;
		enum day_kind kind;
		uint64_t keep_s;
		uint32_t day;

		if (!day_parse(found->d_name, &day, &kind, &moved))
			continue;
		keep_s = kind == DAY_DENY ? h->options.deny_keep_s : h->options.allow_keep_s;
		if (keep_s == 0 || (day + UINT64_C(1)) * 86400 + keep_s > now_s)
			continue;
		if (moved == DAY_IN_USE && find(h, day, kind))
			close_slot(find(h, day, kind), DAY_FILE_KEEP);
		log_kv(LOG_LEVEL_INFO, HISTORY_TAG, "file", found->d_name,
		       "deleted, for it is older than the retention");
		delete (h, found->d_name);
	}
	closedir(folder);
}
