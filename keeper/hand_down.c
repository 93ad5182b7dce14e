/* keeper/hand_down.c - what each role is given. */
#include "hand_down.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "keeper.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/shm.h"

/* One message with descriptors; keeps the first error, like a cursor. */
struct giving {
	struct child *child;
	int err;
};

static void give(struct giving *g, enum role_msg_type type, uint64_t a, uint64_t b, int fd1,
                 int fd2)
{
	const int fds[2] = { fd1, fd2 };

	if (g->err == 0)
		g->err = child_send(g->child, type, a, b, NULL, 0, fds,
		                    fd2 >= 0 ? 2 : (fd1 >= 0 ? 1 : 0));
}

static void give_conf(struct giving *g, const void *conf, size_t len)
{
	CLEANUP(fd_close) int fd = shm_create_sealed("sallyport-conf", conf, len);

	if (g->err == 0 && fd < 0)
		g->err = fd;
	give(g, ROLE_MSG_CONFIG, 0, 0, fd, -1);
}

/* Query ids: seconds since 1970 << 20, and never a second twice. */
static uint64_t next_id_base(struct keeper *k)
{
	k->id_second = MAX(k->id_second + 1, clock_wall_ns() / NS_PER_S);
	return k->id_second << 20;
}

static void give_resolver(struct keeper *k, struct giving *g)
{
	CLEANUP(free) struct resolver_conf *conf = malloc(sizeof(*conf));
	const struct listeners *set = k->listeners;

	if (!conf) {
		g->err = ERR_NOMEM;
		return;
	}
	*conf = k->config->resolver;
	refresh_tell(k, conf);
	ntas_tell(&k->config->ntas, clock_wall_ns(), conf);
	ntas_tell(&k->ntas, clock_wall_ns(), conf);
	conf->id_base = next_id_base(k);
	memcpy(conf->cookie_secret, k->cookie_secret, sizeof(conf->cookie_secret));
	memcpy(conf->hash_key, k->hash_key, sizeof(conf->hash_key));
	give_conf(g, conf, sizeof(*conf));
	give(g, ROLE_MSG_STATS, 0, 0, k->shared.stats[ROLE_RESOLVER], -1);
	for (uint32_t i = 0; i < set->n; i++) {
		for (uint32_t w = 0; w < set->workers; w++) {
			uint64_t which = i | w << 16;

			give(g, ROLE_MSG_LISTENER, which, IPPROTO_UDP, set->items[i].udp[w], -1);
			give(g, ROLE_MSG_LISTENER, which, IPPROTO_TCP, set->items[i].tcp[w], -1);
		}
	}
	for (uint32_t w = 0; w < k->shared.workers; w++) {
		const struct shared_worker *each = &k->shared.each[w];

		give(g, ROLE_MSG_RING, w, 0, each->ring_data, each->ring_back_ro);
		if (k->rollout.firewall)
			give(g, ROLE_MSG_PINHOLE, w, 0, each->pinhole[0], -1);
	}
	if (k->rollout.firewall)
		give(g, ROLE_MSG_EPOCH, 0, 0, k->shared.epoch_ro, -1);
}

static void give_historian(struct keeper *k, struct giving *g)
{
	give_conf(g, &k->config->historian, sizeof(k->config->historian));
	give(g, ROLE_MSG_STATS, 0, 0, k->shared.stats[ROLE_HISTORIAN], -1);
	for (uint32_t w = 0; w < k->shared.workers; w++)
		give(g, ROLE_MSG_RING, w, 0, k->shared.each[w].ring_data_ro,
		     k->shared.each[w].ring_back);
	give(g, ROLE_MSG_AGGREGATE, 0, 0, k->shared.area, -1);
	give(g, ROLE_MSG_DIRECTORY, 0, 0, k->history_fd, -1);
	rollout_send_catalogs(&k->rollout);
}

static void give_fwsync(struct keeper *k, struct giving *g)
{
	give_conf(g, &k->config->fwsync, sizeof(k->config->fwsync));
	give(g, ROLE_MSG_STATS, 0, 0, k->shared.stats[ROLE_FWSYNC], -1);
	for (uint32_t w = 0; w < k->shared.workers; w++)
		give(g, ROLE_MSG_PINHOLE, w, 0, k->shared.each[w].pinhole[1], -1);
	give(g, ROLE_MSG_EPOCH, 0, 0, k->shared.epoch, -1);
	/* Only to one that has not confined itself yet: it keeps the memory, not the file. */
	if (g->child->state == CHILD_STARTING)
		give(g, ROLE_MSG_LEDGER, 0, 0, k->shared.ledger_fd, -1);
	give(g, ROLE_MSG_NETLINK, 0, 0, k->shared.netlink, -1);
	/* A table that was lost has to filter from its first moment on. */
	if (g->child->state == CHILD_STARTING && k->rollout.current)
		give(g, ROLE_MSG_GUARD, k->rollout.current->version, 0,
		     k->rollout.current->guard_fd, -1);
}

int hand_down(struct keeper *k, struct child *child)
{
	struct giving g = { .child = child };

	switch (child->role) {
	case ROLE_RESOLVER:
		give_resolver(k, &g);
		break;
	case ROLE_HISTORIAN:
		give_historian(k, &g);
		break;
	case ROLE_FWSYNC:
		give_fwsync(k, &g);
		break;
	case ROLE_N:
		return ERR_INVAL;
	}
	give(&g, ROLE_MSG_END, k->rollout.current ? k->rollout.current->version : 0,
	     child->role == ROLE_RESOLVER ? tell_next(k) : 0, -1, -1);
	return g.err;
}
