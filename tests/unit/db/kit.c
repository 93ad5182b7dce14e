/* tests/unit/db/kit.c - a folder, two rings, a backlog and a clock, for tests of the history. */
#include "kit.h"

#include <dirent.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "db/area.h"
#include "sallyport/clock.h"
#include "sallyport/prefix.h"
#include "sallyport/shm.h"

static void make_rings(struct kit *kit, size_t slots)
{
	for (int i = 0; i < KIT_RINGS; i++) {
		assert_int_equal(ring_create(slots, &kit->data_fd[i], &kit->back_fd[i]), 0);
		assert_int_equal(
		    ring_producer_open(&kit->producers[i], kit->data_fd[i], kit->back_fd[i]), 0);
	}
}

static void drop_rings(struct kit *kit)
{
	for (int i = 0; i < KIT_RINGS; i++) {
		ring_producer_close(&kit->producers[i]);
		close(kit->data_fd[i]);
		close(kit->back_fd[i]);
	}
}

void kit_all_die(struct kit *kit)
{
	size_t slots = (size_t)kit->producers[0].n_slots;

	drop_rings(kit);
	make_rings(kit, slots);
	memset(kit->area, 0, kit->area_len);
}

void kit_init(struct kit *kit, size_t slots)
{
	*kit = (struct kit){ .wall_ns = KIT_NOON, .boot_ns = NS_PER_S, .next_id = 1 << 20 };
	/* A test of order, not of disks: the runner names a folder in memory. */
	const char *tmp = getenv("TMPDIR");

	snprintf(kit->dir, sizeof(kit->dir), "%s/sallyport-db-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(kit->dir));
	make_rings(kit, slots);
	kit->area_len = historian_area_bytes();
	kit->area =
	    mmap(NULL, kit->area_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(kit->area, MAP_FAILED);
	kit->lane = aligned_alloc(64, sizeof(*kit->lane));
	assert_non_null(kit->lane);
	memset(kit->lane, 0, sizeof(*kit->lane));
	kit->options = (struct historian_options){ .dir = kit->dir,
		                                   .gid = (gid_t)-1,
		                                   .area = kit->area,
		                                   .area_len = kit->area_len,
		                                   .lane = kit->lane };
}

static void remove_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char file[512];

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		unlink(file);
	}
	closedir(dir);
	rmdir(path);
}

void kit_fini(struct kit *kit)
{
	drop_rings(kit);
	munmap(kit->area, kit->area_len);
	free(kit->lane);
	remove_folder(kit->dir);
	kit_vfs = (struct kit_vfs){ 0 };
}

struct kit *kit_new(size_t slots)
{
	struct kit *kit = malloc(sizeof(*kit));

	assert_non_null(kit);
	kit_init(kit, slots);
	return kit;
}

int kit_setup(void **state)
{
	*state = kit_new(4096);
	return 0;
}

int kit_setup_disk(void **state)
{
	kit_vfs_install();
	return kit_setup(state);
}

int kit_teardown(void **state)
{
	kit_fini(*state);
	free(*state);
	return 0;
}

void kit_catalog(struct historian *h, unsigned int version)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
	                 "sallyport-catalog\t1\t%u\nW\t0\tapp01\tapp-server\nW\t1\tbuild\tfarm\n"
	                 "R\t0\tallow\tallow db.example.org\tp.yaml\t7\n"
	                 "R\t1\tdeny\tdeny evil.test\tp.yaml\t9\nF\t0\tmalware\nE\n",
	                 version);

	int fd = shm_create_sealed("catalog", text, (size_t)n);

	assert_true(fd >= 0);
	assert_int_equal(historian_add_catalog(h, fd), 0);
	close(fd);
}

struct historian *kit_nameless(struct kit *kit)
{
	struct historian *h;

	assert_int_equal(historian_new(&kit->options, &h), 0);
	for (unsigned int i = 0; i < KIT_RINGS; i++)
		assert_int_equal(historian_add_ring(h, i, kit->data_fd[i], kit->back_fd[i]), 0);
	historian_start(h, kit->wall_ns, kit->boot_ns);
	return h;
}

struct historian *kit_historian(struct kit *kit)
{
	struct historian *h = kit_nameless(kit);

	kit_catalog(h, 1);
	kit_catalog(h, 2);
	return h;
}

void kit_pass(struct kit *kit, uint64_t ms)
{
	kit->wall_ns += ms * NS_PER_MS;
	kit->boot_ns += ms * NS_PER_MS;
}

void kit_tick(struct kit *kit, struct historian *h)
{
	historian_tick(h, kit->wall_ns, kit->boot_ns);
}

void kit_stop(struct kit *kit, struct historian *h)
{
	assert_int_equal(historian_stop(h, kit->wall_ns, kit->boot_ns), 0);
	historian_free(h);
}

