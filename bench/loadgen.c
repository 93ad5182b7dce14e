/* loadgen - a closed loop of DNS queries over UDP, fast enough to saturate one core's server.
 *
 * usage: loadgen -s SERVER -p PORT [-b SOURCE] -n NAMES [-f FIRST] -x SUFFIX -l SECONDS
 *                [-w WINDOW] [-k SOCKETS] [-t a|6|a6] [-o] [-a] [-r RATE]
 *
 * Asks <i>.SUFFIX for i from FIRST, NAMES of them, again and again (-o: once only). WINDOW
 * questions are open at a time over SOCKETS sockets; batches of 32 leave and arrive with one system
 * call. It spins (without -r), because a generator that sleeps measures the scheduler. A question
 * without an answer for a second is lost. With -a the AD flag is set, and counted in answers. With
 * -r RATE questions leave a second, whatever comes back, and each one's time runs from when it was
 * due, so that a server that stops for a while is seen by all that should have been asked. Prints
 * one line of key=value: secs qps sent received lost noerror servfail nxdomain refused empty ad
 * p50_us p90_us p99_us p999_us.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32
#define SOCKETS_MAX 16
#define MSG_ROOM 512
#define BUCKETS 4096 /* of the latency histogram: 64 a power of two */

struct lane { /* one socket */
	int fd;
	uint16_t next_id;
	unsigned int open;
	uint64_t sent_ns[65536]; /* by ID; 0: not open */
};

static struct lane lanes[SOCKETS_MAX];
static struct mmsghdr out_msgs[BATCH], in_msgs[BATCH];
static struct iovec out_iov[BATCH], in_iov[BATCH];
static uint8_t out_buf[BATCH][MSG_ROOM], in_buf[BATCH][4096];
static uint64_t histogram[BUCKETS], received, rcodes[16], empty, lost, sent, ad;
static bool want_ad;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Six bits of mantissa: buckets are about 1.6 % wide. */
static unsigned int bucket(uint64_t ns)
{
	unsigned int exponent;

	if (ns < 64)
		return (unsigned int)ns;
	exponent = 63u - (unsigned int)__builtin_clzll(ns);
	return (exponent - 5) * 64 + (unsigned int)(ns >> (exponent - 6) & 63);
}

static double percentile_us(double p)
{
	uint64_t want = (uint64_t)(p * (double)received), sum = 0;

	for (unsigned int i = 0; i < BUCKETS; i++) {
		sum += histogram[i];
		if (sum > want)
			return (i < 64 ? i : (double)((64 + i % 64) * (1ull << (i / 64 - 1)))) /
			       1000;
	}
	return 0;
}

static size_t build(uint8_t *out, uint64_t i, const char *suffix, unsigned int type)
{
	static const uint8_t opt[11] = { 0, 0, 41, 0x04, 0xd0 };
	static const uint8_t head[10] = { 1, 0, 0, 1, 0, 0, 0, 0, 0, 1 };
	char name[256];
	size_t pos = 12;

	memcpy(out + 2, head, sizeof(head));
	if (want_ad)
		out[3] |= 0x20;
	snprintf(name, sizeof(name), "n%llu.%s", (unsigned long long)i, suffix);
	for (const char *p = name; *p;) {
		size_t n = strcspn(p, ".");

		out[pos++] = (uint8_t)n;
		memcpy(out + pos, p, n);
		pos += n;
		p += n + (p[n] == '.');
	}
	out[pos++] = 0;
	out[pos++] = (uint8_t)(type >> 8);
	out[pos++] = (uint8_t)type;
	out[pos++] = 0;
	out[pos++] = 1;
	memcpy(out + pos, opt, sizeof(opt));
	return pos + sizeof(opt);
}

static int open_socket(const char *server, unsigned int port, const char *source)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in from = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 8 << 20;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (inet_pton(AF_INET, server, &to.sin_addr) != 1 ||
	    (source && inet_pton(AF_INET, source, &from.sin_addr) != 1) ||
	    (source && bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror(server);
		exit(2);
	}
	return fd;
}

static void receive(struct lane *lane)
{
	int n = recvmmsg(lane->fd, in_msgs, BATCH, MSG_DONTWAIT, NULL);
	uint64_t now = now_ns();

	for (int i = 0; i < n; i++) {
		const uint8_t *msg = in_buf[i];
		uint16_t id = (uint16_t)(msg[0] << 8 | msg[1]);

		if (in_msgs[i].msg_len < 12 || !lane->sent_ns[id])
			continue;
		histogram[bucket(now - lane->sent_ns[id])]++;
		lane->sent_ns[id] = 0;
		lane->open--;
		received++;
		rcodes[msg[3] & 15]++;
		empty += !(msg[6] | msg[7]);
		ad += (msg[3] & 0x20) != 0;
	}
}

static void give_up_old(struct lane *lane, uint64_t now)
{
	for (unsigned int id = 0; id < 65536 && lane->open; id++) {
		if (!lane->sent_ns[id] || now - lane->sent_ns[id] < 1000000000u)
			continue;
		lane->sent_ns[id] = 0;
		lane->open--;
		lost++;
	}
}

