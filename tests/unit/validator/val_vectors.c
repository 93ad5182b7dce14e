/* tests/unit/validator/val_vectors.c - what the RFCs publish: keys, signatures, digests, hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "records.h"
#include "sallyport/err.h"
#include "sallyport/name.h"
#include "val_denial.h"
#include "val_seen.h"
#include "val_verify.h"
#include "val_wire.h"

static const struct {
	const char *title, *dnskey, *ds, *rrset;
	const char *owner, *type, *zone;
	uint64_t now_s; /* within the signature's time */
	uint16_t tag;
} signed_cases[] = {
	{
	    .title = "RFC 6605, section 6.1: P-256",
	    .dnskey =
		"example.net. 3600 IN DNSKEY 257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6"
		"edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
	    .ds = "example.net. 3600 IN DS 55648 13 2 "
		  "b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e277"
		  "0ce6d6e37df61d17",
	    .rrset =
		"www.example.net. 3600 IN A 192.0.2.1\n"
		"www.example.net. 3600 IN RRSIG A 13 3 3600 20100909100439 20100812100439 55648 "
		"example.net. qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLl"
		"UzGGus7ZwmwWep666VCw==",
	    .owner = "www.example.net.",
	    .type = "A",
	    .zone = "example.net.",
	    .now_s = 1282000000,
	    .tag = 55648,
	},
	{
	    .title = "RFC 6605, section 6.2: P-384",
	    .dnskey =
		"example.net. 3600 IN DNSKEY 257 3 14 xKYaNhWdGOfJ+nPrL8/arkwf2EY3MDJ+SErKivBVS"
		"um1w/egsXvSADtNJhyem5RCOpgQ6K8X1DRSEkrbYQ+OB+v8/uX45NBwY8rp65F6Glur8I/mlVNgF6W"
		"/qTI37m40",
	    .ds = "example.net. 3600 IN DS 10771 14 4 "
		  "72d7b62976ce06438e9c0bf319013cf801f09ecc84b8d7e9"
		  "495f27e305c6a9b0563a9b5f4d288405c3008a946df983d6",
	    .rrset =
		"www.example.net. 3600 IN A 192.0.2.1\n"
		"www.example.net. 3600 IN RRSIG A 14 3 3600 20100909102025 20100812102025 10771 "
		"example.net. /L5hDKIvGDyI1fcARX3z65qrmPsVz73QD1Mr5CEqOiLP95hxQouuroGCeZOvzFaxsT"
		"8Glr74hbavRKayJNuydCuzWTSSPdz7wnqXL5bdcJzusdnI0RSMROxxwGipWcJm",
	    .owner = "www.example.net.",
	    .type = "A",
	    .zone = "example.net.",
	    .now_s = 1282000000,
	    .tag = 10771,
	},
	{
	    .title = "RFC 8080, section 6.1: Ed25519, the first key",
	    .dnskey =
		"example.com. 3600 IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJ"
		"A4=",
	    .ds = "example.com. 3600 IN DS 3613 15 2 "
		  "3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964"
		  "ab55c78e79a304b",
	    .rrset =
		"example.com. 3600 IN MX 10 mail.example.com.\n"
		"example.com. 3600 IN RRSIG MX 15 2 3600 1440021600 1438207200 3613 example.com. "
		"oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMng"
		"wcrqNAg==",
	    .owner = "example.com.",
	    .type = "MX",
	    .zone = "example.com.",
	    .now_s = 1439000000,
	    .tag = 3613,
	},
	{
	    .title = "RFC 8080, section 6.1: Ed25519, the second key",
	    .dnskey =
		"example.com. 3600 IN DNSKEY 257 3 15 zPnZ/QwEe7S8C5SPz2OfS5RR40ATk2/rYnE9xHIEi"
		"js=",
	    .ds = "example.com. 3600 IN DS 35217 15 2 "
		  "401781b934e392de492ec77ae2e15d70f6575a1c0bc59c527"
		  "5c04ebe80c6614c",
	    .rrset =
		"example.com. 3600 IN MX 10 mail.example.com.\n"
		"example.com. 3600 IN RRSIG MX 15 2 3600 1440021600 1438207200 35217 example.com. "
		"zXQ0bkYgQTEFyfLyi9QoiY6D8ZdYo4wyUhVioYZXFdT410QPRITQSqJSnzQoSm5poJ7gD7AQR0O7KuI"
		"5k2pcBg==",
	    .owner = "example.com.",
	    .type = "MX",
	    .zone = "example.com.",
	    .now_s = 1439000000,
	    .tag = 35217,
	},
	{
	    .title = "RFC 8080, section 6.2: Ed448",
	    .dnskey =
		"example.com. 3600 IN DNSKEY 257 3 16 3kgROaDjrh0H2iuixWBrc8g2EpBBLCdGzHmn+G2Mp"
		"TPhpj/OiBVHHSfPodx1FYYUcJKm1MDpJtIA",
	    .ds = "example.com. 3600 IN DS 9713 16 2 "
		  "6ccf18d5bc5d7fc2fceb1d59d17321402f2aa8d368048db93"
		  "dd811f5cb2b19c7",
	    .rrset =
		"example.com. 3600 IN MX 10 mail.example.com.\n"
		"example.com. 3600 IN RRSIG MX 16 2 3600 1440021600 1438207200 9713 example.com. "
		"3cPAHkmlnxcDHMyg7vFC34l0blBhuG1qpwLmjInI8w1CMB29FkEAIJUA0amxWndkmnBZ6SKiwZSAxGI"
		"Ln/NBtOXft0+Gj7FSvOKxE/07+4RQvE581N3Aj/JtIyaiYVdnYtyMWbSNyGEY2213WKsJlwEA",
	    .owner = "example.com.",
	    .type = "MX",
	    .zone = "example.com.",
	    .now_s = 1439000000,
	    .tag = 9713,
	},
	{
	    .title = "RFC 5702, section 6.1: RSA/SHA-256",
	    .dnskey =
		"example.net. 3600 IN DNSKEY 256 3 8 AwEAAcFcGsaxxdgiuuGmCkVImy4h99CqT7jwY3pexP"
		"GcnUFtR2Fh36BponcwtkZ4cAgtvd4Qs8PkxUdp6p/DlUmObdk=",
	    .rrset =
		"www.example.net. 3600 IN A 192.0.2.91\n"
		"www.example.net. 3600 IN RRSIG A 8 3 3600 20300101000000 20000101000000 9033 "
		"example.net. kRCOH6u7l0QGy9qpC9l1sLncJcOKFLJ7GhiUOibu4teYp5VE9RncriShZNz85mwlMg"
		"NEacFYK/lPtPiVYP4bwg==",
	    .owner = "www.example.net.",
	    .type = "A",
	    .zone = "example.net.",
	    .now_s = 1282000000,
	    .tag = 9033,
	},
	{
	    .title = "RFC 5702, section 6.2: RSA/SHA-512",
	    .dnskey =
		"example.net. 3600 IN DNSKEY 256 3 10 AwEAAdHoNTOW+et86KuJOWRDp1pndvwb6Y83nSVXX"
		"yLA3DLroROUkN6X0O6pnWnjJQujX/AyhqFDxj13tOnD9u/1kTg7cV6rklMrZDtJCQ5PCl/D7QNPsgV"
		"sMu1J2Q8gpMpztNFLpPBz1bWXjDtaR7ZQBlZ3PFY12ZTSncorffcGmhOL",
	    .rrset =
		"www.example.net. 3600 IN A 192.0.2.91\n"
		"www.example.net. 3600 IN RRSIG A 10 3 3600 20300101000000 20000101000000 3740 "
		"example.net. tsb4wnjRUDnB1BUi+t6TMTXThjVnG+eCkWqjvvjhzQL1d0YRoOe0CbxrVDYd0xDtsu"
		"JRaeUw1ep94PzEWzr0iGYgZBWm/zpq+9fOuagYJRfDqfReKBzMweOLDiNa8iP5g9vMhpuv6OPlvpXwm"
		"9Sa9ZXIbNl1MBGk0fthPgxdDLw=",
	    .owner = "www.example.net.",
	    .type = "A",
	    .zone = "example.net.",
	    .now_s = 1282000000,
	    .tag = 3740,
	},
	{
	    .title = "RFC 4034, section 5.4, and RFC 4509, section 2.3: tag and digests",
	    .dnskey =
		"dskey.example.com. 86400 IN DNSKEY 256 3 5 AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx"
		"3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMmmAphXdvxegXd/M5+X7OrzKBaM"
		"bCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw==",
	    .ds = "dskey.example.com. 86400 IN DS 60485 5 1 "
		  "2BB183AF5F22588179A53B0A98631FAD1A292118\n"
		  "dskey.example.com. 86400 IN DS 60485 5 2 "
		  "D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E"
		  "99B8383F6A1E4469DA50A",
	    .zone = "dskey.example.com.",
	    .tag = 60485,
	},
};

