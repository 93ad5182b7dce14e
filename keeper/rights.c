/* keeper/rights.c - SO_PASSRIGHTS. */
#include "rights.h"

#include <errno.h>
#include <sys/socket.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* asm-generic/socket.h; newer than the headers that we build with */
#endif

int rights_set(int fd, enum rights rights)
{
	int on = rights == RIGHTS_TAKEN;

	return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof(on)) < 0 ? -errno : 0;
}
