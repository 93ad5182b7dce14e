/* fwsync/batch.c - plan, commit, split. */
#include "batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#define OPS_MAX ((size_t)LIMIT_PINHOLE_BATCH_ELEMENTS)
#define REQS_MAX 4096u     /* of one group; more than elements makes no sense */
#define INDEX_SLOTS 16384u /* for finding equal elements: a power of two, over 2 * OPS_MAX */

struct op { /* one row of one request */
	uint32_t row;
	bool added;  /* made by this request: goes again if it fails */
	bool kernel; /* the element must be (re)written: gather() says so anew for each try */
};
struct req {
	const struct pinhole_view *view;
	struct pinhole_result *result;
	uint64_t deadline_ns;
	uint64_t until_ns; /* how long its elements have to be open: its life, counted from when it
	                      came, and as long as the answer may lie ready before it is sent */
	uint32_t first_op, n_ops;
	uint32_t reason;
};

struct sending {
	uint64_t sent_ns; /* the last try began */
	bool unknown;     /* nobody said what became of a try */
};

struct batch {
	struct book *book;
	const struct guard *guard;
	struct kernel *kernel;
	struct stats_lane *lane;
	struct req reqs[REQS_MAX];
	size_t n_reqs;
	struct op ops[OPS_MAX];
	size_t n_ops;
	struct element_wish wishes[OPS_MAX];
	struct ledger_element undo[OPS_MAX];
	uint16_t index[INDEX_SLOTS]; /* 1 + wish; 0: empty */
};

struct batch *batch_new(struct book *book, const struct guard *guard, struct kernel *kernel,
                        struct stats_lane *lane)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	batch->book = book;
	batch->guard = guard;
	batch->kernel = kernel;
	batch->lane = lane;
	return batch;
}

void batch_free(struct batch *batch)
{
	free(batch);
}

static uint64_t life_ns(const struct req *req)
{
	return (uint64_t)req->view->request->life_s * NS_PER_S;
}

static struct element_ids ids_of(const struct req *req)
{
	const struct pinhole_request *r = req->view->request;

	return (struct element_ids){ r->query_id, r->policy_version, r->rule };
}

static void answer(struct batch *batch, struct pinhole_result *result, enum pinhole_status status,
                   uint32_t detail)
{
	*result = (struct pinhole_result){ .status = status, .detail = detail };
	switch (status) {
	case PINHOLE_OPEN:
		result->epoch = batch->kernel->epoch(batch->kernel);
		break;
	case PINHOLE_OUTSIDE:
		count(batch->lane, COUNT_FW_REFUSED_GUARD);
		break;
	case PINHOLE_MALFORMED:
		count(batch->lane, COUNT_FW_REFUSED_MALFORMED);
		break;
	case PINHOLE_STALE:
		count(batch->lane, COUNT_FW_REFUSED_STALE);
		break;
	case PINHOLE_LATE:
		count(batch->lane, COUNT_FW_REFUSED_LATE);
		break;
	case PINHOLE_WORKLOAD_FULL:
		count(batch->lane, COUNT_FW_LIMIT_WORKLOAD);
		break;
	case PINHOLE_FULL:
		count(batch->lane, COUNT_FW_SET_FULL);
		break;
	case PINHOLE_FAILED:
		break; /* counted where the kernel refused */
	}
}

/* Another request of the group that still waits for the same row inherits it. */
static bool inherit(struct batch *batch, const struct req *heir_of, uint32_t row)
{
	for (size_t r = 0; r < batch->n_reqs; r++) {
		const struct req *req = &batch->reqs[r];

		for (uint32_t i = 0; req != heir_of && i < req->n_ops; i++) {
			struct op *op = &batch->ops[req->first_op + i];

			if (op->row == row) {
				op->added = true;
				return true;
			}
		}
	}
	return false;
}

