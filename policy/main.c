/* policy/main.c - sallyport-compile: policy text and feeds to an image, in a process of its own.
 *
 *   sallyport-compile                          started by the keeper: policy/compiler_wire.h
 *   sallyport-compile --file POLICY --out IMAGE  by hand; feeds lie beside the policy
 *
 * Exit status: 0 compiled, 1 faults in the texts, 2 anything else.
 */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "policy/compile.h"
#include "policy/compiler_wire.h"
#include "sallyport/clock.h"
#include "sallyport/confine.h"
#include "sallyport/diag.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "sallyport/role.h"
#include "sallyport/shm.h"

#define TAG "compile"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct texts {
	struct policy_source policy;
	struct policy_feed_text feeds[LIMIT_FEEDS];
	size_t n_feeds;
	bool has_policy;
};

static void texts_fini(struct texts *texts)
{
	free((void *)(uintptr_t)texts->policy.text);
	free((void *)(uintptr_t)texts->policy.file);
	for (size_t i = 0; i < texts->n_feeds; i++) {
		free((void *)(uintptr_t)texts->feeds[i].source.text);
		free((void *)(uintptr_t)texts->feeds[i].source.file);
		free((void *)(uintptr_t)texts->feeds[i].name);
	}
}
#define texts_fini_cleanup texts_fini

