/* keeper/listeners.c - opening the listening sockets. */
#include "listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "sallyport/err.h"

#define RCVBUF_BYTES (4 << 20)

static int on(int fd, int level, int option)
{
	int one = 1;

	return setsockopt(fd, level, option, &one, sizeof(one)) < 0 ? -errno : ERR_OK;
}

static int set_udp_options(int fd, const struct conf_listener *l)
{
	int size = RCVBUF_BYTES, pmtu = IP_PMTUDISC_OMIT, pmtu6 = IPV6_PMTUDISC_OMIT;
	int r = ERR_OK;

	/* A big buffer is what keeps queries while a resolver is replaced; less is not an error. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	r = on(fd, SOL_SOCKET, SO_TIMESTAMPNS);
	if (r < 0)
		return r;
	/* Never believe a path MTU that somebody claims: our answers fit into 1232 octets. */
	if (addr_is_v4(l->addr)) {
		(void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &pmtu, sizeof(pmtu));
		return l->wildcard ? on(fd, IPPROTO_IP, IP_PKTINFO) : ERR_OK;
	}
	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &pmtu6, sizeof(pmtu6));
	return l->wildcard ? on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO) : ERR_OK;
}

enum share { ALONE, SHARED }; /* with SO_REUSEPORT or not */

/* One bound socket. *ret_absent: the host does not have the address now. */
static int open_socket(const struct conf_listener *l, int type, enum share share, bool *ret_absent)
{
	CLEANUP(fd_close) int fd = -1;
	bool v4 = addr_is_v4(l->addr);
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(l->addr, l->port, &sa);
	int r = ERR_OK;

	fd = socket(v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!v4)
		r = on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	if (r == 0 && type == SOCK_STREAM)
		r = on(fd, SOL_SOCKET, SO_REUSEADDR);
	if (r == 0 && share == SHARED)
		r = on(fd, SOL_SOCKET, SO_REUSEPORT);
	if (r == 0 && type == SOCK_DGRAM)
		r = set_udp_options(fd, l);
	if (r < 0)
		return r;
	if (bind(fd, (struct sockaddr *)&sa, len) < 0) {
		if (errno != EADDRNOTAVAIL)
			return -errno;
		*ret_absent = true;
		r = v4 ? on(fd, IPPROTO_IP, IP_FREEBIND) : on(fd, IPPROTO_IPV6, IPV6_FREEBIND);
		if (r < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0)
			return r < 0 ? r : -errno;
	}
	if (type == SOCK_STREAM && share == SHARED && listen(fd, SOMAXCONN) < 0)
		return -errno;
	return fd_take(&fd);
}

/* SO_REUSEPORT would let us join a port that another process of our user holds with the same
 * option, and share its queries: ask first, without it. */
