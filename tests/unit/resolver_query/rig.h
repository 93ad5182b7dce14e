/* tests/unit/resolver_query/rig.h - a worker without network: real policy, cache, guard, memo and
 * ring; upstreams, fwsync, clients and the clock are played by the test.
 *
 * The rig links in place of fetch.c and client.c. Nothing happens until rig_turn(), which delivers
 * what upstreams and fwsync have to say, until nothing is left to say.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/record.h"
#include "worker.h"

#define RIG_ANSWERS 512
#define RIG_TEXT 4096

/* One client's query and what came back. */
struct rig_answer {
	uint16_t port;      /* names the query */
	unsigned int times; /* answered or dropped: must become 1 */
	unsigned int holds;
	bool dropped;
	size_t len;
	uint8_t msg[LIMIT_MSG_BYTES];
};

enum rig_upstream_mode { RIG_UPSTREAM_ANSWERS = 0, RIG_UPSTREAM_HOLDS };
enum rig_firewall_mode { /* what fwsync does with a batch */
	                 RIG_FIREWALL_OPENS = 0,
	                 RIG_FIREWALL_SILENT,   /* reads, never answers */
	                 RIG_FIREWALL_STOPPED,  /* does not even read */
	                 RIG_FIREWALL_STATUS,   /* answers firewall_status */
	                 RIG_FIREWALL_OLD_EPOCH /* answers OPEN, but of the epoch before */
};

/* What a test says itself to a question that leaves, instead of the scripts of rig_upstream(). */
struct rig_question {
	const uint8_t *name; /* wire, lower case */
	uint16_t type;
	unsigned int round; /* enum fetch_round */
};
enum rig_says {
	RIG_SAYS_SCRIPT = 0,
	RIG_SAYS_THIS,    /* the message that it has written */
	RIG_SAYS_LATER,   /* nothing yet: it is asked again in the next turn */
	RIG_SAYS_NO_ROOM, /* FETCH_LIMIT */
};

struct client;
struct rig {
	struct worker worker;
	struct stats_lane lane;
	struct pinhole_epoch epoch;
	uint32_t policy_version;
	int fwsync; /* the other end of the pair */

	enum rig_upstream_mode upstream;
	bool validation_holds; /* who has given way waits for the loop's turns */
	bool zone_down[4];
	enum rig_firewall_mode firewall;
	enum pinhole_status firewall_status;
	uint32_t firewall_version; /* judged by an older one: STALE */

	struct rig_script *scripts;
	struct rig_fetch *fetches;
	char sent[RIG_TEXT];          /* "NAME TYPE\n" of what left, since it was last looked at */
	char opened[RIG_TEXT];        /* requests that fwsync read: see rig.c */
	struct rig_batch *unanswered; /* batches read in silence, oldest first */

	enum rig_says (*on_question)(struct rig *rig, const struct rig_question *question,
	                             uint8_t *msg, size_t *ret_len); /* or NULL; LIMIT_MSG_BYTES */
	/* Told as it happens; any may be NULL. */
	void (*on_sent)(struct rig *rig, const char *name, const char *type);
	void (*on_opened)(struct rig *rig, const struct pinhole_view *view); /* before the word */
	void (*on_answered)(struct rig *rig, const struct client *client, const uint8_t *msg,
	                    size_t len);
	void *ctx;

	struct ring_consumer ring;
	uint64_t ring_pos;
	uint16_t next_port;
	unsigned int n_answers;
	struct rig_answer answers[RIG_ANSWERS];
	uint8_t buffer[LIMIT_MSG_BYTES];
};

/* @conf: NULL for the usual one: zones "." and corp.test (internal), firewall local, 250 ms. */
struct rig *rig_new(const struct resolver_conf *conf);
void rig_free(struct rig *rig); /* fails the test if something still holds a client */
void rig_conf(struct resolver_conf *ret_conf); /* the usual one, to change */

/* Compile @text and put it in force as the next version. Fails the test with the faults. */
void rig_policy(struct rig *rig, const char *text);

/* What upstreams say to (@name, @type): @rcode and records in presentation form, one a line, with
 * "@" before those of the authority section. Replaces what was said before. */
void rig_upstream(struct rig *rig, const char *name, const char *type, int rcode,
                  const char *records);
void rig_upstream_silent(struct rig *rig, const char *name, const char *type); /* FETCH_FAILED */

struct rig_ask {
	const char *client; /* address */
	const char *at;     /* the listener's; NULL: ::, which is nobody's */
	const char *name, *type;
	bool tcp, no_edns, dnssec_ok, no_rd, cd;
	uint16_t udp_bytes; /* 0: 1232 */
	uint16_t qclass;    /* 0: IN */
};
/* Ask; returns the answer's place. rig_turn() is up to the caller. */
struct rig_answer *rig_ask(struct rig *rig, const struct rig_ask *ask);
struct rig_answer *rig_send(struct rig *rig, const char *client, const char *at, bool tcp,
                            const uint8_t *msg, size_t len);
void rig_turn(struct rig *rig);
void rig_advance_ms(struct rig *rig, uint64_t ms); /* time passes, deadlines fire, then a turn */
/* fwsync answers now what it read in silence. */
void rig_firewall_speak(struct rig *rig);

/* "RCODE tc ede=N \"text\"" and a line for each record of answer and authority ("@" before them).
 */
void rig_answer_text(const struct rig_answer *answer, char *out, size_t cap);

/* The next history record that is a query; false: none. With the answer records met on the way
 * counted into *ret_told and their texts (may be NULL) in @told. */
bool rig_record(struct rig *rig, struct record_query *ret_record, char *name, size_t cap,
                unsigned int *ret_told, char *told, size_t told_cap);
uint64_t rig_count(const struct rig *rig, enum counter counter);
