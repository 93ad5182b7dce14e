/* The guard table: checked whole at loading; what it does not permit is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sallyport/err.h"

#include "guard.h"
#include "guard_maker.h"
#include "inbound.h"

static int check_exact(const void *data, size_t len)
{
	void *exact = malloc(len ? len : 1);
	int r;

	assert_non_null(exact);
	memcpy(exact, data, len);
	r = guard_table_check(exact, len);
	free(exact);
	return r;
}

static void a_sound_table_is_taken(void **state)
{
	struct guard_image image;

	(void)state;
	guard_image_make(&image, 5);
	assert_int_equal(check_exact(&image, sizeof(image)), ERR_OK);
	guard_image_listen(&image);
	assert_int_equal(check_exact(&image, sizeof(image)), ERR_OK);
}

/* Whom to guard, as an earlier release has left it on disk. */
static void a_table_of_the_first_version_is_taken_without_workloads(void **state)
{
	struct guard_image image;

	(void)state;
	guard_image_make(&image, 0);
	image.head.version = 1;
	assert_int_equal(check_exact(&image, sizeof(image)), ERR_DAMAGED);
	image.head.workloads.count = 0;
	assert_int_equal(check_exact(&image, sizeof(image)), ERR_OK);
}

static void a_table_cut_anywhere_is_refused(void **state)
{
	struct guard_image image;

	(void)state;
	guard_image_make(&image, 5);
	for (size_t len = 0; len < sizeof(image); len++) {
		image.head.len = sizeof(image);
		if (check_exact(&image, len) != ERR_DAMAGED)
			fail_msg("cut at %zu was taken", len);
		image.head.len = (uint32_t)len;
		if (check_exact(&image, len) != ERR_DAMAGED)
			fail_msg("cut at %zu with its length was taken", len);
	}
}

#define AT(field) offsetof(struct guard_image, field), sizeof(((struct guard_image *)0)->field)

static const struct {
	const char *title;
	size_t offset, size;
	uint64_t value;
} hostile[] = {
	{ "another magic", AT(head.magic), 1 },
	{ "another version", AT(head.version), 9 },
	{ "workloads without a policy", AT(head.policy_version), 0 },
	{ "a section inside the head", AT(head.sources.offset), 4 },
	{ "a section behind the end", AT(head.sources.offset), UINT32_MAX },
	{ "a section over the end", AT(head.ports.count), 10000 },
	{ "a section that wraps", AT(head.workloads.count), UINT32_MAX },
	{ "workloads out of alignment", AT(head.workloads.offset), 74 },
	{ "a workload's sources behind the section", AT(workloads[0].sources.offset), 7 },
	{ "a workload's sources over the section", AT(workloads[0].sources.count), 7 },
	{ "a workload's ports that wrap", AT(workloads[1].ports.count), UINT32_MAX },
	{ "a workload's internals far away", AT(workloads[1].internals.offset), UINT32_MAX },
	{ "a prefix of 129 bits", AT(sources[0].len), 129 },
	{ "a guarded prefix of 255 bits", AT(guarded[1].len), 255 },
	{ "a kind of port that is none", AT(ports[0].kind), 0 },
	{ "a kind of port beyond", AT(ports[0].kind), 5 },
	{ "inbound ports of TCP", AT(ports[0].kind), GUARD_PORTS_INBOUND },
	{ "a range backwards", AT(ports[0].first), 446 },
	{ "an interface without a name", AT(interfaces[0][0]), 0 },
	{ "the first version, with workloads", AT(head.version), 1 },
	{ "listeners of no family", AT(workloads[0].listeners), 4 },
	{ "named behind the section", AT(workloads[1].named.offset), 7 },
	{ "named over the section", AT(workloads[1].named.count), 4 },
	{ "named in no order", AT(workloads[1].named.offset), 1 },
	{ "named, one behind the next", AT(sources[3].addr[13]), 10 },
	{ "named, two of one address", AT(sources[4].addr[13]), 1 },
	{ "named with bits beyond their length", AT(sources[3].addr[15]), 1 },
};

