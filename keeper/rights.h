/* keeper/rights.h - sockets over which nobody can push descriptors at us.
 *
 * The last reference to a descriptor may lie in a message that nobody has read, and whoever throws
 * the message away waits for its close(2): of a TCP socket with SO_LINGER as long as its sender
 * liked, of a file of somebody's own file system for ever. So where no descriptor is expected, none
 * is let in.
 */
#pragma once

#include "sallyport/cleanup.h"

enum rights { RIGHTS_REFUSED = 0, RIGHTS_TAKEN };

/* What is sent to @fd, a unix socket of ours, from now on: with descriptors, and refused, it fails
 * at its sender with EPERM (SO_PASSRIGHTS, Linux 6.16). Returns 0, or -ENOPROTOOPT where the kernel
 * is older: then descriptors come, and are closed by whoever reads. */
int rights_set(int fd, enum rights rights);

/* Room for as many descriptors as one message can carry (the kernel's SCM_MAX_FD): who offers less
 * has the kernel throw the rest away, and waits for them. */
#define RIGHTS_MAX 253

/* Close a descriptor that somebody else has sent, without waiting for his socket to be empty. */
void rights_close(int fd);
/* Close @fd, a unix stream socket of ours, with what its peer has sent and nobody has read:
 * descriptors in it are closed like those that were. */
void rights_close_socket(int fd);
