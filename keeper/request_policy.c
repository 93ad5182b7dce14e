/* keeper/request_policy.c - applying, listing and showing policy versions. */
#include <inttypes.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "policy/judge.h"
#include "request.h"
#include "revoke.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#define TAG "policy"
#define FEED_PIECE                                                                                 \
	(160u << 10) /* as JSON it grows to six octets each at worst: still one frame              \
	              */

/* --- apply, rollback ------------------------------------------------------------------------- */

static void apply_gone(void *arg)
{
	struct keeper *k = arg;

	k->apply_client = NULL; /* what was begun goes on */
}

void request_apply_done(void *arg, const struct apply_result *result)
{
	struct keeper *k = arg;
	struct server_client *client = k->apply_client;
	bool ok = result->result == 0 || result->result == ERR_STALE;

	k->apply = NULL;
	k->apply_client = NULL;
	if (!ok && k->rollout.current->version == 0)
		rollout_no_policy(&k->rollout);
	for (size_t i = 0; i < result->n_lines && !client; i++)
		log_msg(ok ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, TAG, "%s", result->lines[i]);
	if (!client)
		return;
	for (size_t i = 0; i < result->n_lines; i++)
		server_error(client, "%s", result->lines[i]);
	if (ok)
		server_json_give(client,
		                 json_pack("{s:I,s:I,s:I,s:I,s:f}", "policy_version",
		                           (json_int_t)result->version, "rules",
		                           (json_int_t)result->counts.rules, "workloads",
		                           (json_int_t)result->counts.workloads, "feed_names",
		                           (json_int_t)result->counts.feed_names, "seconds",
		                           result->seconds));
	else if (result->n_lines == 0)
		server_error(client, "error: %s", err_str(result->result));
	server_exit(client, ok ? 0 : 2);
}

static void begin(struct keeper *k, struct server_client *client, struct apply_texts *texts,
                  uint32_t uid, const char *action, const char *comment)
{
	const struct passwd *pw = getpwuid(uid);
	const struct store_actor actor = { uid, pw ? pw->pw_name : NULL };
	int r = keeper_apply(k, texts, &actor, action, comment, client);

	if (r == 0) {
		server_watch(client, apply_gone, k);
		return;
	}
	if (r == ERR_AGAIN)
		server_error(client,
		             "error: another policy is being applied; try again when it is in "
		             "force");
	else
		server_error(client, "error: the policy cannot be compiled: %s", err_str(r));
	server_exit(client, 2);
}

static int copy_text(struct server_client *client, int fd, size_t max, const char *what)
{
	int copy = apply_copy(fd, max);

	if (copy == ERR_LIMIT)
		server_error(client, "%s: error: larger than %zu octets", what, max);
	else if (copy == ERR_INVAL)
		server_error(client, "%s: error: not a regular file", what);
	else if (copy < 0)
		server_error(client, "%s: error: cannot be read: %s", what, err_str(copy));
	return copy;
}

static int copy_texts(struct server_client *client, const struct server_request *request,
                      struct apply_texts *t)
{
	size_t n = request->n_words - 3;

	t->file = strdup(request->words[1]);
	t->feeds = calloc(MAX(n, (size_t)1), sizeof(*t->feeds));
	if (!t->file || !t->feeds)
		return ERR_NOMEM;
	t->fd = copy_text(client, request->fds[0], LIMIT_POLICY_BYTES, request->words[1]);
	if (t->fd < 0)
		return t->fd;
	for (size_t i = 0; i < n; i++) {
		struct apply_feed *feed = &t->feeds[t->n_feeds++];
		const char *name = request->words[3 + i];

		feed->fd = -1;
		feed->name = strdup(name);
		feed->file = strdup(name);
		if (!feed->name || !feed->file)
			return ERR_NOMEM;
		feed->fd = copy_text(client, request->fds[1 + i], LIMIT_FEED_BYTES, name);
		if (feed->fd < 0)
			return feed->fd;
	}
	return ERR_OK;
}

