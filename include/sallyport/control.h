/* clang-format off */
/* sallyport/control.h - the control socket between `sallyport` and the keeper.
 *
 * A SOCK_STREAM socket, run_dir/control.sock. One request a connection: a frame of kind
 * CONTROL_REQUEST whose payload is the verb and its arguments, each ended by a zero octet;
 * descriptors (policy text and feeds) travel with the frame's first octet. The keeper answers with
 * any number of CONTROL_DATA frames (one JSON object each), CONTROL_ERROR frames (a line for
 * people) and exactly one CONTROL_EXIT (payload: one octet, the exit status 0, 1 or 2).
 *
 * Requests (words) and what CONTROL_DATA carries; times are RFC 3339 texts, `?` marks null-able
 * ones:
 *
 *   may VERB             nothing; exit 2, and why, when the caller may not. To be asked before a
 *                        request with descriptors: of whom may only read none are let in
 *   status               {version, pid, takeovers, ready, uptime_s, policy_version,
 *                        policy_applied?, workers, roles:[{role, pid, state, restarts, since}],
 *                        counters:{name:n ...}, limits_hit:{name:n ...},
 *                        pinholes:{open, ledger_size}, listeners:[text], upstreams:[text],
 *                        unfit_upstreams:[{zone, server, state}], history:{backlog_records},
 *                        warnings:[text], negative_trust_anchors:[as nta-list],
 *                        dnssec:{mode, secure, insecure, indeterminate, bogus,
 *                        reasons:{name:n ...}}}
 *   policy-apply FILE COMMENT FEED...
 *                        descriptors: the policy, then the feeds in that order (names as in the
 *                        policy): {policy_version, rules, workloads, feed_names, seconds}; warnings
 *                        and faults as CONTROL_ERROR lines; exit 2 on faults. Returns when resolver
 *                        and fwsync both report the version
 *   policy-versions      {version, time, uid, user?, file, comment, current, sha256, rules,
 *                        workloads}, newest first
 *   policy-show N|current
 *                        {version, time, uid, user?, file, comment, text,
 *                        feeds:[{name, file, sha256, bytes}]}; a text over 160 KiB goes on in
 *                        further objects {version, text}
 *   policy-feed SHA256   {sha256, text}... in pieces of at most 512 KiB
 *   policy-rollback N    as policy-apply: N's text and feeds as a new version
 *   explain WHO NAME TYPE [version N] [at TIME]
 *                        WHO: a workload's name or an address: {workload?, profile?, name, type,
 *                        verdict, reason, rule?, rule_line?, feed?, policy_version, denied?,
 *                        rcode_if_denied?, ports:[text], follow?, internal, require_dnssec,
 *                        observed, would_be?, zone?, special?, hosts:[address],
 *                        considered:[{rule?, feed?, verdict, why, line?, profile?, owner?, reason?,
 *                        ticket?, expires?}]}; exit 1 when denied
 *   explain-dnssec WHO NAME TYPE
 *                        as explain, by the policy of now, and dnssec?: {outcome, state, rcode,
 *                        ede?, text?, cut, links:[...]} (docs/commands.md has the fields): what the
 *                        resolver finds when it asks and validates now; exit 1 when denied or bogus
 *   workload-list        {workload, profile, mode, sources:[text], pinholes}
 *   profile-list         {profile, mode, denied, allow, deny, feeds, workloads,
 *                        pinhole:{floor_s, grace_s, max_s, addresses, per_workload}}
 *   pinholes [WORKLOAD]  {workload, source, destination, proto, port?, name, chain:[name], rule?,
 *                        policy_version, query_id, opened, age_s, expires, left_s,
 *                        use?:{flows, packets?, octets?}}
 *   flush NAME [below] | flush --all
 *                        {flushed}
 *   reload               {reloaded:true, warnings:[text]}
 *   restart              {restarting:true, takeovers}: the check is passed; the successor's status
 *                        says that number of takeovers, and ready:true when it serves
 *   audit FROM TO LIMIT  {id, time, uid?, user?, action, detail?, policy_version?}, newest first;
 *                        FROM and TO in nanoseconds since 1970 (0: no bound), at most LIMIT
 *   anchors              {zone, kind:"positive"|"negative", kept_up, verified?, asked?, next?, result?,
 *                        keys:[{tag?, algorithm?, state, trusted, source:"file"|"5011"|"nta", since?,
 *                        until?, seen?}], until?}, one a zone
 *   nta-list             {name, until, source:"file"|"command", since?, uid?, user?, reason?}
 *   nta-add NAME SECONDS REASON
 *                        the same; returns when the resolver goes by it
 *   nta-remove NAME      the same, with removed:true
 */
/* clang-format on */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/limits.h"

enum control_kind {
	CONTROL_REQUEST = 1,
	CONTROL_DATA,
	CONTROL_ERROR,
	CONTROL_EXIT,
};
#define CONTROL_FDS_MAX (1 + LIMIT_FEEDS)

struct control_head {
	uint32_t len; /* of the payload, host order; <= LIMIT_CONTROL_FRAME */
	uint32_t kind;
};

/* Blocking send of a whole frame, with descriptors. Returns 0, ERR_LIMIT, ERR_CLOSED or -errno. */
int control_send(int fd, enum control_kind kind, const void *payload, size_t len, const int *fds,
                 size_t n_fds);
/* Blocking receive of a whole frame into @buf. Returns 0, ERR_CLOSED, ERR_MALFORMED, ERR_LIMIT or
 * -errno. Descriptors that came are put into @ret_fds (room for CONTROL_FDS_MAX). */
int control_recv(int fd, uint8_t *buf, size_t cap, struct control_head *ret_head, int *ret_fds,
                 size_t *ret_n_fds) MUST_CHECK;
/* Split a request payload into NUL-terminated words; returns their number or ERR_MALFORMED. */
int control_words(const uint8_t *payload, size_t len, const char **ret_words, size_t max);
