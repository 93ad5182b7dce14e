/* tests/unit/keeper/fake_role.c - a tiny role for the tests of starting and replacing roles.
 *
 * CONFIG's number `a` says how it behaves after END. It reports the descriptors that it was born
 * with, and how many it was sent, in APPLIED before READY.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_role.h"
#include "sallyport/counter.h"
#include "sallyport/clock.h"
#include "sallyport/role.h"

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* "0 1 2 3" */
static void born_with(char *out, size_t cap)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int fds[256];
	size_t n = 0, len = 0;

	*out = '\0';
	if (!dir)
		return;
	while ((entry = readdir(dir)) && n < ARRAY_LEN(fds)) {
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir))
			fds[n++] = atoi(entry->d_name);
	}
	closedir(dir);
	qsort(fds, n, sizeof(fds[0]), by_number);
	for (size_t i = 0; i < n && len < cap; i++)
		len += (size_t)snprintf(out + len, cap - len, "%s%d", i ? " " : "", fds[i]);
}

static struct stats_page *page;
static enum fake_mode mode;
static uint64_t n_fds;

/* Returns false at the end. */
static bool handle(struct role_msg *msg, const char *born)
{
	if (msg->type == ROLE_MSG_CONFIG) {
		mode = (enum fake_mode)msg->a;
		n_fds += msg->n_fds;
	} else if (msg->type == ROLE_MSG_STATS) {
		if (stats_map(msg->fds[0], 1, &page) < 0)
			return false;
	} else if (msg->type == ROLE_MSG_END) {
		if (mode == FAKE_DIE_AT_ONCE)
			exit(3);
		role_send(ROLE_FD, ROLE_MSG_APPLIED, n_fds, 0, born, strlen(born), NULL, 0);
		if (page)
			page->lanes[0].heartbeat_ns = page->lanes[1].heartbeat_ns = clock_mono_ns();
		if (mode != FAKE_NEVER_READY)
			role_send(ROLE_FD, ROLE_MSG_READY, 0, 0, NULL, 0, NULL, 0);
		if (mode == FAKE_NONSENSE && write(ROLE_FD, "nonsense", 8) < 0)
			exit(4);
	} else if (msg->type == ROLE_MSG_DRAIN && mode != FAKE_NEVER_DRAIN) {
		exit(0);
	}
	return true;
}

int main(void)
{
	static uint8_t buf[LIMIT_ROLE_MESSAGE];
	char born[1024];
	bool going = true;

	born_with(born, sizeof(born));
	while (going) {
		struct role_msg msg;

		if (role_recv(ROLE_FD, buf, sizeof(buf), &msg) < 0)
			return 0;
		going = handle(&msg, born);
		role_msg_close(&msg);
	}
	return 5;
}
