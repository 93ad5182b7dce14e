/* cli.h - one run of `sallyport`: what every verb shares.
 *
 * Data goes to out, everything else to err. Exit status: 0 yes or fine, 1 no, denied or different,
 * 2 wrong usage or failure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "args.h"
#include "sallyport/cleanup.h"
#include "sallyport/diag.h"
#include "settings.h"
#include "table.h"

enum cli_exit { CLI_YES = 0, CLI_NO = 1, CLI_FAILED = 2 };

struct cli {
	FILE *out, *err;
	const char *config; /* file, as given or the default */
	uint64_t now_ns;    /* wall clock, when the command began */
	bool config_named;
	bool terminal; /* out is one */
	bool json, color, local;
	struct args args;
	struct settings settings; /* read before a verb that wants the daemon or the history */
};

/* Run one command line (@argv without the program's name). Returns its exit status. @terminal: out
 * is a terminal. */
int cli_run(int argc, char *const *argv, FILE *out, FILE *err, bool terminal);

/* "sallyport: ..." on err, escaped. Returns CLI_FAILED. */
int cli_fail(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A remark on err, escaped: what a listing covers, what was not looked at. */
void cli_note(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);
int cli_nomem(const struct cli *cli); /* says so; returns CLI_FAILED */

/* Print a diag's items to err, a line each. */
void cli_diag(const struct cli *cli, const struct diag *diag);

/* Begin and end a colour on out, if it is to be coloured. */
void cli_color(const struct cli *cli, enum color color);

/* The moment an option names, or @fallback when it is not given. Complains and returns ERR_INVAL.
 */
int cli_moment(const struct cli *cli, enum opt opt, uint64_t fallback, uint64_t *ret_ns) MUST_CHECK;

/* Wall-clock @ns for people: "2026-11-23 09:00:00.123Z", or with the local offset. */
#define CLI_TIME_LEN 40
void cli_time(const struct cli *cli, uint64_t ns, char out[static CLI_TIME_LEN]);
/* The same of an RFC 3339 text, which is returned as it is (escaped later) when it is not one. */
const char *cli_time_text(const struct cli *cli, const char *text, char out[static CLI_TIME_LEN]);
