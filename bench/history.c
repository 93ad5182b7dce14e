/* bench/history.c - how fast the historian takes in what the workers tell it.
 *
 *   build/release/bench/bench_history FOLDER [RECORDS]      default 400000
 *
 * One thread fills a ring as large as a worker's and has a historian of its own empty it into
 * FOLDER (a new one for each kind of load), by the real clock, until the last record is in a file.
 * Prints records a second and microseconds of processor time a record; the ring never loses any.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "db/area.h"
#include "historian.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/ring.h"

#define SLOTS 262144 /* keeper/shared.h */
#define ROOM 16      /* slots: more than a record and its answer take here */

enum load { LOAD_NEW, LOAD_DENIED, LOAD_KNOWN, LOAD_FOLDED, LOAD_MIXED, LOAD_N };
static const char *const titles[LOAD_N] = {
	[LOAD_NEW] = "new names, each with its answer",
	[LOAD_DENIED] = "new names, denied",
	[LOAD_KNOWN] = "1,000 names that are known, 200 clients",
	[LOAD_FOLDED] = "one name, one client",
	[LOAD_MIXED] = "the four in turn",
};

static void put(struct ring_producer *ring, uint64_t i, enum load load, uint64_t wall_ns)
{
	struct record_query query = { .head = { .type = RECORD_QUERY },
		                      .id = (uint64_t)1 << 40 | i,
		                      .time_ns = wall_ns,
		                      .policy_version = 1,
		                      .rule = 0,
		                      .feed = RECORD_NO_RULE,
		                      .latency_us = 300,
		                      .ttl = 300,
		                      .client_port = (uint16_t)(i * 7919),
		                      .qtype = 1,
		                      .qclass = 1,
		                      .ede = RECORD_NO_EDE,
		                      .proto = IPPROTO_UDP,
		                      .verdict = VERDICT_ALLOW,
		                      .reason = REASON_RULE };
	const uint8_t v4[4] = { 192, 0, 2, (uint8_t)(load == LOAD_KNOWN ? i / 1000 % 200 : 7) };
	char name[64];

	if (load == LOAD_NEW) {
		struct record_answer answer = { .head = { .type = RECORD_ANSWER },
			                        .n_rrs = 1,
			                        .upstream_port = 53,
			                        .dnssec = DNSSEC_UNCHECKED };
		struct {
			struct record_rr rr;
			char texts[96];
		} tail = { .rr = { .ttl = 300, .type = 1 } };
		const uint8_t addr[4] = { 198, 51, (uint8_t)(i >> 8), (uint8_t)i };
		size_t len;

		memcpy(answer.answer_id, &i, sizeof(i));
		answer.answer_id[15] = 1;
		addr_from_v4(v4, answer.upstream);
		addr_from_v4(addr, tail.rr.addr);
		tail.rr.owner_len =
		    (uint16_t)sprintf(tail.texts, "n%llu.example.org.", (unsigned long long)i);
		tail.rr.data_len = (uint16_t)sprintf(tail.texts + tail.rr.owner_len, "198.51.%u.%u",
		                                     (unsigned)addr[2], (unsigned)addr[3]);
		len = (sizeof(tail.rr) + tail.rr.owner_len + tail.rr.data_len + 3) & ~(size_t)3;
		answer.head.len = (uint32_t)(sizeof(answer) + len);
		memcpy(query.answer_id, answer.answer_id, ANSWER_ID_LEN);
		if (!ring_put(ring, &answer.head, &tail, len))
			abort();
	}
	if (load == LOAD_DENIED) {
		query.verdict = VERDICT_DENY;
		query.rcode = 3;
		query.ede = 15;
	}
	addr_from_v4(v4, query.client);
	query.name_len = (uint16_t)sprintf(name,
	                                   load == LOAD_DENIED  ? "x%llu.denied.example."
	                                   : load == LOAD_NEW   ? "n%llu.example.org."
	                                   : load == LOAD_KNOWN ? "k%llu.example.org."
	                                                        : "one.example.org.",
	                                   (unsigned long long)(load == LOAD_KNOWN ? i % 1000 : i));
	query.head.len = (uint32_t)sizeof(query) + query.name_len;
	query.head.hint =
	    load == LOAD_FOLDED ? 1 : (uint16_t)((i % 1000 * 40503 + v4[3] * 30011) | 1);
	if (!ring_put(ring, &query.head, name, query.name_len))
		abort();
}

static uint64_t boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static int run(const char *folder, enum load load, uint64_t n)
{
	static struct stats_lane lane;
	struct historian_options options = { .gid = (gid_t)-1, .lane = &lane };
	CLEANUP(historian_free) struct historian *h = NULL;
	struct ring_producer ring;
	char dir[4096];
	uint64_t begin, cpu, longest = 0, sum, i = 0;
	int data_fd, back_fd;

	memset(&lane, 0, sizeof(lane));
	snprintf(dir, sizeof(dir), "%s/%d", folder, (int)load);
	if (mkdir(dir, 0700) != 0)
		return -errno;
	options.dir = dir;
	options.area_len = historian_area_bytes();
	options.area =
	    mmap(NULL, options.area_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (options.area == MAP_FAILED || ring_create(SLOTS, &data_fd, &back_fd) < 0 ||
	    ring_producer_open(&ring, data_fd, back_fd) < 0 || historian_new(&options, &h) < 0 ||
	    historian_add_ring(h, 0, data_fd, back_fd) < 0)
		return ERR_NOMEM;
	historian_start(h, clock_wall_ns(), boot_ns());
	begin = clock_mono_ns();
	cpu = cpu_ns();
	while (i < n) {
		uint64_t tail = atomic_load(&ring.back->tail), now = clock_mono_ns();

		for (unsigned int burst = 0; burst < 4096 && i < n; burst++, i++) {
			if (ring.next - tail + ROOM > SLOTS / 8 * 7)
				break;
			put(&ring, i, load == LOAD_MIXED ? (enum load)(i % 4) : load,
			    clock_wall_ns());
		}
		ring_publish(&ring);
		historian_tick(h, clock_wall_ns(), boot_ns());
		longest = MAX(longest, clock_mono_ns() - now);
	}
	if (historian_stop(h, clock_wall_ns(), boot_ns()) < 0)
		return ERR_STORE;
	sum = atomic_load(&lane.counts[COUNT_HISTORY_ROWS]) +
	      atomic_load(&lane.counts[COUNT_HISTORY_FOLDED]);
	begin = clock_mono_ns() - begin;
	printf("%-42s %8.0f records/s, %5.2f us of processor a record, longest step %4.0f ms, "
	       "%llu transactions\n",
	       titles[load], (double)n * 1e9 / (double)begin,
	       (double)(cpu_ns() - cpu) / 1e3 / (double)n, (double)longest / 1e6,
	       (unsigned long long)atomic_load(&lane.counts[COUNT_HISTORY_TRANSACTIONS]));
	ring_producer_close(&ring);
	close(data_fd);
	close(back_fd);
	munmap(options.area, options.area_len);
	if (sum != n)
		fprintf(stderr, "%llu of %llu are in the files\n", (unsigned long long)sum,
		        (unsigned long long)n);
	return sum == n ? 0 : ERR_DAMAGED;
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 400000;

	if (argc < 2) {
		fprintf(stderr, "usage: bench_history FOLDER [RECORDS]\n");
		return 2;
	}
	for (enum load load = 0; load < LOAD_N; load++) {
		int r = run(argv[1], load, n);

		if (r < 0) {
			fprintf(stderr, "%s: %s\n", titles[load], err_str(r));
			return 1;
		}
	}
	return 0;
}