static void answer_id(uint8_t n, uint8_t id[static ANSWER_ID_LEN])
{
	memset(id, n, ANSWER_ID_LEN);
}

uint64_t kit_put(struct kit *kit, unsigned int ring, const struct kit_query *q)
{
	const char *name = q->name ? q->name : "db.example.org.";
	struct record_query record = {
		.head = { .type = RECORD_QUERY, .hint = q->hint },
		.id = kit->next_id,
		.time_ns = kit->wall_ns - q->age_ns,
		.policy_version = q->policy_version ? q->policy_version : 1,
		.workload = q->workload,
		.rule = q->verdict == VERDICT_ALLOW ? 0 : 1,
		.feed = RECORD_NO_RULE,
		.latency_us = 120,
		.ttl = q->ttl,
		.client_port = q->port,
		.qtype = q->type ? q->type : 1,
		.qclass = 1,
		.ede = RECORD_NO_EDE,
		.rcode = q->rcode,
		.flags = q->flags,
		.proto = 17,
		.verdict = q->verdict,
		.reason = q->reason ? q->reason : REASON_RULE,
		.name_len = (uint16_t)strlen(name),
	};

	assert_int_equal(addr_parse(q->client ? q->client : "192.0.2.7", record.client), 0);
	if (q->answer)
		answer_id(q->answer, record.answer_id);
	record.head.len = (uint32_t)(sizeof(record) + record.name_len);
	kit->next_id++;
	if (!ring_put(&kit->producers[ring], &record.head, name, record.name_len))
		return 0;
	return record.id;
}

uint64_t kit_ask(struct kit *kit, unsigned int ring, const struct kit_query *query)
{
	uint64_t id = kit_put(kit, ring, query);

	ring_publish(&kit->producers[ring]);
	return id;
}

static size_t put_rr(uint8_t *at, const char *owner, uint16_t type, uint8_t n, const char *data)
{
	struct record_rr rr = { .ttl = 300,
		                .type = type,
		                .owner_len = (uint16_t)strlen(owner),
		                .data_len = (uint16_t)strlen(data) };
	const uint8_t v4[4] = { 198, 51, 100, n };

	if (type == 1)
		addr_from_v4(v4, rr.addr);
	memcpy(at, &rr, sizeof(rr));
	memcpy(at + sizeof(rr), owner, rr.owner_len);
	memcpy(at + sizeof(rr) + rr.owner_len, data, rr.data_len);
	return sizeof(rr) + (((size_t)rr.owner_len + rr.data_len + 3) & ~(size_t)3);
}

void kit_answer(struct kit *kit, unsigned int ring, uint8_t n, const char *owner, const char *alias)
{
	struct record_answer record = { .head = { .type = RECORD_ANSWER },
		                        .upstream_port = 53,
		                        .n_rrs = alias ? 2 : 1,
		                        .dnssec = DNSSEC_INSECURE };
	uint8_t tail[1024] = { 0 };
	char data[32];
	size_t len = 0;

	answer_id(n, record.answer_id);
	assert_int_equal(addr_parse("192.0.2.53", record.upstream), 0);
	if (alias)
		len += put_rr(tail, owner, 5, 0, alias);
	snprintf(data, sizeof(data), "198.51.100.%u", n);
	len += put_rr(tail + len, alias ? alias : owner, 1, n, data);
	record.head.len = (uint32_t)(sizeof(record) + len);
	assert_true(ring_put(&kit->producers[ring], &record.head, tail, len));
	ring_publish(&kit->producers[ring]);
}

struct kit_sums kit_sum(const struct kit *kit)
{
	struct kit_sums sums = { 0 };
	struct history_filter filter;
	const struct history_row *row;
	struct history_iter *iter;
	struct history *history;
	int r;

	history_filter_init(&filter);
	assert_int_equal(history_open(kit->dir, &history, NULL), 0);
	assert_int_equal(history_query(history, &filter, &iter, NULL), 0);
	while ((r = history_next(iter, &row)) > 0) {
		if (row->kind == HISTORY_GAP) {
			sums.gaps++;
			sums.causes |= 1u << row->gap;
			sums.kernel_drops += row->kernel_drops;
			for (int v = 0; v < VERDICT_N; v++)
				sums.lost[v] += row->lost[v];
			continue;
		}
		sums.rows++;
		sums.queries += row->count;
		if (row->verdict == VERDICT_DENY)
			sums.denied += row->count;
	}
	assert_int_equal(r, 0);
	history_iter_free(iter);
	history_free(history);
	return sums;
}

uint64_t kit_count(const struct kit *kit, enum counter counter)
{
	return atomic_load_explicit(&kit->lane->counts[counter], memory_order_relaxed);
}

bool kit_exists(const struct kit *kit, const char *name)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", kit->dir, name);
	return stat(path, &st) == 0;
}

