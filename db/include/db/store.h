/* db/store.h - the policy store, policy.db: every policy version ever applied, who did what, and
 * the negative trust anchors that somebody has set by command.
 *
 * Versions are immutable and numbered from 1 without a hole; none is ever deleted. A version is the
 * text, the feeds it was compiled with (stored once per content, by SHA-256) and who applied it,
 * when, from which file, why. The newest version is the current one; a rollback stores an old
 * version's content as a new version.
 *
 * The keeper is the only process that opens this file. Every change is one transaction that is
 * durable (synchronous=EXTRA) when the call returns, its audit row included.
 *
 *     next = store_next_version(store);        compile the text as version `next`
 *     store_put(store, &put, &version, diag);  version == next, and it is current now
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/diag.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"

#define STORE_SHA256_LEN 32
#define STORE_TEXT_MAX 4096     /* octets of a file name, user name or comment; longer: cut */
#define STORE_FEED_PIECE 262144 /* feeds are stored in pieces of this size */
#define STORE_UID_NONE UINT32_MAX

struct store; /* opaque; one thread at a time */

/**
 * Open @path; make it (mode 0600) if it is not there. A file of an older schema is migrated in one
 * transaction, after a copy of it was kept as "PATH.schema-N".
 *
 * Returns 0; ERR_DAMAGED (not a SQLite file, not a policy store, or its check fails: the diag names
 * what; the file is left as it is), ERR_VERSION (made by a newer Sallyport), ERR_STORE, ERR_NOSPC
 * or ERR_NOMEM.
 */
int store_open(const char *path, struct store **ret_store, struct diag *diag) MUST_CHECK;
/* Rename a damaged store to "PATH.damaged-@now_s" (its journal, too), so that a new one can be
 * begun.
 * @ret_name, of @cap octets: the new name. Returns 0 or -errno. */
int store_set_aside(const char *path, uint64_t now_s, char *ret_name, size_t cap) MUST_CHECK;
void store_free(struct store *store); /* NULL is fine */
DEFINE_CLEANUP(struct store *, store_free)

/* The number that the next store_put() will give; 1 in an empty store. 0 when the store cannot be
 * read. */
uint32_t store_next_version(const struct store *store);
/* The newest version's number; 0: none yet. */
uint32_t store_current(const struct store *store);

/* Who does something, for the audit trail. */
struct store_actor {
	uint32_t uid;     /* STORE_UID_NONE: the system itself */
	const char *user; /* its name, or NULL when it has none */
};

struct store_put_feed {
	const char *name; /* as in the policy */
	const char *file; /* where it was read, for people */
	const uint8_t *data;
	size_t len; /* <= LIMIT_FEED_BYTES */
};
struct store_put {
	const char *text; /* the policy document; need not be terminated */
	size_t text_len;  /* <= LIMIT_POLICY_BYTES */
	const struct store_put_feed *feeds;
	size_t n_feeds; /* <= LIMIT_FEEDS */
	struct store_actor actor;
	uint64_t time_ns;              /* wall clock */
	const char *action;            /* audit: "policy apply", "policy rollback" */
	const char *file;              /* as the person named it */
	const char *comment;           /* may be "" */
	uint32_t n_rules, n_workloads; /* of the compiled policy, for listings */
};
/* Store a new version and make it current, with its audit row, in one transaction. Returns 0 with
 * the number in @ret_version, ERR_LIMIT, ERR_NOSPC or ERR_STORE (nothing has changed then). */
int store_put(struct store *store, const struct store_put *put, uint32_t *ret_version,
              struct diag *diag) MUST_CHECK;

struct store_feed {
	char *name, *file;
	uint8_t sha256[STORE_SHA256_LEN];
	uint64_t bytes;
};
struct store_version {
	uint32_t version;
	uint32_t uid; /* STORE_UID_NONE: the system itself */
	char *user;   /* NULL when it had no name */
	uint64_t time_ns;
	char *file, *comment;
	char *text; /* terminated; NULL in store_list() */
	size_t text_len;
	uint8_t sha256[STORE_SHA256_LEN]; /* of the text */
	uint32_t n_rules, n_workloads;
	struct store_feed *feeds; /* in the order of store_put() */
	size_t n_feeds;
};
void store_version_free(struct store_version *version); /* NULL is fine */
DEFINE_CLEANUP(struct store_version *, store_version_free)

/* Version @version (0: the current one) with its text; the caller frees it. Returns 0, ERR_NOENT,
 * ERR_DAMAGED (the text is not what was stored: its SHA-256 differs), ERR_NOMEM or ERR_STORE. */
int store_get(struct store *store, uint32_t version, struct store_version **ret_version,
              struct diag *diag) MUST_CHECK;

/* Copy up to @cap octets of a feed's content from @offset into @buf. Returns the number of octets
 * (0: the end), ERR_NOENT (no such content) or ERR_STORE. Read the whole through store_feed_copy()
 * where it matters that nothing has changed. */
int64_t store_feed_read(struct store *store, const uint8_t sha256[static STORE_SHA256_LEN],
                        uint64_t offset, void *buf, size_t cap) MUST_CHECK;
/* Write a feed's whole content to descriptor @fd (a memfd, say) and check its SHA-256 on the way.
 * Returns 0, ERR_NOENT, ERR_DAMAGED, ERR_STORE or -errno of write(2). */
int store_feed_copy(struct store *store, const uint8_t sha256[static STORE_SHA256_LEN],
                    int fd) MUST_CHECK;

/* Call @cb for each version, newest first, with everything but the text; a nonzero result ends the
 * listing and is returned. The argument is borrowed for the call. */
typedef int store_list_cb(const struct store_version *version, void *arg);
int store_list(struct store *store, store_list_cb *cb, void *arg) MUST_CHECK;

/* The audit trail: what was done by whom. store_put() writes its own row. */
struct store_audit {
	uint64_t id; /* set by store_audit_list() */
	uint64_t time_ns;
	struct store_actor actor;
	const char *action;      /* "reload", "flush", "start" ... */
	const char *detail;      /* for people; may be "" */
	uint32_t policy_version; /* that it is about; 0: none */
};
int store_audit_add(struct store *store, const struct store_audit *audit,
                    struct diag *diag) MUST_CHECK;
/* Newest first, at most @limit rows (0: all). Texts are borrowed for the call. */
typedef int store_audit_cb(const struct store_audit *audit, void *arg);
int store_audit_list(struct store *store, uint64_t limit, store_audit_cb *cb, void *arg) MUST_CHECK;

/* A negative trust anchor by command (RFC 7646). */
struct store_nta {
	const char *name; /* the key: as name_to_text() writes it */
	uint64_t since_ns, until_ns;
	struct store_actor actor;
	const char *reason; /* may be "" */
};
/* Add @nta, or put it in the place of the one with its name; with the audit row, in one
 * transaction. Returns 0, ERR_NOSPC or ERR_STORE (nothing has changed then). */
int store_nta_put(struct store *store, const struct store_nta *nta, const struct store_audit *audit,
                  struct diag *diag) MUST_CHECK;
/* The same for taking it out; ERR_NOENT: there is none. */
int store_nta_remove(struct store *store, const char *name, const struct store_audit *audit,
                     struct diag *diag) MUST_CHECK;
/* All of them, by name; what has ended, too. Texts are borrowed for the call. */
typedef int store_nta_cb(const struct store_nta *nta, void *arg);
int store_nta_list(struct store *store, store_nta_cb *cb, void *arg) MUST_CHECK;
