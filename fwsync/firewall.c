/* fwsync/firewall.c - keeping kernel and book in agreement. */
#include "firewall.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sallyport/boot.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#include "batch.h"
#include "proof.h"
#include "selftest.h"

#define TAG "firewall"

#define RESTORE_CHUNK ((size_t)LIMIT_PINHOLE_BATCH_ELEMENTS)
#define RESTORE_FIRST                                                                              \
	((size_t)1024) /* with the table: what is missing is closed a few ms sooner                \
	                */
#define RESTORE_TRIES 3
#define VERIFY_A_TICK 512u        /* questions to the kernel, a few us each */
#define VERIFY_ROWS_A_TICK 65536u /* rows looked at */
#define LOOK_MS 5000u
#define RECUT_MS 200u
#define PROBE_MS 30000u /* is the table still there? beside the monitor */
#define CLOSE_CHUNK ((size_t)1024)
#define RANGES_A_MS 4u /* of an interval set, at least; ten times as many on an idle machine */

/* The epoch. */

static uint64_t epoch_now(const struct firewall *fw)
{
	return atomic_load_explicit(&fw->epoch_page->epoch, memory_order_relaxed);
}

static void epoch_raise(struct firewall *fw)
{
	if (fw->epoch_page)
		atomic_store_explicit(&fw->epoch_page->epoch, epoch_now(fw) + 1,
		                      memory_order_release);
}

/* What the planner asks of us. */

static struct firewall *of(struct kernel *kernel)
{
	return (struct firewall *)(void *)kernel;
}

static int restore(struct firewall *fw);

static int kernel_upsert(struct kernel *kernel, const struct element_wish *wishes, size_t n)
{
	struct firewall *fw = of(kernel);

	if (fw->table_lost)
		return -ENOENT;
	return elements_upsert(&fw->nl, fw->way, wishes, n);
}

static int kernel_remove(struct kernel *kernel, const struct ledger_element *elements, size_t n)
{
	struct firewall *fw = of(kernel);

	for (size_t i = 0; i < n; i += CLOSE_CHUNK) {
		int r = elements_remove(&fw->nl, fw->way, elements + i, MIN(n - i, CLOSE_CHUNK));

		if (r < 0)
			return r;
	}
	return ERR_OK;
}

static int kernel_restore(struct kernel *kernel)
{
	return restore(of(kernel));
}

static uint64_t kernel_now(struct kernel *kernel)
{
	(void)kernel; /* the real clock needs nobody */
	return clock_mono_ns();
}

static uint64_t kernel_wall(struct kernel *kernel)
{
	(void)kernel;
	return clock_wall_ns();
}

static void kernel_pause(struct kernel *kernel, unsigned int ms)
{
	struct timespec t = { .tv_nsec = (long)MIN(ms, 100u) * 1000000 };

	(void)kernel;
	nanosleep(&t, NULL);
}

static uint64_t kernel_epoch(struct kernel *kernel)
{
	return epoch_now(of(kernel));
}

/* Open and close. */

/* What this kernel can do, tried out. */
static int try_kernel(struct firewall *fw, struct proof *ret_proof, const char **ret_why)
{
	int r;

	*ret_why = "nf_tables cannot be asked (CAP_NET_ADMIN? CONFIG_NF_TABLES?)";
	r = table_owner_works(&fw->nl);
	if (r < 0)
		return r;
	ret_proof->owned_tables = r > 0;
	if (!fw->book)
		return ERR_OK;
	*ret_why = "the start self-test failed: this kernel's timed sets cannot be relied on";
	return selftest(&fw->nl, &ret_proof->way);
}

/* The same, as long as the kernel is the same, from who tried it before. */
static int know_kernel(struct firewall *fw, struct proof *ret_proof, const char **ret_why)
{
	struct boot boot;
	int r;

	boot_read(&boot);
	if (fw->book && proof_recall(fw->ledger, &boot, boot_age_ns(), ret_proof)) {
		log_info(TAG, "elements expire, and are renewed by %s: tried on this kernel before",
		         renew_way_str(ret_proof->way));
		return ERR_OK;
	}
	r = try_kernel(fw, ret_proof, ret_why);
	if (r == 0 && fw->book)
		proof_keep(fw->ledger, &boot, boot_age_ns(), ret_proof);
	return r;
}

