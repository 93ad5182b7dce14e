/* sallyport/counter.h - every counter, by name, and the shared page in which a role keeps them.
 *
 * The keeper makes one page for each role; the role writes, the keeper only reads. A page has one
 * lane for each worker thread (lane 0 is the role's main thread), so counting is one relaxed add
 * to a line of the thread's own. The texts are stable parts of `status --json`.
 *
 * Add a counter: one line here, one COUNT(...) where it happens.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/limits.h"
#include "sallyport/upstream.h"

/* X(symbol, text, what is counted) */
#define COUNTERS(X)                                                                                \
	X(QUERIES_UDP, "queries_udp", "messages read by UDP")                                      \
	X(QUERIES_TCP, "queries_tcp", "messages read by TCP")                                      \
	X(ANSWERS, "answers", "answers sent")                                                      \
	X(ALLOWED, "allowed", "queries allowed")                                                   \
	X(DENIED, "denied", "queries denied")                                                      \
	X(LOCAL, "local", "queries answered as special-use names")                                 \
	X(DROPPED_MALFORMED, "dropped_malformed", "messages that deserve no answer")               \
	X(FORMERR, "formerr", "messages answered FORMERR")                                         \
	X(DROPPED_OLD, "dropped_old", "queries that waited too long in the kernel")                \
	X(LIMIT_BACKLOG, "limit_backlog",                                                          \
	  "queries dropped because their workload asks faster than it is served")                  \
	X(LIMIT_AMPLIFICATION, "limit_amplification",                                              \
	  "UDP queries answered in short, for their prefix takes much more than it sends")         \
	X(KERNEL_DROPS, "kernel_drops", "datagrams the kernel dropped before we read them")        \
	X(ABANDONED, "abandoned", "queries in flight in a worker that died")                       \
	X(SEND_FAILED, "send_failed", "answers that the kernel would not take")                    \
	X(LIMIT_ANSWER_AGE, "limit_answer_age", "answers that were ready too long to be sent")     \
	X(TRUNCATED, "truncated", "answers sent with TC=1")                                        \
	X(BADCOOKIE, "badcookie", "client cookies that did not verify")                            \
	X(LIMIT_IN_FLIGHT, "limit_in_flight", "queries over a limit of queries in flight")         \
	X(LIMIT_TCP, "limit_tcp", "connections over a limit of TCP connections")                   \
	X(LIMIT_TCP_TIMEOUT, "limit_tcp_timeout", "TCP connections closed for idling or slowness") \
	X(LIMIT_CHAIN, "limit_chain", "chains longer than the limit, or loops")                    \
	X(LIMIT_SUBQUERIES, "limit_subqueries", "queries that needed too many questions")          \
	X(LIMIT_QUERY_TIME, "limit_query_time", "queries that took too long")                      \
	X(LIMIT_UPSTREAM, "limit_upstream", "questions without a socket or a place upstream")      \
	X(LIMIT_WAITING, "limit_waiting",                                                          \
	  "queries whose chains took too much memory to wait with")                                \
	X(LIMIT_FOLLOW, "limit_follow", "chain targets not remembered: table full")                \
	X(LIMIT_TARGETS, "limit_targets", "SVCB and HTTPS answers with more targets than judged")  \
	X(LIMIT_AHEAD, "limit_ahead",                                                              \
	  "questions about SVCB and HTTPS targets left for the client to ask: too many at once")   \
	X(LIMIT_ADDRESSES, "limit_addresses", "answers with more addresses than the profile has")  \
	X(CACHE_HITS, "cache_hits", "queries answered from the cache")                             \
	X(CACHE_MISSES, "cache_misses", "queries that needed an upstream")                         \
	X(CACHE_EVICTED, "cache_evicted", "entries evicted for room")                              \
	X(CACHE_STALE, "cache_stale", "stale answers served")                                      \
	X(PREFETCHES, "prefetches", "hot names refreshed before they expired")                     \
	X(PREFETCHED_TARGETS, "prefetched_targets",                                                \
	  "questions about SVCB and HTTPS targets looked up before a client asked them")           \
	X(UPSTREAM_QUERIES, "upstream_queries", "questions sent upstream")                         \
	X(UPSTREAM_TCP, "upstream_tcp", "of these by TCP")                                         \
	X(UPSTREAM_SOCKETS, "upstream_sockets", "sockets opened to ask by UDP")                    \
	X(UPSTREAM_TIMEOUTS, "upstream_timeouts", "questions without an answer in time")           \
	X(UPSTREAM_MALFORMED, "upstream_malformed", "upstream messages that break the format")     \
	X(LIMIT_UPSTREAM_MESSAGE, "limit_upstream_message",                                        \
	  "upstream messages with more records, names or octets than is taken")                    \
	X(UPSTREAM_MISMATCH, "upstream_mismatch", "upstream messages with a wrong ID or question") \
	X(UPSTREAM_FAILED, "upstream_failed", "questions that no server answered")                 \
	X(UPSTREAM_PROBES, "upstream_probes",                                                      \
	  "questions that ask whether a server gives signatures")                                  \
	X(UPSTREAM_UNFIT, "upstream_unfit",                                                        \
	  "times that a server was found to give no signatures, or to give them again")            \
	X(GUARD_STRIPPED, "guard_stripped", "addresses stripped as not globally reachable")        \
	X(GUARD_TARGETS, "guard_targets", "chains that led to a denied name")                      \
	X(DNSSEC_SECURE, "dnssec_secure", "links of answers found secure")                         \
	X(DNSSEC_INSECURE, "dnssec_insecure", "links proven to be unsigned")                       \
	X(DNSSEC_INDETERMINATE, "dnssec_indeterminate", "links without a trust anchor")            \
	X(DNSSEC_BOGUS, "dnssec_bogus", "links that failed validation, after all tries")           \
	X(DNSSEC_WHY_NO_ANCHOR, "dnssec_why_no_anchor", "no trust anchor is above the name")       \
	X(DNSSEC_WHY_NTA, "dnssec_why_nta", "a negative trust anchor covers the name")             \
	X(DNSSEC_WHY_NO_DS, "dnssec_why_no_ds", "the delegation is proven to have no DS")          \
	X(DNSSEC_WHY_OPT_OUT, "dnssec_why_opt_out", "the name lies in an opt-out span")            \
	X(DNSSEC_WHY_ITERATIONS, "dnssec_why_iterations",                                          \
	  "NSEC3 with more iterations than are checked")                                           \
	X(DNSSEC_WHY_DS_ALGORITHM, "dnssec_why_ds_algorithm",                                      \
	  "no DS has a DNSKEY algorithm that is supported")                                        \
	X(DNSSEC_WHY_DS_DIGEST, "dnssec_why_ds_digest", "no DS has a digest that is supported")    \
	X(DNSSEC_WHY_RRSIG_MISSING, "dnssec_why_rrsig_missing", "no signature covers the RRset")   \
	X(DNSSEC_WHY_SIGNER, "dnssec_why_signer", "the signer is not the zone of the RRset")       \
	X(DNSSEC_WHY_LABELS, "dnssec_why_labels",                                                  \
	  "the signature's Labels field does not fit the owner")                                   \
	X(DNSSEC_WHY_EXPIRED, "dnssec_why_expired", "the signature has expired")                   \
	X(DNSSEC_WHY_NOT_YET, "dnssec_why_not_yet", "the signature is not yet valid")              \
	X(DNSSEC_WHY_PERIOD, "dnssec_why_period", "the signature expires before it begins")        \
	X(DNSSEC_WHY_NO_KEY, "dnssec_why_no_key",                                                  \
	  "no key of the zone has the signature's tag and algorithm")                              \
	X(DNSSEC_WHY_SIGNATURE, "dnssec_why_signature", "the signature does not verify")           \
	X(DNSSEC_WHY_DNSKEY_MISSING, "dnssec_why_dnskey_missing",                                  \
	  "the DNSKEY RRset cannot be had")                                                        \
	X(DNSSEC_WHY_NO_SEP, "dnssec_why_no_sep",                                                  \
	  "no key that a DS or anchor names signs the DNSKEY RRset")                               \
	X(DNSSEC_WHY_NO_ZONE_KEY, "dnssec_why_no_zone_key",                                        \
	  "the keys that a DS or anchor names lack the zone flag")                                 \
	X(DNSSEC_WHY_NSEC_MISSING, "dnssec_why_nsec_missing",                                      \
	  "nothing proves that the name or type is not there")                                     \
	X(DNSSEC_WHY_WILDCARD, "dnssec_why_wildcard",                                              \
	  "nothing proves that the wildcard was the closest name")                                 \
	X(DNSSEC_WHY_DNAME, "dnssec_why_dname",                                                    \
	  "the CNAME is not what the DNAME makes of the name")                                     \
	X(DNSSEC_WHY_DS_UNPROVEN, "dnssec_why_ds_unproven",                                        \
	  "nothing proves whether the delegation is signed")                                       \
	X(DNSSEC_WHY_UNREACHABLE, "dnssec_why_unreachable", "a key or DS could not be asked for")  \
	X(DNSSEC_WHY_MALFORMED, "dnssec_why_malformed", "a record breaks its format")              \
	X(DNSSEC_WHY_LIMIT, "dnssec_why_limit", "a limit of validation was reached")               \
	X(DNSSEC_RETRIES, "dnssec_retries", "bogus answers asked for again")                       \
	X(DNSSEC_CHECKS, "dnssec_checks", "signatures checked")                                    \
	X(DNSSEC_SYNTHESIZED, "dnssec_synthesized",                                                \
	  "denials made of cached NSEC and NSEC3 records")                                         \
	X(LIMIT_PROOFS, "limit_proofs", "cached NSEC and NSEC3 records that went for room")        \
	X(LIMIT_DNSSEC, "limit_dnssec", "validations that met a limit of their budget")            \
	X(LIMIT_VAL_CHECKS, "limit_val_checks",                                                    \
	  "validations that needed more signature checks than a query has")                        \
	X(LIMIT_VAL_CHECKS_SET, "limit_val_checks_set",                                            \
	  "RRsets with more signatures than are checked")                                          \
	X(LIMIT_VAL_FAILURES, "limit_val_failures",                                                \
	  "validations in which too many signatures did not verify")                               \
	X(LIMIT_VAL_FAILURES_MESSAGE, "limit_val_failures_message",                                \
	  "messages in which too many signatures did not verify")                                  \
	X(LIMIT_VAL_KEYS_TAG, "limit_val_keys_tag",                                                \
	  "key tags that more keys share than are tried")                                          \
	X(LIMIT_VAL_KEYS, "limit_val_keys", "zones with more keys than are kept")                  \
	X(LIMIT_VAL_KEYS_ALL, "limit_val_keys_all",                                                \
	  "zones forgotten because all of them had more keys than are kept")                       \
	X(LIMIT_VAL_DS, "limit_val_ds", "delegations with more DS than are looked at")             \
	X(LIMIT_VAL_DENIAL, "limit_val_denial", "proofs with more NSEC or NSEC3 than are taken")   \
	X(LIMIT_VAL_HASHES, "limit_val_hashes",                                                    \
	  "validations that needed more NSEC3 hashes than a query has")                            \
	X(LIMIT_VAL_HASHES_PROOF, "limit_val_hashes_proof",                                        \
	  "proofs that needed more NSEC3 hashes than one has")                                     \
	X(LIMIT_VAL_QUESTIONS, "limit_val_questions",                                              \
	  "validations that needed too many DS and DNSKEY")                                        \
	X(LIMIT_VAL_SIGNERS, "limit_val_signers", "answers that name more signers than are tried") \
	X(LIMIT_VAL_RECORDS, "limit_val_records", "RRsets with more records than are validated")   \
	X(LIMIT_EXPLAIN, "limit_explain", "explanations refused while others were under way")      \
	X(REJUDGED, "rejudged", "queries judged again after a policy switch")                      \
	X(HELD, "held", "answers whose pinholes were held already")                                \
	X(PINHOLE_REQUESTS, "pinhole_requests", "requests sent to fwsync")                         \
	X(PINHOLE_TIMEOUTS, "pinhole_timeouts", "requests without a confirmation in time")         \
	X(PINHOLE_REFUSED, "pinhole_refused", "requests that fwsync refused")                      \
	X(PINHOLE_LATE, "pinhole_late", "confirmations that nobody waited for any more")           \
	X(NO_SOURCE, "no_source", "answers without a single source of their family")               \
	X(RECORDS, "records", "history records written to a ring")                                 \
	X(RECORDS_LOST, "records_lost", "history records for which a ring had no room")            \
	X(FW_BATCHES, "fw_batches", "netlink transactions")                                        \
	X(FW_ELEMENTS, "fw_elements", "set elements added or renewed")                             \
	X(FW_REFUSED_GUARD, "fw_refused_guard", "requests outside the guard table")                \
	X(FW_REFUSED_STALE, "fw_refused_stale", "requests judged by an older policy version")      \
	X(FW_REFUSED_LATE, "fw_refused_late", "requests past their deadline")                      \
	X(FW_REFUSED_MALFORMED, "fw_refused_malformed", "messages that break the format")          \
	X(FW_LIMIT_REASONS, "fw_limit_reasons",                                                    \
	  "requests for an element that has too many reasons to keep their names")                 \
	X(FW_LIMIT_WORKLOAD, "fw_limit_workload", "requests over a workload's pinholes")           \
	X(FW_SET_FULL, "fw_set_full", "elements refused because a set or the ledger was full")     \
	X(FW_KERNEL_ERRORS, "fw_kernel_errors", "transactions that the kernel refused")            \
	X(FW_RETRIES, "fw_retries", "transactions sent again (EINTR, ERESTART, ENOBUFS)")          \
	X(FW_LOST, "fw_lost", "times that the table or elements were lost and restored")           \
	X(FW_TABLE_LOST, "fw_table_lost", "times that the table was missing or another")           \
	X(FW_UNFILTERED, "fw_unfiltered", "packets forwarded meanwhile, at most, of all hosts")    \
	X(FW_CLOSED, "fw_closed", "elements removed by a revocation")                              \
	X(FW_FLOWS_CUT, "fw_flows_cut", "live flows ended by a revocation")                        \
	X(FW_USE_COUNTS, "fw_use_counts", "times that connections were counted for somebody")      \
	X(LIMIT_USE, "limit_use", "lists of pinholes that went without their use")                 \
	X(LIMIT_AUDIT, "limit_audit",                                                              \
	  "refusals and explanations that the audit trail had no room for")                        \
	X(HISTORY_ROWS, "history_rows", "rows written")                                            \
	X(HISTORY_FOLDED, "history_folded", "records folded into a row that stands for several")   \
	X(HISTORY_GAPS, "history_gaps", "gap rows written")                                        \
	X(HISTORY_MALFORMED, "history_malformed", "records that failed their checks")              \
	X(HISTORY_TRANSACTIONS, "history_transactions", "transactions committed")                  \
	X(HISTORY_ERRORS, "history_errors", "transactions that failed")                            \
	X(HISTORY_DAMAGED, "history_damaged", "files moved aside as damaged")                      \
	X(HISTORY_LEFT_BEHIND, "history_left_behind", "files left to readers that held their log")

