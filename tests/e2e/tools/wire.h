/* tests/e2e/tools/wire.h - the few octets of DNS that the test programs need. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Write a query for "x<index>.<suffix>" with EDNS into @out (512 octets); returns its length. */
size_t wire_query(uint8_t *out, uint16_t id, const char *prefix, uint64_t index, const char *suffix,
                  uint16_t type);
/* Position behind the name at @pos (compressed or not), or 0 when it is broken. */
size_t wire_skip_name(const uint8_t *msg, size_t len, size_t pos);
/* Socket address from "192.0.2.1" or "2001:db8::1" and a port. Exits on an error. */
socklen_t wire_address(const char *text, unsigned int port, struct sockaddr_storage *ret_sa);
uint64_t wire_now_ns(void);
void wire_die(const char *what) __attribute__((noreturn));