int firewall_open(struct firewall *fw, int netlink_fd, const char **ret_why)
{
	struct proof proof = { 0 };
	int r;

	fw->kernel = (struct kernel){ kernel_upsert, kernel_remove, kernel_restore, kernel_now,
		                      kernel_wall,   kernel_pause,  kernel_epoch };
	fw->flows.dump_fd = fw->flows.cut_fd = fw->monitor.fd = fw->nl.read_fd = -1;
	*ret_why = "no memory for the firewall's transactions";
	fw->wishes = malloc(RESTORE_CHUNK * sizeof(*fw->wishes));
	fw->closed = malloc(CLOSE_CHUNK * sizeof(*fw->closed));
	fw->news = malloc(sizeof(*fw->news));
	if (!fw->wishes || !fw->closed || !fw->news)
		return ERR_NOMEM;
	*ret_why = "the netlink socket cannot be used";
	r = nl_open(&fw->nl, netlink_fd);
	if (r < 0)
		return r;
	r = know_kernel(fw, &proof, ret_why);
	if (r < 0)
		return r;
	fw->way = proof.way;
	if (fw->conf.owner && proof.owned_tables)
		fw->table_flags = TABLE_FLAG_OWNER | TABLE_FLAG_PERSIST;
	else if (fw->conf.owner)
		log_info(TAG, "this kernel has no owned tables (Linux 6.9): a monitor watches");
	if (!fw->book)
		return ERR_OK;
	*ret_why = "the monitor of nf_tables cannot be opened";
	r = monitor_open(&fw->monitor, fw->nl.write_portid);
	if (r < 0)
		return r;
	*ret_why = "conntrack cannot be opened (CONFIG_NF_CT_NETLINK?)";
	return flows_open(&fw->flows, fw->conf.mark_egress);
}

void firewall_fini(struct firewall *fw)
{
	flows_close(&fw->flows);
	monitor_close(&fw->monitor);
	nl_fini(&fw->nl);
	guard_fini(&fw->guard);
	ranges_fini(&fw->guarded.guarded);
	ranges_fini(&fw->guarded.observed);
	free(fw->interfaces);
	free(fw->wishes);
	free(fw->closed);
	free(fw->news);
	book_free(fw->book);
}

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
		r = ranges_settle(&g.guarded);
	if (r == 0)
		r = ranges_settle(&g.observed);
	if (r < 0) {
		ranges_fini(&g.guarded);
		ranges_fini(&g.observed);
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
	       a->n_interfaces == b->n_interfaces &&
	       (a->n_interfaces == 0 ||
	        memcmp(a->interfaces, b->interfaces, a->n_interfaces * GUARD_IFNAME_LEN) == 0);
}

static void replace_guarded(struct firewall *fw, const struct table_guarded *guarded,
                            char (*names)[GUARD_IFNAME_LEN])
{
	ranges_fini(&fw->guarded.guarded);
	ranges_fini(&fw->guarded.observed);
	free(fw->interfaces);
	fw->guarded = *guarded;
	fw->interfaces = names;
}

/* Filling a set of many ranges is one call into the kernel that takes seconds. The keeper believes
 * a heartbeat that lies ahead, up to LIMIT_ROLE_BUSY_MS. */
static void beat_ahead(const struct firewall *fw, const struct table_guarded *a,
                       const struct table_guarded *b)
{
	uint64_t n = a->guarded.n + a->observed.n + (b ? b->guarded.n + b->observed.n : 0);
	uint64_t ms = MIN(n / RANGES_A_MS, (uint64_t)LIMIT_ROLE_BUSY_MS);

	if (fw->lane && ms > 0)
		atomic_store_explicit(&fw->lane->heartbeat_ns, clock_mono_ns() + ms * NS_PER_MS,
		                      memory_order_relaxed);
}

static void beat(const struct firewall *fw)
{
	if (fw->lane)
		atomic_store_explicit(&fw->lane->heartbeat_ns, clock_mono_ns(),
		                      memory_order_relaxed);
}

