#include "record_json.h"

#include <inttypes.h>
#include <netinet/in.h>

#include "json.h"
#include "sallyport/clock.h"
#include "sallyport/name.h"
#include "text.h"

/* Numbers beyond what JSON's readers take for integers do not occur in practice; should one, it is
 * written as text rather than as another number. */
static json_t *number(uint64_t value)
{
	char text[24];

	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	snprintf(text, sizeof(text), "%" PRIu64, value);
	return json_string(text);
}

static json_t *moment(uint64_t ns)
{
	char text[CLOCK_RFC3339_LEN];

	if (ns == 0)
		return json_null();
	clock_rfc3339(ns, text);
	return json_string(text);
}

static json_t *name(const char *text)
{
	CLEANUP(free) char *escaped = NULL;

	if (!text)
		return json_null();
	escaped = text_escape(TEXT_NAME, text);
	return escaped ? json_string(escaped) : NULL;
}

static json_t *address(bool known, const uint8_t addr[static ADDR_LEN])
{
	char text[ADDR_TEXT_LEN];

	if (!known)
		return json_null();
	addr_text(addr, text);
	return json_string(text);
}

static json_t *type_text(uint16_t type)
{
	char text[NAME_TYPE_TEXT_LEN];

	name_type_text(type, text);
	return json_string(text);
}

static json_t *proto_text(uint8_t proto)
{
	return json_string(proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : "?");
}

static json_t *rcode(unsigned int value)
{
	char text[NAME_RCODE_TEXT_LEN];

	name_rcode_text(value, text);
	return json_string(text);
}

static json_t *addresses(const struct history_row *row)
{
	CLEANUP(json_decref) json_t *array = json_array();

	for (size_t i = 0; i < row->n_answers; i++) {
		if (row->answers[i].has_addr &&
		    json_array_append_new(array, address(true, row->answers[i].addr)) < 0)
			return NULL;
	}
	return TAKE(array);
}

static json_t *answers(const struct history_row *row)
{
	CLEANUP(json_decref) json_t *array = json_array();

	for (size_t i = 0; i < row->n_answers; i++) {
		const struct history_answer *answer = &row->answers[i];
		json_t *object =
		    json_pack("{s:o, s:o, s:I, s:o}", "name", name(answer->name), "type",
		              type_text(answer->type), "ttl", (json_int_t)answer->ttl, "data",
		              json_safe(answer->data));

		if (json_array_append_new(array, object) < 0)
			return NULL;
	}
	return TAKE(array);
}

static json_t *flags(uint16_t bits)
{
	static const struct {
		uint16_t bit;
		const char *text;
	} names[] = {
		{ RECORD_STALE, "stale" },
		{ RECORD_TRUNCATED, "tc" },
		{ RECORD_AD, "ad" },
		{ RECORD_CD, "cd" },
		{ RECORD_DO, "do" },
		{ RECORD_OBSERVED, "observed" },
		{ RECORD_STRIPPED, "stripped" },
		{ RECORD_SYNTHESIZED, "synthesized" },
		{ RECORD_UNANSWERED, "unanswered" },
	};
	json_t *array = json_array();

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (bits & names[i].bit)
			json_array_append_new(array, json_string(names[i].text));
	}
	return array;
}

/* Sets in order; the first failure sticks. Consumes @value. */
static void set(json_t **object, const char *key, json_t *value)
{
	if (*object && json_object_set_new(*object, key, value) < 0) {
		json_decref(*object);
		*object = NULL;
	} else if (!*object) {
		json_decref(value);
	}
}

static json_t *gap_json(const struct history_row *row)
{
	json_t *object = json_object();
	json_t *lost = json_object();

	for (unsigned int i = 0; i < VERDICT_N; i++)
		set(&lost, verdict_kind_str(i), number(row->lost[i]));
	set(&object, "gap", json_string(history_gap_str(row->gap)));
	set(&object, "time", moment(row->time_ns));
	set(&object, "last", moment(row->last_ns));
	set(&object, "lost", lost);
	set(&object, "kernel_drops", number(row->kernel_drops));
	set(&object, "note", json_safe(row->note));
	return object;
}

