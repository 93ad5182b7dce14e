/* keeper/keeper.h - sallyportd itself: one loop, three roles, the store, the control socket.
 *
 * The keeper reads no network input. It stays what it was started as (root, or under its unit a
 * user with ambient capabilities) and keeps the few that starting roles needs (privileges.h). All
 * others are given up after the start.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "apply.h"
#include "child.h"
#include "compile.h"
#include "config.h"
#include "db/store.h"
#include "edition.h"
#include "listeners.h"
#include "refresh.h"
#include "restart.h"
#include "rollout.h"
#include "sallyport/cleanup.h"
#include "sallyport/diag.h"
#include "server.h"
#include "shared.h"
#include "tell.h"
#include "trail.h"
#include "unfiltered.h"
#include "use.h"

#define KEEPER_EDITIONS 4 /* older versions kept for explaining */
#define KEEPER_FLUSHES 16 /* callers that wait for one */

struct keeper_explain { /* an older version that is being compiled for somebody */
	struct compile *compile;
	struct server_client *client; /* NULL: it went away */
	uint32_t version;
	char *words[8];
	size_t n_words;
};

#define KEEPER_DNSSEC 4             /* callers that wait for the resolver's explanation */
#define KEEPER_DNSSEC_GRACE_MS 2000 /* beyond what a query may take */

struct keeper_dnssec {
	uint64_t id; /* 0: free */
	uint64_t deadline_ns;
	struct server_client *client; /* NULL: it went away */
	json_t *policy;               /* what the policy says */
	bool require;                 /* the rule requires DNSSEC */
};

struct keeper {
	uv_loop_t loop;
	const struct config_names *names;
	struct config *config;
	struct shared shared;
	struct listeners *listeners;
	struct store *store;
	int lock_fd, history_fd;
	struct child children[ROLE_N];
	struct rollout rollout;
	struct apply *apply; /* one at a time */
	struct server_client *apply_client;
	struct server *server;
	struct server_client *flushes[KEEPER_FLUSHES]; /* in the order they asked; NULL: gone */
	size_t n_flushes;
	struct keeper_explain explain; /* one at a time */
	struct keeper_dnssec dnssec[KEEPER_DNSSEC];
	uint64_t dnssec_last; /* the newest id */
	struct use use;       /* of pinholes */
	struct trail trail;   /* of those who may only read */
	struct restart restart;
	struct tell tell;
	struct ntas ntas;      /* by command */
	uint64_t nta_retry_ns; /* one that has ended could not be taken out: not before this */
	struct refresh refresh;
	struct edition *older[KEEPER_EDITIONS];
	size_t next_older;
	uv_signal_t signals[4];
	uv_timer_t pulse;
	uint64_t pulse_ns;
	uint64_t watchdog_ns; /* 0: nobody watches */
	struct unfiltered unfiltered;
	uint64_t started_mono_ns;
	uint64_t id_second; /* of the newest id_base */
	uint8_t cookie_secret[16], hash_key[16];
	struct diag warnings; /* of the configuration in force */
	bool notified_ready;
	bool stopping;
	bool loading; /* the stored policy; the resolver waits for it */
	unsigned int signals_to_stop;
	int exit_status;
};

/* Run until told to end. Returns the exit status. @config and @takeover (NULL: a start from
 * nothing) are taken over. */
int keeper_run(struct config *config, struct takeover *takeover, struct diag *warnings);
/* `--guard`: install the closed table and end. @is_faulty: @config is what could be salvaged.
 * Returns the exit status: 1 when the table is closed by what could be salvaged. */
int keeper_guard(const struct config *config, bool is_faulty);

/* Reread the configuration. Faults go into @diag; then nothing has changed. */
int keeper_reload(struct keeper *keeper, struct diag *diag) MUST_CHECK;
/* End the roles, in their order; then the loop ends. */
void keeper_drain(struct keeper *keeper);
/* Start applying; takes @texts. ERR_AGAIN: another one is under way. */
int keeper_apply(struct keeper *keeper, struct apply_texts *texts, const struct store_actor *actor,
                 const char *action, const char *comment, struct server_client *client) MUST_CHECK;
/* Has everything an audit row; a failure is logged. */
void keeper_audit(struct keeper *keeper, uint32_t uid, const char *action, const char *detail);
/* May @request, which is about to be done or refused, leave its row? False: it is over
 * LIMIT_AUDIT_ROWS, and that is counted. */
bool keeper_audit_room(struct keeper *keeper, const struct server_request *request);

/* request*.c */
void request_handle(void *keeper, struct server_client *client,
                    const struct server_request *request);
void request_apply_done(void *keeper, const struct apply_result *result);
void request_flushed(struct keeper *keeper, uint64_t n);
void request_flush_lost(struct keeper *keeper); /* the resolver has died */
void request_nta_pulse(struct keeper *keeper);  /* those that have ended go */
void request_explained_dnssec(struct keeper *keeper, const struct role_msg *msg);
void request_dnssec_pulse(struct keeper *keeper, uint64_t now_ns); /* who waits too long */
void request_dnssec_lost(struct keeper *keeper);                   /* the resolver has died */