/* Without a policy, and without firewall.guard in the configuration, nobody has said whom to
 * filter. Then everybody stays filtered who was: a start must not open what a stop left closed. */
static bool whom_is_unknown(const struct firewall *fw, const struct guard *guard)
{
	return fw->conf.n_prefixes == 0 && fw->conf.n_interfaces == 0 && guard_version(guard) == 0;
}

/* Install. */

static struct table_want wanted(const struct firewall *fw)
{
	return (struct table_want){ .conf = &fw->conf,
		                    .guarded = &fw->guarded,
		                    .flags = fw->table_flags };
}

/* Keep the table that is there, its pinholes and, if nobody else knows it, whom it filters. */
static int adopt(struct firewall *fw)
{
	bool keep = whom_is_unknown(fw, &fw->guard) && fw->guarded.guarded.n == 0;
	struct table_want want = wanted(fw);
	int r;

	if (keep)
		want.guarded = NULL;
	r = table_install(&fw->nl, &want, TABLE_ADOPT);
	if (r == 0)
		fw->guarded_kept = keep;
	return r;
}

/* Until when @row's element is to be in the kernel, if it is this row that says so: of several rows
 * of one element the longest speaks. 0: another one, or it has to be judged first. */
static uint64_t put_back_until(const struct firewall *fw, const struct ledger_row *row)
{
	uint32_t version = guard_version(&fw->guard);
	uint64_t until_ns;

	if (!fw->held_back)
		until_ns = book_wanted_until(fw->book, &row->element);
	else if (version > 0 && row->policy_version == version)
		until_ns = book_wanted_by(fw->book, &row->element, version);
	else
		return 0;
	return row->expires_ns == until_ns ? until_ns : 0;
}

/* The next @max elements of open rows, from row @next on, for the rest of their lives. */
static size_t gather(struct firewall *fw, uint32_t *next, size_t max)
{
	uint64_t now_ns = clock_mono_ns();
	size_t n = 0;

	for (; *next < book_size(fw->book) && n < max; (*next)++) {
		const struct ledger_row *row;
		uint64_t until_ns;

		if (book_state(fw->book, *next) != BOOK_LIVE || !book_row(fw->book, *next, &row))
			continue;
		until_ns = put_back_until(fw, row);
		if (until_ns > now_ns)
			fw->wishes[n++] =
			    (struct element_wish){ row->element,
				                   (until_ns - now_ns) / NS_PER_MS + 1,
				                   book_ids(fw->book, *next) };
	}
	return n;
}

/* The elements of rows from @next on into the kernel, many at a time; *ret_n grows by them. */
static int put_back(struct firewall *fw, uint32_t next, uint64_t *ret_n)
{
	int r = 0;

	while (r == 0) {
		size_t n = gather(fw, &next, RESTORE_CHUNK);

		if (n == 0)
			break;
		r = elements_upsert(&fw->nl, fw->way, fw->wishes, n);
		*ret_n += n;
		beat(fw);
	}
	return r;
}

static int put_back_all(struct firewall *fw, uint64_t *ret_n)
{
	*ret_n = 0;
	return put_back(fw, 0, ret_n);
}

/* A new table with as many of the open pinholes as one transaction holds: until it is through, the
 * old one filters, or none, so it is one; the rest follow. */
static int rebuild(struct firewall *fw, enum table_way way, uint64_t *ret_n)
{
	struct table_want want = wanted(fw);
	uint32_t next = 0;
	int r;

	beat_ahead(fw, &fw->guarded, NULL);
	want.pinholes = fw->wishes;
	want.n_pinholes = gather(fw, &next, RESTORE_FIRST);
	r = table_install(&fw->nl, &want, way);
	if (r < 0)
		return r;
	fw->guarded_kept = false;
	book_set_complete(fw->book);
	*ret_n = want.n_pinholes;
	return put_back(fw, next, ret_n);
}

