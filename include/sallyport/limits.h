/* sallyport/limits.h - every bound, with its default, what happens at it, and what counts it.
 *
 * Sizes of shared formats are enum constants; run-time limits that an operator may change have
 * their default here and the key that changes it named beside them. Counters: counter.h.
 */
#pragma once

enum limit {
	/* People's input. */
	LIMIT_DIAG_ITEMS = 1000,       /* faults kept of one input; the rest are counted */
	LIMIT_LOG_PER_SECOND = 200,    /* lines; dropped ones are counted in the next line */
	LIMIT_CONFIG_BYTES = 1 << 20,  /* the configuration file; larger: refused */
	LIMIT_POLICY_BYTES = 16 << 20, /* policy text; larger: refused */
	LIMIT_FEED_BYTES = 1 << 30,    /* one feed's text; larger: refused */
	LIMIT_IMAGE_BYTES = 1 << 30,   /* a compiled policy; larger: the compiler stops */

	/* Policy. */
	LIMIT_PROFILES = 4096,
	LIMIT_WORKLOADS = 65536,
	LIMIT_WORKLOAD_SOURCES = 1024, /* prefixes a workload */
	LIMIT_WORKLOAD_LISTENERS = 64,
	LIMIT_WORKLOAD_OTHER_FAMILY = 16, /* single addresses opened for the other family */
	LIMIT_RULES = 1 << 20,            /* in one policy, all profiles together */
	LIMIT_RULES_APPLIED = 1 << 23,    /* the same, inherited ones counted for each heir */
	LIMIT_SUFFIX_PATTERNS = 256,      /* patterns of a profile with one fixed suffix; all are
	                                     looked at for a name below it */
	LIMIT_RULE_PORTS = 128,           /* after expansion; more: an error that names tcp/any */
	LIMIT_RULE_TYPES = 32,
	LIMIT_INBOUND = 1 << 16, /* UDP ports open from outside: of all single addresses of all
	                            workloads together */
	LIMIT_FEEDS = 64,
	LIMIT_HOSTS = 65536,
	LIMIT_GUARD_HOSTS = 1 << 22, /* hosts times profiles, looked at for the guard table */
	LIMIT_EXTENDS_DEPTH = 16,
	LIMIT_WORKLOAD_NAME = 63, /* octets; profile and feed names, too */

	/* Configuration. */
	LIMIT_WORKERS = 64,
	LIMIT_LISTENERS = 64,
	LIMIT_ZONES = 256, /* entries of upstreams */
	LIMIT_ZONE_SERVERS = 16,
	LIMIT_ANCHORS = 64,        /* trust anchors: DS and DNSKEY records */
	LIMIT_ANCHOR_BYTES = 1028, /* RDATA of one: an RSA key of 8,192 bits has less */
	LIMIT_UPKEEP_ZONES = 8,    /* of trust anchors that keep themselves up (RFC 5011) */
	LIMIT_UPKEEP_KEYS = 16,  /* known of one; the longest removed makes room, and when none is,
	                            more  are passed over, and `anchors` says so */
	LIMIT_NTAS = 64,         /* negative ones in the configuration; as many by command */
	LIMIT_NTA_S = 7 * 86400, /* one by command lasts no longer (RFC 7646, section 2) */
	LIMIT_NTA_REASON = 200,  /* octets of why it is there */

	/* Messages from the network. */
	LIMIT_MSG_BYTES = 65535,
	LIMIT_MSG_HOPS_NAME = 16,     /* compression pointers in one name */
	LIMIT_MSG_HOPS = 2000,        /* in one message */
	LIMIT_MSG_RECORDS = 2048,     /* in one message, OPT included */
	LIMIT_MSG_GROWN = 1 << 18,    /* octets of one message's records, without compression */
	LIMIT_RRSET_RECORDS = 256,    /* of one answer that is cached */
	LIMIT_ANSWER_BYTES = 1 << 17, /* memory of the links that one message gives */
	LIMIT_EDNS_OPTIONS = 64,      /* in one OPT record */
	LIMIT_EDNS_UDP_BYTES = 1232,  /* largest UDP answer, and what we advertise */

