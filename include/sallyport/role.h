/* sallyport/role.h - how the keeper talks to its roles.
 *
 * A role is started by fork and exec with one descriptor, ROLE_FD: a SOCK_SEQPACKET channel to the
 * keeper. Everything else (configuration, sockets, shared memory) arrives over it as typed
 * messages, each with at most ROLE_FDS_MAX descriptors. A configuration arrives in parts and takes
 * effect whole at ROLE_MSG_END; what is not named again is closed. A role that reads end-of-file
 * exits: resolver and fwsync at once, the historian after writing what the rings hold.
 *
 * Order at start: CONFIG and the rest in any order, END; the role confines itself (namespace root,
 * seccomp, no_new_privs, capabilities dropped), then answers READY. Heartbeats and counters live in
 * the stats page (counter.h), not in messages.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/guard_table.h"
#include "sallyport/limits.h"
#include "sallyport/name.h"
#include "sallyport/prefix.h"

#define ROLE_FD 3
#define ROLE_FDS_MAX 4
#define ROLE_MAGIC UINT32_C(0x31454c52)

enum role { ROLE_RESOLVER, ROLE_HISTORIAN, ROLE_FWSYNC, ROLE_N };
const char *role_str(enum role role); /* "resolver", ... */

enum role_msg_type {
	/* keeper to role; fds in brackets, a/b: meaning of the numbers */
	ROLE_MSG_CONFIG = 1, /* [sealed memfd of the role's struct *_conf] */
	ROLE_MSG_STATS,      /* [stats page] */
	ROLE_MSG_LISTENER,   /* resolver: [socket] a: listener index | worker << 16, b:
	                        IPPROTO_UDP/TCP */
	ROLE_MSG_RING,       /* resolver: [data, back (read-only)] a: worker.
	                        historian: [data (read-only), back] a: worker */
	ROLE_MSG_AGGREGATE,  /* historian: [its aggregation area] */
	ROLE_MSG_PINHOLE,    /* [one end of a worker's pair] a: worker */
	ROLE_MSG_EPOCH,      /* resolver: [page, read-only]; fwsync: [page] */
	ROLE_MSG_LEDGER,     /* fwsync: [memory] */
	ROLE_MSG_NETLINK,    /* fwsync: [the keeper's NETLINK_NETFILTER socket, bound] */
	ROLE_MSG_DIRECTORY,  /* historian: [history directory] */
	ROLE_MSG_END,     /* the configuration is complete: apply it. a: the policy version in force
	                     (0: none); a resolver that starts reads no query before its image is
	                     here, so that a restart refuses nobody: they wait in the kernel.
	                     b: which configuration it is; CONFIGURED tells it back */
	ROLE_MSG_IMAGE,   /* resolver: [policy image, sealed] a: policy version */
	ROLE_MSG_GUARD,   /* fwsync: [guard table, sealed] a: policy version. Answered APPLIED at
	                     once: from then on older versions are refused */
	ROLE_MSG_CATALOG, /* historian: [catalog, sealed] a: policy version. Answered APPLIED */
	ROLE_MSG_CLOSE,   /* fwsync: payload struct role_close_row[]: ledger rows without a reason
	                     any more; a: policy version, b: enum role_close. Answered CLOSED */
	ROLE_MSG_FLUSH, /* resolver: payload: wire name (empty: everything), a: 1 = and all below */
	ROLE_MSG_ASK_KEYS, /* resolver: payload: wire name of a trust anchor's zone. Answered KEYS
	                    */
	ROLE_MSG_ANCHOR,   /* sallyport-anchor: payload struct conf_anchor (sallyport/keys.h) */
	ROLE_MSG_EXPLAIN,  /* resolver: payload struct explain_request, a: its number. Answered
	                      EXPLAINED, always */
	ROLE_MSG_DRAIN,    /* stop reading new queries, finish what is in flight, then exit 0 */
	ROLE_MSG_ROTATE,   /* historian: apply retention now (tests, and once an hour by itself) */
	ROLE_MSG_USE, /* fwsync: [memory of struct role_use[], zeros] a: its number. Answered USED;
	                 a newer one takes the place of one that is not answered yet */

