/* include/lib/prefix.c - addresses and prefixes. */
#include "sallyport/prefix.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "sallyport/err.h"

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool addr_is_v4(const uint8_t addr[static ADDR_LEN])
{
	return memcmp(addr, mapped, sizeof(mapped)) == 0;
}

void addr_from_v4(const uint8_t v4[static 4], uint8_t ret_addr[static ADDR_LEN])
{
	memcpy(ret_addr, mapped, sizeof(mapped));
	memcpy(ret_addr + 12, v4, 4);
}

/* Each new answer has some: inet_ntop() would go through printf(). */
static void v4_text(const uint8_t octets[static 4], char *out)
{
	for (int i = 0; i < 4; i++) {
		unsigned int value = octets[i];

		if (value >= 100)
			*out++ = (char)('0' + value / 100);
		if (value >= 10)
			*out++ = (char)('0' + value / 10 % 10);
		*out++ = (char)('0' + value % 10);
		*out++ = i < 3 ? '.' : '\0';
	}
}

void addr_text(const uint8_t addr[static ADDR_LEN], char out[static ADDR_TEXT_LEN])
{
	if (addr_is_v4(addr))
		v4_text(addr + 12, out);
	else
		inet_ntop(AF_INET6, addr, out, ADDR_TEXT_LEN);
}

int addr_parse(const char *text, uint8_t ret_addr[static ADDR_LEN])
{
	uint8_t v4[4], v6[ADDR_LEN];

	if (inet_pton(AF_INET, text, v4) == 1)
		addr_from_v4(v4, ret_addr);
	else if (inet_pton(AF_INET6, text, v6) == 1)
		memcpy(ret_addr, v6, ADDR_LEN);
	else
		return ERR_INVAL;
	return ERR_OK;
}

int addr_from_sockaddr(const struct sockaddr *sa, uint8_t ret_addr[static ADDR_LEN],
                       uint16_t *ret_port)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		addr_from_v4((const uint8_t *)&in.sin_addr, ret_addr);
		*ret_port = ntohs(in.sin_port);
		return ERR_OK;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		memcpy(ret_addr, &in6.sin6_addr, ADDR_LEN);
		*ret_port = ntohs(in6.sin6_port);
		return ERR_OK;
	}
	return ERR_INVAL;
}

socklen_t addr_to_sockaddr(const uint8_t addr[static ADDR_LEN], uint16_t port,
                           struct sockaddr_storage *ret_sa)
{
	memset(ret_sa, 0, sizeof(*ret_sa));
	if (addr_is_v4(addr)) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

		memcpy(&in.sin_addr, addr + 12, 4);
		memcpy(ret_sa, &in, sizeof(in));
		return sizeof(in);
	}

	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memcpy(&in6.sin6_addr, addr, ADDR_LEN);
	memcpy(ret_sa, &in6, sizeof(in6));
	return sizeof(in6);
}

/* Clear the bits behind @len; tells whether any was set. */
static bool clear_host_bits(uint8_t addr[static ADDR_LEN], unsigned int len)
{
	bool set = false;

	for (unsigned int bit = len; bit < 128; bit++) {
		uint8_t mask = (uint8_t)(0x80 >> (bit % 8));

		set |= addr[bit / 8] & mask;
		addr[bit / 8] &= (uint8_t)~mask;
	}
	return set;
}

int prefix_parse(const char *text, struct prefix *ret_prefix)
{
	const char *slash = strchr(text, '/');
	char addr[ADDR_TEXT_LEN];
	struct prefix prefix;
	unsigned int len, max;

	if (slash) {
		if ((size_t)(slash - text) >= sizeof(addr))
			return ERR_INVAL;
		memcpy(addr, text, (size_t)(slash - text));
		addr[slash - text] = '\0';
	}
	if (addr_parse(slash ? addr : text, prefix.addr) < 0)
		return ERR_INVAL;
	max = addr_is_v4(prefix.addr) ? 32 : 128;
	len = max;
	if (slash) {
		const char *p = slash + 1;

		if (*p < '0' || *p > '9' || (p[0] == '0' && p[1]))
			return ERR_INVAL;
		for (len = 0; *p >= '0' && *p <= '9' && len <= 128; p++)
			len = len * 10 + (unsigned int)(*p - '0');
		if (*p || len > max)
			return ERR_INVAL;
	}
	if (max == 32)
		len += 96;
	prefix.len = (uint8_t)len;

	bool extra = clear_host_bits(prefix.addr, len);

	*ret_prefix = prefix;
	return extra ? ERR_CONFIG : ERR_OK;
}

bool prefix_is_v4(const struct prefix *prefix)
{
	return prefix->len >= 96 && addr_is_v4(prefix->addr);
}

void prefix_text(const struct prefix *prefix, char out[static PREFIX_TEXT_LEN])
{
	bool v4 = prefix_is_v4(prefix);
	unsigned int len = v4 ? prefix->len - 96u : prefix->len;
	size_t n;

	addr_text(prefix->addr, out);
	n = strlen(out);
	if (len != (v4 ? 32 : 128))
		snprintf(out + n, PREFIX_TEXT_LEN - n, "/%u", len);
}

bool prefix_has(const struct prefix *prefix, const uint8_t addr[static ADDR_LEN])
{
	unsigned int whole = prefix->len / 8, rest = prefix->len % 8;

	if (prefix->len > 128 || memcmp(prefix->addr, addr, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	return ((prefix->addr[whole] ^ addr[whole]) & (uint8_t)(0xff00 >> rest)) == 0;
}
