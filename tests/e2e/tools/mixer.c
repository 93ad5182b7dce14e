/* mixer SERVER PORT RUN COUNT WINDOW TIMEOUT_MS OUT - a closed loop of COUNT queries of every kind.
 *
 * What is asked follows from RUN and the query's number alone: names that repeat and names that are
 * new, several types, names that are allowed, denied by a rule, a feed, a type or for want of a
 * rule, special-use names, meta types, and messages that are no question. Every eighth goes over
 * TCP, on one connection that is opened again when it is lost. WINDOW questions are open at a time;
 * an unanswered one is given up after TIMEOUT_MS. OUT gets a line for each query:
 *
 *     NAME TYPE VERDICT PROTO RCODE        RCODE -1: no answer came; -2: none may come
 *
 * and the last line printed says asked answered lost seconds reconnects.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

#define NO_ANSWER (-1)
#define NONE_DUE (-2)
#define TCP_EVERY 8
#define TCP_OPEN 32 /* at once on the connection */

/* What one query is. NULL as a name: a message without a question that can be read. */
struct kind {
	unsigned int share; /* of 1,000 */
	const char *prefix;
	unsigned int names; /* how many repeat; 0: each is new */
	const char *suffix;
	unsigned int type;
	const char *verdict;
	enum { PLAIN, UPPER, TWO_QUESTIONS, NOTIFY, HEADER, RESPONSE, CUT } shape;
};
static const struct kind kinds[] = {
	{ 240, "k", 300, "good.test", 1, "allow", PLAIN },
	{ 60, "k", 300, "good.test", 28, "allow", PLAIN },
	{ 40, "k", 300, "good.test", 1, "allow", UPPER },
	{ 40, "k", 300, "good.test", 15, "allow", PLAIN },
	{ 60, "m", 0, "good.test", 1, "allow", PLAIN },
	{ 110, "o", 0, "open.test", 1, "allow", PLAIN },
	{ 40, "nx", 0, "open.test", 1, "allow", PLAIN },
	{ 100, "d", 200, "bad.test", 1, "deny", PLAIN },
	{ 70, "e", 0, "bad.test", 28, "deny", PLAIN },
	{ 40, "v", 50, "evil.good.test", 1, "deny", PLAIN },
	{ 40, "t", 100, "good.test", 16, "deny", PLAIN },
	{ 30, "f", 100, "listed.test", 1, "deny", PLAIN },
	{ 40, "s", 20, "invalid", 1, "local", PLAIN },
	{ 20, "k", 100, "good.test", 255, "allow", PLAIN },
	{ 20, "k", 100, "good.test", 252, "deny", PLAIN },
	{ 10, NULL, 0, NULL, 0, "deny", TWO_QUESTIONS },
	{ 10, NULL, 0, NULL, 0, "deny", NOTIFY },
	{ 10, NULL, 0, NULL, 0, "deny", HEADER },
	{ 10, NULL, 0, NULL, 0, "deny", CUT },
	{ 10, NULL, 0, NULL, 0, "deny", RESPONSE },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct question {
	const struct kind *kind;
	uint64_t index;
	int16_t rcode;
	bool tcp;
};
static struct question *questions;
static uint64_t sent_at[65536];
static uint32_t question_of[65536];
static uint16_t next_id;
static unsigned long answered, lost, reconnects;
static unsigned int n_open, n_tcp_open;
static struct sockaddr_storage sa;
static socklen_t sa_len;
static int udp = -1, tcp = -1;
static uint8_t tcp_in[1 << 17];
static size_t tcp_got;

static uint64_t mix(uint64_t x) /* splitmix64 */
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static struct question plan(uint64_t run, uint64_t i)
{
	uint64_t r = mix(run << 32 ^ i);
	unsigned int at = r % 1000, k = 0;

	while (at >= kinds[k].share)
		at -= kinds[k++].share;
	return (struct question){
		.kind = &kinds[k],
		.index = kinds[k].names ? (r >> 32) % kinds[k].names : run * 10000000 + i,
		.rcode = kinds[k].shape == RESPONSE ? NONE_DUE : NO_ANSWER,
		.tcp = i % TCP_EVERY == 0 && kinds[k].shape != RESPONSE,
	};
}

static size_t make(uint8_t *out, const struct question *q, uint16_t id)
{
	const struct kind *kind = q->kind;
	size_t len = wire_query(out, id, kind->prefix ? kind->prefix : "q", q->index,
	                        kind->suffix ? kind->suffix : "good.test", (uint16_t)kind->type);

	switch (kind->shape) {
	case PLAIN:
		break;
	case UPPER:
		for (size_t i = 13; i < len - 16; i++)
			out[i] = out[i] >= 'a' && out[i] <= 'z' ? out[i] - 32 : out[i];
		break;
	case TWO_QUESTIONS:
		out[5] = 2;
		break;
	case NOTIFY:
		out[2] |= 4 << 3;
		break;
	case HEADER:
		memset(out + 4, 0, 8);
		return 12;
	case RESPONSE:
		out[2] |= 0x80;
		break;
	case CUT:
		return 16;
	}
	return len;
}

static void drop_tcp(void)
{
	if (tcp >= 0)
		close(tcp);
	tcp = -1;
	tcp_got = 0;
	for (unsigned int i = 0; i < 65536; i++) {
		if (sent_at[i] && questions[question_of[i]].tcp) {
			sent_at[i] = 0;
			n_open--;
			lost++;
		}
	}
	n_tcp_open = 0;
}

static bool open_tcp(void)
{
	struct timeval limit = { 0, 200000 };
	int one = 1;

	tcp = socket(sa.ss_family, SOCK_STREAM, 0);
	setsockopt(tcp, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	reconnects++;
	if (connect(tcp, (struct sockaddr *)&sa, sa_len) == 0)
		return true;
	close(tcp);
	tcp = -1;
	return false;
}

static void take(const uint8_t *msg, size_t len, bool by_tcp)
{
	uint16_t id;
	struct question *q;

	if (len < 12 || !(msg[2] & 0x80))
		return;
	id = (uint16_t)(msg[0] << 8 | msg[1]);
	q = &questions[question_of[id]];
	if (!sent_at[id] || q->tcp != by_tcp)
		return;
	q->rcode = msg[3] & 15;
	sent_at[id] = 0;
	n_open--;
	n_tcp_open -= by_tcp;
	answered++;
}

static void send_one(uint32_t number)
{
	struct question *q = &questions[number];
	uint8_t buf[2 + 512];
	size_t n;

	while (sent_at[next_id])
		next_id++;
	n = make(buf + 2, q, next_id);
	buf[0] = (uint8_t)(n >> 8);
	buf[1] = (uint8_t)n;
	if (q->tcp) {
		if ((tcp < 0 && !open_tcp()) ||
		    send(tcp, buf, n + 2, MSG_NOSIGNAL) != (ssize_t)(n + 2)) {
			/* It may have arrived all the same: it counts as sent. */
			lost++;
			drop_tcp();
			return;
		}
		n_tcp_open++;
	} else if (send(udp, buf + 2, n, 0) < 0 && errno == ECONNREFUSED) {
		/* That was an earlier one's error. */
		(void)!send(udp, buf + 2, n, 0);
	}
	if (q->rcode == NONE_DUE)
		return;
	question_of[next_id] = number;
	sent_at[next_id++] = wire_now_ns();
	n_open++;
}

static void read_udp(void)
{
	uint8_t buf[65536];
	ssize_t n;

	while ((n = recv(udp, buf, sizeof(buf), MSG_DONTWAIT)) >= 0 || errno == ECONNREFUSED) {
		if (n > 0)
			take(buf, (size_t)n, false);
	}
}

static void read_tcp(void)
{
	ssize_t n = recv(tcp, tcp_in + tcp_got, sizeof(tcp_in) - tcp_got, MSG_DONTWAIT);
	size_t at = 0;

	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		drop_tcp();
		return;
	}
	if (n < 0)
		return;
	tcp_got += (size_t)n;
	while (tcp_got - at >= 2) {
		size_t len = (size_t)tcp_in[at] << 8 | tcp_in[at + 1];

		if (tcp_got - at - 2 < len)
			break;
		take(tcp_in + at + 2, len, true);
		at += 2 + len;
	}
	memmove(tcp_in, tcp_in + at, tcp_got - at);
	tcp_got -= at;
}

static void give_up_old(uint64_t timeout_ns)
{
	uint64_t now = wire_now_ns();

	for (unsigned int i = 0; i < 65536; i++) {
		if (!sent_at[i] || now - sent_at[i] <= timeout_ns)
			continue;
		sent_at[i] = 0;
		n_open--;
		n_tcp_open -= questions[question_of[i]].tcp;
		lost++;
	}
}

static void tell(const char *path, uint64_t count)
{
	FILE *out = fopen(path, "w");

	if (!out)
		wire_die(path);
	for (uint64_t i = 0; i < count; i++) {
		const struct question *q = &questions[i];

		if (q->kind->prefix)
			fprintf(out, "%s%llu.%s.", q->kind->prefix, (unsigned long long)q->index,
			        q->kind->suffix);
		else
			fputc('-', out);
		fprintf(out, " %u %s %s %d\n", q->kind->type, q->kind->verdict,
		        q->tcp ? "tcp" : "udp", q->rcode);
	}
	fclose(out);
}

int main(int argc, char **argv)
{
	int room = 16 << 20;
	uint64_t run, count, next = 0, begin, scanned, timeout_ns;
	unsigned int window;

	if (argc < 8)
		return 2;
	run = strtoull(argv[3], NULL, 10);
	count = strtoull(argv[4], NULL, 10);
	window = (unsigned int)atoi(argv[5]);
	timeout_ns = strtoull(argv[6], NULL, 10) * 1000000;
	questions = calloc(count + 1, sizeof(*questions));
	sa_len = wire_address(argv[1], (unsigned int)atoi(argv[2]), &sa);
	udp = socket(sa.ss_family, SOCK_DGRAM, 0);
	setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (!questions || connect(udp, (struct sockaddr *)&sa, sa_len) < 0)
		wire_die("connect");
	for (uint64_t i = 0; i < count; i++)
		questions[i] = plan(run, i);

	begin = scanned = wire_now_ns();
	while (next < count || n_open > 0) {
		struct pollfd fds[2] = { { udp, POLLIN, 0 }, { tcp, POLLIN, 0 } };

		while (next < count && n_open < window &&
		       (!questions[next].tcp || n_tcp_open < TCP_OPEN))
			send_one((uint32_t)next++);
		poll(fds, tcp >= 0 ? 2 : 1, 20);
		read_udp();
		if (tcp >= 0)
			read_tcp();
		if (wire_now_ns() - scanned > 50000000) {
			give_up_old(timeout_ns);
			scanned = wire_now_ns();
		}
	}
	tell(argv[7], count);
	printf("asked=%llu answered=%lu lost=%lu seconds=%.3f reconnects=%lu\n",
	       (unsigned long long)count, answered, lost, (double)(wire_now_ns() - begin) / 1e9,
	       reconnects);
	return 0;
}
