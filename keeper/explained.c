/* keeper/explained.c - rows of an explanation as JSON. */
#include "explained.h"

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/verdict.h"

#define DNSKEY_ZONE 0x0100
#define DNSKEY_REVOKED 0x0080
#define DNSKEY_SEP 0x0001
#define TYPE_DS 43

static json_t *text(const struct explain_view *view, enum explain_text which)
{
	char copy[LIMIT_EXPLAIN_TEXT];
	size_t len = view->row.text_len[which];

	for (size_t i = 0; i < len; i++) {
		char c = view->text[which][i];

		copy[i] = c >= 0x20 && c < 0x7f ? c : '?';
	}
	return len ? json_stringn(copy, len) : json_null();
}

static json_t *type_text(uint16_t type)
{
	char out[NAME_TYPE_TEXT_LEN];

	name_type_text(type, out);
	return type ? json_string(out) : json_null();
}

/* A signature's moment is told modulo 2^32 seconds: the one that is nearest to now is meant (RFC
 * 4034, section 3.1.5). None lies before 1970: what is nearest there is shown as its first second.
 */
static json_t *moment(uint32_t serial)
{
	char out[CLOCK_RFC3339_LEN];
	uint64_t now_s = clock_wall_ns() / NS_PER_S;
	uint32_t ahead = serial - (uint32_t)now_s;
	uint32_t behind = (uint32_t)now_s - serial;
	uint64_t s = ahead <= INT32_MAX ? now_s + ahead : now_s - MIN(now_s, (uint64_t)behind);

	clock_rfc3339(s * NS_PER_S, out);
	return json_string(out);
}

static const char *outcome_str(const struct explain_row *row)
{
	static const char *const whats[] = { [EXPLAIN_NODATA] = "nodata",
		                             [EXPLAIN_NXDOMAIN] = "nxdomain",
		                             [EXPLAIN_DATA] = "data",
		                             [EXPLAIN_ALIAS] = "alias" };
	static const char *const fits[] = {
		[EXPLAIN_COVERS] = "covers", [EXPLAIN_MATCHES] = "matches"
	};
	static const char *const proofs[] = {
		[EXPLAIN_PROOF_NONE] = "unproven",       [EXPLAIN_PROOF_DENIED] = "denied",
		[EXPLAIN_PROOF_OPT_OUT] = "opt out",     [EXPLAIN_PROOF_TOO_MUCH] = "iterations",
		[EXPLAIN_PROOF_EXCESSIVE] = "excessive", [EXPLAIN_PROOF_LIMIT] = "limit"
	};
	static const char *const trusts[] = { [EXPLAIN_TRUST_BOGUS] = "bogus",
		                              [EXPLAIN_TRUST_NO_CUT] = "no cut",
		                              [EXPLAIN_TRUST_NOT_THERE] = "not there",
		                              [EXPLAIN_TRUST_INSECURE] = "insecure",
		                              [EXPLAIN_TRUST_SECURE] = "secure" };
	static const char *const ends[] = { [EXPLAIN_FAILED] = "failed",
		                            [EXPLAIN_BUSY] = "busy",
		                            [EXPLAIN_DENIED] = "denied",
		                            [EXPLAIN_BOGUS] = "bogus",
		                            [EXPLAIN_ANSWERED] = "answered" };
	static const struct {
		const char *const *texts;
		size_t n;
	} of[EXPLAIN_KIND_N] = {
		[EXPLAIN_LINK] = { whats, ARRAY_LEN(whats) },
		[EXPLAIN_PROOF] = { fits, ARRAY_LEN(fits) },
		[EXPLAIN_DENIAL] = { proofs, ARRAY_LEN(proofs) },
		[EXPLAIN_TRUST] = { trusts, ARRAY_LEN(trusts) },
		[EXPLAIN_ZONE] = { trusts, ARRAY_LEN(trusts) },
		[EXPLAIN_END] = { ends, ARRAY_LEN(ends) },
	};

	return row->outcome < of[row->kind].n ? of[row->kind].texts[row->outcome] : "?";
}

static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static void set_why(json_t *object, const struct explain_view *view)
{
	set(object, "why", text(view, EXPLAIN_WHY));
	set(object, "reason", text(view, EXPLAIN_REASON));
	set(object, "rfc", text(view, EXPLAIN_RULE));
}

static void set_key(json_t *object, const struct explain_row *row)
{
	const char *name = explain_algorithm_str(row->algorithm);

	set(object, "tag", json_integer(row->tag));
	set(object, "algorithm", json_integer(row->algorithm));
	set(object, "algorithm_name", name ? json_string(name) : json_null());
}

