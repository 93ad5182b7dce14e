/* fwsync/flows.c - conntrack over netlink, parsed with libnetfilter_conntrack. */
#include "flows.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "sallyport/err.h"
#include "sallyport/log.h"

#include "element.h"
#include "nl.h"

#define PIECE_BYTES 65536
#define RCVBUF_BYTES (1 << 20)

static void nfct_destroy_cleanup(struct nf_conntrack **ct)
{
	if (*ct)
		nfct_destroy(*ct);
}

static int open_socket(void)
{
	CLEANUP(fd_close) int fd = -1;
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	struct timeval patience = { .tv_sec = 2 };
	int one = 1, bytes = RCVBUF_BYTES;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one)) < 0)
		return -errno;
	return fd_take(&fd);
}

static struct nlmsghdr *head(void *buf, uint32_t seq, uint16_t type, uint16_t flags, uint8_t family)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;

	msg->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	msg->nlmsg_flags = NLM_F_REQUEST | flags;
	msg->nlmsg_seq = seq;
	nfg = mnl_nlmsg_put_extra_header(msg, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = 0;
	return msg;
}

static int say(int fd, const struct nlmsghdr *msg)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	return sendto(fd, msg, msg->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0
	           ? -errno
	           : 0;
}

/* Does the kernel speak this protocol at all? Its statistics are a small question. */
static int try_it(int fd)
{
	uint8_t buf[8192] __attribute__((aligned(8)));
	int r = say(fd, head(buf, 1, IPCTNL_MSG_CT_GET_STATS, NLM_F_ACK, AF_UNSPEC));

	for (int i = 0; r == 0 && i < 16; i++) { /* the answer, then the acknowledgement */
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		int left = (int)n;

		if (n < 0 && errno != EINTR)
			return -errno;
		for (const struct nlmsghdr *msg = (const void *)buf;
		     n > 0 && mnl_nlmsg_ok(msg, left); msg = mnl_nlmsg_next(msg, &left))
			if (msg->nlmsg_type == NLMSG_ERROR)
				return mnl_nlmsg_get_payload_len(msg) < sizeof(struct nlmsgerr)
				           ? ERR_MALFORMED
				           : ((const struct nlmsgerr *)mnl_nlmsg_get_payload(msg))
				                 ->error;
	}
	return r < 0 ? r : ERR_TIMEOUT;
}

int flows_open(struct flows *flows, uint32_t egress, uint32_t inbound)
{
	int r;
	CLEANUP(fd_close) int dump_fd = open_socket();
	CLEANUP(fd_close) int cut_fd = open_socket();

	if (dump_fd < 0)
		return fd_take(&dump_fd);
	if (cut_fd < 0)
		return fd_take(&cut_fd);
	r = try_it(cut_fd);
	if (r < 0)
		return r;
	*flows = (struct flows){ .egress = egress, .inbound = inbound, .mark = egress, .seq = 1 };
	flows->dump_fd = fd_take(&dump_fd);
	flows->cut_fd = fd_take(&cut_fd);
	return ERR_OK;
}

void flows_close(struct flows *flows)
{
	if (flows->dump_fd >= 0)
		close(flows->dump_fd);
	if (flows->cut_fd >= 0)
		close(flows->cut_fd);
	flows->dump_fd = flows->cut_fd = -1;
}

int flows_start(struct flows *flows, enum flows_purpose purpose)
{
	uint8_t buf[256] __attribute__((aligned(8)));
	struct nlmsghdr *msg;
	int r;

	if (flows->running)
		return ERR_AGAIN;
	flows->mark = purpose == FLOWS_CUT_INBOUND ? flows->inbound : flows->egress;
	flows->pass_seq = ++flows->seq;
	msg = head(buf, flows->pass_seq, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);
	mnl_attr_put_u32(msg, CTA_MARK, htonl(flows->mark));
	mnl_attr_put_u32(msg, CTA_MARK_MASK, htonl(flows->mark));
	r = say(flows->dump_fd, msg);
	if (r < 0)
		return r;
	flows->running = true;
	flows->cutting = purpose == FLOWS_CUT || purpose == FLOWS_CUT_INBOUND;
	flows->counting = purpose == FLOWS_COUNT;
	flows->n_cut = flows->n_seen = 0;
	flows->err = 0;
	return ERR_OK;
}

