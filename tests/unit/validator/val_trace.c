/* tests/unit/validator/val_trace.c - what a sink is told of a job, and the names of reasons. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "records.h"
#include "sallyport/clock.h"
#include "sallyport/cleanup.h"
#include "sallyport/name.h"
#include "val_denial.h"
#include "val_job.h"
#include "val_trace.h"
#include "val_wire.h"

static struct world world;
static char told[8192]; /* a line for each event */

static const struct {
	const char *zone, *records[4];
} zones[] = {
	{ ". 13c", { NULL } },
	{ "example. 13c", { "www A 192.0.2.1", "*.wild A 192.0.2.2", "cut NS ns.cut", NULL } },
	{ "hashed.example. 13c nsec3=1,aa", { "www A 192.0.2.3", NULL } },
};

static int open_world(void **state)
{
	(void)state;
	world_init(&world);
	for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
		char name[64];

		assert_null(world_zone(&world, zones[i].zone));
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(zones[i].zone, " "),
		         zones[i].zone);
		for (const char *const *r = zones[i].records; *r; r++)
			assert_null(world_record(
			    &world, world_find(&world, records_name(&world, name)), *r));
	}
	world_finish(&world);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_fini(&world);
	return 0;
}

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void put(const char *format, ...)
{
	size_t len = strlen(told);
	va_list args;

	va_start(args, format);
	vsnprintf(told + len, sizeof(told) - len, format, args);
	va_end(args);
}

static void put_name(const char *what, const uint8_t *name)
{
	char text[NAME_TEXT_LEN];

	if (!name)
		return;
	name_to_text(name, text);
	put(" %s%s", what, text);
}

/* "signature www.example. A in example. SIGNATURE" */
static void on_event(void *ctx, const struct val_event *event)
{
	static const char *const kinds[] = {
		[VAL_EVENT_ASKED] = "asked", [VAL_EVENT_ANCHOR] = "anchor",
		[VAL_EVENT_DS] = "ds",       [VAL_EVENT_KEY] = "key",
		[VAL_EVENT_MATCH] = "match", [VAL_EVENT_SIGNATURE] = "signature",
		[VAL_EVENT_PROOF] = "proof", [VAL_EVENT_DENIAL] = "denial",
		[VAL_EVENT_TRUST] = "trust", [VAL_EVENT_ZONE] = "zone",
	};
	static const char *const trusts[] = { [VAL_TRUST_BOGUS] = "bogus",
		                              [VAL_TRUST_NO_CUT] = "no-cut",
		                              [VAL_TRUST_NOT_THERE] = "not-there",
		                              [VAL_TRUST_INSECURE] = "insecure",
		                              [VAL_TRUST_SECURE] = "secure" };
	char type[NAME_TYPE_TEXT_LEN];

	assert_ptr_equal(ctx, told);
	put("%s", kinds[event->kind]);
	put_name("", event->name);
	if (event->type) {
		name_type_text(event->type, type);
		put(" %s", type);
	}
	switch (event->kind) {
	case VAL_EVENT_ASKED:
		put(" %s", event->outcome ? "came" : "lost");
		break;
	case VAL_EVENT_ANCHOR:
	case VAL_EVENT_DS:
	case VAL_EVENT_KEY:
		assert_non_null(event->rdata);
		break;
	case VAL_EVENT_MATCH:
		assert_non_null(event->rdata);
		assert_true(val_ds_matches(event->rdata, event->name, event->key));
		break;
	case VAL_EVENT_SIGNATURE:
		assert_non_null(event->sig);
		assert_int_equal(event->tag, event->sig->tag);
		put_name("in ", event->zone);
		break;
	case VAL_EVENT_PROOF:
		assert_non_null(event->rdata);
		put(" %s", event->outcome == VAL_MATCHES ? "matches" : "covers");
		break;
	case VAL_EVENT_DENIAL:
		put_name("in ", event->zone);
		put(" %u", event->outcome);
		break;
	case VAL_EVENT_TRUST:
	case VAL_EVENT_ZONE:
		put(" %s", trusts[event->outcome]);
		break;
	}
	if (event->why != VAL_WHY_NONE)
		put(" %s", val_why_name(event->why));
	put("\n");
}

