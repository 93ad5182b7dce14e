/* resolver/cookie.h - DNS cookies (RFC 7873) in the interoperable form of RFC 9018: SipHash-2-4,
 * version 1, 16 octets. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "question.h"
#include "sallyport/prefix.h"

#define COOKIE_SERVER_LEN 16

/* The server cookie for @client (its cookie) at @addr, made at @now_s. */
void cookie_make(const uint8_t secret[static 16], const uint8_t client[static COOKIE_CLIENT_LEN],
                 const uint8_t addr[static ADDR_LEN], uint32_t now_s,
                 uint8_t ret_server[static COOKIE_SERVER_LEN]);
/* RFC 9018, section 4.3: valid for an hour back and five minutes ahead. */
bool cookie_valid(const uint8_t secret[static 16], const struct question *q,
                  const uint8_t addr[static ADDR_LEN], uint32_t now_s);
