/* include/lib/err.c - texts of the error vocabulary. */
#include "sallyport/err.h"

#include <string.h>

const char *err_str(int err)
{
	switch ((enum err)err) {
	case ERR_MALFORMED:
		return "malformed";
	case ERR_LIMIT:
		return "a limit was reached";
	case ERR_CONFIG:
		return "wrong input";
	case ERR_DAMAGED:
		return "damaged data";
	case ERR_VERSION:
		return "unknown format version";
	case ERR_DENIED:
		return "not permitted";
	case ERR_CLOSED:
		return "the other side is gone";
	case ERR_STALE:
		return "out of date";
	case ERR_FIREWALL:
		return "the kernel refused a firewall change";
	case ERR_STORE:
		return "the database refused";
	case ERR_OK:
	case ERR_NOMEM:
	case ERR_AGAIN:
	case ERR_INVAL:
	case ERR_NOENT:
	case ERR_EXIST:
	case ERR_TIMEOUT:
	case ERR_NOSPC:
		break;
	}
	return err <= 0 && err > -4096 ? strerror(-err) : "unknown error";
}
