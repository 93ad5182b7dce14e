/* bundle.h - a policy with its feeds, from a file or from the keeper's store. */
#pragma once

#include <stdint.h>

#include "cli.h"
#include "file.h"
#include "policy/compile.h"
#include "sallyport/cleanup.h"

#define BUNDLE_SHA256_TEXT 65 /* hexadecimal, with the terminator */

struct bundle_feed {
	char *name;
	char *file; /* of a file: as opened; of the store: as it was named */
	char sha256[BUNDLE_SHA256_TEXT];
	int fd;       /* of a file; -1: still in the store */
	bool missing; /* its file cannot be read */
};

struct bundle {
	char *label;      /* "policy.yaml", "version 3" */
	uint32_t version; /* of the store; 0: a file */
	struct file_text text;
	int fd; /* of a file, at offset 0; else -1 */
	struct bundle_feed *feeds;
	size_t n_feeds;
};

#define BUNDLE_INIT                                                                                \
	{                                                                                          \
		.fd = -1                                                                           \
	}
void bundle_fini(struct bundle *bundle);
static inline void bundle_fini_cleanup(struct bundle *bundle)
{
	bundle_fini(bundle);
}

/* Each returns a status of enum cli_exit, having said what is wrong. */

/* Open @file and the feeds it names, with the caller's rights. Feeds lie beside the policy unless
 * their path is absolute. A feed that cannot be read is a fault in @diag, with its line. A text
 * that is no UTF-8 is CLI_NO, with the fault. */
int bundle_open(const struct cli *cli, const char *file, struct bundle *bundle, struct diag *diag);

/* Fetch version @which ("3", "current") from the keeper. @quiet: say nothing when there is no
 * keeper or no such version. */
int bundle_fetch(const struct cli *cli, const char *which, bool quiet, struct bundle *bundle);

/* A number or "current" is a version, all else a file: write ./3 for a file of that name. */
bool bundle_is_version(const char *which);

/* Compile it here, to find every fault. CLI_YES (maybe with warnings), CLI_NO (faults in @diag) or
 * CLI_FAILED. */
int bundle_check(const struct cli *cli, const struct bundle *bundle, struct diag *diag);
