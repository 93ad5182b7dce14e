#include "nta.h"

#include <stdio.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"

struct nta *ntas_find(struct ntas *ntas, const uint8_t *name)
{
	for (size_t i = 0; i < ntas->n; i++) {
		if (name_equal(ntas->list[i].name, name))
			return &ntas->list[i];
	}
	return NULL;
}

int ntas_put(struct ntas *ntas, const struct nta *nta)
{
	struct nta *at = ntas_find(ntas, nta->name);

	if (!at && ntas->n == LIMIT_NTAS)
		return ERR_LIMIT;
	if (!at)
		at = &ntas->list[ntas->n++];
	*at = *nta;
	return ERR_OK;
}

void ntas_drop(struct ntas *ntas, const struct nta *nta)
{
	size_t i = (size_t)(nta - ntas->list);

	ntas->n--;
	memmove(&ntas->list[i], &ntas->list[i + 1], (ntas->n - i) * sizeof(*nta));
}

const struct nta *ntas_ended(const struct ntas *ntas, uint64_t now_ns)
{
	for (size_t i = 0; i < ntas->n; i++) {
		if (ntas->list[i].until_ns <= now_ns)
			return &ntas->list[i];
	}
	return NULL;
}

int nta_set_reason(struct nta *nta, const char *text)
{
	size_t len = strlen(text);

	if (len > LIMIT_NTA_REASON)
		return ERR_LIMIT;
	for (size_t i = 0; i <= len; i++) {
		unsigned char c = (unsigned char)text[i];

		nta->reason[i] = text[i];
		if (c == 0x7f || (c != '\0' && c < 0x20))
			nta->reason[i] = '?';
	}
	return ERR_OK;
}

static int on_kept(const struct store_nta *kept, void *arg)
{
	struct nta nta = { .since_ns = kept->since_ns,
		           .until_ns = kept->until_ns,
		           .uid = kept->actor.uid };
	uint8_t name[NAME_MAX_WIRE];
	int len = name_from_text(kept->name, name);

	if (len < 0 || nta_set_reason(&nta, kept->reason) < 0)
		return ERR_DAMAGED;
	name_lower(nta.name, name, (size_t)len);
	if (kept->actor.user)
		snprintf(nta.user, sizeof(nta.user), "%s", kept->actor.user);
	return ntas_put(arg, &nta);
}

int ntas_load(struct ntas *ntas, struct store *store, struct diag *diag)
{
	int r = store_nta_list(store, on_kept, ntas);

	return r < 0 ? diag_set(diag, r, "policy.db: the negative trust anchors cannot be read: %s",
	                        err_str(r))
	             : ERR_OK;
}

void ntas_tell(const struct ntas *ntas, uint64_t now_ns, struct resolver_conf *conf)
{
	for (size_t i = 0; i < ntas->n; i++) {
		const struct nta *nta = &ntas->list[i];
		struct conf_nta *to = &conf->ntas[conf->n_ntas];

		if (nta->until_ns <= now_ns || conf->n_ntas == ARRAY_LEN(conf->ntas))
			continue;
		memcpy(to->name, nta->name, sizeof(to->name));
		to->until_s = (nta->until_ns + NS_PER_S - 1) / NS_PER_S;
		conf->n_ntas++;
	}
}
