/* fwsync/firewall_install.c - the table at the start, and whom it filters under which policy. */
#include "firewall_core.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"
#include "sallyport/log.h"

#include "nat.h"

#define TAG "firewall"

#define INSTALL_TRIES 5

/* Whom to filter: the configuration's and the policy's. */

static int compare_names(const void *a, const void *b)
{
	return memcmp(a, b, GUARD_IFNAME_LEN);
}

static void put_name(char dst[static GUARD_IFNAME_LEN], const char *src)
{
	memset(dst, 0, GUARD_IFNAME_LEN); /* the kernel compares all sixteen octets */
	memcpy(dst, src, strnlen(src, GUARD_IFNAME_LEN - 1));
}

static int collect(const struct fwsync_conf *conf, const struct guard *guard,
                   struct table_guarded *ret_guarded, char (**ret_names)[GUARD_IFNAME_LEN])
{
	const struct guard_table *table = guard->table;
	uint32_t n_conf = MIN(conf->n_interfaces, (uint32_t)ARRAY_LEN(conf->interfaces));
	size_t n_names = n_conf + (table ? table->interfaces.count : 0), n = 0;
	char(*names)[GUARD_IFNAME_LEN] = calloc(n_names + 1, sizeof(*names));
	struct table_guarded g = { 0 };
	int r;

	if (!names)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < n_conf; i++)
		put_name(names[i], conf->interfaces[i]);
	for (uint32_t i = 0; table && i < table->interfaces.count; i++)
		put_name(names[n_conf + i], (const char *)table + table->interfaces.offset +
		                                (size_t)i * GUARD_IFNAME_LEN);
	qsort(names, n_names, sizeof(*names), compare_names);
	for (size_t i = 0; i < n_names; i++)
		if (n == 0 || compare_names(names[n - 1], names[i]) != 0)
			memmove(names[n++], names[i], sizeof(*names));

	r = ranges_add(&g.guarded, conf->prefixes,
	               MIN(conf->n_prefixes, (uint32_t)ARRAY_LEN(conf->prefixes)));
	if (r == 0 && table)
		r = ranges_add(&g.guarded, guard_prefixes(guard, &table->guarded),
		               table->guarded.count);
	if (r == 0 && table)
		r = ranges_add(&g.observed, guard_prefixes(guard, &table->observed),
		               table->observed.count);
	if (r == 0)
		r = inbound_collect(guard, &g.inbound);
	if (r == 0)
		r = ranges_settle(&g.guarded);
	if (r == 0)
		r = ranges_settle(&g.observed);
	if (r < 0) {
		table_guarded_fini(&g);
		free(names);
		return r;
	}
	g.interfaces = (const char(*)[GUARD_IFNAME_LEN])names;
	g.n_interfaces = n;
	*ret_guarded = g;
	*ret_names = names;
	return ERR_OK;
}

static bool same_guarded(const struct table_guarded *a, const struct table_guarded *b)
{
	return ranges_equal(&a->guarded, &b->guarded) && ranges_equal(&a->observed, &b->observed) &&
	       inbound_equal(&a->inbound, &b->inbound) && a->n_interfaces == b->n_interfaces &&
	       (a->n_interfaces == 0 ||
	        memcmp(a->interfaces, b->interfaces, a->n_interfaces * GUARD_IFNAME_LEN) == 0);
}

static void replace_guarded(struct firewall *fw, const struct table_guarded *guarded,
                            char (*names)[GUARD_IFNAME_LEN])
{
	table_guarded_fini(&fw->guarded);
	free(fw->interfaces);
	fw->guarded = *guarded;
	fw->interfaces = names;
}

/* Install. */

/* No table of ours is there, or none that can be adopted. */
static int install_anew(struct firewall *fw, bool is_absent)
{
	uint64_t n = 0;
	int r;

	if (is_absent && book_complete(fw->book)) { /* a predecessor had one */
		log_warning(TAG, "the table is gone: built anew");
		count(fw->lane, COUNT_FW_LOST);
		count(fw->lane, COUNT_FW_TABLE_LOST);
	}
	fw->held_back = true;
	fw->verifying = false;
	r = firewall_rebuild(fw, is_absent ? TABLE_BUILD : TABLE_REBUILD, &n);
	/* Taken or made by somebody else since we looked. */
	for (int try = 0; try < INSTALL_TRIES && (r == -ENOENT || r == -EEXIST); try++)
		r = firewall_rebuild(fw, TABLE_RENEW, &n);
	if (r == 0)
		log_info(TAG, "table built, %" PRIu64 " pinholes put back", n);
	return r;
}

/* Translation needs an entry, and untracked answers have none: they would leave with the listener's
 * address instead of the one that was asked. */