/* Take back what a failed request had written into the book. */
static void undo(struct batch *batch, const struct req *req)
{
	for (uint32_t i = 0; i < req->n_ops; i++) {
		const struct op *op = &batch->ops[req->first_op + i];

		if (op->added && book_state(batch->book, op->row) == BOOK_PENDING &&
		    !inherit(batch, req, op->row))
			book_remove(batch->book, op->row);
	}
	book_reason_settle(batch->book, req->reason);
}

static void fail(struct batch *batch, struct req *req, enum pinhole_status status, uint32_t detail)
{
	undo(batch, req);
	answer(batch, req->result, status, detail);
	req->n_ops = 0;
}

/* The kernel holds all of it: since before @sent_ns, at the latest @now_ns; what it was not asked
 * for it has held before, and for no longer than that. */
static void confirm(struct batch *batch, struct req *req, uint64_t sent_ns, uint64_t now_ns)
{
	const struct pinhole_request *r = req->view->request;
	uint64_t epoch = batch->kernel->epoch(batch->kernel);
	uint64_t slack = BATCH_SLACK_MS * NS_PER_MS;

	for (uint32_t i = 0; i < req->n_ops; i++) {
		const struct op *op = &batch->ops[req->first_op + i];

		if (op->kernel)
			book_confirm(batch->book, op->row, now_ns + life_ns(req) + slack,
			             sent_ns + life_ns(req) + slack, epoch, r->policy_version);
		else
			book_confirm(batch->book, op->row, now_ns + life_ns(req), req->until_ns,
			             epoch, r->policy_version);
	}
	book_reason_opened(batch->book, req->reason, r->query_id, r->policy_version, r->rule);
	answer(batch, req->result, PINHOLE_OPEN, 0);
}

/* Where the wish for @element is in the index, or belongs. */
static uint16_t *place_of(struct batch *batch, const struct ledger_element *element)
{
	uint64_t slot = book_hash(batch->book, element) % INDEX_SLOTS;

	while (batch->index[slot] && memcmp(&batch->wishes[batch->index[slot] - 1].element, element,
	                                    sizeof(*element)) != 0)
		slot = (slot + 1) % INDEX_SLOTS;
	return &batch->index[slot];
}

/* One transaction's wishes: equal elements of several requests once, with the longest life, and
 * never shorter than another reason's. What the kernel was asked for in an epoch that is over it
 * has to be asked for again. Before it is, the ledger says how long it may hold them. */
static size_t gather(struct batch *batch, size_t from, size_t to, uint64_t now_ns)
{
	uint64_t epoch = batch->kernel->epoch(batch->kernel);
	size_t n = 0;

	memset(batch->index, 0, sizeof(batch->index));
	for (size_t r = from; r < to; r++) {
		const struct req *req = &batch->reqs[r];
		uint64_t life_ms = life_ns(req) / NS_PER_MS + BATCH_SLACK_MS;

		for (uint32_t i = 0; i < req->n_ops; i++) {
			struct op *op = &batch->ops[req->first_op + i];
			const struct ledger_row *row;
			uint16_t *place;

			if (!book_row(batch->book, op->row, &row))
				continue;
			op->kernel =
			    book_kernel_until(batch->book, &row->element, epoch) < req->until_ns;
			if (!op->kernel)
				continue;
			place = place_of(batch, &row->element);
			if (!*place) {
				uint64_t wanted_ns = book_wanted_until(batch->book, &row->element);
				struct element_wish *wish = &batch->wishes[n++];

				*place = (uint16_t)n;
				wish->element = row->element;
				wish->ids = ids_of(req);
				wish->life_ms =
				    wanted_ns > now_ns ? (wanted_ns - now_ns) / NS_PER_MS + 1 : 0;
			}

			struct element_wish *wish = &batch->wishes[*place - 1];

			wish->life_ms = MAX(wish->life_ms, life_ms);
			book_foresee(batch->book, op->row, now_ns + life_ms * NS_PER_MS);
		}
	}
	return n;
}