#define COUNTER_ENUM_(sym, text, what) COUNT_##sym,
enum counter { COUNTERS(COUNTER_ENUM_) COUNT_N };
#define COUNTER_WHY "dnssec_why_" /* links that are not secure, by the validator's reason */

#define STATS_MAGIC UINT64_C(0x3153544154535053)
#define STATS_LANES (1 + LIMIT_WORKERS)

struct stats_lane {
	_Alignas(64) _Atomic uint64_t heartbeat_ns; /* CLOCK_MONOTONIC; 0: lane not in use */
	_Atomic uint64_t counts[COUNT_N];
};
struct stats_page {
	uint64_t magic;
	struct stats_lane lanes[STATS_LANES];
	struct upstream_words upstreams; /* the resolver's */
};

static inline void count_add(struct stats_lane *lane, enum counter counter, uint64_t n)
{
	atomic_fetch_add_explicit(&lane->counts[counter], n, memory_order_relaxed);
}
static inline void count(struct stats_lane *lane, enum counter counter)
{
	count_add(lane, counter, 1);
}

const char *counter_str(enum counter counter);

/* Make a page (a sealed memfd that cannot change its size). Returns the descriptor or an error. */
int stats_create(void);
/* Map the page in @fd, @writable or not. Returns 0, ERR_DAMAGED (size or magic) or -errno. The
 * mapping stays for the life of the process. */
int stats_map(int fd, int writable, struct stats_page **ret_page) MUST_CHECK;
uint64_t stats_sum(const struct stats_page *page, enum counter counter); /* over all lanes */
