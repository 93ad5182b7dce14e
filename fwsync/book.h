/* fwsync/book.h - the ledger with an index: which elements are open, for which reasons, until when.
 *
 * The rows and reasons lie in the ledger's shared memory, where the keeper reads them; everything
 * here beside them is private and rebuilt from them at the start. Pure: no clock, no kernel.
 *
 *   row: (element, reason). An element lives in the kernel as long as the longest of its rows.
 *
 *     (free) --book_add()--> PENDING --book_confirm()--> LIVE --book_tick()--> LINGERING --> (free)
 *                               '---book_remove()            '--book_confirm()-----'
 *     LIVE or LINGERING --book_condemn()--> CONDEMNED --book_remove()--> (free)
 *
 * A row that has expired while no other row holds its element *lingers*: connections that began
 * in time go on after the element's end, so a policy switch must still find why they were let in.
 * It goes when two passes over the kernel's connections have found none of them, or when the
 * ledger is full (the oldest first; then its connections must be cut).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/ledger.h"

#include "element.h"

#define BOOK_NONE UINT32_MAX

struct book;

/* Rebuild the index from what lies in @ledger; the memory stays the caller's. What a writer that
 * died left half-written, or makes no sense, is dropped; @ret_dropped tells how many rows.
 * Returns 0 or ERR_NOMEM. */
int book_new(struct book **ret_book, const struct ledger *ledger, uint64_t now_ns,
             uint32_t *ret_dropped) MUST_CHECK;
void book_free(struct book *book);
DEFINE_CLEANUP(struct book *, book_free)

uint64_t book_hash(const struct book *book, const struct ledger_element *element);

/* The reason of @workload for these names, made if there is none yet; BOOK_NONE when full. Unused
 * ones are dropped by book_reason_settle(). */
uint32_t book_reason(struct book *book, const char *workload, const uint8_t *names,
                     uint16_t names_len, uint16_t names_flags, uint64_t wall_ns);
void book_reason_settle(struct book *book, uint32_t reason);
void book_reason_opened(struct book *book, uint32_t reason, uint64_t query_id,
                        uint32_t policy_version, uint32_t rule);

uint32_t book_find(const struct book *book, const struct ledger_element *element, uint32_t reason);
/* A new row, pending. BOOK_NONE when there is no room. */
uint32_t book_add(struct book *book, const struct ledger_element *element, uint32_t reason,
                  uint64_t now_ns, uint64_t expires_ns);
/* A lingering row counts as open again; book_tick() takes it back when nothing confirms it. */
void book_revive(struct book *book, uint32_t row);
/* The kernel is about to be asked to hold the row's element until @expires_ns: the ledger says so
 * first, for who asks may die before the answer. At the end of it the row ends when it did before,
 * or when book_confirm() said. */
void book_foresee(struct book *book, uint32_t row, uint64_t expires_ns);
void book_foresee_end(struct book *book, uint32_t row);
/* Nobody can know whether the kernel holds @element until @expires_ns: of the rows that want it the
 * one with the latest end says so. False: there is none. */
bool book_believe(struct book *book, const struct ledger_element *element, uint64_t expires_ns);
/* The kernel holds the row's element at least until @kernel_ns (@epoch); the row expires at
 * @expires_ns, if that is later than before. @policy_version: that judged it; 0: as before. */
void book_confirm(struct book *book, uint32_t row, uint64_t expires_ns, uint64_t kernel_ns,
                  uint64_t epoch, uint32_t policy_version);
/* Forget a confirmation (lost, or not verified yet). */
void book_doubt(struct book *book, uint32_t row);
/* The kernel's element turned out to end at @expires_ns: the row ends there, too. */
void book_shorten(struct book *book, uint32_t row, uint64_t expires_ns);
void book_remove(struct book *book, uint32_t row);
/* The row wants its element no more, and yet explains it until book_remove(), which comes when the
 * kernel has let go of it: who dies in between leaves a row that is judged again. */
void book_condemn(struct book *book, uint32_t row);

/* Has @element as many rows as may have names (LIMIT_PINHOLE_REASONS)? What concerns an element is
 * a walk along its rows, so there must be an end to them. */
bool book_crowded(const struct book *book, const struct ledger_element *element);
/* Is there a row yet that points to @reason? */
bool book_reason_used(const struct book *book, uint32_t reason);

/* Until when does the kernel hold @element for sure (confirmed in @epoch)? 0: not known. */
uint64_t book_kernel_until(const struct book *book, const struct ledger_element *element,
                           uint64_t epoch);
/* The latest end among the element's live rows; 0: none. */
uint64_t book_wanted_until(const struct book *book, const struct ledger_element *element);
/* The same among rows that @policy_version has judged. */
uint64_t book_wanted_by(const struct book *book, const struct ledger_element *element,
                        uint32_t policy_version);
/* Is @row the one of its element's live rows that ends last? Of several that do one is.
 * @policy_version: only rows that it has judged count; 0: all. */
bool book_speaks(const struct book *book, uint32_t row, uint32_t policy_version);
/* Why @row is there, by its newest ids; and why @element is in the kernel, by those of the row that
 * wants it longest. */
struct element_ids book_ids(const struct book *book, uint32_t row);
struct element_ids book_element_ids(const struct book *book, const struct ledger_element *element);
/* The row of @element behind @row (BOOK_NONE: its first), lingering ones included; BOOK_NONE: there
 * is no other. */
uint32_t book_next(const struct book *book, const struct ledger_element *element, uint32_t row);
/* Any row at all, lingering ones included? */
bool book_explains(const struct book *book, const struct ledger_element *element);

/* Distinct destinations that the workload of @reason has open (pending ones included). */
uint32_t book_destinations(const struct book *book, uint32_t reason);
/* The rows of that workload: elements, each once for each question that wants it. */
uint32_t book_rows_of(const struct book *book, uint32_t reason);

/* Walk over all rows that were ever used: true when @row is in use (@ret_row points into the
 * ledger).
 */
uint32_t book_size(const struct book *book);
bool book_row(const struct book *book, uint32_t row, const struct ledger_row **ret_row);
/* Did the kernel hold the row's element in @epoch? */
bool book_row_confirmed(const struct book *book, uint32_t row, uint64_t epoch);
enum book_state { BOOK_FREE, BOOK_PENDING, BOOK_LIVE, BOOK_LINGERING, BOOK_CONDEMNED };
enum book_state book_state(const struct book *book, uint32_t row);

/* Does every element in the kernel have a row? Not so with a table that is older than its ledger,
 * or after rows were dropped, until the sets have been emptied. Kept in the ledger. */
bool book_complete(const struct book *book);
void book_set_complete(struct book *book);

/* Expired rows go, or begin to linger. Call it about once a second or more often. */
void book_tick(struct book *book, uint64_t now_ns);

/* A pass over the kernel's connections: begin, tell each element seen, end. */
void book_flow_seen(struct book *book, const struct ledger_element *element);
void book_flows_passed(struct book *book);
uint32_t book_lingering(const struct book *book);
/* True once after lingering rows were sacrificed for room: their connections must be cut. */
bool book_sacrificed(struct book *book);
