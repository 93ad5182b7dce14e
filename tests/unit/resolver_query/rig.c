/* tests/unit/resolver_query/rig.c - the worker's surroundings, played. */
#include "rig.h"

#include <ldns/ldns.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "amplification.h"
#include "client.h"
#include "fetch.h"
#include "follow_table.h"
#include "held.h"
#include "pinhole_client.h"
#include "policy/compile.h"
#include "query.h"
#include "query_wait.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "settings.h"
#include "tally.h"

#define START_NS (UINT64_C(1000) * NS_PER_S)
#define START_WALL_NS (UINT64_C(1800000000) * NS_PER_S)

static const struct entry_limits limits = { 86400, 900, 3600 };
static struct rig *the_rig; /* client.h's functions are given no context that a rig could hide in */

static uint16_t type_of(const char *text)
{
	uint16_t type;

	if (name_type_parse(text, &type) < 0)
		fail_msg("no type: %s", text);
	return type;
}

static void wire_of(const char *text, uint8_t out[static NAME_MAX_WIRE])
{
	int len = name_from_text(text, out);

	if (len < 0)
		fail_msg("no name: %s", text);
	name_lower(out, out, (size_t)len);
}

static void append(char *text, size_t cap, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void append(char *text, size_t cap, const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, fmt);
	vsnprintf(text + len, cap - len, fmt, args);
	va_end(args);
}

/* Upstreams: in place of fetch.c. */

struct rig_script {
	struct rig_script *next;
	uint8_t name[NAME_MAX_WIRE];
	uint16_t type;
	bool silent;
	size_t len;
	uint8_t *msg;
};

struct rig_fetch {
	struct rig_fetch *next;
	uint8_t name[NAME_MAX_WIRE];
	uint16_t type, zone;
	uint8_t round;
	struct fetch_waiter *waiter;
};

struct fetch {
	char nobody_looks_inside;
};
static struct fetch out_there;

static struct rig_script *script_of(struct rig *rig, const uint8_t *name, uint16_t type)
{
	for (struct rig_script *s = rig->scripts; s; s = s->next) {
		if (s->type == type && name_equal(s->name, name))
			return s;
	}
	return NULL;
}

static struct rig_script *script_new(struct rig *rig, const char *name, const char *type)
{
	uint8_t wire[NAME_MAX_WIRE];
	struct rig_script *s;

	wire_of(name, wire);
	s = script_of(rig, wire, type_of(type));
	if (!s) {
		s = calloc(1, sizeof(*s));
		assert_non_null(s);
		memcpy(s->name, wire, sizeof(wire));
		s->type = type_of(type);
		s->next = rig->scripts;
		rig->scripts = s;
	}
	if (s->msg)
		LDNS_FREE(s->msg);
	s->msg = NULL;
	s->silent = false;
	return s;
}

void rig_upstream(struct rig *rig, const char *name, const char *type, int rcode,
                  const char *records)
{
	struct rig_script *s = script_new(rig, name, type);
	ldns_pkt *pkt = ldns_pkt_query_new(ldns_dname_new_frm_str(name), (ldns_rr_type)s->type,
	                                   LDNS_RR_CLASS_IN, LDNS_QR | LDNS_RD | LDNS_RA);

	ldns_pkt_set_rcode(pkt, (uint8_t)rcode);
	while (*records) {
		size_t len = strcspn(records, "\n");
		char line[1024];
		const char *at = line;
		ldns_rr *rr;

		snprintf(line, sizeof(line), "%.*s", (int)len, records);
		records += len + (records[len] == '\n');
		at += strspn(at, " \t");
		if (!*at)
			continue;
		if (ldns_rr_new_frm_str(&rr, at + (*at == '@'), 0, NULL, NULL) != LDNS_STATUS_OK)
			fail_msg("no record: %s", at);
		ldns_pkt_push_rr(pkt, *at == '@' ? LDNS_SECTION_AUTHORITY : LDNS_SECTION_ANSWER,
		                 rr);
	}
	if (ldns_pkt2wire(&s->msg, pkt, &s->len) != LDNS_STATUS_OK)
		fail_msg("no message: %s", name);
	ldns_pkt_free(pkt);
}

