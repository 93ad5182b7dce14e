/* sallyport/pinhole.h - the wire between a resolver worker and fwsync.
 *
 * One inherited SOCK_SEQPACKET pair for each worker; a message is one batch of requests one way,
 * or one batch of results the other way. Integers are in host order. Both sides check every
 * length; a message that breaks the format is counted and gets no answer (its sender times out).
 *
 *   batch:    struct pinhole_batch, n_requests times a request
 *   request:  struct pinhole_request, then n_src addresses (16 octets each), n_dst addresses,
 *             n_ports struct pinhole_port, names_len octets, zeros to a multiple of 8
 *   results:  struct pinhole_results, n_results struct pinhole_result
 *
 * A request opens every pair of source and destination of one family on every port, and is
 * answered as a whole: PINHOLE_OPEN only when the kernel has acknowledged all its elements.
 * names: the question's name, then the chain's targets in order, as the caller's opaque octets,
 * each preceded by its length octet count (uint16_t); kept in the ledger so that a policy switch
 * can judge every link again.
 */
#pragma once

#include <stdint.h>

#include "sallyport/limits.h"
#include "sallyport/prefix.h"

#define PINHOLE_MAGIC UINT32_C(0x31504853)
#define PINHOLE_VERSION 1

enum pinhole_proto_kind {
	PINHOLE_KIND_PORT = 1, /* proto and port: sets pinhole4, pinhole6 */
	PINHOLE_KIND_PROTO,    /* proto, every port: tcp/any, udp/any, icmp: pinhole4_proto, ... */
	PINHOLE_KIND_ANY,      /* everything: pinhole4_any, pinhole6_any */
};

struct pinhole_port {
	uint8_t kind; /* enum pinhole_proto_kind */
	uint8_t
	    proto; /* IPPROTO_TCP, _UDP; IPPROTO_ICMP stands for the family's own ICMP; 0 for ANY */
	uint16_t port; /* host order; 0 unless PORT */
};

struct pinhole_batch {
	uint32_t magic;
	uint16_t version;
	uint16_t n_requests;  /* 1..LIMIT_PINHOLE_REQUESTS */
	uint64_t seq;         /* never reused by a worker */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; past it nothing is opened */
	uint32_t len;         /* of the whole message */
	uint32_t reserved;
};

enum pinhole_request_flag { PINHOLE_INTERNAL = 1 }; /* the rule permits internal addresses */

enum pinhole_names { /* what a later policy has to know of the names */
	             PINHOLE_NAMES_CUT =
	                 1, /* not all of them fitted: any policy switch closes it */
	             PINHOLE_NAMES_SECURE =
	                 2, /* the answer was validated: rules that require DNSSEC are met */
	             PINHOLE_NAMES_LISTENER =
	                 4, /* no source names the client: before the names stands, as if it were
	                       one, the address of the listener that it asked */
};

struct pinhole_request {
	uint32_t len;            /* of this request with all that follows it; multiple of 8 */
	uint32_t policy_version; /* that judged it */
	uint32_t workload;       /* index in that version */
	uint32_t rule;           /* index in that version; for people */
	uint64_t query_id;       /* the history's id; for people */
	uint32_t life_s;         /* 1.. ; from the kernel's acceptance */
	uint16_t flags;
	uint16_t n_src, n_dst, n_ports; /* each at least 1 */
	uint16_t names_len;             /* <= LIMIT_PINHOLE_NAMES */
	uint16_t names_flags;           /* enum pinhole_names */
	uint32_t reserved;
};

enum pinhole_status {
	PINHOLE_FAILED = 0,    /* the kernel refused it: errno in detail */
	PINHOLE_OPEN,          /* every element is in the kernel for at least life_s */
	PINHOLE_OUTSIDE,       /* the guard table does not permit it */
	PINHOLE_STALE,         /* an older policy version than fwsync's; detail: that version. Judge
	                          again under the new version */
	PINHOLE_LATE,          /* past the deadline when its turn came */
	PINHOLE_WORKLOAD_FULL, /* the workload's largest number of pinholes */
	PINHOLE_FULL,          /* a set or the ledger is full */
	PINHOLE_MALFORMED,
};

struct pinhole_result {
	uint32_t status; /* enum pinhole_status */
	uint32_t detail;
	uint64_t epoch; /* in which it was opened: see struct pinhole_epoch */
};
struct pinhole_results {
	uint32_t magic;
	uint16_t version;
	uint16_t n_results; /* as many as the batch had requests, in their order */
	uint64_t seq;       /* of the batch */
			    /* struct pinhole_result results[]; */
};

/* A page that fwsync writes and the resolver maps read-only. fwsync raises the epoch on any loss
 * or revocation of elements; what was opened in an earlier epoch is not held any more. */
struct pinhole_epoch {
	uint64_t magic;         /* PINHOLE_EPOCH_MAGIC */
	_Atomic uint64_t epoch; /* from 1 */
};
#define PINHOLE_EPOCH_MAGIC UINT64_C(0x31504f5048534550)

/* What both sides check (a file of the shared library, fuzzed): walk a batch. Returns 0 or
 * ERR_MALFORMED; after 0 every offset below is inside the message. */
struct pinhole_view {
	const struct pinhole_request
	    *request; /* aligned copy is not needed: messages are aligned */
	const uint8_t (*src)[ADDR_LEN];
	const uint8_t (*dst)[ADDR_LEN];
	const struct pinhole_port *ports;
	const uint8_t *names;
};
/* @msg must be 8-aligned. Checks head and every request; @views has room for
 * LIMIT_PINHOLE_REQUESTS. */
int pinhole_batch_read(const void *msg, size_t len, struct pinhole_view *views,
                       uint16_t *ret_n) MUST_CHECK;
int pinhole_results_read(const void *msg, size_t len, const struct pinhole_results **ret_head,
                         const struct pinhole_result **ret_results) MUST_CHECK;
/* Append one request to a message under construction of @cap octets; returns its new length, or
 * ERR_LIMIT when it does not fit. @view's request gives the fixed fields (len is filled in). */
int pinhole_batch_append(void *msg, size_t len, size_t cap, const struct pinhole_view *view);
