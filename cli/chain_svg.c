#include "chain_svg.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "chain_text.h"
#include "json.h"
#include "sallyport/cleanup.h"
#include "sallyport/err.h"
#include "text.h"

/* A node is a zone or an answer; it hangs below the zone that leads to it:
 *
 *     .----------------.
 *     | zone     state |   keys: those that sign the key set have a thick border
 *     | (key)  (key)   |
 *     |    [DS child]  |   DS stand in the parent, and point at the child's keys
 *     '--------|-------'
 */
enum {
	NODES = 24,
	CHIPS = 4, /* keys or DS of one zone that are drawn; of more the number is told */
	NODE_W = 460,
	CHIP_W = 108,
	CHIP_H = 34,
	ZONE_H = 146, /* with DS in it; else ZONE_LOW_H */
	ZONE_LOW_H = 104,
	ANSWER_H = 76,
	GAP_X = 28,
	GAP_Y = 56,
	MARGIN = 24,
	LEGEND_H = 30,
	COLUMNS = 64, /* characters of a line in a node */
};

struct chip { /* a key or a DS */
	int64_t tag, digest;
	char algorithm[CHAIN_ALGORITHM_LEN];
	bool sep, revoked, signs; /* a key that has signed the key set */
};

struct node {
	const char *name, *type; /* type: of an answer; NULL: a zone */
	const char *state, *reason, *kind;
	int parent; /* -1: none */
	unsigned int depth;
	int x, y;
	unsigned int n_keys, n_ds, n_anchors, n_below; /* n_below: DS that stand in it */
	struct chip keys[CHIPS], ds[CHIPS], anchors[CHIPS];
	int64_t by_tag; /* the key above that has signed the DS, or the answer; 0: none */
	bool by_verified;
};

struct picture {
	unsigned int n;
	struct node nodes[NODES];
};

/* --- gathering ------------------------------------------------------------------------------- */

static bool is_under(const char *name, const char *zone)
{
	size_t n = strlen(name), z = strlen(zone);

	if (strcmp(zone, ".") == 0)
		return true;
	/* The root is below nothing, not even below a zone without a name. */
	return z > 1 && n >= z && strcmp(name + n - z, zone) == 0 &&
	       (n == z || name[n - z - 1] == '.');
}

/* The zone's node, made when it is new; NULL: no room, or a step that names none. */
static struct node *zone_of(struct picture *picture, const char *name)
{
	if (!name[0])
		return NULL;
	for (unsigned int i = 0; i < picture->n; i++) {
		if (!picture->nodes[i].type && strcmp(picture->nodes[i].name, name) == 0)
			return &picture->nodes[i];
	}
	if (picture->n == NODES)
		return NULL;
	picture->nodes[picture->n] = (struct node){ .name = name, .state = "", .reason = "" };
	return &picture->nodes[picture->n++];
}

static struct chip *chip_of(struct chip *chips, unsigned int *n, const json_t *step)
{
	struct chip chip = { .tag = json_number(step, "tag"),
		             .digest = json_number(step, "digest"),
		             .sep = json_truth(step, "sep"),
		             .revoked = json_truth(step, "revoked") };

	chain_algorithm(step, chip.algorithm);
	for (unsigned int i = 0; i < MIN(*n, (unsigned int)CHIPS); i++) {
		if (chips[i].tag == chip.tag && chips[i].digest == chip.digest &&
		    strcmp(chips[i].algorithm, chip.algorithm) == 0)
			return &chips[i];
	}
	if ((*n)++ >= CHIPS)
		return NULL;
	chips[*n - 1] = chip;
	return &chips[*n - 1];
}

static void take_signature(struct picture *picture, const json_t *step)
{
	const char *type = json_text(step, "type");
	struct node *zone;

	if (strcmp(type, "DS") != 0 && strcmp(type, "DNSKEY") != 0)
		return;
	zone = zone_of(picture, json_text(step, "name"));
	if (!zone)
		return;
	if (strcmp(type, "DS") == 0 && !zone->by_verified) {
		zone->by_tag = json_number(step, "tag");
		zone->by_verified = json_truth(step, "verified");
	}
}

