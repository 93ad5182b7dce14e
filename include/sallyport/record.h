/* sallyport/record.h - what a worker tells the historian.
 *
 * Records are read by a process that trusts none of their fields. Integers are in host order (both
 * ends run on one machine); texts are not terminated. db/ knows no DNS wire format: names come in
 * presentation form (escaped, final dot, lower case), resource data as text.
 */
#pragma once

#include <stdint.h>

#include "sallyport/limits.h"
#include "sallyport/prefix.h"
#include "sallyport/verdict.h"

enum record_type {
	RECORD_QUERY = 1, /* struct record_query: one query read from a socket */
	RECORD_ANSWER, /* struct record_answer: what an answer_id stands for; told before the first
	                  query that points at it, and again when answers_generation has risen */
};

struct record {
	uint32_t len;  /* octets in all, this head included; <= LIMIT_RECORD_BYTES */
	uint16_t type; /* enum record_type */
	uint16_t hint; /* of a query: those that are identical have the same, others mostly another
	                  one; 0: none. It saves the reader a search and may be wrong */
};

#define ANSWER_ID_LEN 16 /* BLAKE2b of question and records without their present TTLs */
#define RECORD_NO_EDE 0xffff
#define RECORD_NO_RULE UINT32_MAX

enum record_flag {
	RECORD_CACHED = 1,        /* no upstream was asked for this query */
	RECORD_STALE = 2,         /* RFC 8767 */
	RECORD_TRUNCATED = 4,     /* TC=1 went out, without records */
	RECORD_AD = 8,            /* AD=1 went out */
	RECORD_CD = 16,           /* the client set CD */
	RECORD_DO = 32,           /* the client set DO */
	RECORD_OBSERVED = 64,     /* would have been denied */
	RECORD_UNANSWERED = 128,  /* no answer was sent (dropped, client gone) */
	RECORD_STRIPPED = 256,    /* the guard removed something */
	RECORD_SYNTHESIZED = 512, /* denied by records that came with other answers (RFC 8198) */
};

struct record_query {
	struct record head;
	uint64_t id;                      /* unique; also in the pinhole's ledger */
	uint64_t time_ns;                 /* wall clock, when it was read */
	uint8_t answer_id[ANSWER_ID_LEN]; /* zero: no answer data */
	uint8_t client[ADDR_LEN];
	uint32_t policy_version; /* 0: none loaded */
	uint32_t workload;       /* index in that version's catalog; RECORD_NO_RULE: nobody */
	uint32_t rule;           /* index in that version's catalog, or RECORD_NO_RULE */
	uint32_t feed;           /* the same */
	uint32_t latency_us;
	uint32_t ttl; /* the TTL that was given with the addresses (the answer's smallest) */
	uint16_t client_port;
	uint16_t qtype;
	uint16_t qclass;
	uint16_t ede;    /* RFC 8914 INFO-CODE, or RECORD_NO_EDE */
	uint16_t rcode;  /* extended, 12 bits */
	uint16_t flags;  /* enum record_flag */
	uint8_t proto;   /* IPPROTO_UDP or IPPROTO_TCP */
	uint8_t verdict; /* enum verdict_kind */
	uint8_t reason;  /* enum reason */
	uint8_t dnssec;  /* enum dnssec_state */
	uint16_t name_len;
	uint16_t reserved;
	/* char name[name_len]; */
};

struct record_answer {
	struct record head;
	uint8_t answer_id[ANSWER_ID_LEN];
	uint8_t upstream[ADDR_LEN]; /* zero: from no upstream (hosts) */
	uint16_t upstream_port;
	uint16_t n_rrs; /* <= LIMIT_ANSWER_RRS */
	uint8_t dnssec; /* enum dnssec_state */
	uint8_t cut;    /* nonzero: records were left out at a limit */
	uint16_t reserved;
	/* n_rrs times: struct record_rr, then its owner and data texts; each begins at a multiple
	 * of 4 */
};

struct record_rr {
	uint8_t addr[ADDR_LEN]; /* of A and AAAA; zero otherwise */
	uint32_t ttl;           /* as upstream gave it */
	uint16_t type;
	uint16_t owner_len;
	uint16_t data_len; /* presentation form of RDATA */
	uint16_t reserved;
	/* char owner[owner_len]; char data[data_len]; then 0..3 octets of padding */
};
