/* fwsync/shim.c - a kernel that is late, holds, swallows or refuses; linked into
 * sallyport-fwsync-shim only.
 */
#include "shim.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sallyport/log.h"

static struct {
	int (*upsert)(struct kernel *kernel, const struct element_wish *wishes, size_t n);
	long hold_ms, late_ms;
	int err;
	bool swallow;
} shim;

static void wait_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static int upsert(struct kernel *kernel, const struct element_wish *wishes, size_t n)
{
	int r;

	if (shim.err)
		return -shim.err;
	wait_ms(shim.late_ms);
	r = shim.upsert(kernel, wishes, n);
	wait_ms(shim.hold_ms);
	return r;
}

void shim_install(struct kernel *kernel)
{
	const char *text = getenv("SALLYPORT_TEST_SHIM");

	if (!text)
		return;
	if (strncmp(text, "hold=", 5) == 0)
		shim.hold_ms = strtol(text + 5, NULL, 10);
	else if (strncmp(text, "late=", 5) == 0)
		shim.late_ms = strtol(text + 5, NULL, 10);
	else if (strncmp(text, "errno=", 6) == 0)
		shim.err = (int)strtol(text + 6, NULL, 10);
	else if (strcmp(text, "swallow") == 0)
		shim.swallow = true;
	shim.upsert = kernel->upsert;
	kernel->upsert = upsert;
	log_warning("shim", "a test shim stands between us and the kernel: %s", text);
}

bool shim_swallows(void)
{
	return shim.swallow;
}