/* Which of the keys have signed the set: told before the keys themselves are. */
static bool signs_keys(const json_t *steps, const json_t *key)
{
	const json_t *step;
	size_t i;

	json_array_foreach(steps, i, step)
	{
		if (strcmp(json_text(step, "step"), "signature") == 0 &&
		    strcmp(json_text(step, "type"), "DNSKEY") == 0 &&
		    strcmp(json_text(step, "name"), json_text(key, "name")) == 0 &&
		    json_number(step, "tag") == json_number(key, "tag") &&
		    json_truth(step, "verified"))
			return true;
	}
	return false;
}

static void take_step(struct picture *picture, const json_t *steps, const json_t *step)
{
	const char *kind = json_text(step, "step"), *outcome = json_text(step, "outcome");
	bool is_key = strcmp(kind, "key") == 0, is_ds = strcmp(kind, "ds") == 0;
	bool is_anchor = strcmp(kind, "anchor") == 0;
	struct node *zone;

	if (strcmp(kind, "signature") == 0)
		take_signature(picture, step);
	if (is_key || is_ds || is_anchor) {
		struct chip *chip = NULL;

		zone = zone_of(picture, json_text(step, "name"));
		if (zone && is_key)
			chip = chip_of(zone->keys, &zone->n_keys, step);
		else if (zone && is_ds)
			(void)chip_of(zone->ds, &zone->n_ds,
			              step); /* one that is too much is told */
		else if (zone)
			(void)chip_of(zone->anchors, &zone->n_anchors, step);
		if (chip)
			chip->signs = signs_keys(steps, step);
	}
	if ((strcmp(kind, "trust") == 0 || strcmp(kind, "zone") == 0) &&
	    (strcmp(outcome, "secure") == 0 || strcmp(outcome, "insecure") == 0 ||
	     strcmp(outcome, "bogus") == 0)) {
		zone = zone_of(picture, json_text(step, "name"));
		if (!zone)
			return;
		zone->state = outcome;
		zone->reason = json_text(step, "reason");
	}
}

/* The signature that was looked at for the answer: the one that counts is the last. */
static void take_answer_signature(struct node *answer, const json_t *link)
{
	const json_t *step, *steps = json_object_get(link, "steps");
	size_t i;

	answer->by_tag = json_number(link, "tag");
	answer->by_verified = strcmp(answer->state, "secure") == 0;
	json_array_foreach(steps, i, step)
	{
		if (!answer->by_tag && strcmp(json_text(step, "step"), "signature") == 0 &&
		    strcmp(json_text(step, "name"), answer->name) == 0 &&
		    strcmp(json_text(step, "type"), answer->type) == 0)
			answer->by_tag = json_number(step, "tag");
	}
}

static void take_link(struct picture *picture, const json_t *link)
{
	const json_t *step, *steps = json_object_get(link, "steps");
	struct node *answer;
	size_t i;

	json_array_foreach(steps, i, step) take_step(picture, steps, step);
	/* A later attempt at the same name stands for the earlier. */
	for (unsigned int k = 0; k < picture->n; k++) {
		struct node *node = &picture->nodes[k];

		if (node->type && strcmp(node->name, json_text(link, "name")) == 0)
			*node = picture->nodes[--picture->n];
	}
	if (picture->n == NODES)
		return;
	answer = &picture->nodes[picture->n++];
	*answer = (struct node){ .name = json_text(link, "name"),
		                 .type = json_text(link, "type"),
		                 .kind = json_text(link, "kind"),
		                 .state = json_text(link, "state"),
		                 .reason = json_text(link, "reason") };
	take_answer_signature(answer, link);
}