static struct world world;

static int open_world(void **state)
{
	(void)state;
	world_init(&world);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_fini(&world);
	return 0;
}

static void published_digests_name_their_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(signed_cases); i++) {
		const char *zone = signed_cases[i].zone, *title = signed_cases[i].title;
		CLEANUP(val_message_free)
		struct val_message *keys =
		    records_message(&world, signed_cases[i].dnskey, zone, "DNSKEY", VAL_ANSWER);
		CLEANUP(val_message_free)
		struct val_message *ds = records_message(
		    &world, signed_cases[i].ds ? signed_cases[i].ds : "", zone, "DS", VAL_ANSWER);
		const struct val_rdata *key = &keys->sets[0].rrs[0];
		const uint8_t *owner = records_name(&world, zone);
		uint8_t copy[KEY_DS_MAX];

		if (val_key_tag(key->data, key->len) != signed_cases[i].tag)
			fail_msg("%s: the tag is %u", title, val_key_tag(key->data, key->len));
		for (unsigned int k = 0; ds->n_sets > 0 && k < ds->sets[0].n_rrs; k++) {
			struct val_rdata one = ds->sets[0].rrs[k];

			if (!val_ds_matches(&one, owner, key))
				fail_msg("%s: DS %u does not name the key", title, k);
			for (uint16_t at = 0; at < one.len; at++) { /* not one octet else */
				memcpy(copy, one.data, one.len);
				copy[at] ^= 1;
				if (val_ds_matches(&(struct val_rdata){ copy, one.len }, owner,
				                   key))
					fail_msg("%s: octet %u does not matter", title, at);
			}
			one.len--;
			assert_false(val_ds_matches(&one, owner, key));
		}
	}
}