	/* A query's way; configuration keys under `limits:` change those that name one. */
	LIMIT_IN_FLIGHT = 16384,           /* per resolver; limits.in_flight */
	LIMIT_IN_FLIGHT_WORKLOAD = 1024,   /* limits.in_flight_workload */
	LIMIT_IN_FLIGHT_CLIENT = 512,      /* per address; limits.in_flight_client */
	LIMIT_TCP_CONNECTIONS = 4096,      /* per resolver; limits.tcp_connections */
	LIMIT_TCP_CONNECTIONS_CLIENT = 32, /* limits.tcp_connections_client */
	LIMIT_TCP_PIPELINED = 64,          /* unanswered queries of one connection */
	LIMIT_TCP_IDLE_MS = 10000,         /* limits.tcp_idle */
	LIMIT_TCP_READ_MS = 5000,          /* a message begun must end in this time */
	LIMIT_CHAIN = 12,                  /* links of CNAME, DNAME, SVCB aliases */
	LIMIT_TARGETS = 16,                /* SVCB/HTTPS targets judged of one answer */
	LIMIT_SUBQUERIES = 32,             /* upstream questions for one client query */
	LIMIT_QUERY_MS = 6000,             /* from reading to answering; then SERVFAIL */
	LIMIT_AMPLIFICATION = 16 << 20,    /* octets a second by UDP to one /24 or /56, beyond three
	                                      times what it asked with; limits.amplification */
	LIMIT_UDP_BACKLOG = 2048,          /* queries read and not yet looked at, per worker; over
	                                      it the longest workload's oldest go: limit_backlog */
	LIMIT_QUEUE_AGE_MS = 4000,      /* queries that waited longer in the kernel are dropped */
	LIMIT_ANSWER_AGE_MS = 500,      /* a UDP answer made so long ago is not sent: its pinholes
	                                   outlive its TTL and the grace by as much */
	LIMIT_FOLLOW_TARGETS = 4096,    /* chain targets a workload may ask itself */
	LIMIT_AHEAD = 16,               /* questions about SVCB/HTTPS targets in flight that nobody
	                                   has asked yet, of a workload; the others are left for
	                                   the client to ask: limit_ahead */
	LIMIT_UPSTREAM_TRIES = 6,       /* sends of one question, all servers together */
	LIMIT_UPSTREAM_UDP_TRIES = 4,   /* of these by UDP: however slow it was, TCP has its turn */
	LIMIT_UPSTREAM_FETCHES = 4096,  /* questions with upstreams at once, per worker */
	LIMIT_UPSTREAM_TCP = 64,        /* connections to one server, per worker; the oldest of the
	                                   workload that holds most makes room */
	LIMIT_WAITING_BYTES = 32 << 20, /* what waiting queries hold, per worker: links, and what it
	                                   takes to validate them; over it only those that hold
	                                   little go on */
	LIMIT_WAITING_SMALL_BYTES = 8 << 10,   /* little: more than honest signed answers need */
	LIMIT_WAITING_QUERY_BYTES = 128 << 10, /* links of one query that asks for another; an
	                                          answer has 64 KiB at most */

