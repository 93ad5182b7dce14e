/* fwsync/nl.c - transactions of nf_tables. */
#include "nl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "sallyport/err.h"

#define SNDBUF_BYTES (16 << 20)
#define RCVBUF_BYTES (2 << 20)
#define MARGIN 4096u /* kept free for the end of the transaction */
#define RECV_BYTES 65536u
#define RECV_MAX 65536 /* datagrams read for one answer: a bound, not an expectation */

static uint32_t align4(uint32_t len)
{
	return (len + 3) & ~UINT32_C(3); /* NLMSG_ALIGN, without its change of sign */
}

static int portid_of(int fd, uint32_t *ret_portid)
{
	struct sockaddr_nl addr = { 0 };
	socklen_t len = sizeof(addr);

	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return -errno;
	if (len != sizeof(addr) || addr.nl_family != AF_NETLINK)
		return ERR_INVAL;
	*ret_portid = addr.nl_pid;
	return ERR_OK;
}

/* Throw away what a predecessor has not read. */
static void drain(int fd)
{
	uint8_t buf[4096];

	for (int i = 0; i < RECV_MAX; i++)
		if (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) < 0 && errno != EINTR &&
		    errno != ENOBUFS)
			return;
}

int nl_open(struct nl *nl, int write_fd)
{
	CLEANUP(fd_close) int read_fd = -1;
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	struct timeval patience = { .tv_sec = 2 }; /* the kernel answers at once, or never */
	int one = 1, bytes = SNDBUF_BYTES;
	uint32_t portid = 0;
	int r;

	r = portid_of(write_fd, &portid);
	if (r < 0)
		return r;
	read_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (read_fd < 0 || bind(read_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	drain(write_fd);
	if (setsockopt(write_fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one)) < 0 ||
	    setsockopt(write_fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		return -errno;
	bytes = RCVBUF_BYTES;
	if (setsockopt(write_fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		return -errno;
	if (setsockopt(read_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	nl->buf = malloc(NL_BUF_BYTES);
	nl->answer = malloc(RECV_BYTES);
	if (!nl->buf || !nl->answer) {
		free(nl->buf);
		free(nl->answer);
		return ERR_NOMEM;
	}
	nl->cap = NL_BUF_BYTES;
	nl->len = 0;
	nl->write_fd = write_fd;
	nl->read_fd = fd_take(&read_fd);
	nl->write_portid = portid;
	nl->seq = 1;
	return ERR_OK;
}

void nl_fini(struct nl *nl)
{
	free(nl->buf);
	free(nl->answer);
	nl->buf = nl->answer = NULL;
	if (nl->read_fd >= 0)
		close(nl->read_fd);
	nl->read_fd = -1;
}

static void put_batch(struct nl *nl, uint16_t type)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(nl->buf + nl->len);
	struct nfgenmsg *nfg;

	msg->nlmsg_type = type;
	msg->nlmsg_flags = NLM_F_REQUEST;
	msg->nlmsg_seq = nl->seq++;
	nfg = mnl_nlmsg_put_extra_header(msg, sizeof(*nfg));
	nfg->nfgen_family = AF_UNSPEC;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(NFNL_SUBSYS_NFTABLES);
	nl->len += align4(msg->nlmsg_len);
}

void nl_begin(struct nl *nl)
{
	nl->len = 0;
	nl->overflow = false;
	nl->table = NL_TABLE;
	nl->first_seq = nl->seq;
	nl->ack_seq = 0;
	put_batch(nl, NFNL_MSG_BATCH_BEGIN);
}

struct nlmsghdr *nl_message(struct nl *nl, uint16_t type, uint16_t flags, uint16_t family,
                            size_t max)
{
	struct nlmsghdr *msg;
	struct nfgenmsg *nfg;

	if (nl->overflow || max + MARGIN > nl->cap - nl->len) {
		nl->overflow = true;
		return NULL;
	}
	msg = mnl_nlmsg_put_header(nl->buf + nl->len);
	msg->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	msg->nlmsg_flags = NLM_F_REQUEST | flags;
	msg->nlmsg_seq = nl->seq++;
	nfg = mnl_nlmsg_put_extra_header(msg, sizeof(*nfg));
	nfg->nfgen_family = (uint8_t)family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = 0;
	return msg;
}

void nl_message_end(struct nl *nl, const struct nlmsghdr *msg)
{
	nl->len += align4(msg->nlmsg_len);
	nl->ack_seq = msg->nlmsg_seq;
}

/* The last message asks for an acknowledgement: it comes after the commit. */
static void ask_ack(struct nl *nl)
{
	size_t at = 0;

	while (at < nl->len) {
		struct nlmsghdr *msg = (struct nlmsghdr *)(void *)(nl->buf + at);

		if (msg->nlmsg_seq == nl->ack_seq) {
			msg->nlmsg_flags |= NLM_F_ACK;
			return;
		}
		at += align4(msg->nlmsg_len);
	}
}

int nl_commit(struct nl *nl)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	uint8_t buf[8192] __attribute__((aligned(8)));
	bool acked = false, lost = false;
	int err = 0;

	if (nl->overflow)
		return -EMSGSIZE;
	if (nl->ack_seq == 0)
		return ERR_OK; /* nothing to do */
	ask_ack(nl);
	put_batch(nl, NFNL_MSG_BATCH_END);
	if (sendto(nl->write_fd, nl->buf, nl->len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) <
	    0)
		return -errno;

	for (int i = 0; i < RECV_MAX; i++) {
		ssize_t n = recv(nl->write_fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 &&
		    errno == ENOBUFS) { /* an answer was lost: it may have been a refusal */
			lost = true;
			continue;
		}
		if (n < 0)
			break;

		int left = (int)n;

		for (struct nlmsghdr *msg = (void *)buf; mnl_nlmsg_ok(msg, left);
		     msg = mnl_nlmsg_next(msg, &left)) {
			if (msg->nlmsg_type != NLMSG_ERROR ||
			    msg->nlmsg_seq - nl->first_seq >= nl->seq - nl->first_seq ||
			    mnl_nlmsg_get_payload_len(msg) < sizeof(struct nlmsgerr))
				continue; /* an older transaction's, or not an answer */

			const struct nlmsgerr *e = mnl_nlmsg_get_payload(msg);

			if (e->error != 0 && err == 0)
				err = e->error;
			else if (e->error == 0 && msg->nlmsg_seq == nl->ack_seq)
				acked = true;
		}
	}
	if (err != 0)
		return err;
	return acked && !lost ? ERR_OK : ERR_TIMEOUT;
}

struct nlmsghdr *nl_question(struct nl *nl, void *buf, uint16_t type, uint16_t flags,
                             uint16_t family)
{
	return nftnl_nlmsg_build_hdr(buf, type, family, flags, nl->seq++);
}

int nl_ask(struct nl *nl, struct nlmsghdr *msg, nl_answer_cb *cb, void *data)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	uint8_t *buf = nl->answer;

	msg->nlmsg_flags |= NLM_F_REQUEST;
	if ((msg->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		msg->nlmsg_flags |= NLM_F_ACK;
	if (sendto(nl->read_fd, msg, msg->nlmsg_len, 0, (struct sockaddr *)&kernel,
	           sizeof(kernel)) < 0)
		return -errno;
	for (int i = 0; i < RECV_MAX; i++) {
		ssize_t n = recv(nl->read_fd, buf, RECV_BYTES, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;

		int left = (int)n;

		for (struct nlmsghdr *got = (void *)buf; mnl_nlmsg_ok(got, left);
		     got = mnl_nlmsg_next(got, &left)) {
			if (got->nlmsg_seq != msg->nlmsg_seq)
				continue;
			if (got->nlmsg_type == NLMSG_ERROR)
				return mnl_nlmsg_get_payload_len(got) < sizeof(struct nlmsgerr)
				           ? ERR_MALFORMED
				           : ((struct nlmsgerr *)mnl_nlmsg_get_payload(got))->error;
			if (got->nlmsg_type == NLMSG_DONE)
				return ERR_OK;
			if (cb) {
				int r = cb(got, data);

				if (r < 0)
					return r;
			}
		}
	}
	return ERR_TIMEOUT;
}