static enum val_why verify_by(const struct val_set *set, const struct val_keys *keys,
                              const uint8_t *zone, const struct val_rules *rules, uint64_t now_s,
                              uint32_t *ret_checks)
{
	struct val_budget budget;
	struct val_verified verified;
	enum val_why why;

	val_budget_init(&budget);
	why = val_verify_set(set, zone, keys, rules, now_s, &budget, &verified);
	*ret_checks = LIMIT_VAL_CHECKS - budget.checks;
	return why;
}

static enum val_why verify(const struct val_set *set, const struct val_keys *keys,
                           const uint8_t *zone, uint64_t now_s)
{
	uint32_t checks;

	return verify_by(set, keys, zone, &val_rules_default, now_s, &checks);
}

static void published_signatures_verify(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(signed_cases); i++) {
		const char *title = signed_cases[i].title;
		const uint8_t *zone = records_name(&world, signed_cases[i].zone);

		if (!signed_cases[i].rrset)
			continue;

		CLEANUP(val_message_free)
		struct val_message *dnskey = records_message(
		    &world, signed_cases[i].dnskey, signed_cases[i].zone, "DNSKEY", VAL_ANSWER);
		CLEANUP(val_message_free)
		struct val_message *data =
		    records_message(&world, signed_cases[i].rrset, signed_cases[i].owner,
		                    signed_cases[i].type, VAL_ANSWER);
		CLEANUP(val_keys_unref)
		struct val_keys *keys = val_keys_make(&dnskey->sets[0], false);
		const struct val_set *set = &data->sets[0];
		uint8_t *octet = (uint8_t *)(uintptr_t)set->rrs[0].data;

		assert_int_equal(keys->n, 1);
		if (verify(set, keys, zone, signed_cases[i].now_s) != VAL_WHY_NONE)
			fail_msg("%s: does not verify", title);
		*octet ^= 1;
		if (verify(set, keys, zone, signed_cases[i].now_s) != VAL_WHY_SIGNATURE)
			fail_msg("%s: altered, it still verifies", title);
		*octet ^= 1;
	}
}

