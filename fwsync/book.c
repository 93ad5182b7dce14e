/* fwsync/book.c - hash chains, a timer wheel and counts over the ledger's rows.
 *
 * Every array is as long as the ledger; nothing grows, and memory that was never needed is never
 * touched: free entries are a list of those given back, and behind `fresh` those never used.
 * Rows with one element share a hash chain, so what concerns an element is a walk along it: as many
 * steps as it has reasons.
 */
#include "book.h"

#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"

#define WHEEL_SLOTS 1024u /* seconds; longer lives go round again */
#define SLOT_LINGER WHEEL_SLOTS
#define SLOT_NONE UINT32_MAX
#define TICK_SLOTS 64u /* seconds caught up in one tick */
#define IDLE_PASSES 2u /* passes without a connection before a lingering row goes */

struct link {                         /* private side of a ledger row */
	uint32_t next;                /* in the hash chain, or in the free list */
	uint32_t slot, before, after; /* in the wheel */
	uint32_t dest;                /* counted there; BOOK_NONE while lingering */
	uint8_t state;                /* enum book_state */
	uint8_t idle;
	bool seen;
	uint32_t policy_version; /* of the newest confirmation; 0: before this process */
	uint64_t kernel_ns, epoch;
};
struct dest { /* one destination of one workload */
	uint64_t workload;
	uint8_t addr[ADDR_LEN];
	uint32_t next, rows, tenant;
};
struct tenant { /* a workload with open destinations */
	uint64_t workload;
	uint32_t next, dests;
};

struct book {
	struct ledger ledger;
	uint32_t n_rows, n_reasons, n_more, mask; /* mask: of the heads' arrays */
	uint32_t *row_heads, *reason_heads, *dest_heads, *tenant_heads;
	struct link *links;
	uint32_t *reason_next;
	bool *reason_used;
	uint64_t *reason_workload; /* hash of the workload's name */
	uint32_t *more_next;
	bool *more_used;
	struct dest *dests;
	struct tenant *tenants; /* at most one a row */
	uint32_t row_free, reason_free, dest_free, tenant_free, more_free;
	uint32_t row_fresh, reason_fresh, dest_fresh, tenant_fresh, more_fresh;
	uint32_t wheel[WHEEL_SLOTS + 1], wheel_last[WHEEL_SLOTS + 1];
	uint64_t tick_s;
	uint32_t rows_used, reasons_used, lingering;
	bool sacrificed;
	uint8_t key[crypto_shorthash_KEYBYTES];
};

static uint64_t sip(const struct book *book, const void *data, size_t len)
{
	uint8_t out[crypto_shorthash_BYTES];
	uint64_t hash;

	crypto_shorthash(out, data, len, book->key);
	memcpy(&hash, out, sizeof(hash));
	return hash;
}

uint64_t book_hash(const struct book *book, const struct ledger_element *element)
{
	return sip(book, element, sizeof(*element));
}

static uint64_t workload_hash(const struct book *book, const char *workload)
{
	return sip(book, workload, strnlen(workload, LIMIT_WORKLOAD_NAME));
}

/* What a reason is of, as a question asks for it. */
struct subject {
	const char *workload;
	const uint8_t *names;
	uint64_t workload_hash;
	uint16_t names_len, names_cut;
};

static uint64_t subject_hash(const struct book *book, const struct subject *subject)
{
	uint8_t buf[sizeof(uint64_t) + sizeof(uint16_t) + LIMIT_PINHOLE_NAMES];
	size_t len = 0;

	memcpy(buf, &subject->workload_hash, sizeof(subject->workload_hash));
	len += sizeof(subject->workload_hash);
	memcpy(buf + len, &subject->names_cut, sizeof(subject->names_cut));
	len += sizeof(subject->names_cut);
	if (subject->names_len > 0)
		memcpy(buf + len, subject->names, subject->names_len);
	return sip(book, buf, len + subject->names_len);
}

