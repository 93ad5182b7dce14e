/* tests/unit/keeper/keeper_revoke.c - the ledger judged again under a new policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>

#include "revoke.h"
#include "sallyport/clock.h"

#include "compiled.h"

#define NOW_S UINT64_C(1700000000)

static const char policy[] = "version: 1\n"
			     "profiles:\n"
			     "  app:\n"
			     "    allow:\n"
			     "      - {name: www.test, ports: [tcp/443]}\n"
			     "      - {name: wide.test, ports: [\"tcp/*\"]}\n"
			     "      - {name: all.test, ports: [any]}\n"
			     "      - {name: mute.test, ports: [none]}\n"
			     "      - {name: v4.test, types: [A]}\n"
			     "      - {name: in.test, internal: true}\n"
			     "      - {name: strict.test, follow: none}\n"
			     "      - {name: wiki.corp.test}\n"
			     "      - {name: gw.test}\n"
			     "      - {name: foo.localhost}\n"
			     "      - {name: secure.test, require: [dnssec]}\n"
			     "      - {name: old.test, expires: 2020-01-01}\n"
			     "    deny:\n"
			     "      - {zone: evil.test}\n"
			     "  none:\n"
			     "    allow:\n"
			     "      - {name: other.test}\n"
			     "workloads:\n"
			     "  app01: {source: [10.1.0.2, \"fd00:1::2\"], profile: app}\n"
			     "  none01: {source: [10.1.0.3], profile: none}\n"
			     "  lan: {listener: 10.8.0.1, profile: app}\n"
			     "hosts:\n"
			     "  - {name: gw.test, address: 10.1.0.1}\n";

struct fixture {
	struct policy_image image;
	struct resolver_conf conf;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	compile_text(policy, 2, &f->image);
	fill_zones(&f->conf);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	compiled_free(&f->image);
	free(f);
	return 0;
}

/* "www.test cdn.test" as names of a reason. */
static void put_names(struct ledger_reason *reason, const char *words)
{
	char copy[512], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", words);
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		uint8_t wire[NAME_MAX_WIRE];
		int len = name_from_text(word, wire);
		uint16_t n = (uint16_t)len;

		assert_true(len > 0);
		memcpy(reason->names + reason->names_len, &n, sizeof(n));
		memcpy(reason->names + reason->names_len + sizeof(n), wire, n);
		reason->names_len = (uint16_t)(reason->names_len + sizeof(n) + n);
	}
}