static void hostile_fields_are_refused(void **state)
{
	struct guard_image image;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		guard_image_make(&image, 5);
		guard_image_listen(&image);
		memcpy((uint8_t *)&image + hostile[i].offset, &hostile[i].value, hostile[i].size);
		if (check_exact(&image, sizeof(image)) != ERR_DAMAGED)
			fail_msg("%s: was taken", hostile[i].title);
	}
	guard_image_make(&image, 5);
	guard_image_listen(&image);
	image.sources[3] = guard_prefix_of("10.0.0.0/8"); /* the next one lies in it */
	assert_int_equal(check_exact(&image, sizeof(image)), ERR_DAMAGED);
	guard_image_make(&image, 5);
	memset(image.workloads[1].name, 'x', sizeof(image.workloads[1].name));
	assert_int_equal(check_exact(&image, sizeof(image)), ERR_DAMAGED);
	guard_image_make(&image, 5);
	memset(image.interfaces[1], 'x', GUARD_IFNAME_LEN);
	assert_int_equal(check_exact(&image, sizeof(image)), ERR_DAMAGED);
}

static const struct {
	const char *title;
	enum pinhole_status want;
	uint32_t workload, version, life;
	const char *src, *dst;
	struct pinhole_port port;
} permit_cases[] = {
#define P(kind, proto, port)                                                                       \
	{                                                                                          \
		PINHOLE_KIND_##kind, proto, port                                                   \
	}
	{ "a port in the range", PINHOLE_OPEN, 0, 5, 100, "10.1.0.2", "44.0.0.1", P(PORT, 6, 445) },
	{ "below the range", PINHOLE_OUTSIDE, 0, 5, 1, "10.1.0.2", "44.0.0.1", P(PORT, 6, 442) },
	{ "above the range", PINHOLE_OUTSIDE, 0, 5, 1, "10.1.0.2", "44.0.0.1", P(PORT, 6, 446) },
	{ "UDP", PINHOLE_OUTSIDE, 0, 5, 1, "10.1.0.2", "44.0.0.1", P(PORT, 17, 443) },
	{ "all of TCP", PINHOLE_OUTSIDE, 0, 5, 1, "10.1.0.2", "44.0.0.1", P(PROTO, 6, 0) },
	{ "echo", PINHOLE_OPEN, 0, 5, 1, "10.1.0.2", "44.0.0.1", P(PROTO, 1, 0) },
	{ "ICMP as if it had ports", PINHOLE_OUTSIDE, 0, 5, 1, "10.1.0.2", "44.0.0.1",
	  P(PORT, 1, 443) },
	{ "anything", PINHOLE_OUTSIDE, 0, 5, 1, "10.1.0.2", "44.0.0.1", P(ANY, 0, 0) },
	{ "all of UDP", PINHOLE_OPEN, 1, 5, 1, "10.9.8.7", "44.0.0.1", P(PROTO, 17, 0) },
	{ "any covers everything", PINHOLE_OPEN, 1, 5, 1, "10.9.8.7", "44.0.0.1", P(PORT, 6, 25) },
	{ "any, asked as any", PINHOLE_OPEN, 1, 5, 1, "10.9.8.7", "44.0.0.1", P(ANY, 0, 0) },
	{ "SCTP, though any covers it", PINHOLE_OUTSIDE, 1, 5, 1, "10.9.8.7", "44.0.0.1",
	  P(PROTO, 132, 0) },
	{ "one second too long", PINHOLE_OUTSIDE, 0, 5, 101, "10.1.0.2", "44.0.0.1",
	  P(PORT, 6, 443) },
	{ "another's source", PINHOLE_OUTSIDE, 0, 5, 1, "10.9.0.1", "44.0.0.1", P(PORT, 6, 443) },
	{ "a stranger's source", PINHOLE_OUTSIDE, 0, 5, 1, "192.0.2.1", "44.0.0.1",
	  P(PORT, 6, 443) },
	{ "an internal address that is listed", PINHOLE_OPEN, 0, 5, 1, "10.1.0.2", "198.51.100.9",
	  P(PORT, 6, 443) },
	{ "one that is not", PINHOLE_OUTSIDE, 0, 5, 1, "10.1.0.2", "203.0.113.9", P(PORT, 6, 443) },
	{ "one that is another workload's", PINHOLE_OUTSIDE, 0, 5, 1, "fd00:1::2", "2001:db8::1",
	  P(PORT, 6, 443) },
	{ "IPv6", PINHOLE_OPEN, 0, 5, 1, "fd00:1::2", "2a00::1", P(PORT, 6, 443) },
	{ "the other family", PINHOLE_MALFORMED, 0, 5, 1, "fd00:1::2", "44.0.0.1",
	  P(PORT, 6, 443) },
	{ "no such workload", PINHOLE_OUTSIDE, 2, 5, 1, "10.1.0.2", "44.0.0.1", P(PORT, 6, 443) },
	{ "an older version", PINHOLE_STALE, 0, 4, 1, "10.1.0.2", "44.0.0.1", P(PORT, 6, 443) },
	{ "a newer version", PINHOLE_STALE, 0, 6, 1, "10.1.0.2", "44.0.0.1", P(PORT, 6, 443) },
	{ "loopback", PINHOLE_OUTSIDE, 1, 5, 1, "10.9.0.1", "127.0.0.1", P(ANY, 0, 0) },
	{ "broadcast", PINHOLE_OUTSIDE, 1, 5, 1, "10.9.0.1", "255.255.255.255", P(ANY, 0, 0) },
#undef P
};

