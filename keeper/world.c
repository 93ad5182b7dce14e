/* keeper/world.c - asking the machine what a start would meet. */
#include "world.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "listeners.h"
#include "privileges.h"
#include "sallyport/err.h"
#include "shared.h"
#include "state.h"

#define FILES_BESIDE 256 /* the store, callers with their policies, memory, spare */

/* --- users ----------------------------------------------------------------------------------- */

static const char *const process_names[CONFIG_PROCESS_N] = {
	[CONFIG_RESOLVER] = "resolver",
	[CONFIG_HISTORIAN] = "historian",
	[CONFIG_FWSYNC] = "fwsync",
	[CONFIG_COMPILER] = "compiler",
};

static void warn_about_root(const struct config *config, struct diag *diag)
{
	size_t unset = 0;

	for (size_t i = 0; i < CONFIG_PROCESS_N; i++)
		unset += config->users[i].uid == UINT32_MAX;
	if (unset == CONFIG_PROCESS_N) {
		diag_add(
		    diag, DIAG_WARNING, config->file, 0, 0,
		    "user is not set: roles run as root without capabilities; name an ordinary "
		    "user");
		return;
	}
	for (size_t i = 0; i < CONFIG_PROCESS_N; i++) {
		if (config->users[i].uid == UINT32_MAX)
			diag_add(
			    diag, DIAG_WARNING, config->file, 0, 0,
			    "user.%s is not set: it runs as root without capabilities; name an "
			    "ordinary user",
			    process_names[i]);
	}
}

int world_check_user(const struct config *config, struct diag *diag)
{
	if (geteuid() == 0)
		warn_about_root(config, diag);
	for (size_t i = 0; i < CONFIG_PROCESS_N && !privileges_users(); i++) {
		if (config->users[i].uid != UINT32_MAX && config->users[i].uid != geteuid())
			return diag_set(
			    diag, -EPERM,
			    "user: running roles as another user needs root, or CAP_SETUID and "
			    "CAP_SETGID; start sallyportd as root, or leave user out");
	}
	if (config->resolver.firewall != FIREWALL_NONE && !privileges_have(CAP_NET_ADMIN))
		diag_add(
		    diag, DIAG_WARNING, config->file, 0, 0,
		    "the firewall needs CAP_NET_ADMIN, which is not here; without it nothing is "
		    "answered");
	return ERR_OK;
}

/* --- descriptors ----------------------------------------------------------------------------- */

/* Listening sockets twice over (a reload opens the new ones before the old are closed), and each
 * worker's memory and pairs. */
static uint64_t files_of_keeper(const struct config *config)
{
	return FILES_BESIDE + (uint64_t)config->workers * (4 * config->resolver.n_listeners + 6);
}

static uint64_t files_of_resolver(const struct config *config)
{
	return FILES_BESIDE + config->resolver.tcp_connections + config->resolver.in_flight +
	       (uint64_t)config->workers * (2 * config->resolver.n_listeners + 8);
}

int world_check_files(const struct config *config, struct diag *diag)
{
	struct rlimit limit;
	uint64_t least = files_of_keeper(config), good = files_of_resolver(config);

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return diag_set(diag, -errno, "open files: %s", strerror(errno));
	/* A start raises the soft limit as far as it may. */
	if (privileges_have(CAP_SYS_RESOURCE) || limit.rlim_max >= MAX(least, good))
		return ERR_OK;
	if (limit.rlim_max < least)
		return diag_set(diag, -EMFILE,
		                "open files: %" PRIu64
		                " are needed for these listeners and workers "
		                "and %" PRIu64 " are allowed; raise the limit (LimitNOFILE= of the "
		                "unit, ulimit -n), or name fewer listeners or workers",
		                least, (uint64_t)limit.rlim_max);
	diag_add(diag, DIAG_WARNING, config->file, 0, 0,
	         "open files: %" PRIu64 " are allowed, and %" PRIu64
	         " queries and connections at once "
	         "may need %" PRIu64 "; raise the limit (LimitNOFILE= of the unit, ulimit -n), or "
	         "lower limits.in_flight and limits.tcp_connections",
	         (uint64_t)limit.rlim_max,
	         (uint64_t)config->resolver.in_flight + config->resolver.tcp_connections, good);
	return ERR_OK;
}

