/* keeper/edition.h - one policy version with everything that is derived from it, ready to hand out:
 * image, guard table, catalog. Immutable and counted; version 0 is "no policy" and has a guard
 * table only.
 */
#pragma once

#include <stdint.h>

#include "config.h"
#include "policy/image.h"
#include "sallyport/cleanup.h"

struct edition {
	unsigned int refs;
	uint32_t version;
	struct policy_image image;          /* data NULL in version 0 */
	int image_fd, guard_fd, catalog_fd; /* sealed; -1 where there is none */
};

/* Check, map and take over a compiled image: @image_fd is owned from here on, whatever is returned.
 * Returns 0 with one reference, ERR_DAMAGED (not sealed, or not an image), ERR_LIMIT or ERR_NOMEM.
 */
int edition_new(int image_fd, uint32_t version, const char *file, const struct config *config,
                struct edition **ret_edition) MUST_CHECK;
/* The edition before there is any policy: whom the last one guarded is guarded. */
int edition_none(const struct config *config, struct edition **ret_edition) MUST_CHECK;
/* The guard table anew, after the configuration has changed. */
int edition_renew_guard(struct edition *edition, const struct config *config) MUST_CHECK;
/* What of its policy, written in @file, the configuration does not provide for (policy/site.h). */
void edition_warn(const struct edition *edition, const struct config *config, const char *file,
                  struct diag *diag);
/* Keep whom it guards for the next start (guarded.h); a failure is told in the log. */
void edition_keep_guarded(const struct edition *edition, const struct config *config);
struct edition *edition_ref(struct edition *edition);
void edition_unref(struct edition *edition); /* NULL is fine */
DEFINE_CLEANUP(struct edition *, edition_unref)

/* Map a sealed image for reading only. @ret_image->data is unmapped with munmap(). Returns 0,
 * ERR_DAMAGED, ERR_VERSION, ERR_LIMIT or -errno. */
int edition_map(int image_fd, uint32_t version, struct policy_image *ret_image) MUST_CHECK;
