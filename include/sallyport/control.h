/* sallyport/control.h - the control socket between `sallyport` and the keeper.
 *
 * A SOCK_STREAM socket, run_dir/control.sock. One request a connection: a frame of kind
 * CONTROL_REQUEST whose payload is the verb and its arguments, each ended by a zero octet;
 * descriptors (policy text and feeds) travel with the frame's first octet. The keeper answers with
 * any number of CONTROL_DATA frames (one JSON object each), CONTROL_ERROR frames (a line for
 * people) and exactly one CONTROL_EXIT (payload: one octet, the exit status 0, 1 or 2).
 */
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
