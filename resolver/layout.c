/* resolver/layout.c - records into a message. */
#include "layout.h"

#include <stdbool.h>
#include <string.h>

#include "rdata.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "wire.h"

/* Does the name in the message at @at, compressed as we wrote it, equal @name? */
static bool same_name(const struct layout *l, size_t at, const uint8_t *name)
{
	for (;;) {
		uint8_t n = l->msg[at];

		if (n >= 0xc0) {
			at = wire_u16(l->msg + at) & WIRE_POINTER_MAX;
			continue;
		}
		if (n != *name)
			return false;
		if (n == 0)
			return true;
		for (unsigned int i = 1; i <= n; i++) {
			if (wire_lower(l->msg[at + i]) != wire_lower(name[i]))
				return false;
		}
		at += 1u + n;
		name += 1u + n;
	}
}

struct labels {
	unsigned int n;
	uint8_t start[NAME_MAX_LABELS];
	uint32_t hash[NAME_MAX_LABELS]; /* of the suffix that begins there */
};

static void split(const uint8_t *name, struct labels *ret)
{
	uint32_t hash = 5381;

	ret->n = 0;
	for (size_t at = 0; name[at] != 0; at += 1u + name[at])
		ret->start[ret->n++] = (uint8_t)at;
	for (unsigned int i = ret->n; i-- > 0;) {
		const uint8_t *label = name + ret->start[i];

		for (unsigned int j = 0; j <= label[0]; j++)
			hash = hash * 33 + wire_lower(label[j]);
		ret->hash[i] = hash;
	}
}

/* The slot of a suffix, or the free one where it would stand. The table is never full. */
static size_t slot_of(const struct layout *l, const uint8_t *suffix, uint32_t hash)
{
	size_t i = (hash ^ hash >> 15) & (LAYOUT_SUFFIXES - 1);

	while (l->suffixes[i].at != 0 &&
	       (l->suffixes[i].hash != hash || !same_name(l, l->suffixes[i].at, suffix)))
		i = (i + 1) & (LAYOUT_SUFFIXES - 1);
	return i;
}

static void put(struct layout *l, const void *data, size_t len)
{
	if (l->error)
		return;
	if (l->cap - l->len < len) {
		l->error = ERR_LIMIT;
		return;
	}
	if (len > 0)
		memcpy(l->msg + l->len, data, len);
	l->len += len;
}

static void remember(struct layout *l, const uint8_t *name, const struct labels *labels,
                     unsigned int n, size_t at, unsigned int depth)
{
	for (unsigned int i = 0; i < n; i++) {
		size_t place = at + labels->start[i], slot;

		if (place > WIRE_POINTER_MAX || depth >= LAYOUT_DEPTH ||
		    l->n_suffixes >= LAYOUT_SUFFIXES * 3 / 4)
			return;
		slot = slot_of(l, name + labels->start[i], labels->hash[i]);
		if (l->suffixes[slot].at != 0)
			continue;
		l->suffixes[slot].hash = labels->hash[i];
		l->suffixes[slot].at = (uint16_t)place;
		l->suffixes[slot].depth = (uint16_t)depth;
		l->n_suffixes++;
	}
}

static void put_name(struct layout *l, const uint8_t *name)
{
	struct labels labels;
	size_t at = l->len;
	unsigned int i, depth = 0;
	uint8_t pointer[2];
	size_t slot = 0;

	split(name, &labels);
	for (i = 0; i < labels.n; i++) {
		slot = slot_of(l, name + labels.start[i], labels.hash[i]);
		if (l->suffixes[slot].at != 0)
			break;
	}
	if (i == labels.n) {
		put(l, name, labels.n ? labels.start[i - 1] + name[labels.start[i - 1]] + 2u : 1u);
	} else {
		depth = l->suffixes[slot].depth + 1u;
		wire_put16(pointer, 0xc000u | l->suffixes[slot].at);
		put(l, name, labels.start[i]);
		put(l, pointer, 2);
	}
	if (!l->error)
		remember(l, name, &labels, i, at, depth);
}

void layout_init(struct layout *l, uint8_t *msg, size_t cap, const uint8_t *qname)
{
	struct labels labels;
	size_t len = wire_name_len(qname);

	memset(l, 0, sizeof(*l));
	l->msg = msg;
	l->cap = cap;
	if (cap < WIRE_HEADER + len + 4) {
		l->error = ERR_LIMIT;
		return;
	}
	memset(msg, 0, WIRE_HEADER + len + 4);
	memcpy(msg + WIRE_HEADER, qname, len);
	l->len = WIRE_HEADER + len + 4;
	split(qname, &labels);
	remember(l, qname, &labels, labels.n, WIRE_HEADER, 0);
}

void layout_record(struct layout *l, const uint8_t *owner, uint16_t type, uint32_t ttl,
                   const uint8_t *rdata, size_t rdata_len, size_t *ret_ttl_at)
{
	struct rdata_cursor cursor = { rdata_layout(type), rdata, rdata_len, 0 };
	uint8_t fixed[WIRE_RR_FIXED] = { 0 };
	size_t start, pos, len;
	int field;

	put_name(l, owner);
	*ret_ttl_at = l->len + 4;
	wire_put16(fixed, type);
	wire_put16(fixed + 2, CLASS_IN);
	wire_put32(fixed + 4, ttl);
	put(l, fixed, sizeof(fixed));
	start = l->len;
	while (!l->error && (field = rdata_next(&cursor, &pos, &len)) != RDATA_END) {
		if (field < 0)
			l->error = field;
		else if (field == RDATA_NAME_1035)
			put_name(l, rdata + pos);
		else
			put(l, rdata + pos, len);
	}
	if (!l->error)
		wire_put16(l->msg + start - 2, (unsigned int)(l->len - start));
}
