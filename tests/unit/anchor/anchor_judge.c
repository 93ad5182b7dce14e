/* tests/unit/anchor/anchor_judge.c - a DNSKEY RRset is believed when a trusted key signs it, a
 * revocation when the revoked key does; whatever else the resolver may have made of it is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge.h"
#include "sallyport/err.h"
#include "val_wire.h"
#include "zone.h"

#define NOW (ZONE_BASE_S + 3600)

struct made {
	struct world world;
	const struct zone *zone;
	size_t len;
	uint8_t payload[1 << 16];
	struct judge_anchors trusted, configured;
	struct judgement judgement;
};

/* The zone's keys and signatures as the resolver hands them over. */
static struct made *make(const char *zone)
{
	struct made *made = calloc(1, sizeof(*made));
	struct answer *answer = calloc(1, sizeof(*answer));
	struct keys_head head = { .name = "" };

	assert_non_null(made);
	assert_non_null(answer);
	world_init(&made->world);
	assert_null(world_zone(&made->world, zone));
	world_finish(&made->world);
	made->zone = made->world.zones[0];
	memcpy(head.name, made->zone->name, val_name_size(made->zone->name));
	memcpy(made->payload, &head, sizeof(head));
	made->len = sizeof(head);
	world_answer(&made->world, made->zone->name, VAL_TYPE_DNSKEY, answer);
	for (unsigned int i = 0; i < answer->n; i++) {
		const struct val_row *from = &answer->rows[i];
		const struct keys_row row = { from->ttl, from->type, from->rdata_len };

		if (from->section == VAL_ANSWER)
			assert_int_equal(keys_put(made->payload, sizeof(made->payload), &made->len,
			                          &row, from->rdata),
			                 ERR_OK);
	}
	free(answer);
	return made;
}

static void made_free(struct made *made)
{
	world_fini(&made->world);
	free(made);
}
DEFINE_CLEANUP(struct made *, made_free)

/* The @i-th key of the zone, not revoked, as a DNSKEY or a DS. */
static struct conf_anchor anchor_of(const struct made *made, size_t i, uint16_t type)
{
	struct key key = made->zone->keys[i].key;
	struct conf_anchor anchor = { .type = type };

	memcpy(anchor.name, made->zone->name, val_name_size(made->zone->name));
	key.rdata[1] &= 0x7f;
	key.tag = keys_tag(key.rdata, key.rdata_len);
	anchor.len = key.rdata_len;
	memcpy(anchor.rdata, key.rdata, key.rdata_len);
	if (type == VAL_TYPE_DS)
		anchor.len = (uint16_t)key_ds(&key, made->zone->name, 2, anchor.rdata);
	return anchor;
}

static int judge(struct made *made, size_t len)
{
	return judge_keys(&made->trusted, &made->configured, made->payload, len, false, NOW,
	                  &made->judgement);
}

static const struct {
	const char *title, *zone;
	int trusted; /* index of the key; -1: one that the zone does not have */
	uint16_t type;
	bool verified;
	const char *keys; /* in the order of the RRset: c configured, r revoked, s self-signed, - */
} cases[] = {
	{ "by its DS", ". 13c", 0, 43, true, "c" },
	{ "by itself", ". 13c", 0, 48, true, "c" },
	{ "by nobody whom we trust", ". 13c", -1, 48, false, "-" },
	{ "a second key stands by", ". 13c 13c#2", 0, 48, true, "c-" },
	{ "the trusted one does not sign", ". 13c.idle 13c#2", 0, 48, false, "c-" },
	{ "the trusted one is not published", ". 13c.hidden 13c#2", 0, 48, false, "-" },
	{ "revoked, by its own hand", ". 13c 13c#2.revoked", 0, 48, true, "cR" },
	{ "revoked, not by its own hand", ". 13c 13c#2.revoked.idle", 0, 48, true, "cr" },
	{ "the trusted one is revoked", ". 13c.revoked 13c#2", 0, 48, false, "C-" },
	{ "the same, by its DS", ". 13c.revoked 13c#2", 0, 43, false, "C-" },
	{ "another zone's", "sub.example. 15c", 0, 43, true, "c" },
	{ "RSA", ". 8k 8z", 0, 43, true, "c-" },
	{ "expired", ". 13c times=-14d,-1d", 0, 48, false, "c" },
	{ "no keys", ". unsigned", -1, 48, false, "" },
};

