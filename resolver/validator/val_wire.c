/* val_wire.c - names in the canonical order. */
#include "val_wire.h"

#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/name.h"

struct labels {
	const uint8_t *at[NAME_MAX_LABELS + 1];
	unsigned int n;
};

static void split(const uint8_t *name, struct labels *labels)
{
	labels->n = 0;
	for (; *name && labels->n < NAME_MAX_LABELS; name += 1u + *name)
		labels->at[labels->n++] = name;
}

static int cmp_label(const uint8_t *a, const uint8_t *b)
{
	int order = memcmp(a + 1, b + 1, MIN(*a, *b));

	return order != 0 ? order : (int)*a - (int)*b;
}

int val_name_cmp(const uint8_t *a, const uint8_t *b)
{
	struct labels x, y;

	split(a, &x);
	split(b, &y);
	while (x.n > 0 && y.n > 0) {
		int order = cmp_label(x.at[--x.n], y.at[--y.n]);

		if (order != 0)
			return order;
	}
	return (int)x.n - (int)y.n;
}

unsigned int val_common_labels(const uint8_t *a, const uint8_t *b)
{
	struct labels x, y;
	unsigned int n = 0;

	split(a, &x);
	split(b, &y);
	while (n < MIN(x.n, y.n) && cmp_label(x.at[x.n - 1 - n], y.at[y.n - 1 - n]) == 0)
		n++;
	return n;
}

bool val_wildcard(const uint8_t *parent, uint8_t ret_name[static 255])
{
	size_t len = val_name_size(parent);

	if (len + 2 > NAME_MAX_WIRE)
		return false;
	ret_name[0] = 1;
	ret_name[1] = '*';
	memcpy(ret_name + 2, parent, len);
	return true;
}