/* What was foreseen for requests [from, to) has come, or does not come. */
static void foresee_end(struct batch *batch, size_t from, size_t to)
{
	for (size_t r = from; r < to; r++) {
		const struct req *req = &batch->reqs[r];

		for (uint32_t i = 0; i < req->n_ops; i++)
			book_foresee_end(batch->book, batch->ops[req->first_op + i].row);
	}
}

/* Ask for what requests [from, to) need until the kernel takes or refuses it. */
static int send_wishes(struct batch *batch, size_t from, size_t to, struct sending *ret_sending)
{
	struct kernel *kernel = batch->kernel;
	bool restored = false;
	int r = 0;

	*ret_sending = (struct sending){ 0 };
	for (int try = 0; try < BATCH_TRIES; try++) {
		size_t n;

		if (try > 0)
			count(batch->lane, COUNT_FW_RETRIES);
		ret_sending->sent_ns = kernel->now_ns(kernel);
		n = gather(batch, from, to, ret_sending->sent_ns);
		if (n == 0)
			return 0;
		r = kernel->upsert(kernel, batch->wishes, n);
		count(batch->lane, COUNT_FW_BATCHES);
		if (r == 0) {
			count_add(batch->lane, COUNT_FW_ELEMENTS, n);
			return 0;
		}
		switch (-r) {
		case EINTR:
		case EAGAIN:
		case ERESTART:
			break;
		case ETIMEDOUT: /* renewing is the same once or twice: ask again and see */
			ret_sending->unknown = true;
			break;
		case ENOBUFS:
			kernel->pause_ms(kernel, 1u << try);
			break;
		case ENOENT: /* the table or a set is gone, and comes back as it was */
			foresee_end(batch, from, to);
			if (restored || kernel->restore(kernel) < 0)
				return r;
			restored = true;
			break;
		default:
			count(batch->lane, COUNT_FW_KERNEL_ERRORS);
			return r;
		}
	}
	count(batch->lane, COUNT_FW_KERNEL_ERRORS);
	return r;
}

/* The outcome is not known and never will be: nothing that we cannot explain may stay. What is new
 * goes; what was there before may be there for longer, and a row says so. */
static void withdraw(struct batch *batch, size_t from, size_t to, uint64_t now_ns)
{
	size_t n = 0;

	for (size_t r = from; r < to; r++) {
		const struct req *req = &batch->reqs[r];
		uint64_t end_ns = now_ns + life_ns(req) + BATCH_SLACK_MS * NS_PER_MS;

		for (uint32_t i = 0; i < req->n_ops; i++) {
			const struct op *op = &batch->ops[req->first_op + i];
			const struct ledger_row *row;

			if (op->kernel && book_row(batch->book, op->row, &row) &&
			    !book_believe(batch->book, &row->element, end_ns) && n < OPS_MAX)
				batch->undo[n++] = row->element;
		}
	}
	if (n == 0 || batch->kernel->remove(batch->kernel, batch->undo, n) == 0)
		return;
	log_warning("pinhole",
	            "%zu elements of an unknown outcome could not be withdrawn: the table is "
	            "made anew",
	            n);
	if (batch->kernel->restore(batch->kernel) < 0)
		log_error("pinhole", "nor could the table"); /* its next turn ends the role */
}

static bool same_for_all(int err)
{
	return err == -EPERM || err == -EACCES || err == -ENOENT || err == ERR_TIMEOUT ||
	       err == -EBADF || err == -EINTR || err == -ERESTART || err == -EAGAIN ||
	       err == -ENOBUFS || err == -ENOMEM;
}