void request_policy_apply(struct keeper *k, struct server_client *client,
                          const struct server_request *request)
{
	struct apply_texts texts;

	if (request->n_words < 3 || request->n_fds != request->n_words - 2) {
		server_error(client,
		             "error: policy-apply wants a file name, a comment and feeds, and a "
		             "descriptor for the file and each feed");
		server_exit(client, 2);
		return;
	}
	apply_texts_init(&texts);
	if (copy_texts(client, request, &texts) < 0)
		server_exit(client, 2);
	else
		begin(k, client, &texts, request->uid, "policy apply", request->words[2]);
	apply_texts_fini(&texts);
}

/* A stored version, or an answer that says why not. 0 is the current one. */
static struct store_version *fetch(struct keeper *k, struct server_client *client, uint32_t number)
{
	struct store_version *version = NULL;
	CLEANUP(diag_fini) struct diag diag = { 0 };
	int r;

	diag_init(&diag);
	r = store_get(k->store, number, &version, &diag);
	if (r == 0)
		return version;
	if (r == ERR_NOENT && number)
		server_error(client,
		             "error: there is no version %" PRIu32 "; the newest is %" PRIu32,
		             number, store_current(k->store));
	else if (r == ERR_NOENT)
		server_error(client, "error: there is no policy yet");
	else
		server_error(client, "error: %s", diag.n_items ? diag.items[0].text : err_str(r));
	server_exit(client, 2);
	return NULL;
}

void request_policy_rollback(struct keeper *k, struct server_client *client,
                             const struct server_request *request)
{
	CLEANUP(store_version_free) struct store_version *version = NULL;
	CLEANUP(diag_fini) struct diag diag = { 0 };
	struct apply_texts texts;
	uint32_t number;
	char comment[64];
	int r;

	if (request->n_words != 2 || !request_number(request->words[1], &number)) {
		server_error(client, "error: policy-rollback wants a version's number");
		server_exit(client, 2);
		return;
	}
	version = fetch(k, client, number);
	if (!version)
		return;
	diag_init(&diag);
	apply_texts_init(&texts);
	r = apply_texts_load(&texts, k->store, version, &diag);
	if (r < 0) {
		server_error(client, "error: version %" PRIu32 " cannot be read: %s", number,
		             diag.n_items ? diag.items[0].text : err_str(r));
		server_exit(client, 2);
	} else {
		snprintf(comment, sizeof(comment), "rollback to version %" PRIu32, number);
		begin(k, client, &texts, request->uid, "policy rollback", comment);
	}
	apply_texts_fini(&texts);
}

/* --- versions, show, feed -------------------------------------------------------------------- */

static json_t *hex(const uint8_t sha256[static STORE_SHA256_LEN])
{
	char text[2 * STORE_SHA256_LEN + 1];

	sodium_bin2hex(text, sizeof(text), sha256, STORE_SHA256_LEN);
	return json_string(text);
}

static json_t *version_head(const struct store_version *v)
{
	return json_pack("{s:I,s:o,s:o,s:o,s:o,s:o}", "version", (json_int_t)v->version, "time",
	                 request_time(v->time_ns), "uid",
	                 v->uid == STORE_UID_NONE ? json_null() : json_integer((json_int_t)v->uid),
	                 "user", request_optional(v->user), "file", request_text(v->file),
	                 "comment", request_text(v->comment));
}

struct listing {
	struct server_client *client;
	uint32_t current;
};

static int list_version(const struct store_version *v, void *arg)
{
	const struct listing *listing = arg;
	json_t *object = version_head(v);

	json_object_set_new(object, "current", json_boolean(v->version == listing->current));
	json_object_set_new(object, "sha256", hex(v->sha256));
	json_object_set_new(object, "rules", json_integer((json_int_t)v->n_rules));
	json_object_set_new(object, "workloads", json_integer((json_int_t)v->n_workloads));
	server_json_give(listing->client, object);
	return 0;
}

void request_policy_versions(struct keeper *k, struct server_client *client)
{
	struct listing listing = { client, store_current(k->store) };
	int r = store_list(k->store, list_version, &listing);

	if (r < 0)
		server_error(client, "error: the policy store cannot be read: %s", err_str(r));
	server_exit(client, r < 0 ? 2 : 0);
}

