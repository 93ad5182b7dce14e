/* sallyport/err.h - one vocabulary of errors: negative ints.
 *
 * Values from errno pass through unchanged (so does a uv_* result, which is -errno on Linux); our
 * own start at -10000, clear of libuv's lowest (-4095). Library codes (ldns, SQLite) are translated
 * where they enter. A denied name, a cache miss or a bogus answer is a result, not an error.
 */
#pragma once

#include <errno.h>

enum err {
	ERR_OK = 0,
	ERR_NOMEM = -ENOMEM,
	ERR_AGAIN = -EAGAIN,
	ERR_INVAL = -EINVAL,
	ERR_NOENT = -ENOENT,
	ERR_EXIST = -EEXIST,
	ERR_TIMEOUT = -ETIMEDOUT,
	ERR_NOSPC = -ENOSPC,

	ERR_MALFORMED = -10000, /* bytes from outside that break their format */
	ERR_LIMIT = -10001,     /* a limit of limits.h was reached; its counter was raised */
	ERR_CONFIG = -10002,    /* a person's input is wrong; the diag says where */
	ERR_DAMAGED = -10003,   /* our own stored or shared data fails its checks */
	ERR_VERSION = -10004,   /* a format or protocol version that we do not speak */
	ERR_DENIED = -10005,    /* the caller may not do this */
	ERR_CLOSED = -10006,    /* the other side is gone */
	ERR_STALE = -10007,     /* judged by an older policy version, or past its deadline */
	ERR_FIREWALL = -10008,  /* the kernel refused a netlink transaction */
	ERR_STORE = -10009,     /* SQLite could not do it; the diag or the log says why */
};

/* A short English description of @err, ours or errno's. Never NULL; static storage. */
const char *err_str(int err);