void rig_upstream_silent(struct rig *rig, const char *name, const char *type)
{
	script_new(rig, name, type)->silent = true;
}

struct fetches *fetches_new(struct worker *worker)
{
	(void)worker;
	return NULL;
}

void fetches_free(struct fetches *fetches)
{
	(void)fetches;
}

int fetch_join_round(struct worker *worker, const uint8_t *name, uint16_t type, uint16_t zone,
                     enum fetch_round round, const uint8_t avoid[static ADDR_LEN],
                     uint16_t avoid_port, struct fetch_waiter *waiter)
{
	struct rig_fetch *f = calloc(1, sizeof(*f)), **at = &the_rig->fetches;

	(void)worker;
	(void)avoid;
	(void)avoid_port;
	assert_non_null(f);
	f->round = (uint8_t)round;
	memcpy(f->name, name, (size_t)name_wire_len(name, NAME_MAX_WIRE));
	f->type = type;
	f->zone = zone;
	f->waiter = waiter;
	waiter->fetch = &out_there;
	while (*at)
		at = &(*at)->next;
	*at = f;
	return ERR_OK;
}

int fetch_join(struct worker *worker, const uint8_t *name, uint16_t type, uint16_t zone,
               struct fetch_waiter *waiter)
{
	static const uint8_t nobody[ADDR_LEN];

	return fetch_join_round(worker, name, type, zone, FETCH_FIRST, nobody, 0, waiter);
}

void fetch_cancel(struct fetch_waiter *waiter)
{
	for (struct rig_fetch **at = &the_rig->fetches; *at; at = &(*at)->next) {
		struct rig_fetch *f = *at;

		if (f->waiter != waiter)
			continue;
		*at = f->next;
		free(f);
		return;
	}
	fail_msg("a fetch was cancelled that is not there");
}

struct accepting {
	const struct zones *zones;
	uint16_t zone;
};

static bool accept_name(void *ctx, const uint8_t *name)
{
	const struct accepting *a = ctx;

	return zones_find(a->zones, name) == a->zone;
}

static void answer_fetch(struct rig *rig, const struct rig_fetch *f, enum rig_says says,
                         const struct rig_script *s)
{
	struct worker *worker = &rig->worker;
	struct accepting accepting = { worker->settings->zones, f->zone };
	struct entry *entries[LIMIT_CHAIN];
	char name[NAME_TEXT_LEN], type[NAME_TYPE_TEXT_LEN];
	int n;

	if (!f->waiter->may_send(f->waiter)) {
		f->waiter->done(f->waiter, FETCH_DENIED, NULL, 0);
		return;
	}
	name_to_text(f->name, name);
	name_type_text(f->type, type);
	append(rig->sent, sizeof(rig->sent), "%s %s\n", name, type);
	if (rig->on_sent)
		rig->on_sent(rig, name, type);
	if (says == RIG_SAYS_NO_ROOM) {
		f->waiter->done(f->waiter, FETCH_LIMIT, NULL, 0);
		return;
	}
	if (!s || s->silent) {
		f->waiter->done(f->waiter, FETCH_FAILED, NULL, 0);
		return;
	}
	n = entry_from_message(s->msg, s->len, f->name, f->type, worker->now_ns, &limits,
	                       accept_name, &accepting, entries, LIMIT_CHAIN);
	if (n < 0)
		fail_msg("the upstream's message for %s does not parse: %d", name, n);
	for (int i = 0; i < n; i++) {
		assert_int_equal(addr_parse("192.0.2.53", entries[i]->upstream), 0);
		entries[i]->upstream_port = 53;
		cache_put(worker->cache, entries[i], worker->now_ns, worker->lane);
	}
	f->waiter->done(f->waiter, FETCH_OK, entries, (size_t)n);
	for (int i = 0; i < n; i++)
		entry_unref(entries[i]);
}

