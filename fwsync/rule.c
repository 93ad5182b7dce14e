/* fwsync/rule.c - the rules, built with libnftnl. */
#include "rule.h"

#include <netinet/in.h> /* before the kernel's headers, which then leave its structs alone */

#include <errno.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "sallyport/err.h"

#define RULE_MAX 4096u
enum {
	IP_CT_DIR_ORIGINAL,
	IP_CT_DIR_REPLY
}; /* nf_conntrack_tuple_common.h has them for the kernel only */

#define LOG_LEVEL_INFO_KERNEL 6u /* LOGLEVEL_INFO; NF's log statement counts as syslog does */

const struct rule_chain rule_chains[] = {
	{ "forward", NF_INET_FORWARD },
	{ "input", NF_INET_LOCAL_IN },
	{ "output", NF_INET_LOCAL_OUT },
	{ "egress", -1 },
	{ "open", -1 },
	{ "ingress", -1 },
	{ "gateway", -1 },
	{ "neighbours", -1 },
	{ "outward", -1 },
	{ "refuse", -1 },
};
const size_t rule_n_chains = ARRAY_LEN(rule_chains);

const char *const rule_counters[] = { "refused_forward", "refused_gateway", "dropped_inbound",
	                              "observed", "spoofed" };
const size_t rule_n_counters = ARRAY_LEN(rule_counters);

enum {
	REG = NFT_REG32_00, /* the first of sixteen registers of four octets */
	STATE_ESTABLISHED = 2,
	STATE_RELATED = 4,
	STATE_NEW = 8,
	TCP_FLAGS_OFFSET = 13,
	TCP_SYN = 0x02,
	TCP_HANDSHAKE = 0x17, /* FIN, SYN, RST, ACK */
};

/* A rule under construction; the first failed allocation sticks. */
struct maker {
	struct nl *nl;
	struct nftnl_rule *rule;
	uint32_t egress, inbound;
	unsigned int kernel; /* enum rule_kernel */
	int err;
};

static void begin(struct maker *m, const char *chain)
{
	if (m->err < 0)
		return;
	m->rule = nftnl_rule_alloc();
	if (!m->rule) {
		m->err = ERR_NOMEM;
		return;
	}
	nftnl_rule_set_u32(m->rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
	nftnl_rule_set_str(m->rule, NFTNL_RULE_TABLE, NL_TABLE);
	nftnl_rule_set_str(m->rule, NFTNL_RULE_CHAIN, chain);
}

static void end(struct maker *m)
{
	struct nlmsghdr *msg;

	if (m->err < 0) {
		nftnl_rule_free(m->rule);
		m->rule = NULL;
		return;
	}
	msg =
	    nl_message(m->nl, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, NFPROTO_INET, RULE_MAX);
	if (msg) {
		nftnl_rule_nlmsg_build_payload(msg, m->rule);
		nl_message_end(m->nl, msg);
	}
	nftnl_rule_free(m->rule);
	m->rule = NULL;
}

/* A new expression at the rule's end; NULL after a failure. */
static struct nftnl_expr *expr(struct maker *m, const char *name)
{
	struct nftnl_expr *e;

	if (m->err < 0)
		return NULL;
	e = nftnl_expr_alloc(name);
	if (!e) {
		m->err = ERR_NOMEM;
		return NULL;
	}
	nftnl_rule_add_expr(m->rule, e);
	return e;
}

static void load_meta(struct maker *m, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = expr(m, "meta");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
}

static void load_payload(struct maker *m, uint32_t base, uint32_t offset, uint32_t len,
                         uint32_t reg)
{
	struct nftnl_expr *e = expr(m, "payload");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

static void load_ct(struct maker *m, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = expr(m, "ct");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, reg);
}

static void compare(struct maker *m, uint32_t op, const void *data, uint32_t len)
{
	struct nftnl_expr *e = expr(m, "cmp");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, REG);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, len);
}

static void bits(struct maker *m, uint32_t len, const void *mask, const void * xor)
{
	struct nftnl_expr *e = expr(m, "bitwise");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, REG);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, REG);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, len);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask, len);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, xor, len);
}

static void lookup(struct maker *m, const char *set)
{
	struct nftnl_expr *e = expr(m, "lookup");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, REG);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
}

static void lookup_not(struct maker *m, const char *set)
{
	struct nftnl_expr *e = expr(m, "lookup");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, REG);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