/* What the first packet looked like in the forward chain: behind DNAT, before SNAT. The original
 * source, and the source of the replies. Returns false for what we cannot name. */
static bool endpoints(const struct nf_conntrack *ct, uint8_t src[static ADDR_LEN],
                      uint8_t dst[static ADDR_LEN], uint8_t *ret_proto, uint16_t *ret_port)
{
	uint8_t family = nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO);

	if (family == AF_INET && nfct_attr_is_set(ct, ATTR_ORIG_IPV4_SRC) > 0 &&
	    nfct_attr_is_set(ct, ATTR_REPL_IPV4_SRC) > 0) {
		addr_from_v4(nfct_get_attr(ct, ATTR_ORIG_IPV4_SRC), src);
		addr_from_v4(nfct_get_attr(ct, ATTR_REPL_IPV4_SRC), dst);
	} else if (family == AF_INET6 && nfct_attr_is_set(ct, ATTR_ORIG_IPV6_SRC) > 0 &&
	           nfct_attr_is_set(ct, ATTR_REPL_IPV6_SRC) > 0) {
		memcpy(src, nfct_get_attr(ct, ATTR_ORIG_IPV6_SRC), ADDR_LEN);
		memcpy(dst, nfct_get_attr(ct, ATTR_REPL_IPV6_SRC), ADDR_LEN);
	} else {
		return false;
	}
	*ret_proto = nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO);
	*ret_port = nfct_attr_is_set(ct, ATTR_REPL_PORT_SRC) > 0
	                ? ntohs(nfct_get_attr_u16(ct, ATTR_REPL_PORT_SRC))
	                : 0;
	return true;
}

/* Over, or as good as: such an entry explains nothing any more. */
static bool is_over(const struct nf_conntrack *ct)
{
	uint8_t state;

	if (nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO) != IPPROTO_TCP ||
	    nfct_attr_is_set(ct, ATTR_TCP_STATE) <= 0)
		return false;
	state = nfct_get_attr_u8(ct, ATTR_TCP_STATE);
	return state == TCP_CONNTRACK_TIME_WAIT || state == TCP_CONNTRACK_CLOSE;
}

/* The entry goes, and our bit with it. Were only the bit taken, the entry would live as long as its
 * sender goes on, and a connection from the same port would be refused for good, though its
 * pinhole is open again: the bit is given to first packets alone. */
static int cut(struct flows *flows, const struct nf_conntrack *ct)
{
	uint8_t buf[4096] __attribute__((aligned(8)));
	CLEANUP(nfct_destroy) struct nf_conntrack *name = nfct_new();
	uint8_t family = nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO);
	struct nlmsghdr *msg;
	int r;

	if (!name)
		return ERR_NOMEM;
	nfct_copy(name, ct, NFCT_CP_ORIG);
	if (nfct_attr_is_set(ct, ATTR_ZONE) > 0)
		nfct_copy_attr(name, ct, ATTR_ZONE);
	msg = head(buf, ++flows->seq, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, family);
	if (nfct_nlmsg_build(msg, name) < 0)
		return -EINVAL;
	r = say(flows->cut_fd, msg);
	if (r < 0)
		return r;
	for (int i = 0; i < 16; i++) {
		ssize_t n = recv(flows->cut_fd, buf, sizeof(buf), 0);
		const struct nlmsghdr *got = (const void *)buf;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!mnl_nlmsg_ok(got, (int)n) || got->nlmsg_seq != flows->seq ||
		    got->nlmsg_type != NLMSG_ERROR ||
		    mnl_nlmsg_get_payload_len(got) < sizeof(struct nlmsgerr))
			continue;
		return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(got))->error;
	}
	return ERR_TIMEOUT;
}

