/* tests/e2e/tools/wire.c - the few octets of DNS that the test programs need. */
#include "wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

size_t wire_query(uint8_t *out, uint16_t id, const char *prefix, uint64_t index, const char *suffix,
                  uint16_t type)
{
	static const uint8_t opt[11] = { 0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0 };
	char name[256];
	size_t pos = 12;

	memset(out, 0, 12);
	out[0] = (uint8_t)(id >> 8);
	out[1] = (uint8_t)id;
	out[2] = 1; /* RD */
	out[5] = 1;
	out[11] = 1;
	snprintf(name, sizeof(name), "%s%llu.%s", prefix, (unsigned long long)index, suffix);
	for (char *label = strtok(name, "."); label; label = strtok(NULL, ".")) {
		size_t n = strlen(label);

		out[pos++] = (uint8_t)n;
		memcpy(out + pos, label, n);
		pos += n;
	}
	out[pos++] = 0;
	out[pos++] = (uint8_t)(type >> 8);
	out[pos++] = (uint8_t)type;
	out[pos++] = 0;
	out[pos++] = 1;
	memcpy(out + pos, opt, sizeof(opt));
	return pos + sizeof(opt);
}

size_t wire_skip_name(const uint8_t *msg, size_t len, size_t pos)
{
	while (pos < len) {
		if (msg[pos] >= 0xc0)
			return pos + 2 <= len ? pos + 2 : 0;
		if (msg[pos] == 0)
			return pos + 1;
		pos += 1u + msg[pos];
	}
	return 0;
}

socklen_t wire_address(const char *text, unsigned int port, struct sockaddr_storage *ret_sa)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		memcpy(ret_sa, &in, sizeof(in));
		return sizeof(in);
	}
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) != 1) {
		fprintf(stderr, "not an address: %s\n", text);
		exit(2);
	}
	memcpy(ret_sa, &in6, sizeof(in6));
	return sizeof(in6);
}

uint64_t wire_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void wire_die(const char *what)
{
	perror(what);
	exit(2);
}