static void verdict(struct maker *m, int code, const char *chain)
{
	struct nftnl_expr *e = expr(m, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
	if (chain)
		nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
}

/* Matches, as nft would write them. */

static void is_nfproto(struct maker *m, uint8_t nfproto)
{
	load_meta(m, NFT_META_NFPROTO, REG);
	compare(m, NFT_CMP_EQ, &nfproto, sizeof(nfproto));
}

static void is_l4proto(struct maker *m, uint8_t proto)
{
	load_meta(m, NFT_META_L4PROTO, REG);
	compare(m, NFT_CMP_EQ, &proto, sizeof(proto));
}

static void transport_u8(struct maker *m, uint32_t offset, uint32_t op, uint8_t value)
{
	load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, offset, 1, REG);
	compare(m, op, &value, sizeof(value));
}

static void has_state(struct maker *m, uint32_t states)
{
	static const uint32_t zero;

	load_ct(m, NFT_CT_STATE, REG);
	bits(m, sizeof(states), &states, &zero);
	compare(m, NFT_CMP_NEQ, &zero, sizeof(zero));
}

static void has_mark(struct maker *m, uint32_t any_of)
{
	static const uint32_t zero;

	load_ct(m, NFT_CT_MARK, REG);
	bits(m, sizeof(any_of), &any_of, &zero);
	compare(m, NFT_CMP_NEQ, &zero, sizeof(zero));
}

static void has_direction(struct maker *m, uint8_t direction)
{
	load_ct(m, NFT_CT_DIRECTION, REG);
	compare(m, NFT_CMP_EQ, &direction, sizeof(direction));
}

/* A connection begins: SYN, and neither ACK nor RST nor FIN (RFC 9293, section 3.5). */
static void is_syn(struct maker *m, uint32_t op)
{
	static const uint8_t mask = TCP_HANDSHAKE, zero, syn = TCP_SYN;

	load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS_OFFSET, 1, REG);
	bits(m, 1, &mask, &zero);
	compare(m, op, &syn, sizeof(syn));
}

enum side { SADDR, DADDR };

static void addr_in(struct maker *m, uint8_t nfproto, enum side side, const char *set)
{
	uint32_t len = nfproto == NFPROTO_IPV4 ? 4 : 16;
	uint32_t offset = nfproto == NFPROTO_IPV4 ? 12 : 8;

	is_nfproto(m, nfproto);
	load_payload(m, NFT_PAYLOAD_NETWORK_HEADER, offset + (side == DADDR ? len : 0), len, REG);
	lookup(m, set);
}

static void ifname_in(struct maker *m, uint32_t key)
{
	load_meta(m, key, REG);
	lookup(m, "guarded_if");
}

/* Statements. */

static void set_mark(struct maker *m, uint32_t bit)
{
	uint32_t keep = ~bit;
	struct nftnl_expr *e;

	load_ct(m, NFT_CT_MARK, REG);
	bits(m, sizeof(keep), &keep, &bit);
	e = expr(m, "ct");
	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, NFT_CT_MARK);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_SREG, REG);
}

static void count_in(struct maker *m, const char *counter)
{
	struct nftnl_expr *e = expr(m, "objref");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	nftnl_expr_set_str(e, NFTNL_EXPR_OBJREF_IMM_NAME, counter);
}

/* A few lines a second for the kernel's log: a sample for people, the counters are exact. */
static void put_log(struct maker *m, const char *chain, const char *prefix)
{
	struct nftnl_expr *e;

	if (!(m->kernel & RULE_LOG))
		return;
	begin(m, chain);
	e = expr(m, "limit");
	if (e) {
		nftnl_expr_set_u64(e, NFTNL_EXPR_LIMIT_RATE, 5);
		nftnl_expr_set_u64(e, NFTNL_EXPR_LIMIT_UNIT, 1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LIMIT_BURST, 5);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LIMIT_FLAGS, 0);
	}
	e = expr(m, "log");
	if (e) {
		nftnl_expr_set_str(e, NFTNL_EXPR_LOG_PREFIX, prefix);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOG_LEVEL, LOG_LEVEL_INFO_KERNEL);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOG_FLAGS, 0);
	}
	end(m);
}

static void put_reject(struct maker *m, const char *chain, uint32_t type, uint8_t code,
                       uint8_t l4proto)
{
	struct nftnl_expr *e;

	begin(m, chain);
	if (l4proto)
		is_l4proto(m, l4proto);
	e = expr(m, "reject");
	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, type);
		nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, code);
	}
	end(m);
}

/* Chains. */