static const struct {
	const char *title, *src, *dst, *names;
	uint8_t kind, proto;
	uint16_t port;
	bool stands;
} cases[] = {
#define TCP443 PINHOLE_KIND_PORT, IPPROTO_TCP, 443
	{ "an allowed name", "10.1.0.2", "8.8.8.8", "www.test", TCP443, true },
	{ "its other family", "fd00:1::2", "2600::1", "www.test", TCP443, true },
	{ "in capitals", "10.1.0.2", "8.8.8.8", "WWW.Test", TCP443, true },
	{ "a name without a rule", "10.1.0.2", "8.8.8.8", "gone.test", TCP443, false },
	{ "a denied name", "10.1.0.2", "8.8.8.8", "evil.test", TCP443, false },
	{ "an expired rule", "10.1.0.2", "8.8.8.8", "old.test", TCP443, false },
	{ "another workload's name", "10.1.0.3", "8.8.8.8", "www.test", TCP443, false },
	{ "a source that is nobody's now", "10.1.0.9", "8.8.8.8", "www.test", TCP443, false },
	{ "a port that went", "10.1.0.2", "8.8.8.8", "www.test", PINHOLE_KIND_PORT, IPPROTO_TCP, 80,
	  false },
	{ "a protocol that went", "10.1.0.2", "8.8.8.8", "www.test", PINHOLE_KIND_PORT, IPPROTO_UDP,
	  443, false },
	{ "a port inside tcp/*", "10.1.0.2", "8.8.8.8", "wide.test", PINHOLE_KIND_PORT, IPPROTO_TCP,
	  80, true },
	{ "all of tcp under one port", "10.1.0.2", "8.8.8.8", "www.test", PINHOLE_KIND_PROTO,
	  IPPROTO_TCP, 0, false },
	{ "everything under tcp/*", "10.1.0.2", "8.8.8.8", "wide.test", PINHOLE_KIND_ANY, 0, 0,
	  false },
	{ "everything under any", "10.1.0.2", "8.8.8.8", "all.test", PINHOLE_KIND_ANY, 0, 0, true },
	{ "no ports any more", "10.1.0.2", "8.8.8.8", "mute.test", TCP443, false },
	{ "a type that is still allowed", "10.1.0.2", "8.8.8.8", "v4.test", TCP443, true },
	{ "a type that went", "fd00:1::2", "2600::1", "v4.test", TCP443, false },
	{ "a private address without internal", "10.1.0.2", "10.9.9.9", "www.test", TCP443, false },
	{ "a private address with internal", "10.1.0.2", "10.9.9.9", "in.test", TCP443, true },
	{ "a private address of an internal zone", "10.1.0.2", "10.9.9.9", "wiki.corp.test", TCP443,
	  true },
	{ "an address of hosts", "10.1.0.2", "10.1.0.1", "gw.test", TCP443, true },
	{ "an address that went out of hosts", "10.1.0.2", "10.1.0.9", "gw.test", TCP443, false },
	{ "what upstream said of a name that is in hosts now", "10.1.0.2", "8.8.8.8", "gw.test",
	  TCP443, false },
	{ "its other family, which hosts does not have", "fd00:1::2", "2600::1", "gw.test", TCP443,
	  false },
	{ "a chain to a name without a rule", "10.1.0.2", "8.8.8.8", "www.test cdn.test", TCP443,
	  true },
	{ "a chain to a denied name", "10.1.0.2", "8.8.8.8", "www.test evil.test", TCP443, false },
	{ "a chain through a denied name", "10.1.0.2", "8.8.8.8", "www.test x.evil.test cdn.test",
	  TCP443, false },
	{ "a chain where follow is none", "10.1.0.2", "8.8.8.8", "strict.test cdn.test", TCP443,
	  false },
	{ "a chain inwards without a rule", "10.1.0.2", "10.9.9.9", "www.test db.corp.test", TCP443,
	  false },
	{ "a chain inwards with a rule", "10.1.0.2", "10.9.9.9", "www.test wiki.corp.test", TCP443,
	  true },
	{ "a special-use name", "10.1.0.2", "8.8.8.8", "foo.localhost", TCP443, false },
	{ "DNSSEC is required now", "10.1.0.2", "8.8.8.8", "secure.test", TCP443, false },
};

static void a_row_stands_only_if_the_new_policy_would_open_it(void **state)
{
	const struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ledger_reason reason = { .rows = 1 };
		struct ledger_row row = { .element.port = { cases[i].kind, cases[i].proto,
			                                    cases[i].port } };

		assert_int_equal(addr_parse(cases[i].src, row.element.src), 0);
		assert_int_equal(addr_parse(cases[i].dst, row.element.dst), 0);
		put_names(&reason, cases[i].names);
		if (revoke_row_stands(&f->image, &f->conf, NOW_S, &row, &reason) != cases[i].stands)
			fail_msg("%s", cases[i].title);
	}
}

static void a_validated_answer_meets_a_rule_that_requires_dnssec(void **state)
{
	const struct fixture *f = *state;
	struct ledger_reason reason = { .rows = 1, .names_flags = PINHOLE_NAMES_SECURE };
	struct ledger_row row = { .element.port = { TCP443 } };

	assert_int_equal(addr_parse("10.1.0.2", row.element.src), 0);
	assert_int_equal(addr_parse("8.8.8.8", row.element.dst), 0);
	put_names(&reason, "secure.test");
	assert_true(revoke_row_stands(&f->image, &f->conf, NOW_S, &row, &reason));
	reason.names_flags |= PINHOLE_NAMES_CUT;
	assert_false(revoke_row_stands(&f->image, &f->conf, NOW_S, &row, &reason));
}