int64_t kit_sql(const struct kit *kit, const char *file, const char *sql)
{
	sqlite3_stmt *stmt;
	sqlite3 *db;
	char path[256];
	int64_t value;

	snprintf(path, sizeof(path), "%s/%s", kit->dir, file);
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}

/* --- a disk that fails, and a moment to die ----------------------------------------------------
 */

struct kit_vfs kit_vfs;

struct shim_file {
	sqlite3_file base;
	sqlite3_file *real; /* behind us in the same block */
	bool log;           /* a -wal */
};
static sqlite3_vfs *real_vfs, shim_vfs;
static sqlite3_io_methods shim_methods;

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct shim_file *)(void *)file)->real;
}

void kit_step(void *arg)
{
	(void)arg;
	kit_vfs.steps++;
	if (kit_vfs.die_after && kit_vfs.steps == kit_vfs.die_after)
		_exit(KIT_DIED);
}

static int step(int on_full, int on_broken)
{
	kit_step(NULL);
	switch (kit_vfs.disk) {
	case KIT_DISK_FINE:
	case KIT_DISK_LOG:
	case KIT_DISK_UNSURE:
	case KIT_DISK_SHUT:
	case KIT_DISK_UNSURE_SHUT:
		break;
	case KIT_DISK_FULL:
		return on_full;
	case KIT_DISK_BROKEN:
		return on_broken;
	}
	return SQLITE_OK;
}

uint64_t kit_stride(uint64_t n)
{
	return getenv("SALLYPORT_SOAK") ? 1 : n;
}

static int shim_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}
static int shim_read(sqlite3_file *f, void *buf, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), buf, n, at);
}
static int shim_write(sqlite3_file *f, const void *buf, int n, sqlite3_int64 at)
{
	int rc = step(SQLITE_FULL, SQLITE_IOERR_WRITE);

	if (kit_vfs.disk == KIT_DISK_LOG && !((struct shim_file *)(void *)f)->log)
		return SQLITE_FULL;
	return rc ? rc : real_of(f)->pMethods->xWrite(real_of(f), buf, n, at);
}
static int shim_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int rc = step(SQLITE_OK, SQLITE_IOERR_TRUNCATE);

	return rc ? rc : real_of(f)->pMethods->xTruncate(real_of(f), size);
}
static int shim_sync(sqlite3_file *f, int flags)
{
	int rc = step(SQLITE_OK, SQLITE_IOERR_FSYNC);

	if (++kit_vfs.syncs == kit_vfs.die_at_sync)
		_exit(KIT_DIED);
	(void)flags; /* nothing here loses power: a kill leaves what was written */
	(void)f;
	return kit_vfs.disk == KIT_DISK_UNSURE || kit_vfs.disk == KIT_DISK_UNSURE_SHUT
	           ? SQLITE_IOERR_FSYNC
	           : rc;
}
static int shim_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), size);
}
static int shim_lock(sqlite3_file *f, int lock)
{
	return real_of(f)->pMethods->xLock(real_of(f), lock);
}
static int shim_unlock(sqlite3_file *f, int lock)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), lock);
}
static int shim_check(sqlite3_file *f, int *out)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}
static int shim_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}
static int shim_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}
static int shim_device(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}
static int shim_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}
static int shim_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	int rc = step(SQLITE_OK, SQLITE_OK);

	return rc ? rc : real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}
static void shim_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}
static int shim_unmap(sqlite3_file *f, int remove_it)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), remove_it);
}

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                     int *out_flags)
{
	struct shim_file *shim = (void *)file;
	int rc;

	(void)vfs;
	shim->base.pMethods = NULL;
	shim->real = (void *)(shim + 1);
	shim->log = (flags & SQLITE_OPEN_WAL) != 0;
	if (kit_vfs.disk == KIT_DISK_SHUT || kit_vfs.disk == KIT_DISK_UNSURE_SHUT)
		return SQLITE_CANTOPEN;
	rc = real_vfs->xOpen(real_vfs, name, shim->real, flags, out_flags);
	if (shim->real->pMethods)
		shim->base.pMethods = &shim_methods;
	return rc;
}

void kit_vfs_install(void)
{
	kit_vfs = (struct kit_vfs){ 0 };
	if (real_vfs)
		return;
	real_vfs = sqlite3_vfs_find(NULL);
	shim_methods = (sqlite3_io_methods){
		2,           shim_close, shim_read,     shim_write,   shim_truncate, shim_sync,
		shim_size,   shim_lock,  shim_unlock,   shim_check,   shim_control,  shim_sector,
		shim_device, shim_map,   shim_shm_lock, shim_barrier, shim_unmap,    NULL,
		NULL,
	};
	shim_vfs = *real_vfs;
	shim_vfs.zName = "kit";
	shim_vfs.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
	shim_vfs.xOpen = shim_open;
	sqlite3_vfs_register(&shim_vfs, 1);
}