/* The seqlock's writing side. */
static void write_begin(_Atomic uint32_t *version)
{
	uint32_t v = atomic_load_explicit(version, memory_order_relaxed);

	atomic_store_explicit(version, v | 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void write_end(_Atomic uint32_t *version)
{
	uint32_t v = atomic_load_explicit(version, memory_order_relaxed);

	atomic_store_explicit(version, (v | 1) + 1, memory_order_release);
}

static void publish_counts(const struct book *book)
{
	atomic_store_explicit(&book->ledger.head->rows_used, book->rows_used, memory_order_relaxed);
	atomic_store_explicit(&book->ledger.head->reasons_used, book->reasons_used,
	                      memory_order_relaxed);
}

/* The wheel. */

static void wheel_unlink(struct book *book, uint32_t row)
{
	struct link *link = &book->links[row];

	if (link->slot == SLOT_NONE)
		return;
	if (link->slot == SLOT_LINGER)
		book->lingering--;
	if (link->before != BOOK_NONE)
		book->links[link->before].after = link->after;
	else
		book->wheel[link->slot] = link->after;
	if (link->after != BOOK_NONE)
		book->links[link->after].before = link->before;
	else
		book->wheel_last[link->slot] = link->before;
	link->slot = SLOT_NONE;
}

/* Append, so that the head of a list is its oldest. */
static void wheel_link(struct book *book, uint32_t row, uint32_t slot)
{
	struct link *link = &book->links[row];

	link->slot = slot;
	link->after = BOOK_NONE;
	link->before = book->wheel_last[slot];
	if (link->before != BOOK_NONE)
		book->links[link->before].after = row;
	else
		book->wheel[slot] = row;
	book->wheel_last[slot] = row;
	if (slot == SLOT_LINGER)
		book->lingering++;
}

static uint32_t slot_of(uint64_t expires_ns)
{
	/* The second after, so that a row has expired when its slot's turn comes. */
	return (uint32_t)((expires_ns / NS_PER_S + 1) % WHEEL_SLOTS);
}

/* Destinations and workloads. */

static uint32_t tenant_find(const struct book *book, uint64_t workload)
{
	uint32_t i = book->tenant_heads[workload & book->mask];

	while (i != BOOK_NONE && book->tenants[i].workload != workload)
		i = book->tenants[i].next;
	return i;
}

static uint32_t tenant_get(struct book *book, uint64_t workload)
{
	uint32_t i = tenant_find(book, workload);

	if (i != BOOK_NONE)
		return i;
	i = book->tenant_free; /* there is always one: as many as rows */
	if (i == BOOK_NONE)
		i = book->tenant_fresh++;
	else
		book->tenant_free = book->tenants[i].next;
	book->tenants[i] = (struct tenant){ .workload = workload,
		                            .next = book->tenant_heads[workload & book->mask] };
	book->tenant_heads[workload & book->mask] = i;
	return i;
}

static void tenant_put(struct book *book, uint32_t tenant)
{
	uint32_t *at = &book->tenant_heads[book->tenants[tenant].workload & book->mask];

	if (--book->tenants[tenant].dests > 0)
		return;
	while (*at != tenant)
		at = &book->tenants[*at].next;
	*at = book->tenants[tenant].next;
	book->tenants[tenant].next = book->tenant_free;
	book->tenant_free = tenant;
}

static uint32_t *dest_head(struct book *book, uint64_t workload, const uint8_t *addr)
{
	uint8_t buf[sizeof(workload) + ADDR_LEN];

	memcpy(buf, &workload, sizeof(workload));
	memcpy(buf + sizeof(workload), addr, ADDR_LEN);
	return &book->dest_heads[sip(book, buf, sizeof(buf)) & book->mask];
}

static void dest_get(struct book *book, uint32_t row)
{
	const struct ledger_row *r = &book->ledger.rows[row];
	uint64_t workload = book->reason_workload[r->reason];
	uint32_t *head = dest_head(book, workload, r->element.dst);
	uint32_t i = *head;

	while (i != BOOK_NONE && (book->dests[i].workload != workload ||
	                          memcmp(book->dests[i].addr, r->element.dst, ADDR_LEN) != 0))
		i = book->dests[i].next;
	if (i == BOOK_NONE) {
		i = book->dest_free; /* there is always one: as many as rows */
		if (i == BOOK_NONE)
			i = book->dest_fresh++;
		else
			book->dest_free = book->dests[i].next;
		book->dests[i] = (struct dest){ .workload = workload, .next = *head };
		memcpy(book->dests[i].addr, r->element.dst, ADDR_LEN);
		book->dests[i].tenant = tenant_get(book, workload);
		book->tenants[book->dests[i].tenant].dests++;
		*head = i;
	}
	book->dests[i].rows++;
	book->links[row].dest = i;
}

static void dest_put(struct book *book, uint32_t row)
{
	uint32_t i = book->links[row].dest;
	uint32_t *at;

	if (i == BOOK_NONE)
		return;
	book->links[row].dest = BOOK_NONE;
	if (--book->dests[i].rows > 0)
		return;
	at = dest_head(book, book->dests[i].workload, book->dests[i].addr);
	while (*at != i)
		at = &book->dests[*at].next;
	*at = book->dests[i].next;
	tenant_put(book, book->dests[i].tenant);
	book->dests[i].next = book->dest_free;
	book->dest_free = i;
}

uint32_t book_destinations(const struct book *book, uint32_t reason)
{
	uint32_t i = tenant_find(book, book->reason_workload[reason]);

	return i == BOOK_NONE ? 0 : book->tenants[i].dests;
}

/* Reasons. */

/* Names that are too long for a cell. */

static bool has_more(const struct ledger_cell *cell)
{
	return cell->names_len > LEDGER_NAMES_NEAR;
}

/* Room for long names, or BOOK_NONE. */
static uint32_t more_take(struct book *book)
{
	uint32_t i = book->more_free;

	if (i != BOOK_NONE) {
		book->more_free = book->more_next[i];
	} else {
		while (book->more_fresh < book->n_more && book->more_used[book->more_fresh])
			book->more_fresh++;
		if (book->more_fresh == book->n_more)
			return BOOK_NONE;
		i = book->more_fresh++;
	}
	book->more_used[i] = true;
	return i;
}

static void more_put(struct book *book, uint32_t i)
{
	book->more_used[i] = false;
	if (i >= book->more_fresh)
		return;
	book->more_next[i] = book->more_free;
	book->more_free = i;
}

static struct subject subject_of(const struct book *book, uint32_t reason)
{
	const struct ledger_cell *cell = &book->ledger.cells[reason];

	return (struct subject){ .workload = cell->workload,
		                 .names =
		                     has_more(cell) ? book->ledger.more[cell->more] : cell->names,
		                 .workload_hash = book->reason_workload[reason],
		                 .names_len = cell->names_len,
		                 .names_cut = cell->names_cut };
}

static bool same_subject(const struct subject *a, const struct subject *b)
{
	return a->workload_hash == b->workload_hash && a->names_len == b->names_len &&
	       a->names_cut == b->names_cut &&
	       strncmp(a->workload, b->workload, LIMIT_WORKLOAD_NAME) == 0 &&
	       (a->names_len == 0 || memcmp(a->names, b->names, a->names_len) == 0);
}

static uint32_t *subject_head(struct book *book, const struct subject *subject)
{
	return &book->reason_heads[subject_hash(book, subject) & book->mask];
}

static uint32_t reason_find(struct book *book, const struct subject *subject)
{
	uint32_t i = *subject_head(book, subject);

	for (; i != BOOK_NONE; i = book->reason_next[i]) {
		struct subject other = subject_of(book, i);

		if (same_subject(subject, &other))
			return i;
	}
	return BOOK_NONE;
}

/* An unused reason, or BOOK_NONE. */
static uint32_t reason_take(struct book *book)
{
	uint32_t i = book->reason_free;

	if (i != BOOK_NONE) {
		book->reason_free = book->reason_next[i];
		return i;
	}
	while (book->reason_fresh < book->n_reasons && book->reason_used[book->reason_fresh])
		book->reason_fresh++;
	return book->reason_fresh < book->n_reasons ? book->reason_fresh++ : BOOK_NONE;
}

static void reason_link(struct book *book, uint32_t reason)
{
	struct subject subject;
	uint32_t *head;

	book->reason_workload[reason] = workload_hash(book, book->ledger.cells[reason].workload);
	subject = subject_of(book, reason);
	head = subject_head(book, &subject);
	book->reason_used[reason] = true;
	book->reason_next[reason] = *head;
	*head = reason;
	book->reasons_used++;
}

/* Only as many names as a cell holds; whoever judges it again sees that some are missing. */
static void cut_names(struct subject *subject)
{
	uint16_t kept = 0;

	while (subject->names_len - kept >= 2) {
		uint16_t len;

		memcpy(&len, subject->names + kept, sizeof(len));
		if (kept + sizeof(len) + len > LEDGER_NAMES_NEAR ||
		    kept + sizeof(len) + len > subject->names_len)
			break;
		kept = (uint16_t)(kept + sizeof(len) + len);
	}
	subject->names_len = kept;
	subject->names_cut = 1;
}

static void reason_write(struct book *book, uint32_t reason, uint32_t more,
                         const struct subject *subject, uint64_t wall_ns)
{
	struct ledger_cell *cell = &book->ledger.cells[reason];
	bool near = subject->names_len <= LEDGER_NAMES_NEAR;

	write_begin(&cell->version);
	cell->rows = 0;
	cell->query_id = 0;
	cell->since_wall_ns = wall_ns;
	cell->policy_version = 0;
	cell->rule = 0;
	cell->names_len = subject->names_len;
	cell->names_cut = subject->names_cut;
	cell->more = near ? 0 : more;
	memset(cell->workload, 0, sizeof(cell->workload));
	memcpy(cell->workload, subject->workload, strnlen(subject->workload, LIMIT_WORKLOAD_NAME));
	if (subject->names_len > 0)
		memcpy(near ? cell->names : book->ledger.more[more], subject->names,
		       subject->names_len);
	write_end(&cell->version);
}

uint32_t book_reason(struct book *book, const char *workload, const uint8_t *names,
                     uint16_t names_len, uint16_t names_cut, uint64_t wall_ns)
{
	struct subject subject = { workload, names, workload_hash(book, workload), names_len,
		                   names_cut };
	uint32_t i = reason_find(book, &subject), more = BOOK_NONE;

	if (i != BOOK_NONE)
		return i;
	if (names_len > LEDGER_NAMES_NEAR) {
		more = more_take(book);
		if (more == BOOK_NONE) {
			cut_names(&subject);
			i = reason_find(book, &subject);
			if (i != BOOK_NONE)
				return i;
		}
	}
	i = reason_take(book);
	if (i == BOOK_NONE) {
		if (more != BOOK_NONE)
			more_put(book, more);
		return BOOK_NONE;
	}
	reason_write(book, i, more, &subject, wall_ns);
	reason_link(book, i);
	publish_counts(book);
	return i;
}

void book_reason_settle(struct book *book, uint32_t reason)
{
	const struct ledger_cell *cell = &book->ledger.cells[reason];
	struct subject subject;
	uint32_t *at;

	if (cell->rows > 0 || !book->reason_used[reason])
		return; /* or it has gone with its last row */
	subject = subject_of(book, reason);
	at = subject_head(book, &subject);
	while (*at != reason)
		at = &book->reason_next[*at];
	*at = book->reason_next[reason];
	book->reason_used[reason] = false;
	if (has_more(cell))
		more_put(book, cell->more);
	if (reason < book->reason_fresh) {
		book->reason_next[reason] = book->reason_free;
		book->reason_free = reason;
	}
	book->reasons_used--;
	publish_counts(book);
}

void book_reason_opened(struct book *book, uint32_t reason, uint64_t query_id,
                        uint32_t policy_version, uint32_t rule)
{
	struct ledger_cell *cell = &book->ledger.cells[reason];

	write_begin(&cell->version);
	cell->query_id = query_id;
	cell->policy_version = policy_version;
	cell->rule = rule;
	write_end(&cell->version);
}

static void reason_count(struct ledger_cell *r, int by)
{
	write_begin(&r->version);
	r->rows = (uint32_t)((int64_t)r->rows + by);
	write_end(&r->version);
}

/* Rows. */

static bool same_element(const struct ledger_element *a, const struct ledger_element *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static uint32_t chain_of(const struct book *book, const struct ledger_element *element)
{
	return book->row_heads[book_hash(book, element) & book->mask];
}

uint32_t book_find(const struct book *book, const struct ledger_element *element, uint32_t reason)
{
	uint32_t i = chain_of(book, element);

	while (i != BOOK_NONE && (book->ledger.rows[i].reason != reason ||
	                          !same_element(&book->ledger.rows[i].element, element)))
		i = book->links[i].next;
	return i;
}

static void row_link(struct book *book, uint32_t row, enum book_state state)
{
	struct link *link = &book->links[row];
	uint32_t *head =
	    &book->row_heads[book_hash(book, &book->ledger.rows[row].element) & book->mask];

	*link = (struct link){
		.next = *head, .slot = SLOT_NONE, .dest = BOOK_NONE, .state = (uint8_t)state
	};
	*head = row;
	book->rows_used++;
	dest_get(book, row);
	wheel_link(book, row, slot_of(book->ledger.rows[row].expires_ns));
}

/* An unused row, or BOOK_NONE. */
static uint32_t row_take(struct book *book)
{
	uint32_t i = book->row_free;

	if (i != BOOK_NONE) {
		book->row_free = book->links[i].next;
		return i;
	}
	while (book->row_fresh < book->n_rows && book->links[book->row_fresh].state != BOOK_FREE)
		book->row_fresh++;
	return book->row_fresh < book->n_rows ? book->row_fresh++ : BOOK_NONE;
}

uint32_t book_add(struct book *book, const struct ledger_element *element, uint32_t reason,
                  uint64_t now_ns, uint64_t expires_ns)
{
	uint32_t i;

	i = row_take(book);
	if (i == BOOK_NONE && book->wheel[SLOT_LINGER] != BOOK_NONE) {
		uint32_t oldest = book->wheel[SLOT_LINGER];

		/* Never the reason's own last row: the caller holds on to the reason. */
		if (book->ledger.rows[oldest].reason != reason) {
			book_remove(book, oldest);
			book->sacrificed = true;
			i = row_take(book);
		}
	}
	if (i == BOOK_NONE)
		return BOOK_NONE;

	struct ledger_row *row = &book->ledger.rows[i];

	reason_count(&book->ledger.cells[reason], 1);
	write_begin(&row->version);
	row->reason = reason;
	row->opened_ns = now_ns;
	row->expires_ns = expires_ns;
	row->element = *element;
	row->reserved = 0;
	write_end(&row->version);
	if (i >= atomic_load_explicit(&book->ledger.head->rows_high, memory_order_relaxed))
		atomic_store_explicit(&book->ledger.head->rows_high, i + 1, memory_order_release);
	row_link(book, i, BOOK_PENDING);
	publish_counts(book);
	return i;
}

void book_remove(struct book *book, uint32_t row)
{
	struct ledger_row *r = &book->ledger.rows[row];
	uint32_t *at = &book->row_heads[book_hash(book, &r->element) & book->mask];
	uint32_t reason = r->reason;

	while (*at != row)
		at = &book->links[*at].next;
	*at = book->links[row].next;
	wheel_unlink(book, row);
	dest_put(book, row);
	write_begin(&r->version);
	r->reason = BOOK_NONE;
	write_end(&r->version);
	book->links[row].state = BOOK_FREE;
	if (row < book->row_fresh) {
		book->links[row].next = book->row_free;
		book->row_free = row;
	}
	book->rows_used--;
	reason_count(&book->ledger.cells[reason], -1);
	book_reason_settle(book, reason);
	publish_counts(book);
}

void book_revive(struct book *book, uint32_t row)
{
	struct link *link = &book->links[row];

	if (link->state != BOOK_LINGERING)
		return;
	wheel_unlink(book, row);
	dest_get(book, row);
	link->state = BOOK_LIVE;
	link->idle = 0;
	/* It has expired: unless book_confirm() comes, the next turn of its slot takes it back. */
	wheel_link(book, row, (uint32_t)((book->tick_s + 1) % WHEEL_SLOTS));
}

static void set_expiry(struct book *book, uint32_t row, uint64_t expires_ns)
{
	struct ledger_row *r = &book->ledger.rows[row];

	write_begin(&r->version);
	r->expires_ns = expires_ns;
	write_end(&r->version);
}

void book_confirm(struct book *book, uint32_t row, uint64_t expires_ns, uint64_t kernel_ns,
                  uint64_t epoch, uint32_t policy_version)
{
	struct link *link = &book->links[row];

	if (link->state == BOOK_LINGERING)
		book_revive(book, row);
	link->state = BOOK_LIVE;
	if (link->epoch != epoch || kernel_ns > link->kernel_ns)
		link->kernel_ns = kernel_ns;
	link->epoch = epoch;
	if (policy_version)
		link->policy_version = policy_version;
	if (expires_ns > book->ledger.rows[row].expires_ns)
		set_expiry(book, row, expires_ns); /* its slot's turn will move it */
}

void book_doubt(struct book *book, uint32_t row)
{
	book->links[row].epoch = 0;
	book->links[row].kernel_ns = 0;
}

void book_shorten(struct book *book, uint32_t row, uint64_t expires_ns)
{
	if (book->links[row].state != BOOK_LIVE || expires_ns >= book->ledger.rows[row].expires_ns)
		return;
	set_expiry(book, row, expires_ns);
	book->links[row].kernel_ns = MIN(book->links[row].kernel_ns, expires_ns);
	wheel_unlink(book, row);
	wheel_link(book, row, slot_of(expires_ns));
}

uint64_t book_kernel_until(const struct book *book, const struct ledger_element *element,
                           uint64_t epoch)
{
	uint64_t until = 0;

	for (uint32_t i = chain_of(book, element); i != BOOK_NONE; i = book->links[i].next)
		if (book->links[i].state == BOOK_LIVE && book->links[i].epoch == epoch &&
		    same_element(&book->ledger.rows[i].element, element))
			until = MAX(until, book->links[i].kernel_ns);
	return until;
}

uint64_t book_wanted_until(const struct book *book, const struct ledger_element *element)
{
	uint64_t until = 0;

	for (uint32_t i = chain_of(book, element); i != BOOK_NONE; i = book->links[i].next)
		if (book->links[i].state == BOOK_LIVE &&
		    same_element(&book->ledger.rows[i].element, element))
			until = MAX(until, book->ledger.rows[i].expires_ns);
	return until;
}

bool book_explains(const struct book *book, const struct ledger_element *element)
{
	for (uint32_t i = chain_of(book, element); i != BOOK_NONE; i = book->links[i].next)
		if (same_element(&book->ledger.rows[i].element, element))
			return true;
	return false;
}

uint32_t book_size(const struct book *book)
{
	return book->n_rows;
}

bool book_row(const struct book *book, uint32_t row, const struct ledger_row **ret_row)
{
	if (row >= book->n_rows || book->links[row].state == BOOK_FREE)
		return false;
	*ret_row = &book->ledger.rows[row];
	return true;
}

bool book_row_confirmed(const struct book *book, uint32_t row, uint64_t epoch)
{
	return row < book->n_rows && book->links[row].state == BOOK_LIVE &&
	       book->links[row].epoch == epoch;
}

uint32_t book_row_version(const struct book *book, uint32_t row)
{
	return row < book->n_rows ? book->links[row].policy_version : 0;
}

enum book_state book_state(const struct book *book, uint32_t row)
{
	return row < book->n_rows ? (enum book_state)book->links[row].state : BOOK_FREE;
}

uint32_t book_lingering(const struct book *book)
{
	return book->lingering;
}

bool book_sacrificed(struct book *book)
{
	bool was = book->sacrificed;

	book->sacrificed = false;
	return was;
}

/* An expired row goes when another one still explains its element; else it lingers. */
static void expire(struct book *book, uint32_t row, uint64_t now_ns)
{
	const struct ledger_element *element = &book->ledger.rows[row].element;

	if (book_wanted_until(book, element) > now_ns) {
		book_remove(book, row);
		return;
	}
	wheel_unlink(book, row);
	dest_put(book, row);
	book->links[row].state = BOOK_LINGERING;
	book->links[row].idle = 0;
	book->links[row].seen = false;
	book_doubt(book, row);
	wheel_link(book, row, SLOT_LINGER);
}

void book_tick(struct book *book, uint64_t now_ns)
{
	uint64_t now_s = now_ns / NS_PER_S;

	for (uint32_t n = 0; n < TICK_SLOTS && book->tick_s < now_s; n++) {
		uint32_t slot = (uint32_t)(++book->tick_s % WHEEL_SLOTS);
		uint32_t row = book->wheel[slot];

		/* Detached first: what goes round again may come back into the same slot. */
		book->wheel[slot] = book->wheel_last[slot] = BOOK_NONE;
		for (uint32_t i = row; i != BOOK_NONE; i = book->links[i].after)
			book->links[i].slot = SLOT_NONE;
		while (row != BOOK_NONE) {
			uint32_t after = book->links[row].after;
			uint64_t expires_ns = book->ledger.rows[row].expires_ns;

			if (expires_ns <= now_ns && book->links[row].state == BOOK_LIVE)
				expire(book, row, now_ns);
			else
				wheel_link(book, row,
				           expires_ns <= now_ns ? (slot + 1) % WHEEL_SLOTS
				                                : slot_of(expires_ns));
			row = after;
		}
	}
}

void book_flow_seen(struct book *book, const struct ledger_element *element)
{
	for (uint32_t i = chain_of(book, element); i != BOOK_NONE; i = book->links[i].next)
		if (same_element(&book->ledger.rows[i].element, element))
			book->links[i].seen = true;
}

void book_flows_passed(struct book *book)
{
	uint32_t row = book->wheel[SLOT_LINGER];

	while (row != BOOK_NONE) {
		struct link *link = &book->links[row];
		uint32_t after = link->after;

		if (link->seen)
			link->idle = 0;
		else if (++link->idle >= IDLE_PASSES)
			book_remove(book, row);
		link->seen = false;
		row = after;
	}
}

/* Start. */

static bool element_ok(const struct ledger_element *element)
{
	const struct pinhole_port *port = &element->port;

	if (addr_is_v4(element->src) != addr_is_v4(element->dst))
		return false;
	switch (port->kind) {
	case PINHOLE_KIND_PORT:
		return port->proto == IPPROTO_TCP || port->proto == IPPROTO_UDP;
	case PINHOLE_KIND_PROTO:
		return port->port == 0 &&
		       (port->proto == IPPROTO_TCP || port->proto == IPPROTO_UDP ||
		        port->proto == IPPROTO_ICMP);
	case PINHOLE_KIND_ANY:
		return port->port == 0 && port->proto == 0;
	default:
		return false;
	}
}

static bool version_even(_Atomic uint32_t *version)
{
	return (atomic_load_explicit(version, memory_order_relaxed) & 1) == 0;
}

static bool cell_ok(const struct book *book, struct ledger_cell *cell)
{
	return version_even(&cell->version) && cell->names_len <= LIMIT_PINHOLE_NAMES &&
	       memchr(cell->workload, '\0', sizeof(cell->workload)) && cell->workload[0] != '\0' &&
	       (!has_more(cell) || (cell->more < book->n_more && !book->more_used[cell->more]));
}

#define REASON_BAD UINT32_MAX /* in @counts: looked at, and of no use */

/* May a row be for @reason? A reason is looked at once, and takes its place in `more` then. */
static bool adopt_reason(struct book *book, uint32_t reason, uint32_t *counts)
{
	struct ledger_cell *cell = &book->ledger.cells[reason];

	if (counts[reason] == 0) {
		if (!cell_ok(book, cell))
			counts[reason] = REASON_BAD;
		else if (has_more(cell))
			book->more_used[cell->more] = true;
	}
	return counts[reason] != REASON_BAD;
}

static bool row_ok(const struct book *book, struct ledger_row *row, uint64_t now_ns)
{
	return version_even(&row->version) && row->reason < book->n_reasons &&
	       element_ok(&row->element) &&
	       row->expires_ns <= now_ns + UINT64_C(31536000) * NS_PER_S;
}

/* Take over what lies there: count each reason's rows anew, link what is sound, free the rest. */
static uint32_t adopt(struct book *book, uint32_t *counts, uint64_t now_ns)
{
	struct ledger_row *rows = book->ledger.rows;
	struct ledger_cell *cells = book->ledger.cells;
	uint32_t dropped = 0, high = ledger_rows(&book->ledger);

	for (uint32_t i = 0; i < high; i++) {
		if (rows[i].reason == BOOK_NONE)
			continue;
		if (row_ok(book, &rows[i], now_ns) && adopt_reason(book, rows[i].reason, counts)) {
			counts[rows[i].reason]++;
			continue;
		}
		write_begin(&rows[i].version);
		rows[i].reason = BOOK_NONE;
		write_end(&rows[i].version);
		dropped++;
	}
	for (uint32_t i = 0; i < book->n_reasons; i++) {
		if (counts[i] == 0 || counts[i] == REASON_BAD)
			continue;
		write_begin(&cells[i].version);
		cells[i].rows = counts[i];
		write_end(&cells[i].version);
		reason_link(book, i);
	}
	for (uint32_t i = 0; i < high; i++)
		if (rows[i].reason != BOOK_NONE)
			row_link(book, i, BOOK_LIVE);
	/* What expired while nobody looked may still have connections. */
	for (uint32_t i = 0; i < high; i++)
		if (book->links[i].state == BOOK_LIVE && rows[i].expires_ns <= now_ns)
			expire(book, i, now_ns);
	publish_counts(book);
	return dropped;
}

static uint32_t *heads_new(uint32_t n)
{
	uint32_t *heads = malloc(n * sizeof(*heads));

	if (heads)
		memset(heads, 0xff, n * sizeof(*heads)); /* BOOK_NONE */
	return heads;
}

int book_new(struct book **ret_book, const struct ledger *ledger, uint64_t now_ns,
             uint32_t *ret_dropped)
{
	CLEANUP(book_free) struct book *book = calloc(1, sizeof(*book));
	CLEANUP(free) uint32_t *counts = NULL;
	uint32_t heads = 1024;

	if (!book)
		return ERR_NOMEM;
	book->ledger = *ledger;
	book->n_rows = ledger->head->n_rows;
	book->n_reasons = ledger->head->n_reasons;
	book->n_more = ledger->head->n_more;
	/* Chains of four when every row is used: their heads are touched all over, and so stay
	 * resident. */
	while (heads < book->n_rows / 4 && heads < UINT32_C(1) << 30)
		heads *= 2;
	book->mask = heads - 1;
	book->row_heads = heads_new(heads);
	book->reason_heads = heads_new(heads);
	book->dest_heads = heads_new(heads);
	book->tenant_heads = heads_new(heads);
	book->links = calloc(book->n_rows, sizeof(*book->links));
	book->reason_next = calloc(book->n_reasons, sizeof(*book->reason_next));
	book->dests = calloc(book->n_rows, sizeof(*book->dests));
	book->tenants = calloc(book->n_rows, sizeof(*book->tenants));
	book->reason_used = calloc(book->n_reasons, sizeof(*book->reason_used));
	book->reason_workload = calloc(book->n_reasons, sizeof(*book->reason_workload));
	book->more_next = calloc(book->n_more, sizeof(*book->more_next));
	book->more_used = calloc(book->n_more, sizeof(*book->more_used));
	counts = calloc(book->n_reasons, sizeof(*counts));
	if (!counts || !book->reason_workload || !book->more_next || !book->more_used ||
	    !book->reason_used || !book->row_heads || !book->reason_heads || !book->dest_heads ||
	    !book->tenant_heads || !book->links || !book->reason_next || !book->dests ||
	    !book->tenants)
		return ERR_NOMEM;
	crypto_shorthash_keygen(book->key);
	memset(book->wheel, 0xff, sizeof(book->wheel));
	memset(book->wheel_last, 0xff, sizeof(book->wheel_last));
	book->row_free = book->reason_free = book->dest_free = book->tenant_free = book->more_free =
	    BOOK_NONE;
	book->tick_s = now_ns / NS_PER_S;
	*ret_dropped = adopt(book, counts, now_ns);
	*ret_book = TAKE(book);
	return ERR_OK;
}

void book_free(struct book *book)
{
	if (!book)
		return;
	free(book->row_heads);
	free(book->reason_heads);
	free(book->dest_heads);
	free(book->tenant_heads);
	free(book->links);
	free(book->reason_next);
	free(book->reason_used);
	free(book->reason_workload);
	free(book->more_next);
	free(book->more_used);
	free(book->dests);
	free(book->tenants);
	free(book);
}