/* Only the table knows whom to filter: as long as it is there, it stays. */
static int restore_kept(struct firewall *fw, uint64_t *ret_n)
{
	uint32_t flags;
	int r = table_probe(&fw->nl, fw->conf.set_size, &flags);

	if (r < 0)
		return r;
	if (r != TABLE_OURS)
		return rebuild(fw, r == TABLE_ABSENT ? TABLE_BUILD : TABLE_REBUILD, ret_n);
	r = adopt(fw);
	if (r == 0)
		r = elements_flush(&fw->nl);
	if (r < 0)
		return r;
	book_set_complete(fw->book);
	return put_back_all(fw, ret_n);
}

static int restore_once(struct firewall *fw, uint64_t *ret_n)
{
	int r;

	if (fw->guarded_kept)
		return restore_kept(fw, ret_n);
	r = rebuild(fw, TABLE_RENEW, ret_n);
	if (r < 0 &&
	    r != -EPERM) /* a stranger's with other flags cannot be renewed, but replaced */
		r = rebuild(fw, TABLE_REBUILD, ret_n);
	return r;
}

/* The table or part of it is gone or changed: a new epoch, then all of it back. First the epoch,
 * for a table that is back without its elements rejects what an answer of the old one promised; who
 * asks in the new one waits behind us until they are there. */
static int restore(struct firewall *fw)
{
	uint64_t n = 0, begin_ns = clock_mono_ns();
	int r = -EAGAIN;

	epoch_raise(fw);
	fw->table_lost = true;
	for (int try = 0; try < RESTORE_TRIES && r < 0; try++)
		r = restore_once(fw, &n);
	beat(fw);
	count(fw->lane, COUNT_FW_LOST);
	count(fw->lane, COUNT_FW_TABLE_LOST);
	if (r < 0) {
		log_error(TAG, "the table is lost and cannot be put back: %s", err_str(r));
		return r;
	}
	fw->table_lost = false;
	fw->want_cut = true; /* what passed meanwhile */
	fw->verify = VERIFY_NONE;
	log_warning(TAG,
	            "somebody changed the table: put back with %" PRIu64 " pinholes in %" PRIu64
	            " ms, epoch %" PRIu64,
	            n, (clock_mono_ns() - begin_ns) / NS_PER_MS, epoch_now(fw));
	return ERR_OK;
}

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
	r = rebuild(fw, is_absent ? TABLE_BUILD : TABLE_REBUILD, &n);
	if (r == 0)
		log_info(TAG, "table built, %" PRIu64 " pinholes put back", n);
	return r;
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
		beat_ahead(fw, &fw->guarded, NULL);
		r = adopt(fw);
		if (r == -EPERM) /* another process's: leave it alone */
			return r;
		if (r < 0)
			log_info(TAG, "the table there cannot be adopted (%s): built anew",
			         err_str(r));
	}
	if (r == 0) {
		fw->verify = VERIFY_ADOPT;
		fw->verify_next = 0;
		log_info(TAG, "table adopted%s",
		         book_complete(fw->book) ? ""
		                                 : "; what an earlier ledger knew of it is lost");
	} else {
		r = install_anew(fw, state == TABLE_ABSENT);
		if (r < 0)
			return r;
	}
	fw->want_cut = book_complete(fw->book);
	epoch_raise(fw); /* nobody watched between a predecessor's death and now */
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
	want = wanted(fw);
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
	    (fw->guarded_kept && whom_is_unknown(fw, &fw->guard) && guarded.guarded.n == 0)) {
		ranges_fini(&guarded.guarded);
		ranges_fini(&guarded.observed);
		free(names);
		return ERR_OK;
	}
	beat_ahead(fw, &fw->guarded, &guarded);
	r = fw->guarded_kept ? table_replace_guarded(&fw->nl, &guarded)
	                     : table_swap_guarded(&fw->nl, &fw->guarded, &guarded);
	beat(fw);
	if (r == 0)
		fw->guarded_kept = false;
	replace_guarded(fw, &guarded, names);
	if (r < 0) {
		log_warning(TAG,
		            "the guarded sets could not be swapped (%s): the table is made anew",
		            err_str(r));
		r = restore(fw);
	}
	return r;
}

/* Revocation. */

/* After rows went: their elements (@n <= CLOSE_CHUNK) end now, or when the longest of the remaining
 * reasons does. */
