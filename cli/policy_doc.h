/* policy_doc.h - a policy with its feeds, from a file or from the keeper's store. */
#pragma once

#include <stdint.h>

#include "cli.h"
#include "file.h"
#include "policy/compile.h"
#include "sallyport/cleanup.h"

#define POLICY_DOC_SHA256_TEXT 65 /* hexadecimal, with the terminator */

struct policy_doc_feed {
	char *name;
	char *file; /* of a file: as opened; of the store: as it was named */
	char sha256[POLICY_DOC_SHA256_TEXT];
	int fd;       /* of a file; -1: still in the store */
	bool missing; /* its file cannot be read */
};

struct policy_doc {
	char *label;      /* "policy.yaml", "version 3" */
	uint32_t version; /* of the store; 0: a file */
	struct file_text text;
	int fd; /* of a file, at offset 0; else -1 */
	struct policy_doc_feed *feeds;
	size_t n_feeds;
};

void policy_doc_init(struct policy_doc *doc);
void policy_doc_fini(struct policy_doc *doc);
static inline void policy_doc_fini_cleanup(struct policy_doc *doc)
{
	policy_doc_fini(doc);
}

/* Each returns a status of enum cli_exit, having said what is wrong. */

/* Open @file and the feeds it names, with the caller's rights. Feeds lie beside the policy unless
 * their path is absolute. A feed that cannot be read is a fault in @diag, with its line. */
int policy_doc_open(const struct cli *cli, const char *file, struct policy_doc *doc,
                    struct diag *diag);

/* Fetch version @which ("3", "current") from the keeper. @quiet: say nothing when there is no
 * keeper or no such version. */
int policy_doc_fetch(const struct cli *cli, const char *which, bool quiet, struct policy_doc *doc);

/* A number or "current" is a version, all else a file: write ./3 for a file of that name. */
bool policy_doc_is_version(const char *which);

/* Compile it here, to find every fault. CLI_YES (maybe with warnings), CLI_NO (faults in @diag) or
 * CLI_FAILED. */
int policy_doc_check(const struct cli *cli, const struct policy_doc *doc, struct diag *diag);
