/* tests/chaos/wallclock.c - a wall clock that jumps, preloaded into a daemon and its roles.
 *
 * The kernel cannot give a process a CLOCK_REALTIME of its own. WALLCLOCK names a file of eight
 * octets, nanoseconds to add; it is mapped before anything else runs, so that a role which has
 * confined itself goes on seeing it change.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;
static int (*kernels)(clockid_t id, struct timespec *ts);
static int (*kernels_recvmmsg)(int fd, struct mmsghdr *msgs, unsigned int n, int flags,
                               struct timespec *timeout);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("WALLCLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
	void *symbol = dlsym(RTLD_NEXT, "clock_gettime"), *receive = dlsym(RTLD_NEXT, "recvmmsg");

	if (map == MAP_FAILED || !symbol || !receive)
		abort();
	memcpy(&kernels, &symbol, sizeof(kernels));
	memcpy(&kernels_recvmmsg, &receive, sizeof(kernels_recvmmsg));
	offset = map;
	close(fd);
}

static void shift(struct timespec *ts)
{
	int64_t ns = (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec + *offset;

	ts->tv_sec = ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
}

/* The kernel's notes of when datagrams came go by the same clock. */
int recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags, struct timespec *timeout)
{
	int got = kernels_recvmmsg(fd, msgs, n, flags, timeout);

	for (int i = 0; i < got; i++) {
		struct msghdr *msg = &msgs[i].msg_hdr;

		for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
			struct timespec ts;

			if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
				continue;
			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			shift(&ts);
			memcpy(CMSG_DATA(c), &ts, sizeof(ts));
		}
	}
	return got;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = kernels(id, ts);

	if (r == 0 && id == CLOCK_REALTIME)
		shift(ts);
	return r;
}
