/* resolver/journal.c - one record a query; the answer's data once. */
#include "journal.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/counter.h"
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

static bool is_address(const struct entry_rr *rr)
{
	return (rr->type == TYPE_A && rr->rdata_len == 4) ||
	       (rr->type == TYPE_AAAA && rr->rdata_len == ADDR_LEN);
}

static bool was_given(const struct form *form, const uint8_t addr[static ADDR_LEN])
{
	for (uint16_t i = 0; i < form->n_addrs; i++) {
		if (memcmp(form->addrs[i], addr, ADDR_LEN) == 0)
			return true;
	}
	return false;
}

/* Append one resource record at @at. Returns what it takes, 0 if it does not fit or was not given
 * (stripped addresses are nobody's). */
static size_t put_rr(const struct form *form, const struct entry *entry, const struct entry_rr *rr,
                     uint8_t *out, size_t room, bool *ret_cut)
{
	struct record_rr head = { .ttl = rr->ttl, .type = rr->type };
	const uint8_t *rdata = entry_octets(entry) + rr->rdata;
	char owner[NAME_TEXT_LEN], data[RR_DATA_TEXT];
	size_t len;

	if (is_address(rr)) {
		if (rr->type == TYPE_A)
			addr_from_v4(rdata, head.addr);
		else
			memcpy(head.addr, rdata, ADDR_LEN);
		if (!was_given(form, head.addr))
			return 0;
	}
	if (entry_rr_text(entry, rr, owner, sizeof(owner), data, sizeof(data)) < 0) {
		*ret_cut = true;
		return 0;
	}
	head.owner_len = (uint16_t)strlen(owner);
	head.data_len = (uint16_t)strlen(data);
	len = sizeof(head) + head.owner_len + head.data_len;
	len = (len + 3) & ~(size_t)3;
	if (len > room) {
		*ret_cut = true;
		return 0;
	}
	memset(out, 0, len);
	memcpy(out, &head, sizeof(head));
	memcpy(out + sizeof(head), owner, head.owner_len);
	memcpy(out + sizeof(head) + head.owner_len, data, head.data_len);
	return len;
}

/* The whole chain as it was given; signatures only where the client is given them. A function of
 * its own for its stack: most queries point at an answer that has been told already. */
__attribute__((noinline)) static void tell(struct worker *worker, struct form *form,
                                           bool with_signatures, uint64_t generation)
{
	_Alignas(8) uint8_t tail[LIMIT_RECORD_BYTES - sizeof(struct record_answer)];
	const struct entry *last = form->links[form->n_links - 1];
	struct record_answer answer = { .head.type = RECORD_ANSWER,
		                        .upstream_port = last->upstream_port,
		                        .dnssec = form->dnssec };
	bool cut = form->cut;
	size_t len = 0;

	memcpy(answer.answer_id, form->answer_id, ANSWER_ID_LEN);
	memcpy(answer.upstream, last->upstream, ADDR_LEN);
	for (unsigned int i = 0; i < form->n_links; i++) {
		const struct entry *entry = form->links[i];
		const struct entry_rr *rrs = entry_rrs(entry);

		for (unsigned int j = 0; j < entry->n_rrs; j++) {
			size_t n;

			if (rrs[j].signature && !with_signatures)
				continue;
			if (answer.n_rrs == LIMIT_ANSWER_RRS) {
				cut = true;
				break;
			}
			n = put_rr(form, entry, &rrs[j], tail + len, sizeof(tail) - len, &cut);
			len += n;
			answer.n_rrs = (uint16_t)(answer.n_rrs + (n > 0));
		}
	}
	answer.cut = cut;
	answer.head.len = (uint32_t)(sizeof(answer) + len);
	if (ring_put(&worker->ring, &answer.head, tail, len)) {
		form->told_generation = generation;
		count(worker->lane, COUNT_RECORDS);
	} else {
		/* It stays untold: the next query that points at it tries again. */
		count(worker->lane, COUNT_RECORDS_LOST);
	}
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
			tell(worker, event->form, q->dnssec_ok, generation);
		memcpy(record.answer_id, event->form->answer_id, ANSWER_ID_LEN);
		record.dnssec = event->form->dnssec;
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
	count(worker->lane, ring_put(&worker->ring, &record.head, name, name_len)
	                        ? COUNT_RECORDS
	                        : COUNT_RECORDS_LOST);
}