	/* role to keeper */
	ROLE_MSG_READY = 64, /* a: 0 */
	ROLE_MSG_APPLIED,    /* a: policy version now in force in every worker */
	ROLE_MSG_CLOSED,     /* fwsync: a: policy version, b: elements removed */
	ROLE_MSG_FAILED,     /* payload: text for people; the role exits */
	ROLE_MSG_FLUSHED,    /* a: entries removed */
	ROLE_MSG_CONFIGURED, /* resolver: a: the configuration (END's b) in force in every worker */
	ROLE_MSG_KEYS, /* resolver: payload as in sallyport/keys.h; passed on to sallyport-anchor */
	ROLE_MSG_SEEN, /* sallyport-anchor: payload struct keys_seen */
	ROLE_MSG_EXPLAINED, /* a: the number, payload: rows (explain.h) */
	ROLE_MSG_USED, /* fwsync: a: the number, b: when counting began, CLOCK_MONOTONIC; 0: the
	                  connections could not be counted, and what is in the memory is no use */
};

enum role_close { ROLE_CLOSE_LAST = 1 }; /* bits: the last message of a list */

/* The row as the keeper judged it. One that has been given to another pinhole since, or that
 * another policy version has judged, is not closed. */
struct role_close_row {
	uint64_t opened_ns;
	uint32_t row;
	uint32_t policy_version;
};

/* The connections that one row of the ledger lets through, at the row's number in the memory of
 * ROLE_MSG_USE. Of a row that was opened after the counting began it says nothing. */
struct role_use {
	uint64_t packets, octets; /* both ways, of those that the kernel has counted */
	uint32_t flows;
	uint32_t unaccounted; /* of these without counters (nf_conntrack_acct was off) */
};

struct role_msg {
	uint16_t type;
	uint64_t a, b;
	size_t len;            /* of payload */
	uint8_t *payload;      /* borrowed from the receive buffer until the next receive */
	int fds[ROLE_FDS_MAX]; /* owned by the receiver; -1 where none */
	size_t n_fds;
};

/* Send one message. @payload may be NULL. Descriptors stay the caller's. Returns 0, ERR_AGAIN (the
 * channel is full and non-blocking), ERR_CLOSED or -errno. */
int role_send(int channel, enum role_msg_type type, uint64_t a, uint64_t b, const void *payload,
              size_t len, const int *fds, size_t n_fds);
/* Receive one message into @buf (LIMIT_ROLE_MESSAGE octets). Returns 0, ERR_AGAIN, ERR_CLOSED (the
 * other side is gone), ERR_MALFORMED (descriptors that came with it are closed) or -errno. */
int role_recv(int channel, uint8_t *buf, size_t cap, struct role_msg *ret_msg) MUST_CHECK;
void role_msg_close(struct role_msg *msg); /* close the descriptors that nobody has taken */

/* What each role is told. Flat, sealed, checked by size and magic; ranges are the keeper's duty,
 * and every role clamps array counts to the arrays' sizes before use. */
struct conf_server {
	uint8_t addr[ADDR_LEN];
	uint16_t port;
	uint16_t reserved;
};
struct conf_zone {
	uint8_t name[NAME_MAX_WIRE + 1]; /* wire form, lower case */
	uint8_t internal;                /* answers may carry private addresses */
	uint8_t dnssec_off;              /* a negative trust anchor for this zone */
	uint16_t n_servers;
	struct conf_server servers[LIMIT_ZONE_SERVERS];
};
struct conf_listener {
	uint8_t addr[ADDR_LEN];
	uint16_t port;
	uint8_t wildcard; /* bound to the unspecified address: answer from the address asked */
	uint8_t reserved;
};

/* In every conf: whom the role runs as, and how it logs. A role calls log_init() with these and
 * gives uid and gid to confine_self(). */
struct conf_common {
	uint32_t uid, gid;  /* UINT32_MAX: stay who you are */
	uint32_t log_form;  /* enum log_form */
	uint32_t log_level; /* enum log_level */
};

struct conf_anchor {                     /* a trust anchor */
	uint8_t name[NAME_MAX_WIRE + 1]; /* wire form, lower case */
	uint16_t type;                   /* DS (43) or DNSKEY (48) */
	uint16_t len;
	uint8_t rdata[LIMIT_ANCHOR_BYTES];
};
struct conf_nta {                        /* a negative trust anchor (RFC 7646) */
	uint8_t name[NAME_MAX_WIRE + 1]; /* wire form, lower case */
	uint64_t until_s;                /* wall clock */
};

enum dnssec_mode { DNSSEC_MODE_OFF = 0, DNSSEC_MODE_VALIDATE };

enum firewall_mode { FIREWALL_LOCAL = 0, FIREWALL_NONE };

