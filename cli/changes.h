/* changes.h - what differs between two policies, rule by rule and workload by workload.
 *
 * Compares the documents, not their compiled images, so a change of any key is seen and the two
 * need not be valid. A rule is the same rule when profile, kind and pattern are the same.
 */
#pragma once

#include <stddef.h>

#include "sallyport/cleanup.h"

enum change_what { CHANGE_ADDED, CHANGE_REMOVED, CHANGE_CHANGED };
const char *change_what_str(enum change_what what); /* "added" ... */

struct change {
	enum change_what what;
	const char *kind; /* "profile", "rule", "feed", "workload", "host", "setting" */
	char *subject;    /* "app-server: allow db.corp.test", "app01" */
	char *before;     /* as flow YAML; NULL when added */
	char *after;      /* NULL when removed */
};

struct changes {
	struct change *items; /* sorted by kind, as above, and subject */
	size_t n;
};
void changes_fini(struct changes *changes);
static inline void changes_fini_cleanup(struct changes *changes)
{
	changes_fini(changes);
}

/* Compare two YAML texts; an empty one has nothing in it. Returns 0, ERR_MALFORMED (one of them is
 * no YAML mapping) or ERR_NOMEM. */
int changes_find(const char *old, size_t old_len, const char *new, size_t new_len,
                 struct changes *ret_changes) MUST_CHECK;