	/* Validating the answer to one query. Over it all that is not yet proven is bogus:
	 * SERVFAIL, and cached as a failure; what was verified stays known, so that a later try
	 * goes on from there. */
	LIMIT_VAL_CHECKS = 96,          /* signatures checked */
	LIMIT_VAL_CHECKS_SET = 8,       /* the same, of one RRset */
	LIMIT_VAL_FAILURES = 32,        /* signatures that do not verify */
	LIMIT_VAL_FAILURES_MESSAGE = 8, /* the same, in one message; an honest one has none, but
	                                   for key tags that collide */
	LIMIT_VAL_KEYS_TAG = 4,         /* keys tried of one tag and algorithm (CVE-2023-50387) */
	LIMIT_VAL_KEYS = 32,            /* of one zone that are kept; the rest are left out */
	LIMIT_VAL_KEYS_ALL = 1 << 15,   /* of all zones that are kept, 2 KiB each and more; over it
	                                   other zones are forgotten */
	LIMIT_VAL_DS = 8,               /* of one zone that are looked at; the rest are left out */
	LIMIT_VAL_DENIAL = 16,    /* NSEC or NSEC3 RRsets of one proof; an honest one has four */
	LIMIT_VAL_HASHES = 16384, /* blocks of SHA-1 for NSEC3 (CVE-2023-50868) */
	LIMIT_VAL_HASHES_PROOF = 8192, /* the same, for one proof: an honest name may need a hash
	                                  for each of its labels, those of ip6.arpa do */
	LIMIT_VAL_QUESTIONS = 64,      /* DS and DNSKEY asked for */
	LIMIT_VAL_SIGNERS = 3,         /* signers' names that one answer gives and that are tried */

	LIMIT_PROOF_BYTES = 16 << 20, /* validated NSEC and NSEC3 records kept for names that nobody
	                                 has asked yet; over it the least used go: limit_proofs */

	/* Pinholes. */
	LIMIT_PINHOLE_OPS = 2048,      /* elements that one request may expand to */
	LIMIT_PINHOLE_ROWS = 8,        /* rows of a workload in the ledger (an element for each
	                                  question), so many times its per_workload, and at
	                                  least as many as one request may expand to */
	LIMIT_PINHOLE_REASONS = 256,   /* rows of one element; beyond them one row without
	                                  names stands for all other questions, and a policy
	                                  switch closes it */
	LIMIT_PINHOLE_REQUESTS = 256,  /* requests of one batch message */
	LIMIT_PINHOLE_MESSAGE = 65536, /* bytes of one message, either way */
	LIMIT_PINHOLE_BATCH_ELEMENTS = 4096, /* elements of one netlink transaction */
	LIMIT_PINHOLE_NAMES = 1000, /* octets of names (question and chain) of one reason */

	/* History. */
	LIMIT_RECORD_BYTES = 65536, /* one record; longer ones are cut and marked */
	LIMIT_ANSWER_RRS = 256,     /* resource records kept of one answer */
	/* A file's write-ahead log, which grows while a reader's transaction is open; beyond it the
	 * history goes on in a copy of the file (history_left_behind). */
	LIMIT_HISTORY_LOG_BYTES = 256 << 20,

	/* Roles. */
	LIMIT_ROLE_MESSAGE = 65536,
	LIMIT_ROLE_DEATHS = 5, /* within LIMIT_ROLE_DEATHS_MS: back-off starts */
	LIMIT_ROLE_DEATHS_MS = 10000,
	LIMIT_ROLE_HUNG_MS = 5000,  /* no heartbeat for so long: replaced */
	LIMIT_ROLE_BUSY_MS = 60000, /* a heartbeat so far ahead announces one long call */
	LIMIT_USE_MS = 5000,        /* `pinholes` waits so long for connections to be counted; then
	                               it is answered without */
	LIMIT_EXPLAINS = 1,         /* answers that are validated anew to be explained, at once */
	LIMIT_EXPLAIN_BYTES =
	    60000,                  /* what one of them is told in; the steps beyond are left out */
	LIMIT_EXPLAIN_TEXT = 1200,  /* octets of one text in it */
	LIMIT_CONTROL_CLIENTS = 64, /* connections to control.sock at once */
	LIMIT_CONTROL_READERS = 56, /* the same, when one more may only read */
	LIMIT_CONTROL_FRAME = 1 << 20,
	LIMIT_AUDIT_ROWS =
	    60, /* that callers who may only read leave in the audit trail at once; */
	LIMIT_AUDIT_ROW_MS = 6000,       /* and one more each time */
	LIMIT_CONTROL_UNREAD = 64 << 20, /* octets of answers that callers who may only read leave
	                                    unread, all together; over it they are dropped */
};
