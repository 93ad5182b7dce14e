/* fwsync/reasons.c - cells, and names that are too long for one. */
#include "reasons.h"

#include <stdlib.h>

#include "sallyport/err.h"

#include "seqlock.h"

#define UNSOUND UINT32_MAX /* in counts: looked at, and of no use */

int reasons_init(struct reasons *r, const struct hash_key *key, const struct ledger *ledger,
                 uint32_t n_heads)
{
	uint32_t n = ledger->head->n_reasons, n_more = ledger->head->n_more;

	*r = (struct reasons){ .key = key,
		               .ledger = *ledger,
		               .cells = ledger->cells,
		               .more = ledger->more,
		               .n = n,
		               .n_more = n_more,
		               .mask = n_heads - 1,
		               .heads = hash_heads_new(n_heads),
		               .next = calloc(n, sizeof(*r->next)),
		               .used = calloc(n, sizeof(*r->used)),
		               .workload = calloc(n, sizeof(*r->workload)),
		               .more_next = calloc(n_more, sizeof(*r->more_next)),
		               .more_used = calloc(n_more, sizeof(*r->more_used)),
		               .free = HASH_NONE,
		               .more_free = HASH_NONE };
	return r->heads && r->next && r->used && r->workload && r->more_next && r->more_used
	           ? ERR_OK
	           : ERR_NOMEM;
}

void reasons_fini(struct reasons *r)
{
	free(r->heads);
	free(r->next);
	free(r->used);
	free(r->workload);
	free(r->more_next);
	free(r->more_used);
}

/* What a reason is of, as a question asks for it. */
struct subject {
	const char *workload;
	const uint8_t *names;
	uint64_t workload_hash;
	uint16_t names_len, names_flags;
};

static uint64_t workload_hash(const struct reasons *r, const char *workload)
{
	return hash_of(r->key, workload, strnlen(workload, LIMIT_WORKLOAD_NAME));
}

static uint64_t subject_hash(const struct reasons *r, const struct subject *subject)
{
	uint8_t buf[sizeof(uint64_t) + sizeof(uint16_t) + LIMIT_PINHOLE_NAMES];
	size_t len = 0;

	memcpy(buf, &subject->workload_hash, sizeof(subject->workload_hash));
	len += sizeof(subject->workload_hash);
	memcpy(buf + len, &subject->names_flags, sizeof(subject->names_flags));
	len += sizeof(subject->names_flags);
	if (subject->names_len > 0)
		memcpy(buf + len, subject->names, subject->names_len);
	return hash_of(r->key, buf, len + subject->names_len);
}

/* Names that are too long for a cell. */

static bool has_more(const struct ledger_cell *cell)
{
	return cell->names_len > LEDGER_NAMES_NEAR;
}

/* Room for long names, or REASONS_NONE. */
static uint32_t more_take(struct reasons *r)
{
	uint32_t i = r->more_free;

	if (i != HASH_NONE) {
		r->more_free = r->more_next[i];
	} else {
		while (r->more_fresh < r->n_more && r->more_used[r->more_fresh])
			r->more_fresh++;
		if (r->more_fresh == r->n_more ||
		    !ledger_backed(&r->ledger, r->more[r->more_fresh], sizeof(*r->more)))
			return REASONS_NONE;
		i = r->more_fresh++;
	}
	r->more_used[i] = true;
	return i;
}

static void more_put(struct reasons *r, uint32_t i)
{
	r->more_used[i] = false;
	if (i >= r->more_fresh)
		return;
	r->more_next[i] = r->more_free;
	r->more_free = i;
}

/* Finding. */

static struct subject subject_of(const struct reasons *r, uint32_t reason)
{
	const struct ledger_cell *cell = &r->cells[reason];

	return (struct subject){ .workload = cell->workload,
		                 .names = has_more(cell) ? r->more[cell->more] : cell->names,
		                 .workload_hash = r->workload[reason],
		                 .names_len = cell->names_len,
		                 .names_flags = cell->names_flags };
}

static bool same_subject(const struct subject *a, const struct subject *b)
{
	return a->workload_hash == b->workload_hash && a->names_len == b->names_len &&
	       a->names_flags == b->names_flags &&
	       strncmp(a->workload, b->workload, LIMIT_WORKLOAD_NAME) == 0 &&
	       (a->names_len == 0 || memcmp(a->names, b->names, a->names_len) == 0);
}

static uint32_t *head_of(const struct reasons *r, const struct subject *subject)
{
	return &r->heads[subject_hash(r, subject) & r->mask];
}

static uint32_t find(const struct reasons *r, const struct subject *subject)
{
	for (uint32_t i = *head_of(r, subject); i != HASH_NONE; i = r->next[i]) {
		struct subject other = subject_of(r, i);

		if (same_subject(subject, &other))
			return i;
	}
	return REASONS_NONE;
}

static void link_in(struct reasons *r, uint32_t reason)
{
	struct subject subject;
	uint32_t *head;

	r->workload[reason] = workload_hash(r, r->cells[reason].workload);
	subject = subject_of(r, reason);
	head = head_of(r, &subject);
	r->used[reason] = true;
	r->next[reason] = *head;
	*head = reason;
	r->n_used++;
}

/* Making. */

