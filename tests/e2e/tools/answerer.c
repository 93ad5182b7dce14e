/* answerer ADDRESS PORT TTL [LOG] - an authoritative server for everything, made of arithmetic.
 *
 * "<letters><number>.…" A is 44.128.0.0 plus the number (more in v4()), AAAA 2a00:ffff:: plus the
 * number, TTL as told; a name that begins with "nx" does not exist; other types have no data. With
 * LOG each question's octets are appended to that file: two octets of length, then the message.
 * Reads in batches; ends by a signal.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "wire.h"

#define BATCH 64
#define ROOM 2048

static uint8_t in[BATCH][ROOM], out[BATCH][ROOM];

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* SOA with MINIMUM 60 for the question's name. */
static size_t soa(uint8_t *p)
{
	static const uint8_t fixed[] = { 0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 60, 0, 22, 0, 0 };

	memcpy(p, fixed, sizeof(fixed));
	for (int i = 0; i < 5; i++)
		put32(p + sizeof(fixed) + 4 * i, 60);
	return sizeof(fixed) + 20;
}

/* Numbers that leave 44.128.0.0/9 stay in it, for beyond lies 127.0.0.0/8, which nobody is let to.
 * They leave out the first /16, whose addresses tests try to reach. */
static uint32_t v4(uint32_t number)
{
	return 0x2c800000u + (number < 0x800000u ? number : 0x10000u + number % 0x7f0000u);
}

static size_t answer(const uint8_t *q, size_t len, uint8_t *a, uint32_t ttl)
{
	size_t end = wire_skip_name(q, len, 12) + 4, pos = end;
	unsigned int type;
	uint32_t number = 0;

	if (len < 17 || end < 17 || end > len)
		return 0;
	type = (unsigned int)q[end - 4] << 8 | q[end - 3];
	for (unsigned int i = 1; i <= q[12]; i++)
		number = q[12 + i] >= '0' && q[12 + i] <= '9' ? number * 10 + q[12 + i] - '0' : 0;
	memcpy(a, q, end);
	put16(a + 2, 0x8180);
	memset(a + 4, 0, 8);
	a[5] = 1;
	if (q[12] >= 2 && (q[13] | 32) == 'n' && (q[14] | 32) == 'x') {
		a[3] |= 3;
		a[9] = 1;
		pos += soa(a + pos);
	} else if (type == 1 || type == 28) {
		size_t n = type == 1 ? 4 : 16;

		a[7] = 1;
		put16(a + pos, 0xc00c);
		put16(a + pos + 2, type);
		put16(a + pos + 4, 1);
		put32(a + pos + 6, ttl);
		put16(a + pos + 10, (unsigned int)n);
		memset(a + pos + 12, 0, n);
		if (type == 28)
			put32(a + pos + 12, 0x2a00ffff);
		put32(a + pos + 12 + n - 4, type == 1 ? v4(number) : number);
		pos += 12 + n;
	} else {
		a[9] = 1;
		pos += soa(a + pos);
	}
	return pos;
}

int main(int argc, char **argv)
{
	static struct mmsghdr mi[BATCH], mo[BATCH];
	static struct iovec vi[BATCH], vo[BATCH];
	static struct sockaddr_storage from[BATCH];
	struct sockaddr_storage sa;
	int room = 16 << 20, fd;
	socklen_t len;
	FILE *log = NULL;

	if (argc < 4)
		return 2;
	len = wire_address(argv[1], (unsigned int)atoi(argv[2]), &sa);
	fd = socket(sa.ss_family, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&sa, len) < 0)
		wire_die("bind");
	if (argc > 4 && !(log = fopen(argv[4], "ab")))
		wire_die(argv[4]);
	for (int i = 0; i < BATCH; i++) {
		vi[i] = (struct iovec){ in[i], ROOM };
		mi[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
			                         .msg_namelen = sizeof(from[i]),
			                         .msg_iov = &vi[i],
			                         .msg_iovlen = 1 };
	}
	for (;;) {
		int n = recvmmsg(fd, mi, BATCH, MSG_WAITFORONE, NULL), m = 0;

		if (n <= 0)
			continue;
		for (int i = 0; i < n; i++) {
			size_t got = mi[i].msg_len,
			       made = answer(in[i], got, out[m], (uint32_t)atoi(argv[3]));

			if (log) {
				fputc((int)(got >> 8), log);
				fputc((int)(got & 255), log);
				fwrite(in[i], 1, got, log);
			}
			if (made) {
				vo[m] = (struct iovec){ out[m], made };
				mo[m].msg_hdr =
				    (struct msghdr){ .msg_name = &from[i],
					             .msg_namelen = mi[i].msg_hdr.msg_namelen,
					             .msg_iov = &vo[m],
					             .msg_iovlen = 1 };
				m++;
			}
		}
		if (log)
			fflush(log);
		for (int sent = 0; sent < m;) {
			int k = sendmmsg(fd, mo + sent, (unsigned int)(m - sent), 0);

			sent += k > 0 ? k : 1;
		}
		for (int i = 0; i < n; i++)
			mi[i].msg_hdr.msg_namelen = sizeof(from[i]);
	}
}