static bool turn_upstream(struct rig *rig)
{
	for (struct rig_fetch **at = &rig->fetches; *at; at = &(*at)->next) {
		struct rig_fetch *f = *at;
		const struct rig_question question = { f->name, f->type, f->round };
		uint8_t msg[LIMIT_MSG_BYTES];
		struct rig_script own = { .msg = msg };
		enum rig_says says = RIG_SAYS_SCRIPT;

		if (rig->upstream == RIG_UPSTREAM_HOLDS)
			return false;
		if (rig->on_question)
			says = rig->on_question(rig, &question, msg, &own.len);
		if (says == RIG_SAYS_LATER)
			continue;
		*at = f->next;
		answer_fetch(rig, f, says,
		             says == RIG_SAYS_THIS ? &own : script_of(rig, f->name, f->type));
		free(f);
		return true;
	}
	return false;
}

/* Clients: in place of client.c. */

uint8_t *client_buffer(struct worker *worker, const struct client *client, size_t *ret_cap)
{
	(void)worker;
	*ret_cap = client->tcp ? LIMIT_MSG_BYTES : LIMIT_EDNS_UDP_BYTES;
	return the_rig->buffer;
}

static struct rig_answer *answer_of(const struct client *client)
{
	for (unsigned int i = 0; i < the_rig->n_answers; i++) {
		if (the_rig->answers[i].port == client->port)
			return &the_rig->answers[i];
	}
	fail_msg("an answer for nobody");
	return NULL;
}

int client_answer(struct worker *worker, struct client *client, size_t len)
{
	struct rig_answer *answer = answer_of(client);

	(void)worker;
	if (the_rig->on_answered)
		the_rig->on_answered(the_rig, client, the_rig->buffer, len);
	answer->times++;
	answer->len = len;
	memcpy(answer->msg, the_rig->buffer, len);
	return ERR_OK;
}

void client_drop(struct worker *worker, struct client *client)
{
	struct rig_answer *answer = answer_of(client);

	(void)worker;
	answer->times++;
	answer->dropped = true;
}

void client_hold(struct client *client)
{
	answer_of(client)->holds++;
}

/* fwsync. */

/* " at ADDRESS NAME NAME ...": of whom the listener makes a workload, what a later policy is told.
 */
static void note_listener(struct rig *rig, const struct pinhole_view *view)
{
	const uint8_t *names = view->names, *end = names + view->request->names_len;
	uint16_t len;

	for (; names < end; names += sizeof(len) + len) {
		char text[NAME_TEXT_LEN];

		memcpy(&len, names, sizeof(len));
		if (names == view->names) {
			assert_int_equal(len, ADDR_LEN);
			addr_text(names + sizeof(len), text);
			append(rig->opened, sizeof(rig->opened), " at %s", text);
			continue;
		}
		name_to_text(names + sizeof(len), text);
		append(rig->opened, sizeof(rig->opened), " %s", text);
	}
}

static void note_request(struct rig *rig, const struct pinhole_view *view)
{
	const struct pinhole_request *r = view->request;
	char addr[ADDR_TEXT_LEN];

	append(rig->opened, sizeof(rig->opened), "life %u", r->life_s);
	for (unsigned int i = 0; i < r->n_src; i++) {
		addr_text(view->src[i], addr);
		append(rig->opened, sizeof(rig->opened), " from %s", addr);
	}
	for (unsigned int i = 0; i < r->n_dst; i++) {
		addr_text(view->dst[i], addr);
		append(rig->opened, sizeof(rig->opened), " to %s", addr);
	}
	for (unsigned int i = 0; i < r->n_ports; i++)
		append(rig->opened, sizeof(rig->opened), " port %u/%u", view->ports[i].proto,
		       view->ports[i].port);
	if (r->names_flags & PINHOLE_NAMES_LISTENER)
		note_listener(rig, view);
	append(rig->opened, sizeof(rig->opened), "%s\n",
	       r->flags & PINHOLE_INTERNAL ? " internal" : "");
}