static void only_what_the_table_permits_is_permitted(void **state)
{
	struct guard_image image;
	struct guard guard = { .table = &image.head };

	(void)state;
	guard_image_make(&image, 5);
	for (size_t i = 0; i < ARRAY_LEN(permit_cases); i++) {
		struct pinhole_request req = { .policy_version = permit_cases[i].version,
			                       .workload = permit_cases[i].workload,
			                       .life_s = permit_cases[i].life,
			                       .flags = PINHOLE_INTERNAL,
			                       .n_src = 1,
			                       .n_dst = 1,
			                       .n_ports = 1 };
		const struct guard_workload *w;
		uint8_t src[1][ADDR_LEN], dst[1][ADDR_LEN];
		struct pinhole_view view = { &req, (const uint8_t(*)[ADDR_LEN])src,
			                     (const uint8_t(*)[ADDR_LEN])dst, &permit_cases[i].port,
			                     NULL };
		enum pinhole_status got;

		assert_int_equal(addr_parse(permit_cases[i].src, src[0]), 0);
		assert_int_equal(addr_parse(permit_cases[i].dst, dst[0]), 0);
		got = guard_permits(&guard, &view, &w);
		if (got != permit_cases[i].want)
			fail_msg("%s: got %d, wanted %d", permit_cases[i].title, got,
			         permit_cases[i].want);
	}
}

static const struct {
	const char *title, *src, *other; /* NULL: one source */
	uint32_t workload, listeners;
	enum pinhole_status want;
} listener_cases[] = {
	{ "whom nobody names", "192.0.2.1", NULL, 1, GUARD_LISTENER_V4, PINHOLE_OPEN },
	{ "who is named by itself", "10.9.0.1", NULL, 1, GUARD_LISTENER_V4, PINHOLE_OPEN },
	{ "another workload's first", "10.1.0.0", NULL, 1, GUARD_LISTENER_V4, PINHOLE_OUTSIDE },
	{ "another workload's last", "10.1.0.255", NULL, 1, GUARD_LISTENER_V4, PINHOLE_OUTSIDE },
	{ "the one before", "10.0.255.255", NULL, 1, GUARD_LISTENER_V4, PINHOLE_OPEN },
	{ "the one behind", "10.1.1.0", NULL, 1, GUARD_LISTENER_V4, PINHOLE_OPEN },
	{ "the lowest", "0.0.0.0", NULL, 1, GUARD_LISTENER_V4, PINHOLE_OPEN },
	{ "one of each", "192.0.2.1", "10.1.0.7", 1, GUARD_LISTENER_V4, PINHOLE_OUTSIDE },
	{ "two of nobody's", "192.0.2.1", "203.0.113.1", 1, GUARD_LISTENER_V4, PINHOLE_OPEN },
	{ "of a family without a listener", "2001:db8::7", NULL, 1, GUARD_LISTENER_V4,
	  PINHOLE_OUTSIDE },
	{ "of a family with one", "2001:db8::7", NULL, 1, GUARD_LISTENER_V6, PINHOLE_OPEN },
	{ "another workload's of that family", "fd00:1::7", NULL, 1, GUARD_LISTENER_V6,
	  PINHOLE_OUTSIDE },
	{ "who has no listener", "192.0.2.1", NULL, 0, 0, PINHOLE_OUTSIDE },
};

