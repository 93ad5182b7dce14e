/* fwsync/rule.c - the rules, built with libnftnl. */
#include "rule.h"

#include <netinet/in.h> /* before the kernel's headers, which then leave its structs alone */

#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include "rule_make.h"
#include "rule_untrack.h"

enum {
	IP_CT_DIR_ORIGINAL,
	IP_CT_DIR_REPLY
}; /* nf_conntrack_tuple_common.h has them for the kernel only */

#define LOG_LEVEL_INFO_KERNEL 6u /* LOGLEVEL_INFO; NF's log statement counts as syslog does */

const struct rule_chain rule_chains[] = {
	{ "forward", NF_INET_FORWARD, NF_IP_PRI_FILTER },
	{ "input", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER },
	{ "output", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER },
	{ RULE_UNTRACK_IN, NF_INET_PRE_ROUTING, NF_IP_PRI_RAW },
	{ RULE_UNTRACK_OUT, NF_INET_LOCAL_OUT, NF_IP_PRI_RAW },
	{ "egress", -1, 0 },
	{ "open", -1, 0 },
	{ "ingress", -1, 0 },
	{ "gateway", -1, 0 },
	{ "neighbours", -1, 0 },
	{ RULE_UNTRACK_ERRORS, -1, 0 },
	{ "outward", -1, 0 },
	{ "refuse", -1, 0 },
};
const size_t rule_n_chains = ARRAY_LEN(rule_chains);

const char *const rule_counters[] = { "refused_forward", "refused_gateway", "dropped_inbound",
	                              "observed", "spoofed" };
const size_t rule_n_counters = ARRAY_LEN(rule_counters);

/* A few lines a second for the kernel's log: a sample for people, the counters are exact. */
static void log_sample(struct rule_maker *m, const char *prefix)
{
	struct nftnl_expr *e = rule_expr(m, "limit");

	if (e) {
		nftnl_expr_set_u64(e, NFTNL_EXPR_LIMIT_RATE, 5);
		nftnl_expr_set_u64(e, NFTNL_EXPR_LIMIT_UNIT, 1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LIMIT_BURST, 5);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LIMIT_FLAGS, 0);
	}
	e = rule_expr(m, "log");
	if (e) {
		nftnl_expr_set_str(e, NFTNL_EXPR_LOG_PREFIX, prefix);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOG_LEVEL, LOG_LEVEL_INFO_KERNEL);
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOG_FLAGS, 0);
	}
}

static void put_log(struct rule_maker *m, const char *chain, const char *prefix)
{
	if (!(m->kernel & RULE_LOG))
		return;
	rule_begin(m, chain);
	log_sample(m, prefix);
	rule_end(m);
}

static void put_reject(struct rule_maker *m, const char *chain, uint32_t type, uint8_t code,
                       uint8_t l4proto)
{
	struct nftnl_expr *e;

	rule_begin(m, chain);
	if (l4proto)
		rule_is_l4proto(m, l4proto);
	e = rule_expr(m, "reject");
	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, type);
		nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, code);
	}
	rule_end(m);
}

/* Chains. */

/* Who is guarded? By interface whatever the source, and by source; the same for those who talk to
 * them. Egress first: it is the stricter one. */
static void put_who(struct rule_maker *m, const char *chain, const char *from, const char *to)
{
	if (from) {
		rule_begin(m, chain);
		rule_ifname_in(m, NFT_META_IIFNAME);
		rule_verdict(m, NFT_GOTO, from);
		rule_end(m);
		rule_begin(m, chain);
		rule_addr_in(m, NFPROTO_IPV4, RULE_SADDR, "guarded4");
		rule_verdict(m, NFT_GOTO, from);
		rule_end(m);
		rule_begin(m, chain);
		rule_addr_in(m, NFPROTO_IPV6, RULE_SADDR, "guarded6");
		rule_verdict(m, NFT_GOTO, from);
		rule_end(m);
	}
	if (to) {
		rule_begin(m, chain);
		rule_ifname_in(m, NFT_META_OIFNAME);
		rule_verdict(m, NFT_GOTO, to);
		rule_end(m);
		rule_begin(m, chain);
		rule_addr_in(m, NFPROTO_IPV4, RULE_DADDR, "guarded4");
		rule_verdict(m, NFT_GOTO, to);
		rule_end(m);
		rule_begin(m, chain);
		rule_addr_in(m, NFPROTO_IPV6, RULE_DADDR, "guarded6");
		rule_verdict(m, NFT_GOTO, to);
		rule_end(m);
	}
}

