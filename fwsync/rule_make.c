/* fwsync/rule_make.c - expressions and matches, with libnftnl. */
#include "rule_make.h"

#include <netinet/in.h> /* before the kernel's headers, which then leave its structs alone */

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

#include "sallyport/err.h"

#define RULE_MAX 4096u

enum {
	TCP_FLAGS_OFFSET = 13,
	TCP_SYN = 0x02,
	TCP_HANDSHAKE = 0x17, /* FIN, SYN, RST, ACK */
};

void rule_begin(struct rule_maker *m, const char *chain)
{
	if (m->err < 0)
		return;
	m->rule = nftnl_rule_alloc();
	if (!m->rule) {
		m->err = ERR_NOMEM;
		return;
	}
	nftnl_rule_set_u32(m->rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
	nftnl_rule_set_str(m->rule, NFTNL_RULE_TABLE, m->nl->table);
	nftnl_rule_set_str(m->rule, NFTNL_RULE_CHAIN, chain);
}

void rule_end(struct rule_maker *m)
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

struct nftnl_expr *rule_expr(struct rule_maker *m, const char *name)
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

void rule_load_meta(struct rule_maker *m, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = rule_expr(m, "meta");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
}

void rule_load_payload(struct rule_maker *m, uint32_t base, uint32_t offset, uint32_t len,
                       uint32_t reg)
{
	struct nftnl_expr *e = rule_expr(m, "payload");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

void rule_load_ct(struct rule_maker *m, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = rule_expr(m, "ct");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, reg);
}

void rule_compare_at(struct rule_maker *m, uint32_t reg, uint32_t op, const void *data,
                     uint32_t len)
{
	struct nftnl_expr *e = rule_expr(m, "cmp");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, len);
}

void rule_compare(struct rule_maker *m, uint32_t op, const void *data, uint32_t len)
{
	rule_compare_at(m, RULE_REG, op, data, len);
}

void rule_bits(struct rule_maker *m, uint32_t len, const void *mask, const void * xor)
{
	struct nftnl_expr *e = rule_expr(m, "bitwise");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, RULE_REG);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, RULE_REG);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, len);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask, len);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, xor, len);
}

void rule_lookup(struct rule_maker *m, const char *set)
{
	struct nftnl_expr *e = rule_expr(m, "lookup");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, RULE_REG);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
}

void rule_lookup_not(struct rule_maker *m, const char *set)
{
	struct nftnl_expr *e = rule_expr(m, "lookup");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, RULE_REG);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

void rule_verdict(struct rule_maker *m, int code, const char *chain)
{
	struct nftnl_expr *e = rule_expr(m, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
	if (chain)
		nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
}

void rule_is_nfproto(struct rule_maker *m, uint8_t nfproto)
{
	rule_load_meta(m, NFT_META_NFPROTO, RULE_REG);
	rule_compare(m, NFT_CMP_EQ, &nfproto, sizeof(nfproto));
}

void rule_is_l4proto(struct rule_maker *m, uint8_t proto)
{
	rule_load_meta(m, NFT_META_L4PROTO, RULE_REG);
	rule_compare(m, NFT_CMP_EQ, &proto, sizeof(proto));
}

void rule_is_not_l4proto(struct rule_maker *m, uint8_t proto)
{
	rule_load_meta(m, NFT_META_L4PROTO, RULE_REG);
	rule_compare(m, NFT_CMP_NEQ, &proto, sizeof(proto));
}

void rule_transport_u8(struct rule_maker *m, uint32_t offset, uint32_t op, uint8_t value)
{
	rule_load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, offset, 1, RULE_REG);
	rule_compare(m, op, &value, sizeof(value));
}

void rule_has_state(struct rule_maker *m, uint32_t states)
{
	static const uint32_t zero;

	rule_load_ct(m, NFT_CT_STATE, RULE_REG);
	rule_bits(m, sizeof(states), &states, &zero);
	rule_compare(m, NFT_CMP_NEQ, &zero, sizeof(zero));
}

void rule_has_mark(struct rule_maker *m, uint32_t any_of)
{
	static const uint32_t zero;

	rule_load_ct(m, NFT_CT_MARK, RULE_REG);
	rule_bits(m, sizeof(any_of), &any_of, &zero);
	rule_compare(m, NFT_CMP_NEQ, &zero, sizeof(zero));
}

void rule_has_direction(struct rule_maker *m, uint8_t direction)
{
	rule_load_ct(m, NFT_CT_DIRECTION, RULE_REG);
	rule_compare(m, NFT_CMP_EQ, &direction, sizeof(direction));
}

void rule_is_syn(struct rule_maker *m, uint32_t op)
{
	static const uint8_t mask = TCP_HANDSHAKE, zero, syn = TCP_SYN;

	rule_load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS_OFFSET, 1, RULE_REG);
	rule_bits(m, 1, &mask, &zero);
	rule_compare(m, op, &syn, sizeof(syn));
}

void rule_load_addr(struct rule_maker *m, uint8_t nfproto, enum rule_side side, uint32_t reg)
{
	uint32_t len = nfproto == NFPROTO_IPV4 ? 4 : 16;
	uint32_t offset = nfproto == NFPROTO_IPV4 ? 12 : 8;

	rule_load_payload(m, NFT_PAYLOAD_NETWORK_HEADER, offset + (side == RULE_DADDR ? len : 0),
	                  len, reg);
}

void rule_addr_in(struct rule_maker *m, uint8_t nfproto, enum rule_side side, const char *set)
{
	rule_is_nfproto(m, nfproto);
	rule_load_addr(m, nfproto, side, RULE_REG);
	rule_lookup(m, set);
}

void rule_is_local(struct rule_maker *m, enum rule_side side)
{
	static const uint32_t local = RTN_LOCAL;
	struct nftnl_expr *e = rule_expr(m, "fib");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, RULE_REG);
		nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
		nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS,
		                   side == RULE_SADDR ? NFTA_FIB_F_SADDR : NFTA_FIB_F_DADDR);
	}
	rule_compare(m, NFT_CMP_EQ, &local, sizeof(local));
}

void rule_ifname_in(struct rule_maker *m, uint32_t key)
{
	rule_load_meta(m, key, RULE_REG);
	rule_lookup(m, "guarded_if");
}

void rule_set_mark(struct rule_maker *m, uint32_t bit)
{
	uint32_t keep = ~bit;
	struct nftnl_expr *e;

	rule_load_ct(m, NFT_CT_MARK, RULE_REG);
	rule_bits(m, sizeof(keep), &keep, &bit);
	e = rule_expr(m, "ct");
	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, NFT_CT_MARK);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_SREG, RULE_REG);
}

void rule_count_in(struct rule_maker *m, const char *counter)
{
	struct nftnl_expr *e = rule_expr(m, "objref");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	nftnl_expr_set_str(e, NFTNL_EXPR_OBJREF_IMM_NAME, counter);
}