static struct val_message *receive(const uint8_t *name, uint16_t type, bool spoilt)
{
	struct answer *answer = world_alloc(&world, sizeof(*answer));
	struct val_message *message = NULL;

	memset(answer, 0, sizeof(*answer));
	world_answer(&world, name, type, answer);
	for (unsigned int i = 0; i < answer->n && spoilt; i++) {
		struct val_row *row = &answer->rows[i];
		uint8_t *rdata = world_alloc(&world, row->rdata_len);

		memcpy(rdata, row->rdata, row->rdata_len);
		rdata[row->rdata_len - 1] ^= row->type == VAL_TYPE_RRSIG;
		row->rdata = rdata;
	}
	assert_int_equal(val_message_make(answer->rows, answer->n, answer->rcode, &message), 0);
	return message;
}

static enum val_kind kind_of(const struct val_message *message, const uint8_t *name, uint16_t type)
{
	if (val_message_find(message, VAL_ANSWER, name, type))
		return VAL_DATA;
	return message->rcode == 3 ? VAL_NXDOMAIN : VAL_NODATA;
}

#define KEYS_OF(zone)                                                                              \
	"signature " zone " DNSKEY in " zone "\n"                                                  \
	"match " zone " DS\n"                                                                      \
	"key " zone " DNSKEY\n"                                                                    \
	"trust " zone " DNSKEY secure\n"
#define DS_OF(zone, parent)                                                                        \
	"asked " zone " DS came\n"                                                                 \
	"signature " zone " DS in " parent "\n"                                                    \
	"ds " zone " DS\n"
#define ROOT "asked . DNSKEY came\nanchor . DS\n" KEYS_OF(".")
#define EXAMPLE ROOT DS_OF("example.", ".") "asked example. DNSKEY came\n" KEYS_OF("example.")

static const struct {
	const char *title, *name, *type;
	bool spoilt;  /* the answer's signatures are */
	bool no_keys; /* but the root's: no DNSKEY can be had */
	const char *want;
} cases[] = {
	{ "data", "www.example.", "A", false, false,
	  EXAMPLE "zone example. secure\n"
	          "signature www.example. A in example.\n" },
	{ "bogus data", "www.example.", "A", true, false,
	  EXAMPLE "zone example. secure\n"
	          "signature www.example. A in example. SIGNATURE\n"
	          "asked www.example. DS came\n"
	          "signature www.example. NSEC in example.\n"
	          "proof www.example. NSEC matches\n"
	          "trust www.example. DS no-cut\n"
	          "zone example. secure\n" },
	{ "no such name", "x.example.", "A", false, false,
	  EXAMPLE "zone example. secure\n"
	          "signature example. SOA in example.\n"
	          "signature example. NSEC in example.\n"
	          "signature www.example. NSEC in example.\n"
	          "proof x.example. NSEC covers\n"
	          "proof *.example. NSEC covers\n"
	          "denial x.example. in example. 1\n" },
	{ "no keys", "www.example.", "A", false, true,
	  ROOT DS_OF("example.", ".") "asked example. DNSKEY lost\n"
	                              "trust example. DNSKEY bogus UNREACHABLE\n"
	                              "zone example. bogus UNREACHABLE\n" },
	{ "hashed", "www.hashed.example.", "AAAA", false, false,
	  EXAMPLE
	      DS_OF("hashed.example.", "example.") "asked hashed.example. DNSKEY came\n" KEYS_OF(
		  "hashed.example.") "zone hashed.example. secure\n"
	                             "signature hashed.example. SOA in hashed.example.\n"
	                             "signature 24a05mviq5kb92av1ft9kd0cpg4qhpc2.hashed.example. "
	                             "NSEC3 "
	                             "in hashed.example.\n"
	                             "proof www.hashed.example. NSEC3 matches\n"
	                             "denial www.hashed.example. AAAA in hashed.example. 1\n" },
};

