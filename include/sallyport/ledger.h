/* sallyport/ledger.h - every open pinhole and why it is open.
 *
 * Shared memory made by the keeper: fwsync writes, keeper reads. It is a file on a tmpfs, so it
 * lives as long as the kernel's elements do: it outlives fwsync, and the keeper, too (keeper/
 * ledger_file.h). An element in the kernel may stand for several rows here (one for each reason);
 * it lives as long as the longest of them, so no rule shortens another's pinhole.
 *
 *   struct ledger_head | rows[n_rows] | cells[n_reasons] | more[n_more]
 *
 * Memory that was never needed is never touched, by writers or readers: rows from rows_high on were
 * never used, whatever lies there. Nobody touches a page before ledger_backed() says that it is
 * there: on a full file system the first touch would be the process's death (SIGBUS). A reason is a
 * cell of three cache lines; names that are longer than its room lie in `more`. When that is full,
 * a reason keeps the first names and is marked cut.
 *
 * Every row and cell has a version counter (seqlock: odd while fwsync writes). A reader copies,
 * compares the counter, tries again a bounded number of times. A writer that died in the middle
 * leaves an odd counter: its successor drops that row and takes `complete` back, for its element
 * may be in the kernel.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/boot.h"
#include "sallyport/limits.h"
#include "sallyport/pinhole.h"
#include "sallyport/prefix.h"

#define LEDGER_MAGIC UINT64_C(0x3452474445475053)
#define LEDGER_NAMES_NEAR 88 /* octets of names in a cell */

struct ledger_origin {       /* whose elements these are */
	uint8_t boot_id[16]; /* zeros: not known */
	uint64_t netns;      /* the network namespace's inode */
};
struct ledger_proof {             /* what fwsync has tried out on this kernel: fwsync/proof.h */
	_Atomic uint32_t version; /* as that of a row */
	uint32_t way;             /* of renewing */
	uint32_t owned_tables;    /* 1: the kernel has them; 0: it has not */
	uint32_t reserved;
	uint64_t proven_ns; /* boot_age_ns(); 0: nothing was proven yet */
	struct boot boot;
};
struct ledger_head {
	uint64_t magic;
	uint32_t n_rows, n_reasons, n_more;
	_Atomic uint32_t rows_used, reasons_used; /* for status; fwsync writes them */
	_Atomic uint32_t rows_high; /* rows from here on were never used; raised after the row */
	struct ledger_origin origin;
	_Atomic uint32_t complete; /* every element in the kernel has a row here; 0 in a new ledger,
	                              for the kernel's table may be older */
	uint32_t reserved;
	struct ledger_proof proof;
};

struct ledger_element { /* a kernel element's key */
	uint8_t src[ADDR_LEN], dst[ADDR_LEN];
	struct pinhole_port port;
};
struct ledger_row {
	_Atomic uint32_t version;
	uint32_t reason;     /* index; UINT32_MAX: the row is free */
	uint64_t opened_ns;  /* CLOCK_MONOTONIC */
	uint64_t expires_ns; /* CLOCK_MONOTONIC; not before the kernel's own expiry for this reason.
	                        A row that has expired stays while a connection that it let in goes
	                        on: a policy switch must judge it, too */
	struct ledger_element element;
	uint32_t policy_version; /* that judged it last; 0: not opened yet */
};
struct ledger_cell { /* one question of one workload, as it lies in the memory */
	_Atomic uint32_t version;
	uint32_t rows;     /* that point here; 0: free */
	uint64_t query_id; /* newest */
	uint64_t since_wall_ns;
	uint32_t policy_version, rule; /* of the newest opening */
	uint16_t names_len, names_flags;
	uint32_t more; /* where all names lie when names_len > LEDGER_NAMES_NEAR */
	char workload[LIMIT_WORKLOAD_NAME + 1];
	uint8_t names[LEDGER_NAMES_NEAR];
};
struct ledger_reason { /* the same, as a reader gets it */
	uint32_t rows;
	uint64_t query_id;
	uint64_t since_wall_ns;
	uint32_t policy_version, rule;
	uint16_t names_len, names_flags;
	char workload[LIMIT_WORKLOAD_NAME + 1];
	uint8_t names[LIMIT_PINHOLE_NAMES]; /* as in struct pinhole_request */
};

struct ledger {
	struct ledger_head *head;
	struct ledger_row *rows;
	struct ledger_cell *cells;
	uint8_t (*more)[LIMIT_PINHOLE_NAMES];
	uint8_t *backed; /* one octet for each 64 KiB: its pages are there; NULL: they all are */
	size_t len;
	int writable;
};

/* Keeper: room for @n_rows rows, a quarter as many reasons, and of these a quarter with long names.
 * Returns a descriptor. */
int ledger_create(uint32_t n_rows);

/* The same in memory of the caller's: ledger_bytes() zeros, aligned to 8. */
size_t ledger_bytes(uint32_t n_rows);
void ledger_init(struct ledger *ledger, void *memory, uint32_t n_rows);

/* Map, for the life of the process, memory that nobody makes shorter: a sealed memfd, or the
 * keeper's file. @writable is for fwsync alone. Returns 0, ERR_DAMAGED, ERR_NOMEM or -errno. */
int ledger_open(struct ledger *ledger, int fd, int writable) MUST_CHECK;
void ledger_close(struct ledger *ledger);
/* Is @head a ledger's that is @len octets long? */
int ledger_head_ok(const struct ledger_head *head, size_t len);
/* Copy all that @from holds into @to, a new one with as many rows or more; rows keep their numbers.
 * Nobody may be writing. Returns 0 or -ENOSPC. */
int ledger_copy(struct ledger *to, const struct ledger *from) MUST_CHECK;

/* Have the pages of @len octets at @at; false: the file system is full. Whoever writes asks before
 * the first write; ledger_read() asks for itself. */
int ledger_backed(const struct ledger *ledger, const void *at, size_t len) MUST_CHECK;

/* How many rows a walk has to look at: all others are free. */
uint32_t ledger_rows(const struct ledger *ledger);

/* Copy row @i and its reason consistently. Returns 1 (live), 0 (free or torn). */
int ledger_read(const struct ledger *ledger, uint32_t i, struct ledger_row *ret_row,
                struct ledger_reason *ret_reason);
