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
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;
static int (*kernels)(clockid_t id, struct timespec *ts);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("WALLCLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
	void *symbol = dlsym(RTLD_NEXT, "clock_gettime");

	if (map == MAP_FAILED || !symbol)
		abort();
	memcpy(&kernels, &symbol, sizeof(kernels));
	offset = map;
	close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = kernels(id, ts);
	int64_t ns;

	if (r < 0 || id != CLOCK_REALTIME)
		return r;
	ns = (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec + *offset;
	ts->tv_sec = ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return r;
}