/* A connection from outside: does the policy still want it? TCP may always begin there. */
static bool inbound_stands(const struct inbound *inbound, const struct nf_conntrack *ct)
{
	uint8_t src[ADDR_LEN], dst[ADDR_LEN], proto;
	uint16_t port;

	return !endpoints(ct, src, dst, &proto, &port) || proto != IPPROTO_UDP ||
	       inbound_has(inbound, dst, port);
}

/* What has passed through it both ways, if the kernel keeps account. */
static struct use_flow passed(const struct nf_conntrack *ct)
{
	struct use_flow flow = { 0 };

	if (nfct_attr_is_set(ct, ATTR_ORIG_COUNTER_PACKETS) <= 0 ||
	    nfct_attr_is_set(ct, ATTR_REPL_COUNTER_PACKETS) <= 0)
		return flow;
	flow.accounted = true;
	flow.packets = nfct_get_attr_u64(ct, ATTR_ORIG_COUNTER_PACKETS) +
	               nfct_get_attr_u64(ct, ATTR_REPL_COUNTER_PACKETS);
	flow.octets = nfct_get_attr_u64(ct, ATTR_ORIG_COUNTER_BYTES) +
	              nfct_get_attr_u64(ct, ATTR_REPL_COUNTER_BYTES);
	return flow;
}

static void on_flow(struct flows *flows, struct book *book, const struct inbound *inbound,
                    struct use *use, const struct nlmsghdr *msg)
{
	CLEANUP(nfct_destroy) struct nf_conntrack *ct = nfct_new();
	struct ledger_element candidates[ELEMENT_CANDIDATES];
	uint8_t src[ADDR_LEN], dst[ADDR_LEN], proto;
	bool explained = false, over;
	uint16_t port;
	int r;

	if (!ct || nfct_nlmsg_parse(msg, ct) < 0) { /* perhaps one that has to be cut */
		flows->err = ct ? ERR_MALFORMED : ERR_NOMEM;
		return;
	}
	if (!(nfct_get_attr_u32(ct, ATTR_MARK) & flows->mark))
		return;
	flows->n_seen++;
	over = is_over(ct);
	if (flows_were_inbound(flows))
		explained = inbound_stands(inbound, ct);
	else if (endpoints(ct, src, dst, &proto, &port)) {
		element_candidates(src, dst, proto, port, candidates);
		if (flows->counting && !over)
			use_count(use, book, candidates, passed(ct));
		for (int i = 0; i < ELEMENT_CANDIDATES && !flows->counting; i++) {
			explained |= book_explains(book, &candidates[i]);
			if (!over)
				book_flow_seen(book, &candidates[i]);
		}
	}
	if (explained || !flows->cutting)
		return;
	r = cut(flows, ct);
	if (r == 0 && !over)
		flows->n_cut++;
	else if (r < 0 && r != -ENOENT) /* ENOENT: it ended by itself */
		flows->err = r;
}

bool flows_were_inbound(const struct flows *flows)
{
	return flows->mark == flows->inbound;
}

int flows_read(struct flows *flows, struct book *book, const struct inbound *inbound,
               struct use *use)
{
	_Alignas(8) uint8_t buf[PIECE_BYTES];
	ssize_t n = recv(flows->dump_fd, buf, sizeof(buf), MSG_DONTWAIT);
	int left;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0) {
		flows->running = false;
		return -errno;
	}
	left = (int)n;
	for (struct nlmsghdr *msg = (void *)buf; mnl_nlmsg_ok(msg, left);
	     msg = mnl_nlmsg_next(msg, &left)) {
		if (msg->nlmsg_seq != flows->pass_seq)
			continue; /* what a pass that failed has left behind */
		if (flows->counting && (msg->nlmsg_flags & NLM_F_DUMP_INTR))
			flows->err = -EINTR;
		if (msg->nlmsg_type == NLMSG_DONE || msg->nlmsg_type == NLMSG_ERROR) {
			int32_t err = 0;

			if (mnl_nlmsg_get_payload_len(msg) >= sizeof(err))
				memcpy(&err, mnl_nlmsg_get_payload(msg), sizeof(err));
			flows->running = false;
			err = err < 0 ? err : flows->err;
			return err < 0 ? err : 1;
		}
		on_flow(flows, book, inbound, use, msg);
	}
	return 0;
}