/* An unused reason, or REASONS_NONE. */
static uint32_t take(struct reasons *r)
{
	uint32_t i = r->free;

	if (i != HASH_NONE) {
		r->free = r->next[i];
		return i;
	}
	while (r->fresh < r->n && r->used[r->fresh])
		r->fresh++;
	if (r->fresh == r->n || !ledger_backed(&r->ledger, &r->cells[r->fresh], sizeof(*r->cells)))
		return REASONS_NONE;
	return r->fresh++;
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
	subject->names_flags |= PINHOLE_NAMES_CUT;
}

static void write_cell(struct reasons *r, uint32_t reason, uint32_t more,
                       const struct subject *subject, uint64_t wall_ns)
{
	struct ledger_cell *cell = &r->cells[reason];
	bool near = subject->names_len <= LEDGER_NAMES_NEAR;

	seqlock_begin(&cell->version);
	cell->rows = 0;
	cell->query_id = 0;
	cell->since_wall_ns = wall_ns;
	cell->policy_version = 0;
	cell->rule = 0;
	cell->names_len = subject->names_len;
	cell->names_flags = subject->names_flags;
	cell->more = near ? 0 : more;
	memset(cell->workload, 0, sizeof(cell->workload));
	memcpy(cell->workload, subject->workload, strnlen(subject->workload, LIMIT_WORKLOAD_NAME));
	if (subject->names_len > 0)
		memcpy(near ? cell->names : r->more[more], subject->names, subject->names_len);
	seqlock_end(&cell->version);
}

uint32_t reasons_get(struct reasons *r, const char *workload, const uint8_t *names,
                     uint16_t names_len, uint16_t names_flags, uint64_t wall_ns)
{
	struct subject subject = { workload, names, workload_hash(r, workload), names_len,
		                   names_flags };
	uint32_t i = find(r, &subject), more = REASONS_NONE;

	if (i != REASONS_NONE)
		return i;
	if (names_len > LEDGER_NAMES_NEAR) {
		more = more_take(r);
		if (more == REASONS_NONE) {
			cut_names(&subject);
			i = find(r, &subject);
			if (i != REASONS_NONE)
				return i;
		}
	}
	i = take(r);
	if (i == REASONS_NONE) {
		if (more != REASONS_NONE)
			more_put(r, more);
		return REASONS_NONE;
	}
	write_cell(r, i, more, &subject, wall_ns);
	link_in(r, i);
	return i;
}

void reasons_settle(struct reasons *r, uint32_t reason)
{
	const struct ledger_cell *cell = &r->cells[reason];
	struct subject subject;
	uint32_t *at;

	if (cell->rows > 0 || !r->used[reason])
		return; /* or it has gone with its last row */
	subject = subject_of(r, reason);
	at = head_of(r, &subject);
	while (*at != reason)
		at = &r->next[*at];
	*at = r->next[reason];
	r->used[reason] = false;
	if (has_more(cell))
		more_put(r, cell->more);
	if (reason < r->fresh) {
		r->next[reason] = r->free;
		r->free = reason;
	}
	r->n_used--;
}

void reasons_opened(struct reasons *r, uint32_t reason, uint64_t query_id, uint32_t policy_version,
                    uint32_t rule)
{
	struct ledger_cell *cell = &r->cells[reason];

	seqlock_begin(&cell->version);
	cell->query_id = query_id;
	cell->policy_version = policy_version;
	cell->rule = rule;
	seqlock_end(&cell->version);
}

void reasons_count(struct reasons *r, uint32_t reason, int by)
{
	struct ledger_cell *cell = &r->cells[reason];

	seqlock_begin(&cell->version);
	cell->rows = (uint32_t)((int64_t)cell->rows + by);
	seqlock_end(&cell->version);
}

uint64_t reasons_workload(const struct reasons *r, uint32_t reason)
{
	return r->workload[reason];
}

/* Adoption. */

static bool cell_ok(const struct reasons *r, struct ledger_cell *cell)
{
	return ledger_backed(&r->ledger, cell, sizeof(*cell)) && seqlock_whole(&cell->version) &&
	       cell->names_len <= LIMIT_PINHOLE_NAMES &&
	       memchr(cell->workload, '\0', sizeof(cell->workload)) && cell->workload[0] != '\0' &&
	       (!has_more(cell) ||
	        (cell->more < r->n_more && !r->more_used[cell->more] &&
	         ledger_backed(&r->ledger, r->more[cell->more], sizeof(*r->more))));
}

bool reasons_sound(struct reasons *r, uint32_t reason, uint32_t *counts)
{
	struct ledger_cell *cell = &r->cells[reason];

	if (counts[reason] == 0) { /* looked at once: it takes its place in `more` then */
		if (!cell_ok(r, cell))
			counts[reason] = UNSOUND;
		else if (has_more(cell))
			r->more_used[cell->more] = true;
	}
	if (counts[reason] == UNSOUND)
		return false;
	counts[reason]++;
	return true;
}

void reasons_adopt(struct reasons *r, const uint32_t *counts)
{
	for (uint32_t i = 0; i < r->n; i++) {
		if (counts[i] == 0 || counts[i] == UNSOUND)
			continue;
		seqlock_begin(&r->cells[i].version);
		r->cells[i].rows = counts[i];
		seqlock_end(&r->cells[i].version);
		link_in(r, i);
	}
}