struct results {
	struct pinhole_results head;
	struct pinhole_result results[LIMIT_PINHOLE_REQUESTS];
};

static void speak(struct rig *rig, struct results *results)
{
	size_t len =
	    sizeof(results->head) + results->head.n_results * sizeof(struct pinhole_result);

	results->head.magic = PINHOLE_MAGIC;
	results->head.version = PINHOLE_VERSION;
	pinhole_client_result(&rig->worker, results, len);
}

static void decide(struct rig *rig, const struct pinhole_view *view, struct pinhole_result *result)
{
	result->epoch = atomic_load(&rig->epoch.epoch);
	result->status = PINHOLE_OPEN;
	if (view->request->policy_version < rig->firewall_version)
		result->status = PINHOLE_STALE;
	else if (rig->firewall == RIG_FIREWALL_STATUS)
		result->status = rig->firewall_status;
	else if (rig->firewall == RIG_FIREWALL_OLD_EPOCH)
		result->epoch--;
}

struct rig_batch {
	struct rig_batch *next;
	size_t len;
	_Alignas(8) uint8_t msg[];
};

/* Decide about a batch and say so. */
static void answer_batch(struct rig *rig, const uint8_t *msg, size_t len)
{
	static struct pinhole_view views[LIMIT_PINHOLE_REQUESTS];
	struct results results = { 0 };
	uint16_t n;

	assert_int_equal(pinhole_batch_read(msg, len, views, &n), 0);
	for (uint16_t i = 0; i < n; i++) {
		decide(rig, &views[i], &results.results[i]);
		if (results.results[i].status == PINHOLE_OPEN && rig->on_opened)
			rig->on_opened(rig, &views[i]);
	}
	results.head.seq = ((const struct pinhole_batch *)(const void *)msg)->seq;
	results.head.n_results = n;
	speak(rig, &results);
}

static bool turn_firewall(struct rig *rig)
{
	static _Alignas(8) uint8_t msg[LIMIT_PINHOLE_MESSAGE];
	static struct pinhole_view views[LIMIT_PINHOLE_REQUESTS];
	struct rig_batch **at = &rig->unanswered;
	ssize_t len;
	uint16_t n;

	pinhole_client_send(&rig->worker);
	if (rig->firewall == RIG_FIREWALL_STOPPED)
		return false;
	len = recv(rig->fwsync, msg, sizeof(msg), MSG_DONTWAIT);
	if (len < 0)
		return false;
	if (pinhole_batch_read(msg, (size_t)len, views, &n) < 0)
		fail_msg("fwsync was sent a malformed batch");
	for (uint16_t i = 0; i < n; i++)
		note_request(rig, &views[i]);
	if (rig->firewall != RIG_FIREWALL_SILENT) {
		answer_batch(rig, msg, (size_t)len);
		return true;
	}
	while (*at)
		at = &(*at)->next;
	*at = calloc(1, sizeof(**at) + (size_t)len);
	assert_non_null(*at);
	(*at)->len = (size_t)len;
	memcpy((*at)->msg, msg, (size_t)len);
	return true;
}

void rig_firewall_speak(struct rig *rig)
{
	while (rig->unanswered) {
		struct rig_batch *batch = rig->unanswered;

		rig->unanswered = batch->next;
		answer_batch(rig, batch->msg, batch->len);
		free(batch);
	}
}

/* The whole. */

void rig_turn(struct rig *rig)
{
	for (unsigned int i = 0; i < 100000; i++) {
		bool upstream = turn_upstream(rig);
		bool firewall = turn_firewall(rig);
		bool validation = !rig->validation_holds && validate_turn(&rig->worker);

		if (!upstream && !firewall && !validation)
			break;
	}
	ring_publish(&rig->worker.ring);
}

