/* tests/unit/resolver_io/io_fitness.c - what a probe's answer tells, and how many probes there are.
 */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fitness.h"
#include "harness.h"
#include "sallyport/clock.h"
#include "server.h"
#include "wire.h"

enum { ROOT, PLAIN, OFF, N_ZONES }; /* the root is anchored; plain.test. has no anchor of its own */

enum says {
	SAYS_OPT = 1,
	SAYS_DNSKEY = 2,
	SAYS_RRSIG = 4,
	SAYS_OTHER_RRSIG = 8, /* over something else */
	SAYS_TC = 16,         /* by UDP */
	SAYS_NOTHING = 32,    /* does not answer */
};

static const struct {
	const char *title;
	unsigned int says, rcode;
	enum upstream_state root, plain;
} answers[] = {
	{ "all that there should be", SAYS_OPT | SAYS_DNSKEY | SAYS_RRSIG, 0, UPSTREAM_FIT,
	  UPSTREAM_FIT },
	{ "by TCP", SAYS_OPT | SAYS_DNSKEY | SAYS_RRSIG | SAYS_TC, 0, UPSTREAM_FIT, UPSTREAM_FIT },
	{ "signatures are gone", SAYS_OPT | SAYS_DNSKEY, 0, UPSTREAM_NO_RRSIG, UPSTREAM_NO_RRSIG },
	{ "a signature over something else", SAYS_OPT | SAYS_DNSKEY | SAYS_OTHER_RRSIG, 0,
	  UPSTREAM_NO_RRSIG, UPSTREAM_NO_RRSIG },
	{ "EDNS and signatures are gone", SAYS_DNSKEY, 0, UPSTREAM_NO_EDNS, UPSTREAM_NO_EDNS },
	{ "no keys: an unsigned zone may have none", SAYS_OPT, 0, UPSTREAM_NO_DNSKEY,
	  UPSTREAM_FIT },
	{ "neither: that an unsigned zone needs none", 0, 0, UPSTREAM_NO_EDNS, UPSTREAM_FIT },
	{ "no such name", SAYS_OPT, RCODE_NXDOMAIN, UPSTREAM_NO_DNSKEY, UPSTREAM_FIT },
	{ "EDNS is not understood", 0, RCODE_FORMERR, UPSTREAM_NO_EDNS, UPSTREAM_UNKNOWN },
	{ "refused: perhaps it is not asked the right thing", SAYS_OPT, RCODE_REFUSED,
	  UPSTREAM_UNKNOWN, UPSTREAM_UNKNOWN },
	{ "a failure tells nothing", SAYS_OPT, RCODE_SERVFAIL, UPSTREAM_UNKNOWN, UPSTREAM_UNKNOWN },
};

struct world {
	struct io io;
	struct fake server;
	struct upstream_words words;
	unsigned int says, rcode;
	unsigned int n_off; /* questions for off.test. */
	bool wrong_flags;
};

static size_t put_rr(uint8_t *out, uint16_t type, uint16_t ttl_high, uint16_t covered)
{
	static const uint8_t octets[20] = { 0 };
	uint8_t *p = out;

	*p++ = type == TYPE_OPT ? 0 : 0xc0; /* the root, or the question's name */
	if (type != TYPE_OPT)
		*p++ = WIRE_HEADER;
	wire_put16(p, type);
	wire_put16(p + 2, type == TYPE_OPT ? 1232 : CLASS_IN);
	wire_put16(p + 4, ttl_high);
	wire_put16(p + 6, 0);
	wire_put16(p + 8, type == TYPE_OPT ? 0 : 20);
	p += 10;
	if (type == TYPE_OPT)
		return (size_t)(p - out);
	memcpy(p, octets, 20);
	wire_put16(p, covered);
	return (size_t)(p + 20 - out);
}

static void on_query(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                     const struct sockaddr_in *from)
{
	struct world *world = fake->ctx;
	size_t question =
	    WIRE_HEADER + (size_t)name_wire_len(msg + WIRE_HEADER, len - WIRE_HEADER) + 4;
	uint8_t out[512] = { 0 }, *p = out + question;
	unsigned int says = world->says, n = 0;

	world->n_off += len > 20 && msg[WIRE_HEADER] == 3;
	/* DO, and CD: what is forged must come all the same. */
	world->wrong_flags |= !(msg[3] & WIRE_CD) || !(msg[len - 4] & 0x80);
	if (says & SAYS_NOTHING)
		return;
	memcpy(out, msg, question);
	out[2] = WIRE_QR;
	out[3] = (uint8_t)world->rcode;
	if ((says & SAYS_TC) && !conn) {
		out[2] |= WIRE_TC;
		says = 0;
	}
	if (says & SAYS_DNSKEY)
		p += put_rr(p, TYPE_DNSKEY, 0, 256), n++;
	if (says & (SAYS_RRSIG | SAYS_OTHER_RRSIG))
		p += put_rr(p, TYPE_RRSIG, 0, says & SAYS_RRSIG ? TYPE_DNSKEY : TYPE_A), n++;
	wire_put16(out + 6, n);
	if (says & SAYS_OPT)
		p += put_rr(p, TYPE_OPT, 0, 0);
	wire_put16(out + 10, (says & SAYS_OPT) != 0);
	fake_send(fake, conn, from, out, (size_t)(p - out));
}

