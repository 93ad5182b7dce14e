/* crowd SERVER SEED SECONDS WINDOW NETWORK - one workload's programs, all at once: a closed loop of
 * questions, traffic to what was answered, and tries at what never was.
 *
 * Half of the questions are for 100 names, so that caches and pinholes are at work; the rest are
 * for 4,000 names, for 100 of a zone that comes and goes with the policy, and for names that are
 * denied. Each address that is given gets a datagram at once, port 4000 or 4001; old ones get more,
 * on old and new flows; and now and then one goes to an address that nobody gave, or a question
 * straight to NETWORK's name server.
 *
 * crowd echo  - the other side: what sends us a datagram is sent one each 100 ms for 20 s, however
 * it likes it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../e2e/tools/wire.h"

#define GIVEN 512
#define PEERS 256
#define GIVE_UP_NS UINT64_C(1500000000)

static uint64_t state;
static uint64_t sent_at[65536];
static int out[2][2]; /* flow, family */
static struct sockaddr_storage given[GIVEN];
static unsigned int n_given;
static uint64_t counter;

/* xorshift64*: the same seed, the same questions. */
static unsigned int below(unsigned int n)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (unsigned int)((state * UINT64_C(2685821657736338717)) >> 33) % n;
}

static void send_to(const struct sockaddr_storage *to, unsigned int flow)
{
	bool six = to->ss_family == AF_INET6;
	struct sockaddr_storage sa = *to;
	in_port_t port = htons(below(4) ? 4000 : 4001);

	if (six)
		((struct sockaddr_in6 *)&sa)->sin6_port = port;
	else
		((struct sockaddr_in *)&sa)->sin_port = port;
	counter++;
	for (int try = 0; try < 3; try++) /* an ICMP error of an earlier one may be told first */
		if (sendto(out[flow][six], &counter, 8, 0, (struct sockaddr *)&sa,
		           six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) == 8)
			break;
}

static void remember(const uint8_t *data, size_t n)
{
	struct sockaddr_storage *sa = &given[n_given++ % GIVEN];

	memset(sa, 0, sizeof(*sa));
	if (n == 4) {
		sa->ss_family = AF_INET;
		memcpy(&((struct sockaddr_in *)sa)->sin_addr, data, 4);
	} else {
		sa->ss_family = AF_INET6;
		memcpy(&((struct sockaddr_in6 *)sa)->sin6_addr, data, 16);
	}
	send_to(sa, 0);
}

static bool take(const uint8_t *msg, size_t len)
{
	unsigned int id, n_answers;
	size_t pos;

	if (len < 17 || !(msg[2] & 0x80))
		return false;
	id = (unsigned int)msg[0] << 8 | msg[1];
	if (!sent_at[id])
		return false;
	sent_at[id] = 0;
	n_answers = (unsigned int)msg[6] << 8 | msg[7];
	pos = wire_skip_name(msg, len, 12) + 4;
	for (unsigned int i = 0; i < n_answers && pos > 4 && pos < len; i++) {
		size_t n;

		pos = wire_skip_name(msg, len, pos);
		if (!pos || pos + 10 > len)
			break;
		n = (size_t)msg[pos + 8] << 8 | msg[pos + 9];
		pos += 10;
		if (pos + n > len)
			break;
		if (n == 4 || n == 16)
			remember(msg + pos, n);
		pos += n;
	}
	return true;
}

static void ask(int fd, unsigned int id)
{
	uint8_t buf[512];
	unsigned int dice = below(100);
	const char *prefix = "h", *suffix = "good.test";
	uint64_t number = below(100);

	if (dice < 25) {
		prefix = "c";
		number = 1000 + below(4000);
	} else if (dice < 40) {
		prefix = "f";
		suffix = "flip.test";
		number = 20000 + below(100);
	} else if (dice < 55) {
		prefix = "d";
		suffix = "bad.test";
		number = 30000 + below(1000);
	}
	sent_at[id] = wire_now_ns();
	send(fd, buf, wire_query(buf, (uint16_t)id, prefix, number, suffix, below(3) ? 1 : 28), 0);
}

/* What a workload should not get through. */
static void try_more(const char *network)
{
	struct sockaddr_storage raw;
	uint8_t buf[512];
	char text[32];

	if (n_given)
		send_to(&given[below(n_given < GIVEN ? n_given : GIVEN)], below(2));
	if (below(10) == 0) {
		snprintf(text, sizeof(text), "44.128.%u.%u", 200 + below(50), below(250));
		wire_address(text, 0, &raw);
		send_to(&raw, below(2));
	}
	if (below(100) == 0) {
		socklen_t len = wire_address(network, 53, &raw);

		sendto(out[1][0], buf, wire_query(buf, 1, "t", below(1000), "tunnel.test", 16), 0,
		       (struct sockaddr *)&raw, len);
	}
}

