/* tests/unit/db/kit.h - a folder, two rings, a backlog and a clock, for tests of the history. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "db/history.h"
#include "historian.h"
#include "sallyport/counter.h"
#include "sallyport/ring.h"

#define KIT_RINGS 2
#define KIT_NOON UINT64_C(1795435200000000000) /* 2026-11-23T12:00:00Z */

struct kit {
	char dir[64];
	int data_fd[KIT_RINGS], back_fd[KIT_RINGS];
	struct ring_producer producers[KIT_RINGS];
	void *area;
	size_t area_len;
	uint64_t wall_ns, boot_ns, next_id;
	struct historian_options options;
	struct stats_lane *lane;
};

/* A fresh world; @slots a ring. Ends the test on failure. */
void kit_init(struct kit *kit, size_t slots);
struct kit *kit_new(size_t slots); /* the same on the heap */
/* cmocka's: a kit of 4096 slots as *state; on a disk that does what kit_vfs says; and its end. */
int kit_setup(void **state);
int kit_setup_disk(void **state);
int kit_teardown(void **state);
void kit_all_die(struct kit *kit); /* the keeper, too: rings and backlog are gone, files stay */
void kit_fini(struct kit *kit);    /* removes the folder */

/* A historian that takes up where the last one stopped, with a catalog for version 1 and 2. */
struct historian *kit_historian(struct kit *kit);
struct historian *kit_nameless(struct kit *kit);         /* the same without any catalog */
void kit_catalog(struct historian *h, uint32_t version); /* tell its names */
void kit_pass(struct kit *kit, uint64_t ms);             /* time goes by, on both clocks */
void kit_tick(struct kit *kit, struct historian *h);
void kit_stop(struct kit *kit, struct historian *h); /* must succeed; frees */

struct kit_query {
	const char *name;        /* NULL: "db.example.org." */
	const char *client;      /* NULL: 192.0.2.7 */
	uint32_t policy_version; /* 0: 1 */
	uint32_t workload;
	uint16_t type; /* 0: A */
	uint16_t port;
	uint16_t flags;
	uint16_t rcode;
	uint8_t verdict; /* enum verdict_kind; zero is a denial */
	uint8_t reason;  /* 0: REASON_RULE */
	uint8_t answer;  /* 0: none; n: the answer of kit_answer(n) */
	uint16_t hint;
	uint32_t ttl;
	uint64_t age_ns; /* asked that long ago */
};
/* Put one; published at once. Returns its id, or 0 when there was no room. */
uint64_t kit_ask(struct kit *kit, unsigned int ring, const struct kit_query *query);
/* Put, but do not publish. */
uint64_t kit_put(struct kit *kit, unsigned int ring, const struct kit_query *query);
/* Tell answer @n: A records 198.51.100.n of name @owner, behind a CNAME if @alias is not NULL. */
void kit_answer(struct kit *kit, unsigned int ring, uint8_t n, const char *owner,
                const char *alias);

/* All queries (sum of count) and rows, gaps left out, in the folder. */
struct kit_sums {
	uint64_t rows, queries, denied, gaps, lost[VERDICT_N], kernel_drops;
	unsigned int causes; /* bits: 1 << enum history_gap */
};
struct kit_sums kit_sum(const struct kit *kit);
uint64_t kit_count(const struct kit *kit, enum counter counter);
bool kit_exists(const struct kit *kit, const char *name);
/* One number by SQL from one file of the folder. */
int64_t kit_sql(const struct kit *kit, const char *file, const char *sql);

/* A VFS over the default one, in effect for files opened from now on. */
enum kit_disk {
	KIT_DISK_FINE,
	KIT_DISK_FULL,        /* every write: SQLITE_FULL */
	KIT_DISK_BROKEN,      /* every write and sync: SQLITE_IOERR */
	KIT_DISK_LOG,         /* room in the log's file, which was larger once; elsewhere none */
	KIT_DISK_UNSURE,      /* what is written stays, and no sync succeeds */
	KIT_DISK_SHUT,        /* no file can be opened */
	KIT_DISK_UNSURE_SHUT, /* both: whoever closes a file does not see it again */
};
struct kit_vfs {
	enum kit_disk disk;
	uint64_t steps;     /* writes, syncs, truncations and locks so far */
	uint64_t die_after; /* _exit(KIT_DIED) at that step; 0: never */
	uint64_t syncs;     /* so far: one a commit, with all of it written and nothing entered */
	uint64_t die_at_sync;
};
#define KIT_DIED 77
extern struct kit_vfs kit_vfs;
void kit_vfs_install(void);
void kit_step(void *arg); /* for on_step: the historian's own steps count, too */
/* Every step with SALLYPORT_SOAK in the environment (./dev soak: minutes), else every @n-th;
 * neighbours are much alike. */
uint64_t kit_stride(uint64_t n);