static int settle_elements(struct firewall *fw, const struct ledger_element *elements, size_t n)
{
	struct ledger_element *gone = fw->closed;
	struct element_wish *kept = fw->wishes;
	uint64_t now_ns = clock_mono_ns();
	size_t n_gone = 0, n_kept = 0;
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t until_ns = book_wanted_until(fw->book, &elements[i]);

		if (until_ns > now_ns)
			kept[n_kept++] =
			    (struct element_wish){ elements[i], (until_ns - now_ns) / NS_PER_MS + 1,
				                   book_element_ids(fw->book, &elements[i]) };
		else
			gone[n_gone++] = elements[i];
	}
	for (int try = 0; try < BATCH_TRIES; try++) {
		r = n_gone > 0 ? elements_remove(&fw->nl, fw->way, gone, n_gone) : 0;
		if (r == 0 && n_kept > 0)
			r = elements_upsert(&fw->nl, fw->way, kept, n_kept);
		if (r == 0) {
			count_add(fw->lane, COUNT_FW_CLOSED, n_gone);
			fw->closing_removed += n_gone;
			return 0;
		}
		if (r != -EINTR && r != -EAGAIN && r != -ERESTART && r != -ENOBUFS &&
		    r != ERR_TIMEOUT)
			break;
		count(fw->lane, COUNT_FW_RETRIES);
	}
	/* The book has let go of them: rebuilding from the book closes them in any case. */
	log_warning(TAG, "elements could not be removed (%s): the table is made anew", err_str(r));
	r = restore(fw);
	if (r == 0) {
		count_add(fw->lane, COUNT_FW_CLOSED, n_gone);
		fw->closing_removed += n_gone;
	}
	return r;
}

/* What the keeper judged may be over: its row may be another pinhole's by now, or it was opened
 * anew under the new version. */
static bool still_judged(const struct firewall *fw, const struct role_close_row *judged,
                         const struct ledger_row **ret_row)
{
	const struct ledger_row *row;

	if (!book_row(fw->book, judged->row, &row) || row->opened_ns != judged->opened_ns ||
	    row->policy_version != judged->policy_version)
		return false;
	*ret_row = row;
	return true;
}

/* Nobody can say whether the new version still wants what nobody can explain. */
static int close_strangers(struct firewall *fw, uint32_t version)
{
	uint64_t kept = 0;
	int r;

	epoch_raise(fw);
	r = elements_flush(&fw->nl);
	if (r == 0)
		r = put_back_all(fw, &kept);
	if (r < 0)
		r = restore(fw);
	if (r < 0)
		return r;
	book_set_complete(fw->book);
	fw->want_cut = true;
	log_info(TAG, "pinholes that nobody can explain are closed with version %" PRIu32, version);
	return ERR_OK;
}

int firewall_close(struct firewall *fw, uint32_t version, const struct role_close_row *rows,
                   size_t n, bool last)
{
	struct ledger_element elements[CLOSE_CHUNK];
	size_t n_elements = 0;
	bool any = false;
	int r = 0;

	if (!fw->closing || fw->closing_version != version) {
		fw->closing = false;
		fw->closing_version = version;
		fw->closing_removed = 0;
	}
	for (size_t i = 0; i < n; i++) {
		const struct ledger_row *row;

		if (!still_judged(fw, &rows[i], &row))
			continue;
		elements[n_elements++] = row->element;
		book_remove(fw->book, rows[i].row);
		any = true;
		if (n_elements < CLOSE_CHUNK)
			continue;
		r = settle_elements(fw, elements, n_elements);
		if (r < 0)
			return r;
		n_elements = 0;
	}
	if (n_elements > 0)
		r = settle_elements(fw, elements, n_elements);
	if (r < 0)
		return r;
	if (any) {
		epoch_raise(fw);
		fw->want_cut = true;
	}
	if (!last)
		return ERR_OK;
	if (fw->held_back) {
		uint64_t back = 0;

		fw->held_back = false; /* what is left has been judged */
		r = put_back_all(fw, &back);
		if (r == 0 && back > 0)
			log_info(TAG, "%" PRIu64 " pinholes put back", back);
	}
	if (r == 0 && !book_complete(fw->book) && version != fw->first_version)
		r = close_strangers(fw, version);
	if (r < 0)
		return r;
	fw->closing = true;
	return ERR_OK;
}

