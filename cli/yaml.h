/* yaml.h - a YAML text as a tree, without a word on stderr when it is none. */
#pragma once

#include <libfyaml.h>
#include <stddef.h>

#include "sallyport/cleanup.h"

DEFINE_CLEANUP(struct fy_document *, fy_document_destroy)

/* Parse @len octets at @text, which must outlive the document. NULL when it is no YAML or there is
 * no memory: who wants to know why asks `sallyport check`. */
struct fy_document *yaml_parse(const char *text, size_t len);
