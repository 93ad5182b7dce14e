#include "bundle.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#include "json.h"
#include "request.h"
#include "sallyport/clock.h"
#include "sallyport/document.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "text.h"
#include "yaml.h"

#define FEED_FAULT "feed file %s cannot be read: %s; check the path and your rights"

void bundle_fini(struct bundle *bundle)
{
	for (size_t i = 0; i < bundle->n_feeds; i++) {
		free(bundle->feeds[i].name);
		free(bundle->feeds[i].file);
		if (bundle->feeds[i].fd >= 0)
			close(bundle->feeds[i].fd);
	}
	free(bundle->feeds);
	free(bundle->label);
	file_text_fini(&bundle->text);
	if (bundle->fd >= 0)
		close(bundle->fd);
	*bundle = (struct bundle)BUNDLE_INIT;
}

bool bundle_is_version(const char *which)
{
	uint64_t number;

	return strcmp(which, "current") == 0 || args_number(which, UINT32_MAX, &number) == 0;
}

/* The SHA-256 of what @fd holds, as the store names content. */
static int hash_fd(int fd, char ret_text[static BUNDLE_SHA256_TEXT])
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
	sodium_bin2hex(ret_text, BUNDLE_SHA256_TEXT, hash, sizeof(hash));
	return ERR_OK;
}

static int open_feed(const char *policy, const struct policy_feed_want *want, struct bundle *bundle,
                     struct diag *diag)
{
	struct bundle_feed *feed = &bundle->feeds[bundle->n_feeds];
	int r;

	feed->fd = -1;
	feed->name = strdup(want->name);
	feed->file = file_beside(policy, want->file);
	bundle->n_feeds++;
	if (!feed->name || !feed->file)
		return ERR_NOMEM;
	feed->fd = file_open(feed->file, LIMIT_FEED_BYTES);
	r = feed->fd < 0 ? feed->fd : hash_fd(feed->fd, feed->sha256);
	feed->missing = r < 0;
	if (r < 0)
		diag_add(diag, DIAG_ERROR, policy, want->line, want->col, FEED_FAULT, feed->file,
		         err_str(r));
	return ERR_OK;
}

/* The text has faults. So that a missing file is told together with them, look whether those that
 * it plainly names can be read. */
static int look_for_feeds(const char *policy, const struct bundle *bundle, struct diag *diag)
{
	CLEANUP(fy_document_destroy)
	struct fy_document *doc = yaml_parse(bundle->text.data, bundle->text.len);
	struct fy_node *root = doc ? fy_document_root(doc) : NULL;
	struct fy_node *feeds = root && fy_node_is_mapping(root)
	                            ? fy_node_mapping_lookup_by_string(root, "feeds", FY_NT)
	                            : NULL;
	struct fy_node_pair *pair;
	void *at = NULL;

	while (feeds && fy_node_is_mapping(feeds) && (pair = fy_node_mapping_iterate(feeds, &at))) {
		struct fy_node *feed = fy_node_pair_value(pair);
		struct fy_node *file = feed && fy_node_is_mapping(feed)
		                           ? fy_node_mapping_lookup_by_string(feed, "file", FY_NT)
		                           : NULL;
		struct fy_token *token = file ? fy_node_get_scalar_token(file) : NULL;
		const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
		const char *name = mark ? fy_node_get_scalar0(file) : NULL;
		CLEANUP(free) char *path = name ? file_beside(policy, name) : NULL;

		if (path && access(path, R_OK) < 0)
			diag_add(diag, DIAG_ERROR, policy, (unsigned int)mark->line + 1,
			         (unsigned int)mark->column + 1, FEED_FAULT, path, strerror(errno));
	}
	return ERR_OK;
}

static int open_feeds(const char *policy, struct bundle *bundle, struct diag *diag)
{
	const struct policy_source source = { policy, bundle->text.data, bundle->text.len };
	struct policy_feed_want *wants = NULL;
	size_t n_wants = 0;
	CLEANUP(diag_fini) struct diag faults = { 0 };
	int r;

	/* What is wrong with the text is told when it is compiled, all of it; not here. */
	r = policy_feeds_wanted(&source, &wants, &n_wants, &faults);
	if (r == ERR_CONFIG)
		return look_for_feeds(policy, bundle, diag);
	if (r < 0)
		return r;
	bundle->feeds = calloc(n_wants + 1, sizeof(*bundle->feeds));
	if (!bundle->feeds)
		r = ERR_NOMEM;
	for (size_t i = 0; i < n_wants && r == 0; i++)
		r = open_feed(policy, &wants[i], bundle, diag);
	policy_feeds_wanted_free(wants, n_wants);
	return r;
}