/* The configuration's, and what they have become by RFC 5011. */
#define ROLE_ANCHORS (LIMIT_ANCHORS + LIMIT_UPKEEP_ZONES * LIMIT_UPKEEP_KEYS)

#define RESOLVER_CONF_MAGIC UINT32_C(0x31434652)
struct resolver_conf {
	uint32_t magic, size;
	struct conf_common common;
	uint32_t workers;
	uint32_t firewall; /* enum firewall_mode */
	uint32_t ack_timeout_ms;
	uint32_t in_flight, in_flight_workload, in_flight_client;
	uint32_t tcp_connections, tcp_connections_client, tcp_idle_ms, tcp_read_ms;
	uint32_t query_ms;
	uint32_t udp_bytes;     /* largest UDP answer, 512..LIMIT_EDNS_UDP_BYTES */
	uint64_t amplification; /* octets a second: see resolver/amplification.h */
	uint64_t cache_bytes;
	uint32_t cache_max_ttl_s, cache_negative_max_ttl_s, cache_serve_stale_s; /* stale 0: off */
	uint32_t prefetch;                                                       /* 0: off */
	uint8_t
	    cookie_secret[16]; /* RFC 9018; made by the keeper, the same for every incarnation */
	uint8_t hash_key[16];  /* SipHash key for tables that the network fills */
	uint64_t
	    id_base; /* query ids start here: wall clock at start << 20, so they are unique
	                and sortable; worker w counts id_base + w, step the number of workers */
	uint32_t test_delay_ack_ms;     /* reserved for test builds; 0 otherwise */
	uint32_t dnssec;                /* enum dnssec_mode */
	uint32_t dnssec_sha1;           /* 1: algorithms 5 and 7 and digest 1 count as supported */
	uint32_t nsec3_iterations;      /* more make a zone insecure */
	uint32_t nsec3_iterations_hard; /* more make it bogus */
	uint32_t dnssec_skew_min_s, dnssec_skew_max_s; /* clocks differ: of a tenth of a signature's
	                                                  life, at least, at most */
	uint32_t dnssec_aggressive; /* 1: cached NSEC and NSEC3 answer for names not asked yet */
	uint32_t dnssec_sentinel;   /* 1: names may ask which keys of the root are trusted */
	uint32_t n_listeners, n_zones, n_anchors, n_ntas;
	struct conf_listener listeners[LIMIT_LISTENERS];
	struct conf_zone zones[LIMIT_ZONES];
	struct conf_anchor anchors[ROLE_ANCHORS];
	struct conf_nta ntas[2 * LIMIT_NTAS]; /* configured, then by command */
};

#define FWSYNC_CONF_MAGIC UINT32_C(0x31434657)
enum firewall_hook { HOOK_FORWARD = 0 };
struct fwsync_conf {
	uint32_t magic, size;
	struct conf_common common;
	uint32_t hook;                      /* enum firewall_hook */
	uint32_t workers;                   /* number of pinhole pairs */
	uint32_t mark_egress, mark_inbound; /* one bit each of the conntrack mark, different */
	uint32_t set_size;                  /* elements of each pinhole set */
	uint32_t owner;     /* 1: owner and persist flags where the kernel has both; 0: never
	                       (test switch firewall.owner: off) */
	uint32_t track_dns; /* 1: DNS goes through connection tracking */
	uint32_t n_dns;     /* DNS listeners: open to guarded sources on the input hook */
	uint32_t n_gateway_ports;
	struct conf_listener dns[LIMIT_LISTENERS];
	struct {
		uint8_t proto;
		uint8_t reserved;
		uint16_t port;
	} gateway_ports[64];
	/* Filtered even while no policy is loaded (firewall.guard of the configuration). */
	uint32_t n_interfaces, n_prefixes;
	char interfaces[64][GUARD_IFNAME_LEN];
	struct guard_prefix prefixes[1024];
};

#define HISTORIAN_CONF_MAGIC UINT32_C(0x31434648)
struct historian_conf {
	uint32_t magic, size;
	struct conf_common common;
	uint32_t workers;
	uint32_t allow_days_s, deny_days_s; /* retention in seconds; 0: keep for ever */
	uint32_t group_gid; /* files are made 0640 for this group; UINT32_MAX: leave alone */
	uint32_t reserved;
};

/* Map a sealed conf of exactly @size octets that begins with @magic; copies it out. Returns 0,
 * ERR_VERSION or ERR_DAMAGED. */
int role_conf_read(int fd, uint32_t magic, void *ret_conf, size_t size) MUST_CHECK;