/* Who is guarded? By interface whatever the source, and by source; the same for those who talk to
 * them. Egress first: it is the stricter one. */
static void put_who(struct maker *m, const char *chain, const char *from, const char *to)
{
	if (from) {
		begin(m, chain);
		ifname_in(m, NFT_META_IIFNAME);
		verdict(m, NFT_GOTO, from);
		end(m);
		begin(m, chain);
		addr_in(m, NFPROTO_IPV4, SADDR, "guarded4");
		verdict(m, NFT_GOTO, from);
		end(m);
		begin(m, chain);
		addr_in(m, NFPROTO_IPV6, SADDR, "guarded6");
		verdict(m, NFT_GOTO, from);
		end(m);
	}
	if (to) {
		begin(m, chain);
		ifname_in(m, NFT_META_OIFNAME);
		verdict(m, NFT_GOTO, to);
		end(m);
		begin(m, chain);
		addr_in(m, NFPROTO_IPV4, DADDR, "guarded4");
		verdict(m, NFT_GOTO, to);
		end(m);
		begin(m, chain);
		addr_in(m, NFPROTO_IPV6, DADDR, "guarded6");
		verdict(m, NFT_GOTO, to);
		end(m);
	}
}

/* ICMP errors about a connection have its entry, hence its bits. "Related" connections of a
 * conntrack helper inherit the bits, too; they are not ICMP and stay outside. */
static void put_related(struct maker *m, const char *chain, uint32_t any_of)
{
	static const uint8_t protos[] = { IPPROTO_ICMP, IPPROTO_ICMPV6 };

	for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
		begin(m, chain);
		has_state(m, STATE_RELATED);
		is_l4proto(m, protos[i]);
		if (any_of)
			has_mark(m, any_of);
		verdict(m, NF_ACCEPT, NULL);
		end(m);
	}
}

/* Is this the interface through which the source would be answered? The kernel knows the sources
 * that have no route yet (DHCP, duplicate address detection). */
static void put_spoofed(struct maker *m, const char *chain)
{
	static const uint8_t none[4];
	struct nftnl_expr *e;

	if (!(m->kernel & RULE_FIB))
		return;
	begin(m, chain);
	e = expr(m, "fib");
	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, REG);
		nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_OIF);
		nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF);
	}
	compare(m, NFT_CMP_EQ, none, sizeof(none));
	count_in(m, "spoofed");
	verdict(m, NF_DROP, NULL);
	end(m);
}

static void put_egress(struct maker *m)
{
	static const char *const chain = "egress";

	put_spoofed(m, chain);
	begin(m, chain);
	has_state(m, STATE_ESTABLISHED | STATE_NEW);
	has_mark(m, m->egress);
	verdict(m, NF_ACCEPT, NULL);
	end(m);
	put_related(m, chain, m->egress | m->inbound);
	begin(m, chain);
	has_state(m, STATE_ESTABLISHED);
	has_direction(m, IP_CT_DIR_REPLY);
	has_mark(m, m->inbound);
	verdict(m, NF_ACCEPT, NULL);
	end(m);
	begin(m, chain);
	has_state(m, STATE_NEW);
	verdict(m, NFT_JUMP, "open");
	end(m);
	for (int i = 0; i < 2; i++) {
		begin(m, chain);
		addr_in(m, i == 0 ? NFPROTO_IPV4 : NFPROTO_IPV6, SADDR,
		        i == 0 ? "observed4" : "observed6");
		count_in(m, "observed");
		verdict(m, NF_ACCEPT, NULL);
		end(m);
	}
	put_log(m, chain, "sallyport refused: ");
	begin(m, chain);
	count_in(m, "refused_forward");
	verdict(m, NFT_GOTO, "refuse");
	end(m);
}

/* The first packet: its pinhole sets the egress bit. */
static void put_pinhole(struct maker *m, uint8_t nfproto, int fields, const char *set)
{
	uint32_t len = nfproto == NFPROTO_IPV4 ? 4 : 16;
	uint32_t offset = nfproto == NFPROTO_IPV4 ? 12 : 8;
	uint32_t next = REG + len / 4 * 2;

	begin(m, "open");
	is_nfproto(m, nfproto);
	/* Source and destination stand side by side in both headers. */
	load_payload(m, NFT_PAYLOAD_NETWORK_HEADER, offset, len, REG);
	load_payload(m, NFT_PAYLOAD_NETWORK_HEADER, offset + len, len, REG + len / 4);
	if (fields >= 3)
		load_meta(m, NFT_META_L4PROTO, next);
	if (fields >= 4)
		load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, next + 1);
	lookup(m, set);
	set_mark(m, m->egress);
	verdict(m, NF_ACCEPT, NULL);
	end(m);
}

