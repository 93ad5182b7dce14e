/* fwsync/rule_untrack.c - DNS between clients and our listeners stays out of connection tracking.
 *
 * A question from a new port would make an entry that lives for half a minute or more. One workload
 * asking from all of its ports would hold 64,000 of them, a few such workloads every entry that the
 * kernel has, and then the first packets of everybody's allowed connections are dropped. No rule of
 * the table needs the entry: a question is let in by its destination, an answer by nobody.
 *
 * Only what is surely ours is left out. A listener's address may be another machine's at the moment
 * (a virtual address that moves), hence the question whether it is local.
 */
#include "rule_untrack.h"

#include <netinet/in.h> /* before the kernel's headers, which then leave its structs alone */

#include <linux/netfilter.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "rule.h"

enum {
	SPORT_OFFSET = 0, /* in a UDP and in a TCP header */
	DPORT_OFFSET = 2,
	/* From the beginning of an ICMP error, which quotes what it is about: eight octets, then
	 * that packet's header. Our answers have no IPv4 options and no IPv6 extension headers. */
	QUOTED4_PROTO = 8 + 9,
	QUOTED4_SADDR = 8 + 12,
	QUOTED4_SPORT = 8 + 20,
	QUOTED6_PROTO = 8 + 6,
	QUOTED6_SADDR = 8 + 8,
	QUOTED6_SPORT = 8 + 40,
};

static const struct family {
	uint8_t nfproto;
	uint32_t addr_len;
	const char *set, *any;
} families[RULE_DNS_FAMILIES] = { { NFPROTO_IPV4, 4, "dns4", "dns4_any" },
	                          { NFPROTO_IPV6, 16, "dns6", "dns6_any" } };

enum extent { ONE_ADDRESS, ALL_ADDRESSES };

void rule_dns_of(const struct fwsync_conf *conf, unsigned int kernel, struct rule_dns *ret_dns)
{
	uint32_t n = MIN(conf->n_dns, (uint32_t)LIMIT_LISTENERS);

	*ret_dns = (struct rule_dns){ 0 };
	if (conf->track_dns || !(kernel & RULE_FIB))
		return;
	for (uint32_t i = 0; i < n; i++) {
		const struct conf_listener *l = &conf->dns[i];
		size_t f = addr_is_v4(l->addr) ? 0 : 1;

		if (l->wildcard)
			ret_dns->any[f] = true;
		else
			ret_dns->one[f] = true;
	}
	ret_dns->untracked = n > 0;
	ret_dns->port = n > 0 ? conf->dns[0].port : 0;
	for (uint32_t i = 0; i < n; i++)
		if (conf->dns[i].port != ret_dns->port)
			ret_dns->port = 0;
}

/* That end of the packet is a listener: the port first, for most packets have another one, and
 * where all listeners have the same, others' packets cost no look into a set. */
static void is_listener(struct rule_maker *m, const struct rule_dns *dns, const struct family *f,
                        enum rule_side side, enum extent extent)
{
	uint32_t proto_reg = RULE_REG + (extent == ONE_ADDRESS ? f->addr_len / 4 : 0);
	const uint16_t port = htons(dns->port);

	rule_is_nfproto(m, f->nfproto);
	rule_load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER,
	                  side == RULE_SADDR ? SPORT_OFFSET : DPORT_OFFSET, 2, proto_reg + 1);
	if (port)
		rule_compare_at(m, proto_reg + 1, NFT_CMP_EQ, &port, sizeof(port));
	if (extent == ONE_ADDRESS)
		rule_load_addr(m, f->nfproto, side, RULE_REG);
	rule_load_meta(m, NFT_META_L4PROTO, proto_reg);
	rule_lookup(m, extent == ONE_ADDRESS ? f->set : f->any);
}

static void untrack(struct rule_maker *m)
{
	(void)rule_expr(m, "notrack"); /* a failure sticks in the maker */
	rule_verdict(m, NF_ACCEPT, NULL);
	rule_end(m);
}

static bool has(const struct rule_dns *dns, size_t f, enum extent extent)
{
	return extent == ONE_ADDRESS ? dns->one[f] : dns->any[f];
}