/* --- the kernel's firewall ------------------------------------------------------------------- */

/* The cheapest question of nf_tables: its generation. Returns 0 or the kernel's -errno. */
static int ask_generation(int netlink)
{
	const struct timeval patience = { .tv_sec = 2 }, none = { 0 };
	struct {
		struct nlmsghdr head;
		struct nfgenmsg gen;
	} ask = {
		.head = { .nlmsg_len = sizeof(ask),
		          .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
		          .nlmsg_flags = NLM_F_REQUEST },
	};
	union {
		struct nlmsghdr head;
		uint8_t octets[4096];
	} reply;
	ssize_t n;
	int err;

	if (setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    send(netlink, &ask, sizeof(ask), 0) < 0)
		return -errno;
	n = recv(netlink, &reply, sizeof(reply), 0);
	err = n < 0 ? -errno : 0;
	if (setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none)) < 0 || err < 0)
		return err < 0 ? err : -errno;
	if ((size_t)n < sizeof(reply.head) + sizeof(err))
		return -EBADMSG;
	if (reply.head.nlmsg_type != NLMSG_ERROR)
		return ERR_OK;
	memcpy(&err, NLMSG_DATA(&reply.head), sizeof(err));
	return err;
}

int world_check_firewall(int netlink, struct diag *diag)
{
	int err = netlink < 0 ? netlink : ask_generation(netlink);

	switch (err) {
	case 0:
		return ERR_OK;
	case -EPERM:
	case -EACCES:
		return diag_set(
		    diag, err,
		    "firewall: nf_tables needs CAP_NET_ADMIN in this network namespace; "
		    "start sallyportd as root, or give it that capability (a unit's "
		    "AmbientCapabilities=), or set firewall.mode: none");
	case -EPROTONOSUPPORT:
	case -EAFNOSUPPORT:
	case -EINVAL:
	case -EOPNOTSUPP:
		return diag_set(diag, err,
		                "firewall: this kernel has no nf_tables (%s); load it (modprobe "
		                "nf_tables) or use a kernel that has it (CONFIG_NF_TABLES, "
		                "CONFIG_NF_TABLES_INET), or set firewall.mode: none",
		                strerror(-err));
	default:
		return diag_set(diag, err,
		                "firewall: the kernel's nf_tables cannot be asked: %s; see the "
		                "kernel's log",
		                err_str(err));
	}
}

/* --- all of it ------------------------------------------------------------------------------- */

/* Whoever has the state's lock holds his ports rightly. */
static void check_ports(const struct config *config, struct diag *diag)
{
	CLEANUP(listeners_free) struct listeners *listeners = NULL;

	if (state_in_use(config))
		return;
	if (listeners_open(&config->resolver, NULL, &listeners, diag) < 0)
		return; /* said in @diag */
}

static void check_firewall(const struct config *config, struct diag *diag)
{
	CLEANUP(fd_close) int netlink = -1;

	if (config->resolver.firewall == FIREWALL_NONE)
		return;
	if (geteuid() != 0 && !privileges_have(CAP_NET_ADMIN))
		return; /* whoever starts it may have it; world_check_user() has warned */
	netlink = shared_open_netlink();
	if (world_check_firewall(netlink, diag) < 0)
		return; /* said in @diag */
}

void world_check(const struct config *config, struct diag *diag)
{
	if (world_check_user(config, diag) < 0)
		return;
	state_check(config, diag);
	if (world_check_files(config, diag) == 0)
		check_ports(config, diag);
	check_firewall(config, diag);
}