void rig_advance_ms(struct rig *rig, uint64_t ms)
{
	rig->worker.now_ns += ms * NS_PER_MS;
	rig->worker.wall_ns += ms * NS_PER_MS;
	pinhole_client_tick(&rig->worker);
	queries_tick(&rig->worker);
	rig_turn(rig);
}

static void zone(struct resolver_conf *conf, const char *name, bool internal)
{
	struct conf_zone *z = &conf->zones[conf->n_zones++];

	wire_of(name, z->name);
	z->internal = internal;
	z->n_servers = 1;
	assert_int_equal(addr_parse("192.0.2.53", z->servers[0].addr), 0);
	z->servers[0].port = 53;
}

void rig_conf(struct resolver_conf *ret_conf)
{
	memset(ret_conf, 0, sizeof(*ret_conf));
	ret_conf->workers = 1;
	ret_conf->firewall = FIREWALL_LOCAL;
	ret_conf->ack_timeout_ms = 250;
	ret_conf->prefetch = 1;
	ret_conf->cache_bytes = 8 << 20;
	zone(ret_conf, ".", false);
	zone(ret_conf, "corp.test", true);
}

static void ring_setup(struct rig *rig)
{
	int data, back;

	assert_int_equal(ring_create(8192, &data, &back), 0);
	assert_int_equal(ring_producer_open(&rig->worker.ring, data, back), 0);
	assert_int_equal(ring_consumer_open(&rig->ring, data, back), 0);
	close(data);
	close(back);
}

struct rig *rig_new(const struct resolver_conf *conf)
{
	struct resolver_conf *usual = calloc(1, sizeof(*usual));
	struct rig *rig = calloc(1, sizeof(*rig));
	struct worker *w = &rig->worker;
	int pair[2];

	assert_non_null(rig);
	the_rig = rig;
	rig_conf(usual);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	rig->fwsync = pair[1];
	rig->epoch.magic = PINHOLE_EPOCH_MAGIC;
	atomic_init(&rig->epoch.epoch, 7);
	assert_int_equal(uv_loop_init(&w->loop), 0);
	w->settings = settings_new(conf ? conf : usual);
	free(usual);
	w->pinhole_fd = pair[0];
	w->now_ns = START_NS;
	w->wall_ns = START_WALL_NS;
	w->lane = &rig->lane;
	w->epoch = &rig->epoch;
	w->next_query_id = 1;
	w->cache = cache_new(w->settings->conf.cache_bytes, w->settings->conf.hash_key);
	w->follow = follow_table_new(w->settings->conf.hash_key);
	w->tally = tally_new(w->settings->conf.hash_key);
	w->amplification = amplification_new(w->settings->conf.hash_key);
	w->memo = memo_new(1 << 20, w->settings->conf.hash_key);
	w->held = held_new(1024, w->settings->conf.hash_key);
	w->pinholes = pinhole_client_new(w);
	w->queries = queries_new(w);
	assert_non_null(w->cache);
	assert_non_null(w->pinholes);
	assert_non_null(w->queries);
	ring_setup(rig);
	rig->next_port = 1;
	return rig;
}

static void policy_free(struct policy_map *map)
{
	if (map)
		free(map->data);
	free(map);
}

