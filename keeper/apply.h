/* keeper/apply.h - a policy from somebody's descriptors, or from the store, into force.
 *
 *   texts copied and sealed -> compiled by a process that holds nothing -> stored (one transaction)
 *   -> handed to the rollout -> in force
 *
 * What is stored is what comes into force after a crash; what is in force has always been stored:
 * the store comes first, and only then does any role hear of the version. One at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compile.h"
#include "db/store.h"
#include "rollout.h"
#include "sallyport/cleanup.h"

struct apply_result {
	int result; /* 0: in force; ERR_CONFIG: faults; ERR_TIMEOUT: stored, not confirmed; ... */
	uint32_t version;         /* 0: nothing was stored */
	const char *const *lines; /* faults and warnings for people */
	size_t n_lines;
	struct policy_counts counts;
	double seconds;
};
typedef void apply_done_cb(void *arg, const struct apply_result *result);

struct apply_feed {
	char *name, *file; /* owned */
	int fd;            /* sealed copy */
};
struct apply_texts { /* sealed copies of what was given */
	char *file;
	int fd;
	struct apply_feed *feeds;
	size_t n_feeds;
};
void apply_texts_init(struct apply_texts *texts);
void apply_texts_fini(struct apply_texts *texts);
/* Copy @fd (a regular file, from its beginning, at most @max octets) into a sealed memfd. Returns
 * it, ERR_LIMIT, ERR_INVAL (not a regular file) or -errno. */
int apply_copy(int fd, size_t max);
/* The texts of a stored version. */
int apply_texts_load(struct apply_texts *texts, struct store *store,
                     const struct store_version *version, struct diag *diag) MUST_CHECK;

struct apply; /* one that is under way */
struct apply_spec {
	uv_loop_t *loop;
	struct store *store;
	struct rollout *rollout;
	const struct config *config;
	struct apply_texts *texts;    /* taken: empty afterwards */
	struct store_actor actor;     /* copied */
	const char *action, *comment; /* copied */
	uint32_t stored_version; /* not zero: it is in the store already (start of the keeper) */
};

#define APPLY_WAIT_MS 10000 /* for the roles' confirmation */

/* Start. Returns 0; @done is called once from the loop. */
int apply_start(const struct apply_spec *spec, apply_done_cb *done, void *arg,
                struct apply **ret_apply) MUST_CHECK;
/* Nobody wants to hear the end any more; it goes on. */
void apply_forget(struct apply *apply);
/* End it here, whatever it has reached; no callback. */
void apply_cancel(struct apply *apply);
bool apply_reaped(struct apply *apply, pid_t pid, int status);
