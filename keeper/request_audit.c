/* keeper/request_audit.c - who changed what, newest first. */
#include <stdlib.h>

#include "request.h"
#include "sallyport/err.h"

#define AUDIT_ROWS_MAX 100000 /* in one answer */

struct audit_question {
	struct server_client *client;
	uint64_t from_ns, to_ns; /* 0: no bound */
	uint64_t left;
};

static bool number(const char *word, uint64_t *ret_number)
{
	char *end;

	*ret_number = strtoull(word, &end, 10);
	return *word >= '0' && *word <= '9' && !*end;
}

static int on_row(const struct store_audit *row, void *arg)
{
	struct audit_question *q = arg;
	bool system = row->actor.uid == STORE_UID_NONE;

	if (row->time_ns < q->from_ns || (q->to_ns && row->time_ns > q->to_ns))
		return 0; /* a later row may be of an earlier time: clocks are set */
	server_json_give(
	    q->client,
	    json_pack("{s:I,s:o,s:o,s:o,s:o,s:o,s:o}", "id", (json_int_t)row->id, "time",
	              request_time(row->time_ns), "uid",
	              system ? json_null() : json_integer(row->actor.uid), "user",
	              request_optional(row->actor.user), "action", request_text(row->action),
	              "detail", request_optional(row->detail), "policy_version",
	              row->policy_version ? json_integer(row->policy_version) : json_null()));
	return --q->left == 0;
}

void request_audit(struct keeper *k, struct server_client *client,
                   const struct server_request *request)
{
	struct audit_question q = { .client = client };
	int r;

	if (request->n_words != 4 || !number(request->words[1], &q.from_ns) ||
	    !number(request->words[2], &q.to_ns) || !number(request->words[3], &q.left)) {
		server_error(client, "error: audit wants two moments and a number");
		server_exit(client, 2);
		return;
	}
	if (q.left == 0 || q.left > AUDIT_ROWS_MAX)
		q.left = AUDIT_ROWS_MAX;
	r = store_audit_list(k->store, 0, on_row, &q);
	if (r < 0)
		server_error(client, "error: the audit trail cannot be read: %s", err_str(r));
	server_exit(client, r < 0 ? 2 : 0);
}