/* Cut before a character that continues in the next piece, so that each piece is whole UTF-8. */
static size_t whole_characters(const uint8_t *data, size_t len)
{
	size_t cut = len;

	for (size_t back = 1; back <= 3 && back < len; back++) {
		uint8_t c = data[len - back];

		if ((c & 0xc0) == 0x80)
			continue;
		if ((c >= 0xc0 && back < 2) || (c >= 0xe0 && back < 3) || (c >= 0xf0 && back < 4))
			cut = len - back;
		break;
	}
	return cut;
}

/* A policy's text may be larger than a frame: it goes on in further objects {version, text}. */
static void show_text(struct server_client *client, json_t *first, const struct store_version *v)
{
	size_t at = 0;

	do {
		size_t len = MIN(v->text_len - at, (size_t)FEED_PIECE);
		json_t *object = first;

		if (at + len < v->text_len)
			len = whole_characters((const uint8_t *)v->text + at, len);
		if (!object)
			object = json_pack("{s:I}", "version", (json_int_t)v->version);
		/* It was compiled, so it is UTF-8. */
		json_object_set_new(object, "text", json_stringn(v->text + at, len));
		server_json_give(client, object);
		first = NULL;
		at += len;
	} while (at < v->text_len);
}

void request_policy_show(struct keeper *k, struct server_client *client,
                         const struct server_request *request)
{
	CLEANUP(store_version_free) struct store_version *v = NULL;
	uint32_t number = 0;
	json_t *object, *feeds;

	if (request->n_words != 2 || (strcmp(request->words[1], "current") != 0 &&
	                              !request_number(request->words[1], &number))) {
		server_error(client, "error: policy-show wants a version's number, or current");
		server_exit(client, 2);
		return;
	}
	v = fetch(k, client, number);
	if (!v)
		return;
	feeds = json_array();
	for (size_t i = 0; i < v->n_feeds; i++)
		json_array_append_new(feeds, json_pack("{s:o,s:o,s:o,s:I}", "name",
		                                       request_text(v->feeds[i].name), "file",
		                                       request_text(v->feeds[i].file), "sha256",
		                                       hex(v->feeds[i].sha256), "bytes",
		                                       (json_int_t)v->feeds[i].bytes));
	object = version_head(v);
	json_object_set_new(object, "feeds", feeds);
	show_text(client, object, v);
	server_exit(client, 0);
}

struct feed_reading {
	struct keeper *keeper;
	uint8_t sha256[STORE_SHA256_LEN];
	uint64_t offset;
	uint8_t buf[FEED_PIECE];
};

static int more_feed(struct server_client *client, void *state)
{
	struct feed_reading *f = state;
	char name[2 * STORE_SHA256_LEN + 1];
	int64_t n = store_feed_read(f->keeper->store, f->sha256, f->offset, f->buf, sizeof(f->buf));
	size_t len;

	if (n <= 0) {
		if (n == ERR_NOENT)
			server_error(client, "error: there is no feed of that content");
		else if (n < 0)
			server_error(client, "error: the feed cannot be read: %s", err_str((int)n));
		server_exit(client, n < 0 ? 2 : 0);
		return 0;
	}
	len = (size_t)n == sizeof(f->buf) ? whole_characters(f->buf, (size_t)n) : (size_t)n;
	f->offset += len;
	for (size_t i = 0; i < len; i++) {
		if (f->buf[i] == 0)
			f->buf[i] = '?'; /* no text, but shown all the same */
	}
	sodium_bin2hex(name, sizeof(name), f->sha256, sizeof(f->sha256));

	json_t *text = json_stringn((const char *)f->buf, len);

	if (!text) { /* not UTF-8: octet by octet */
		for (size_t i = 0; i < len; i++)
			f->buf[i] = f->buf[i] >= 0x80 ? '?' : f->buf[i];
		text = json_stringn((const char *)f->buf, len);
	}
	server_json_give(client, json_pack("{s:s,s:o}", "sha256", name, "text", text));
	return 1;
}

