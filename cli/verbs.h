/* verbs.h - every verb of the command: name, words, options, and the function that does it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli.h"

struct verb {
	const char *group;    /* first word */
	const char *name;     /* second word, or NULL */
	const char *synopsis; /* words after it, for help */
	const char *help;     /* one line */
	const char *more;     /* further lines of its own help, or NULL */
	uint64_t options;
	size_t n_min, n_max; /* words after the verb */
	int (*run)(struct cli *cli, const char *const *words, size_t n_words);
	bool alone; /* without the configuration, or reads it by itself */
};

extern const struct verb verbs[];
extern const size_t verbs_n;

/* A verb that the design names for later, or NULL: then @word is unknown. */
const char *verbs_later(const char *group, const char *name);

/* The nearest known group, or sub-verb of @group, or NULL. */
const char *verbs_nearest(const char *group, const char *name);

void verbs_help(FILE *out); /* all verbs */
void verbs_help_one(FILE *out, const struct verb *verb);

int verb_status(struct cli *cli, const char *const *words, size_t n_words);
int verb_check(struct cli *cli, const char *const *words, size_t n_words);
int verb_policy_apply(struct cli *cli, const char *const *words, size_t n_words);
int verb_policy_diff(struct cli *cli, const char *const *words, size_t n_words);
int verb_policy_show(struct cli *cli, const char *const *words, size_t n_words);
int verb_policy_versions(struct cli *cli, const char *const *words, size_t n_words);
int verb_policy_rollback(struct cli *cli, const char *const *words, size_t n_words);
int verb_explain(struct cli *cli, const char *const *words, size_t n_words);
int verb_workload_list(struct cli *cli, const char *const *words, size_t n_words);
int verb_profile_list(struct cli *cli, const char *const *words, size_t n_words);
int verb_history(struct cli *cli, const char *const *words, size_t n_words);
int verb_top(struct cli *cli, const char *const *words, size_t n_words);
int verb_pinholes(struct cli *cli, const char *const *words, size_t n_words);
int verb_who(struct cli *cli, const char *const *words, size_t n_words);
int verb_flush(struct cli *cli, const char *const *words, size_t n_words);
int verb_audit(struct cli *cli, const char *const *words, size_t n_words);
int verb_restart(struct cli *cli, const char *const *words, size_t n_words);
int verb_reload(struct cli *cli, const char *const *words, size_t n_words);
int verb_anchors(struct cli *cli, const char *const *words, size_t n_words);
int verb_nta_add(struct cli *cli, const char *const *words, size_t n_words);
int verb_nta_list(struct cli *cli, const char *const *words, size_t n_words);
int verb_nta_remove(struct cli *cli, const char *const *words, size_t n_words);
int verb_help(struct cli *cli, const char *const *words, size_t n_words);
int verb_complete(struct cli *cli, const char *const *words, size_t n_words);