static void on_turn(struct worker *worker)
{
	if (worker->fitness)
		fitness_turn(worker->fitness);
}

static struct resolver_conf *conf_of(void)
{
	static const char *const names[] = { ".", "plain.test.", "off.test." };
	static const uint8_t ds[4 + 32] = { 0x12, 0x34, 13, 2 };
	struct resolver_conf *conf = io_conf();

	conf->dnssec = DNSSEC_MODE_VALIDATE;
	conf->n_anchors = 1;
	conf->anchors[0].type = TYPE_DS;
	conf->anchors[0].len = sizeof(ds);
	memcpy(conf->anchors[0].rdata, ds, sizeof(ds));
	conf->n_zones = N_ZONES;
	for (size_t i = 0; i < N_ZONES; i++) {
		assert_true(name_from_text(names[i], conf->zones[i].name) > 0);
		conf->zones[i].n_servers = 1;
	}
	conf->zones[OFF].dnssec_off = 1;
	return conf;
}

static void use(struct world *world, struct resolver_conf *conf)
{
	struct worker *worker = &world->io.worker;
	struct servers *old = worker->servers;

	settings_unref(worker->settings);
	worker->settings = settings_new(conf);
	assert_non_null(worker->settings);
	worker->servers = servers_new(worker->settings, old);
	assert_non_null(worker->servers);
	worker->upstreams = &world->words;
	if (!worker->fitness)
		worker->fitness = fitness_new(worker);
	else
		assert_int_equal(fitness_settings_changed(worker->fitness), 0);
	servers_free(old);
	assert_non_null(worker->fitness);
}

static struct world *world_new(void)
{
	struct world *world = calloc(1, sizeof(*world));
	struct resolver_conf *conf = io_conf();

	assert_non_null(world);
	assert_true(sodium_init() >= 0);
	io_init(&world->io, conf, on_turn);
	free(conf);
	fake_init(&world->server, &world->io, 0);
	world->server.ctx = world;
	world->server.on_query = on_query;
	return world;
}

static void world_free(struct world *world)
{
	struct worker *worker = &world->io.worker;

	fitness_free(TAKE(worker->fitness)); /* the loop turns on below */
	servers_free(worker->servers);
	fake_close(&world->server);
	io_fini(&world->io);
	free(world);
}

static enum upstream_state state_of(const struct world *world, unsigned int zone)
{
	return upstream_state(&world->words, zone, &world->io.worker.settings->conf.zones[zone], 0);
}

/* As it is to become; with UNKNOWN only what was asked can be waited for. */
struct want {
	struct world *world;
	enum upstream_state root, plain;
	unsigned int n_before;
};

static bool has_come(void *ctx)
{
	const struct want *want = ctx;
	const struct fake *server = &want->world->server;

	return state_of(want->world, ROOT) == want->root &&
	       state_of(want->world, PLAIN) == want->plain &&
	       server->n_udp + server->n_tcp >= want->n_before + 2;
}

static void each_answer_tells_what_it_should(void **state)
{
	struct world *world = world_new();
	struct resolver_conf *conf = conf_of();

	(void)state;
	for (size_t i = 0; i < N_ZONES; i++)
		conf->zones[i].servers[0] = fake_server(&world->server);
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		world->says = answers[i].says;
		world->rcode = answers[i].rcode;
		memset(&world->words, 0, sizeof(world->words));
		use(world, conf);

		struct want want = { world, answers[i].root, answers[i].plain,
			             world->server.n_udp + world->server.n_tcp };

		io_run(&world->io, has_come, &want);
		if (want.root == UPSTREAM_UNKNOWN || want.plain == UPSTREAM_UNKNOWN)
			io_run_ms(&world->io, 30); /* it stays as it is */
		if (state_of(world, ROOT) != answers[i].root ||
		    state_of(world, PLAIN) != answers[i].plain)
			fail_msg("%s: %s, %s", answers[i].title,
			         upstream_state_str(state_of(world, ROOT)),
			         upstream_state_str(state_of(world, PLAIN)));
		assert_int_equal(fitness_is_unfit(&world->io.worker, ROOT, 0),
		                 upstream_is_unfit(answers[i].root));
		assert_int_equal(state_of(world, OFF), UPSTREAM_UNKNOWN);
	}
	assert_int_equal(world->n_off, 0);
	assert_false(world->wrong_flags);
	free(conf);
	world_free(world);
}