/* What has verified is not checked again; its times still are, and another octet, signature or key
 * makes it something else. */
static void what_has_verified_is_known(void **state)
{
	static const uint8_t hash_key[16] = { 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(signed_cases); i++) {
		const uint8_t *zone = records_name(&world, signed_cases[i].zone);
		uint64_t now_s = signed_cases[i].now_s;
		struct val_rules rules = val_rules_default;
		struct val_sig sig;
		uint32_t checks;

		if (!signed_cases[i].rrset)
			continue;

		CLEANUP(val_seen_free) struct val_seen *seen = val_seen_new(hash_key);
		CLEANUP(val_message_free)
		struct val_message *dnskey = records_message(
		    &world, signed_cases[i].dnskey, signed_cases[i].zone, "DNSKEY", VAL_ANSWER);
		CLEANUP(val_message_free)
		struct val_message *data =
		    records_message(&world, signed_cases[i].rrset, signed_cases[i].owner,
		                    signed_cases[i].type, VAL_ANSWER);
		CLEANUP(val_keys_unref)
		struct val_keys *keys = val_keys_make(&dnskey->sets[0], false);
		const struct val_set *set = &data->sets[0];
		uint8_t *octet = (uint8_t *)(uintptr_t)set->rrs[0].data;
		uint8_t *last = (uint8_t *)(uintptr_t)set->sigs[0].data + set->sigs[0].len - 1;

		rules.seen = seen;
		val_sig_read(&set->sigs[0], &sig);
		assert_int_equal(verify_by(set, keys, zone, &rules, now_s, &checks), VAL_WHY_NONE);
		assert_int_equal(checks, 1);
		assert_int_equal(verify_by(set, keys, zone, &rules, now_s, &checks), VAL_WHY_NONE);
		assert_int_equal(checks, 0);
		assert_int_equal(
		    verify_by(set, keys, zone, &rules, sig.expiration + 2u * 86400, &checks),
		    VAL_WHY_EXPIRED);
		*octet ^= 1;
		assert_int_equal(verify_by(set, keys, zone, &rules, now_s, &checks),
		                 VAL_WHY_SIGNATURE);
		*octet ^= 1;
		*last ^= 1;
		assert_int_equal(verify_by(set, keys, zone, &rules, now_s, &checks),
		                 VAL_WHY_SIGNATURE);
		assert_int_equal(checks, 1);
		*last ^= 1;
		keys->keys[0].id[0] ^= 1;
		assert_int_equal(verify_by(set, keys, zone, &rules, now_s, &checks), VAL_WHY_NONE);
		assert_int_equal(checks, 1);
	}
}

