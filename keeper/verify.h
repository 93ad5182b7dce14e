/* keeper/verify.h - one run of sallyport-anchor: a DNSKEY RRset in, what is to be believed of it
 * out (sallyport/keys.h). It runs beside the loop, and is killed when it takes too long.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "config.h"
#include "upkeep.h"

struct verify; /* opaque */

struct verify_spec { /* borrowed for the call */
	uv_loop_t *loop;
	const struct config_user *user;
	const struct conf_anchor *trusted, *configured;
	size_t n_trusted, n_configured;
	const uint8_t *keys; /* payload of ROLE_MSG_KEYS */
	size_t keys_len;
	bool sha1;
	uint64_t now_s;
};
/* @seen is NULL when the process has failed. */
typedef void verify_done_cb(void *arg, const struct upkeep_seen *seen);

#define VERIFY_TIMEOUT_MS 15000

/* @done is called once, from the loop, unless verify_cancel() comes first; the run is gone then. */
int verify_start(const struct verify_spec *spec, verify_done_cb *done, void *arg,
                 struct verify **ret_verify) MUST_CHECK;
/* Nobody wants to know any more. True: its process is still to be reaped. */
bool verify_cancel(struct verify *verify);
/* As child_reaped(). After true @verify may be gone. */
bool verify_reaped(struct verify *verify, pid_t pid, int status);
