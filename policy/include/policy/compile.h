/* policy/compile.h - policy text and feeds to an image. The one place that knows libfyaml.
 *
 * Runs in a short-lived process without privileges (sallyport-compile, started by the keeper), and
 * in the operator's own process for `sallyport check`.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/diag.h"

struct policy_source {
	const char *file; /* as the person named it, for faults */
	const char *text;
	size_t len;
};

/* Names the feeds that a policy wants, so that a caller with rights can open the files.
 * Returns 0 or ERR_CONFIG (faults in @diag). */
struct policy_feed_want {
	char name[64];
	char *file; /* as written in the policy */
	uint32_t line, col;
};
int policy_feeds_wanted(const struct policy_source *policy, struct policy_feed_want **ret_wants,
                        size_t *ret_n, struct diag *diag) MUST_CHECK;
void policy_feeds_wanted_free(struct policy_feed_want *wants, size_t n);

struct policy_feed_text { /* one feed's text, in any order */
	const char *name; /* of the feed in the policy */
	struct policy_source source;
};

/**
 * Compile a whole policy. Every fault is reported, warnings too.
 *
 * @now_s  wall clock: an `expires` in the past is a warning.
 *
 * On success *ret_image is a malloc'ed block of *ret_len octets that policy_image_open() accepts.
 * Returns 0, ERR_CONFIG (faults in @diag), ERR_LIMIT (the diag names it) or ERR_NOMEM.
 */
int policy_compile(const struct policy_source *policy, const struct policy_feed_text *feeds,
                   size_t n_feeds, uint64_t now_s, void **ret_image, size_t *ret_len,
                   struct diag *diag) MUST_CHECK;
