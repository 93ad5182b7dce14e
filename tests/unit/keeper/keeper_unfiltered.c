/* How much may have passed while the table was missing: counted from the last look that fwsync has
 * proved good, never from one inside the loss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"

#include "unfiltered.h"

#define MS NS_PER_MS

/* One look: fwsync's heartbeat, how often it has lost the table, what the kernel has forwarded. */
static uint64_t look(struct unfiltered *u, struct stats_page *page, uint64_t at_ms,
                     uint64_t beat_ms, uint64_t lost, uint64_t packets)
{
	const struct unfiltered_sample now = { .packets = packets, .at_ns = at_ms * MS };

	atomic_store(&page->lanes[0].heartbeat_ns, beat_ms * MS);
	atomic_store(&page->lanes[0].counts[COUNT_FW_TABLE_LOST], lost);
	unfiltered_step(u, &now, page);
	return stats_sum(page, COUNT_FW_UNFILTERED);
}

static void nothing_is_told_while_the_table_stays(void **state)
{
	struct unfiltered u = { 0 };
	struct stats_page *page = calloc(1, sizeof(*page));

	(void)state;
	for (uint64_t i = 1; i < 100; i++)
		assert_int_equal(look(&u, page, i * 250, i * 250 - 20, 3, i * 1000), 0);
	/* And the base follows: a loss is measured from a moment ago. */
	assert_true(look(&u, page, 100 * 250, 100 * 250 - 20, 4, 100000) <= 5000);
	free(page);
}

static void looks_inside_a_loss_are_no_base(void **state)
{
	struct unfiltered u = { 0 };
	struct stats_page *page = calloc(1, sizeof(*page));

	(void)state;
	look(&u, page, 250, 240, 0, 100);
	look(&u, page, 500, 490, 0, 100);
	/* fwsync stands still at 600, and the table goes: 50 packets a look pass. */
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(look(&u, page, 750 + i * 250, 600, 0, 150 + i * 50), 0);
	assert_int_equal(look(&u, page, 6000, 5900, 1, 1150), 1050);
	/* The next loss, at once: what was told is not told again. */
	assert_int_equal(look(&u, page, 6250, 6200, 2, 1160), 1060);
	free(page);
}

static void a_turn_that_had_begun_before_the_look_proves_nothing(void **state)
{
	struct unfiltered u = { 0 };
	struct stats_page *page = calloc(1, sizeof(*page));

	(void)state;
	look(&u, page, 250, 240, 0, 100);
	look(&u, page, 500, 499, 0, 100);  /* the candidate */
	look(&u, page, 750, 499, 0, 200);  /* the same turn still */
	look(&u, page, 1000, 990, 0, 300); /* one that began behind it, and may not have ended */
	assert_int_equal(look(&u, page, 1250, 990, 1, 400), 300);
	free(page);
}

static void the_kernels_texts_are_read_by_name(void **state)
{
	static const char snmp[] = "Ip: Forwarding DefaultTTL InReceives ForwDatagrams InDelivers\n"
				   "Ip: 1 64 900 4711 33\nIcmp: InMsgs\nIcmp: 5\n";
	static const char snmp6[] = "Ip6InReceives                   \t9\n"
				    "Ip6OutForwDatagrams             \t42\n";
	uint64_t packets;

	(void)state;
	assert_int_equal(unfiltered_parse(snmp, snmp6, &packets), ERR_OK);
	assert_int_equal(packets, 4711 + 42);
	assert_int_equal(unfiltered_parse("", snmp6, &packets), ERR_MALFORMED);
	assert_int_equal(unfiltered_parse(snmp, "", &packets), ERR_MALFORMED);
	assert_int_equal(unfiltered_parse("Ip: A ForwDatagrams\nIp: 1\n", snmp6, &packets),
	                 ERR_MALFORMED);
	assert_int_equal(unfiltered_parse("Ip: A ForwDatagrams\nIp: 1 x\n", snmp6, &packets),
	                 ERR_MALFORMED);
	assert_int_equal(unfiltered_parse("Ip: A ForwDatagrams\n", snmp6, &packets), ERR_MALFORMED);
	for (size_t n = 0; n < sizeof(snmp); n++) { /* cut anywhere */
		char cut[sizeof(snmp)];

		for (size_t i = 0; i < n; i++)
			cut[i] = snmp[i];
		cut[n] = '\0';
		(void)!unfiltered_parse(cut, snmp6, &packets); /* ASan watches */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_told_while_the_table_stays),
		cmocka_unit_test(looks_inside_a_loss_are_no_base),
		cmocka_unit_test(a_turn_that_had_begun_before_the_look_proves_nothing),
		cmocka_unit_test(the_kernels_texts_are_read_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
