/* args.h - a command line taken apart: words and options.
 *
 * Options may stand anywhere, as --name VALUE, --name=VALUE or -n VALUE; "--" ends them. Every
 * option is known in one table, so the line is read before the verb is known, and each verb then
 * says which options it takes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sallyport/cleanup.h"

/* X(symbol, name, letter or 0, what the value is or NULL for a flag, help) */
#define ARGS_OPTIONS(X)                                                                            \
	X(CONFIG, "config", 'c', "FILE", "configuration (/etc/sallyport/sallyport.yaml)")          \
	X(JSON, "json", 'j', NULL, "one JSON object a line, stable field names")                   \
	X(LOCAL, "local", 0, NULL, "show and read times in the local zone, not UTC")               \
	X(COLOR, "color", 0, "WHEN", "auto, always or never")                                      \
	X(HELP, "help", 'h', NULL, "this text")                                                    \
	X(VERSION, "version", 'V', NULL, "the version of this program")                            \
	X(WORKLOAD, "workload", 'w', "NAME", "asked by this workload")                             \
	X(PROFILE, "profile", 'p', "NAME", "judged by this profile")                               \
	X(NAME, "name", 'n', "GLOB", "name: exact, with *, or **.SUFFIX for all below")            \
	X(ADDRESS, "address", 'a', "ADDR", "given this address, or one of this prefix")            \
	X(CLIENT, "client", 0, "ADDR", "asked from this address, or one of this prefix")           \
	X(VERDICT, "verdict", 0, "VERDICT", "allow, deny or local")                                \
	X(REASON, "reason", 0, "REASON", "why: of a query, as 'no rule' or feed; of a change")     \
	X(FOR, "for", 0, "SPAN", "for so long, as 1d")                                             \
	X(STATE, "state", 0, "STATE", "validated so: secure, insecure, indeterminate, bogus")      \
	X(TYPE, "type", 't', "TYPE", "record type, as AAAA")                                       \
	X(RULE, "rule", 0, "TEXT", "decided by this rule, as shown")                               \
	X(SINCE, "since", 's', "TIME",                                                             \
	  "from this moment on: 2h (ago), 2026-11-23 09:00, RFC 3339")                             \
	X(UNTIL, "until", 0, "TIME", "up to this moment")                                          \
	X(LIMIT, "limit", 'l', "N", "at most N rows; 0: all of them")                              \
	X(FIRST, "first", 0, "N", "the N oldest rows")                                             \
	X(LAST, "last", 0, "N", "the N newest rows")                                               \
	X(ID, "id", 'i', "ID", "the query with this id")                                           \
	X(FOLLOW, "follow", 'f', NULL, "go on with new rows as they come")                         \
	X(OLDEST, "oldest", 0, NULL, "with a limit: the oldest rows, not the newest")              \
	X(AT, "at", 0, "TIME", "as of this moment")                                                \
	X(POLICY_VERSION, "policy-version", 0, "N", "judged by this version of the policy")        \
	X(DNSSEC, "dnssec", 0, NULL, "ask now, and show the chain of signatures link by link")     \
	X(SVG, "svg", 0, "FILE", "with --dnssec: draw the chain into FILE; - is standard output")  \
	X(COMMENT, "comment", 'm', "TEXT", "kept with the version")                                \
	X(DRY_RUN, "dry-run", 0, NULL, "check and show what would change, and stop")               \
	X(BELOW, "below", 0, NULL, "and every name below it")                                      \
	X(ALL, "all", 0, NULL, "everything")                                                       \
	X(INTERVAL, "interval", 0, "SPAN", "measure rates over this span, as 5s")

#define ARGS_ENUM_(sym, name, letter, arg, help) OPT_##sym,
enum opt { ARGS_OPTIONS(ARGS_ENUM_) OPT_N };
#define OPT_BIT(sym) (UINT64_C(1) << OPT_##sym)
#define OPTS_GLOBAL                                                                                \
	(OPT_BIT(CONFIG) | OPT_BIT(JSON) | OPT_BIT(LOCAL) | OPT_BIT(COLOR) | OPT_BIT(HELP) |       \
	 OPT_BIT(VERSION))

enum { ARGS_WORDS_MAX = 16 };

struct args {
	const char *values[OPT_N]; /* NULL: not given; "" for a flag. Borrowed from argv */
	const char *words[ARGS_WORDS_MAX];
	size_t n_words;
};

static inline bool args_has(const struct args *args, enum opt opt)
{
	return args->values[opt] != NULL;
}

/* Take @argv apart, the program's name left out. Returns 0, or ERR_INVAL with a sentence for people
 * written to @complaint. */
int args_parse(int argc, char *const *argv, struct args *ret_args, FILE *complaint) MUST_CHECK;

/* Are the options given among @allowed and the global ones? Returns 0 or ERR_INVAL, as above. */
int args_check(const struct args *args, uint64_t allowed, const char *verb,
               FILE *complaint) MUST_CHECK;

/* A decimal number up to @max. Returns 0 or ERR_INVAL. */
int args_number(const char *text, uint64_t max, uint64_t *ret_number) MUST_CHECK;

/* The lines of a help text for the options in @allowed. */
void args_help(FILE *out, uint64_t allowed);

/* "--name" of every option in @allowed, one a line: for completion. */
void args_names(FILE *out, uint64_t allowed);
