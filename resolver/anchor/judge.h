/* resolver/anchor/judge.h - is this DNSKEY RRset signed by whom we trust, and which of its keys are
 * revoked (RFC 5011, sections 2.1 and 2.2)? Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/keys.h"
#include "sallyport/role.h"

enum { JUDGE_ANCHORS = LIMIT_UPKEEP_KEYS + LIMIT_ANCHORS };

struct judge_anchors {
	size_t n;
	struct conf_anchor list[JUDGE_ANCHORS];
};
struct judgement {
	bool reached;                 /* there are keys */
	bool verified;                /* a trusted key signs them */
	uint32_t ttl_s, expires_in_s; /* of the signature that verified */
	size_t n_keys;
	struct keys_seen keys[KEYS_SEEN_MAX];
};

/**
 * Judge the payload of a ROLE_MSG_KEYS.
 *
 * @trusted     What counts; all of one zone, which must be the payload's.
 * @configured  What the configuration names: keys are marked with it.
 * @sha1        RSASHA1 and SHA-1 digests count.
 *
 * Returns 0, ERR_MALFORMED or ERR_NOMEM.
 */
int judge_keys(const struct judge_anchors *trusted, const struct judge_anchors *configured,
               const uint8_t *payload, size_t len, bool sha1, uint64_t now_s,
               struct judgement *ret_judgement) MUST_CHECK;