static void find_parents(struct picture *picture)
{
	for (unsigned int i = 0; i < picture->n; i++) {
		struct node *node = &picture->nodes[i];

		node->parent = -1;
		for (unsigned int k = 0; k < picture->n; k++) {
			const struct node *above = &picture->nodes[k];

			if (above->type || k == i || !is_under(node->name, above->name) ||
			    (!node->type && strcmp(node->name, above->name) == 0))
				continue;
			if (node->parent < 0 ||
			    strlen(above->name) > strlen(picture->nodes[node->parent].name) ||
			    strcmp(picture->nodes[node->parent].name, ".") == 0)
				node->parent = (int)k;
		}
	}
	for (unsigned int i = 0; i < picture->n; i++) {
		struct node *node = &picture->nodes[i];

		for (int p = node->parent; p >= 0; p = picture->nodes[p].parent)
			node->depth++;
		if (node->parent >= 0)
			picture->nodes[node->parent].n_below +=
			    MIN(node->n_ds, (unsigned int)CHIPS);
	}
}

/* --- placing --------------------------------------------------------------------------------- */

static int height_of(const struct node *node)
{
	if (node->type)
		return ANSWER_H;
	return node->n_below > 0 ? ZONE_H : ZONE_LOW_H;
}

/* Each depth is a row, centred. */
static void place(struct picture *picture, int *ret_width, int *ret_height)
{
	unsigned int n[NODES] = { 0 }, at[NODES] = { 0 }, widest = 1;
	int y = MARGIN;

	for (unsigned int i = 0; i < picture->n; i++) {
		n[picture->nodes[i].depth]++;
		widest = MAX(widest, n[picture->nodes[i].depth]);
	}
	*ret_width = 2 * MARGIN + (int)widest * NODE_W + ((int)widest - 1) * GAP_X;
	for (unsigned int d = 0; d < NODES && n[d] > 0; d++) {
		int row = (int)n[d] * NODE_W + ((int)n[d] - 1) * GAP_X, tallest = 0;

		for (unsigned int i = 0; i < picture->n; i++) {
			struct node *node = &picture->nodes[i];

			if (node->depth != d)
				continue;
			node->x = (*ret_width - row) / 2 + (int)at[d]++ * (NODE_W + GAP_X);
			node->y = y;
			tallest = MAX(tallest, height_of(node));
		}
		y += tallest + GAP_Y;
	}
	*ret_height = y - GAP_Y + MARGIN + LEGEND_H;
}

static int chip_x(const struct node *node, unsigned int i, unsigned int n)
{
	int shown = (int)MIN(n, (unsigned int)CHIPS);

	return node->x + (NODE_W - shown * (CHIP_W + 6) + 6) / 2 + (int)i * (CHIP_W + 6);
}

/* --- drawing --------------------------------------------------------------------------------- */

/* What is markup in XML, after what is not for terminals either. */
static void put_text(FILE *out, const char *text, size_t max)
{
	CLEANUP(free) char *escaped = text_escape(TEXT_PROSE, text);
	size_t n = 0;

	for (const char *s = escaped ? escaped : "?"; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (n == max && (c & 0xc0) != 0x80) {
			fputs("…", out);
			return;
		}
		n += (c & 0xc0) != 0x80;
		if (c == '<')
			fputs("&lt;", out);
		else if (c == '>')
			fputs("&gt;", out);
		else if (c == '&')
			fputs("&amp;", out);
		else if (c == '"')
			fputs("&quot;", out);
		else
			putc(c, out);
	}
}

static const char *class_of(const char *state)
{
	if (strcmp(state, "secure") == 0)
		return "secure";
	if (strcmp(state, "bogus") == 0)
		return "bogus";
	return "insecure";
}

static void put_line(FILE *out, int x, int y, const char *class, const char *text, size_t max)
{
	fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"%s\">", x, y, class);
	put_text(out, text, max);
	fputs("</text>\n", out);
}

static void put_chip(FILE *out, int x, int y, const char *class, const char *first,
                     const char *second)
{
	fprintf(out,
	        "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"9\" class=\"chip %s\"/>\n",
	        x, y, CHIP_W, CHIP_H, class);
	put_line(out, x + CHIP_W / 2, y + 14, "small strong middle", first, 18);
	put_line(out, x + CHIP_W / 2, y + 27, "tight middle", second, 18);
}

