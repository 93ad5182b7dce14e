/* restart_verb.c - have a running sallyportd replaced by the programs that lie on the disk now, and
 * wait until they serve.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "request.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "verbs.h"

enum { WAIT_S = 60, STEP_MS = 50 };

static int keep_object(json_t *object, void *arg)
{
	json_t **kept = arg;

	if (!*kept)
		*kept = json_incref(object);
	return ERR_OK;
}

/* Is it the successor that answers, with a policy in force if there is one, and every role up? */
static bool serves(const json_t *status, int64_t takeovers)
{
	const json_t *roles = json_object_get(status, "roles");

	if (json_number(status, "takeovers") < takeovers)
		return false;
	for (size_t i = 0; i < json_array_size(roles); i++) {
		if (strcmp(json_text(json_array_get(roles, i), "state"), "running") != 0)
			return false;
	}
	return json_truth(status, "ready");
}

/* Between the two there may be nobody to answer: silence is no failure before the time is over. */
static int wait_for_it(struct cli *cli, int64_t takeovers)
{
	const char *const words[] = { "status" };
	const struct request ask = { .words = words, .n_words = 1, .timeout_s = 5, .quiet = true };
	const struct timespec step = { .tv_nsec = STEP_MS * NS_PER_MS };
	uint64_t begin = clock_mono_ns();

	while (clock_mono_ns() - begin < WAIT_S * NS_PER_S) {
		CLEANUP(json_decref) json_t *status = NULL;

		if (request_run(cli, &ask, keep_object, &status, NULL) == CLI_YES && status &&
		    serves(status, takeovers)) {
			double seconds = (double)(clock_mono_ns() - begin) / NS_PER_S;

			if (cli->json) {
				json_object_set_new(status, "seconds", json_real(seconds));
				return json_line(cli->out, status) < 0 ? cli_nomem(cli) : CLI_YES;
			}
			fprintf(cli->out,
			        "sallyportd %s serves, %.1f s after the programs before it\n",
			        json_text(status, "version"), seconds);
			return CLI_YES;
		}
		nanosleep(&step, NULL);
	}
	return cli_fail(cli,
	                "the new programs do not serve after %d s; see `sallyport status` and "
	                "the log",
	                WAIT_S);
}

int verb_restart(struct cli *cli, const char *const *words, size_t n_words)
{
	const char *const ask[] = { "restart" };
	CLEANUP(json_decref) json_t *answer = NULL;
	int status = request_words(cli, keep_object, &answer, ask, ARRAY_LEN(ask));

	(void)words; /* takes none */
	(void)n_words;
	if (status != CLI_YES)
		return status;
	return wait_for_it(cli, json_number(answer, "takeovers"));
}
