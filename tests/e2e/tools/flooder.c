/* flooder SERVER PORT SOURCE PREFIX SUFFIX NAMES RATE SECONDS [SOCKETS] - queries in an open loop:
 * so many a second whether they are answered or not.
 *
 * Asks PREFIX<i>.SUFFIX A for i in 0..NAMES-1 again and again (NAMES 0: never the same twice), from
 * SOCKETS ports (4) of the address SOURCE. Answers are read and thrown away. RATE 0: as fast as it
 * can. Prints one line: sent received seconds
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define BATCH 32
#define SOCKETS_MAX 64
#define ROOM 512

static struct mmsghdr out[BATCH], in[BATCH];
static struct iovec out_iov[BATCH], in_iov[BATCH];
static uint8_t out_buf[BATCH][ROOM], in_buf[BATCH][4096];

static int connected(const char *server, unsigned int port, const char *source)
{
	struct sockaddr_storage sa;
	socklen_t len = wire_address(source, 0, &sa);
	int fd = socket(sa.ss_family, SOCK_DGRAM, 0), room = 4 << 20;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&sa, len) < 0)
		wire_die("bind");
	len = wire_address(server, port, &sa);
	if (connect(fd, (struct sockaddr *)&sa, len) < 0)
		wire_die("connect");
	return fd;
}

int main(int argc, char **argv)
{
	int fds[SOCKETS_MAX];
	unsigned int sockets;
	uint64_t names, rate, number, begin, end, sent = 0, received = 0;

	if (argc < 9)
		return 2;
	names = strtoull(argv[6], NULL, 10);
	rate = strtoull(argv[7], NULL, 10);
	sockets = argc > 9 ? (unsigned int)atoi(argv[9]) : 4;
	if (sockets < 1 || sockets > SOCKETS_MAX)
		return 2;
	for (unsigned int i = 0; i < sockets; i++)
		fds[i] = connected(argv[1], (unsigned int)atoi(argv[2]), argv[3]);
	for (int i = 0; i < BATCH; i++) {
		in_iov[i] = (struct iovec){ in_buf[i], sizeof(in_buf[i]) };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &in_iov[i], .msg_iovlen = 1 };
	}
	begin = wire_now_ns();
	number = names ? 0 : begin / 1000; /* names that no run before has asked */
	end = begin + (uint64_t)(strtod(argv[8], NULL) * 1e9);
	for (uint64_t now = begin; now < end; now = wire_now_ns()) {
		uint64_t due = rate ? (now - begin) * rate / 1000000000 : UINT64_MAX;
		unsigned int n = due > sent ? BATCH : 0;
		int fd = fds[sent / BATCH % sockets], r;

		n = due - sent < n ? (unsigned int)(due - sent) : n;
		for (unsigned int i = 0; i < n; i++, number++) {
			size_t len = wire_query(out_buf[i], (uint16_t)number, argv[4],
			                        names ? number % names : number, argv[5], 1);

			out_iov[i] = (struct iovec){ out_buf[i], len };
			out[i].msg_hdr = (struct msghdr){ .msg_iov = &out_iov[i], .msg_iovlen = 1 };
		}
		if (n > 0) {
			r = sendmmsg(fd, out, n, 0);
			sent += r > 0 ? (uint64_t)r : n; /* a refused one is gone, too */
		}
		for (unsigned int i = 0; i < sockets; i++) {
			r = recvmmsg(fds[i], in, BATCH, MSG_DONTWAIT, NULL);
			received += r > 0 ? (uint64_t)r : 0;
		}
		if (n < BATCH && rate) {
			const struct timespec pause = { .tv_nsec = 200000 };

			nanosleep(&pause, NULL);
		}
	}
	printf("sent=%llu received=%llu seconds=%.3f\n", (unsigned long long)sent,
	       (unsigned long long)received, (double)(wire_now_ns() - begin) / 1e9);
	return 0;
}