static void put_arrow(FILE *out, int x1, int y1, int x2, int y2, bool verified, const char *state)
{
	int bend = (y2 - y1) / 2;

	fprintf(out,
	        "<path d=\"M%d %d C%d %d %d %d %d %d\" class=\"arrow %s%s\" "
	        "marker-end=\"url(#%s)\"/>\n",
	        x1, y1, x1, y1 + bend, x2, y2 - bend, x2, y2 - 2, class_of(state),
	        verified ? "" : " broken", class_of(state));
}

static int key_x(const struct node *zone, int64_t tag)
{
	for (unsigned int i = 0; i < MIN(zone->n_keys, (unsigned int)CHIPS); i++) {
		if (zone->keys[i].tag == tag)
			return chip_x(zone, i, zone->n_keys) + CHIP_W / 2;
	}
	return zone->x + NODE_W / 2;
}

static void put_keys(FILE *out, const struct node *zone)
{
	for (unsigned int i = 0; i < MIN(zone->n_keys, (unsigned int)CHIPS); i++) {
		const struct chip *key = &zone->keys[i];
		char first[64];

		snprintf(first, sizeof(first), "%s%s %" PRId64, key->sep ? "KSK" : "ZSK",
		         key->revoked ? " revoked" : "", key->tag);
		put_chip(out, chip_x(zone, i, zone->n_keys), zone->y + 40,
		         key->signs ? "signs" : "", first, key->algorithm);
	}
}

static void put_more(FILE *out, const struct node *zone)
{
	char text[64];

	if (zone->n_keys <= CHIPS)
		return;
	snprintf(text, sizeof(text), "and %u keys more", zone->n_keys - CHIPS);
	put_line(out, zone->x + NODE_W - 12, zone->y + height_of(zone) - 8, "small end", text,
	         COLUMNS);
}

/* DS chips at the foot of the parent, below the key that has signed them. */
static void put_ds(FILE *out, const struct node *parent, const struct node *zone,
                   unsigned int column)
{
	unsigned int n = MIN(zone->n_ds, (unsigned int)CHIPS);
	int y = parent->y + 96;

	for (unsigned int i = 0; i < n; i++) {
		const struct chip *ds = &zone->ds[i];
		int x = chip_x(parent, (column + i) % CHIPS, parent->n_below);
		char first[64], second[64];

		snprintf(first, sizeof(first), "DS %" PRId64, ds->tag);
		snprintf(second, sizeof(second), "digest %" PRId64, ds->digest);
		put_arrow(out, key_x(parent, zone->by_tag), parent->y + 40 + CHIP_H, x + CHIP_W / 2,
		          y, zone->by_verified, zone->by_verified ? "secure" : "bogus");
		put_chip(out, x, y, "ds", first, second);
		put_arrow(out, x + CHIP_W / 2, y + CHIP_H, key_x(zone, ds->tag),
		          zone->n_keys > 0 ? zone->y + 40 : zone->y, true, zone->state);
	}
	if (n == 0) /* nothing leads there but a proof, or not even that */
		put_arrow(out, parent->x + NODE_W / 2, parent->y + height_of(parent),
		          zone->x + NODE_W / 2, zone->y, false, zone->state);
}

static void put_node(FILE *out, const struct node *node)
{
	int h = height_of(node);

	fprintf(
	    out,
	    "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"%d\" class=\"node %s\"/>\n",
	    node->x, node->y, NODE_W, h, node->type ? 26 : 8, class_of(node->state));
	fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"strong\">", node->x + 16, node->y + 25);
	put_text(out, strcmp(node->name, ".") == 0 ? ". (root)" : node->name, 44);
	if (node->type) {
		putc(' ', out);
		put_text(out, node->type, 12);
	}
	fputs("</text>\n", out);
	put_line(out, node->x + NODE_W - 16, node->y + 25, "strong end",
	         node->state[0] ? node->state : "not judged", 16);
	if (node->type)
		put_line(out, node->x + 16, node->y + 45, "small", node->kind, COLUMNS);
	put_line(out, node->x + 16, node->y + h - 12, "small", node->reason, COLUMNS);
}

