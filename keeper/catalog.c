/* keeper/catalog.c - the catalog of one policy version. */
#include "catalog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/judge.h"
#include "sallyport/catalog.h"
#include "sallyport/err.h"

/* A field: what would break a line becomes '?'. */
static void put_field(FILE *out, const char *text)
{
	for (; *text; text++)
		fputc((unsigned char)*text < 0x20 ? '?' : *text, out);
}

static void put_workloads(FILE *out, const struct policy_image *image, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct policy_workload_info w;

		if (policy_image_workload(image, i, &w) < 0)
			w = (struct policy_workload_info){ .name = "?", .profile = "?" };
		fprintf(out, "W\t%" PRIu32 "\t", i);
		put_field(out, w.name);
		fputc('\t', out);
		put_field(out, w.profile);
		fputc('\n', out);
	}
}

static void put_rules(FILE *out, const struct policy_image *image, uint32_t n, const char *file)
{
	for (uint32_t i = 0; i < n; i++) {
		struct policy_rule_info rule = { 0 };
		char text[POLICY_TEXT_LEN] = "?";

		if (policy_image_rule(image, i, &rule) == 0)
			policy_rule_text(image, i, text, sizeof(text));
		fprintf(out, "R\t%" PRIu32 "\t%s\t", i, rule.allow ? "allow" : "deny");
		put_field(out, text);
		fputc('\t', out);
		put_field(out, file);
		fprintf(out, "\t%" PRIu32 "\n", rule.line);
	}
}

int catalog_build(const struct policy_image *image, const char *file, char **ret_text,
                  size_t *ret_len)
{
	struct policy_counts counts;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	bool bad;

	if (!out)
		return ERR_NOMEM;
	policy_image_counts(image, &counts);
	fprintf(out, "%s\t%d\t%" PRIu32 "\n", CATALOG_MAGIC, CATALOG_FORMAT, image->version);
	put_workloads(out, image, counts.workloads);
	put_rules(out, image, counts.rules, file);
	for (uint32_t i = 0; i < counts.feeds; i++) {
		const char *name = policy_image_feed_name(image, i);

		fprintf(out, "F\t%" PRIu32 "\t", i);
		put_field(out, name ? name : "?");
		fputc('\n', out);
	}
	fputs("E\n", out);
	bad = ferror(out);
	if (fclose(out) != 0 || bad) {
		free(text);
		return ERR_NOMEM;
	}
	*ret_text = text;
	*ret_len = len;
	return ERR_OK;
}