static void each_step_is_told_in_its_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		static const uint8_t hash_key[16] = { 1 };
		const uint8_t *name = records_name(&world, cases[i].name), *root;
		const struct val_trace trace = { on_event, told };
		CLEANUP(val_anchors_free) struct val_anchors *anchors = val_anchors_new();
		CLEANUP(val_table_free) struct val_table *table = val_table_new(hash_key);
		const struct val_config config = { .rules = &val_rules_default,
			                           .anchors = anchors,
			                           .table = table,
			                           .trace = &trace };
		const struct val_now now = { ZONE_BASE_S, NS_PER_S };
		struct val_subject subject = { .name = name };
		struct val_budget budget;
		uint8_t ds[KEY_DS_MAX];
		enum val_step step;
		size_t len;

		root = records_name(&world, ".");
		len = key_ds(&world_find(&world, root)->keys[0].key, root, 2, ds);
		assert_int_equal(val_anchors_add(anchors, root, VAL_TYPE_DS, ds, len), 0);
		assert_int_equal(name_type_parse(cases[i].type, &subject.type), 0);

		CLEANUP(val_message_free)
		struct val_message *message = receive(name, subject.type, cases[i].spoilt);

		subject.message = message;
		subject.kind = kind_of(message, name, subject.type);
		val_budget_init(&budget);

		CLEANUP(val_job_free)
		struct val_job *job = val_job_new(&config, &subject, &budget);

		told[0] = '\0';
		while ((step = val_job_run(job, &now)) != VAL_DONE) {
			const struct val_need *need = val_job_need(job);
			bool lost =
			    cases[i].no_keys && need->type == VAL_TYPE_DNSKEY && need->name[0] != 0;

			val_budget_turn(&budget);
			if (step == VAL_NEED)
				val_job_give(job,
				             lost ? NULL : receive(need->name, need->type, false));
		}
		if (strcmp(told, cases[i].want) != 0)
			fail_msg("%s: told was\n%s", cases[i].title, told);
	}
}

static void every_reason_has_a_text_and_the_numbers_are_rfc_8914s(void **state)
{
	static const struct {
		enum val_why why;
		uint16_t ede;
	} numbers[] = {
		{ VAL_WHY_DS_ALGORITHM, 1 },   { VAL_WHY_DS_DIGEST, 2 },
		{ VAL_WHY_NO_ANCHOR, 5 },      { VAL_WHY_SIGNATURE, 6 },
		{ VAL_WHY_EXPIRED, 7 },        { VAL_WHY_NOT_YET, 8 },
		{ VAL_WHY_NO_KEY, 9 },         { VAL_WHY_NO_SEP, 9 },
		{ VAL_WHY_RRSIG_MISSING, 10 }, { VAL_WHY_NO_ZONE_KEY, 11 },
		{ VAL_WHY_NSEC_MISSING, 12 },  { VAL_WHY_UNREACHABLE, 22 },
		{ VAL_WHY_PERIOD, 25 },        { VAL_WHY_ITERATIONS, 27 },
	};

	(void)state;
	for (unsigned int why = VAL_WHY_NONE + 1; why < VAL_WHY_N; why++)
		assert_true(strlen(val_why_str((enum val_why)why)) > 5);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		assert_int_equal(val_why_ede(numbers[i].why), numbers[i].ede);
}

static void every_reason_has_a_name_and_a_rule_of_its_own_words(void **state)
{
	(void)state;
	for (unsigned int why = VAL_WHY_NONE + 1; why < VAL_WHY_N; why++) {
		assert_int_equal(strncmp(val_why_rule((enum val_why)why), "RFC ", 4), 0);
		for (unsigned int other = 0; other < why; other++)
			assert_string_not_equal(val_why_name((enum val_why)why),
			                        val_why_name((enum val_why)other));
	}
	assert_string_equal(val_why_rule(VAL_WHY_NONE), "");
	assert_string_equal(val_why_name(VAL_WHY_N), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_step_is_told_in_its_order),
		cmocka_unit_test(every_reason_has_a_text_and_the_numbers_are_rfc_8914s),
		cmocka_unit_test(every_reason_has_a_name_and_a_rule_of_its_own_words),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
