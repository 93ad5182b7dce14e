/* fwsync/book.c - the ledger's rows, found again by element.
 *
 * Every array is as long as the ledger; nothing grows, and memory that was never needed is never
 * touched: free entries are a list of those given back, and behind `fresh` those never used.
 * Rows with one element share a hash chain, so what concerns an element is a walk along it: as many
 * steps as it has reasons. When rows end is wheel.c's, why they are there reasons.c's, how many
 * destinations a workload has open tenants.c's.
 */
#include "book.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"

#include "hash.h"
#include "reasons.h"
#include "seqlock.h"
#include "tenants.h"
#include "wheel.h"

#define TICK_SLOTS 64u /* seconds caught up in one tick */
#define IDLE_PASSES 2u /* passes without a connection before a lingering row goes */

struct link {          /* private side of a ledger row */
	uint32_t next; /* in the hash chain, or in the free list */
	uint32_t dest; /* counted there; TENANTS_NONE while lingering */
	uint8_t state; /* enum book_state */
	uint8_t idle;
	bool seen;
	uint64_t kernel_ns, epoch;
	uint64_t sure_ns; /* the end that stands if the foreseen one does not come; 0: none is */
};

struct book {
	struct ledger ledger;
	struct hash_key key;
	uint32_t n_rows, mask; /* mask: of heads */
	uint32_t *heads;
	struct link *links;
	uint32_t free, fresh, n_used;
	struct reasons reasons;
	struct tenants tenants;
	struct wheel wheel;
	bool sacrificed;
};

uint64_t book_hash(const struct book *book, const struct ledger_element *element)
{
	return hash_of(&book->key, element, sizeof(*element));
}

static void publish_counts(const struct book *book)
{
	struct ledger_head *head = book->ledger.head;

	atomic_store_explicit(&head->rows_used, book->n_used, memory_order_relaxed);
	atomic_store_explicit(&head->reasons_used, book->reasons.n_used, memory_order_relaxed);
}

/* Reasons. */

uint32_t book_reason(struct book *book, const char *workload, const uint8_t *names,
                     uint16_t names_len, uint16_t names_flags, uint64_t wall_ns)
{
	uint32_t reason =
	    reasons_get(&book->reasons, workload, names, names_len, names_flags, wall_ns);

	publish_counts(book);
	return reason;
}

void book_reason_settle(struct book *book, uint32_t reason)
{
	reasons_settle(&book->reasons, reason);
	publish_counts(book);
}

void book_reason_opened(struct book *book, uint32_t reason, uint64_t query_id,
                        uint32_t policy_version, uint32_t rule)
{
	reasons_opened(&book->reasons, reason, query_id, policy_version, rule);
}

uint32_t book_destinations(const struct book *book, uint32_t reason)
{
	return tenants_destinations(&book->tenants, reasons_workload(&book->reasons, reason));
}

uint32_t book_rows_of(const struct book *book, uint32_t reason)
{
	return tenants_rows(&book->tenants, reasons_workload(&book->reasons, reason));
}

/* Rows. */

