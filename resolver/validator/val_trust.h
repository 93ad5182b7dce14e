/* val_trust.h - what is believed of zones, shared by all workers.
 *
 * A row says of one name: a zone with these keys; a delegation that is proven unsigned; no zone cut
 * at all, or not even a name; or that its proof failed. Rows are immutable and counted; the table
 * is bounded, a full set of it forgets its oldest, and so are the keys in it all together, for
 * whoever may make zones may give each of them many. Losing a row costs its questions again, never
 * more.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "val_key.h"
#include "val_verify.h"

enum val_trust_kind {
	VAL_TRUST_BOGUS = 0, /* a proof failed: nothing below is believed for a while (RFC 9520) */
	VAL_TRUST_NO_CUT,    /* the zone above goes on here */
	VAL_TRUST_NOT_THERE, /* and has nothing here, nor below (RFC 8020) */
	VAL_TRUST_INSECURE,  /* everything from here down is unsigned */
	VAL_TRUST_SECURE,    /* an apex with keys */
};

enum val_trust_limit {
	VAL_TRUST_ROWS = 16384,     /* of the table */
	VAL_TRUST_TTL_S = 86400,    /* keys are kept no longer */
	VAL_TRUST_CUT_TTL_S = 3600, /* what is not there */
};

struct val_trust {
	_Atomic uint32_t refs;
	uint8_t kind;     /* enum val_trust_kind */
	uint8_t why;      /* enum val_why: of BOGUS and INSECURE */
	uint16_t tag;     /* of SECURE: the key that the parent names; of BOGUS: of the signature */
	uint16_t type;    /* of BOGUS: DS or DNSKEY, whichever failed */
	uint8_t streak;   /* of BOGUS: how often in a row, val_failure_hold_s() */
	uint64_t held_ns; /* of BOGUS: expires_ns as it was made, which needs no lock */
	uint64_t expires_ns;   /* once it is in the table: for the table alone, under its lock */
	struct val_keys *keys; /* of SECURE */
	uint8_t name_len;
	uint8_t name[]; /* lower case */
};

/* One reference for the caller; @keys (of SECURE, else NULL) is referenced. NULL: out of memory. */
struct val_trust *val_trust_new(const uint8_t *name, enum val_trust_kind kind, enum val_why why,
                                struct val_keys *keys, uint64_t expires_ns);
struct val_trust *val_trust_ref(struct val_trust *trust);
void val_trust_unref(struct val_trust *trust); /* NULL is fine */
DEFINE_CLEANUP(struct val_trust *, val_trust_unref)

struct val_table;
struct val_table *val_table_new(const uint8_t hash_key[static 16]);
void val_table_free(struct val_table *table); /* NULL is fine */
DEFINE_CLEANUP(struct val_table *, val_table_free)
/* The row of @name (lower case), with a reference for the caller, or NULL. */
struct val_trust *val_table_get(struct val_table *table, const uint8_t *name, uint64_t now_ns);
/* Takes its own reference. True: others with keys had to go for it (LIMIT_VAL_KEYS_ALL). */
bool val_table_put(struct val_table *table, struct val_trust *trust);
/* Forget @name (lower case): it is to be asked about again. */
void val_table_forget(struct val_table *table, const uint8_t *name);
/* The streak of a failure of @name that happens now. */
uint8_t val_table_streak(struct val_table *table, const uint8_t *name, uint64_t now_ns);
void val_table_clear(struct val_table *table); /* anchors have changed: nothing is believed */