bool firewall_closed(struct firewall *fw, uint32_t *ret_version, uint64_t *ret_removed)
{
	if (!fw->closing || fw->want_cut || (fw->flows.running && fw->flows.cutting))
		return false;
	fw->closing = false;
	*ret_version = fw->closing_version;
	*ret_removed = fw->closing_removed;
	fw->closing_removed = 0;
	return true;
}

/* Strangers' changes. */

static int reconcile(struct firewall *fw, const struct ledger_element *elements, size_t n)
{
	uint64_t removed = fw->closing_removed, now_ns = clock_mono_ns();
	int r = 0;

	epoch_raise(fw); /* nothing counts as held until it is put right */
	for (size_t i = 0; r == 0 && i < n; i++) {
		uint64_t until_ns = book_wanted_until(fw->book, &elements[i]);

		if (until_ns > now_ns) {
			struct element_wish wish = { elements[i],
				                     (until_ns - now_ns) / NS_PER_MS + 1,
				                     book_element_ids(fw->book, &elements[i]) };

			r = elements_upsert(&fw->nl, fw->way, &wish, 1);
		} else {
			r = elements_remove(&fw->nl, fw->way, &elements[i], 1);
		}
	}
	fw->closing_removed = removed;
	if (r < 0)
		return restore(fw);
	count(fw->lane, COUNT_FW_LOST);
	fw->want_cut = true;
	log_warning(TAG, "somebody changed %zu pinholes: put right, epoch %" PRIu64, n,
	            epoch_now(fw));
	return ERR_OK;
}

int firewall_news(struct firewall *fw)
{
	struct monitor_news *news = fw->news;
	uint32_t flags;
	int r = monitor_read(&fw->monitor, news);

	if (r <= 0)
		return r;
	if (news->table || news->others) {
		r = restore(fw);
	} else if (news->all) {
		/* Words were lost: look at the shape now, at every element soon. */
		epoch_raise(fw);
		r = table_probe(&fw->nl, fw->conf.set_size, &flags);
		if (r != TABLE_OURS) {
			r = restore(fw);
		} else {
			count(fw->lane, COUNT_FW_LOST);
			fw->verify = VERIFY_LOSS;
			fw->verify_next = 0;
			fw->verify_lost = 0;
			log_warning(TAG, "the monitor lost words: verifying every pinhole");
			r = 0;
		}
	} else {
		r = reconcile(fw, news->elements, news->n_elements);
	}
	return r;
}

/* Verification, element by element. */

static int verify_row(struct firewall *fw, uint32_t i, const struct ledger_row *row)
{
	uint64_t now_ns = clock_mono_ns(), left_ms, end_ns;
	int r = elements_get(&fw->nl, &row->element, &left_ms);

	if (r == ERR_NOENT) {
		fw->verify_lost++;
		if (fw->verify == VERIFY_LOSS && row->expires_ns > now_ns) {
			struct element_wish wish = {
				row->element,
				(book_wanted_until(fw->book, &row->element) - now_ns) / NS_PER_MS +
				    1,
				book_element_ids(fw->book, &row->element)
			};

			return elements_upsert(&fw->nl, fw->way, &wish, 1);
		}
		/* One that has just expired may have let connections in: it lingers. */
		if (row->expires_ns <= now_ns + BATCH_SLACK_MS * NS_PER_MS)
			book_shorten(fw->book, i, now_ns);
		else
			book_remove(fw->book, i);
		return 0;
	}
	if (r < 0)
		return r;
	end_ns = now_ns + left_ms * NS_PER_MS;
	if (end_ns + BATCH_SLACK_MS * NS_PER_MS < row->expires_ns)
		book_shorten(fw->book, i, end_ns);
	book_confirm(fw->book, i, 0, MIN(end_ns, row->expires_ns), epoch_now(fw), 0);
	return 0;
}