static bool same_element(const struct ledger_element *a, const struct ledger_element *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static uint32_t chain_of(const struct book *book, const struct ledger_element *element)
{
	return book->heads[book_hash(book, element) & book->mask];
}

uint32_t book_find(const struct book *book, const struct ledger_element *element, uint32_t reason)
{
	uint32_t i = chain_of(book, element);

	while (i != BOOK_NONE && (book->ledger.rows[i].reason != reason ||
	                          !same_element(&book->ledger.rows[i].element, element)))
		i = book->links[i].next;
	return i;
}

bool book_crowded(const struct book *book, const struct ledger_element *element)
{
	uint32_t i = chain_of(book, element), n = 0;

	for (; i != BOOK_NONE && n < LIMIT_PINHOLE_REASONS; i = book->links[i].next)
		n += same_element(&book->ledger.rows[i].element, element);
	return n == LIMIT_PINHOLE_REASONS;
}

bool book_reason_used(const struct book *book, uint32_t reason)
{
	return book->ledger.cells[reason].rows > 0;
}

static void count_destination(struct book *book, uint32_t row)
{
	const struct ledger_row *r = &book->ledger.rows[row];

	book->links[row].dest = tenants_open(
	    &book->tenants, reasons_workload(&book->reasons, r->reason), r->element.dst);
}

static void uncount_destination(struct book *book, uint32_t row)
{
	tenants_close(&book->tenants, book->links[row].dest);
	book->links[row].dest = TENANTS_NONE;
}

static void row_link(struct book *book, uint32_t row, enum book_state state)
{
	struct link *link = &book->links[row];
	uint32_t *head =
	    &book->heads[book_hash(book, &book->ledger.rows[row].element) & book->mask];

	*link = (struct link){ .next = *head, .dest = TENANTS_NONE, .state = (uint8_t)state };
	*head = row;
	book->n_used++;
	count_destination(book, row);
	wheel_put(&book->wheel, row, book->ledger.rows[row].expires_ns);
}

/* An unused row, or BOOK_NONE. */
static uint32_t row_take(struct book *book)
{
	const struct ledger_row *rows = book->ledger.rows;
	uint32_t i = book->free;

	if (i != BOOK_NONE) {
		book->free = book->links[i].next;
		return i;
	}
	while (book->fresh < book->n_rows && book->links[book->fresh].state != BOOK_FREE)
		book->fresh++;
	if (book->fresh == book->n_rows ||
	    !ledger_backed(&book->ledger, &rows[book->fresh], sizeof(*rows)))
		return BOOK_NONE;
	return book->fresh++;
}

uint32_t book_add(struct book *book, const struct ledger_element *element, uint32_t reason,
                  uint64_t now_ns, uint64_t expires_ns)
{
	uint32_t i;

	i = row_take(book);
	if (i == BOOK_NONE && wheel_oldest_lingering(&book->wheel) != WHEEL_NONE) {
		uint32_t oldest = wheel_oldest_lingering(&book->wheel);

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

	reasons_count(&book->reasons, reason, 1);
	seqlock_begin(&row->version);
	row->reason = reason;
	row->opened_ns = now_ns;
	row->expires_ns = expires_ns;
	row->element = *element;
	row->policy_version = 0;
	seqlock_end(&row->version);
	if (i >= atomic_load_explicit(&book->ledger.head->rows_high, memory_order_relaxed))
		atomic_store_explicit(&book->ledger.head->rows_high, i + 1, memory_order_release);
	row_link(book, i, BOOK_PENDING);
	publish_counts(book);
	return i;
}

void book_remove(struct book *book, uint32_t row)
{
	struct ledger_row *r = &book->ledger.rows[row];
	uint32_t *at = &book->heads[book_hash(book, &r->element) & book->mask];
	uint32_t reason = r->reason;

	while (*at != row)
		at = &book->links[*at].next;
	*at = book->links[row].next;
	wheel_remove(&book->wheel, row);
	uncount_destination(book, row);
	seqlock_begin(&r->version);
	r->reason = BOOK_NONE;
	seqlock_end(&r->version);
	book->links[row].state = BOOK_FREE;
	if (row < book->fresh) {
		book->links[row].next = book->free;
		book->free = row;
	}
	book->n_used--;
	reasons_count(&book->reasons, reason, -1);
	book_reason_settle(book, reason);
	publish_counts(book);
}

void book_condemn(struct book *book, uint32_t row)
{
	book->links[row].state = BOOK_CONDEMNED; /* within one turn: no tick meets it */
}

void book_revive(struct book *book, uint32_t row)
{
	struct link *link = &book->links[row];

	if (link->state != BOOK_LINGERING)
		return;
	wheel_remove(&book->wheel, row);
	count_destination(book, row);
	link->state = BOOK_LIVE;
	link->idle = 0;
	/* It has expired: unless book_confirm() comes, the next turn of its slot takes it back. */
	wheel_put_next(&book->wheel, row);
}

static void set_expiry(struct book *book, uint32_t row, uint64_t expires_ns)
{
	struct ledger_row *r = &book->ledger.rows[row];

	seqlock_begin(&r->version);
	r->expires_ns = expires_ns;
	seqlock_end(&r->version);
}

void book_foresee(struct book *book, uint32_t row, uint64_t expires_ns)
{
	uint64_t before_ns = book->ledger.rows[row].expires_ns;

	if (expires_ns <= before_ns)
		return;
	if (!book->links[row].sure_ns)
		book->links[row].sure_ns = before_ns;
	set_expiry(book, row, expires_ns);
}

bool book_believe(struct book *book, const struct ledger_element *element, uint64_t expires_ns)
{
	const struct ledger_row *rows = book->ledger.rows;
	uint32_t longest = BOOK_NONE;

	for (uint32_t i = chain_of(book, element); i != BOOK_NONE; i = book->links[i].next)
		if (book->links[i].state == BOOK_LIVE && same_element(&rows[i].element, element) &&
		    (longest == BOOK_NONE || rows[i].expires_ns > rows[longest].expires_ns))
			longest = i;
	if (longest == BOOK_NONE)
		return false;
	if (book->links[longest].sure_ns)
		book->links[longest].sure_ns = MAX(book->links[longest].sure_ns, expires_ns);
	if (expires_ns > rows[longest].expires_ns)
		set_expiry(book, longest, expires_ns);
	return true;
}

void book_foresee_end(struct book *book, uint32_t row)
{
	struct link *link = &book->links[row];

	if (link->state == BOOK_FREE || !link->sure_ns)
		return;
	if (link->sure_ns < book->ledger.rows[row].expires_ns)
		set_expiry(book, row, link->sure_ns);
	link->sure_ns = 0;
}

void book_confirm(struct book *book, uint32_t row, uint64_t expires_ns, uint64_t kernel_ns,
                  uint64_t epoch, uint32_t policy_version)
{
	struct link *link = &book->links[row];
	struct ledger_row *r = &book->ledger.rows[row];

	if (link->state == BOOK_LINGERING)
		book_revive(book, row);
	link->state = BOOK_LIVE;
	if (link->sure_ns)
		link->sure_ns = MAX(link->sure_ns, expires_ns);
	if (link->epoch != epoch || kernel_ns > link->kernel_ns)
		link->kernel_ns = kernel_ns;
	link->epoch = epoch;
	if (policy_version && policy_version != r->policy_version) {
		seqlock_begin(&r->version);
		r->policy_version = policy_version;
		seqlock_end(&r->version);
	}
	if (expires_ns > r->expires_ns)
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
	wheel_remove(&book->wheel, row);
	wheel_put(&book->wheel, row, expires_ns);
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

uint64_t book_wanted_by(const struct book *book, const struct ledger_element *element,
                        uint32_t policy_version)
{
	const struct ledger_row *rows = book->ledger.rows;
	uint64_t until = 0;

	for (uint32_t i = chain_of(book, element); i != BOOK_NONE; i = book->links[i].next)
		if (book->links[i].state == BOOK_LIVE && rows[i].policy_version == policy_version &&
		    same_element(&rows[i].element, element))
			until = MAX(until, rows[i].expires_ns);
	return until;
}

bool book_speaks(const struct book *book, uint32_t row, uint32_t policy_version)
{
	const struct ledger_row *rows = book->ledger.rows;
	uint32_t speaker = BOOK_NONE;

	for (uint32_t i = chain_of(book, &rows[row].element); i != BOOK_NONE;
	     i = book->links[i].next)
		if (book->links[i].state == BOOK_LIVE &&
		    (policy_version == 0 || rows[i].policy_version == policy_version) &&
		    same_element(&rows[i].element, &rows[row].element) &&
		    (speaker == BOOK_NONE || rows[i].expires_ns > rows[speaker].expires_ns))
			speaker = i;
	return speaker == row;
}

struct element_ids book_ids(const struct book *book, uint32_t row)
{
	const struct ledger_cell *cell = &book->ledger.cells[book->ledger.rows[row].reason];

	return (struct element_ids){ cell->query_id, cell->policy_version, cell->rule };
}

struct element_ids book_element_ids(const struct book *book, const struct ledger_element *element)
{
	struct element_ids ids = { .query_id = 0 };
	uint64_t until = 0;

	for (uint32_t i = chain_of(book, element); i != BOOK_NONE; i = book->links[i].next) {
		const struct ledger_row *row = &book->ledger.rows[i];

		if (book->links[i].state != BOOK_LIVE || row->expires_ns <= until ||
		    !same_element(&row->element, element))
			continue;
		until = row->expires_ns;
		ids = book_ids(book, i);
	}
	return ids;
}

uint32_t book_next(const struct book *book, const struct ledger_element *element, uint32_t row)
{
	uint32_t i = row == BOOK_NONE ? chain_of(book, element) : book->links[row].next;

	while (i != BOOK_NONE && !same_element(&book->ledger.rows[i].element, element))
		i = book->links[i].next;
	return i;
}

bool book_explains(const struct book *book, const struct ledger_element *element)
{
	return book_next(book, element, BOOK_NONE) != BOOK_NONE;
}

uint32_t book_size(const struct book *book)
{
	return ledger_rows(&book->ledger);
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

enum book_state book_state(const struct book *book, uint32_t row)
{
	return row < book->n_rows ? (enum book_state)book->links[row].state : BOOK_FREE;
}

uint32_t book_lingering(const struct book *book)
{
	return book->wheel.lingering;
}

bool book_complete(const struct book *book)
{
	return atomic_load_explicit(&book->ledger.head->complete, memory_order_relaxed) != 0;
}

void book_set_complete(struct book *book)
{
	atomic_store_explicit(&book->ledger.head->complete, 1, memory_order_release);
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
	wheel_remove(&book->wheel, row);
	uncount_destination(book, row);
	book->links[row].state = BOOK_LINGERING;
	book->links[row].idle = 0;
	book->links[row].seen = false;
	book_doubt(book, row);
	wheel_put_lingering(&book->wheel, row);
}

void book_tick(struct book *book, uint64_t now_ns)
{
	uint64_t now_s = now_ns / NS_PER_S;
	uint32_t row;

	for (uint32_t n = 0; n < TICK_SLOTS && wheel_turn(&book->wheel, now_s, &row); n++) {
		while (row != WHEEL_NONE) {
			uint32_t after = wheel_after(&book->wheel, row);
			uint64_t expires_ns = book->ledger.rows[row].expires_ns;

			if (expires_ns > now_ns)
				wheel_put(&book->wheel, row, expires_ns);
			else if (book->links[row].state == BOOK_LIVE)
				expire(book, row, now_ns);
			else
				wheel_put_next(&book->wheel, row);
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
	uint32_t row = wheel_oldest_lingering(&book->wheel);

	while (row != WHEEL_NONE) {
		struct link *link = &book->links[row];
		uint32_t after = wheel_after(&book->wheel, row);

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

static bool row_ok(const struct book *book, struct ledger_row *row, uint64_t now_ns)
{
	return seqlock_whole(&row->version) && row->reason < book->reasons.n &&
	       element_ok(&row->element) &&
	       row->expires_ns <= now_ns + UINT64_C(31536000) * NS_PER_S;
}

/* Take over what lies there: count each reason's rows anew, link what is sound, free the rest. */
static uint32_t adopt_counting(struct book *book, uint32_t *counts, uint64_t now_ns)
{
	struct ledger_row *rows = book->ledger.rows;
	struct ledger_head *head = book->ledger.head;
	uint32_t dropped = 0, high = ledger_rows(&book->ledger);

	/* What was written has its pages: where there are none, there are no rows. */
	if (!ledger_backed(&book->ledger, rows, MAX(high, 1u) * sizeof(*rows))) {
		atomic_store(&head->rows_high, 0);
		atomic_store(&head->complete, 0);
		publish_counts(book);
		return high;
	}
	for (uint32_t i = 0; i < high; i++) {
		if (rows[i].reason == BOOK_NONE ||
		    (row_ok(book, &rows[i], now_ns) &&
		     reasons_sound(&book->reasons, rows[i].reason, counts)))
			continue;
		seqlock_begin(&rows[i].version);
		rows[i].reason = BOOK_NONE;
		seqlock_end(&rows[i].version);
		dropped++;
	}
	reasons_adopt(&book->reasons, counts);
	for (uint32_t i = 0; i < high; i++)
		if (rows[i].reason != BOOK_NONE)
			row_link(book, i, BOOK_LIVE);
	/* What expired while nobody looked may still have connections. */
	for (uint32_t i = 0; i < high; i++)
		if (book->links[i].state == BOOK_LIVE && rows[i].expires_ns <= now_ns)
			expire(book, i, now_ns);
	if (dropped > 0)
		atomic_store(&head->complete, 0);
	publish_counts(book);
	return dropped;
}

static int adopt(struct book *book, uint64_t now_ns, uint32_t *ret_dropped)
{
	uint32_t *counts = calloc(book->reasons.n, sizeof(*counts));

	if (!counts)
		return ERR_NOMEM;
	*ret_dropped = adopt_counting(book, counts, now_ns);
	free(counts);
	return ERR_OK;
}

int book_new(struct book **ret_book, const struct ledger *ledger, uint64_t now_ns,
             uint32_t *ret_dropped)
{
	CLEANUP(book_free) struct book *book = calloc(1, sizeof(*book));
	uint32_t heads = 1024;

	if (!book)
		return ERR_NOMEM;
	book->ledger = *ledger;
	book->n_rows = ledger->head->n_rows;
	/* Chains of four when every row is used: their heads are touched all over, and so stay
	 * resident. */
	while (heads < book->n_rows / 4 && heads < UINT32_C(1) << 30)
		heads *= 2;
	book->mask = heads - 1;
	crypto_shorthash_keygen(book->key.octets);
	book->heads = hash_heads_new(heads);
	book->links = calloc(book->n_rows, sizeof(*book->links));
	if (!book->heads || !book->links ||
	    reasons_init(&book->reasons, &book->key, ledger, heads) < 0 ||
	    tenants_init(&book->tenants, &book->key, book->n_rows, heads) < 0 ||
	    wheel_init(&book->wheel, book->n_rows, now_ns) < 0)
		return ERR_NOMEM;
	book->free = HASH_NONE;
	if (adopt(book, now_ns, ret_dropped) < 0)
		return ERR_NOMEM;
	*ret_book = TAKE(book);
	return ERR_OK;
}

void book_free(struct book *book)
{
	if (!book)
		return;
	wheel_fini(&book->wheel);
	tenants_fini(&book->tenants);
	reasons_fini(&book->reasons);
	free(book->heads);
	free(book->links);
	free(book);
}