static void set_who(json_t **object, const struct history_row *row)
{
	set(object, "workload", json_safe(row->workload));
	set(object, "profile", json_safe(row->profile));
	set(object, "client", address(row->has_client, row->client));
	set(object, "client_port", row->has_client ? number(row->client_port) : json_null());
	set(object, "proto", proto_text(row->proto));
}

static void set_verdict(json_t **object, const struct history_row *row)
{
	set(object, "verdict", json_string(verdict_kind_str(row->verdict)));
	set(object, "reason", json_string(reason_str(row->reason)));
	set(object, "rule", json_safe(row->rule));
	set(object, "policy_version", number(row->policy_version));
	set(object, "rcode", rcode(row->rcode));
	set(object, "ede", row->ede == RECORD_NO_EDE ? json_null() : number(row->ede));
	set(object, "dnssec", json_string(dnssec_state_str(row->dnssec)));
}

static void set_rest(json_t **object, const struct history_row *row)
{
	set(object, "ttl", number(row->ttl));
	set(object, "feed", json_safe(row->feed));
	set(object, "rule_file", json_safe(row->rule_file));
	set(object, "rule_line", row->rule ? number(row->rule_line) : json_null());
	set(object, "upstream_port", row->has_upstream ? number(row->upstream_port) : json_null());
	set(object, "flags", flags(row->flags));
	if (row->class != 1)
		set(object, "class", number(row->class));
	if (row->count > 1)
		set(object, "last_id", number(row->last_id));
	if (row->merged)
		set(object, "merged", json_true());
	if (row->answers_cut)
		set(object, "answers_cut", json_true());
}

static json_t *query_json(const struct history_row *row)
{
	json_t *object = json_object();

	set(&object, "id", number(row->id));
	set(&object, "time", moment(row->time_ns));
	if (row->count > 1)
		set(&object, "last", moment(row->last_ns));
	set_who(&object, row);
	/* A message whose question could not be read has neither. */
	set(&object, "name", row->name[0] ? name(row->name) : json_null());
	set(&object, "type", row->name[0] ? type_text(row->type) : json_null());
	set_verdict(&object, row);
	set(&object, "addresses", row->answers_unknown ? json_null() : addresses(row));
	set(&object, "answers", row->answers_unknown ? json_null() : answers(row));
	set(&object, "cached", json_boolean(row->flags & RECORD_CACHED));
	set(&object, "upstream", address(row->has_upstream, row->upstream));
	set(&object, "latency_us", number(row->latency_us));
	set(&object, "count", number(row->count));
	set_rest(&object, row);
	return object;
}

json_t *record_json(const struct history_row *row)
{
	return row->kind == HISTORY_GAP ? gap_json(row) : query_json(row);
}

json_t *record_top_json(enum history_top what, const struct history_top_row *row)
{
	json_t *object = json_object();

	if (what == HISTORY_TOP_WORKLOADS)
		set(&object, "workload", json_safe(row->text));
	else
		set(&object, "name", row->text[0] ? name(row->text) : json_null());
	set(&object, "count", number(row->count));
	set(&object, "denied", number(row->denied));
	if (what != HISTORY_TOP_WORKLOADS)
		set(&object, "workloads", number(row->n_workloads));
	set(&object, "last", moment(row->last_ns));
	return object;
}

json_t *record_who_json(const struct history_who *who)
{
	json_t *object = json_object();

	set(&object, "address", address(true, who->addr));
	set(&object, "workload", json_safe(who->workload));
	set(&object, "profile", json_safe(who->profile));
	set(&object, "client", address(who->has_client, who->client));
	set(&object, "name", name(who->name));
	set(&object, "type", type_text(who->type));
	set(&object, "owner", name(who->owner));
	set(&object, "first", moment(who->first_ns));
	set(&object, "last", moment(who->last_ns));
	set(&object, "until", moment(who->until_ns));
	set(&object, "count", number(who->count));
	set(&object, "ttl", number(who->ttl));
	set(&object, "rule", json_safe(who->rule));
	set(&object, "policy_version", number(who->policy_version));
	set(&object, "id", number(who->id));
	return object;
}