/* Who was known by a listener is so again, and by nothing else. */
static void a_row_of_a_listener_is_judged_by_the_listener(void **state)
{
	static const struct {
		const char *title, *src, *at, *names;
		bool stands;
	} rows[] = {
		{ "a listener that is the workload's still", "10.8.0.7", "10.8.0.1", "www.test",
		  true },
		{ "a name without a rule", "10.8.0.7", "10.8.0.1", "gone.test", false },
		{ "a chain", "10.8.0.7", "10.8.0.1", "www.test cdn.test", true },
		{ "a listener that is nobody's now", "10.8.0.7", "10.9.0.1", "www.test", false },
		{ "a source of a workload now, that allows it", "10.1.0.2", "10.9.0.1", "www.test",
		  true },
		{ "of one that does not", "10.1.0.3", "10.8.0.1", "www.test", false },
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ledger_reason reason = { .rows = 1, .names_flags = PINHOLE_NAMES_LISTENER };
		struct ledger_row row = { .element.port = { TCP443 } };
		const uint16_t len = ADDR_LEN;
		size_t skipped;

		assert_int_equal(addr_parse(rows[i].src, row.element.src), 0);
		assert_int_equal(addr_parse("8.8.8.8", row.element.dst), 0);
		memcpy(reason.names, &len, sizeof(len));
		assert_int_equal(addr_parse(rows[i].at, reason.names + sizeof(len)), 0);
		reason.names_len = sizeof(len) + len;
		put_names(&reason, rows[i].names);
		if (revoke_row_stands(&f->image, &f->conf, NOW_S, &row, &reason) != rows[i].stands)
			fail_msg("%s", rows[i].title);
		assert_ptr_equal(revoke_listener(&reason, &skipped), reason.names + sizeof(len));
		assert_int_equal(skipped, sizeof(len) + len);

		/* Cut within the address, or of another length, it is no listener. */
		for (uint16_t cut = 0; cut < sizeof(len) + len; cut++) {
			struct ledger_reason less = reason;

			less.names_len = cut;
			assert_null(revoke_listener(&less, &skipped));
			assert_false(revoke_row_stands(&f->image, &f->conf, NOW_S, &row, &less));
		}
		reason.names[0]--;
		assert_null(revoke_listener(&reason, &skipped));
		reason.names[0]++;
		reason.names_flags = 0; /* the address is no name */
		assert_false(revoke_row_stands(&f->image, &f->conf, NOW_S, &row, &reason));
	}
}

static void what_cannot_be_judged_is_closed(void **state)
{
	const struct fixture *f = *state;
	struct ledger_reason good = { .rows = 1 }, reason;
	struct ledger_row row = { .element.port = { TCP443 } };

	assert_int_equal(addr_parse("10.1.0.2", row.element.src), 0);
	assert_int_equal(addr_parse("8.8.8.8", row.element.dst), 0);
	put_names(&good, "www.test cdn.test");
	assert_true(revoke_row_stands(&f->image, &f->conf, NOW_S, &row, &good));

	reason = good;
	reason.names_flags = PINHOLE_NAMES_CUT;
	assert_false(revoke_row_stands(&f->image, &f->conf, NOW_S, &row, &reason));
	reason = good;
	reason.names_len = UINT16_MAX;
	assert_false(revoke_row_stands(&f->image, &f->conf, NOW_S, &row, &reason));
	reason = good;
	reason.names[0] ^= 1; /* a wrong length */
	assert_false(revoke_row_stands(&f->image, &f->conf, NOW_S, &row, &reason));
	reason = good;
	reason.names[2] = 0xc0; /* a compression pointer */
	assert_false(revoke_row_stands(&f->image, &f->conf, NOW_S, &row, &reason));
	/* The first name alone would stand. */
	for (uint16_t cut = 0; cut < good.names_len; cut++) {
		if (cut == 2 + 10)
			continue;
		reason = good;
		reason.names_len = cut;
		if (revoke_row_stands(&f->image, &f->conf, NOW_S, &row, &reason))
			fail_msg("cut at %u", cut);
	}
}