static json_t *step(const struct explain_view *view)
{
	const struct explain_row *row = &view->row;
	json_t *object = json_object();

	set(object, "step", json_string(explain_kind_str(row->kind)));
	set(object, "name", text(view, EXPLAIN_NAME));
	if (row->kind != EXPLAIN_KEY)
		set(object, "type", type_text(row->type));
	switch ((enum explain_kind)row->kind) {
	case EXPLAIN_ASKED:
		set(object, "answered", json_boolean(row->outcome == EXPLAIN_YES));
		break;
	case EXPLAIN_ANCHOR:
	case EXPLAIN_DS:
	case EXPLAIN_MATCH:
		set_key(object, row);
		set(object, "digest",
		    row->type == TYPE_DS ? json_integer(row->digest) : json_null());
		if (row->kind != EXPLAIN_MATCH)
			break;
		set(object, "verified", json_boolean(row->text_len[EXPLAIN_WHY] == 0));
		set_why(object, view);
		break;
	case EXPLAIN_KEY:
		set_key(object, row);
		set(object, "flags", json_integer(row->flags));
		set(object, "zone_key", json_boolean(row->flags & DNSKEY_ZONE));
		set(object, "sep", json_boolean(row->flags & DNSKEY_SEP));
		set(object, "revoked", json_boolean(row->flags & DNSKEY_REVOKED));
		break;
	case EXPLAIN_SIGNATURE:
		set(object, "signer", text(view, EXPLAIN_ZONE_NAME));
		set_key(object, row);
		set(object, "labels", json_integer(row->labels));
		set(object, "inception", moment(row->inception));
		set(object, "expiration", moment(row->expiration));
		set(object, "verified", json_boolean(row->text_len[EXPLAIN_WHY] == 0));
		set_why(object, view);
		break;
	case EXPLAIN_PROOF:
		set(object, "owner", text(view, EXPLAIN_ZONE_NAME));
		set(object, "data", text(view, EXPLAIN_TEXT));
		set(object, "fit", json_string(outcome_str(row)));
		break;
	case EXPLAIN_DENIAL:
		set(object, "outcome", json_string(outcome_str(row)));
		break;
	case EXPLAIN_TRUST:
	case EXPLAIN_ZONE:
		set(object, "outcome", json_string(outcome_str(row)));
		set(object, "tag", row->tag ? json_integer(row->tag) : json_null());
		set_why(object, view);
		break;
	case EXPLAIN_LINK:
	case EXPLAIN_VERDICT:
	case EXPLAIN_END:
	case EXPLAIN_KIND_N:
		break;
	}
	return object;
}

static json_t *link_begun(const struct explain_view *view)
{
	const struct explain_row *row = &view->row;

	return json_pack("{s:o,s:o,s:s,s:o,s:o,s:i,s:n,s:[]}", "name", text(view, EXPLAIN_NAME),
	                 "type", type_text(row->type), "kind", outcome_str(row), "target",
	                 text(view, EXPLAIN_ZONE_NAME), "upstream", text(view, EXPLAIN_TEXT),
	                 "attempt", (int)row->attempt, "state", "steps");
}

static void link_judged(json_t *link, const struct explain_view *view)
{
	const struct explain_row *row = &view->row;

	set(link, "state", json_string(dnssec_state_str(row->outcome)));
	set_why(link, view);
	set(link, "decided_at", text(view, EXPLAIN_NAME));
	set(link, "decided_type", type_text(row->type));
	set(link, "zone", text(view, EXPLAIN_ZONE_NAME));
	set(link, "tag", row->tag ? json_integer(row->tag) : json_null());
	set(link, "ttl", json_integer(row->ttl_s));
}

static void end_told(json_t *object, const struct explain_view *view)
{
	const struct explain_row *row = &view->row;
	char rcode[NAME_RCODE_TEXT_LEN];

	name_rcode_text(row->rcode, rcode);
	set(object, "outcome", json_string(outcome_str(row)));
	set(object, "state", json_string(dnssec_state_str(row->state)));
	set(object, "rcode", json_string(rcode));
	set(object, "ede", row->ede != UINT16_MAX ? json_integer(row->ede) : json_null());
	set(object, "text", text(view, EXPLAIN_TEXT));
	set(object, "cut", json_boolean(row->cut));
}

json_t *explained_json(const uint8_t *rows, size_t len, struct explain_row *ret_end)
{
	json_t *object = json_pack("{s:[]}", "links"), *link = NULL;
	struct explain_view view;
	bool ended = false;
	size_t pos = 0;
	int r;

	while ((r = explain_row_read(rows, len, &pos, &view)) > 0 && !ended) {
		if (view.row.kind == EXPLAIN_LINK) {
			link = link_begun(&view);
			json_array_append_new(json_object_get(object, "links"), link);
		} else if (view.row.kind == EXPLAIN_END) {
			end_told(object, &view);
			*ret_end = view.row;
			ended = true;
		} else if (!link) {
			r = ERR_MALFORMED;
			break;
		} else if (view.row.kind == EXPLAIN_VERDICT) {
			link_judged(link, &view);
		} else {
			json_array_append_new(json_object_get(link, "steps"), step(&view));
		}
	}
	if (r != 0 || !ended) { /* or something stands behind the end */
		json_decref(object);
		return NULL;
	}
	return object;
}
