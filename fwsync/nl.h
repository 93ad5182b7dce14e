/* fwsync/nl.h - transactions of nf_tables over netlink: build, send, read the kernel's verdict.
 *
 * One socket writes (the keeper's, which owns the table); another one asks. nfnetlink carries out a
 * transaction inside sendmsg(2), so all its answers lie in the socket when that returns.
 */
#pragma once

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

/* Of one transaction: LIMIT_PINHOLE_BATCH_ELEMENTS of IPv6 in three steps take 1.2 MB, a hundred
 * thousand guarded ranges 7 MB. */
#define NL_BUF_BYTES (8u << 20)
#define NL_TABLE "sallyport"
#define NL_INTERIM NL_TABLE "_interim" /* filters while the table is replaced: table.h */

struct nl {
	int write_fd, read_fd;
	uint32_t write_portid;
	uint32_t seq, first_seq, ack_seq;
	const char *table; /* that the transaction builds: NL_TABLE unless somebody says other */
	uint8_t *buf;      /* the transaction under construction */
	uint8_t *answer;   /* what the other socket says */
	size_t len, cap;
	bool overflow;
};

/* @write_fd stays the caller's. Returns 0 or -errno. */
int nl_open(struct nl *nl, int write_fd) MUST_CHECK;
void nl_fini(struct nl *nl);

/* A transaction: begin, any number of messages, commit. */
void nl_begin(struct nl *nl);
/* Room for one message of nf_tables (NFT_MSG_*); NULL when the buffer is full, which nl_commit()
 * reports. Its builder must not put more than @max octets. */
struct nlmsghdr *nl_message(struct nl *nl, uint16_t type, uint16_t flags, uint16_t family,
                            size_t max);
void nl_message_end(struct nl *nl, const struct nlmsghdr *msg);
/* Send it all and read the verdict: 0, -errno of the first refusal, or ERR_TIMEOUT when the kernel
 * said nothing that we could read, so that the outcome is not known. */
int nl_commit(struct nl *nl) MUST_CHECK;

/* Ask one question on the other socket; @cb (may be NULL) sees every answer. A dump (NLM_F_DUMP in
 * @flags) reads to its end. Returns 0 or -errno. */
typedef int nl_answer_cb(const struct nlmsghdr *msg, void *data);
int nl_ask(struct nl *nl, struct nlmsghdr *msg, nl_answer_cb *cb, void *data);
/* The head of such a question, in @buf of at least MNL_SOCKET_BUFFER_SIZE. */
struct nlmsghdr *nl_question(struct nl *nl, void *buf, uint16_t type, uint16_t flags,
                             uint16_t family);

/* libmnl's loops over attributes, without their silent narrowing of lengths. */
#define nl_for_each_attr(attr, msg, offset)                                                        \
	for ((attr) = mnl_nlmsg_get_payload_offset((msg), (offset));                               \
	     mnl_attr_ok((attr), (int)((const char *)mnl_nlmsg_get_payload_tail(msg) -             \
	                               (const char *)(attr)));                                     \
	     (attr) = mnl_attr_next(attr))
#define nl_for_each_nested(attr, nest)                                                             \
	for ((attr) = mnl_attr_get_payload(nest);                                                  \
	     mnl_attr_ok((attr), (int)((const char *)mnl_attr_get_payload(nest) +                  \
	                               mnl_attr_get_payload_len(nest) - (const char *)(attr)));    \
	     (attr) = mnl_attr_next(attr))
