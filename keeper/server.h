/* keeper/server.h - the control socket: who calls, one request, many answers.
 *
 * Connections never block the keeper: a caller that does not send its request, or does not read its
 * answer, within SERVER_STALL_MS is dropped. The kernel says who calls (SO_PEERCRED,
 * SO_PEERGROUPS): root and the keeper's own user, and the admin group, may change; the analyst
 * group may read.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "sallyport/cleanup.h"
#include "sallyport/control.h"
#include "sallyport/diag.h"

#define SERVER_STALL_MS 10000
#define SERVER_OUT_HIGH (256 << 10) /* a stream is asked for more below this */
#define SERVER_OUT_MAX (64u << 20)  /* of one caller, unread; more: dropped */
#define SERVER_WORDS_MAX (3 + LIMIT_FEEDS)

struct server;
struct server_client;

struct server_access {
	uint32_t admin_gid, analyst_gid; /* UINT32_MAX: none */
};
struct server_request {
	const char *words[SERVER_WORDS_MAX]; /* borrowed for the call */
	size_t n_words;
	const int *fds; /* borrowed for the call */
	size_t n_fds;
	uint32_t uid;
	bool may_change; /* reading is allowed, or there is no request */
};
/* Called from the loop. The request is over when server_exit() was called, now or later. */
typedef void server_request_cb(void *arg, struct server_client *client,
                               const struct server_request *request);

/* @path: an old socket there is replaced (the keeper holds the state's lock). *@inherited (NULL or
 * -1: none) is a predecessor's listening socket at that path, whose callers wait in it: it is taken
 * instead. */
int server_new(uv_loop_t *loop, const char *path, const struct server_access *access,
               int *inherited, server_request_cb *cb, void *arg, struct server **ret_server,
               struct diag *diag) MUST_CHECK;
/* Its listening socket, borrowed; for a successor. */
int server_fd(const struct server *server);
/* Drop everybody, but leave the socket in its place. */
void server_leave(struct server *server);
void server_set_access(struct server *server, const struct server_access *access);
void server_free(struct server *server); /* drops everybody; NULL is fine */

/* Answers. @object is consumed; names in it are escaped by the encoder. */
void server_json_give(struct server_client *client, json_t *object);
void server_data(struct server_client *client, const char *text, size_t len);
void server_error(struct server_client *client, const char *fmt, ...) PRINTF_LIKE(2, 3);
void server_exit(struct server_client *client, int status);
/* While a request takes long: @gone is called if the caller goes away first; NULL takes it back. */
void server_watch(struct server_client *client, void (*gone)(void *arg), void *arg);
/* Answer piece by piece as the caller reads: @more is called until it returns 0 (it has called
 * server_exit() then); @done releases its state in any case. */
struct server_stream {
	int (*more)(struct server_client *client, void *state);
	void (*done)(void *state);
	void *state;
};
void server_stream(struct server_client *client, const struct server_stream *stream);
