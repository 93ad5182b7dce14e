/* bench/policy.c - what compiling a policy and judging from it cost.
 *
 *   build/release/bench/bench_policy [FEED_NAMES] [RULES]       default 1000000 10000
 *
 * Fixed input; memory is the process's peak (VmHWM) over what the texts themselves take.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "policy/compile.h"
#include "policy/judge.h"
#include "sallyport/clock.h"
#include "sallyport/diag.h"

static const char *const words[] = { "track", "ads", "cdn", "stat", "pixel", "metrics" };

static int name_of(char out[static 64], size_t i)
{
	return snprintf(out, 64, "%s%zx.shop-%zu.%s", words[i % 6], i * 2654435761u % 65536, i / 3,
	                i % 2 ? "example" : "test");
}

static char *make_feed(size_t n, size_t *ret_len)
{
	char *text = NULL, name[64];
	FILE *out = open_memstream(&text, ret_len);

	for (size_t i = 0; out && i < n; i++) {
		name_of(name, i);
		fprintf(out, "%s\n", name);
	}
	if (out)
		fclose(out);
	return text;
}

static char *make_policy(size_t rules, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);

	if (!out)
		return NULL;
	fprintf(out, "version: 1\nworkloads: {w: {source: [192.0.2.1, '2001:db8::1'], profile: p},"
	             " v: {source: [192.0.2.2, '2001:db8::2'], profile: q}}\nprofiles:\n");
	for (int profile = 0; profile < 2; profile++) {
		fprintf(out, "  %s:\n    feeds: [%s]\n    allow:\n", profile ? "q" : "p",
		        profile ? "f" : "");
		for (size_t i = 0; i < rules / 2; i++) {
			if (i % 4 == 0)
				fprintf(out, "      - zone: z%zu.corp.test\n", i);
			else if (i % 4 == 1)
				fprintf(out, "      - name: '*.s%zu.corp.test'\n", i);
			else
				fprintf(out, "      - name: www.n%zu.corp.test\n", i);
		}
	}
	fprintf(out, "feeds: {f: {file: f, format: domains}}\n");
	fclose(out);
	return text;
}

static double peak_mib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_maxrss / 1024;
}

static void bench_judge(const struct policy_image *image, uint32_t workload, const char *what,
                        const char *before, size_t n_names)
{
	enum { DISTINCT = 4096, ROUNDS = 500 };
	static uint8_t names[DISTINCT][NAME_MAX_WIRE];
	struct verdict v;
	uint64_t begin, allowed = 0;

	for (size_t i = 0; i < DISTINCT; i++) {
		char text[128];

		if (before)
			snprintf(text, sizeof(text), "%s%zu.corp.test", before,
			         i * 7919 % n_names / 4 * 4 + 2);
		else
			name_of(text, i * 7919 % n_names);
		if (name_from_text(text, names[i]) < 0)
			exit(2);
	}
	begin = clock_mono_ns();
	for (size_t r = 0; r < ROUNDS; r++) {
		for (size_t i = 0; i < DISTINCT; i++) {
			policy_judge(image, workload, names[i], 1, 1800000000, &v);
			allowed += v.kind == VERDICT_ALLOW;
		}
	}
	printf("judge %-36s %6.0f ns   (%.0f %% allowed)\n", what,
	       (double)(clock_mono_ns() - begin) / (DISTINCT * ROUNDS),
	       100.0 * (double)allowed / (DISTINCT * ROUNDS));
}

int main(int argc, char **argv)
{
	size_t n_names = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	size_t n_rules = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
	struct policy_source policy = { .file = "policy" };
	struct policy_feed_text feed = { .name = "f", .source = { .file = "feed" } };
	struct policy_image view;
	struct diag diag;
	uint64_t begin, compiled, opened;
	double before;
	void *image;
	size_t len;

	policy.text = make_policy(n_rules, &policy.len);
	feed.source.text = make_feed(n_names, &feed.source.len);
	if (!policy.text || !feed.source.text || n_names == 0 || n_rules < 8)
		return 2;
	diag_init(&diag);
	before = peak_mib();
	begin = clock_mono_ns();
	if (policy_compile(&policy, &feed, 1, 1800000000, &image, &len, &diag) < 0) {
		diag_print(&diag, 2);
		return 1;
	}
	compiled = clock_mono_ns();
	if (policy_image_open(image, len, 1, &view) < 0)
		return 1;
	opened = clock_mono_ns();
	printf("%zu names (%.1f octets a line), %zu rules\n", n_names,
	       (double)feed.source.len / (double)n_names, n_rules);
	printf("compile %.2f s, %.0f octets of memory a name; image %.1f MiB, %.1f octets a name; "
	       "open %.1f ms\n",
	       (double)(compiled - begin) / 1e9, (peak_mib() - before) * 1048576 / (double)n_names,
	       (double)len / 1048576, (double)len / (double)n_names,
	       (double)(opened - compiled) / 1e6);
	bench_judge(&view, 0, "4 labels, exact allow, no feed", "www.n", n_rules / 2);
	bench_judge(&view, 0, "4 labels, no rule, no feed", "www.x", n_rules / 2);
	bench_judge(&view, 1, "4 labels, exact allow, feeds", "www.n", n_rules / 2);
	bench_judge(&view, 1, "4 labels, no rule, feeds", "www.x", n_rules / 2);
	bench_judge(&view, 1, "listed names", NULL, n_names);
	diag_fini(&diag);
	free(image);
	free((void *)(uintptr_t)policy.text);
	free((void *)(uintptr_t)feed.source.text);
	return 0;
}
