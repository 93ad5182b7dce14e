/* keeper/apply.c - a policy into force. */
#include "apply.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "sallyport/shm.h"

#define TAG "policy"
#define LINES_MAX (COMPILE_LINES_MAX + 8)

/* --- texts ----------------------------------------------------------------------------------- */

void apply_texts_init(struct apply_texts *t)
{
	*t = (struct apply_texts){ .fd = -1 };
}

void apply_texts_fini(struct apply_texts *t)
{
	for (size_t i = 0; i < t->n_feeds; i++) {
		free(t->feeds[i].name);
		free(t->feeds[i].file);
		if (t->feeds[i].fd >= 0)
			close(t->feeds[i].fd);
	}
	free(t->feeds);
	free(t->file);
	if (t->fd >= 0)
		close(t->fd);
	apply_texts_init(t);
}

int apply_copy(int fd, size_t max)
{
	CLEANUP(fd_close) int copy = -1;
	struct stat st;
	off_t at = 0;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return ERR_INVAL;
	copy = memfd_create("sallyport-text", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (copy < 0)
		return -errno;
	for (;;) {
		char buf[65536];
		ssize_t n = pread(fd, buf, sizeof(buf), at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		at += n;
		if ((size_t)at > max)
			return ERR_LIMIT;
		for (ssize_t done = 0; done < n;) {
			ssize_t w = write(copy, buf + done, (size_t)(n - done));

			if (w < 0 && errno != EINTR)
				return -errno;
			done += w > 0 ? w : 0;
		}
	}
	r = shm_seal(copy);
	return r < 0 ? r : fd_take(&copy);
}

int apply_texts_load(struct apply_texts *t, struct store *store,
                     const struct store_version *version, struct diag *diag)
{
	t->file = strdup(version->file);
	t->feeds = calloc(MAX(version->n_feeds, (size_t)1), sizeof(*t->feeds));
	if (!t->file || !t->feeds)
		return ERR_NOMEM;
	t->fd = shm_create_sealed("sallyport-text", version->text, version->text_len);
	if (t->fd < 0)
		return t->fd;
	for (size_t i = 0; i < version->n_feeds; i++) {
		const struct store_feed *from = &version->feeds[i];
		struct apply_feed *feed = &t->feeds[i];
		int r;

		feed->fd = -1;
		t->n_feeds++;
		feed->name = strdup(from->name);
		feed->file = strdup(from->file);
		feed->fd = memfd_create("sallyport-text", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (!feed->name || !feed->file || feed->fd < 0)
			return ERR_NOMEM;
		r = store_feed_copy(store, from->sha256, feed->fd);
		if (r == 0)
			r = shm_seal(feed->fd);
		if (r < 0)
			return diag_set(diag, r,
			                "feed %s of version %" PRIu32 " cannot be read: %s",
			                from->name, version->version, err_str(r));
	}
	return ERR_OK;
}

/* --- one that is under way ------------------------------------------------------------------- */

struct apply {
	struct apply_spec spec;
	struct apply_texts texts;
	char *action, *comment, *user;
	apply_done_cb *done;
	void *arg;
	struct compile *compile; /* NULL once it has ended */
	uint32_t version;
	struct policy_counts counts;
	uint64_t began_ns;
	char **lines;
	size_t n_lines;
};

static void apply_free(struct apply *a)
{
	for (size_t i = 0; i < a->n_lines; i++)
		free(a->lines[i]);
	free(a->lines);
	apply_texts_fini(&a->texts);
	free(a->action);
	free(a->comment);
	free(a->user);
	free(a);
}

static void keep_line(struct apply *a, const char *line)
{
	if (a->n_lines < LINES_MAX && (a->lines[a->n_lines] = strdup(line)))
		a->n_lines++;
}

/* What only the configuration can tell. */
static void keep_warnings(struct apply *a, const struct edition *edition)
{
	CLEANUP(diag_fini) struct diag diag = { 0 };

	diag_init(&diag);
	edition_warn(edition, a->spec.config, a->texts.file, &diag);
	for (size_t i = 0; i < diag.n_items; i++) {
		char line[1024];

		snprintf(line, sizeof(line), "%s: warning: %s", diag.items[i].file,
		         diag.items[i].text);
		keep_line(a, line);
	}
}

static void finish(struct apply *a, int result)
{
	struct apply_result out = {
		.result = result,
		.version = a->version,
		.lines = (const char *const *)a->lines,
		.n_lines = a->n_lines,
		.counts = a->counts,
		.seconds = (double)(clock_mono_ns() - a->began_ns) / 1e9,
	};

	if (a->done)
		a->done(a->arg, &out);
	apply_free(a);
}

static void on_in_force(void *arg, uint32_t version, int result)
{
	struct apply *a = arg;
	char line[160];

	if (result == ERR_TIMEOUT) {
		snprintf(line, sizeof(line),
		         "error: version %" PRIu32 " is stored but not confirmed: %s", version,
		         rollout_missing(a->spec.rollout));
		keep_line(a, line);
	}
	finish(a, result);
}

/* A sealed text in memory, for the store. */
static int map_text(int fd, const uint8_t **ret_data, size_t *ret_len)
{
	struct stat st;
	void *data;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size == 0) {
		*ret_data = (const uint8_t *)"";
		*ret_len = 0;
		return ERR_OK;
	}
	r = shm_map(fd, SHM_READ, 1, &data, ret_len);
	if (r == 0)
		*ret_data = data;
	return r;
}

static void unmap_text(const uint8_t *data, size_t len)
{
	if (len)
		munmap((void *)(uintptr_t)data, len);
}

static int put(struct apply *a, uint32_t *ret_version, struct diag *diag)
{
	CLEANUP(free) struct store_put_feed *feeds = NULL;
	struct store_put out = {
		.actor = { a->spec.actor.uid, a->user },
		.time_ns = clock_wall_ns(),
		.action = a->action,
		.file = a->texts.file,
		.comment = a->comment,
		.n_rules = a->counts.rules,
		.n_workloads = a->counts.workloads,
	};
	const uint8_t *text = NULL;
	size_t n = 0, len = 0;
	int r;

	feeds = calloc(MAX(a->texts.n_feeds, (size_t)1), sizeof(*feeds));
	if (!feeds)
		return ERR_NOMEM;
	r = map_text(a->texts.fd, &text, &len);
	out.text = (const char *)text;
	out.text_len = len;
	for (; r == 0 && n < a->texts.n_feeds; n++) {
		feeds[n].name = a->texts.feeds[n].name;
		feeds[n].file = a->texts.feeds[n].file;
		r = map_text(a->texts.feeds[n].fd, &feeds[n].data, &feeds[n].len);
	}
	out.feeds = feeds;
	out.n_feeds = n;
	if (r == 0)
		r = store_put(a->spec.store, &out, ret_version, diag);
	for (size_t i = 0; i < n; i++)
		unmap_text(feeds[i].data, feeds[i].len);
	unmap_text(text, len);
	return r;
}

/* Take the image, store the version, begin the rollout. */
static int accept_image(struct apply *a, int image_fd)
{
	CLEANUP(edition_unref) struct edition *edition = NULL;
	CLEANUP(diag_fini) struct diag diag = { 0 };
	uint32_t version = a->spec.stored_version, stored;
	char line[512];
	int r;

	diag_init(&diag);
	if (!version)
		version = store_next_version(a->spec.store);
	if (!version) {
		close(image_fd);
		keep_line(a, "error: the policy store cannot be read");
		return ERR_STORE;
	}
	r = edition_new(image_fd, version, a->texts.file, a->spec.config, &edition);
	if (r < 0) {
		if (r == ERR_LIMIT)
			snprintf(line, sizeof(line),
			         "error: the policy is too large to guard: hosts times profiles "
			         "come to more than %d, or its image to more than %d octets; "
			         "use fewer hosts or profiles",
			         LIMIT_GUARD_HOSTS, LIMIT_IMAGE_BYTES);
		else
			snprintf(line, sizeof(line), "error: the compiled policy is not usable: %s",
			         err_str(r));
		keep_line(a, line);
		return r;
	}
	policy_image_counts(&edition->image, &a->counts);
	keep_warnings(a, edition);
	if (!a->spec.stored_version) {
		r = put(a, &stored, &diag);
		if (r == 0 && stored != version)
			r = ERR_STORE;
		if (r < 0) {
			snprintf(line, sizeof(line), "error: the policy cannot be stored: %s",
			         diag.n_items ? diag.items[0].text : err_str(r));
			keep_line(a, line);
			return r;
		}
	}
	a->version = version;
	log_info(TAG,
	         "version %" PRIu32 ": %" PRIu32 " rules, %" PRIu32 " workloads, %" PRIu64
	         " feed names",
	         version, a->counts.rules, a->counts.workloads, a->counts.feed_names);
	edition_keep_guarded(edition, a->spec.config);
	rollout_begin(a->spec.rollout, TAKE(edition));
	return ERR_OK;
}

static void on_compiled(void *arg, struct compile_result *result)
{
	struct apply *a = arg;
	int image_fd, r;

	a->compile = NULL;
	for (size_t i = 0; i < result->n_lines; i++)
		keep_line(a, result->lines[i]);
	if (result->image_fd < 0) {
		finish(a, ERR_CONFIG);
		return;
	}
	image_fd = result->image_fd;
	result->image_fd = -1;
	r = accept_image(a, image_fd);
	/* The texts are in the store now; a million names need not stay in memory twice. */
	if (r == 0)
		r = rollout_wait(a->spec.rollout, a->version, APPLY_WAIT_MS, on_in_force, a);
	if (r < 0)
		finish(a, r);
}

static int start_compile(struct apply *a)
{
	CLEANUP(free) struct compile_feed *feeds = NULL;
	struct compile_text text = { .file = a->texts.file, .fd = a->texts.fd };

	feeds = calloc(MAX(a->texts.n_feeds, (size_t)1), sizeof(*feeds));
	if (!feeds)
		return ERR_NOMEM;
	for (size_t i = 0; i < a->texts.n_feeds; i++)
		feeds[i] = (struct compile_feed){ a->texts.feeds[i].name, a->texts.feeds[i].file,
			                          a->texts.feeds[i].fd };
	text.feeds = feeds;
	text.n_feeds = a->texts.n_feeds;
	return compile_start(a->spec.loop, &a->spec.config->users[CONFIG_COMPILER], &text,
	                     on_compiled, a, &a->compile);
}

int apply_start(const struct apply_spec *spec, apply_done_cb *done, void *arg,
                struct apply **ret_apply)
{
	struct apply *a = calloc(1, sizeof(*a));
	int r = ERR_NOMEM;

	if (!a)
		return ERR_NOMEM;
	a->spec = *spec;
	a->texts = *spec->texts;
	apply_texts_init(spec->texts);
	a->done = done;
	a->arg = arg;
	a->began_ns = clock_mono_ns();
	a->action = strdup(spec->action);
	a->comment = strdup(spec->comment);
	a->user = spec->actor.user ? strdup(spec->actor.user) : NULL;
	a->lines = calloc(LINES_MAX, sizeof(*a->lines));
	if (a->action && a->comment && a->lines)
		r = start_compile(a);
	if (r < 0) {
		apply_free(a);
		return r;
	}
	*ret_apply = a;
	return ERR_OK;
}

void apply_forget(struct apply *a)
{
	a->done = NULL;
}

void apply_cancel(struct apply *a)
{
	if (!a)
		return;
	compile_cancel(a->compile);
	rollout_forget(a->spec.rollout, a);
	apply_free(a);
}

bool apply_reaped(struct apply *a, pid_t pid, int status)
{
	return a && compile_reaped(a->compile, pid, status);
}
