/* tests/unit/policy/fixture.c - policies as text, compiled for a test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "sallyport/err.h"

int fixture_compile(struct fixture *f, const char *policy, const char *const *feeds)
{
	const struct policy_source source = { "p.yaml", policy, strlen(policy) };
	struct policy_feed_text texts[64];
	size_t n = 0, len;
	int r;

	*f = (struct fixture){ 0 };
	diag_init(&f->diag);
	for (; feeds && feeds[2 * n]; n++) {
		texts[n].name = feeds[2 * n];
		texts[n].source = (struct policy_source){ feeds[2 * n], feeds[2 * n + 1],
			                                  strlen(feeds[2 * n + 1]) };
	}
	r = policy_compile(&source, texts, n, FIXTURE_NOW, &f->data, &len, &f->diag);
	if (r == ERR_OK)
		assert_int_equal(policy_image_open(f->data, len, 7, &f->image), ERR_OK);
	return r;
}

char *fixture_faults(const struct diag *diag)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	for (size_t i = 0; i < diag->n_items; i++)
		fprintf(out, "%u:%u %s %s\n", diag->items[i].line, diag->items[i].col,
		        diag->items[i].severity == DIAG_ERROR ? "error" : "warning",
		        diag->items[i].text);
	fclose(out);
	return text;
}

void fixture_open(struct fixture *f, const char *policy, const char *const *feeds)
{
	int r = fixture_compile(f, policy, feeds);

	if (r != ERR_OK)
		fail_msg("%s\n%s", fixture_faults(&f->diag), policy);
}

void fixture_close(struct fixture *f)
{
	free(f->data);
	diag_fini(&f->diag);
}

void fixture_verdict(const struct fixture *f, const struct verdict *v,
                     char out[static FIXTURE_TEXT_LEN])
{
	static const char *const denied[] = { "nxdomain", "refused", "nodata" };
	char rule[POLICY_TEXT_LEN] = "", feed[POLICY_TEXT_LEN] = "";
	const char *reason = reason_str(v->observed ? v->would_be : v->reason);
	const char *first = v->observed                ? "observe"
	                    : v->kind == VERDICT_ALLOW ? "allow"
	                                               : denied[v->denied];

	policy_rule_text(&f->image, v->rule, rule, sizeof(rule));
	policy_feed_text(&f->image, v->feed, feed, sizeof(feed));
	snprintf(out, FIXTURE_TEXT_LEN, "%s %s%s%s%s%s", first, reason, *rule ? " " : "", rule,
	         *feed ? " " : "", feed);
}

void fixture_name(const char *text, uint8_t wire[static NAME_MAX_WIRE])
{
	if (name_from_text(text, wire) < 0)
		fail_msg("the test's name %s is not valid", text);
}

uint16_t fixture_type(const char *text)
{
	uint16_t type = 0;

	if (name_type_parse(text, &type) < 0)
		fail_msg("the test's type %s is not valid", text);
	return type;
}

void fixture_judge(const struct fixture *f, const char *name, const char *type,
                   struct verdict *ret_verdict)
{
	uint8_t wire[NAME_MAX_WIRE];

	fixture_name(name, wire);
	policy_judge(&f->image, 0, wire, fixture_type(type), FIXTURE_NOW, ret_verdict);
}
