/* val_anchor.c - a short list, searched from front to back. */
#include "val_anchor.h"

#include <stdbool.h> /* before ldns, which would define bool as signed char */

#include <ldns/ldns.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"
#include "sallyport/name.h"
#include "val_wire.h"

struct val_anchors {
	size_t n;
	struct val_anchor *list[VAL_ANCHORS];
};

struct val_anchors *val_anchors_new(void)
{
	return calloc(1, sizeof(struct val_anchors));
}

static void anchor_free(struct val_anchor *anchor)
{
	for (size_t i = 0; i < anchor->n_ds; i++)
		free((uint8_t *)(uintptr_t)anchor->ds[i].data);
	for (size_t i = 0; i < anchor->n_keys; i++)
		free((uint8_t *)(uintptr_t)anchor->keys[i].data);
	free(anchor);
}

void val_anchors_free(struct val_anchors *anchors)
{
	if (!anchors)
		return;
	for (size_t i = 0; i < anchors->n; i++)
		anchor_free(anchors->list[i]);
	free(anchors);
}

static int find_or_make(struct val_anchors *anchors, const uint8_t *name, bool negative,
                        struct val_anchor **ret_anchor)
{
	struct val_anchor *anchor;

	for (size_t i = 0; i < anchors->n; i++) {
		*ret_anchor = anchors->list[i];
		if ((*ret_anchor)->negative == negative && name_equal((*ret_anchor)->name, name))
			return ERR_OK;
	}
	if (anchors->n == VAL_ANCHORS)
		return ERR_LIMIT;
	anchor = calloc(1, sizeof(*anchor));
	if (!anchor)
		return ERR_NOMEM;
	name_lower(anchor->name, name, val_name_size(name));
	anchor->negative = negative;
	anchors->list[anchors->n++] = anchor;
	*ret_anchor = anchor;
	return ERR_OK;
}

int val_anchors_add(struct val_anchors *anchors, const uint8_t *name, uint16_t type,
                    const uint8_t *rdata, size_t len)
{
	struct val_anchor *anchor;
	struct val_rdata *list;
	size_t *n;
	uint8_t *copy;
	int r;

	if ((type != VAL_TYPE_DS && type != VAL_TYPE_DNSKEY) || len < 5 || len > UINT16_MAX)
		return ERR_INVAL;
	r = find_or_make(anchors, name, false, &anchor);
	if (r < 0)
		return r;
	list = type == VAL_TYPE_DS ? anchor->ds : anchor->keys;
	n = type == VAL_TYPE_DS ? &anchor->n_ds : &anchor->n_keys;
	if (*n == VAL_ANCHOR_RECORDS)
		return ERR_LIMIT;
	copy = malloc(len);
	if (!copy)
		return ERR_NOMEM;
	memcpy(copy, rdata, len);
	list[(*n)++] = (struct val_rdata){ copy, (uint16_t)len };
	return ERR_OK;
}

int val_anchors_add_negative(struct val_anchors *anchors, const uint8_t *name, uint64_t until_s)
{
	struct val_anchor *anchor;
	size_t before = anchors->n;
	int r = find_or_make(anchors, name, true, &anchor);

	if (r < 0)
		return r;
	if (anchors->n > before)
		anchor->until_s = until_s;
	else if (anchor->until_s != 0)
		anchor->until_s = until_s == 0 ? 0 : MAX(anchor->until_s, until_s);
	return ERR_OK;
}

static void rr_free_cleanup(ldns_rr **rr)
{
	ldns_rr_free(*rr);
}
static void buffer_free_cleanup(ldns_buffer **buffer)
{
	ldns_buffer_free(*buffer);
}

static int add_rr(struct val_anchors *anchors, const ldns_rr *rr)
{
	CLEANUP(buffer_free) ldns_buffer *rdata = ldns_buffer_new(UINT16_MAX);
	const ldns_rdf *owner = ldns_rr_owner(rr);

	if (!rdata)
		return ERR_NOMEM;
	if (ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN ||
	    ldns_rr_rdata2buffer_wire(rdata, rr) != LDNS_STATUS_OK)
		return ERR_INVAL;
	return val_anchors_add(anchors, ldns_rdf_data(owner), (uint16_t)ldns_rr_get_type(rr),
	                       ldns_buffer_begin(rdata), ldns_buffer_position(rdata));
}

/* A line without what a comment says; NULL when nothing is left. */
static const char *strip(char *line)
{
	line[strcspn(line, ";\r")] = '\0';
	line += strspn(line, " \t");
	return *line ? line : NULL;
}

int val_anchors_read(struct val_anchors *anchors, const char *text, unsigned int *ret_line)
{
	unsigned int n = 0;

	while (*text) {
		size_t len = strcspn(text, "\n");
		CLEANUP(free) char *copy = strndup(text, len);
		CLEANUP(rr_free) ldns_rr *rr = NULL;
		const char *line = copy ? strip(copy) : NULL;
		int r = ERR_OK;

		*ret_line = ++n;
		text += len + (text[len] == '\n');
		if (!copy)
			return ERR_NOMEM;
		if (!line)
			continue;
		if (ldns_rr_new_frm_str(&rr, line, 0, NULL, NULL) != LDNS_STATUS_OK)
			return ERR_MALFORMED;
		r = add_rr(anchors, rr);
		if (r < 0)
			return r == ERR_INVAL ? ERR_MALFORMED : r;
	}
	return ERR_OK;
}

const struct val_anchor *val_anchors_above(const struct val_anchors *anchors, const uint8_t *name,
                                           uint64_t now_s)
{
	const struct val_anchor *deepest = NULL;

	for (size_t i = 0; i < anchors->n; i++) {
		const struct val_anchor *anchor = anchors->list[i];

		if (!name_is_under(name, anchor->name) ||
		    (anchor->negative && anchor->until_s != 0 && anchor->until_s <= now_s))
			continue;
		/* Of two at one name the negative one counts: somebody put it there by hand. */
		if (!deepest || name_labels(anchor->name) > name_labels(deepest->name) ||
		    (name_equal(anchor->name, deepest->name) && anchor->negative))
			deepest = anchor;
	}
	return deepest;
}
