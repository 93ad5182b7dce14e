/* tests/unit/resolver_io/fetch_world.h - two upstreams, and who waits for their answers: what the
 * tests of fetches share. Every test has a world of its own.
 */
#pragma once

#include "cache.h"
#include "fetch.h"
#include "harness.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "server.h"

#define NAME "\3www\7example\4test"
#define N_WAITERS 4

struct waiting {
	struct fetch_waiter waiter;
	bool yes; /* may the name be sent? */
	unsigned int n_asked, n_done;
	enum fetch_status status;
	size_t n_entries;
	uint8_t kind;
	uint16_t rcode;
	uint8_t last; /* last octet of the address */
	uint16_t upstream_port;
};

struct world {
	struct io io;
	struct fake servers[2];
	struct waiting waiting[N_WAITERS];
};

bool world_may_send(struct fetch_waiter *waiter);
void world_done(struct fetch_waiter *waiter, enum fetch_status status, struct entry *const *entries,
                size_t n_entries);
int world_setup(void **state);
int world_teardown(void **state);
#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

void begin(struct world *world, uint16_t n_servers); /* the first so many of the servers */
void join(struct world *world, size_t i, const char *name, uint16_t type);
void wait_first(struct world *world);
/* The first waiter asks (@name, A) and has its answer. */
void ask_again(struct world *world, const char *name);
struct server *server_of(struct world *world, size_t i);
/* A fake's on_query: 192.0.2.7. */
void reply_well(struct fake *fake, struct fake_conn *conn, const uint8_t *msg, size_t len,
                const struct sockaddr_in *from);
void assert_answered(const struct world *world, uint8_t last);
bool cached(struct world *world, enum cache_hit want);