void rig_free(struct rig *rig)
{
	struct worker *w = &rig->worker;

	assert_int_equal(queries_in_flight(w), 0);
	for (unsigned int i = 0; i < rig->n_answers; i++) {
		if (rig->answers[i].times != 1)
			fail_msg("query %u was answered %u times", i, rig->answers[i].times);
	}
	queries_free(w->queries);
	pinhole_client_free(w->pinholes);
	while (uv_run(&w->loop, UV_RUN_NOWAIT))
		;
	assert_int_equal(uv_loop_close(&w->loop), 0);
	close(w->pinhole_fd);
	close(rig->fwsync);
	memo_free(w->memo);
	held_free(w->held);
	cache_free(w->cache);
	follow_table_free(w->follow);
	assert_int_equal(tally_in_use(w->tally, TALLY_QUERIES), 0);
	tally_free(w->tally);
	amplification_free(w->amplification);
	settings_unref(w->settings);
	policy_free(w->policy);
	while (rig->scripts) {
		struct rig_script *s = rig->scripts;

		rig->scripts = s->next;
		if (s->msg)
			LDNS_FREE(s->msg);
		free(s);
	}
	while (rig->unanswered) {
		struct rig_batch *batch = rig->unanswered;

		rig->unanswered = batch->next;
		free(batch);
	}
	free(rig);
	the_rig = NULL;
}

void rig_policy(struct rig *rig, const char *text)
{
	struct policy_source source = { "test.yaml", text, strlen(text) };
	struct policy_map *map = calloc(1, sizeof(*map)), *old = rig->worker.policy;
	struct policy_feed_text feed = { "malware", { "malware", "feed.example\n", 13 } };
	struct diag diag;
	void *image;

	diag_init(&diag);
	if (policy_compile(&source, &feed, strstr(text, "malware.txt") ? 1 : 0,
	                   rig->worker.wall_ns / NS_PER_S, &image, &map->len, &diag) < 0) {
		diag_print(&diag, 2);
		fail_msg("the policy does not compile");
	}
	diag_fini(&diag);
	map->data = image;
	assert_int_equal(policy_image_open(map->data, map->len, ++rig->policy_version, &map->image),
	                 0);
	rig->worker.policy = map;
	if (old)
		queries_policy_changed(&rig->worker);
	policy_free(old);
}

struct rig_answer *rig_send(struct rig *rig, const char *client, const char *at, bool tcp,
                            const uint8_t *msg, size_t len)
{
	static char connection;
	struct rig_answer *answer;
	struct client c = { .tcp = tcp ? (struct tcp_connection *)(void *)&connection : NULL };

	assert_true(rig->n_answers < RIG_ANSWERS);
	answer = &rig->answers[rig->n_answers++];
	answer->times = answer->holds = 0; /* a fuzz target uses the places again and again */
	answer->dropped = false;
	answer->len = 0;
	answer->port = c.port = rig->next_port++;
	assert_int_equal(addr_parse(client, c.addr), 0);
	assert_int_equal(addr_parse(at ? at : "::", c.local), 0);
	query_received(&rig->worker, &c, msg, len);
	return answer;
}

struct rig_answer *rig_ask(struct rig *rig, const struct rig_ask *ask)
{
	uint8_t msg[600] = { 0x12, 0x34, ask->no_rd ? 0 : 1, ask->cd ? 0x10 : 0, 0, 1 };
	uint16_t type = type_of(ask->type), size = ask->udp_bytes ? ask->udp_bytes : 1232;
	uint8_t opt[11] = { 0, 0, 41, (uint8_t)(size >> 8), (uint8_t)size };
	uint8_t name[NAME_MAX_WIRE];
	int len = name_from_text(ask->name, name);
	size_t at = 12;

	if (len < 0)
		fail_msg("no name: %s", ask->name);
	memcpy(msg + at, name, (size_t)len); /* in the case that the test chose */
	at += (size_t)len;
	msg[at++] = (uint8_t)(type >> 8);
	msg[at++] = (uint8_t)type;
	msg[at++] = 0;
	msg[at++] = (uint8_t)(ask->qclass ? ask->qclass : 1);
	if (!ask->no_edns) {
		msg[11] = 1;
		opt[7] = ask->dnssec_ok ? 0x80 : 0;
		memcpy(msg + at, opt, sizeof(opt));
		at += sizeof(opt);
	}
	return rig_send(rig, ask->client, ask->at, ask->tcp, msg, at);
}

/* Reading what came back. */