/* ICMP errors about a connection have its entry, hence its bits. "Related" connections of a
 * conntrack helper inherit the bits, too; they are not ICMP and stay outside. */
static void put_related(struct rule_maker *m, const char *chain, uint32_t any_of)
{
	static const uint8_t protos[] = { IPPROTO_ICMP, IPPROTO_ICMPV6 };

	for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
		rule_begin(m, chain);
		rule_has_state(m, RULE_STATE_RELATED);
		rule_is_l4proto(m, protos[i]);
		if (any_of)
			rule_has_mark(m, any_of);
		rule_verdict(m, NF_ACCEPT, NULL);
		rule_end(m);
	}
}

/* Is this (NEQ), or is it not (EQ) the interface through which the source would be answered? */
static void has_way_back(struct rule_maker *m, uint32_t op)
{
	static const uint8_t none[4];
	struct nftnl_expr *e = rule_expr(m, "fib");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, RULE_REG);
		nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_OIF);
		nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF);
	}
	rule_compare(m, op, none, sizeof(none));
}

/* The kernel knows the sources that have no route yet (DHCP, duplicate address detection). */
static void put_spoofed(struct rule_maker *m, const char *chain)
{
	if (!(m->kernel & RULE_FIB))
		return;
	rule_begin(m, chain);
	has_way_back(m, NFT_CMP_EQ);
	rule_count_in(m, "spoofed");
	rule_verdict(m, NF_DROP, NULL);
	rule_end(m);
}

/* Enforcing, this would be refused: it is logged as refusals are, counted, and passes. */
static void put_observed(struct rule_maker *m, const char *chain)
{
	static const uint8_t families[] = { NFPROTO_IPV4, NFPROTO_IPV6 };
	static const char *const sets[] = { "observed4", "observed6" };

	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		if (m->kernel & RULE_LOG) {
			rule_begin(m, chain);
			rule_addr_in(m, families[i], RULE_SADDR, sets[i]);
			log_sample(m, "sallyport observed: ");
			rule_end(m);
		}
		rule_begin(m, chain);
		rule_addr_in(m, families[i], RULE_SADDR, sets[i]);
		rule_count_in(m, "observed");
		rule_verdict(m, NF_ACCEPT, NULL);
		rule_end(m);
	}
}

/* Replies to connections from outside. A SYN is none: two that cross begin a connection (RFC 9293,
 * section 3.5), and whoever forges the first in somebody's name would have the second, and all that
 * follows, let out to him. */
static void put_replies(struct rule_maker *m, const char *chain)
{
	for (int i = 0; i < 2; i++) {
		rule_begin(m, chain);
		rule_has_state(m, RULE_STATE_ESTABLISHED);
		rule_has_direction(m, IP_CT_DIR_REPLY);
		rule_has_mark(m, m->inbound);
		if (i == 0) {
			rule_is_l4proto(m, IPPROTO_TCP);
			rule_is_syn(m, NFT_CMP_NEQ);
		} else {
			rule_is_not_l4proto(m, IPPROTO_TCP);
		}
		rule_verdict(m, NF_ACCEPT, NULL);
		rule_end(m);
	}
}

static void put_egress(struct rule_maker *m)
{
	static const char *const chain = "egress";

	put_spoofed(m, chain);
	rule_begin(m, chain);
	rule_has_state(m, RULE_STATE_ESTABLISHED | RULE_STATE_NEW);
	rule_has_mark(m, m->egress);
	rule_verdict(m, NF_ACCEPT, NULL);
	rule_end(m);
	put_related(m, chain, m->egress | m->inbound);
	put_replies(m, chain);
	rule_begin(m, chain);
	rule_has_state(m, RULE_STATE_NEW);
	rule_verdict(m, NFT_JUMP, "open");
	rule_end(m);
	put_observed(m, chain);
	put_log(m, chain, "sallyport refused: ");
	rule_begin(m, chain);
	rule_count_in(m, "refused_forward");
	rule_verdict(m, NFT_GOTO, "refuse");
	rule_end(m);
}