/* As the table has it: capital when it signs itself. */
static const char *keys_text(const struct judgement *judgement)
{
	static char text[KEYS_SEEN_MAX + 1];

	for (size_t i = 0; i < judgement->n_keys; i++) {
		const struct keys_seen *key = &judgement->keys[i];
		char c = key->revoked ? 'r' : '-';

		if (key->configured)
			c = 'c';
		if (key->self_signed)
			c = key->configured ? 'C' : 'R';
		text[i] = c;
	}
	text[judgement->n_keys] = '\0';
	return text;
}

static int by_letter(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

static void who_signs_decides(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(made_free) struct made *made = make(cases[i].zone);
		char got[KEYS_SEEN_MAX + 1], want[KEYS_SEEN_MAX + 1];

		made->trusted.n = 1;
		if (cases[i].trusted >= 0) {
			made->trusted.list[0] =
			    anchor_of(made, (size_t)cases[i].trusted, cases[i].type);
			made->configured = made->trusted;
		} else {
			CLEANUP(made_free) struct made *other = make(". 14c");

			made->trusted.list[0] = anchor_of(other, 0, 48);
			memcpy(made->trusted.list[0].name, made->zone->name, 1);
		}
		assert_int_equal(judge(made, made->len), ERR_OK);
		if (made->judgement.verified != cases[i].verified)
			fail_msg("%s: %sverified", cases[i].title,
			         made->judgement.verified ? "" : "not ");
		if (cases[i].verified && (made->judgement.ttl_s != 3600 ||
		                          made->judgement.expires_in_s != 14 * 86400 - 3600))
			fail_msg("%s: TTL %u, %u s", cases[i].title, made->judgement.ttl_s,
			         made->judgement.expires_in_s);
		/* An RRset has no order. */
		strcpy(got, keys_text(&made->judgement));
		strcpy(want, cases[i].keys);
		qsort(got, strlen(got), 1, by_letter);
		qsort(want, strlen(want), 1, by_letter);
		if (strcmp(got, want) != 0)
			fail_msg("%s: keys %s", cases[i].title, got);
		for (size_t k = 0; k < made->judgement.n_keys; k++)
			assert_false(made->judgement.keys[k].id.rdata[1] & 0x80);
	}
}

static void digests_are_those_of_a_ds(void **state)
{
	CLEANUP(made_free) struct made *made = make("sub.example. 13c");
	const struct keys_id *id = &made->judgement.keys[0].id;
	uint8_t ds[KEY_DS_MAX];

	(void)state;
	made->trusted.n = 1;
	made->trusted.list[0] = anchor_of(made, 0, 48);
	assert_int_equal(judge(made, made->len), ERR_OK);
	for (unsigned int digest = 1; digest <= KEYS_DIGESTS; digest++) {
		size_t len = keys_digest_len(digest);

		if (len == 0)
			continue;
		assert_int_equal(
		    key_ds(&made->zone->keys[0].key, made->zone->name, (uint8_t)digest, ds),
		    4 + len);
		assert_memory_equal(ds + 4, keys_digest(id, digest), len);
	}
}

static void what_is_asked_of_one_zone_is_not_believed_of_another(void **state)
{
	CLEANUP(made_free) struct made *made = make("sub.example. 13c");

	(void)state;
	made->trusted.n = 1;
	made->trusted.list[0] = anchor_of(made, 0, 48);
	memcpy(made->payload, "\5other\7example", 15);
	assert_int_equal(judge(made, made->len), ERR_MALFORMED);
}

