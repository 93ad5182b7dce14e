/* fwsync/element.c - keys. */
#include "element.h"

#include <netinet/in.h>
#include <string.h>

#include "sallyport/err.h"

static const struct {
	const char *name;
	uint8_t addr_len;
	uint8_t kind; /* enum pinhole_proto_kind */
} sets[SET_N] = {
	[SET4] = { "pinhole4", 4, PINHOLE_KIND_PORT },
	[SET4_PROTO] = { "pinhole4_proto", 4, PINHOLE_KIND_PROTO },
	[SET4_ANY] = { "pinhole4_any", 4, PINHOLE_KIND_ANY },
	[SET6] = { "pinhole6", 16, PINHOLE_KIND_PORT },
	[SET6_PROTO] = { "pinhole6_proto", 16, PINHOLE_KIND_PROTO },
	[SET6_ANY] = { "pinhole6_any", 16, PINHOLE_KIND_ANY },
};

const char *element_set_name(enum pinhole_set set)
{
	return sets[set].name;
}

size_t element_key_len(enum pinhole_set set)
{
	size_t len = (size_t)sets[set].addr_len * 2;

	if (sets[set].kind != PINHOLE_KIND_ANY)
		len += 4;
	if (sets[set].kind == PINHOLE_KIND_PORT)
		len += 4;
	return len;
}

enum pinhole_set element_set(const struct ledger_element *element)
{
	bool v4 = addr_is_v4(element->dst);

	if (element->port.kind == PINHOLE_KIND_PORT)
		return v4 ? SET4 : SET6;
	if (element->port.kind == PINHOLE_KIND_PROTO)
		return v4 ? SET4_PROTO : SET6_PROTO;
	return v4 ? SET4_ANY : SET6_ANY;
}

size_t element_key(const struct ledger_element *element, uint8_t ret_key[static ELEMENT_KEY_MAX])
{
	enum pinhole_set set = element_set(element);
	size_t skip = ADDR_LEN - sets[set].addr_len, n = sets[set].addr_len;
	uint8_t proto = element->port.proto;

	memset(ret_key, 0, ELEMENT_KEY_MAX);
	memcpy(ret_key, element->src + skip, n);
	memcpy(ret_key + n, element->dst + skip, n);
	n *= 2;
	if (sets[set].kind != PINHOLE_KIND_ANY) {
		if (proto == IPPROTO_ICMP && sets[set].addr_len == 16)
			proto = IPPROTO_ICMPV6;
		ret_key[n] = proto;
		n += 4;
	}
	if (sets[set].kind == PINHOLE_KIND_PORT) {
		ret_key[n] = (uint8_t)(element->port.port >> 8);
		ret_key[n + 1] = (uint8_t)element->port.port;
		n += 4;
	}
	return n;
}

int element_from_key(const char *name, const uint8_t *key, size_t len,
                     struct ledger_element *ret_element)
{
	struct ledger_element e = { 0 };
	unsigned int set = 0;
	size_t n;

	while (set < SET_N && strcmp(name, sets[set].name) != 0)
		set++;
	if (set == SET_N || len != element_key_len((enum pinhole_set)set))
		return ERR_MALFORMED;
	n = sets[set].addr_len;
	if (n == 4) {
		addr_from_v4(key, e.src);
		addr_from_v4(key + 4, e.dst);
	} else {
		memcpy(e.src, key, ADDR_LEN);
		memcpy(e.dst, key + ADDR_LEN, ADDR_LEN);
	}
	n *= 2;
	e.port.kind = sets[set].kind;
	if (e.port.kind != PINHOLE_KIND_ANY)
		e.port.proto = key[n] == IPPROTO_ICMPV6 ? IPPROTO_ICMP : key[n];
	if (e.port.kind == PINHOLE_KIND_PORT)
		e.port.port = (uint16_t)(key[n + 4] << 8 | key[n + 5]);
	*ret_element = e;
	return ERR_OK;
}

void element_candidates(const uint8_t src[static ADDR_LEN], const uint8_t dst[static ADDR_LEN],
                        uint8_t proto, uint16_t port,
                        struct ledger_element ret[static ELEMENT_CANDIDATES])
{
	memset(ret, 0, ELEMENT_CANDIDATES * sizeof(*ret));
	for (int i = 0; i < ELEMENT_CANDIDATES; i++) {
		memcpy(ret[i].src, src, ADDR_LEN);
		memcpy(ret[i].dst, dst, ADDR_LEN);
	}
	if (proto == IPPROTO_ICMPV6)
		proto = IPPROTO_ICMP;
	ret[0].port = (struct pinhole_port){ PINHOLE_KIND_PORT, proto, port };
	ret[1].port = (struct pinhole_port){ PINHOLE_KIND_PROTO, proto, 0 };
	ret[2].port = (struct pinhole_port){ PINHOLE_KIND_ANY, 0, 0 };
}
