/* sallyport/catalog.h - the names behind the ids of one policy version, as the historian needs
 * them: a sealed memfd of text that the keeper derives from the policy image.
 *
 * Lines, fields separated by TAB, in this order (ids count from 0 without a hole):
 *     sallyport-catalog 1 POLICY_VERSION
 *     W id workload profile
 *     R id verdict(allow|deny) pattern file line      pattern as shown to people: "allow
 * db.corp.test" F id feed The last line is "E". It carries no other characters below 0x20.
 */
#pragma once

#define CATALOG_MAGIC "sallyport-catalog"
#define CATALOG_FORMAT 1
