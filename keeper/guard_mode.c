/* keeper/guard_mode.c - `sallyportd --guard`: the closed table before the network is up.
 *
 * Only fwsync is run, once; nothing else is opened, so that a broken disk cannot leave the table
 * open. A table that a running daemon holds is left as it is (fwsync's duty).
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "guarded.h"
#include "keeper.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "sallyport/shm.h"
#include "spawn.h"

#define TAG "guard"
#define GUARD_TIMEOUT_S 30

/* Without firewall.guard: whom the last policy guarded. A disk that does not tell is no reason not
 * to close the table. With a faulty configuration: who was guarded last, besides whom it names, for
 * what it does not say any more may be what is faulty. *ret_nobody: there is nobody. */
static int open_guarded(const struct config *config, bool is_faulty, bool *ret_nobody)
{
	bool named = config->fwsync.n_prefixes > 0 || config->fwsync.n_interfaces > 0;
	int guard = is_faulty ? guarded_last(config) : guarded_load(config);
	const char *why = guard == ERR_NOENT ? "there was none" : err_str(guard);

	*ret_nobody = !named && guard < 0;
	if (is_faulty && !*ret_nobody)
		log_error(TAG,
		          "the configuration has faults: closed is %s%s%s; mend it, sallyportd "
		          "does not start like this",
		          named ? "what can be read of its firewall.guard" : "",
		          named && guard >= 0 ? " and " : "",
		          guard >= 0 ? "whom the last policy guarded" : "");
	else if (is_faulty)
		log_error(TAG,
		          "the configuration has faults, and NOBODY is guarded: no firewall.guard "
		          "can be read, and whom the last policy guarded is not known (%s)",
		          why);
	else if (*ret_nobody)
		log_warning(
		    TAG,
		    "nobody is guarded until a policy is: firewall.guard is not set, and whom "
		    "the last policy guarded is not known (%s)",
		    why);
	return guard;
}

static int send_conf(int channel, const struct config *config, int netlink, int guard)
{
	CLEANUP(fd_close)
	int conf = shm_create_sealed("sallyport-conf", &config->fwsync, sizeof(config->fwsync));
	int r;

	if (conf < 0)
		return conf;
	r = role_send(channel, ROLE_MSG_CONFIG, 0, 0, NULL, 0, &conf, 1);
	if (r == 0)
		r = role_send(channel, ROLE_MSG_NETLINK, 0, 0, NULL, 0, &netlink, 1);
	if (r == 0 && guard >= 0)
		r = role_send(channel, ROLE_MSG_GUARD, 0, 0, NULL, 0, &guard, 1);
	return r < 0 ? r : role_send(channel, ROLE_MSG_END, 0, 0, NULL, 0, NULL, 0);
}

/* Until it closes its end, with what it has to say. Returns 0, or ERR_AGAIN after the time. */
static int listen_to(int channel)
{
	static uint8_t buf[LIMIT_ROLE_MESSAGE];

	for (int i = 0; i < 100; i++) {
		struct role_msg msg;
		int r = role_recv(channel, buf, sizeof(buf), &msg);

		if (r == ERR_AGAIN)
			return r;
		if (r < 0)
			return ERR_OK;
		if (msg.type == ROLE_MSG_FAILED)
			log_error(TAG, "fwsync: %.*s", (int)MIN(msg.len, (size_t)500),
			          (const char *)msg.payload);
		role_msg_close(&msg);
	}
	return ERR_OK;
}

int keeper_guard(const struct config *config, bool is_faulty)
{
	struct spawn spawn = { .program = "sallyport-fwsync",
		               .argument = "--guard",
		               .death_signal = SIGKILL };
	const struct timeval limit = { .tv_sec = GUARD_TIMEOUT_S };
	CLEANUP(fd_close) int ours = -1;
	CLEANUP(fd_close) int theirs = -1;
	CLEANUP(fd_close) int netlink = -1;
	CLEANUP(fd_close) int guard = -1;
	bool nobody;
	pid_t pid = 0;
	int r, status = 0;

	if (config->resolver.firewall == FIREWALL_NONE) {
		log_info(TAG, "firewall.mode is none: there is no table");
		return is_faulty;
	}
	guard = open_guarded(config, is_faulty, &nobody);
	netlink = shared_open_netlink();
	if (netlink < 0) {
		log_error(TAG, "the nftables socket cannot be opened: %s", err_str(netlink));
		return 2;
	}
	r = spawn_channel(&ours, &theirs);
	if (r == 0) {
		spawn.channel = theirs;
		r = spawn_start(&spawn, &pid);
	}
	if (r < 0) {
		log_error(TAG, "%s cannot be started: %s", spawn.program, err_str(r));
		return 2;
	}
	close(fd_take(&theirs));
	/* Whatever goes wrong on the way is the program's exit status in the end. */
	(void)setsockopt(ours, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	r = send_conf(ours, config, netlink, guard);
	if (r == 0)
		r = listen_to(ours);
	if (r < 0) {
		log_error(TAG, "fwsync does not answer: %s", err_str(r));
		kill(pid, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return 2;
	}
	if (WIFSIGNALED(status)) {
		log_error(TAG, "fwsync died of signal %d", WTERMSIG(status));
		return 2;
	}
	if (WEXITSTATUS(status) != 0)
		return WEXITSTATUS(status);
	log_info(TAG, "the closed table is in place");
	return !is_faulty ? 0 : nobody ? 2 : 1;
}