static void put_questions(struct rule_maker *m, const struct rule_dns *dns, const char *chain)
{
	static const uint16_t loopback = ARPHRD_LOOPBACK;

	for (size_t f = 0; f < RULE_DNS_FAMILIES; f++) {
		for (enum extent e = ONE_ADDRESS; e <= ALL_ADDRESSES; e++) {
			if (!has(dns, f, e))
				continue;
			rule_begin(m, chain);
			if (strcmp(chain, RULE_UNTRACK_OUT) == 0) {
				rule_load_meta(m, NFT_META_OIFTYPE, RULE_REG);
				rule_compare(m, NFT_CMP_EQ, &loopback, sizeof(loopback));
			}
			is_listener(m, dns, &families[f], RULE_DADDR, e);
			rule_is_local(m, RULE_DADDR);
			untrack(m);
		}
	}
}

static void put_answers(struct rule_maker *m, const struct rule_dns *dns)
{
	for (size_t f = 0; f < RULE_DNS_FAMILIES; f++) {
		for (enum extent e = ONE_ADDRESS; e <= ALL_ADDRESSES; e++) {
			if (!has(dns, f, e))
				continue;
			rule_begin(m, RULE_UNTRACK_OUT);
			is_listener(m, dns, &families[f], RULE_SADDR, e);
			if (e == ALL_ADDRESSES)
				rule_is_local(m, RULE_SADDR);
			untrack(m);
		}
	}
}

/* The packet that an ICMP error quotes is an answer of ours. */
static void quotes_answer(struct rule_maker *m, const struct family *f, enum extent extent)
{
	bool v4 = f->nfproto == NFPROTO_IPV4;
	uint32_t proto_reg = RULE_REG + (extent == ONE_ADDRESS ? f->addr_len / 4 : 0);

	if (extent == ONE_ADDRESS)
		rule_load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER,
		                  v4 ? QUOTED4_SADDR : QUOTED6_SADDR, f->addr_len, RULE_REG);
	rule_load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, v4 ? QUOTED4_PROTO : QUOTED6_PROTO, 1,
	                  proto_reg);
	rule_load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, v4 ? QUOTED4_SPORT : QUOTED6_SPORT, 2,
	                  proto_reg + 1);
	rule_lookup(m, extent == ONE_ADDRESS ? f->set : f->any);
}

/* Unreachable (a client that has gone, a smaller path MTU), time exceeded, parameter problem; never
 * a redirect. ICMPv6 has them as types 1 to 4. */
static void put_errors(struct rule_maker *m, const struct rule_dns *dns)
{
	static const uint8_t types4[] = { ICMP_DEST_UNREACH, ICMP_TIME_EXCEEDED,
		                          ICMP_PARAMETERPROB };

	for (enum extent e = ONE_ADDRESS; e <= ALL_ADDRESSES; e++) {
		for (size_t i = 0; has(dns, 0, e) && i < ARRAY_LEN(types4); i++) {
			rule_begin(m, RULE_UNTRACK_ERRORS);
			rule_is_l4proto(m, IPPROTO_ICMP);
			rule_transport_u8(m, 0, NFT_CMP_EQ, types4[i]);
			quotes_answer(m, &families[0], e);
			rule_verdict(m, NF_ACCEPT, NULL);
			rule_end(m);
		}
		if (!has(dns, 1, e))
			continue;
		rule_begin(m, RULE_UNTRACK_ERRORS);
		rule_is_l4proto(m, IPPROTO_ICMPV6);
		rule_transport_u8(m, 0, NFT_CMP_LTE, ICMP6_PARAM_PROB);
		quotes_answer(m, &families[1], e);
		rule_verdict(m, NF_ACCEPT, NULL);
		rule_end(m);
	}
}

void rule_put_untracked(struct rule_maker *m, const struct rule_dns *dns)
{
	put_questions(m, dns, RULE_UNTRACK_IN);
	put_answers(m, dns);
	put_questions(m, dns, RULE_UNTRACK_OUT);
	put_errors(m, dns);
}
