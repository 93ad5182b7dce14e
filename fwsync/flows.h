/* fwsync/flows.h - passes over the kernel's connections (conntrack) that carry our egress bit.
 *
 * A pass serves two ends. It tells the book which elements still have connections, so that their
 * rows linger; and, when asked to cut, it deletes the entry of every connection that no row
 * explains: its next packet is rejected. A pass is read piece by piece between other work.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

#include "book.h"

struct flows {
	int dump_fd, cut_fd;
	uint32_t mark;
	uint32_t seq;
	bool running, cutting;
	uint64_t n_cut; /* live connections cut in this pass */
	uint64_t n_seen;
	int err; /* of a connection in this pass; the others are done all the same */
};

int flows_open(struct flows *flows, uint32_t mark) MUST_CHECK;
void flows_close(struct flows *flows);

enum flows_purpose { FLOWS_LOOK, FLOWS_CUT };
/* Begin a pass; ERR_AGAIN while one runs. */
int flows_start(struct flows *flows, enum flows_purpose purpose) MUST_CHECK;
/* Read one piece of the running pass. Returns 1 (it is over), 0 (more to come, or nothing there
 * yet) or -errno (it is over, and not all was looked at, or cut: start again). */
int flows_read(struct flows *flows, struct book *book);
