/* asker SERVER PORT PREFIX SUFFIX FIRST COUNT TYPES WINDOW SINKPORT [TIMEOUT_MS] - a closed loop of
 * queries whose every address gets a first packet the instant its answer has been read.
 *
 * Asks PREFIX<i>.SUFFIX for i in FIRST.. FIRST+COUNT-1, types "a", "6" (AAAA) or "a6" (both),
 * WINDOW questions open at a time. For each A or AAAA answered it sends a datagram of 8 octets (a
 * number that is unique to question and type) to that address at SINKPORT (0: none). An unanswered
 * question is given up after TIMEOUT_MS (default 2000). Prints one line: asked answered noerror
 * servfail nxdomain refused other lost addresses sent icmp_errors min_ttl max_ttl seconds p50_us
 * p99_us max_us
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

#include "wire.h"

static uint64_t sent_at[65536], question_of[65536];
static uint32_t *latency_us;
static unsigned long answered, rcodes[16], lost, addresses, packets, icmp_errors;
static uint32_t min_ttl = UINT32_MAX, max_ttl;
static int out4, out6;
static unsigned int sink_port;

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void first_packet(const uint8_t *data, size_t n, uint64_t number)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)sink_port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		                    .sin6_port = htons((uint16_t)sink_port) };
	ssize_t r;

	addresses++;
	if (!sink_port)
		return;
	for (int try = 0; try < 3; try++) {
		if (n == 4) {
			memcpy(&in.sin_addr, data, 4);
			r = sendto(out4, &number, 8, 0, (struct sockaddr *)&in, sizeof(in));
		} else {
			memcpy(&in6.sin6_addr, data, 16);
			r = sendto(out6, &number, 8, 0, (struct sockaddr *)&in6, sizeof(in6));
		}
		if (r == 8) {
			packets++;
			return;
		}
		icmp_errors++; /* an ICMP error of an earlier packet is told here; this one is sent
		                  again */
	}
}

static void take(const uint8_t *msg, size_t len)
{
	uint16_t id, n_answers;
	uint64_t number;
	size_t pos;

	if (len < 17 || !(msg[2] & 0x80))
		return;
	id = (uint16_t)(msg[0] << 8 | msg[1]);
	if (!sent_at[id])
		return;
	number = question_of[id];
	latency_us[answered++] = (uint32_t)((wire_now_ns() - sent_at[id]) / 1000);
	sent_at[id] = 0;
	rcodes[msg[3] & 15]++;
	n_answers = (uint16_t)(msg[6] << 8 | msg[7]);
	pos = wire_skip_name(msg, len, 12) + 4;
	for (unsigned int i = 0; i < n_answers && pos > 4 && pos < len; i++) {
		size_t n;
		unsigned int type;
		uint32_t ttl;

		pos = wire_skip_name(msg, len, pos);
		if (!pos || pos + 10 > len)
			return;
		type = (unsigned int)msg[pos] << 8 | msg[pos + 1];
		ttl = (uint32_t)msg[pos + 4] << 24 | (uint32_t)msg[pos + 5] << 16 |
		      (uint32_t)msg[pos + 6] << 8 | msg[pos + 7];
		n = (size_t)msg[pos + 8] << 8 | msg[pos + 9];
		pos += 10;
		if (pos + n > len)
			return;
		if ((type == 1 && n == 4) || (type == 28 && n == 16)) {
			min_ttl = ttl < min_ttl ? ttl : min_ttl;
			max_ttl = ttl > max_ttl ? ttl : max_ttl;
			first_packet(msg + pos, n, number);
		}
		pos += n;
	}
}

int main(int argc, char **argv)
{
	uint8_t buf[65536];
	struct sockaddr_storage sa;
	socklen_t len;
	int fd, room = 16 << 20;

	if (argc < 10)
		return 2;

	const char *prefix = argv[3], *suffix = argv[4], *types = argv[7];
	uint64_t first = strtoull(argv[5], NULL, 10), count = strtoull(argv[6], NULL, 10);
	bool v4 = strchr(types, 'a'), v6 = strchr(types, '6');
	uint64_t per = (uint64_t)v4 + v6, total = count * per, next = 0, begin, scanned;
	unsigned int window = (unsigned int)atoi(argv[8]), open = 0;
	uint64_t timeout_ns = (argc > 10 ? strtoull(argv[10], NULL, 10) : 2000) * 1000000;
	uint16_t id = (uint16_t)getpid();

	sink_port = (unsigned int)atoi(argv[9]);
	latency_us = calloc(total + 1, sizeof(*latency_us));
	len = wire_address(argv[1], (unsigned int)atoi(argv[2]), &sa);
	fd = socket(sa.ss_family, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (!latency_us || connect(fd, (struct sockaddr *)&sa, len) < 0)
		wire_die("connect");
	out4 = socket(AF_INET, SOCK_DGRAM, 0);
	out6 = socket(AF_INET6, SOCK_DGRAM, 0);
	begin = scanned = wire_now_ns();
	while (next < total || open > 0) {
		struct pollfd pfd = { fd, POLLIN, 0 };
		uint64_t now;

		while (next < total && open < window) {
			bool six = v6 && (!v4 || next % 2);
			size_t n;

			while (sent_at[id]) /* at most window are in use */
				id++;
			n = wire_query(buf, id, prefix, first + next / per, suffix, six ? 28 : 1);
			question_of[id] = (first + next / per) * 2 + six;
			sent_at[id++] = wire_now_ns();
			next++;
			open++;
			if (send(fd, buf, n, 0) < 0)
				icmp_errors++;
		}
		poll(&pfd, 1, 20);
		for (;;) {
			ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
			unsigned long before = answered;

			if (n < 0)
				break;
			take(buf, (size_t)n);
			open -= (unsigned int)(answered - before);
		}
		now = wire_now_ns();
		if (now - scanned < 50000000)
			continue;
		scanned = now;
		for (unsigned int i = 0; i < 65536; i++) {
			if (sent_at[i] && now - sent_at[i] > timeout_ns) {
				sent_at[i] = 0;
				open--;
				lost++;
			}
		}
	}
	qsort(latency_us, answered, sizeof(*latency_us), compare);
	printf(
	    "asked=%llu answered=%lu noerror=%lu servfail=%lu nxdomain=%lu refused=%lu other=%lu "
	    "lost=%lu addresses=%lu sent=%lu icmp_errors=%lu min_ttl=%u max_ttl=%u seconds=%.3f "
	    "p50_us=%u p99_us=%u max_us=%u\n",
	    (unsigned long long)total, answered, rcodes[0], rcodes[2], rcodes[3], rcodes[5],
	    answered - rcodes[0] - rcodes[2] - rcodes[3] - rcodes[5], lost, addresses, packets,
	    icmp_errors, addresses ? min_ttl : 0, max_ttl, (double)(wire_now_ns() - begin) / 1e9,
	    answered ? latency_us[answered / 2] : 0, answered ? latency_us[answered * 99 / 100] : 0,
	    answered ? latency_us[answered - 1] : 0);
	return 0;
}
