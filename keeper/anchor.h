/* keeper/anchor.h - trust anchors in presentation form: DS and DNSKEY records, one a line.
 *
 *     . IN DS 20326 8 2 E06D44B8...     ; a comment
 *     corp.test. 3600 IN DNSKEY 257 3 13 mdsswUyr...
 *
 * Class and TTL may be left out; hex and base64 may have blanks in them; no parentheses.
 */
#pragma once

#include "sallyport/role.h"

/* Where Debian's package dns-root-data keeps the root's. */
#define ANCHOR_FILE_ROOT "/usr/share/dns/root.ds"

/* Read one line (terminated, without its newline). Returns 0, ERR_NOENT (nothing but blanks and
 * comments) or ERR_INVAL with what is wrong in *ret_why (static). */
int anchor_read(const char *line, struct conf_anchor *ret_anchor, const char **ret_why);
