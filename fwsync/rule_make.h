/* fwsync/rule_make.h - what rules are made of: expressions, and matches as nft would write them.
 *
 * Everything is put at the end of the rule between rule_begin() and rule_end(). The first failed
 * allocation sticks in the maker's err, and nothing is put any more.
 */
#pragma once

#include <linux/netfilter/nf_tables.h>
#include <stdint.h>

#include "nl.h"

enum {
	RULE_REG = NFT_REG32_00, /* the first of sixteen registers of four octets */
	RULE_STATE_ESTABLISHED = 2,
	RULE_STATE_RELATED = 4,
	RULE_STATE_NEW = 8,
	RULE_STATE_UNTRACKED = 64,
};

struct nftnl_expr;
struct nftnl_rule;

/* A rule under construction. */
struct rule_maker {
	struct nl *nl;
	struct nftnl_rule *rule;
	uint32_t egress, inbound;
	unsigned int kernel; /* enum rule_kernel */
	int err;
};

void rule_begin(struct rule_maker *m, const char *chain);
/* Into the transaction. */
void rule_end(struct rule_maker *m);
/* A new expression at the rule's end; NULL after a failure. */
struct nftnl_expr *rule_expr(struct rule_maker *m, const char *name);

/* Into register @reg. */
void rule_load_meta(struct rule_maker *m, uint32_t key, uint32_t reg);
void rule_load_payload(struct rule_maker *m, uint32_t base, uint32_t offset, uint32_t len,
                       uint32_t reg);
void rule_load_ct(struct rule_maker *m, uint32_t key, uint32_t reg);
/* What lies in register @reg (NFT_CMP_*). */
void rule_compare_at(struct rule_maker *m, uint32_t reg, uint32_t op, const void *data,
                     uint32_t len);
/* What lies in RULE_REG. */
void rule_compare(struct rule_maker *m, uint32_t op, const void *data, uint32_t len);
void rule_bits(struct rule_maker *m, uint32_t len, const void *mask, const void * xor);
void rule_lookup(struct rule_maker *m, const char *set);
void rule_lookup_not(struct rule_maker *m, const char *set);
void rule_verdict(struct rule_maker *m, int code, const char *chain);

void rule_is_nfproto(struct rule_maker *m, uint8_t nfproto);
void rule_is_l4proto(struct rule_maker *m, uint8_t proto);
void rule_is_not_l4proto(struct rule_maker *m, uint8_t proto);
void rule_transport_u8(struct rule_maker *m, uint32_t offset, uint32_t op, uint8_t value);
void rule_has_state(struct rule_maker *m, uint32_t states);
void rule_has_mark(struct rule_maker *m, uint32_t any_of);
void rule_has_direction(struct rule_maker *m, uint8_t direction);
/* A connection begins: SYN, and neither ACK nor RST nor FIN (RFC 9293, section 3.5). */
void rule_is_syn(struct rule_maker *m, uint32_t op);
enum rule_side { RULE_SADDR, RULE_DADDR };
/* That address of a packet of that family: into @reg, is it in @set? */
void rule_load_addr(struct rule_maker *m, uint8_t nfproto, enum rule_side side, uint32_t reg);
void rule_addr_in(struct rule_maker *m, uint8_t nfproto, enum rule_side side, const char *set);
/* Is that address one of this host's? Asks the routing table; needs RULE_FIB. */
void rule_is_local(struct rule_maker *m, enum rule_side side);
/* NFT_META_IIFNAME or NFT_META_OIFNAME: a guarded interface. */
void rule_ifname_in(struct rule_maker *m, uint32_t key);

void rule_set_mark(struct rule_maker *m, uint32_t bit);
void rule_count_in(struct rule_maker *m, const char *counter);
