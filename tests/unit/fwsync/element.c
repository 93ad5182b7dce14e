/* Elements and the kernel's keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sallyport/err.h"

#include "element.h"

static struct ledger_element make(const char *src, const char *dst, uint8_t kind, uint8_t proto,
                                  uint16_t port)
{
	struct ledger_element e = { .port = { kind, proto, port } };

	assert_int_equal(addr_parse(src, e.src), 0);
	assert_int_equal(addr_parse(dst, e.dst), 0);
	return e;
}

static void keys_are_padded_fields_in_network_order(void **state)
{
	struct ledger_element e = make("10.1.0.2", "44.1.2.3", PINHOLE_KIND_PORT, 6, 443);
	static const uint8_t want[] = { 10, 1, 0, 2, 44, 1, 2, 3, 6, 0, 0, 0, 1, 187, 0, 0 };
	uint8_t key[ELEMENT_KEY_MAX];

	(void)state;
	assert_int_equal(element_key(&e, key), sizeof(want));
	assert_memory_equal(key, want, sizeof(want));
}

static void icmp_is_the_familys_own(void **state)
{
	struct ledger_element e = make("fd00::2", "2001:db8::1", PINHOLE_KIND_PROTO, 1, 0);
	uint8_t key[ELEMENT_KEY_MAX];

	(void)state;
	assert_int_equal(element_key(&e, key), 36);
	assert_int_equal(key[32], 58);
	e = make("10.1.0.2", "44.1.2.3", PINHOLE_KIND_PROTO, 1, 0);
	assert_int_equal(element_key(&e, key), 12);
	assert_int_equal(key[8], 1);
}

static void a_key_leads_back_to_its_element(void **state)
{
	const struct ledger_element elements[] = {
		make("10.1.0.2", "44.1.2.3", PINHOLE_KIND_PORT, 17, 53),
		make("10.1.0.2", "44.1.2.3", PINHOLE_KIND_PROTO, 1, 0),
		make("10.1.0.2", "44.1.2.3", PINHOLE_KIND_ANY, 0, 0),
		make("fd00::2", "2001:db8::1", PINHOLE_KIND_PORT, 6, 65535),
		make("fd00::2", "2001:db8::1", PINHOLE_KIND_PROTO, 1, 0),
		make("fd00::2", "2001:db8::1", PINHOLE_KIND_ANY, 0, 0),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(elements); i++) {
		uint8_t key[ELEMENT_KEY_MAX];
		size_t len = element_key(&elements[i], key);
		enum pinhole_set set = element_set(&elements[i]);
		struct ledger_element back;

		assert_int_equal(set, i);
		assert_int_equal(len, element_key_len(set));
		assert_int_equal(element_from_key(element_set_name(set), key, len, &back), ERR_OK);
		assert_memory_equal(&back, &elements[i], sizeof(back));
		assert_int_equal(element_from_key(element_set_name(set), key, len - 4, &back),
		                 ERR_MALFORMED);
		assert_int_equal(element_from_key("guarded4", key, len, &back), ERR_MALFORMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_padded_fields_in_network_order),
		cmocka_unit_test(icmp_is_the_familys_own),
		cmocka_unit_test(a_key_leads_back_to_its_element),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