/* The first packet: its pinhole sets the egress bit. */
static void put_pinhole(struct rule_maker *m, uint8_t nfproto, int fields, const char *set)
{
	uint32_t len = nfproto == NFPROTO_IPV4 ? 4 : 16;
	uint32_t offset = nfproto == NFPROTO_IPV4 ? 12 : 8;
	uint32_t next = RULE_REG + len / 4 * 2;

	rule_begin(m, "open");
	rule_is_nfproto(m, nfproto);
	/* Source and destination stand side by side in both headers. */
	rule_load_payload(m, NFT_PAYLOAD_NETWORK_HEADER, offset, len, RULE_REG);
	rule_load_payload(m, NFT_PAYLOAD_NETWORK_HEADER, offset + len, len, RULE_REG + len / 4);
	if (fields >= 3)
		rule_load_meta(m, NFT_META_L4PROTO, next);
	if (fields >= 4)
		rule_load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, next + 1);
	rule_lookup(m, set);
	rule_set_mark(m, m->egress);
	rule_verdict(m, NF_ACCEPT, NULL);
	rule_end(m);
}

static void put_open(struct rule_maker *m)
{
	put_pinhole(m, NFPROTO_IPV4, 4, "pinhole4");
	put_pinhole(m, NFPROTO_IPV6, 4, "pinhole6");
	put_pinhole(m, NFPROTO_IPV4, 2, "pinhole4_any");
	put_pinhole(m, NFPROTO_IPV6, 2, "pinhole6_any");
	/* `icmp` in a policy means echo requests. */
	rule_begin(m, "open");
	rule_is_l4proto(m, IPPROTO_ICMP);
	rule_transport_u8(m, 0, NFT_CMP_NEQ, ICMP_ECHO);
	rule_verdict(m, NFT_RETURN, NULL);
	rule_end(m);
	rule_begin(m, "open");
	rule_is_l4proto(m, IPPROTO_ICMPV6);
	rule_transport_u8(m, 0, NFT_CMP_NEQ, ICMP6_ECHO_REQUEST);
	rule_verdict(m, NFT_RETURN, NULL);
	rule_end(m);
	put_pinhole(m, NFPROTO_IPV4, 3, "pinhole4_proto");
	put_pinhole(m, NFPROTO_IPV6, 3, "pinhole6_proto");
}

/* The first datagram from outside to a port that the profile offers there. Its source must lie
 * where it comes from: a neighbour's or an accomplice's datagram in a stranger's name would let the
 * guarded host speak to that stranger, who need not know of it. */
static void put_inbound(struct rule_maker *m, const char *chain)
{
	for (int i = 0; i < 2; i++) {
		uint8_t nfproto = i == 0 ? NFPROTO_IPV4 : NFPROTO_IPV6;

		rule_begin(m, chain);
		rule_has_state(m, RULE_STATE_NEW);
		rule_is_nfproto(m, nfproto);
		rule_is_l4proto(m, IPPROTO_UDP);
		rule_load_addr(m, nfproto, RULE_DADDR, RULE_REG);
		rule_load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2,
		                  RULE_REG + (i == 0 ? 1 : 4));
		rule_lookup(m, i == 0 ? "inbound4" : "inbound6");
		if (m->kernel & RULE_FIB)
			has_way_back(m, NFT_CMP_NEQ);
		rule_set_mark(m, m->inbound);
		rule_verdict(m, NF_ACCEPT, NULL);
		rule_end(m);
	}
}

