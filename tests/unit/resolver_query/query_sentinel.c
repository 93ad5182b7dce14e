/* tests/unit/resolver_query/query_sentinel.c - which names ask for a key of the root, and what they
 * are told (RFC 8509, sections 2 and 3).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "sallyport/err.h"
#include "sallyport/name.h"
#include "sentinel.h"

static const struct {
	const char *name;
	int is_ta; /* -1: no sentinel */
	unsigned int tag;
} names[] = {
	{ "root-key-sentinel-is-ta-20326.example.org", 1, 20326 },
	{ "root-key-sentinel-not-ta-20326.example.org", 0, 20326 },
	{ "ROOT-key-Sentinel-IS-ta-00007.example.org", 1, 7 },
	{ "root-key-sentinel-is-ta-00000", 1, 0 },
	{ "root-key-sentinel-is-ta-65535", 1, 65535 },
	{ "root-key-sentinel-is-ta-65536", -1, 0 },
	{ "root-key-sentinel-is-ta-7.example.org", -1, 0 },
	{ "root-key-sentinel-is-ta-020326.example.org", -1, 0 },
	{ "root-key-sentinel-is-ta-2032x.example.org", -1, 0 },
	{ "root-key-sentinel-is-ta-.example.org", -1, 0 },
	{ "www.root-key-sentinel-is-ta-20326.example.org", -1, 0 },
	{ "www.example.org", -1, 0 },
	{ ".", -1, 0 },
};

static void the_first_label_asks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		uint8_t wire[NAME_MAX_WIRE];
		struct sentinel sentinel = { 0 };
		bool is;

		assert_true(name_from_text(names[i].name, wire) > 0);
		is = sentinel_parse(wire, &sentinel);
		if (is != (names[i].is_ta >= 0))
			fail_msg("%s: %s", names[i].name, is ? "taken for one" : "not seen");
		if (is && (sentinel.is_ta != names[i].is_ta || sentinel.tag != names[i].tag))
			fail_msg("%s: %d %u", names[i].name, sentinel.is_ta, sentinel.tag);
	}
}

static void only_the_roots_anchors_count(void **state)
{
	static const uint8_t root[] = { 0 }, test[] = "\4test";
	static const uint8_t ds[] = { 0x4f, 0x66, 8, 2, 1, 2, 3 }; /* 20326 */
	static const uint8_t other[] = { 0x12, 0x34, 8, 2, 1, 2, 3 };
	static const uint8_t key[] = { 1, 1, 3, 13, 9 }; /* 257 + 781 + 9 * 256 */
	static const uint8_t revoked[] = { 1, 0x81, 3, 13, 7 };
	CLEANUP(val_anchors_free) struct val_anchors *anchors = val_anchors_new();
	static const struct {
		unsigned int tag;
		bool trusted;
	} cases[] = {
		{ 20326, true }, { 0x1234, false }, { 3342, true }, { 2958, false }, { 1, false }
	};

	(void)state;
	assert_int_equal(val_anchors_add(anchors, root, 43, ds, sizeof(ds)), ERR_OK);
	assert_int_equal(val_anchors_add(anchors, test, 43, other, sizeof(other)), ERR_OK);
	assert_int_equal(val_anchors_add(anchors, root, 48, key, sizeof(key)), ERR_OK);
	assert_int_equal(val_anchors_add(anchors, root, 48, revoked, sizeof(revoked)), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sentinel is = { true, (uint16_t)cases[i].tag };
		struct sentinel not = { false, (uint16_t)cases[i].tag };

		if (sentinel_refuses(&is, anchors) == cases[i].trusted ||
		    sentinel_refuses(&not, anchors) != cases[i].trusted)
			fail_msg("%u", cases[i].tag);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_label_asks),
		cmocka_unit_test(only_the_roots_anchors_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
