/* tests/fuzz/fwsync/fwsync_role.c - whatever a keeper says to the firewall role before it runs.
 *
 * It reads through its own main.c; no descriptor is a netlink socket, so it never comes so far as
 * to ask the kernel for anything. What was mapped twice (a keeper sends it once) is given back
 * here.
 */
#include "../role_records.h"
#include "sallyport/shm.h"

static size_t mapped; /* octets of the newest mapping */

static int noting_map(int fd, enum shm_access access, size_t min_len, void **ret_data,
                      size_t *ret_len)
{
	int r = shm_map(fd, access, min_len, ret_data, ret_len);

	if (r == 0)
		mapped = *ret_len;
	return r;
}

int fwsync_main(int argc, char **argv);
#define main fwsync_main
#define log_msg say_nothing
#define shm_map noting_map
/* NOLINTNEXTLINE(bugprone-suspicious-include): to reach what is static in it */
#include "main.c"
#undef main
#undef log_msg
#undef shm_map

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void say_nothing(enum log_level level, const char *tag, const char *format, ...)
{
	(void)level;
	(void)tag;
	(void)format;
}

static const size_t sizes[8] = {
	[1] = sizeof(struct fwsync_conf), [2] = sizeof(struct stats_page), [3] = 4096, [4] = 65536
};

/* One message, and what it has replaced. @epoch_len: octets of the epoch page. */
static int hear(struct fwsync *s, size_t *epoch_len)
{
	struct stats_page *stats = s->stats;
	struct pinhole_epoch *epoch = s->fw.epoch_page;
	int r = turn_channel(s);

	if (stats && stats != s->stats)
		munmap(stats, sizeof(*stats));
	if (epoch == s->fw.epoch_page)
		return r;
	if (epoch)
		munmap(epoch, *epoch_len);
	*epoch_len = mapped;
	return r;
}

static void end(struct fwsync *s, size_t epoch_len)
{
	for (unsigned int w = 0; w < LIMIT_WORKERS; w++) {
		struct pair *pair = &s->pairs[w];

		if (pair->next_fd >= 0)
			close(pair->next_fd);
		free(pair->in);
		free(pair->out);
		free(pair->views);
	}
	if (s->netlink_fd >= 0)
		close(s->netlink_fd);
	guard_fini(&s->next_guard);
	if (s->fw.book)
		firewall_fini(&s->fw);
	ledger_close(&s->ledger);
	if (s->stats)
		munmap(s->stats, sizeof(*s->stats));
	if (s->fw.epoch_page)
		munmap(s->fw.epoch_page, epoch_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fwsync state;
	unsigned int n_open = record_open_fds();
	size_t epoch_len = 0;
	int pair[2], r = ERR_OK;
	struct record record;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	memset(&state, 0, sizeof(state));
	state.channel = pair[0];
	state.netlink_fd = -1;
	for (unsigned int w = 0; w < LIMIT_WORKERS; w++)
		state.pairs[w].fd = state.pairs[w].next_fd = -1;
	while (r == ERR_OK && !state.draining && record_next(&data, &size, &record)) {
		(void)record_send(pair[1], &record, sizes); /* what is no message is refused */
		r = hear(&state, &epoch_len);
		if (state.running)
			abort();
	}
	end(&state, epoch_len);
	close(pair[0]);
	close(pair[1]);
	if (record_open_fds() != n_open)
		abort();
	return 0;
}