static void put_open(struct maker *m)
{
	put_pinhole(m, NFPROTO_IPV4, 4, "pinhole4");
	put_pinhole(m, NFPROTO_IPV6, 4, "pinhole6");
	put_pinhole(m, NFPROTO_IPV4, 2, "pinhole4_any");
	put_pinhole(m, NFPROTO_IPV6, 2, "pinhole6_any");
	/* `icmp` in a policy means echo requests. */
	begin(m, "open");
	is_l4proto(m, IPPROTO_ICMP);
	transport_u8(m, 0, NFT_CMP_NEQ, ICMP_ECHO);
	verdict(m, NFT_RETURN, NULL);
	end(m);
	begin(m, "open");
	is_l4proto(m, IPPROTO_ICMPV6);
	transport_u8(m, 0, NFT_CMP_NEQ, ICMP6_ECHO_REQUEST);
	verdict(m, NFT_RETURN, NULL);
	end(m);
	put_pinhole(m, NFPROTO_IPV4, 3, "pinhole4_proto");
	put_pinhole(m, NFPROTO_IPV6, 3, "pinhole6_proto");
}

static void put_ingress(struct maker *m)
{
	static const char *const chain = "ingress";

	begin(m, chain);
	has_state(m, STATE_ESTABLISHED);
	has_direction(m, IP_CT_DIR_REPLY);
	has_mark(m, m->egress);
	verdict(m, NF_ACCEPT, NULL);
	end(m);
	put_related(m, chain, m->egress | m->inbound);
	begin(m, chain);
	has_state(m, STATE_ESTABLISHED | STATE_NEW);
	has_direction(m, IP_CT_DIR_ORIGINAL);
	has_mark(m, m->inbound);
	verdict(m, NF_ACCEPT, NULL);
	end(m);
	begin(m, chain);
	has_state(m, STATE_NEW);
	is_l4proto(m, IPPROTO_TCP);
	is_syn(m, NFT_CMP_EQ);
	set_mark(m, m->inbound);
	verdict(m, NF_ACCEPT, NULL);
	end(m);
	for (int i = 0; i < 2; i++) {
		begin(m, chain);
		addr_in(m, i == 0 ? NFPROTO_IPV4 : NFPROTO_IPV6, DADDR,
		        i == 0 ? "observed4" : "observed6");
		verdict(m, NF_ACCEPT, NULL);
		end(m);
	}
	begin(m, chain);
	count_in(m, "dropped_inbound");
	verdict(m, NF_DROP, NULL);
	end(m);
}

static void put_input(struct maker *m)
{
	static const char lo[16] = "lo";

	begin(m, "input");
	load_meta(m, NFT_META_IIFNAME, REG);
	compare(m, NFT_CMP_EQ, lo, sizeof(lo));
	verdict(m, NF_ACCEPT, NULL);
	end(m);
	put_who(m, "input", "gateway", NULL);
}

static void put_service(struct maker *m, uint8_t nfproto, const char *set)
{
	uint32_t len = nfproto == NFPROTO_IPV4 ? 4 : nfproto == NFPROTO_IPV6 ? 16 : 0;
	uint32_t next = REG + len / 4;

	begin(m, "gateway");
	if (len > 0) {
		is_nfproto(m, nfproto);
		load_payload(m, NFT_PAYLOAD_NETWORK_HEADER, len == 4 ? 16 : 24, len, REG);
	}
	load_meta(m, NFT_META_L4PROTO, next);
	load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, next + 1);
	lookup(m, set);
	verdict(m, NF_ACCEPT, NULL);
	end(m);
}

/* MLD (RFC 2710, 3810) and neighbour discovery (RFC 4861), but neither router advertisements nor
 * redirects, which are routers' words. They stay on the link, whatever their source. */
static void put_neighbours(struct maker *m)
{
	static const uint8_t icmp6_types[] = {
		130, 131, 132, 143, ND_ROUTER_SOLICIT, ND_NEIGHBOR_SOLICIT, ND_NEIGHBOR_ADVERT
	};

	for (size_t i = 0; i < ARRAY_LEN(icmp6_types); i++) {
		begin(m, "neighbours");
		transport_u8(m, 0, NFT_CMP_EQ, icmp6_types[i]);
		verdict(m, NF_ACCEPT, NULL);
		end(m);
	}
}