static int probe_once(const struct conf_listener *l, int type)
{
	bool absent;
	int fd = open_socket(l, type, ALONE, &absent);

	if (fd < 0)
		return fd;
	if (type == SOCK_STREAM && listen(fd, 1) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	close(fd);
	return ERR_OK;
}

#define PROBE_STEP_MS 50
#define PROBE_TRIES 20

/* The resolver of a keeper that was killed a moment ago may not have left the port yet. */
static int probe(const struct conf_listener *l, int type)
{
	const struct timespec step = { .tv_nsec = PROBE_STEP_MS * 1000000 };
	int r = probe_once(l, type);

	for (int i = 1; i < PROBE_TRIES && r == -EADDRINUSE; i++) {
		nanosleep(&step, NULL);
		r = probe_once(l, type);
	}
	return r;
}

static int tell(const struct conf_listener *l, int type, int err, struct diag *diag)
{
	const char *proto = type == SOCK_DGRAM ? "UDP" : "TCP";
	char addr[ADDR_TEXT_LEN];

	addr_text(l->addr, addr);
	if (err == -EADDRINUSE)
		return diag_set(diag, err,
		                "listen: %s port %u (%s) is taken by another program; stop it "
		                "(ss -lnp 'sport = :%u' names it) or listen elsewhere",
		                addr, l->port, proto, l->port);
	if (err == -EACCES)
		return diag_set(diag, err,
		                "listen: %s port %u (%s) needs root or CAP_NET_BIND_SERVICE; start "
		                "sallyportd as root",
		                addr, l->port, proto);
	if (err == -EMFILE || err == -ENFILE)
		return diag_set(diag, err,
		                "listen: %s port %u (%s): no free descriptors; raise the limit "
		                "(LimitNOFILE= of the unit, ulimit -n), or name fewer listeners or "
		                "workers",
		                addr, l->port, proto);
	return diag_set(diag, err, "listen: %s port %u (%s) cannot be opened: %s", addr, l->port,
	                proto, err_str(err));
}

static int open_listener(const struct conf_listener *conf, uint32_t workers, struct listener *l,
                         struct diag *diag)
{
	static const int types[] = { SOCK_DGRAM, SOCK_STREAM };
	bool absent = false;

	for (size_t t = 0; t < ARRAY_LEN(types); t++) {
		int r = probe(conf, types[t]);

		if (r < 0)
			return tell(conf, types[t], r, diag);
		for (uint32_t w = 0; w < workers; w++) {
			int fd = open_socket(conf, types[t], SHARED, &absent);

			if (fd < 0)
				return tell(conf, types[t], fd, diag);
			*(types[t] == SOCK_DGRAM ? &l->udp[w] : &l->tcp[w]) = fd;
		}
	}
	if (absent) {
		char addr[ADDR_TEXT_LEN];

		addr_text(conf->addr, addr);
		diag_add(diag, DIAG_WARNING, "", 0, 0,
		         "listen: this host does not have %s now; queries come when it does", addr);
	}
	return ERR_OK;
}

static int share_listener(const struct listener *from, uint32_t workers, struct listener *l)
{
	for (uint32_t w = 0; w < workers; w++) {
		l->udp[w] = fcntl(from->udp[w], F_DUPFD_CLOEXEC, 3);
		l->tcp[w] = fcntl(from->tcp[w], F_DUPFD_CLOEXEC, 3);
		if (l->udp[w] < 0 || l->tcp[w] < 0)
			return -errno;
	}
	return ERR_OK;
}

static const struct listener *find(const struct listeners *set, const struct conf_listener *conf)
{
	for (uint32_t i = 0; set && i < set->n; i++) {
		const struct conf_listener *have = &set->items[i].conf;

		if (have->port == conf->port && memcmp(have->addr, conf->addr, ADDR_LEN) == 0)
			return &set->items[i];
	}
	return NULL;
}

void listeners_free(struct listeners *set)
{
	for (uint32_t i = 0; set && i < set->n; i++) {
		for (uint32_t w = 0; w < LIMIT_WORKERS; w++) {
			if (set->items[i].udp[w] >= 0)
				close(set->items[i].udp[w]);
			if (set->items[i].tcp[w] >= 0)
				close(set->items[i].tcp[w]);
		}
	}
	free(set);
}

int listeners_open(const struct resolver_conf *conf, const struct listeners *old,
                   struct listeners **ret_set, struct diag *diag)
{
	CLEANUP(listeners_free) struct listeners *set = calloc(1, sizeof(*set));
	uint32_t workers = MIN(conf->workers, (uint32_t)LIMIT_WORKERS);

	if (!set)
		return ERR_NOMEM;
	set->workers = workers;
	for (uint32_t i = 0; i < MIN(conf->n_listeners, (uint32_t)LIMIT_LISTENERS); i++) {
		struct listener *l = &set->items[set->n++];
		const struct listener *have = find(old, &conf->listeners[i]);
		int r;

		l->conf = conf->listeners[i];
		for (uint32_t w = 0; w < LIMIT_WORKERS; w++)
			l->udp[w] = l->tcp[w] = -1;
		r = have && old->workers == workers
		        ? share_listener(have, workers, l)
		        : open_listener(&conf->listeners[i], workers, l, diag);
		if (r < 0)
			return r;
	}
	*ret_set = TAKE(set);
	return ERR_OK;
}
