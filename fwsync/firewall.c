/* fwsync/firewall.c - sockets, the loop's turn, and what the planner asks of us. */
#include "firewall_core.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "sallyport/boot.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#include "proof.h"
#include "selftest.h"

#define TAG "firewall"

#define LOOK_MS 5000u
#define RECUT_MS 200u
#define PROBE_MS 30000u /* is the table still there? beside the monitor */

uint64_t firewall_epoch(const struct firewall *fw)
{
	return atomic_load_explicit(&fw->epoch_page->epoch, memory_order_relaxed);
}

void firewall_raise_epoch(struct firewall *fw)
{
	if (fw->epoch_page)
		atomic_store_explicit(&fw->epoch_page->epoch, firewall_epoch(fw) + 1,
		                      memory_order_release);
}

/* What the planner asks of us. */

static struct firewall *of(struct kernel *kernel)
{
	return (struct firewall *)(void *)kernel;
}

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

	for (size_t i = 0; i < n; i += FIREWALL_CLOSED) {
		int r =
		    elements_remove(&fw->nl, fw->way, elements + i, MIN(n - i, FIREWALL_CLOSED));

		if (r < 0)
			return r;
	}
	return ERR_OK;
}

static int kernel_restore(struct kernel *kernel)
{
	return firewall_restore(of(kernel));
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
	return firewall_epoch(of(kernel));
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
	fw->count.dump_fd = fw->count.cut_fd = -1;
	*ret_why = "no memory for the firewall's transactions";
	fw->wishes = malloc(FIREWALL_WISHES * sizeof(*fw->wishes));
	fw->closed = malloc(FIREWALL_CLOSED * sizeof(*fw->closed));
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
	r = flows_open(&fw->flows, fw->conf.mark_egress, fw->conf.mark_inbound);
	if (r < 0)
		return r;
	return flows_open(&fw->count, fw->conf.mark_egress, fw->conf.mark_inbound);
}

void firewall_fini(struct firewall *fw)
{
	flows_close(&fw->flows);
	flows_close(&fw->count);
	use_fini(&fw->use);
	monitor_close(&fw->monitor);
	nl_fini(&fw->nl);
	guard_fini(&fw->guard);
	table_guarded_fini(&fw->guarded);
	free(fw->interfaces);
	free(fw->wishes);
	free(fw->closed);
	free(fw->news);
	book_free(fw->book);
}

/* Time. */

void firewall_flows(struct firewall *fw)
{
	int r = flows_read(&fw->flows, fw->book, &fw->guarded.inbound, NULL);

	if (r == 0)
		return;
	if (fw->flows.cutting && fw->flows.n_cut > 0) {
		count_add(fw->lane, COUNT_FW_FLOWS_CUT, fw->flows.n_cut);
		log_info("flows", "%" PRIu64 " live connections cut", fw->flows.n_cut);
	}
	if (r < 0) {
		log_warning("flows", "a pass over the connections failed: %s", err_str(r));
		/* What was revoked is not closed yet. */
		if (flows_were_inbound(&fw->flows))
			fw->want_cut_inbound = true;
		else
			fw->want_cut |= fw->flows.cutting;
		fw->again_ns = clock_mono_ns() +
		               MIN(RECUT_MS << MIN(fw->passes_failed, 8u), LOOK_MS) * NS_PER_MS;
		fw->passes_failed++;
		return;
	}
	fw->passes_failed = 0;
	if (!flows_were_inbound(&fw->flows))
		book_flows_passed(fw->book);
}

static void counted(struct firewall *fw, int r)
{
	if (r < 0)
		log_warning("flows", "the connections could not be counted: %s", err_str(r));
	use_end(&fw->use, r);
}

void firewall_count(struct firewall *fw)
{
	uint64_t now_ns = clock_mono_ns();
	int r = flows_read(&fw->count, fw->book, &fw->guarded.inbound, &fw->use);

	if (r == 0)
		return;
	fw->recount_ns = now_ns + (now_ns - fw->count_begun_ns);
	counted(fw, r);
}

/* Whoever asks again and again has half of our time at most. */
static void tick_count(struct firewall *fw, uint64_t now_ns)
{
	int r;

	if (!use_waits(&fw->use) || fw->count.running || now_ns < fw->recount_ns)
		return;
	count(fw->lane, COUNT_FW_USE_COUNTS);
	use_begin(&fw->use, now_ns);
	fw->count_begun_ns = now_ns;
	r = flows_start(&fw->count, FLOWS_COUNT);
	if (r < 0)
		counted(fw, r);
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
	if (fw->want_cut_inbound || (fw->recut_inbound_ns && now_ns >= fw->recut_inbound_ns)) {
		fw->recut_inbound_ns = fw->want_cut_inbound ? now_ns + RECUT_MS * NS_PER_MS : 0;
		fw->want_cut_inbound = false;
		return flows_start(&fw->flows, FLOWS_CUT_INBOUND);
	}
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
		r = firewall_restore(fw);
		if (r < 0)
			return r;
	}
	if (fw->verifying) {
		r = firewall_verify_some(fw);
		if (r < 0)
			return r;
	}
	/* The monitor can lose words and not know it: a look at the shape now and then is cheap. */
	if (now_ns >= fw->next_probe_ns) {
		fw->next_probe_ns = now_ns + PROBE_MS * NS_PER_MS;
		r = table_probe(&fw->nl, fw->conf.set_size, &flags);
		if (r >= 0 && r != TABLE_OURS)
			r = firewall_restore(fw);
		if (r < 0)
			return r;
	}
	tick_count(fw, now_ns);
	return tick_flows(fw, now_ns);
}