static void damage_is_never_verified(void **state)
{
	CLEANUP(made_free) struct made *made = make(". 13c");
	size_t at = sizeof(struct keys_head);
	struct keys_row row;
	const uint8_t *octets;

	(void)state;
	made->trusted.n = 1;
	made->trusted.list[0] = anchor_of(made, 0, 48);
	assert_int_equal(judge(made, made->len), ERR_OK);
	assert_true(made->judgement.verified);
	for (size_t len = 0; len < made->len; len++) {
		int r = judge(made, len);

		if (r == ERR_OK && made->judgement.verified)
			fail_msg("cut to %zu octets: verified", len);
	}
	/* Each octet of key and signature counts. */
	while (keys_next(made->payload, made->len, &at, &row, &octets) > 0) {
		uint8_t *begin = made->payload + (octets - made->payload);

		for (size_t i = 0; i < row.len; i++) {
			begin[i] ^= 4;
			if (judge(made, made->len) == ERR_OK && made->judgement.verified)
				fail_msg("type %u, octet %zu changed: verified", row.type, i);
			begin[i] ^= 4;
		}
	}
}

static void append(struct made *made, const struct keys_row *row, const uint8_t *octets)
{
	assert_int_equal(keys_put(made->payload, sizeof(made->payload), &made->len, row, octets),
	                 ERR_OK);
}

/* Whoever stands between us and the zone may put signatures of his own beside the zone's, with the
 * tag and algorithm of the key that signs: what they say of TTL and end is nothing. A hold-down of
 * a century would be for ever. */
static void only_the_signature_that_verifies_tells_its_times(void **state)
{
	static const uint8_t changed[][8] = {
		{ 0, 0, 0, 0, 0, 0, 0, 0 },                        /* sorts before the zone's */
		{ 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff } /* and behind it */
	};
	CLEANUP(made_free) struct made *made = make(". 13c");
	CLEANUP(free) struct made *honest = malloc(sizeof(*honest));
	size_t at = sizeof(struct keys_head);
	struct keys_row row;
	const uint8_t *octets;

	(void)state;
	assert_non_null(honest);
	made->trusted.n = 1;
	made->trusted.list[0] = anchor_of(made, 0, 48);
	memcpy(honest->payload, made->payload, made->len);
	honest->len = made->len;
	made->len = sizeof(struct keys_head);
	while (keys_next(honest->payload, honest->len, &at, &row, &octets) > 0) {
		for (size_t i = 0; row.type == VAL_TYPE_RRSIG && i < ARRAY_LEN(changed); i++) {
			uint8_t forged[512];

			assert_in_range(row.len, 18, sizeof(forged));
			memcpy(forged, octets, row.len);
			memcpy(forged + 4, changed[i], sizeof(changed[i])); /* TTL, expiration */
			append(made, &row, forged);
		}
		append(made, &row, octets);
	}
	assert_int_equal(judge(made, made->len), ERR_OK);
	assert_true(made->judgement.verified);
	assert_int_equal(made->judgement.ttl_s, 3600);
	assert_int_equal(made->judgement.expires_in_s, 14 * 86400 - 3600);
}

/* A zone that has rolled often leaves many keys behind that are trusted and gone. */
static void the_last_of_many_trusted_keys_counts_as_the_first_does(void **state)
{
	CLEANUP(made_free) struct made *made = make(". 13c");

	(void)state;
	made->trusted.n = LIMIT_UPKEEP_KEYS;
	for (size_t i = 0; i < made->trusted.n; i++) {
		made->trusted.list[i] = anchor_of(made, 0, 48);
		made->trusted.list[i].rdata[10] ^= (uint8_t)(i + 1); /* another key */
	}
	assert_int_equal(judge(made, made->len), ERR_OK);
	assert_false(made->judgement.verified);
	made->trusted.list[made->trusted.n - 1] = anchor_of(made, 0, 48);
	assert_int_equal(judge(made, made->len), ERR_OK);
	assert_true(made->judgement.verified);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_signs_decides),
		cmocka_unit_test(digests_are_those_of_a_ds),
		cmocka_unit_test(what_is_asked_of_one_zone_is_not_believed_of_another),
		cmocka_unit_test(damage_is_never_verified),
		cmocka_unit_test(only_the_signature_that_verifies_tells_its_times),
		cmocka_unit_test(the_last_of_many_trusted_keys_counts_as_the_first_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