void request_policy_feed(struct keeper *k, struct server_client *client,
                         const struct server_request *request)
{
	struct feed_reading *f = calloc(1, sizeof(*f));
	size_t len = 0;

	if (!f || request->n_words != 2 ||
	    sodium_hex2bin(f->sha256, sizeof(f->sha256), request->words[1],
	                   strlen(request->words[1]), NULL, &len, NULL) != 0 ||
	    len != sizeof(f->sha256)) {
		free(f);
		server_error(client, "error: policy-feed wants a SHA-256 in hexadecimal");
		server_exit(client, 2);
		return;
	}
	f->keeper = k;
	server_stream(client, &(struct server_stream){ more_feed, free, f });
}

/* --- workloads, profiles --------------------------------------------------------------------- */

/* Live rows of the ledger by workload's name would be a search each: counted in one pass. */
static void count_pinholes(const struct keeper *k, uint32_t *counts, uint32_t n_workloads)
{
	const struct policy_image *image = &k->rollout.current->image;

	for (uint32_t i = 0; i < ledger_rows(&k->shared.ledger); i++) {
		struct ledger_reason reason;
		struct ledger_row row;
		uint32_t w;

		if (ledger_read(&k->shared.ledger, i, &row, &reason) != 1)
			continue;
		w = revoke_workload(image, &row, &reason);
		if (w < n_workloads)
			counts[w]++;
	}
}

static json_t *prefixes(const struct prefix *list, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, request_prefix(&list[i]));
	return array;
}

void request_workloads(struct keeper *k, struct server_client *client)
{
	const struct policy_image *image = &k->rollout.current->image;
	CLEANUP(free) uint32_t *pinholes = NULL;
	struct policy_counts counts = { 0 };

	if (image->data)
		policy_image_counts(image, &counts);
	pinholes = calloc(MAX(counts.workloads, 1u), sizeof(*pinholes));
	if (pinholes && counts.workloads)
		count_pinholes(k, pinholes, counts.workloads);
	for (uint32_t i = 0; pinholes && i < counts.workloads; i++) {
		struct policy_workload_info w;

		if (policy_image_workload(image, i, &w) < 0)
			continue;
		server_json_give(client,
		                 json_pack("{s:o,s:o,s:s,s:o,s:o,s:I}", "workload",
		                           request_text(w.name), "profile", request_text(w.profile),
		                           "mode", w.observe ? "observe" : "enforce", "sources",
		                           prefixes(w.sources, w.n_sources), "listeners",
		                           prefixes(w.listeners, w.n_listeners), "pinholes",
		                           (json_int_t)pinholes[i]));
	}
	server_exit(client, 0);
}

void request_profiles(struct keeper *k, struct server_client *client)
{
	static const char *const denied[] = { [POLICY_DENIED_NXDOMAIN] = "nxdomain",
		                              [POLICY_DENIED_REFUSED] = "refused",
		                              [POLICY_DENIED_NODATA] = "nodata" };
	const struct policy_image *image = &k->rollout.current->image;
	struct policy_counts counts = { 0 };

	if (image->data)
		policy_image_counts(image, &counts);
	for (uint32_t i = 0; i < counts.profiles; i++) {
		struct policy_profile_info p;

		if (policy_image_profile(image, i, &p) < 0)
			continue;
		server_json_give(
		    client,
		    json_pack("{s:o,s:s,s:s,s:I,s:I,s:I,s:I,s:{s:I,s:I,s:I,s:I,s:I}}", "profile",
		              request_text(p.name), "mode", p.observe ? "observe" : "enforce",
		              "denied", p.denied < ARRAY_LEN(denied) ? denied[p.denied] : "?",
		              "allow", (json_int_t)p.n_allow, "deny", (json_int_t)p.n_deny, "feeds",
		              (json_int_t)p.n_feeds, "workloads", (json_int_t)p.n_workloads,
		              "pinhole", "floor_s", (json_int_t)p.floor_s, "grace_s",
		              (json_int_t)p.grace_s, "max_s", (json_int_t)p.max_s, "addresses",
		              (json_int_t)p.addresses, "per_workload", (json_int_t)p.per_workload));
	}
	server_exit(client, 0);
}
