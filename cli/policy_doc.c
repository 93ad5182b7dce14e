#include "policy_doc.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#include "json.h"
#include "request.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "text.h"

void policy_doc_init(struct policy_doc *doc)
{
	*doc = (struct policy_doc){ .fd = -1 };
}

void policy_doc_fini(struct policy_doc *doc)
{
	for (size_t i = 0; i < doc->n_feeds; i++) {
		free(doc->feeds[i].name);
		free(doc->feeds[i].file);
		if (doc->feeds[i].fd >= 0)
			close(doc->feeds[i].fd);
	}
	free(doc->feeds);
	free(doc->label);
	file_text_fini(&doc->text);
	if (doc->fd >= 0)
		close(doc->fd);
	policy_doc_init(doc);
}

bool policy_doc_is_version(const char *which)
{
	uint64_t number;

	return strcmp(which, "current") == 0 || args_number(which, UINT32_MAX, &number) == 0;
}

/* The SHA-256 of what @fd holds, as the store names content. */
static int hash_fd(int fd, char ret_text[static POLICY_DOC_SHA256_TEXT])
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state state;
	unsigned char buf[16384];
	off_t at = 0;
	ssize_t n;

	crypto_hash_sha256_init(&state);
	while ((n = pread(fd, buf, sizeof(buf), at)) > 0) {
		crypto_hash_sha256_update(&state, buf, (unsigned long long)n);
		at += n;
	}
	if (n < 0)
		return -errno;
	crypto_hash_sha256_final(&state, hash);
	sodium_bin2hex(ret_text, POLICY_DOC_SHA256_TEXT, hash, sizeof(hash));
	return ERR_OK;
}

static int open_feed(const char *policy, const struct policy_feed_want *want,
                     struct policy_doc *doc, struct diag *diag)
{
	struct policy_doc_feed *feed = &doc->feeds[doc->n_feeds];
	int r;

	feed->fd = -1;
	feed->name = strdup(want->name);
	feed->file = file_beside(policy, want->file);
	doc->n_feeds++;
	if (!feed->name || !feed->file)
		return ERR_NOMEM;
	feed->fd = file_open(feed->file, LIMIT_FEED_BYTES);
	r = feed->fd < 0 ? feed->fd : hash_fd(feed->fd, feed->sha256);
	feed->missing = r < 0;
	if (r < 0)
		diag_add(diag, DIAG_ERROR, policy, want->line, want->col,
		         "feed '%s' (%s) cannot be read: %s; check the path and your rights",
		         want->name, feed->file, err_str(r));
	return ERR_OK;
}

static int open_feeds(const char *policy, struct policy_doc *doc, struct diag *diag)
{
	const struct policy_source source = { policy, doc->text.data, doc->text.len };
	struct policy_feed_want *wants = NULL;
	size_t n_wants = 0;
	CLEANUP(diag_fini) struct diag faults;
	int r;

	/* A text in which the feeds cannot be found has faults that compiling it will tell, all of
	 * them; so they are not told here. */
	diag_init(&faults);
	r = policy_feeds_wanted(&source, &wants, &n_wants, &faults);
	if (r == ERR_CONFIG)
		return ERR_OK;
	if (r < 0)
		return r;
	doc->feeds = calloc(n_wants + 1, sizeof(*doc->feeds));
	if (!doc->feeds)
		r = ERR_NOMEM;
	for (size_t i = 0; i < n_wants && r == 0; i++)
		r = open_feed(policy, &wants[i], doc, diag);
	policy_feeds_wanted_free(wants, n_wants);
	return r;
}

int policy_doc_open(const struct cli *cli, const char *file, struct policy_doc *doc,
                    struct diag *diag)
{
	int r;

	doc->label = strdup(file);
	if (!doc->label)
		return cli_nomem(cli);
	doc->fd = file_open(file, LIMIT_POLICY_BYTES);
	r = doc->fd < 0 ? doc->fd : file_read_fd(doc->fd, LIMIT_POLICY_BYTES, &doc->text);
	if (r == ERR_LIMIT)
		return cli_fail(cli, "%s is larger than a policy may be (%d octets)", file,
		                (int)LIMIT_POLICY_BYTES);
	if (r < 0)
		return cli_fail(cli, "%s: %s", file, err_str(r));
	r = open_feeds(file, doc, diag);
	return r < 0 ? cli_fail(cli, "%s: %s", file, err_str(r)) : CLI_YES;
}

