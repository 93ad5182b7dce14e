/* resolver/cookie.c - server cookies of RFC 9018.
 *
 *   version (1) | reserved, 3 octets | timestamp, 4 octets | SipHash-2-4, 8 octets
 *   hash over: client cookie | version | reserved | timestamp | client address (4 or 16 octets)
 */
#include "cookie.h"

#include <sodium.h>
#include <string.h>

#include "wire.h"

#define HEAD_LEN 8 /* version, reserved, timestamp */
#define HASH_LEN 8
#define MAX_AGE_S 3600  /* RFC 9018, section 4.3 */
#define MAX_AHEAD_S 300 /* clocks of servers that share the secret differ */

static void hash(const uint8_t secret[static 16], const uint8_t client[static COOKIE_CLIENT_LEN],
                 const uint8_t head[static HEAD_LEN], const uint8_t addr[static ADDR_LEN],
                 uint8_t ret_hash[static HASH_LEN])
{
	uint8_t in[COOKIE_CLIENT_LEN + HEAD_LEN + ADDR_LEN];
	size_t skip = addr_is_v4(addr) ? ADDR_LEN - 4 : 0;

	memcpy(in, client, COOKIE_CLIENT_LEN);
	memcpy(in + COOKIE_CLIENT_LEN, head, HEAD_LEN);
	memcpy(in + COOKIE_CLIENT_LEN + HEAD_LEN, addr + skip, ADDR_LEN - skip);
	crypto_shorthash(ret_hash, in, sizeof(in) - skip, secret);
}

void cookie_make(const uint8_t secret[static 16], const uint8_t client[static COOKIE_CLIENT_LEN],
                 const uint8_t addr[static ADDR_LEN], uint32_t now_s,
                 uint8_t ret_server[static COOKIE_SERVER_LEN])
{
	uint8_t head[HEAD_LEN] = { 1 };

	wire_put32(head + 4, now_s);
	memcpy(ret_server, head, HEAD_LEN);
	hash(secret, client, head, addr, ret_server + HEAD_LEN);
}

bool cookie_valid(const uint8_t secret[static 16], const struct question *q,
                  const uint8_t addr[static ADDR_LEN], uint32_t now_s)
{
	uint8_t want[HASH_LEN];
	uint32_t age;

	if (!q->cookie || q->cookie_server_len != COOKIE_SERVER_LEN || q->cookie_server[0] != 1)
		return false;
	/* Serial number arithmetic (RFC 1982): 32 bits of seconds wrap in 2106. */
	age = now_s - wire_u32(q->cookie_server + 4);
	if (age > MAX_AGE_S && age < UINT32_MAX - MAX_AHEAD_S + 1)
		return false;
	/* The reserved octets are hashed as they came (RFC 9018, section 4.2). */
	hash(secret, q->cookie_client, q->cookie_server, addr, want);
	return sodium_memcmp(want, q->cookie_server + HEAD_LEN, HASH_LEN) == 0;
}
