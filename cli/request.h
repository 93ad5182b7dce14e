/* request.h - ask the keeper through its control socket (sallyport/control.h). */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "cli.h"

/* Called for each object that the keeper sends; borrowed. Returns 0, or an error that ends it. */
typedef int request_data_cb(json_t *object, void *arg);

struct request {
	const char *const *words;
	size_t n_words;
	const int *fds; /* borrowed */
	size_t n_fds;
	int timeout_s; /* of silence; 0: 30 s */
	bool quiet; /* print neither its complaints nor that it cannot be reached or breaks off */
};

/* Connect, ask, hand every object to @data, print every complaint to err, and return the keeper's
 * exit status; CLI_FAILED when there is no keeper or it breaks off. *ret_reached (may be NULL)
 * tells whether a keeper answered at all. */
int request_run(const struct cli *cli, const struct request *request, request_data_cb *data,
                void *arg, bool *ret_reached);

/* The common case: words only. */
int request_words(const struct cli *cli, request_data_cb *data, void *arg, const char *const *words,
                  size_t n_words);
