/* resolver/journal.c - one record a query; the answer's data once. */
#include "journal.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "sallyport/err.h"
#include "sallyport/ring.h"
#include "wire.h"
#include "worker.h"

#define RR_DATA_TEXT 4096 /* presentation form of one RDATA; more is cut and marked */

/* form->told_generation is kept as the generation plus one, so that 0 means never. */
static bool is_told(const struct worker *worker, const struct form *form, uint64_t *ret_generation)
{
	*ret_generation =
	    atomic_load_explicit(&worker->ring.back->answers_generation, memory_order_relaxed) + 1;
	return form->told_generation == *ret_generation;
}

/* An answer's record in the making. */
struct telling {
	struct record_answer answer;
	size_t len; /* of tail */
	_Alignas(8) uint8_t tail[LIMIT_RECORD_BYTES - sizeof(struct record_answer)];
};

static bool add_record(void *ctx, const struct form_record *record)
{
	struct telling *t = ctx;
	struct record_rr head = { .ttl = record->upstream_ttl_s, .type = record->type };
	uint8_t *out = t->tail + t->len;
	size_t len;

	memcpy(head.addr, record->addr, ADDR_LEN);
	head.owner_len = (uint16_t)strlen(record->owner);
	head.data_len = (uint16_t)strnlen(record->data, RR_DATA_TEXT);
	t->answer.cut |= record->cut || record->data[head.data_len] != '\0';
	len = sizeof(head) + head.owner_len + head.data_len;
	len = (len + 3) & ~(size_t)3;
	if (len > sizeof(t->tail) - t->len) {
		t->answer.cut = true;
		return false;
	}
	memset(out, 0, len);
	memcpy(out, &head, sizeof(head));
	memcpy(out + sizeof(head), record->owner, head.owner_len);
	memcpy(out + sizeof(head) + head.owner_len, record->data, head.data_len);
	t->len += len;
	t->answer.n_rrs++;
	return true;
}

/* What was sent, record by record: the whole chain, without what the guard took out of it, and
 * signatures only where the client was given them. A function of its own for its stack: most
 * queries point at an answer that has been told already. */
__attribute__((noinline)) static void tell(struct worker *worker, struct form *form,
                                           uint64_t generation)
{
	const struct entry *last = form->links[form->n_links - 1];
	struct telling t;
	int r;

	t.len = 0;
	t.answer = (struct record_answer){ .head.type = RECORD_ANSWER,
		                           .upstream_port = last->upstream_port,
		                           .dnssec = form->dnssec };
	memcpy(t.answer.answer_id, form->answer_id, ANSWER_ID_LEN);
	memcpy(t.answer.upstream, last->upstream, ADDR_LEN);
	r = form_records(form, add_record, &t);
	if (r < 0 || (size_t)form->n_answer + form->n_authority > LIMIT_ANSWER_RRS)
		t.answer.cut = true;
	t.answer.head.len = (uint32_t)(sizeof(t.answer) + t.len);
	if (r != ERR_NOMEM && ring_put(&worker->ring, &t.answer.head, t.tail, t.len)) {
		form->told_generation = generation;
		count(worker->lane, COUNT_RECORDS);
	} else {
		/* It stays untold: the next query that points at it tries again. */
		count(worker->lane, COUNT_RECORDS_LOST);
	}
}

/* For the reader of the ring, see struct record: what is identical has the same. */
static uint16_t hint_of(const struct record_query *record, const char *name, size_t name_len)
{
	uint64_t what, who;

	memcpy(&what, record->answer_id, sizeof(what));
	memcpy(&who, record->client + ADDR_LEN - sizeof(who), sizeof(who));
	if (what == 0)
		memcpy(&what, name, MIN(name_len, sizeof(what)));
	what = (what ^ who * UINT64_C(0x9e3779b97f4a7c15)) + record->qtype;
	what *= UINT64_C(0xd1342543de82ef95); /* both odd; the upper bits are well mixed */
	return (uint16_t)MAX(what >> 48, UINT64_C(1));
}

void journal_write(struct worker *worker, const struct journal_event *event)
{
	const struct question *q = event->q;
	const struct verdict *verdict = event->verdict;
	struct record_query record = {
		.head.type = RECORD_QUERY,
		.id = event->id,
		.time_ns = event->read_wall_ns,
		.policy_version = event->policy_version,
		.workload = event->workload,
		.rule = verdict->rule,
		.feed = verdict->feed,
		.ttl = event->ttl_s,
		.client_port = event->client->port,
		.ede = event->ede,
		.rcode = event->rcode,
		.flags = event->flags,
		.proto = event->client->tcp ? IPPROTO_TCP : IPPROTO_UDP,
		.verdict = (uint8_t)verdict->kind,
		.reason = (uint8_t)event->reason,
		.dnssec = event->dnssec,
	};
	uint64_t latency_us = worker->now_ns > event->read_ns
	                          ? (worker->now_ns - event->read_ns) / (NS_PER_MS / 1000)
	                          : 0;
	char name[NAME_TEXT_LEN];
	size_t name_len = 0;

	if (!worker->ring.head) /* a worker without a ring: tests */
		return;
	if (event->form && event->form->n_answer + event->form->n_authority > 0) {
		uint64_t generation;

		if (!is_told(worker, event->form, &generation))
			tell(worker, event->form, generation);
		memcpy(record.answer_id, event->form->answer_id, ANSWER_ID_LEN);
	}
	record.latency_us = (uint32_t)MIN(latency_us, UINT32_MAX);
	memcpy(record.client, event->client->addr, ADDR_LEN);
	if (q->have_question) {
		record.qtype = q->qtype;
		record.qclass = q->qclass;
		name_len = name_to_text(q->name, name);
	}
	record.name_len = (uint16_t)name_len;
	record.head.len = (uint32_t)(sizeof(record) + name_len);
	record.head.hint = hint_of(&record, name, name_len);
	count(worker->lane, ring_put(&worker->ring, &record.head, name, name_len)
	                        ? COUNT_RECORDS
	                        : COUNT_RECORDS_LOST);
}