static void at_a_listener_anybody_asks_whom_no_workload_names(void **state)
{
	struct guard_image image;
	struct guard guard = { .table = &image.head };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(listener_cases); i++) {
		struct pinhole_request req = { .policy_version = 5,
			                       .workload = listener_cases[i].workload,
			                       .life_s = 1,
			                       .n_src = 1,
			                       .n_dst = 1,
			                       .n_ports = 1 };
		struct pinhole_port port = { PINHOLE_KIND_PORT, 6, 443 };
		const struct guard_workload *w;
		uint8_t src[2][ADDR_LEN], dst[1][ADDR_LEN];
		struct pinhole_view view = { &req, (const uint8_t(*)[ADDR_LEN])src,
			                     (const uint8_t(*)[ADDR_LEN])dst, &port, NULL };

		guard_image_make(&image, 5);
		guard_image_listen(&image);
		image.workloads[1].listeners = listener_cases[i].listeners;
		assert_int_equal(check_exact(&image, sizeof(image)), ERR_OK);
		assert_int_equal(addr_parse(listener_cases[i].src, src[0]), 0);
		if (listener_cases[i].other) {
			assert_int_equal(addr_parse(listener_cases[i].other, src[1]), 0);
			req.n_src = 2;
		}
		assert_int_equal(addr_parse(addr_is_v4(src[0]) ? "44.0.0.1" : "2a00::1", dst[0]),
		                 0);
		if (guard_permits(&guard, &view, &w) != listener_cases[i].want)
			fail_msg("%s", listener_cases[i].title);
	}
}

static void inbound_ports_permit_no_pinhole(void **state)
{
	struct guard_image image;
	struct guard guard = { .table = &image.head };
	struct pinhole_request req = {
		.policy_version = 5, .life_s = 1, .n_src = 1, .n_dst = 1, .n_ports = 1
	};
	struct pinhole_port port = { PINHOLE_KIND_PORT, 17, 443 };
	uint8_t src[1][ADDR_LEN], dst[1][ADDR_LEN];
	struct pinhole_view view = { &req, (const uint8_t(*)[ADDR_LEN])src,
		                     (const uint8_t(*)[ADDR_LEN])dst, &port, NULL };
	const struct guard_workload *w;

	(void)state;
	guard_image_make(&image, 5);
	image.ports[0] = (struct guard_ports){ GUARD_PORTS_INBOUND, 17, 443, 445, 0 };
	assert_int_equal(check_exact(&image, sizeof(image)), ERR_OK);
	assert_int_equal(addr_parse("10.1.0.2", src[0]), 0);
	assert_int_equal(addr_parse("44.0.0.1", dst[0]), 0);
	assert_int_equal(guard_permits(&guard, &view, &w), PINHOLE_OUTSIDE);
}