static void fill_row(struct ledger *ledger, uint32_t i, const char *names)
{
	struct ledger_row *row = &ledger->rows[i];
	struct ledger_cell *cell = &ledger->cells[i / 8];
	struct ledger_reason reason = { 0 };

	put_names(&reason, names);
	assert_true(reason.names_len <= sizeof(cell->names));
	cell->names_len = reason.names_len;
	memcpy(cell->names, reason.names, reason.names_len);
	cell->rows = 1;
	row->reason = i / 8;
	row->element.port = (struct pinhole_port){ TCP443 };
	assert_int_equal(addr_parse("10.1.0.2", row->element.src), 0);
	assert_int_equal(addr_parse("8.8.8.8", row->element.dst), 0);
	row->element.dst[15] = (uint8_t)i;
	row->element.dst[14] = (uint8_t)(i >> 8);
	row->expires_ns = UINT64_MAX;
}

static void ten_thousand_rows_are_judged_well_within_a_second(void **state)
{
	const uint32_t n_rows = 80000, n_live = 10000;
	const struct fixture *f = *state;
	int fd = ledger_create(n_rows);
	struct ledger ledger;
	struct role_close_row *rows;
	uint64_t began;
	size_t n;

	assert_true(fd >= 0);
	assert_int_equal(ledger_open(&ledger, fd, 1), 0);
	for (uint32_t i = 0; i < n_rows; i++)
		ledger.rows[i].reason = UINT32_MAX;
	atomic_store(&ledger.head->rows_high, n_rows);
	for (uint32_t i = 0; i < n_live; i++)
		fill_row(&ledger, i * 8,
		         i % 4 == 0 ? "gone.test" : "www.test a.cdn.test b.cdn.test");
	began = clock_mono_ns();
	assert_int_equal(revoke_list(&ledger, &f->image, &f->conf, NOW_S, 0, &rows, &n), 0);
	/* Under sanitizers on a busy machine; a real build needs a tenth of it. */
	print_message("%u rows judged in %u us\n", n_live,
	              (unsigned int)((clock_mono_ns() - began) / 1000));
	assert_true(clock_mono_ns() - began < NS_PER_S);
	assert_int_equal(n, n_live / 4);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(rows[i].row, i * 32);
	free(rows);
	assert_int_equal(revoke_list(&ledger, NULL, &f->conf, NOW_S, 0, &rows, &n), 0);
	assert_int_equal(n, n_live);
	free(rows);
	ledger_close(&ledger);
	close(fd);
}

static void what_the_version_in_force_has_judged_is_not_judged_again(void **state)
{
	const struct fixture *f = *state;
	int fd = ledger_create(64);
	struct role_close_row *rows;
	struct ledger ledger;
	size_t n;

	assert_true(fd >= 0);
	assert_int_equal(ledger_open(&ledger, fd, 1), 0);
	for (uint32_t i = 0; i < 16; i++)
		ledger.rows[i].reason = UINT32_MAX;
	atomic_store(&ledger.head->rows_high, 16);
	fill_row(&ledger, 0, "gone.test");
	fill_row(&ledger, 8, "gone.test");
	ledger.rows[0].policy_version = 2;
	ledger.rows[0].opened_ns = 77;
	ledger.rows[8].policy_version = 1;
	assert_int_equal(revoke_list(&ledger, &f->image, &f->conf, NOW_S, 2, &rows, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(rows[0].row, 8);
	assert_int_equal(rows[0].policy_version, 1);
	free(rows);
	/* A rule may have expired since: then nobody is trusted. */
	assert_int_equal(revoke_list(&ledger, &f->image, &f->conf, NOW_S, 0, &rows, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(rows[0].row, 0);
	assert_int_equal(rows[0].opened_ns, 77);
	assert_int_equal(rows[0].policy_version, 2);
	free(rows);
	ledger_close(&ledger);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_stands_only_if_the_new_policy_would_open_it),
		cmocka_unit_test(a_validated_answer_meets_a_rule_that_requires_dnssec),
		cmocka_unit_test(a_row_of_a_listener_is_judged_by_the_listener),
		cmocka_unit_test(what_cannot_be_judged_is_closed),
		cmocka_unit_test(what_the_version_in_force_has_judged_is_not_judged_again),
		cmocka_unit_test(ten_thousand_rows_are_judged_well_within_a_second),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