/* Requests [from, to) in one transaction; refused, in halves. At most 2 * n transactions. */
static void commit(struct batch *batch, size_t from, size_t to)
{
	struct kernel *kernel = batch->kernel;
	uint64_t now_ns = kernel->now_ns(kernel);
	struct sending sending;
	int r;

	for (size_t i = from; i < to; i++)
		if (batch->reqs[i].n_ops > 0 && now_ns > batch->reqs[i].deadline_ns)
			fail(batch, &batch->reqs[i], PINHOLE_LATE, 0);
	r = send_wishes(batch, from, to, &sending);
	now_ns = kernel->now_ns(kernel);
	if (r == 0) {
		for (size_t i = from; i < to; i++)
			if (batch->reqs[i].n_ops > 0)
				confirm(batch, &batch->reqs[i], sending.sent_ns, now_ns);
		foresee_end(batch, from, to);
		return;
	}
	if (sending.unknown)
		withdraw(batch, from, to, now_ns);
	/* Before others ask on: what was refused must not lengthen what they ask for. */
	foresee_end(batch, from, to);
	if (same_for_all(r) || to - from == 1) {
		for (size_t i = from; i < to; i++)
			if (batch->reqs[i].n_ops > 0)
				fail(batch, &batch->reqs[i],
				     r == -ENFILE ? PINHOLE_FULL : PINHOLE_FAILED, (uint32_t)-r);
		return;
	}
	commit(batch, from, from + (to - from) / 2);
	commit(batch, from + (to - from) / 2, to);
}

static void flush_group(struct batch *batch)
{
	if (batch->n_reqs > 0)
		commit(batch, 0, batch->n_reqs);
	batch->n_reqs = 0;
	batch->n_ops = 0;
}

/* Rows for one pair and port. False: the ledger is full. */
static bool plan_op(struct batch *batch, struct req *req, const uint8_t *src, const uint8_t *dst,
                    const struct pinhole_port *port, uint64_t now_ns)
{
	struct ledger_element element = { .port = *port };
	struct op *op = &batch->ops[batch->n_ops];

	memcpy(element.src, src, ADDR_LEN);
	memcpy(element.dst, dst, ADDR_LEN);
	*op = (struct op){ .row = book_find(batch->book, &element, req->reason) };
	if (op->row == BOOK_NONE) {
		op->row = book_add(batch->book, &element, req->reason, now_ns, req->until_ns);
		if (op->row == BOOK_NONE)
			return false;
		op->added = true;
	} else {
		book_revive(batch->book, op->row);
	}
	batch->n_ops++;
	req->n_ops++;
	return true;
}

static bool plan_all(struct batch *batch, struct req *req, uint64_t now_ns)
{
	const struct pinhole_view *view = req->view;

	for (unsigned int s = 0; s < view->request->n_src; s++)
		for (unsigned int d = 0; d < view->request->n_dst; d++) {
			if (addr_is_v4(view->src[s]) != addr_is_v4(view->dst[d]))
				continue;
			for (unsigned int p = 0; p < view->request->n_ports; p++)
				if (!plan_op(batch, req, view->src[s], view->dst[d],
				             &view->ports[p], now_ns))
					return false;
		}
	return true;
}

static bool any_crowded(const struct batch *batch, const struct pinhole_view *view)
{
	struct ledger_element element = { 0 };

	for (unsigned int s = 0; s < view->request->n_src; s++)
		for (unsigned int d = 0; d < view->request->n_dst; d++) {
			if (addr_is_v4(view->src[s]) != addr_is_v4(view->dst[d]))
				continue;
			memcpy(element.src, view->src[s], ADDR_LEN);
			memcpy(element.dst, view->dst[d], ADDR_LEN);
			for (unsigned int p = 0; p < view->request->n_ports; p++) {
				element.port = view->ports[p];
				if (book_crowded(batch->book, &element))
					return true;
			}
		}
	return false;
}

/* Any name below a wildcard may have one address: whoever asks for them without end gets a row that
 * stands for all those that are too many. */
static uint32_t reason_of(struct batch *batch, const struct pinhole_view *view, const char *workload)
{
	const struct pinhole_request *r = view->request;
	uint64_t wall_ns = batch->kernel->wall_ns(batch->kernel);
	uint32_t reason = book_reason(batch->book, workload, view->names, r->names_len,
	                              r->names_flags, wall_ns);

	if (reason == BOOK_NONE || book_reason_used(batch->book, reason) ||
	    !any_crowded(batch, view))
		return reason;
	count(batch->lane, COUNT_FW_LIMIT_REASONS);
	book_reason_settle(batch->book, reason);
	return book_reason(batch->book, workload, NULL, 0, PINHOLE_NAMES_CUT, wall_ns);
}