static void put_ingress(struct rule_maker *m)
{
	static const char *const chain = "ingress";

	rule_begin(m, chain);
	rule_has_state(m, RULE_STATE_ESTABLISHED);
	rule_has_direction(m, IP_CT_DIR_REPLY);
	rule_has_mark(m, m->egress);
	rule_verdict(m, NF_ACCEPT, NULL);
	rule_end(m);
	put_related(m, chain, m->egress | m->inbound);
	rule_begin(m, chain);
	rule_has_state(m, RULE_STATE_ESTABLISHED | RULE_STATE_NEW);
	rule_has_direction(m, IP_CT_DIR_ORIGINAL);
	rule_has_mark(m, m->inbound);
	rule_verdict(m, NF_ACCEPT, NULL);
	rule_end(m);
	rule_begin(m, chain);
	rule_has_state(m, RULE_STATE_NEW);
	rule_is_l4proto(m, IPPROTO_TCP);
	rule_is_syn(m, NFT_CMP_EQ);
	rule_set_mark(m, m->inbound);
	rule_verdict(m, NF_ACCEPT, NULL);
	rule_end(m);
	put_inbound(m, chain);
	for (int i = 0; i < 2; i++) {
		rule_begin(m, chain);
		rule_addr_in(m, i == 0 ? NFPROTO_IPV4 : NFPROTO_IPV6, RULE_DADDR,
		             i == 0 ? "observed4" : "observed6");
		rule_verdict(m, NF_ACCEPT, NULL);
		rule_end(m);
	}
	rule_begin(m, chain);
	rule_count_in(m, "dropped_inbound");
	rule_verdict(m, NF_DROP, NULL);
	rule_end(m);
}

static void put_input(struct rule_maker *m)
{
	static const char lo[16] = "lo";

	rule_begin(m, "input");
	rule_load_meta(m, NFT_META_IIFNAME, RULE_REG);
	rule_compare(m, NFT_CMP_EQ, lo, sizeof(lo));
	rule_verdict(m, NF_ACCEPT, NULL);
	rule_end(m);
	put_who(m, "input", "gateway", NULL);
}

/* @addr_len 0: on whatever address the packet came to. */
static void put_service(struct rule_maker *m, uint8_t nfproto, uint32_t addr_len, const char *set)
{
	uint32_t next = RULE_REG + addr_len / 4;

	rule_begin(m, "gateway");
	if (nfproto != NFPROTO_UNSPEC)
		rule_is_nfproto(m, nfproto);
	if (addr_len > 0)
		rule_load_addr(m, nfproto, RULE_DADDR, RULE_REG);
	rule_load_meta(m, NFT_META_L4PROTO, next);
	rule_load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, next + 1);
	rule_lookup(m, set);
	rule_verdict(m, NF_ACCEPT, NULL);
	rule_end(m);
}

/* MLD (RFC 2710, 3810) and neighbour discovery (RFC 4861), but neither router advertisements nor
 * redirects, which are routers' words. They stay on the link, whatever their source. */
static void put_neighbours(struct rule_maker *m)
{
	static const uint8_t icmp6_types[] = {
		130, 131, 132, 143, ND_ROUTER_SOLICIT, ND_NEIGHBOR_SOLICIT, ND_NEIGHBOR_ADVERT
	};

	for (size_t i = 0; i < ARRAY_LEN(icmp6_types); i++) {
		rule_begin(m, "neighbours");
		rule_transport_u8(m, 0, NFT_CMP_EQ, icmp6_types[i]);
		rule_verdict(m, NF_ACCEPT, NULL);
		rule_end(m);
	}
}

/* The gateway itself: closed to guarded sources but for what a network cannot do without. */
static void put_gateway(struct rule_maker *m, const struct rule_dns *dns)
{
	static const char *const chain = "gateway";
	static const uint8_t dhcp4[2] = { 0, 67 }, dhcp6[2] = { 547 >> 8, 547 & 0xff };

	rule_begin(m, chain);
	rule_is_l4proto(m, IPPROTO_ICMPV6);
	rule_verdict(m, NFT_JUMP, "neighbours");
	rule_end(m);
	put_spoofed(m, chain);
	put_service(m, NFPROTO_IPV4, 4, "dns4");
	put_service(m, NFPROTO_IPV6, 16, "dns6");
	put_service(m, NFPROTO_IPV4, 0, "dns4_any");
	put_service(m, NFPROTO_IPV6, 0, "dns6_any");
	put_service(m, NFPROTO_UNSPEC, 0, "services");
	put_replies(m, chain); /* to what the gateway itself began */
	/* An error about a connection that stands (its path MTU, say) opens nothing. */
	put_related(m, chain, 0);
	for (int i = 0; dns->untracked && i < 2; i++) {
		rule_begin(m, chain);
		rule_is_l4proto(m, i == 0 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
		rule_verdict(m, NFT_JUMP, RULE_UNTRACK_ERRORS);
		rule_end(m);
	}
	for (int i = 0; i < 2; i++) {
		rule_begin(m, chain);
		rule_is_nfproto(m, i == 0 ? NFPROTO_IPV4 : NFPROTO_IPV6);
		rule_is_l4proto(m, IPPROTO_UDP);
		rule_load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, RULE_REG);
		rule_compare(m, NFT_CMP_EQ, i == 0 ? dhcp4 : dhcp6, 2);
		rule_verdict(m, NF_ACCEPT, NULL);
		rule_end(m);
	}
	rule_begin(m, chain);
	rule_is_l4proto(m, IPPROTO_ICMP);
	rule_transport_u8(m, 0, NFT_CMP_EQ, ICMP_ECHO);
	rule_verdict(m, NF_ACCEPT, NULL);
	rule_end(m);
	rule_begin(m, chain);
	rule_is_l4proto(m, IPPROTO_ICMPV6);
	rule_transport_u8(m, 0, NFT_CMP_EQ, ICMP6_ECHO_REQUEST);
	rule_verdict(m, NF_ACCEPT, NULL);
	rule_end(m);
	put_log(m, chain, "sallyport gateway: ");
	rule_begin(m, chain);
	rule_count_in(m, "refused_gateway");
	rule_verdict(m, NFT_GOTO, "refuse");
	rule_end(m);
}

