/* keeper/catalog.h - the names behind a policy version's ids, as text for the historian
 * (sallyport/catalog.h has the format).
 */
#pragma once

#include <stddef.h>

#include "policy/image.h"
#include "sallyport/cleanup.h"

/* @file: where the policy was read, for people. The caller frees *ret_text. Returns 0 or
 * ERR_NOMEM. */
int catalog_build(const struct policy_image *image, const char *file, char **ret_text,
                  size_t *ret_len) MUST_CHECK;
