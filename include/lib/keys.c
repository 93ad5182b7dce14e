/* include/lib/keys.c - a DNSKEY RRset as octets, every length checked. */
#include "sallyport/keys.h"

#include <string.h>

#include "sallyport/err.h"

uint16_t keys_tag(const uint8_t *rdata, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? rdata[i] : (uint32_t)rdata[i] << 8;
	sum += sum >> 16;
	return (uint16_t)sum;
}

size_t keys_digest_len(unsigned int type)
{
	static const uint8_t lengths[KEYS_DIGESTS + 1] = { 0, 20, 32, 0, 48 };

	return type <= KEYS_DIGESTS ? lengths[type] : 0;
}

const uint8_t *keys_digest(const struct keys_id *id, unsigned int type)
{
	return type == 1 ? id->sha1 : (type == 2 ? id->sha256 : id->sha384);
}

int keys_put(uint8_t *buf, size_t cap, size_t *len, const struct keys_row *row,
             const uint8_t *octets)
{
	if (cap - *len < sizeof(*row) + row->len)
		return ERR_LIMIT;
	memcpy(buf + *len, row, sizeof(*row));
	memcpy(buf + *len + sizeof(*row), octets, row->len);
	*len += sizeof(*row) + row->len;
	return ERR_OK;
}

int keys_head_read(const uint8_t *payload, size_t len, struct keys_head *ret_head)
{
	if (len < sizeof(*ret_head))
		return ERR_MALFORMED;
	memcpy(ret_head, payload, sizeof(*ret_head));
	return name_wire_len(ret_head->name, NAME_MAX_WIRE) < 0 ? ERR_MALFORMED : ERR_OK;
}

int keys_next(const uint8_t *payload, size_t len, size_t *at, struct keys_row *ret_row,
              const uint8_t **ret_octets)
{
	if (*at >= len)
		return 0;
	if (len - *at < sizeof(*ret_row))
		return ERR_MALFORMED;
	memcpy(ret_row, payload + *at, sizeof(*ret_row));
	if (len - *at - sizeof(*ret_row) < ret_row->len)
		return ERR_MALFORMED;
	*ret_octets = payload + *at + sizeof(*ret_row);
	*at += sizeof(*ret_row) + ret_row->len;
	return 1;
}