/* The clock runs as it is told: nothing answers, and the loop does not turn. */
static void pass(struct world *world, unsigned int s)
{
	struct worker *worker = &world->io.worker;

	for (unsigned int i = 0; i < 4 * s; i++) {
		worker->now_ns += 250 * NS_PER_MS;
		fitness_turn(worker->fitness);
	}
}

static void probes_are_few_whatever_happens(void **state)
{
	struct world *world = world_new();
	struct resolver_conf *conf = conf_of();
	struct worker *worker = &world->io.worker;
	uint64_t before;

	(void)state;
	for (size_t z = 0; z < N_ZONES; z++) {
		conf->zones[z].n_servers = LIMIT_ZONE_SERVERS;
		for (size_t i = 0; i < LIMIT_ZONE_SERVERS; i++) {
			conf->zones[z].servers[i] = fake_server(&world->server);
			conf->zones[z].servers[i].port = (uint16_t)(10000 + z * 100 + i);
		}
	}
	use(world, conf);
	fitness_turn(worker->fitness);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_PROBES), FITNESS_PROBES);
	fitness_turn(worker->fitness);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_PROBES), FITNESS_PROBES);

	/* Nobody answers, and every answer of ours is one that lacks signatures: the gaps grow. */
	for (unsigned int s = 0; s < 600; s++) {
		for (uint16_t z = 0; z < N_ZONES; z++)
			fitness_suspect(worker, z);
		pass(world, 1);
	}
	before = io_count(&world->io, COUNT_UPSTREAM_PROBES);
	assert_true(before < 2 * LIMIT_ZONE_SERVERS * FITNESS_SENDS * 20);
	for (unsigned int s = 0; s < 600; s++)
		pass(world, 1);
	before = io_count(&world->io, COUNT_UPSTREAM_PROBES) - before;
	assert_true(before > 0 && before <= 2 * LIMIT_ZONE_SERVERS * FITNESS_SENDS * 11);
	free(conf);
	world_free(world);
}

static bool is_fit(void *ctx)
{
	return state_of(ctx, ROOT) == UPSTREAM_FIT;
}

static bool is_unfit(void *ctx)
{
	return upstream_is_unfit(state_of(ctx, ROOT));
}

static void a_fit_server_is_probed_again_when_it_is_suspected_and_not_before(void **state)
{
	struct world *world = world_new();
	struct resolver_conf *conf = conf_of();
	struct worker *worker = &world->io.worker;
	char text[FITNESS_TEXT_LEN];
	uint64_t n;

	(void)state;
	conf->n_zones = 1;
	conf->zones[0].servers[0] = fake_server(&world->server);
	world->says = SAYS_OPT | SAYS_DNSKEY | SAYS_RRSIG;
	use(world, conf);
	io_run(&world->io, is_fit, world);
	n = io_count(&world->io, COUNT_UPSTREAM_PROBES);
	assert_int_equal(n, 1);
	pass(world, 3600);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_PROBES), n);

	world->says = SAYS_OPT | SAYS_DNSKEY;
	fitness_suspect(worker, ROOT);
	fitness_turn(worker->fitness);
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_PROBES), n + 1);
	io_run(&world->io, is_unfit, world);
	assert_int_equal(fitness_culprit(worker, ROOT, text), UPSTREAM_NO_RRSIG);
	assert_string_equal(text, "upstream 127.0.0.1 gives no signatures with the DNSKEY records");
	assert_int_equal(io_count(&world->io, COUNT_UPSTREAM_UNFIT), 1);

	/* Another server at the same place of the configuration: nothing is known of it. */
	conf->zones[0].servers[0].port++;
	use(world, conf);
	assert_int_equal(state_of(world, ROOT), UPSTREAM_UNKNOWN);
	free(conf);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_answer_tells_what_it_should),
		cmocka_unit_test(probes_are_few_whatever_happens),
		cmocka_unit_test(a_fit_server_is_probed_again_when_it_is_suspected_and_not_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