/* The gateway itself: closed to guarded sources but for what a network cannot do without. */
static void put_gateway(struct maker *m)
{
	static const char *const chain = "gateway";
	static const uint8_t dhcp4[2] = { 0, 67 }, dhcp6[2] = { 547 >> 8, 547 & 0xff };

	begin(m, chain);
	is_l4proto(m, IPPROTO_ICMPV6);
	verdict(m, NFT_JUMP, "neighbours");
	end(m);
	put_spoofed(m, chain);
	put_service(m, NFPROTO_IPV4, "dns4");
	put_service(m, NFPROTO_IPV6, "dns6");
	put_service(m, NFPROTO_UNSPEC, "services");
	begin(m, chain); /* replies to what the gateway itself began */
	has_state(m, STATE_ESTABLISHED);
	has_direction(m, IP_CT_DIR_REPLY);
	has_mark(m, m->inbound);
	verdict(m, NF_ACCEPT, NULL);
	end(m);
	/* An error about a connection that stands (an answer's path MTU, say) opens nothing. */
	put_related(m, chain, 0);
	for (int i = 0; i < 2; i++) {
		begin(m, chain);
		is_nfproto(m, i == 0 ? NFPROTO_IPV4 : NFPROTO_IPV6);
		is_l4proto(m, IPPROTO_UDP);
		load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, REG);
		compare(m, NFT_CMP_EQ, i == 0 ? dhcp4 : dhcp6, 2);
		verdict(m, NF_ACCEPT, NULL);
		end(m);
	}
	begin(m, chain);
	is_l4proto(m, IPPROTO_ICMP);
	transport_u8(m, 0, NFT_CMP_EQ, ICMP_ECHO);
	verdict(m, NF_ACCEPT, NULL);
	end(m);
	begin(m, chain);
	is_l4proto(m, IPPROTO_ICMPV6);
	transport_u8(m, 0, NFT_CMP_EQ, ICMP6_ECHO_REQUEST);
	verdict(m, NF_ACCEPT, NULL);
	end(m);
	put_log(m, chain, "sallyport gateway: ");
	begin(m, chain);
	count_in(m, "refused_gateway");
	verdict(m, NFT_GOTO, "refuse");
	end(m);
}

/* What the gateway itself begins towards guarded hosts may be answered. */
static void put_outward(struct maker *m)
{
	begin(m, "outward");
	is_l4proto(m, IPPROTO_TCP);
	is_syn(m, NFT_CMP_NEQ);
	verdict(m, NFT_RETURN, NULL);
	end(m);
	begin(m, "outward");
	has_state(m, STATE_NEW);
	set_mark(m, m->inbound);
	end(m);
}

/* Answers are most of what a gateway sends, and begin nothing: their way is one rule long. */
static void put_output(struct maker *m)
{
	begin(m, "output");
	has_direction(m, IP_CT_DIR_REPLY);
	verdict(m, NF_ACCEPT, NULL);
	end(m);
	put_who(m, "output", NULL, "outward");
}

/* Without RULE_FIB: told to guarded addresses only. */
static void put_silence(struct maker *m)
{
	for (int i = 0; i < 2; i++) {
		begin(m, "refuse");
		is_nfproto(m, i == 0 ? NFPROTO_IPV4 : NFPROTO_IPV6);
		load_payload(m, NFT_PAYLOAD_NETWORK_HEADER, i == 0 ? 12 : 8, i == 0 ? 4 : 16, REG);
		lookup_not(m, i == 0 ? "guarded4" : "guarded6");
		verdict(m, NF_DROP, NULL);
		end(m);
	}
}

static void put_refuse(struct maker *m)
{
	if (!(m->kernel & RULE_FIB))
		put_silence(m);
	put_reject(m, "refuse", NFT_REJECT_TCP_RST, 0, IPPROTO_TCP);
	put_reject(m, "refuse", NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED, 0);
}

int rule_put_all(struct nl *nl, uint32_t mark_egress, uint32_t mark_inbound, unsigned int kernel)
{
	struct maker m = {
		.nl = nl, .egress = mark_egress, .inbound = mark_inbound, .kernel = kernel
	};

	put_who(&m, "forward", "egress", "ingress");
	put_egress(&m);
	put_open(&m);
	put_ingress(&m);
	put_input(&m);
	put_gateway(&m);
	put_neighbours(&m);
	put_output(&m);
	put_outward(&m);
	put_refuse(&m);
	return m.err;
}
