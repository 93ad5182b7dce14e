/* resolver/server.h - what a worker knows of each upstream server: how fast it is, whether it
 * lives.
 *
 * Times are smoothed as RFC 6298 has it. A server that leaves SERVER_DEAD_AFTER questions in a row
 * without an answer, and has given none for SERVER_SILENT_MS, is dead (some questions have no
 * answer through no fault of the server's, and who asks them must not harm who asks others): it is
 * asked only when no other is left, and from time to time one question goes to it as well as to a
 * living one, until it answers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/limits.h"
#include "sallyport/prefix.h"
#include "upstream_udp.h"

#define SERVER_DEAD_AFTER 3
#define SERVER_SILENT_MS 1000
#define SERVER_TIMEOUT_FIRST_MS 400 /* nothing known yet */
#define SERVER_TIMEOUT_MIN_MS 50
#define SERVER_TIMEOUT_MAX_MS 1500
#define SERVER_PROBE_MIN_MS 500
#define SERVER_PROBE_MAX_MS 30000

struct worker;
struct settings;
struct upstream_tcp;

struct server { /* reference-counted within one worker */
	unsigned int refs;
	unsigned int n_places; /* in zones of the configurations that there are */
	uint8_t addr[ADDR_LEN];
	uint16_t port;
	bool dead;
	uint32_t srtt_us; /* 0: never measured */
	uint32_t rttvar_us;
	uint32_t n_failed;    /* in a row */
	uint64_t answered_ns; /* last; 0: never */
	uint64_t probe_ns;    /* dead: when to try again */
	uint64_t probe_gap_ns;
	struct upstream_tcp *conns; /* exchange_tcp.c's */
	unsigned int n_conns;
	struct upstream_udp_pool udp;
};

struct servers;

/* The servers of @settings' zones; those that @old (may be NULL) knows already are the same
 * objects. NULL: out of memory. */
struct servers *servers_new(const struct settings *settings, const struct servers *old);
void servers_free(struct servers *servers); /* NULL is fine */
/* Servers of the zone, borrowed from @servers. Returns their number. */
size_t servers_of_zone(const struct servers *servers, uint16_t zone, struct server *const **ret);

struct server *server_ref(struct server *server);
void server_unref(struct server *server);

void server_answered(struct server *server, uint64_t rtt_ns, uint64_t now_ns);
void server_failed(struct server *server, uint64_t now_ns); /* no answer in time, or unreachable */
/* How long to wait before the next try, when it has been asked @n_before times for this question.
 */
uint64_t server_timeout_ns(const struct server *server, unsigned int n_before);
/* Is it dead and due to be tried again? Says yes once for each turn. */
bool server_probe(struct server *server, uint64_t now_ns);