/* All of @fd, at most @max octets. */
static int read_all(int fd, size_t max, char **ret_text, size_t *ret_len)
{
	CLEANUP(free) char *text = NULL;
	struct stat st;
	size_t len, got = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return ERR_INVAL;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return ERR_LIMIT;
	len = (size_t)st.st_size;
	text = malloc(len + 1);
	if (!text)
		return ERR_NOMEM;
	while (got < len) {
		ssize_t n = pread(fd, text + got, len - got, (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break; /* it shrank meanwhile: the rest is what there is */
		got += (size_t)n;
	}
	text[got] = '\0';
	*ret_text = TAKE(text);
	*ret_len = got;
	return ERR_OK;
}

/* By hand. */

static int read_file(int dir, const char *path, size_t max, struct policy_source *ret_source)
{
	CLEANUP(fd_close) int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	char *text, *name = strdup(path);
	size_t len;
	int r = fd < 0 ? -errno : name ? read_all(fd, max, &text, &len) : ERR_NOMEM;

	if (r == ERR_LIMIT)
		fprintf(stderr, "sallyport-compile: %s: larger than %zu octets\n", path, max);
	else if (r < 0)
		fprintf(stderr, "sallyport-compile: %s: %s\n", path, err_str(r));
	if (r < 0) {
		free(name);
		return r;
	}
	*ret_source = (struct policy_source){ .file = name, .text = text, .len = len };
	return ERR_OK;
}

static int read_wanted_feeds(const char *policy_path, struct texts *texts, struct diag *diag)
{
	CLEANUP(free) char *folder = strdup(policy_path);
	CLEANUP(fd_close) int dir = -1;
	struct policy_feed_want *wants;
	size_t n;
	int r;

	if (!folder)
		return ERR_NOMEM;
	r = policy_feeds_wanted(&texts->policy, &wants, &n, diag);
	if (r < 0)
		return r;
	if (strrchr(folder, '/'))
		strrchr(folder, '/')[1] = '\0';
	else
		folder[0] = '\0';
	dir = open(*folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < n && r == ERR_OK; i++) {
		struct policy_feed_text *feed = &texts->feeds[texts->n_feeds];

		r = read_file(dir, wants[i].file, LIMIT_FEED_BYTES, &feed->source);
		if (r < 0)
			break;
		feed->name = strdup(wants[i].name);
		texts->n_feeds++;
		if (!feed->name)
			r = ERR_NOMEM;
	}
	policy_feeds_wanted_free(wants, n);
	return r;
}

static int write_file(const char *path, const void *data, size_t len)
{
	CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	size_t done = 0;

	while (fd >= 0 && done < len) {
		ssize_t n = write(fd, (const char *)data + done, len - done);

		if (n < 0 && errno != EINTR)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0 && done == len)
		return ERR_OK;
	fprintf(stderr, "sallyport-compile: %s: %s\n", path, strerror(errno));
	return ERR_STORE;
}

static int compile_by_hand(const char *policy_path, const char *image_path)
{
	CLEANUP(texts_fini) struct texts texts = { .n_feeds = 0 };
	CLEANUP(diag_fini) struct diag diag = { 0 };
	CLEANUP(free) void *image = NULL;
	size_t len = 0;
	int r = read_file(AT_FDCWD, policy_path, LIMIT_POLICY_BYTES, &texts.policy);

	if (r < 0)
		return 2;
	r = read_wanted_feeds(policy_path, &texts, &diag);
	if (r == ERR_OK)
		r = policy_compile(&texts.policy, texts.feeds, texts.n_feeds,
		                   clock_wall_ns() / NS_PER_S, &image, &len, &diag);
	diag_print(&diag, STDERR_FILENO);
	if (r == ERR_OK && write_file(image_path, image, len) < 0)
		return 2;
	if (r < 0 && diag.n_errors == 0)
		fprintf(stderr, "sallyport-compile: %s\n", err_str(r));
	return r == ERR_OK ? 0 : diag.n_errors > 0 ? 1 : 2;
}

/* For the keeper. */

static int take_text(struct texts *texts, const struct role_msg *msg)
{
	bool is_policy = msg->a == COMPILER_POLICY;
	size_t max = is_policy ? LIMIT_POLICY_BYTES : LIMIT_FEED_BYTES;
	const char *payload = (const char *)msg->payload;
	const char *cut = is_policy ? NULL : memchr(payload, 0, msg->len);
	struct policy_source source = { 0 };
	char *text = NULL;
	int r;

	if (msg->n_fds != 1 || (!is_policy && !cut) || (is_policy && texts->has_policy) ||
	    (!is_policy && texts->n_feeds == LIMIT_FEEDS))
		return ERR_MALFORMED;
	r = read_all(msg->fds[0], max, &text, &source.len);
	if (r < 0)
		return r;
	source.text = text;
	source.file = cut ? strndup(cut + 1, msg->len - (size_t)(cut + 1 - payload))
	                  : strndup(payload, msg->len);
	if (is_policy) {
		texts->policy = source;
		texts->has_policy = true;
		return source.file ? ERR_OK : ERR_NOMEM;
	}
	texts->feeds[texts->n_feeds] =
	    (struct policy_feed_text){ .name = strdup(payload), .source = source };
	r = source.file && texts->feeds[texts->n_feeds].name ? ERR_OK : ERR_NOMEM;
	texts->n_feeds++;
	return r;
}

/* Read messages until END. */
static int receive(struct texts *texts, uint64_t *ret_now_s, uint64_t *ret_ids)
{
	CLEANUP(free) uint8_t *buf = malloc(LIMIT_ROLE_MESSAGE);

	if (!buf)
		return ERR_NOMEM;
	for (;;) {
		struct role_msg msg;
		int r = role_recv(ROLE_FD, buf, LIMIT_ROLE_MESSAGE, &msg);

		if (r < 0)
			return r;
		if (msg.type == ROLE_MSG_END) {
			*ret_now_s = msg.a;
			*ret_ids = msg.b;
			role_msg_close(&msg);
			return texts->has_policy ? ERR_OK : ERR_MALFORMED;
		}
		if (msg.type == ROLE_MSG_CONFIG &&
		    (msg.a == COMPILER_POLICY || msg.a == COMPILER_FEED))
			r = take_text(texts, &msg);
		else
			r = ERR_MALFORMED;
		role_msg_close(&msg);
		if (r < 0)
			return r;
	}
}

/* Memory and time, so that a text made for it cannot starve the machine. */
static int limit_self(void)
{
	struct rlimit cpu = { COMPILER_CPU_S, COMPILER_CPU_S };
	struct rlimit core = { 0, 0 };

	if (setrlimit(RLIMIT_CPU, &cpu) < 0 || setrlimit(RLIMIT_CORE, &core) < 0)
		return -errno;
	struct rlimit memory = { COMPILER_MEMORY_BYTES, COMPILER_MEMORY_BYTES };

	/* The sanitizers reserve terabytes of addresses. */
	if (!SANITIZED && setrlimit(RLIMIT_AS, &memory) < 0)
		return -errno;
	return ERR_OK;
}

static int shut_in(uint64_t ids)
{
	static const int syscalls[] = {
		SCMP_SYS(sendmsg),
		SCMP_SYS(memfd_create),
		SCMP_SYS(ftruncate),
		SCMP_SYS(fcntl),
		SCMP_SYS(fstat),
		SCMP_SYS(newfstatat),
		-1,
	};
	struct confine confine = {
		.role = "compile",
		.uid = ids ? (uid_t)(uint32_t)ids : (uid_t)-1,
		.gid = ids ? (gid_t)(uint32_t)(ids >> 32) : (gid_t)-1,
		.root_fd = -1,
		.keep_cap = -1,
		.syscalls = syscalls,
	};
	int r = limit_self();

	if (r < 0) {
		log_error(TAG, "setrlimit: %s", err_str(r));
		return r;
	}
	return confine_self(&confine);
}

/* Each fault and warning as a message; the channel blocks until the keeper has read. */
static void report(const struct diag *diag)
{
	char line[4096];

	for (size_t i = 0; i < diag->n_items; i++) {
		const struct diag_item *item = &diag->items[i];
		bool error = item->severity == DIAG_ERROR;
		const char *what = error ? "error" : "warning";
		int n;

		if (item->line)
			n = snprintf(line, sizeof(line), "%s:%u:%u: %s: %s", item->file, item->line,
			             item->col, what, item->text);
		else
			n = snprintf(line, sizeof(line), "%s%s%s: %s", item->file,
			             *item->file ? ": " : "", what, item->text);
		if (n < 0 || role_send(ROLE_FD, error ? ROLE_MSG_FAILED : ROLE_MSG_READY, 0, 0,
		                       line, MIN((size_t)n, sizeof(line) - 1), NULL, 0) < 0)
			return;
	}
	if (diag->n_dropped > 0) {
		int n = snprintf(line, sizeof(line), "%s: %zu more are not shown",
		                 diag->n_errors ? "error" : "warning", diag->n_dropped);

		/* The keeper is gone if this fails: nobody to tell. */
		(void)role_send(ROLE_FD, diag->n_errors ? ROLE_MSG_FAILED : ROLE_MSG_READY, 0, 0,
		                line, (size_t)n, NULL, 0);
	}
}

static int compile_for_keeper(void)
{
	CLEANUP(texts_fini) struct texts texts = { .n_feeds = 0 };
	CLEANUP(diag_fini) struct diag diag = { 0 };
	CLEANUP(free) void *image = NULL;
	CLEANUP(fd_close) int fd = -1;
	uint64_t now_s, ids;
	size_t len = 0;
	int r = receive(&texts, &now_s, &ids);

	if (r < 0) {
		log_error(TAG, "the keeper's messages: %s", err_str(r));
		return 2;
	}
	if (shut_in(ids) < 0)
		return 2;
	r = policy_compile(&texts.policy, texts.feeds, texts.n_feeds, now_s, &image, &len, &diag);
	if (r < 0 && diag.n_errors == 0)
		(void)diag_set(&diag, r, "the policy was not compiled: %s", err_str(r));
	report(&diag);
	if (r < 0)
		return 1;
	fd = shm_create_sealed("sallyport-policy", image, len);
	if (fd < 0 || role_send(ROLE_FD, ROLE_MSG_IMAGE, 0, 0, NULL, 0, &fd, 1) < 0) {
		log_error(TAG, "the image cannot be handed over");
		return 2;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *file = NULL, *out = NULL;

	log_init("compile", LOG_FORM_KEYVALUE, LOG_LEVEL_INFO);
	if (argc == 1)
		return compile_for_keeper();
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--file") == 0)
			file = argv[i + 1];
		else if (strcmp(argv[i], "--out") == 0)
			out = argv[i + 1];
	}
	if (argc != 5 || !file || !out) {
		fprintf(stderr, "usage: sallyport-compile --file POLICY --out IMAGE\n");
		return 2;
	}
	return compile_by_hand(file, out);
}
