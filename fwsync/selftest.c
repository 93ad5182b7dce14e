/* fwsync/selftest.c - the scratch table. */
#include "selftest.h"

#include <netinet/in.h> /* before the kernel's headers, which then leave its structs alone */

#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <time.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#define SCRATCH NL_TABLE "_selftest"
#define SCRATCH_SET "scratch"
#define EXPIRY_MS 20
#define EXPIRY_PATIENCE_MS 2000
#define TICK_MS 12u      /* of the kernel that counts slowest (10), and our own rounding */
#define PAUSE_MS 30u     /* more than two ticks */
#define PAUSE_MAX_MS 800 /* on a machine so busy that less shows nothing */

static const struct elements_place place = { .table = SCRATCH, .set = SCRATCH_SET };

static void put_table(struct nl *nl, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *msg = nl_message(nl, type, flags, NFPROTO_INET, 256);

	if (!msg)
		return;
	mnl_attr_put_strz(msg, NFTA_TABLE_NAME, SCRATCH);
	nl_message_end(nl, msg);
}

/* Whatever a predecessor left under this name goes first. */
static int scratch_make(struct nl *nl)
{
	struct nftnl_set *set;
	struct nlmsghdr *msg;

	nl_begin(nl);
	put_table(nl, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	put_table(nl, NFT_MSG_DELTABLE, 0);
	put_table(nl, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	set = nftnl_set_alloc();
	msg = nl_message(nl, NFT_MSG_NEWSET, NLM_F_CREATE, NFPROTO_INET, 1024);
	if (!set || !msg) {
		nftnl_set_free(set);
		return ERR_NOMEM;
	}
	nftnl_set_set_str(set, NFTNL_SET_TABLE, SCRATCH);
	nftnl_set_set_str(set, NFTNL_SET_NAME, SCRATCH_SET);
	nftnl_set_set_u32(set, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_u32(set, NFTNL_SET_ID, 1);
	nftnl_set_set_u32(set, NFTNL_SET_FLAGS, NFT_SET_TIMEOUT);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, (uint32_t)element_key_len(SET4));
	nftnl_set_set_u32(set, NFTNL_SET_DESC_SIZE, 64);
	nftnl_set_nlmsg_build_payload(msg, set);
	nftnl_set_free(set);
	nl_message_end(nl, msg);
	return nl_commit(nl);
}

static int scratch_remove(struct nl *nl)
{
	nl_begin(nl);
	put_table(nl, NFT_MSG_DELTABLE, 0);
	return nl_commit(nl);
}

static struct ledger_element scratch_element(uint16_t port)
{
	static const uint8_t src[4] = { 192, 0, 2, 1 }, dst[4] = { 192, 0, 2, 2 };
	struct ledger_element e = { .port = { PINHOLE_KIND_PORT, IPPROTO_TCP, port } };

	addr_from_v4(src, e.src);
	addr_from_v4(dst, e.dst);
	return e;
}

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

/* One try: @ms, by @way, must leave @ms less what the try itself took: who is not let run in
 * between finds less, and that is no fault of the kernel's. */
static bool lasts(struct nl *nl, enum renew_way way, const struct ledger_element *e, uint64_t ms)
{
	struct element_wish wish = { .element = *e, .life_ms = ms };
	uint64_t begin_ms = now_ms(), left;

	return elements_upsert_at(nl, &place, way, &wish, 1) == 0 &&
	       elements_get_at(nl, &place, e, &left) == 0 && left <= ms &&
	       left + (now_ms() - begin_ms) + TICK_MS >= ms;
}

static void pause_ms(uint64_t ms)
{
	struct timespec t = { .tv_nsec = (long)ms * 1000000 };

	nanosleep(&t, NULL);
}

/* Does the same timeout start the clock again? Put in, wait, put in again, and ask for what is
 * left: without renewal not more than since the first time (made_ms) remains. Renewal would show,
 * if the wait was longer than the asking: else it says nothing. */
static enum selftest_word renews_once(struct nl *nl, enum renew_way way,
                                      const struct ledger_element *e, uint64_t wait_ms)
{
	struct element_wish wish = { .element = *e, .life_ms = 30000 };
	struct selftest_try try = { .life_ms = wish.life_ms };

	if (elements_upsert_at(nl, &place, way, &wish, 1) < 0)
		return SELFTEST_NO;
	try.made_ms = now_ms();
	pause_ms(wait_ms);
	try.again_ms = now_ms();
	if (elements_upsert_at(nl, &place, way, &wish, 1) < 0)
		return SELFTEST_NO;
	try.asked_ms = now_ms();
	if (elements_get_at(nl, &place, e, &try.left_ms) < 0)
		return SELFTEST_NO;
	try.told_ms = now_ms();
	return selftest_judge(&try);
}

enum selftest_word selftest_judge(const struct selftest_try *try)
{
	uint64_t waited = try->again_ms - try->made_ms, blur = try->told_ms - try->again_ms;

	if (try->left_ms + (try->asked_ms - try->made_ms) > try->life_ms + TICK_MS)
		return SELFTEST_YES;
	return waited > blur + 2 * TICK_MS ? SELFTEST_NO : SELFTEST_UNCLEAR;
}

static bool renews(struct nl *nl, enum renew_way way)
{
	struct ledger_element e = scratch_element((uint16_t)(1 + way));
	enum selftest_word word = SELFTEST_UNCLEAR;

	/* New, longer, shorter; then the same. */
	if (!lasts(nl, way, &e, 60000) || !lasts(nl, way, &e, 3600000) ||
	    !lasts(nl, way, &e, 30000))
		return false;
	for (uint64_t ms = PAUSE_MS; word == SELFTEST_UNCLEAR && ms <= PAUSE_MAX_MS; ms *= 2)
		word = renews_once(nl, way, &e, ms);
	return word == SELFTEST_YES;
}

/* It may be gone late, as far as we can see who are late ourselves; what counts is a look that
 * begins when patience is over. */
static bool expires(struct nl *nl, enum renew_way way)
{
	struct ledger_element e = scratch_element(1000);
	struct element_wish wish = { .element = e, .life_ms = EXPIRY_MS };
	uint64_t last_ms, begin_ms, left;

	if (elements_upsert_at(nl, &place, way, &wish, 1) < 0)
		return false;
	last_ms = now_ms() + EXPIRY_PATIENCE_MS;
	do {
		pause_ms(5);
		begin_ms = now_ms();
		if (elements_get_at(nl, &place, &e, &left) == ERR_NOENT)
			return true;
	} while (begin_ms < last_ms);
	return false;
}

int selftest(struct nl *nl, enum renew_way *ret_way)
{
	unsigned int way;
	bool gone = false;
	int r;

	r = scratch_make(nl);
	if (r < 0)
		return r;
	for (way = 0; way < RENEW_N; way++)
		if (renews(nl, (enum renew_way)way))
			break;
	if (way < RENEW_N)
		gone = expires(nl, (enum renew_way)way);
	r = scratch_remove(nl);
	if (way == RENEW_N) {
		log_error("selftest", "no way of renewing an element works on this kernel");
		return ERR_FIREWALL;
	}
	if (!gone) {
		log_error("selftest", "a timed element does not expire on this kernel");
		return ERR_FIREWALL;
	}
	if (r < 0)
		return r;
	log_info("selftest", "elements expire; renewed by %s", renew_way_str((enum renew_way)way));
	*ret_way = (enum renew_way)way;
	return ERR_OK;
}
