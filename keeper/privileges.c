/* keeper/privileges.c - what the keeper keeps, and nothing else. */
#include "privileges.h"

#include <errno.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#include "sallyport/err.h"

static const cap_value_t kept[] = {
	CAP_SETUID,    CAP_SETGID,           CAP_SETPCAP, CAP_SYS_CHROOT,
	CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_KILL,    CAP_DAC_READ_SEARCH,
};

static void cap_free_cleanup(cap_t *caps)
{
	if (*caps)
		cap_free(*caps);
}

static bool has(cap_t caps, cap_value_t cap, cap_flag_t set)
{
	cap_flag_value_t value = CAP_CLEAR;

	return caps && cap_get_flag(caps, cap, set, &value) == 0 && value == CAP_SET;
}

bool privileges_have(int cap)
{
	CLEANUP(cap_free) cap_t caps = cap_get_proc();

	return has(caps, cap, CAP_EFFECTIVE);
}

bool privileges_users(void)
{
	return privileges_have(CAP_SETUID) && privileges_have(CAP_SETGID);
}

static bool is_kept(cap_value_t cap)
{
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		if (kept[i] == cap)
			return true;
	}
	return false;
}

static int drop_bounding(void)
{
	for (cap_value_t cap = 0; cap <= cap_max_bits(); cap++) {
		if (!is_kept(cap) && cap_get_bound(cap) == 1 && cap_drop_bound(cap) < 0)
			return -errno;
	}
	return ERR_OK;
}

/* What is not there now (a container, a unit) is not asked for: who needs it will say so. */
static int reduce(void)
{
	CLEANUP(cap_free) cap_t now = cap_get_proc();
	CLEANUP(cap_free) cap_t next = cap_init();
	int r = 0;

	if (!now || !next)
		return ERR_NOMEM;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		if (!has(now, kept[i], CAP_PERMITTED))
			continue;
		r |= cap_set_flag(next, CAP_PERMITTED, 1, &kept[i], CAP_SET);
		r |= cap_set_flag(next, CAP_EFFECTIVE, 1, &kept[i], CAP_SET);
		/* An ordinary user's go on to a successor (restart.h) by being inheritable. */
		if (geteuid() != 0)
			r |= cap_set_flag(next, CAP_INHERITABLE, 1, &kept[i], CAP_SET);
	}
	return r < 0 || cap_set_proc(next) < 0 ? -EPERM : ERR_OK;
}

int privileges_drop(struct diag *diag)
{
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return diag_set(diag, -errno, "no_new_privs: %s", strerror(errno));
	if (privileges_have(CAP_SETPCAP)) {
		r = drop_bounding();
		if (r < 0)
			return diag_set(diag, r, "the bounding set cannot be reduced: %s",
			                err_str(r));
	}
	r = reduce();
	return r < 0 ? diag_set(diag, r, "capabilities cannot be given up: %s", err_str(r))
	             : ERR_OK;
}
