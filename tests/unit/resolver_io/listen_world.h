/* tests/unit/resolver_io/listen_world.h - clients of the real listeners; the query pipeline is a
 * double that answers at once, holds, or drops.
 */
#pragma once

#include <netinet/in.h>

#include "client.h"
#include "harness.h"
#include "listen.h"
#include "query.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"

#define HELD_MAX 512
#define QUERY_LEN 30

enum what { ANSWER, HOLD, DROP, ANSWER_BIG };

extern struct pipeline {
	enum what what;
	unsigned int n_received, n_held, n_no_buffer;
	size_t longest;
	size_t big;             /* octets of an ANSWER_BIG */
	unsigned int us;        /* how long each takes */
	void (*on_query)(void); /* before it is answered; may be NULL */
	struct client held[HELD_MAX];
	uint8_t held_msg[HELD_MAX][QUERY_LEN];
	struct client last;
} pipeline;

struct world {
	struct io io;
	int udp, tcp; /* the keeper's copies of the sockets */
	uint16_t port;
	int clients[80];
};

int world_setup(void **state);
int world_setup_wildcard(void **state);
int world_teardown(void **state);
#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

/* Give back the query as the answer. */
int answer(struct worker *worker, struct client *client, const uint8_t *msg, size_t len);
int bound(int type, uint16_t *port, bool any); /* port 0: any, which is told */
void give(struct world *world, int fd, unsigned int index, int proto);
struct sockaddr_in at(const struct world *world, const char *addr);
int client(struct world *world, size_t i, int type, const char *to);
void hang_up(struct world *world, size_t i);
void query(uint8_t msg[QUERY_LEN], unsigned int id);
void send_udp(int fd, unsigned int id);
void send_tcp(int fd, unsigned int id);
void until_received(struct world *world, unsigned int n);
void until_readable(struct world *world, int fd);
int read_tcp(struct world *world, int fd); /* the ID of the next message, or -1 at the end */
int read_udp(struct world *world, int fd);