static void put_anchors(FILE *out, const struct node *zone)
{
	char text[160];

	if (zone->n_anchors == 0)
		return;
	snprintf(text, sizeof(text), "⚓ trust anchor %" PRId64 " %s", zone->anchors[0].tag,
	         zone->anchors[0].algorithm);
	put_line(out, zone->x + NODE_W / 2, zone->y + 25, "small middle", text, COLUMNS);
}

static void put_head(FILE *out, int width, int height)
{
	static const char *const classes[][2] = { { "secure", "#2e7d32" },
		                                  { "insecure", "#a87400" },
		                                  { "bogus", "#c62828" } };

	fprintf(out,
	        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
	        "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"14\">\n<style>\n"
	        "text{fill:#222}.small{font-size:11px}.strong{font-weight:bold}"
	        ".middle{text-anchor:middle}.end{text-anchor:end}\n"
	        ".node{stroke-width:2}.node.secure{fill:#f1f8f1;stroke:#2e7d32}"
	        ".node.insecure{fill:#fffaec;stroke:#a87400}"
	        ".node.bogus{fill:#fff1f0;stroke:#c62828}\n"
	        ".tight{font-size:10px}.chip{fill:#fff;stroke:#555;stroke-width:1}.chip.signs{"
	        "stroke-width:3}"
	        ".chip.ds{fill:#e8eef7}\n"
	        ".arrow{fill:none;stroke-width:2}.arrow.secure{stroke:#2e7d32}"
	        ".arrow.insecure{stroke:#a87400}.arrow.bogus{stroke:#c62828}"
	        ".broken{stroke-dasharray:6 4}\n</style>\n<defs>\n",
	        width, height, width, height);
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		fprintf(out,
		        "<marker id=\"%s\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" "
		        "markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">"
		        "<path d=\"M0 0L10 5L0 10z\" fill=\"%s\"/></marker>\n",
		        classes[i][0], classes[i][1]);
	fprintf(out, "</defs>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height);
}

static void put_foot(FILE *out, const json_t *dnssec, int width, int height)
{
	CLEANUP(free)
	char *text = text_format(
	    "%s, answered %s%s%s", json_text(dnssec, "state"), json_text(dnssec, "rcode"),
	    json_text(dnssec, "text")[0] ? ": " : "", json_text(dnssec, "text"));

	put_line(out, width / 2, height - 18, "small middle", text ? text : "?", (size_t)width / 7);
	fputs("</svg>\n", out);
}

int chain_svg_put(FILE *out, const json_t *dnssec)
{
	CLEANUP(free) struct picture *picture = calloc(1, sizeof(*picture));
	const json_t *link, *links = json_object_get(dnssec, "links");
	unsigned int columns[NODES] = { 0 };
	int width, height;
	size_t i;

	if (!picture)
		return ERR_NOMEM;
	json_array_foreach(links, i, link) take_link(picture, link);
	find_parents(picture);
	place(picture, &width, &height);
	put_head(out, width, height);
	for (unsigned int k = 0; k < picture->n; k++)
		put_node(out, &picture->nodes[k]);
	for (unsigned int k = 0; k < picture->n; k++) {
		const struct node *node = &picture->nodes[k];

		if (!node->type) {
			put_keys(out, node);
			put_more(out, node);
			put_anchors(out, node);
		}
		if (node->parent < 0)
			continue;
		if (!node->type) {
			put_ds(out, &picture->nodes[node->parent], node, columns[node->parent]);
			columns[node->parent] += MIN(node->n_ds, (unsigned int)CHIPS);
		} else {
			const struct node *zone = &picture->nodes[node->parent];

			put_arrow(out, key_x(zone, node->by_tag),
			          zone->n_keys > 0 ? zone->y + 40 + CHIP_H
			                           : zone->y + height_of(zone),
			          node->x + NODE_W / 2, node->y, node->by_verified, node->state);
		}
	}
	put_foot(out, dnssec, width, height);
	return ERR_OK;
}