static size_t elements_of(const struct pinhole_view *view)
{
	const struct pinhole_request *r = view->request;
	size_t src4 = 0, dst4 = 0;

	for (unsigned int i = 0; i < r->n_src; i++)
		src4 += addr_is_v4(view->src[i]);
	for (unsigned int i = 0; i < r->n_dst; i++)
		dst4 += addr_is_v4(view->dst[i]);
	return (src4 * dst4 + (r->n_src - src4) * (r->n_dst - dst4)) * r->n_ports;
}

/* A name is a row of its own, so without this limit whoever may ask a pattern could fill the ledger,
 * and who allows a hundred ports a set: then nobody would have anything opened any more. */
static uint32_t rows_max(const struct guard_workload *w)
{
	uint64_t most = (uint64_t)w->pinholes_max * LIMIT_PINHOLE_ROWS;

	return (uint32_t)MIN(MAX(most, (uint64_t)LIMIT_PINHOLE_OPS), (uint64_t)UINT32_MAX);
}

static void plan(struct batch *batch, const struct pinhole_view *view, uint64_t deadline_ns,
                 struct pinhole_result *result)
{
	const struct pinhole_request *r = view->request;
	const struct guard_workload *w = NULL;
	uint64_t now_ns = batch->kernel->now_ns(batch->kernel);
	enum pinhole_status status;
	struct req *req;
	uint32_t before, rows_before;
	bool planned;

	if (now_ns > deadline_ns) {
		answer(batch, result, PINHOLE_LATE, 0);
		return;
	}
	status = guard_permits(batch->guard, view, &w);
	if (status != PINHOLE_OPEN) {
		answer(batch, result, status,
		       status == PINHOLE_STALE ? guard_version(batch->guard) : 0);
		return;
	}
	if (batch->n_reqs == REQS_MAX || batch->n_ops + elements_of(view) > OPS_MAX)
		flush_group(batch);

	req = &batch->reqs[batch->n_reqs];
	*req = (struct req){ .view = view,
		             .result = result,
		             .deadline_ns =
		                 MIN(deadline_ns, now_ns + BATCH_DEADLINE_MAX_MS * NS_PER_MS),
		             .until_ns = now_ns + (uint64_t)r->life_s * NS_PER_S +
		                         LIMIT_ANSWER_AGE_MS * NS_PER_MS,
		             .first_op = (uint32_t)batch->n_ops };
	req->reason = reason_of(batch, view, w->name);
	if (req->reason == BOOK_NONE) {
		answer(batch, result, PINHOLE_FULL, 0);
		return;
	}
	before = book_destinations(batch->book, req->reason);
	rows_before = book_rows_of(batch->book, req->reason);
	planned = plan_all(batch, req, now_ns);

	/* What a workload holds already may always be renewed, even after its limit shrank. */
	uint32_t after = book_destinations(batch->book, req->reason);
	uint32_t rows_after = book_rows_of(batch->book, req->reason);

	if (planned && (after <= before || after <= w->pinholes_max) &&
	    (rows_after <= rows_before || rows_after <= rows_max(w))) {
		batch->n_reqs++;
		return;
	}
	batch->n_ops = req->first_op;
	fail(batch, req, planned ? PINHOLE_WORKLOAD_FULL : PINHOLE_FULL, 0);
}

void batch_put(struct batch *batch, const struct pinhole_view *views, size_t n,
               uint64_t deadline_ns, struct pinhole_result *results)
{
	for (size_t i = 0; i < n; i++)
		plan(batch, &views[i], deadline_ns, &results[i]);
}

void batch_finish(struct batch *batch)
{
	flush_group(batch);
}
