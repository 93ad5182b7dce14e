/* tests/unit/validator/records.c - lines read by ldns, then grouped. */
#include "records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sallyport/err.h"
#include "sallyport/name.h"
#include "val_wire.h"

const uint8_t *records_name(struct world *world, const char *text)
{
	uint8_t *name = world_alloc(world, NAME_MAX_WIRE);
	int len = name_from_text(text, name);

	assert_true(len > 0);
	name_lower(name, name, (size_t)len);
	return name;
}

struct val_message *records_group(const struct val_row *rows, size_t n)
{
	struct val_message *message = NULL;

	assert_int_equal(val_message_make(rows, n, 0, &message), ERR_OK);
	return message;
}

struct val_message *records_message(struct world *world, const char *text, const char *name,
                                    const char *type, uint8_t section)
{
	const uint8_t *owner = name ? records_name(world, name) : NULL;
	struct val_row rows[RECORDS_MAX];
	uint16_t of = 0;
	size_t n = 0;

	if (type)
		assert_int_equal(name_type_parse(type, &of), ERR_OK);
	while (*text) {
		size_t len = strcspn(text, "\n");
		char line[3000];
		struct zone_rr rr;
		const char *wrong;

		assert_true(len < sizeof(line));
		snprintf(line, sizeof(line), "%.*s", (int)len, text);
		text += len + (text[len] == '\n');
		if (line[0] == '\0' || line[0] == ';')
			continue;
		wrong = record_parse(world, line, (const uint8_t *)"", 3600, &rr);
		if (wrong)
			fail_msg("%s: %s", line, wrong);
		if (owner && !name_equal(owner, rr.owner))
			continue;
		if (type && of != (rr.type == VAL_TYPE_RRSIG ? val_u16(rr.rdata) : rr.type))
			continue;
		assert_true(n < RECORDS_MAX);
		rows[n++] =
		    (struct val_row){ rr.owner, rr.rdata, rr.ttl, rr.len, rr.type, section };
	}
	return records_group(rows, n);
}