int main(int argc, char **argv)
{
	const char *server = "127.0.0.1", *source = NULL, *suffix = NULL, *types = "a";
	unsigned int port = 53, window = 128, n_lanes = 4;
	uint64_t names = 10000, first = 0, next = 0, total, begin, end, scanned;
	double seconds = 5, rate = 0;
	bool once = false, any_open = true;
	size_t *lengths;
	uint8_t(*messages)[MSG_ROOM];

	for (int c; (c = getopt(argc, argv, "s:p:b:n:f:x:l:w:k:t:oar:")) != -1;) {
		switch (c) {
		case 's':
			server = optarg;
			break;
		case 'p':
			port = (unsigned int)atoi(optarg);
			break;
		case 'b':
			source = optarg;
			break;
		case 'n':
			names = strtoull(optarg, NULL, 10);
			break;
		case 'f':
			first = strtoull(optarg, NULL, 10);
			break;
		case 'x':
			suffix = optarg;
			break;
		case 'l':
			seconds = atof(optarg);
			break;
		case 'w':
			window = (unsigned int)atoi(optarg);
			break;
		case 'k':
			n_lanes = (unsigned int)atoi(optarg);
			break;
		case 't':
			types = optarg;
			break;
		case 'o':
			once = true;
			break;
		case 'r':
			rate = atof(optarg);
			break;
		case 'a':
			want_ad = true;
			break;
		default:
			return 2;
		}
	}
	if (!suffix || n_lanes < 1 || n_lanes > SOCKETS_MAX || (rate > 0 && n_lanes != 1))
		return 2;
	/* All messages before the clock starts. */
	total = names * strlen(types);
	messages = calloc(total, MSG_ROOM);
	lengths = calloc(total, sizeof(*lengths));
	if (!messages || !lengths)
		return 2;
	for (uint64_t i = 0; i < total; i++)
		lengths[i] = build(messages[i], first + i / strlen(types), suffix,
		                   types[i % strlen(types)] == '6' ? 28 : 1);
	for (unsigned int i = 0; i < n_lanes; i++)
		lanes[i].fd = open_socket(server, port, source);
	for (int i = 0; i < BATCH; i++) {
		in_iov[i] = (struct iovec){ in_buf[i], sizeof(in_buf[i]) };
		in_msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &in_iov[i], .msg_iovlen = 1 };
		out_iov[i].iov_base = out_buf[i];
		out_msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &out_iov[i], .msg_iovlen = 1 };
	}
	begin = scanned = now_ns();
	end = begin + (uint64_t)(seconds * 1e9);
	while (any_open) {
		uint64_t now = now_ns();
		bool asking = now < end && !(once && next >= total);

		any_open = asking;
		for (unsigned int k = 0; k < n_lanes; k++) {
			struct lane *lane = &lanes[k];
			unsigned int room =
			    window / n_lanes > lane->open ? window / n_lanes - lane->open : 0;
			unsigned int n = 0;

			uint64_t due = now;

			/* Wait for a good part of a batch: small ones cost a call each. */
			if (room < BATCH / 4 && lane->open)
				room = 0;
			if (rate > 0) {
				due = begin + (uint64_t)((double)sent * 1e9 / rate);
				room = due <= now;
			}
			while (asking && n < room && n < BATCH && !(once && next >= total)) {
				uint64_t i = next++ % total;
				uint16_t id = lane->next_id++;

				if (lane->sent_ns[id]) {
					lost++;
					lane->open--;
				}
				memcpy(out_buf[n], messages[i], lengths[i]);
				out_buf[n][0] = (uint8_t)(id >> 8);
				out_buf[n][1] = (uint8_t)id;
				out_iov[n].iov_len = lengths[i];
				lane->sent_ns[id] = due;
				lane->open++;
				n++;
			}
			for (unsigned int done = 0; done < n;) {
				int r = sendmmsg(lane->fd, out_msgs + done, n - done, 0);

				done += r > 0 ? (unsigned int)r : 1;
			}
			sent += n;
			if (lane->open)
				receive(lane);
			any_open |= lane->open > 0;
		}
		if (rate > 0) {
			struct pollfd fd = { lanes[0].fd, POLLIN, 0 };
			uint64_t due = begin + (uint64_t)((double)sent * 1e9 / rate);
			uint64_t left = due > now_ns() ? due - now_ns() : 0;
			struct timespec wait = { 0, (long)(left < 50000000u ? left : 50000000u) };

			if (left > 0)
				ppoll(&fd, 1, &wait, NULL);
		}
		if (now - scanned > 200000000u) {
			scanned = now;
			for (unsigned int k = 0; k < n_lanes; k++)
				give_up_old(&lanes[k], now);
		}
	}

	double secs = (double)((once ? now_ns() : end) - begin) / 1e9;

	printf("secs=%.3f qps=%.0f sent=%llu received=%llu lost=%llu noerror=%llu servfail=%llu "
	       "nxdomain=%llu refused=%llu empty=%llu ad=%llu p50_us=%.1f p90_us=%.1f p99_us=%.1f "
	       "p999_us=%.1f\n",
	       secs, (double)received / secs, (unsigned long long)sent,
	       (unsigned long long)received, (unsigned long long)lost,
	       (unsigned long long)rcodes[0], (unsigned long long)rcodes[2],
	       (unsigned long long)rcodes[3], (unsigned long long)rcodes[5],
	       (unsigned long long)empty, (unsigned long long)ad, percentile_us(0.5),
	       percentile_us(0.9), percentile_us(0.99), percentile_us(0.999));
	return 0;
}