/* RFC 5155, appendix A: the chain of its example zone (iterations 12, salt aabbccdd, opt-out). */
static const char nsec3_chain[] =
    "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example. NSEC3 1 1 12 aabbccdd "
    "2t7b4g4vsa5smi47k61mv5bv1a22bojr MX DNSKEY NS SOA NSEC3PARAM RRSIG\n"
    "2t7b4g4vsa5smi47k61mv5bv1a22bojr.example. NSEC3 1 1 12 aabbccdd "
    "2vptu5timamqttgl4luu9kg21e0aor3s A RRSIG\n"
    "2vptu5timamqttgl4luu9kg21e0aor3s.example. NSEC3 1 1 12 aabbccdd "
    "35mthgpgcu1qg68fab165klnsnk3dpvl MX RRSIG\n"
    "35mthgpgcu1qg68fab165klnsnk3dpvl.example. NSEC3 1 1 12 aabbccdd "
    "b4um86eghhds6nea196smvmlo4ors995 NS DS RRSIG\n"
    "b4um86eghhds6nea196smvmlo4ors995.example. NSEC3 1 1 12 aabbccdd "
    "gjeqe526plbf1g8mklp59enfd789njgi MX RRSIG\n"
    "gjeqe526plbf1g8mklp59enfd789njgi.example. NSEC3 1 1 12 aabbccdd "
    "ji6neoaepv8b5o6k4ev33abha8ht9fgc HINFO A AAAA RRSIG\n"
    "ji6neoaepv8b5o6k4ev33abha8ht9fgc.example. NSEC3 1 1 12 aabbccdd "
    "k8udemvp1j2f7eg6jebps17vp3n8i58h\n"
    "k8udemvp1j2f7eg6jebps17vp3n8i58h.example. NSEC3 1 1 12 aabbccdd "
    "kohar7mbb8dc2ce8a9qvl8hon4k53uhi\n"
    "kohar7mbb8dc2ce8a9qvl8hon4k53uhi.example. NSEC3 1 1 12 aabbccdd "
    "q04jkcevqvmu85r014c7dkba38o0ji5r A RRSIG\n"
    "q04jkcevqvmu85r014c7dkba38o0ji5r.example. NSEC3 1 1 12 aabbccdd "
    "r53bq7cc2uvmubfu5ocmm6pers9tk9en A RRSIG\n"
    "r53bq7cc2uvmubfu5ocmm6pers9tk9en.example. NSEC3 1 1 12 aabbccdd "
    "t644ebqk9bibcna874givr6joj62mlhv MX RRSIG\n"
    "t644ebqk9bibcna874givr6joj62mlhv.example. NSEC3 1 1 12 aabbccdd "
    "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom HINFO A AAAA RRSIG\n";

enum ask { ASK_NODATA, ASK_NXDOMAIN, ASK_WILDCARD };

static const struct {
	const char *title, *name;
	enum ask ask;
	uint16_t type;      /* or labels of the wildcard */
	const char *owners; /* of the chain's records in the answer */
	enum val_proof want;
} nsec3_cases[] = {
	{ "A: H(example)", "example.", ASK_NODATA, 1, "0p9mh", VAL_PROOF_DENIED },
	{ "A: H(ns1.example)", "ns1.example.", ASK_NODATA, 15, "2t7b4", VAL_PROOF_DENIED },
	{ "A: H(x.y.w.example)", "x.y.w.example.", ASK_NODATA, 1, "2vptu", VAL_PROOF_DENIED },
	{ "A: H(x.w.example)", "x.w.example.", ASK_NODATA, 1, "b4um8", VAL_PROOF_DENIED },
	{ "A: H(ai.example)", "ai.example.", ASK_NODATA, 15, "gjeqe", VAL_PROOF_DENIED },
	{ "A: H(w.example)", "w.example.", ASK_NODATA, 1, "k8ude", VAL_PROOF_DENIED },
	{ "A: H(ns2.example)", "ns2.example.", ASK_NODATA, 15, "q04jk", VAL_PROOF_DENIED },
	{ "A: H(*.w.example)", "*.w.example.", ASK_NODATA, 1, "r53bq", VAL_PROOF_DENIED },
	{ "A: H(xx.example)", "xx.example.", ASK_NODATA, 15, "t644e", VAL_PROOF_DENIED },
	{ "B.1: name error", "a.c.x.w.example.", ASK_NXDOMAIN, 0, "0p9mh b4um8 35mth",
	  VAL_PROOF_OPT_OUT },
	{ "B.1 without the next closer", "a.c.x.w.example.", ASK_NXDOMAIN, 0, "b4um8 35mth",
	  VAL_PROOF_NONE },
	{ "B.1 without the encloser", "a.c.x.w.example.", ASK_NXDOMAIN, 0, "0p9mh 35mth",
	  VAL_PROOF_NONE },
	{ "B.1 without the wildcard", "a.c.x.w.example.", ASK_NXDOMAIN, 0, "0p9mh b4um8",
	  VAL_PROOF_NONE },
	{ "B.2: no data", "ns1.example.", ASK_NODATA, 15, "2t7b4", VAL_PROOF_DENIED },
	{ "B.2, but the type is there", "ns1.example.", ASK_NODATA, 1, "2t7b4", VAL_PROOF_NONE },
	{ "B.2.1: no data, empty non-terminal", "y.w.example.", ASK_NODATA, 1, "ji6ne",
	  VAL_PROOF_DENIED },
	{ "B.3: opt-out unsigned delegation", "c.example.", ASK_NODATA, VAL_TYPE_DS, "35mth 0p9mh",
	  VAL_PROOF_OPT_OUT },
	{ "B.4: wildcard expansion", "a.z.w.example.", ASK_WILDCARD, 2, "q04jk",
	  VAL_PROOF_OPT_OUT },
	{ "B.4 with another record", "a.z.w.example.", ASK_WILDCARD, 2, "0p9mh", VAL_PROOF_NONE },
	{ "B.5: wildcard no data", "a.z.w.example.", ASK_NODATA, 28, "k8ude q04jk r53bq",
	  VAL_PROOF_OPT_OUT },
	{ "B.5 without the wildcard", "a.z.w.example.", ASK_NODATA, 28, "k8ude q04jk",
	  VAL_PROOF_NONE },
	{ "B.6: DS of the child's side", "example.", ASK_NODATA, VAL_TYPE_DS, "0p9mh",
	  VAL_PROOF_NONE },
};

