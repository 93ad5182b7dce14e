/* policy/compile_image.h - from a checked document and its feeds to the image. */
#pragma once

#include "compile_doc.h"
#include "compile_feed.h"

/* @seed: starts the choice of the tables' seed. Returns 0, ERR_NOMEM, ERR_LIMIT or ERR_CONFIG
 * (faults in @diag). On success *ret_image is malloc'ed. */
int image_build(const struct policy_doc *doc, struct feed_table *feeds, uint64_t seed,
                void **ret_image, size_t *ret_len, struct diag *diag) MUST_CHECK;

/* compile_warn.c: what is legal but probably not meant. */
int policy_warn(const struct policy_doc *doc, const struct policy_image *image, uint64_t now_s,
                struct diag *diag) MUST_CHECK;