/* What the gateway itself begins towards guarded hosts may be answered. */
static void put_outward(struct rule_maker *m)
{
	rule_begin(m, "outward");
	rule_is_l4proto(m, IPPROTO_TCP);
	rule_is_syn(m, NFT_CMP_NEQ);
	rule_verdict(m, NFT_RETURN, NULL);
	rule_end(m);
	rule_begin(m, "outward");
	rule_has_state(m, RULE_STATE_NEW);
	rule_set_mark(m, m->inbound);
	rule_end(m);
}

/* Answers are most of what a gateway sends, and begin nothing: their way is one rule long. Where
 * DNS is not tracked they have no direction; nothing below says anything about an untracked packet,
 * whoever left it out, for the bits are an entry's. */
static void put_output(struct rule_maker *m, const struct rule_dns *dns)
{
	if (dns->untracked) {
		rule_begin(m, "output");
		rule_has_state(m, RULE_STATE_UNTRACKED);
		rule_verdict(m, NF_ACCEPT, NULL);
		rule_end(m);
	}
	rule_begin(m, "output");
	rule_has_direction(m, IP_CT_DIR_REPLY);
	rule_verdict(m, NF_ACCEPT, NULL);
	rule_end(m);
	put_who(m, "output", NULL, "outward");
}

/* Without RULE_FIB: told to guarded addresses only. */
static void put_silence(struct rule_maker *m)
{
	for (int i = 0; i < 2; i++) {
		rule_begin(m, "refuse");
		rule_is_nfproto(m, i == 0 ? NFPROTO_IPV4 : NFPROTO_IPV6);
		rule_load_payload(m, NFT_PAYLOAD_NETWORK_HEADER, i == 0 ? 12 : 8, i == 0 ? 4 : 16,
		                  RULE_REG);
		rule_lookup_not(m, i == 0 ? "guarded4" : "guarded6");
		rule_verdict(m, NF_DROP, NULL);
		rule_end(m);
	}
}

static void put_refuse(struct rule_maker *m)
{
	if (!(m->kernel & RULE_FIB))
		put_silence(m);
	put_reject(m, "refuse", NFT_REJECT_TCP_RST, 0, IPPROTO_TCP);
	put_reject(m, "refuse", NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED, 0);
}

int rule_put_all(struct nl *nl, const struct fwsync_conf *conf, unsigned int kernel)
{
	struct rule_maker m = { .nl = nl,
		                .egress = conf->mark_egress,
		                .inbound = conf->mark_inbound,
		                .kernel = kernel };
	struct rule_dns dns;

	rule_dns_of(conf, kernel, &dns);
	rule_put_untracked(&m, &dns);
	put_who(&m, "forward", "egress", "ingress");
	put_egress(&m);
	put_open(&m);
	put_ingress(&m);
	put_input(&m);
	put_gateway(&m, &dns);
	put_neighbours(&m);
	put_output(&m, &dns);
	put_outward(&m);
	put_refuse(&m);
	return m.err;
}
