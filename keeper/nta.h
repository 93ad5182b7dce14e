/* keeper/nta.h - negative trust anchors (RFC 7646): names below which nothing is validated, for a
 * while.
 *
 * The configuration has some, a command sets others. Those live in policy.db, and end by
 * themselves: the resolver goes by their time, the keeper takes them out of the store.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/store.h"
#include "sallyport/limits.h"
#include "sallyport/name.h"
#include "sallyport/role.h"

#define NTA_USER_LEN 64

struct nta {
	uint8_t name[NAME_MAX_WIRE + 1]; /* lower case */
	uint64_t since_ns;               /* 0: the configuration's */
	uint64_t until_ns;
	uint32_t uid;
	char user[NTA_USER_LEN]; /* "": nobody's name is known */
	char reason[LIMIT_NTA_REASON + 1];
};
struct ntas {
	struct nta list[LIMIT_NTAS];
	size_t n;
};

struct nta *ntas_find(struct ntas *ntas, const uint8_t *name); /* or NULL */
/* Add @nta, or put it in the place of the one with its name. Returns 0 or ERR_LIMIT. */
int ntas_put(struct ntas *ntas, const struct nta *nta) MUST_CHECK;
void ntas_drop(struct ntas *ntas, const struct nta *nta); /* one of the list */
/* One that has ended, or NULL. */
const struct nta *ntas_ended(const struct ntas *ntas, uint64_t now_ns);
/* What @store has kept. Returns 0, or an error that is in @diag. */
int ntas_load(struct ntas *ntas, struct store *store, struct diag *diag) MUST_CHECK;
/* Those that have not ended go to the end of @conf's list; it has room for two lists. */
void ntas_tell(const struct ntas *ntas, uint64_t now_ns, struct resolver_conf *conf);
/* A reason as it is kept: at most LIMIT_NTA_REASON octets, no control characters. Returns 0 or
 * ERR_LIMIT. */
int nta_set_reason(struct nta *nta, const char *text) MUST_CHECK;