static int take_feeds(struct policy_doc *doc, const json_t *feeds)
{
	size_t n = json_array_size(feeds);

	doc->feeds = calloc(n + 1, sizeof(*doc->feeds));
	if (!doc->feeds)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct policy_doc_feed *feed = &doc->feeds[doc->n_feeds++];
		const json_t *object = json_array_get(feeds, i);

		feed->fd = -1;
		feed->name = strdup(json_text(object, "name"));
		feed->file = strdup(json_text(object, "file"));
		snprintf(feed->sha256, sizeof(feed->sha256), "%s", json_text(object, "sha256"));
		if (!feed->name || !feed->file)
			return ERR_NOMEM;
	}
	return ERR_OK;
}

static int on_version(json_t *object, void *arg)
{
	const json_t *text = json_object_get(object, "text");
	struct policy_doc *doc = arg;

	if (doc->label || !json_is_string(text))
		return ERR_MALFORMED;
	doc->version = (uint32_t)json_number(object, "version");
	doc->label = text_format("version %" PRIu32, doc->version);
	doc->text.len = json_string_length(text);
	doc->text.data = malloc(doc->text.len + 1);
	if (!doc->label || !doc->text.data)
		return ERR_NOMEM;
	memcpy(doc->text.data, json_string_value(text), doc->text.len + 1);
	return take_feeds(doc, json_object_get(object, "feeds"));
}

int policy_doc_fetch(const struct cli *cli, const char *which, bool quiet, struct policy_doc *doc)
{
	const char *const ask[] = { "policy-show", which };
	const struct request request = { .words = ask, .n_words = ARRAY_LEN(ask), .quiet = quiet };
	int status = request_run(cli, &request, on_version, doc, NULL);

	if (status == CLI_YES && !doc->label)
		return quiet ? CLI_FAILED : cli_fail(cli, "sallyportd sent no policy");
	return status;
}

static int on_piece(json_t *object, void *arg)
{
	FILE *out = arg;
	const json_t *text = json_object_get(object, "text");

	if (!json_is_string(text))
		return ERR_MALFORMED;
	return fwrite(json_string_value(text), 1, json_string_length(text), out) ==
	               json_string_length(text)
	           ? ERR_OK
	           : ERR_NOMEM;
}

/* The feed's content, whole, from its file or from the store. */
static int feed_text(const struct cli *cli, const struct policy_doc_feed *feed,
                     struct file_text *ret_text)
{
	const char *const ask[] = { "policy-feed", feed->sha256 };
	FILE *out;
	int r;

	if (feed->missing) /* told already; the text's other faults are still worth finding */
		return CLI_YES;
	if (feed->fd >= 0) {
		r = file_read_fd(feed->fd, LIMIT_FEED_BYTES, ret_text);
		return r < 0 ? cli_fail(cli, "%s: %s", feed->file, err_str(r)) : CLI_YES;
	}
	out = open_memstream(&ret_text->data, &ret_text->len);
	if (!out)
		return cli_nomem(cli);
	r = request_words(cli, on_piece, out, ask, ARRAY_LEN(ask));
	return fclose(out) != 0 ? cli_nomem(cli) : r;
}

static int compile(const struct cli *cli, const struct policy_doc *doc,
                   const struct file_text *texts, struct diag *diag)
{
	const struct policy_source source = { doc->label, doc->text.data, doc->text.len };
	CLEANUP(free) struct policy_feed_text *feeds = calloc(doc->n_feeds + 1, sizeof(*feeds));
	CLEANUP(free) void *image = NULL;
	size_t len = 0;
	int r;

	if (!feeds)
		return cli_nomem(cli);
	for (size_t i = 0; i < doc->n_feeds; i++) {
		feeds[i].name = doc->feeds[i].name;
		feeds[i].source =
		    (struct policy_source){ doc->feeds[i].file, texts[i].data ? texts[i].data : "",
			                    texts[i].len };
	}
	r = policy_compile(&source, feeds, doc->n_feeds, cli->now_ns / NS_PER_S, &image, &len,
	                   diag);
	if (r < 0 && diag->n_errors == 0)
		return cli_fail(cli, "%s cannot be compiled: %s", doc->label, err_str(r));
	return r < 0 || diag->n_errors > 0 ? CLI_NO : CLI_YES;
}

int policy_doc_check(const struct cli *cli, const struct policy_doc *doc, struct diag *diag)
{
	struct file_text *texts = calloc(doc->n_feeds + 1, sizeof(*texts));
	int status = CLI_YES;

	if (!texts)
		return cli_nomem(cli);
	for (size_t i = 0; i < doc->n_feeds && status == CLI_YES; i++)
		status = feed_text(cli, &doc->feeds[i], &texts[i]);
	if (status == CLI_YES)
		status = compile(cli, doc, texts, diag);
	for (size_t i = 0; i < doc->n_feeds; i++)
		file_text_fini(&texts[i]);
	free(texts);
	return status;
}
