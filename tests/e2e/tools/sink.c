/* sink PORT - take UDP datagrams of 8 octets (a number) on every address and count distinct ones.
 *
 * Listens on IPv6 and, mapped, IPv4. Reads lines from standard input: "count" prints how many
 * distinct numbers have come, "reset" forgets them; end of input ends it.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

#define NUMBERS (1u << 24)

static uint8_t seen[NUMBERS / 8];

int main(int argc, char **argv)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int room = 64 << 20, fd;
	unsigned int distinct = 0;
	char line[64];

	if (argc != 2)
		return 2;
	len = wire_address("::", (unsigned int)atoi(argv[1]), &sa);
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&sa, len) < 0)
		wire_die("bind");
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	puts("ready");
	for (;;) {
		struct pollfd pfd[2] = { { fd, POLLIN, 0 }, { 0, POLLIN, 0 } };
		uint8_t buf[64];

		if (poll(pfd, 2, -1) < 0)
			return 1;
		for (int i = 0; i < 1000000; i++) {
			uint64_t number;

			if (recv(fd, buf, sizeof(buf), 0) < 8)
				break;
			memcpy(&number, buf, 8);
			number %= NUMBERS;
			if (!(seen[number / 8] & 1u << number % 8)) {
				seen[number / 8] |= (uint8_t)(1u << number % 8);
				distinct++;
			}
		}
		if (!pfd[1].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			return 0;
		if (strncmp(line, "reset", 5) == 0) {
			memset(seen, 0, sizeof(seen));
			distinct = 0;
		}
		printf("%u\n", distinct);
	}
}
