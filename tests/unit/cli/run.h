/* run.h - run one command line of `sallyport` inside a test, and a keeper that says what it is
 * told.
 *
 * The keeper is a child process: it accepts connections on DIR/control.sock, notes each request's
 * words and the content of its descriptors in DIR/asked, and plays the script whose first words
 * fit.
 */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli.h"
#include "sallyport/control.h"

struct run {
	int status;
	char *out, *err;
};

static inline void run_fini(struct run *run)
{
	free(run->out);
	free(run->err);
	run->out = run->err = NULL;
}

/* @line: words divided by '|', so that a word can hold blanks. */
static inline struct run run_line(const char *line)
{
	struct run run = { 0 };
	char *copy = strdup(line), *argv[32], *rest = copy;
	size_t out_len, err_len;
	FILE *out = open_memstream(&run.out, &out_len);
	FILE *err = open_memstream(&run.err, &err_len);
	int argc = 0;

	assert_non_null(copy);
	while (rest && *line && argc < 32)
		argv[argc++] = strsep(&rest, "|");
	run.status = cli_run(argc, argv, out, err, false);
	fclose(out);
	fclose(err);
	free(copy);
	return run;
}

struct frame {
	enum control_kind kind;
	const char *payload;
	size_t len; /* 0: strlen(payload) */
};
#define FRAME_DATA(text)                                                                           \
	{                                                                                          \
		CONTROL_DATA, text, 0                                                              \
	}
#define FRAME_ERROR(text)                                                                          \
	{                                                                                          \
		CONTROL_ERROR, text, 0                                                             \
	}
#define FRAME_EXIT(octet)                                                                          \
	{                                                                                          \
		CONTROL_EXIT, octet, 1                                                             \
	}

struct script {
	const char *asked; /* first words, with a blank between; "" fits all */
	struct frame frames[6];
};

struct keeper {
	char dir[64]; /* with a sallyport.yaml that names it */
	pid_t pid;
};

static inline void keeper_note(FILE *notes, const char **words, int n, const int *fds, size_t n_fds)
{
	for (int i = 0; i < n; i++)
		fprintf(notes, "%s[%s]", i ? " " : "", words[i]);
	putc('\n', notes);
	for (size_t i = 0; i < n_fds; i++) {
		char buf[4096];
		ssize_t len = read(fds[i], buf, sizeof(buf));

		fprintf(notes, "fd %zu: %.*s\n", i, (int)MAX(len, (ssize_t)0), buf);
	}
	fflush(notes);
}

static inline bool keeper_fits(const char *asked, const char **words, int n)
{
	char text[256] = "";

	for (int i = 0; i < n && i < 3; i++) {
		strncat(text, words[i], sizeof(text) - strlen(text) - 2);
		strcat(text, " ");
	}
	return strncmp(text, asked, strlen(asked)) == 0;
}

static inline void keeper_serve(int listener, FILE *notes, const struct script *scripts, size_t n)
{
	static uint8_t buf[LIMIT_CONTROL_FRAME];

	for (;;) {
		int fds[CONTROL_FDS_MAX], fd = accept(listener, NULL, NULL);
		const char *words[128];
		struct control_head head;
		size_t n_fds;
		int n_words;

		if (fd < 0 || control_recv(fd, buf, sizeof(buf), &head, fds, &n_fds) < 0)
			_exit(1);
		n_words = control_words(buf, head.len, words, 128);
		keeper_note(notes, words, n_words, fds, n_fds);
		for (size_t i = 0; i < n_fds; i++)
			close(fds[i]);
		for (size_t i = 0; i < n; i++) {
			if (!keeper_fits(scripts[i].asked, words, n_words))
				continue;
			for (const struct frame *f = scripts[i].frames; f->kind; f++) {
				size_t len = f->len ? f->len : strlen(f->payload);

				if (control_send(fd, f->kind, f->payload, len, NULL, 0) < 0)
					break;
			}
			break;
		}
		close(fd);
	}
}

/* @scripts may be NULL: then there is only the directory, and nobody listens. */
static inline void keeper_start(struct keeper *keeper, const struct script *scripts, size_t n)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char path[128];
	FILE *notes, *config;
	int listener;

	keeper->pid = 0;
	snprintf(keeper->dir, sizeof(keeper->dir), "/tmp/sallyport-cli-XXXXXX");
	assert_non_null(mkdtemp(keeper->dir));
	snprintf(path, sizeof(path), "%s/sallyport.yaml", keeper->dir);
	config = fopen(path, "w");
	assert_non_null(config);
	fprintf(config, "state_dir: %s\nrun_dir: %s\n", keeper->dir, keeper->dir);
	fclose(config);
	if (!scripts)
		return;
	snprintf(path, sizeof(path), "%s/asked", keeper->dir);
	notes = fopen(path, "w");
	assert_non_null(notes);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/control.sock", keeper->dir);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(listener, 8), 0);
	keeper->pid = fork();
	assert_true(keeper->pid >= 0);
	if (keeper->pid == 0) {
		alarm(60); /* never outlives its test */
		keeper_serve(listener, notes, scripts, n);
	}
	close(listener);
	fclose(notes);
}

static inline void keeper_stop(struct keeper *keeper)
{
	static const char *const files[] = { "control.sock", "asked",    "sallyport.yaml",
		                             "policy.yaml",  "feed.txt", "old.yaml" };
	char path[128];

	if (keeper->pid > 0) {
		kill(keeper->pid, SIGKILL);
		waitpid(keeper->pid, NULL, 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", keeper->dir, files[i]);
		unlink(path);
	}
	rmdir(keeper->dir);
}

static inline void keeper_write(const struct keeper *keeper, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", keeper->dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* What was asked so far. */
static inline char *keeper_asked(const struct keeper *keeper)
{
	char path[128], *text = calloc(1, 16384);
	FILE *notes;

	assert_non_null(text);
	snprintf(path, sizeof(path), "%s/asked", keeper->dir);
	notes = fopen(path, "r");
	assert_non_null(notes);
	(void)!fread(text, 1, 16383, notes); /* an empty file is an answer, too */
	fclose(notes);
	return text;
}

/* Run "-c DIR/sallyport.yaml|LINE"; "%s" in @line stands for the keeper's directory, twice at most.
 */
static inline struct run keeper_run(const struct keeper *keeper, const char *line)
{
	char text[1024], *at;
	size_t len;

	len = (size_t)snprintf(text, sizeof(text), "-c|%s/sallyport.yaml|", keeper->dir);
	while ((at = strstr(line, "%s"))) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%.*s%s", (int)(at - line),
		                        line, keeper->dir);
		line = at + 2;
	}
	snprintf(text + len, sizeof(text) - len, "%s", line);
	return run_line(text);
}