/* Everything of the chain, and what it still does not prove. */
#define ALL "0p9mh 2t7b4 2vptu 35mth b4um8 gjeqe ji6ne k8ude kohar q04jk r53bq t644e"

static const struct {
	const char *title, *name;
	enum ask ask;
	uint16_t type;
} unproven_cases[] = {
	{ "a name below a delegation", "x.a.example.", ASK_NXDOMAIN, 0 },
	{ "a type below a delegation", "x.a.example.", ASK_NODATA, 1 },
	{ "a type at a delegation", "a.example.", ASK_NODATA, 1 },
	{ "a DS that is there", "a.example.", ASK_NODATA, VAL_TYPE_DS },
	{ "a name that is there", "ns1.example.", ASK_NXDOMAIN, 0 },
	{ "an empty non-terminal", "y.w.example.", ASK_NXDOMAIN, 0 },
	{ "a name that a wildcard stands for", "a.z.w.example.", ASK_NXDOMAIN, 0 },
	{ "a wildcard for a name that is there", "x.w.example.", ASK_WILDCARD, 2 },
	{ "the zone itself", "example.", ASK_NXDOMAIN, 0 },
	{ "a name above the zone", ".", ASK_NXDOMAIN, 0 },
	{ "a name beside the zone", "a.test.", ASK_NXDOMAIN, 0 },
};

/* What do those records of @chain prove whose owners begin with a word of @owners? */
static enum val_proof prove(const char *chain_text, const char *owners, const char *name_text,
                            enum ask ask, uint16_t type)
{
	CLEANUP(val_message_free)
	struct val_message *chain = records_message(&world, chain_text, NULL, NULL, VAL_AUTHORITY);
	const uint8_t *name = records_name(&world, name_text);
	struct val_denial denial;
	struct val_budget budget;

	val_budget_init(&budget);
	val_denial_init(&denial, records_name(&world, "example."), &val_rules_default, &budget);
	for (size_t s = 0; s < chain->n_sets; s++) {
		char prefix[6] = { 0 };

		memcpy(prefix, chain->sets[s].owner + 1, 5);
		if (strstr(owners, prefix))
			val_denial_add(&denial, &chain->sets[s]);
	}
	switch (ask) {
	case ASK_NODATA:
		return val_denial_nodata(&denial, name, type);
	case ASK_NXDOMAIN:
		return val_denial_nxdomain(&denial, name);
	case ASK_WILDCARD:
		return val_denial_wildcard(&denial, name, type);
	}
	return VAL_PROOF_NONE;
}

