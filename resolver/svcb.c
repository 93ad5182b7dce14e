/* resolver/svcb.c - check and edit service bindings. */
#include "svcb.h"

#include <string.h>

#include "netclass.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "wire.h"

enum key { KEY_MANDATORY = 0, KEY_IPV4HINT = 4, KEY_IPV6HINT = 6 };

struct param {
	uint16_t key, len;
	const uint8_t *value;
};

/* The parameter at *@pos of @len octets, and step behind it. */
static int next_param(const uint8_t *rdata, size_t len, size_t *pos, struct param *ret_param)
{
	size_t left = len - *pos;

	if (left < 4 || left - 4 < wire_u16(rdata + *pos + 2))
		return ERR_MALFORMED;
	ret_param->key = wire_u16(rdata + *pos);
	ret_param->len = wire_u16(rdata + *pos + 2);
	ret_param->value = rdata + *pos + 4;
	*pos += 4u + ret_param->len;
	return ERR_OK;
}

/* Where the parameters begin, or ERR_MALFORMED. */
static int params_start(const uint8_t *rdata, size_t len)
{
	int n;

	if (len < 3)
		return ERR_MALFORMED;
	n = name_wire_len(rdata + 2, len - 2);
	return n < 0 ? ERR_MALFORMED : 2 + n;
}

/* RFC 9460, section 8: ascending, not itself, each one present. Parameters ascend as well (a record
 * where they do not is refused anyway), so one walk over both lists will do. */
static int check_mandatory(const uint8_t *rdata, size_t len, size_t pos, const struct param *p)
{
	struct param other = { 0 };

	if (p->len == 0 || p->len % 2)
		return ERR_MALFORMED;
	for (size_t i = 0; i < p->len; i += 2) {
		uint16_t key = wire_u16(p->value + i);

		while (other.key < key) {
			if (pos >= len || next_param(rdata, len, &pos, &other) < 0)
				return ERR_MALFORMED;
		}
		if (key == KEY_MANDATORY || other.key != key)
			return ERR_MALFORMED;
		if (i > 0 && key <= wire_u16(p->value + i - 2))
			return ERR_MALFORMED;
	}
	return ERR_OK;
}

int svcb_check(const uint8_t *rdata, size_t len)
{
	int start = params_start(rdata, len);
	int last = -1;

	if (start < 0)
		return start;
	for (size_t pos = (size_t)start; pos < len;) {
		struct param p;
		int r = next_param(rdata, len, &pos, &p);

		if (r < 0)
			return r;
		if (p.key <= last)
			return ERR_MALFORMED;
		last = p.key;
		if ((p.key == KEY_IPV4HINT && (p.len == 0 || p.len % 4)) ||
		    (p.key == KEY_IPV6HINT && (p.len == 0 || p.len % 16)))
			return ERR_MALFORMED;
		if (p.key == KEY_MANDATORY && check_mandatory(rdata, len, (size_t)start, &p) < 0)
			return ERR_MALFORMED;
	}
	return ERR_OK;
}

const uint8_t *svcb_target(const uint8_t *rdata)
{
	return rdata + 2;
}

static bool v4_stays(const struct svcb_filter *filter, const uint8_t *v4)
{
	uint8_t addr[ADDR_LEN];

	addr_from_v4(v4, addr);
	return !filter->drop_v4 &&
	       netclass_of(addr) > (filter->internal ? NETCLASS_NEVER : NETCLASS_INTERNAL);
}

/* A mapped address as an IPv6 hint would be used as IPv4, past what is checked for that family. */
static bool v6_stays(const struct svcb_filter *filter, const uint8_t *v6)
{
	return !filter->drop_v6 && !addr_is_v4(v6) &&
	       netclass_of(v6) > (filter->internal ? NETCLASS_NEVER : NETCLASS_INTERNAL);
}

/* Copy the addresses of a hint that may stay; returns the octets written to @out. */
static size_t strip_hint(const struct param *p, const struct svcb_filter *filter, uint8_t *out)
{
	size_t size = p->key == KEY_IPV4HINT ? 4 : 16, n = 0;

	for (size_t i = 0; i + size <= p->len; i += size) {
		const uint8_t *addr = p->value + i;

		if (size == 4 ? !v4_stays(filter, addr) : !v6_stays(filter, addr))
			continue;
		if (out)
			memcpy(out + n, addr, size);
		n += size;
	}
	return n;
}

static bool is_hint(uint16_t key)
{
	return key == KEY_IPV4HINT || key == KEY_IPV6HINT;
}

size_t svcb_strip(const uint8_t *rdata, size_t len, const struct svcb_filter *filter, uint8_t *out)
{
	int start = params_start(rdata, len);
	size_t n, pos;
	bool gone_v4 = false, gone_v6 = false;
	struct param p;

	if (start < 0)
		return 0;
	for (pos = (size_t)start; pos < len && next_param(rdata, len, &pos, &p) == 0;) {
		if (is_hint(p.key) && strip_hint(&p, filter, NULL) == 0)
			*(p.key == KEY_IPV4HINT ? &gone_v4 : &gone_v6) = true;
	}

	n = (size_t)start;
	memcpy(out, rdata, n);
	for (pos = n; pos < len && next_param(rdata, len, &pos, &p) == 0;) {
		uint8_t *value = out + n + 4;
		size_t kept = 0;

		if (is_hint(p.key)) {
			kept = strip_hint(&p, filter, value);
		} else if (p.key == KEY_MANDATORY) {
			for (size_t i = 0; i + 2 <= p.len; i += 2) {
				uint16_t key = wire_u16(p.value + i);

				if ((key == KEY_IPV4HINT && gone_v4) ||
				    (key == KEY_IPV6HINT && gone_v6))
					continue;
				wire_put16(value + kept, key);
				kept += 2;
			}
		} else {
			memcpy(value, p.value, p.len);
			kept = p.len;
		}
		if (kept == 0 && (is_hint(p.key) || p.key == KEY_MANDATORY))
			continue;
		wire_put16(out + n, p.key);
		wire_put16(out + n + 2, (unsigned int)kept);
		n += 4 + kept;
	}
	return n;
}

size_t svcb_addrs(const uint8_t *rdata, size_t len, uint8_t (*ret_addrs)[ADDR_LEN], size_t cap)
{
	int start = params_start(rdata, len);
	size_t n = 0;
	struct param p;

	if (start < 0)
		return 0;
	for (size_t pos = (size_t)start; pos < len && next_param(rdata, len, &pos, &p) == 0;) {
		size_t size = p.key == KEY_IPV4HINT ? 4 : 16;

		for (size_t i = 0; is_hint(p.key) && i + size <= p.len && n < cap; i += size) {
			if (size == 4)
				addr_from_v4(p.value + i, ret_addrs[n]);
			else
				memcpy(ret_addrs[n], p.value + i, ADDR_LEN);
			n++;
		}
	}
	return n;
}
