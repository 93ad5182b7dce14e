/* keeper/rights.c - SO_PASSRIGHTS, and what to do without it. */
#include "rights.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* asm-generic/socket.h; newer than the headers that we build with */
#endif

int rights_set(int fd, enum rights rights)
{
	int on = rights == RIGHTS_TAKEN;

	return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof(on)) < 0 ? -errno : 0;
}

void rights_close(int fd)
{
	struct linger none = { 0, 0 };

	/* Fails for whatever is no socket, and that does not linger. */
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}
