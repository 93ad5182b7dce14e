/* sallyport/document.h - what a YAML text must be before a YAML library may see it.
 *
 * libfyaml 0.7.12 never returns from some directives ("%" at the start of a line), above all from
 * those that are not UTF-8, and people's terminals obey control characters. Nobody needs any of
 * them in a policy or a configuration.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sallyport/diag.h"

/* Octets of the UTF-8 sequence at @s (RFC 3629), 1 to 4; 0 when it is none within @avail octets. */
size_t utf8_len(const char *s, size_t avail, uint32_t *ret_point);

/* Returns 0, or ERR_CONFIG with the first fault in @diag (which may be NULL): an octet that is not
 * UTF-8, a control character (tabs and line ends are none), a directive. */
int document_check(const char *file, const char *text, size_t len, struct diag *diag) MUST_CHECK;