static int verify_some(struct firewall *fw)
{
	uint32_t asked = 0, size = book_size(fw->book);
	uint32_t stop = fw->verify_next + MIN(size - fw->verify_next, VERIFY_ROWS_A_TICK);

	for (; fw->verify_next < stop && asked < VERIFY_A_TICK; fw->verify_next++) {
		const struct ledger_row *row;
		int r;

		if (book_state(fw->book, fw->verify_next) != BOOK_LIVE ||
		    !book_row(fw->book, fw->verify_next, &row))
			continue;
		/* What was confirmed since needs no second look. */
		if (book_row_confirmed(fw->book, fw->verify_next, epoch_now(fw)))
			continue;
		asked++;
		r = verify_row(fw, fw->verify_next, row);
		if (r < 0)
			return r == -ENOENT ? restore(fw) : r;
	}
	if (fw->verify_next == size) {
		if (fw->verify_lost > 0) {
			log_warning(TAG,
			            "%" PRIu64 " pinholes of the ledger were not in the kernel",
			            fw->verify_lost);
			epoch_raise(fw);
		}
		fw->verify = VERIFY_NONE;
		fw->verify_lost = 0;
		fw->want_cut |= book_complete(fw->book);
		log_info(TAG, "every pinhole of the ledger is verified");
	}
	return 0;
}

/* Time. */

void firewall_flows(struct firewall *fw)
{
	int r = flows_read(&fw->flows, fw->book);

	if (r == 0)
		return;
	if (r < 0) {
		log_warning("flows", "a pass over the connections failed: %s", err_str(r));
		fw->want_cut |= fw->flows.cutting; /* what was revoked is not closed yet */
		fw->again_ns = clock_mono_ns() + RECUT_MS * NS_PER_MS;
		return;
	}
	if (fw->flows.cutting && fw->flows.n_cut > 0) {
		count_add(fw->lane, COUNT_FW_FLOWS_CUT, fw->flows.n_cut);
		log_info("flows", "%" PRIu64 " live connections cut", fw->flows.n_cut);
	}
	book_flows_passed(fw->book);
}

static int tick_flows(struct firewall *fw, uint64_t now_ns)
{
	int r;

	if (book_sacrificed(fw->book)) {
		log_warning(TAG, "the ledger is full: the oldest expired pinholes give way, their "
		                 "connections are cut");
		fw->want_cut = true;
	}
	if (book_lingering(fw->book) > 0 && now_ns >= fw->next_look_ns)
		fw->want_look = true;
	if (fw->flows.running || now_ns < fw->again_ns)
		return 0;
	if (fw->want_cut) {
		r = flows_start(&fw->flows, FLOWS_CUT);
		/* Once more a little later: a connection that was being born is found then. */
		fw->recut_ns = now_ns + RECUT_MS * NS_PER_MS;
	} else if (fw->recut_ns && now_ns >= fw->recut_ns) {
		r = flows_start(&fw->flows, FLOWS_CUT);
		fw->recut_ns = 0;
	} else if (fw->want_look) {
		r = flows_start(&fw->flows, FLOWS_LOOK);
	} else {
		return 0;
	}
	if (r < 0)
		return r;
	fw->want_cut = fw->want_look = false;
	fw->next_look_ns = now_ns + LOOK_MS * NS_PER_MS;
	return 0;
}

int firewall_tick(struct firewall *fw)
{
	uint64_t now_ns = clock_mono_ns();
	uint32_t flags;
	int r;

	book_tick(fw->book, now_ns);
	if (fw->table_lost) {
		r = restore(fw);
		if (r < 0)
			return r;
	}
	if (fw->verify != VERIFY_NONE) {
		r = verify_some(fw);
		if (r < 0)
			return r;
	}
	/* The monitor can lose words and not know it: a look at the shape now and then is cheap. */
	if (now_ns >= fw->next_probe_ns) {
		fw->next_probe_ns = now_ns + PROBE_MS * NS_PER_MS;
		r = table_probe(&fw->nl, fw->conf.set_size, &flags);
		if (r >= 0 && r != TABLE_OURS)
			r = restore(fw);
		if (r < 0)
			return r;
	}
	return tick_flows(fw, now_ns);
}
