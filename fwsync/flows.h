/* fwsync/flows.h - passes over the kernel's connections (conntrack) that carry one of our bits.
 *
 * A pass over those with the egress bit serves two ends. It tells the book which elements still
 * have connections, so that their rows linger; and, when asked to cut, it deletes the entry of
 * every connection that no row explains: its next packet is rejected. One over those with the
 * inbound bit cuts what came by UDP to a port that is not open from outside any more. (The
 * gateway's own UDP connections towards guarded hosts are among them, and begin anew with their
 * next packet.) A third kind only counts, for who asks how much pinholes are used. A pass is read
 * piece by piece between other work.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/cleanup.h"

#include "book.h"
#include "inbound.h"
#include "use.h"

struct flows {
	int dump_fd, cut_fd;
	uint32_t egress, inbound;
	uint32_t mark;          /* of the running pass: one of the two */
	uint32_t seq, pass_seq; /* newest; the running pass's own */
	bool running, cutting, counting;
	uint64_t n_cut; /* live connections cut in this pass */
	uint64_t n_seen;
	int err; /* of a connection in this pass; the others are done all the same */
};

int flows_open(struct flows *flows, uint32_t egress, uint32_t inbound) MUST_CHECK;
void flows_close(struct flows *flows);

enum flows_purpose { FLOWS_LOOK, FLOWS_CUT, FLOWS_CUT_INBOUND, FLOWS_COUNT };
/* Begin a pass; ERR_AGAIN while one runs. */
int flows_start(struct flows *flows, enum flows_purpose purpose) MUST_CHECK;
/* Read one piece of the running pass; @use is filled by one that counts, which leaves @book as it
 * is. Returns 1 (it is over), 0 (more to come, or nothing there
 * yet) or -errno (it is over, and not all was looked at, or cut: start again). */
int flows_read(struct flows *flows, struct book *book, const struct inbound *inbound,
               struct use *use);
/* Is, or was, the last pass one over connections from outside? */
bool flows_were_inbound(const struct flows *flows);