static void warn_about_nat(struct firewall *fw)
{
	char name[NAT_NAME_MAX];
	int r;

	if (fw->conf.track_dns || fw->conf.n_dns == 0)
		return;
	r = nat_find(&fw->nl, name);
	if (r < 0)
		log_warning(TAG, "the kernel does not say who translates addresses: %s",
		            err_str(r));
	else if (r > 0)
		log_warning(TAG,
		            "the chain %s translates addresses, and DNS is not tracked: if a rule "
		            "there redirects DNS to a listener, set firewall.track_dns: true",
		            name);
}

int firewall_install(struct firewall *fw)
{
	struct table_guarded guarded;
	char(*names)[GUARD_IFNAME_LEN];
	uint32_t flags;
	int state, r;

	r = collect(&fw->conf, &fw->guard, &guarded, &names);
	if (r < 0)
		return r;
	replace_guarded(fw, &guarded, names);
	state = table_probe(&fw->nl, fw->conf.set_size, &flags);
	if (state < 0)
		return state;
	r = ERR_NOENT;
	if (state == TABLE_OURS) {
		firewall_beat_ahead(fw, &fw->guarded, NULL);
		r = firewall_adopt(fw);
		if (r == -EPERM) /* another process's: leave it alone */
			return r;
		if (r < 0)
			log_info(TAG, "the table there cannot be adopted (%s): built anew",
			         err_str(r));
	}
	if (r == 0) {
		fw->verifying = true;
		fw->verify_next = 0;
		fw->verify_lost = 0;
		log_info(TAG, "table adopted%s",
		         book_complete(fw->book) ? ""
		                                 : "; what an earlier ledger knew of it is lost");
	} else {
		r = install_anew(fw, state == TABLE_ABSENT);
		if (r < 0)
			return r;
	}
	warn_about_nat(fw);
	fw->want_cut = book_complete(fw->book);
	firewall_raise_epoch(fw); /* nobody watched between a predecessor's death and now */
	return ERR_OK;
}

int firewall_install_guard(struct firewall *fw)
{
	struct table_guarded guarded;
	struct table_want want;
	char(*names)[GUARD_IFNAME_LEN];
	uint32_t flags;
	int state, r;

	state = table_probe(&fw->nl, fw->conf.set_size, &flags);
	if (state < 0)
		return state;
	if (state == TABLE_OURS) {
		log_info(TAG, "the table is there already: kept as it is");
		return ERR_OK;
	}
	r = collect(&fw->conf, &fw->guard, &guarded, &names);
	if (r < 0)
		return r;
	replace_guarded(fw, &guarded, names);
	want = firewall_wanted(fw);
	r = table_install(&fw->nl, &want, state == TABLE_ABSENT ? TABLE_BUILD : TABLE_REBUILD);
	if (r == -EPERM && state == TABLE_FOREIGN) {
		log_info(TAG, "a running daemon owns the table: kept as it is");
		return ERR_OK;
	}
	if (r == 0)
		log_info(TAG, "guarding: nothing passes until a policy opens it");
	return r;
}

int firewall_guard(struct firewall *fw, struct guard *guard)
{
	struct table_guarded guarded;
	char(*names)[GUARD_IFNAME_LEN];
	int r;

	r = collect(&fw->conf, guard, &guarded, &names);
	if (r < 0)
		return r;
	/* First the judge, then the kernel: from here on older versions are refused. */
	guard_fini(&fw->guard);
	fw->guard = *guard;
	*guard = (struct guard){ 0 };
	if (fw->first_version == 0)
		fw->first_version = guard_version(&fw->guard);
	if ((!fw->guarded_kept && same_guarded(&fw->guarded, &guarded)) ||
	    (fw->guarded_kept && firewall_whom_is_unknown(fw, &fw->guard) &&
	     guarded.guarded.n == 0)) {
		table_guarded_fini(&guarded);
		free(names);
		return ERR_OK;
	}
	fw->want_cut_inbound |= !inbound_equal(&fw->guarded.inbound, &guarded.inbound);
	firewall_beat_ahead(fw, &fw->guarded, &guarded);
	r = fw->guarded_kept ? table_replace_guarded(&fw->nl, &guarded)
	                     : table_swap_guarded(&fw->nl, &fw->guarded, &guarded);
	firewall_beat(fw);
	if (r == 0)
		fw->guarded_kept = false;
	replace_guarded(fw, &guarded, names);
	if (r < 0) {
		log_warning(TAG,
		            "the guarded sets could not be swapped (%s): the table is made anew",
		            err_str(r));
		r = firewall_restore(fw);
	}
	return r;
}