int bundle_open(const struct cli *cli, const char *file, struct bundle *bundle, struct diag *diag)
{
	int r;

	bundle->label = strdup(file);
	if (!bundle->label)
		return cli_nomem(cli);
	bundle->fd = file_open(file, LIMIT_POLICY_BYTES);
	r = bundle->fd < 0 ? bundle->fd
	                   : file_read_fd(bundle->fd, LIMIT_POLICY_BYTES, &bundle->text);
	if (r == ERR_LIMIT)
		return cli_fail(cli, "%s is larger than a policy may be (%d octets)", file,
		                (int)LIMIT_POLICY_BYTES);
	if (r < 0)
		return cli_fail(cli, "%s: %s", file, err_str(r));
	if (document_check(file, bundle->text.data, bundle->text.len, diag) < 0)
		return CLI_NO;
	r = open_feeds(file, bundle, diag);
	return r < 0 ? cli_fail(cli, "%s: %s", file, err_str(r)) : CLI_YES;
}

static int take_feeds(struct bundle *bundle, const json_t *feeds)
{
	size_t n = json_array_size(feeds);

	bundle->feeds = calloc(n + 1, sizeof(*bundle->feeds));
	if (!bundle->feeds)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct bundle_feed *feed = &bundle->feeds[bundle->n_feeds++];
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

/* A long policy goes on in further objects (sallyport/control.h). */
static int add_piece(struct bundle *bundle, const json_t *text)
{
	size_t len = json_string_length(text);
	char *data;

	if (len > LIMIT_POLICY_BYTES - MIN(bundle->text.len, (size_t)LIMIT_POLICY_BYTES))
		return ERR_MALFORMED;
	data = realloc(bundle->text.data, bundle->text.len + len + 1);
	if (!data)
		return ERR_NOMEM;
	memcpy(data + bundle->text.len, json_string_value(text), len + 1);
	bundle->text.data = data;
	bundle->text.len += len;
	return ERR_OK;
}

static int on_version(json_t *object, void *arg)
{
	const json_t *text = json_object_get(object, "text");
	struct bundle *bundle = arg;

	if (!json_is_string(text))
		return ERR_MALFORMED;
	if (bundle->label)
		return (uint32_t)json_number(object, "version") == bundle->version
		           ? add_piece(bundle, text)
		           : ERR_MALFORMED;
	bundle->version = (uint32_t)json_number(object, "version");
	bundle->label = text_format("version %" PRIu32, bundle->version);
	bundle->text.len = json_string_length(text);
	bundle->text.data = malloc(bundle->text.len + 1);
	if (!bundle->label || !bundle->text.data)
		return ERR_NOMEM;
	memcpy(bundle->text.data, json_string_value(text), bundle->text.len + 1);
	return take_feeds(bundle, json_object_get(object, "feeds"));
}

int bundle_fetch(const struct cli *cli, const char *which, bool quiet, struct bundle *bundle)
{
	const char *const ask[] = { "policy-show", which };
	const struct request request = { .words = ask, .n_words = ARRAY_LEN(ask), .quiet = quiet };
	int status = request_run(cli, &request, on_version, bundle, NULL);

	if (status == CLI_YES && !bundle->label)
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
static int feed_text(const struct cli *cli, const struct bundle_feed *feed,
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

static int compile(const struct cli *cli, const struct bundle *bundle,
                   const struct file_text *texts, struct diag *diag)
{
	const struct policy_source source = { bundle->label, bundle->text.data, bundle->text.len };
	CLEANUP(free) struct policy_feed_text *feeds = calloc(bundle->n_feeds + 1, sizeof(*feeds));
	CLEANUP(free) void *image = NULL;
	struct policy_image view;
	size_t len = 0;
	int r;

	if (!feeds)
		return cli_nomem(cli);
	for (size_t i = 0; i < bundle->n_feeds; i++) {
		feeds[i].name = bundle->feeds[i].name;
		feeds[i].source =
		    (struct policy_source){ bundle->feeds[i].file,
			                    texts[i].data ? texts[i].data : "", texts[i].len };
	}
	r = policy_compile(&source, feeds, bundle->n_feeds, cli->now_ns / NS_PER_S, &image, &len,
	                   diag);
	if (r < 0 && diag->n_errors == 0)
		return cli_fail(cli, "%s cannot be compiled: %s", bundle->label, err_str(r));
	/* Without a configuration nobody knows where it is to be in force. */
	if (r == 0 && cli->settings.site.n_listeners > 0 &&
	    policy_image_open(image, len, 0, &view) == 0)
		policy_site_warn(&view, &cli->settings.site, bundle->label, diag);
	return r < 0 || diag->n_errors > 0 ? CLI_NO : CLI_YES;
}

int bundle_check(const struct cli *cli, const struct bundle *bundle, struct diag *diag)
{
	struct file_text *texts = calloc(bundle->n_feeds + 1, sizeof(*texts));
	int status = CLI_YES;

	if (!texts)
		return cli_nomem(cli);
	for (size_t i = 0; i < bundle->n_feeds && status == CLI_YES; i++)
		status = feed_text(cli, &bundle->feeds[i], &texts[i]);
	if (status == CLI_YES)
		status = compile(cli, bundle, texts, diag);
	for (size_t i = 0; i < bundle->n_feeds; i++)
		file_text_fini(&texts[i]);
	free(texts);
	return status;
}