static void inbound_ports_are_those_of_single_addresses(void **state)
{
	struct guard_image image;
	struct guard guard = { .table = &image.head };
	struct inbound inbound, other;
	uint8_t addr[ADDR_LEN];

	(void)state;
	guard_image_make(&image, 5);
	assert_int_equal(inbound_collect(&guard, &inbound), ERR_OK);
	assert_int_equal(inbound.n, 0);
	assert_false(inbound_has(&inbound, image.sources[0].addr, 443));
	image.ports[0] = (struct guard_ports){ GUARD_PORTS_INBOUND, 17, 443, 445, 0 };
	image.ports[3] = (struct guard_ports){ GUARD_PORTS_INBOUND, 17, 65535, 65535, 0 };
	image.sources[0] = guard_prefix_of("10.1.0.2/32"); /* of workload 0, beside a prefix */
	image.sources[2] = guard_prefix_of("2001:db8::9/128");
	assert_int_equal(inbound_collect(&guard, &inbound), ERR_OK);
	assert_int_equal(inbound.n, 4);
	assert_true(inbound_has(&inbound, image.sources[0].addr, 443));
	assert_true(inbound_has(&inbound, image.sources[0].addr, 445));
	assert_true(inbound_has(&inbound, image.sources[2].addr, 65535));
	assert_false(inbound_has(&inbound, image.sources[0].addr, 442));
	assert_false(inbound_has(&inbound, image.sources[0].addr, 65535));
	assert_false(inbound_has(&inbound, image.sources[2].addr, 443));
	assert_int_equal(addr_parse("fd00:1::", addr), 0);
	assert_false(inbound_has(&inbound, addr, 443));
	assert_int_equal(inbound_collect(&guard, &other), ERR_OK);
	assert_true(inbound_equal(&inbound, &other));
	inbound_fini(&other);
	image.ports[0].last = 444;
	assert_int_equal(inbound_collect(&guard, &other), ERR_OK);
	assert_false(inbound_equal(&inbound, &other));
	inbound_fini(&other);
	inbound_fini(&inbound);
	/* More than the kernel's set is to hold: the rest stays closed. */
	image.ports[0] = (struct guard_ports){ GUARD_PORTS_INBOUND, 17, 0, 65535, 0 };
	assert_int_equal(inbound_collect(&guard, &inbound), ERR_OK);
	assert_int_equal(inbound.n, LIMIT_INBOUND);
	inbound_fini(&inbound);
}

static void without_a_table_nothing_is_permitted(void **state)
{
	struct pinhole_request req = { .n_src = 1, .n_dst = 1, .n_ports = 1, .life_s = 1 };
	struct pinhole_port port = { PINHOLE_KIND_PORT, 6, 443 };
	uint8_t src[1][ADDR_LEN] = { 0 }, dst[1][ADDR_LEN] = { 0 };
	struct pinhole_view view = { &req, (const uint8_t(*)[ADDR_LEN])src,
		                     (const uint8_t(*)[ADDR_LEN])dst, &port, NULL };
	const struct guard_workload *w;
	struct guard none = { 0 };

	(void)state;
	assert_int_equal(guard_permits(&none, &view, &w), PINHOLE_STALE);
}

static void too_many_elements_are_refused(void **state)
{
	static uint8_t src[50][ADDR_LEN], dst[50][ADDR_LEN];
	struct pinhole_port port = { PINHOLE_KIND_PORT, 6, 443 };
	struct pinhole_request req = {
		.policy_version = 5, .life_s = 1, .n_src = 50, .n_dst = 50, .n_ports = 1
	};
	struct pinhole_view view = { &req, (const uint8_t(*)[ADDR_LEN])src,
		                     (const uint8_t(*)[ADDR_LEN])dst, &port, NULL };
	const struct guard_workload *w;
	struct guard_image image;
	struct guard guard = { .table = &image.head };

	(void)state;
	guard_image_make(&image, 5);
	for (int i = 0; i < 50; i++) {
		const uint8_t a[4] = { 10, 1, 0, (uint8_t)i }, b[4] = { 44, 0, 0, (uint8_t)i };

		addr_from_v4(a, src[i]);
		addr_from_v4(b, dst[i]);
	}
	assert_int_equal(guard_permits(&guard, &view, &w), PINHOLE_MALFORMED); /* 2500 */
	req.n_src = 40;
	assert_int_equal(guard_permits(&guard, &view, &w), PINHOLE_OPEN); /* 2000 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_table_is_taken),
		cmocka_unit_test(a_table_of_the_first_version_is_taken_without_workloads),
		cmocka_unit_test(a_table_cut_anywhere_is_refused),
		cmocka_unit_test(hostile_fields_are_refused),
		cmocka_unit_test(only_what_the_table_permits_is_permitted),
		cmocka_unit_test(at_a_listener_anybody_asks_whom_no_workload_names),
		cmocka_unit_test(inbound_ports_permit_no_pinhole),
		cmocka_unit_test(inbound_ports_are_those_of_single_addresses),
		cmocka_unit_test(without_a_table_nothing_is_permitted),
		cmocka_unit_test(too_many_elements_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
