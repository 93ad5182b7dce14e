/* fwsync/monitor.c - notifications of nf_tables. */
#include "monitor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "sallyport/err.h"

#include "element.h"
#include "nl.h"

#define RCVBUF_BYTES (8 << 20)
#define READ_MAX 4096 /* datagrams of one call; the rest at the next */

/* One datagram holds one sender's messages: keep it unless its first nlmsg_pid is ours. */
static int filter_own(int fd, uint32_t portid)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 12), /* nlmsg_pid, loaded as network order */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(portid), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = { .len = ARRAY_LEN(code), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
	                                                                                   : 0;
}

int monitor_open(struct monitor *monitor, uint32_t own_portid)
{
	CLEANUP(fd_close) int fd = -1;
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int group = NFNLGRP_NFTABLES, bytes = RCVBUF_BYTES;
	int r;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		return -errno;
	r = filter_own(fd, own_portid);
	if (r < 0)
		return r;
	if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return -errno;
	monitor->fd = fd_take(&fd);
	monitor->own_portid = own_portid;
	return ERR_OK;
}

void monitor_close(struct monitor *monitor)
{
	if (monitor->fd >= 0)
		close(monitor->fd);
	monitor->fd = -1;
}

/* In every kind of message the first attribute names the table (NFTA_*_TABLE is 1). */
static bool about_us(const struct nlmsghdr *msg)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(msg);
	const struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(msg) < sizeof(*nfg) || nfg->nfgen_family != NFPROTO_INET)
		return false;
	nl_for_each_attr(attr, msg,
	                 sizeof(*nfg)) if (mnl_attr_get_type(attr) ==
	                                   1) return mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >=
		0 &&
	    strcmp(mnl_attr_get_str(attr), NL_TABLE) == 0;
	return false;
}

static void on_key(const struct nlattr *key, const char *set, struct monitor_news *news)
{
	const struct nlattr *value;

	nl_for_each_nested(value, key)
	{
		if (mnl_attr_get_type(value) != NFTA_DATA_VALUE)
			continue;
		if (news->n_elements == MONITOR_ELEMENTS)
			news->lost = true;
		else if (element_from_key(set, mnl_attr_get_payload(value),
		                          mnl_attr_get_payload_len(value),
		                          &news->elements[news->n_elements]) == 0)
			news->n_elements++;
		else
			news->others = true;
	}
}

static void on_elements(const struct nlmsghdr *msg, struct monitor_news *news)
{
	const struct nlattr *attr, *item, *key;
	const char *set = NULL;

	nl_for_each_attr(
	    attr, msg,
	    sizeof(struct nfgenmsg)) if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_SET &&
	                                 mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0) set =
	    mnl_attr_get_str(attr);
	if (!set)
		return;
	nl_for_each_attr(attr, msg, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		nl_for_each_nested(item, attr)
		    nl_for_each_nested(key, item) if (mnl_attr_get_type(key) == NFTA_SET_ELEM_KEY)
			on_key(key, set, news);
	}
}

static void on_message(const struct monitor *monitor, const struct nlmsghdr *msg,
                       struct monitor_news *news)
{
	if (msg->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || msg->nlmsg_pid == monitor->own_portid)
		return;
	switch (msg->nlmsg_type & 0xff) {
	case NFT_MSG_NEWSETELEM:
	case NFT_MSG_DELSETELEM:
		if (about_us(msg))
			on_elements(msg, news);
		break;
	case NFT_MSG_NEWGEN: /* the end of somebody's transaction */
		break;
	default:
		if (about_us(msg))
			news->table = true;
		break;
	}
}

int monitor_read(const struct monitor *monitor, struct monitor_news *ret_news)
{
	_Alignas(8) uint8_t buf[65536];

	ret_news->table = ret_news->lost = ret_news->others = false;
	ret_news->n_elements = 0;
	for (int i = 0; i < READ_MAX; i++) {
		ssize_t n = recv(monitor->fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);
		int left;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			ret_news->lost = true;
			continue;
		}
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -errno;
		if ((size_t)n > sizeof(buf)) {
			ret_news->lost = true;
			n = sizeof(buf);
		}
		left = (int)n;
		for (struct nlmsghdr *msg = (void *)buf; mnl_nlmsg_ok(msg, left);
		     msg = mnl_nlmsg_next(msg, &left))
			on_message(monitor, msg, ret_news);
	}
	return ret_news->table || ret_news->lost || ret_news->others || ret_news->n_elements > 0;
}
