/* policy/compile_policy.c - the whole way from text to image. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "compile_image.h"
#include "sallyport/err.h"

int policy_feeds_wanted(const struct policy_source *policy, struct policy_feed_want **ret_wants,
                        size_t *ret_n, struct diag *diag)
{
	CLEANUP(policy_doc_fini) struct policy_doc doc = { 0 };
	CLEANUP(diag_fini) struct diag own = { 0 };
	struct policy_feed_want *wants;
	size_t from;
	int r;

	diag = diag ? diag : &own;
	from = diag->n_items;
	r = policy_doc_read(policy, &doc, diag);
	policy_sort_faults(diag, from, policy->file);
	if (r < 0)
		return r;
	wants = calloc(doc.n_feeds + 1, sizeof(*wants));
	if (!wants)
		return ERR_NOMEM;
	for (size_t i = 0; i < doc.n_feeds; i++) {
		memcpy(wants[i].name, doc.feeds[i].name, strlen(doc.feeds[i].name) + 1);
		wants[i].line = doc.feeds[i].file_place.line;
		wants[i].col = doc.feeds[i].file_place.col;
		wants[i].file = strdup(doc.feeds[i].file);
		if (!wants[i].file) {
			policy_feeds_wanted_free(wants, doc.n_feeds);
			return ERR_NOMEM;
		}
	}
	*ret_wants = wants;
	*ret_n = doc.n_feeds;
	return ERR_OK;
}

void policy_feeds_wanted_free(struct policy_feed_want *wants, size_t n)
{
	for (size_t i = 0; wants && i < n; i++)
		free(wants[i].file);
	free(wants);
}

static int read_feeds(const struct policy_doc *doc, const struct policy_feed_text *feeds,
                      size_t n_feeds, struct feed_table *table, struct diag *diag)
{
	int result = ERR_OK;

	for (uint32_t i = 0; i < doc->n_feeds; i++) {
		const struct policy_feed_text *text = NULL;
		int r;

		for (size_t f = 0; f < n_feeds; f++) {
			if (strcmp(feeds[f].name, doc->feeds[i].name) == 0)
				text = &feeds[f];
		}
		if (!text) {
			diag_add(diag, DIAG_ERROR, doc->file, doc->feeds[i].file_place.line,
			         doc->feeds[i].file_place.col,
			         "the text of feed '%s' is missing; its file is '%s'",
			         doc->feeds[i].name, doc->feeds[i].file);
			result = ERR_CONFIG;
			continue;
		}
		r = feed_read(table, i, doc->feeds[i].format, &text->source, diag);
		if (r < 0 && r != ERR_CONFIG)
			return r;
		if (r < 0)
			result = r;
	}
	return result;
}

/* Whoever writes a name into a feed cannot know the seed, which hangs on all texts; the same texts
 * make the same image. */
static uint64_t seed_of(const struct policy_source *policy, const struct policy_feed_text *feeds,
                        size_t n_feeds)
{
	crypto_generichash_state state;
	uint8_t sum[16];
	uint64_t seed;

	(void)crypto_generichash_init(&state, NULL, 0, sizeof(sum)); /* cannot fail */
	(void)crypto_generichash_update(&state, (const uint8_t *)policy->text, policy->len);
	for (size_t i = 0; i < n_feeds; i++)
		(void)crypto_generichash_update(&state, (const uint8_t *)feeds[i].source.text,
		                                feeds[i].source.len);
	(void)crypto_generichash_final(&state, sum, sizeof(sum));
	memcpy(&seed, sum, sizeof(seed));
	return seed;
}

static int compile(const struct policy_source *policy, const struct policy_feed_text *feeds,
                   size_t n_feeds, uint64_t now_s, void **ret_image, size_t *ret_len,
                   struct diag *diag)
{
	CLEANUP(policy_doc_fini) struct policy_doc doc = { 0 };
	CLEANUP(feed_table_fini) struct feed_table table = { 0 };
	CLEANUP(free) void *image = NULL;
	uint64_t seed = seed_of(policy, feeds, n_feeds);
	struct policy_image view;
	size_t len;
	int r;

	r = policy_doc_read(policy, &doc, diag);
	if (r < 0)
		return r;
	feed_table_init(&table, seed);
	r = read_feeds(&doc, feeds, n_feeds, &table, diag);
	if (r < 0)
		return r;
	r = image_build(&doc, &table, seed, &image, &len, diag);
	if (r < 0)
		return r;
	feed_table_fini(&table);
	r = policy_image_open(image, len, 0, &view);
	if (r < 0)
		return diag_set(diag, r, "the compiled policy does not open: a mistake of ours");
	r = policy_warn(&doc, &view, now_s, diag);
	if (r < 0)
		return r;
	*ret_image = TAKE(image);
	*ret_len = len;
	return ERR_OK;
}

int policy_compile(const struct policy_source *policy, const struct policy_feed_text *feeds,
                   size_t n_feeds, uint64_t now_s, void **ret_image, size_t *ret_len,
                   struct diag *diag)
{
	CLEANUP(diag_fini) struct diag own = { 0 };
	size_t from;
	int r;

	diag = diag ? diag : &own;
	from = diag->n_items;
	r = compile(policy, feeds, n_feeds, now_s, ret_image, ret_len, diag);
	policy_sort_faults(diag, from, policy->file);
	return r;
}