static void ede_text(const ldns_pkt *pkt, char *out, size_t cap)
{
	ldns_rdf *data = ldns_pkt_edns_data(pkt);
	const uint8_t *p = data ? ldns_rdf_data(data) : NULL;
	size_t len = data ? ldns_rdf_size(data) : 0;

	for (size_t at = 0; at + 4 <= len;) {
		size_t n = (size_t)p[at + 2] << 8 | p[at + 3];

		if (p[at] == 0 && p[at + 1] == 15 && n >= 2)
			append(out, cap, " ede=%u \"%.*s\"", p[at + 4] << 8 | p[at + 5], (int)n - 2,
			       (const char *)p + at + 6);
		at += 4 + n;
	}
}

static void section_text(const ldns_rr_list *list, const char *mark, char *out, size_t cap)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		char *text = ldns_rr2str(ldns_rr_list_rr(list, i));

		for (char *c = text; *c; c++) {
			if (*c == '\t')
				*c = ' ';
		}
		append(out, cap, "%s%s", mark, text);
		LDNS_FREE(text);
	}
}

void rig_answer_text(const struct rig_answer *answer, char *out, size_t cap)
{
	ldns_lookup_table *rcode;
	ldns_pkt *pkt;

	out[0] = '\0';
	if (answer->times == 0 || answer->dropped) {
		append(out, cap, answer->times == 0 ? "none\n" : "dropped\n");
		return;
	}
	if (ldns_wire2pkt(&pkt, answer->msg, answer->len) != LDNS_STATUS_OK)
		fail_msg("the answer does not parse");
	rcode = ldns_lookup_by_id(ldns_rcodes, (int)ldns_pkt_get_rcode(pkt));
	append(out, cap, "%s", rcode ? rcode->name : "?");
	if (ldns_pkt_tc(pkt))
		append(out, cap, " tc");
	if (ldns_pkt_ad(pkt))
		append(out, cap, " ad");
	ede_text(pkt, out, cap);
	append(out, cap, "\n");
	section_text(ldns_pkt_answer(pkt), "", out, cap);
	section_text(ldns_pkt_authority(pkt), "@", out, cap);
	ldns_pkt_free(pkt);
}

static void told_text(const uint8_t *buf, char *out, size_t cap)
{
	const struct record_answer *answer = (const void *)buf;
	size_t at = sizeof(*answer);

	for (unsigned int i = 0; i < answer->n_rrs; i++) {
		struct record_rr rr;
		char type[NAME_TYPE_TEXT_LEN];

		memcpy(&rr, buf + at, sizeof(rr));
		name_type_text(rr.type, type);
		at += sizeof(rr);
		append(out, cap, "%.*s %u %s %.*s\n", rr.owner_len, (const char *)buf + at, rr.ttl,
		       type, rr.data_len, (const char *)buf + at + rr.owner_len);
		at += rr.owner_len + rr.data_len;
		at = (at + 3) & ~(size_t)3;
		assert_true(at <= answer->head.len);
	}
}

bool rig_record(struct rig *rig, struct record_query *ret_record, char *name, size_t cap,
                unsigned int *ret_told, char *told, size_t told_cap)
{
	static _Alignas(8) uint8_t buf[LIMIT_RECORD_BYTES];

	ring_publish(&rig->worker.ring);
	*ret_told = 0;
	if (told)
		told[0] = '\0';
	for (;;) {
		int len = ring_get(&rig->ring, &rig->ring_pos, buf, sizeof(buf));

		if (len <= 0)
			return false;
		if (((const struct record *)(const void *)buf)->type == RECORD_ANSWER) {
			++*ret_told;
			if (told)
				told_text(buf, told, told_cap);
			continue;
		}
		memcpy(ret_record, buf, sizeof(*ret_record));
		snprintf(name, cap, "%.*s", ret_record->name_len,
		         (const char *)buf + sizeof(*ret_record));
		return true;
	}
}

uint64_t rig_count(const struct rig *rig, enum counter counter)
{
	return atomic_load(&rig->lane.counts[counter]);
}