static int socket_for(int family)
{
	int fd = socket(family, SOCK_DGRAM, 0), room = 4 << 20;

	if (fd < 0)
		wire_die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	return fd;
}

static int crowd(char **argv)
{
	uint64_t end = wire_now_ns() + strtoull(argv[3], NULL, 10) * 1000000000, scanned = 0,
		 renewed = 0;
	unsigned int window = (unsigned int)atoi(argv[4]), open = 0, id = 0;
	struct sockaddr_storage sa;
	socklen_t len = wire_address(argv[1], 53, &sa);
	uint8_t buf[65536];
	int fd = socket_for(sa.ss_family);

	state = strtoull(argv[2], NULL, 10) * 2 + 1;
	if (connect(fd, (struct sockaddr *)&sa, len) < 0)
		wire_die("connect");
	for (int i = 0; i < 4; i++)
		out[i / 2][i % 2] = socket_for(i % 2 ? AF_INET6 : AF_INET);
	for (uint64_t now; (now = wire_now_ns()) < end || open > 0;) {
		struct pollfd pfd = { fd, POLLIN, 0 };

		while (now < end && open < window) {
			do
				id = (id + 1) & 0xffff;
			while (sent_at[id]);
			ask(fd, id);
			open++;
		}
		poll(&pfd, 1, 20);
		for (ssize_t n; (n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0;)
			open -= take(buf, (size_t)n);
		if (below(4) == 0)
			try_more(argv[5]);
		if (now - renewed > 1000000000) { /* new flows every other second */
			for (int i = 0; i < 2; i++) {
				close(out[1][i]);
				out[1][i] = out[0][i];
				out[0][i] = socket_for(i ? AF_INET6 : AF_INET);
			}
			renewed = now;
		}
		if (now - scanned < 50000000)
			continue;
		scanned = now;
		for (unsigned int i = 0; i < 65536; i++) {
			if (sent_at[i] && now - sent_at[i] > GIVE_UP_NS) {
				sent_at[i] = 0;
				open--;
			}
		}
	}
	return 0;
}

struct peer {
	struct sockaddr_in6 to;
	struct in6_pktinfo me;
	uint64_t until;
	int fd;
};

static void answer(const struct peer *p)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control = { .room = { 0 } };
	struct sockaddr_in6 to = p->to;
	uint64_t number = ++counter;
	struct iovec iov = { &number, sizeof(number) };
	struct msghdr msg = { .msg_name = &to,
		              .msg_namelen = sizeof(to),
		              .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = &control,
		              .msg_controllen = sizeof(control) };

	control.head.cmsg_level = IPPROTO_IPV6;
	control.head.cmsg_type = IPV6_PKTINFO;
	control.head.cmsg_len = CMSG_LEN(sizeof(p->me));
	memcpy(CMSG_DATA(&control.head), &p->me, sizeof(p->me));
	(void)!sendmsg(p->fd, &msg, MSG_DONTWAIT);
}

static void hear(int fd, struct peer *peer)
{
	char control[256];
	uint8_t buf[64];
	struct sockaddr_in6 from;
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_name = &from,
		              .msg_namelen = sizeof(from),
		              .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = control,
		              .msg_controllen = sizeof(control) };

	if (recvmsg(fd, &msg, MSG_DONTWAIT) < 0)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_PKTINFO)
			continue;
		memcpy(&peer->me, CMSG_DATA(c), sizeof(peer->me));
		peer->me.ipi6_ifindex = 0;
		peer->to = from;
		peer->until = wire_now_ns() + UINT64_C(20000000000);
		peer->fd = fd;
	}
}

static int echo(void)
{
	static struct peer peers[PEERS];
	struct pollfd pfd[2];
	uint64_t spoke = 0;
	unsigned int at = 0, room = 16 << 20;
	int on = 1;

	for (unsigned int i = 0; i < 2; i++) {
		struct sockaddr_in6 any = { .sin6_family = AF_INET6,
			                    .sin6_port = htons((uint16_t)(4000 + i)) };

		pfd[i] = (struct pollfd){ socket(AF_INET6, SOCK_DGRAM, 0), POLLIN, 0 };
		setsockopt(pfd[i].fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
		setsockopt(pfd[i].fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
		if (bind(pfd[i].fd, (struct sockaddr *)&any, sizeof(any)) < 0)
			wire_die("bind");
	}
	for (;;) {
		uint64_t now;

		poll(pfd, 2, 100);
		for (unsigned int i = 0; i < 2; i++)
			for (int n = 0; n < 64 && (pfd[i].revents & POLLIN); n++)
				hear(pfd[i].fd, &peers[at++ % PEERS]);
		now = wire_now_ns();
		if (now - spoke < 100000000)
			continue;
		spoke = now;
		for (unsigned int i = 0; i < PEERS; i++)
			if (peers[i].until > now)
				answer(&peers[i]);
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "echo") == 0)
		return echo();
	return argc == 6 ? crowd(argv) : 2;
}