static void the_proofs_of_rfc_5155_prove_and_no_part_of_them_does(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(nsec3_cases); i++) {
		enum val_proof got = prove(nsec3_chain, nsec3_cases[i].owners, nsec3_cases[i].name,
		                           nsec3_cases[i].ask, nsec3_cases[i].type);

		if (got != nsec3_cases[i].want)
			fail_msg("%s: wanted %d, got %d", nsec3_cases[i].title, nsec3_cases[i].want,
			         got);
	}
}

static void the_whole_chain_of_rfc_5155_does_not_prove_what_is_false(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(unproven_cases); i++) {
		enum val_proof got = prove(nsec3_chain, ALL, unproven_cases[i].name,
		                           unproven_cases[i].ask, unproven_cases[i].type);

		if (got != VAL_PROOF_NONE)
			fail_msg("%s: got %d", unproven_cases[i].title, got);
	}
}

/* RFC 5155, section 8.1 and 8.2; the rest would prove that ns1.example has no MX. */
static void records_that_are_not_understood_prove_nothing(void **state)
{
#define OWNER "2t7b4g4vsa5smi47k61mv5bv1a22bojr"
#define NEXT "2vptu5timamqttgl4luu9kg21e0aor3s A RRSIG\n"
	static const struct {
		const char *title, *text;
		enum val_proof want;
	} cases[] = {
		{ "as it is", OWNER ".example. NSEC3 1 1 12 aabbccdd " NEXT, VAL_PROOF_DENIED },
		{ "an unknown hash", OWNER ".example. NSEC3 2 1 12 aabbccdd " NEXT,
		  VAL_PROOF_NONE },
		{ "an unknown flag", OWNER ".example. NSEC3 1 3 12 aabbccdd " NEXT,
		  VAL_PROOF_NONE },
		{ "other iterations", OWNER ".example. NSEC3 1 1 11 aabbccdd " NEXT,
		  VAL_PROOF_NONE },
		{ "another salt", OWNER ".example. NSEC3 1 1 12 aabbccde " NEXT, VAL_PROOF_NONE },
		{ "no salt", OWNER ".example. NSEC3 1 1 12 - " NEXT, VAL_PROOF_NONE },
		{ "an owner too deep", OWNER ".x.example. NSEC3 1 1 12 aabbccdd " NEXT,
		  VAL_PROOF_NONE },
		{ "an owner of another zone", OWNER ".test. NSEC3 1 1 12 aabbccdd " NEXT,
		  VAL_PROOF_NONE },
		{ "two at one owner",
		  OWNER ".example. NSEC3 1 1 12 aabbccdd " NEXT OWNER
		        ".example. NSEC3 1 0 12 aabbccdd " NEXT,
		  VAL_PROOF_NONE },
		{ "of other iterations than the first",
		  "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example. NSEC3 1 1 12 aabbccdd " NEXT OWNER
		  ".example. NSEC3 1 1 11 aabbccdd " NEXT,
		  VAL_PROOF_NONE },
		/* the first decides with which parameters the rest is read */
		{ "behind one of other iterations",
		  "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example. NSEC3 1 1 11 aabbccdd " NEXT OWNER
		  ".example. NSEC3 1 1 12 aabbccdd " NEXT,
		  VAL_PROOF_NONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum val_proof got = prove(cases[i].text, ALL, "ns1.example.", ASK_NODATA, 15);

		if (got != cases[i].want)
			fail_msg("%s: got %d", cases[i].title, got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_digests_name_their_keys),
		cmocka_unit_test(published_signatures_verify),
		cmocka_unit_test(what_has_verified_is_known),
		cmocka_unit_test(the_proofs_of_rfc_5155_prove_and_no_part_of_them_does),
		cmocka_unit_test(the_whole_chain_of_rfc_5155_does_not_prove_what_is_false),
		cmocka_unit_test(records_that_are_not_understood_prove_nothing),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
