#include "fetch_world.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

bool world_may_send(struct fetch_waiter *waiter)
{
	struct waiting *w = (struct waiting *)waiter;

	w->n_asked++;
	return w->yes;
}

void world_done(struct fetch_waiter *waiter, enum fetch_status status, struct entry *const *entries,
                size_t n_entries)
{
	struct waiting *w = (struct waiting *)waiter;

	w->n_done++;
	w->status = status;
	w->n_entries = n_entries;
	if (n_entries == 0)
		return;
	w->kind = entries[0]->kind;
	w->rcode = entries[0]->rcode;
	w->upstream_port = entries[0]->upstream_port;
	if (entries[0]->kind == ENTRY_DATA && entries[0]->n_rrs > 0)
		w->last = entry_octets(entries[0])[entry_rrs(entries[0])[0].rdata + 3];
}

int world_setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct resolver_conf *conf = io_conf();

	assert_non_null(world);
	assert_true(sodium_init() >= 0);
	io_init(&world->io, conf, fetches_turn);
	free(conf);
	/* The servers' ports are known only now. */
	fake_init(&world->servers[0], &world->io, 0);
	fake_init(&world->servers[1], &world->io, 0);
	for (size_t i = 0; i < N_WAITERS; i++) {
		world->waiting[i].waiter.may_send = world_may_send;
		world->waiting[i].waiter.done = world_done;
		world->waiting[i].yes = true;
	}
	*state = world;
	return 0;
}

void begin(struct world *world, uint16_t n_servers)
{
	struct worker *worker = &world->io.worker;
	struct resolver_conf *conf = io_conf();

	conf->n_zones = 1; /* "." */
	conf->zones[0].n_servers = n_servers;
	conf->query_ms = 2400;
	for (uint16_t i = 0; i < n_servers; i++)
		conf->zones[0].servers[i] = fake_server(&world->servers[i]);
	settings_unref(worker->settings);
	worker->settings = settings_new(conf);
	worker->cache = cache_new(conf->cache_bytes, conf->hash_key);
	worker->servers = servers_new(worker->settings, NULL);
	worker->fetches = fetches_new(worker);
	assert_non_null(worker->cache);
	assert_non_null(worker->servers);
	assert_non_null(worker->fetches);
	free(conf);
}

int world_teardown(void **state)
{
	struct world *world = *state;
	struct worker *worker = &world->io.worker;

	world->io.turn = NULL;
	fetches_free(worker->fetches);
	servers_free(worker->servers);
	fake_close(&world->servers[0]);
	fake_close(&world->servers[1]);
	io_fini(&world->io);
	if (worker->cache)
		cache_free(worker->cache);
	free(world);
	return 0;
}

void join(struct world *world, size_t i, const char *name, uint16_t type)
{
	assert_int_equal(fetch_join(&world->io.worker, (const uint8_t *)name, type, 0,
	                            &world->waiting[i].waiter),
	                 0);
}

static bool first_done(void *ctx)
{
	return ((struct world *)ctx)->waiting[0].n_done > 0;
}

void wait_first(struct world *world)
{
	io_run(&world->io, first_done, world);
	assert_int_equal(world->waiting[0].n_done, 1);
}

void ask_again(struct world *world, const char *name)
{
	world->waiting[0].n_done = 0;
	join(world, 0, name, 1);
	wait_first(world);
}

struct server *server_of(struct world *world, size_t i)
{
	struct server *const *list;

	assert_true(servers_of_zone(world->io.worker.servers, 0, &list) > i);
	return list[i];
}

void reply_well(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                const struct sockaddr_in *from)
{
	uint8_t out[600];

	fake_send(fake, conn, from, out, fake_answer(msg, len, 7, out, sizeof(out)));
}

void assert_answered(const struct world *world, uint8_t last)
{
	assert_int_equal(world->waiting[0].status, FETCH_OK);
	assert_int_equal(world->waiting[0].kind, ENTRY_DATA);
	assert_int_equal(world->waiting[0].last, last);
}

bool cached(struct world *world, enum cache_hit want)
{
	struct entry *entry = NULL;
	enum cache_hit hit = cache_get(world->io.worker.cache, (const uint8_t *)NAME, 1,
	                               world->io.worker.now_ns, &entry);

	entry_unref(entry);
	return hit == want;
}
