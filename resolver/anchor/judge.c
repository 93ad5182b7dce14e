#include "judge.h"

#include <openssl/evp.h>
#include <string.h>

#include "sallyport/err.h"
#include "val_key.h"
#include "val_message.h"
#include "val_verify.h"
#include "val_wire.h"

enum { ROWS = 256 }; /* records of one answer: LIMIT_RRSET_RECORDS */

/* The records as RRsets; their octets stay the payload's. */
static int read_message(const uint8_t *payload, size_t len, const uint8_t *owner,
                        struct val_message **ret_message)
{
	static const size_t begin = sizeof(struct keys_head);
	struct val_row rows[ROWS];
	const uint8_t *octets;
	struct keys_row row;
	size_t n = 0, at = begin;
	int r;

	while ((r = keys_next(payload, len, &at, &row, &octets)) > 0) {
		if (n == ROWS)
			return ERR_MALFORMED;
		rows[n++] = (struct val_row){ .owner = owner,
			                      .rdata = octets,
			                      .ttl = row.ttl,
			                      .rdata_len = row.len,
			                      .type = row.type,
			                      .section = VAL_ANSWER };
	}
	return r < 0 ? r : val_message_make(rows, n, 0, ret_message);
}

static size_t rdata_of(const struct judge_anchors *anchors, uint16_t type, struct val_rdata *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < anchors->n; i++) {
		const struct conf_anchor *anchor = &anchors->list[i];

		if (anchor->type == type && anchor->len >= 5)
			ret[n++] = (struct val_rdata){ anchor->rdata, anchor->len };
	}
	return n;
}

/* By a key that is trusted, or by one that a trusted DS names. */
static bool verify(const struct val_set *set, const struct judge_anchors *trusted,
                   const struct val_rules *rules, uint64_t now_s, struct val_verified *ret)
{
	struct val_rdata list[JUDGE_ANCHORS];
	struct val_budget budget;
	size_t n = rdata_of(trusted, VAL_TYPE_DNSKEY, list);

	val_budget_init(&budget);
	if (n > 0 &&
	    val_verify_keys(set, list, n, true, rules, now_s, &budget, ret) == VAL_WHY_NONE)
		return true;
	n = rdata_of(trusted, VAL_TYPE_DS, list);
	val_budget_init(&budget);
	return n > 0 &&
	       val_verify_keys(set, list, n, false, rules, now_s, &budget, ret) == VAL_WHY_NONE;
}

/* RFC 5011, section 2.1: the key with its REVOKE bit signs the RRset itself. */
static bool signs_itself(const struct val_set *set, const struct val_rdata *rdata,
                         const struct val_rules *rules, uint64_t now_s)
{
	struct val_keys keys = { .n = 1 };
	struct val_verified verified;
	struct val_budget budget;
	bool signs;

	if (!val_key_read(rdata, rules->sha1, &keys.keys[0]))
		return false;
	val_budget_init(&budget);
	signs = val_verify_set(set, set->owner, &keys, rules, now_s, &budget, &verified) ==
	        VAL_WHY_NONE;
	EVP_PKEY_free(keys.keys[0].pkey);
	return signs;
}

static bool digest(const EVP_MD *md, const uint8_t *owner, const struct keys_id *id, uint8_t *out)
{
	uint8_t octets[NAME_MAX_WIRE + LIMIT_ANCHOR_BYTES];
	size_t len = val_name_size(owner);

	memcpy(octets, owner, len);
	memcpy(octets + len, id->rdata, id->len);
	return EVP_Digest(octets, len + id->len, out, NULL, md, NULL) == 1;
}

static bool is_configured(const struct judge_anchors *configured, const uint8_t *owner,
                          const struct keys_id *id)
{
	const struct val_rdata key = { id->rdata, id->len };

	for (size_t i = 0; i < configured->n; i++) {
		const struct conf_anchor *anchor = &configured->list[i];
		const struct val_rdata rdata = { anchor->rdata, anchor->len };

		if (anchor->len < 5)
			continue;
		if (anchor->type == VAL_TYPE_DNSKEY
		        ? anchor->len == id->len && memcmp(anchor->rdata, id->rdata, id->len) == 0
		        : val_ds_matches(&rdata, owner, &key))
			return true;
	}
	return false;
}

static bool see_key(const struct val_set *set, const struct val_rdata *rdata,
                    const struct judge_anchors *configured, const struct val_rules *rules,
                    uint64_t now_s, struct keys_seen *ret)
{
	uint16_t flags = rdata->len > 4 ? val_u16(rdata->data) : 0;
	struct keys_id *id = &ret->id;

	if (!(flags & VAL_KEY_ZONE) || rdata->len > sizeof(id->rdata) || rdata->data[2] != 3)
		return false;
	memset(ret, 0, sizeof(*ret));
	id->len = rdata->len;
	memcpy(id->rdata, rdata->data, rdata->len);
	ret->revoked = (flags & VAL_KEY_REVOKED) != 0;
	id->rdata[1] = (uint8_t)(id->rdata[1] & ~VAL_KEY_REVOKED);
	id->tag = val_key_tag(id->rdata, id->len);
	if (ret->revoked)
		ret->self_signed = signs_itself(set, rdata, rules, now_s);
	ret->configured = is_configured(configured, set->owner, id);
	return digest(EVP_sha1(), set->owner, id, id->sha1) &&
	       digest(EVP_sha256(), set->owner, id, id->sha256) &&
	       digest(EVP_sha384(), set->owner, id, id->sha384);
}

int judge_keys(const struct judge_anchors *trusted, const struct judge_anchors *configured,
               const uint8_t *payload, size_t len, bool sha1, uint64_t now_s, struct judgement *ret)
{
	CLEANUP(val_message_free) struct val_message *message = NULL;
	struct val_rules rules = val_rules_default;
	struct val_verified verified = { 0 };
	const struct val_set *set;
	struct keys_head head;
	int r = keys_head_read(payload, len, &head);

	memset(ret, 0, sizeof(*ret));
	rules.sha1 = sha1;
	if (r == 0)
		name_lower(head.name, head.name, val_name_size(head.name));
	if (r == 0)
		r = read_message(payload, len, head.name, &message);
	if (r < 0)
		return r;
	for (size_t i = 0; i < trusted->n; i++) {
		if (!name_equal(trusted->list[i].name, head.name))
			return ERR_MALFORMED; /* of another zone than was asked for */
	}
	set = val_message_find(message, VAL_ANSWER, head.name, VAL_TYPE_DNSKEY);
	if (!set)
		return ERR_OK;
	ret->reached = true;
	ret->verified = verify(set, trusted, &rules, now_s, &verified);
	/* Of the signature that has verified: what others beside it claim, anybody may have made
	 * up. */
	ret->ttl_s = ret->verified ? verified.original_ttl_s : 0;
	ret->expires_in_s = ret->verified ? verified.life_s : 0;
	for (unsigned int i = 0; i < set->n_rrs && ret->n_keys < KEYS_SEEN_MAX; i++) {
		if (see_key(set, &set->rrs[i], configured, &rules, now_s, &ret->keys[ret->n_keys]))
			ret->n_keys++;
	}
	return ERR_OK;
}
