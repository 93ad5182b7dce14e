#include "request.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "json.h"
#include "sallyport/control.h"
#include "sallyport/err.h"
#include "text.h"

enum { REQUEST_TIMEOUT_S = 30 };

/* Why connecting failed, with what would help. */
static void complain_connect(const struct cli *cli, const char *path, int err)
{
	if (err == ENOENT)
		cli_fail(cli,
		         "sallyportd is not running: there is no %s; start it, or name its "
		         "configuration with -c",
		         path);
	else if (err == ECONNREFUSED)
		cli_fail(cli, "sallyportd is not running: nobody listens at %s", path);
	else if (err == EACCES || err == EPERM)
		cli_fail(cli,
		         "you may not use %s; ask to become a member of the analyst or the admin "
		         "group (access: in sallyport.yaml)",
		         path);
	else
		cli_fail(cli, "%s: %s", path, strerror(err));
}

/* Returns a connected socket or -1, having complained unless @quiet. */
static int connect_keeper(const struct cli *cli, const struct request *request)
{
	struct timeval patience = {
		.tv_sec = request->timeout_s ? request->timeout_s : REQUEST_TIMEOUT_S,
	};
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	CLEANUP(fd_close) int fd = -1;
	CLEANUP(free) char *path = text_format("%s/control.sock", cli->settings.run_dir);

	if (!path) {
		cli_nomem(cli);
		return -1;
	}
	if (strlen(path) >= sizeof(sa.sun_path)) {
		cli_fail(cli,
		         "%s is too long for a socket; a run_dir of at most %zu octets would do",
		         path, sizeof(sa.sun_path) - sizeof("/control.sock"));
		return -1;
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		if (!request->quiet)
			complain_connect(cli, path, errno);
		return -1;
	}
	return fd_take(&fd);
}

/* The words, each with its zero octet, in one block. */
static char *join_words(const struct request *request, size_t *ret_len)
{
	size_t len = 0;
	char *block, *s;

	for (size_t i = 0; i < request->n_words; i++)
		len += strlen(request->words[i]) + 1;
	block = malloc(len + 1);
	if (!block)
		return NULL;
	s = block;
	for (size_t i = 0; i < request->n_words; i++)
		s = stpcpy(s, request->words[i]) + 1;
	*ret_len = len;
	return block;
}

static int broken(const struct cli *cli, int err)
{
	if (err == ERR_CLOSED)
		return cli_fail(cli,
		                "sallyportd broke off before it had answered; its log may say why");
	if (err == -EAGAIN || err == -EWOULDBLOCK || err == ERR_TIMEOUT)
		return cli_fail(
		    cli, "sallyportd does not answer; `sallyport status` and its log may say why");
	return cli_fail(cli, "the answer of sallyportd cannot be read: %s", err_str(err));
}

static int hand_over(const struct cli *cli, const uint8_t *payload, size_t len,
                     request_data_cb *data, void *arg)
{
	CLEANUP(json_decref)
	json_t *object =
	    json_loadb((const char *)payload, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	int r;

	if (!json_is_object(object))
		return broken(cli, ERR_MALFORMED);
	r = data ? data(object, arg) : ERR_OK;
	return r < 0 ? cli_fail(cli, "%s", err_str(r)) : CLI_YES;
}

/* Read frames until the exit status. */
static int read_reply(const struct cli *cli, int fd, uint8_t *buf, bool quiet,
                      request_data_cb *data, void *arg)
{
	for (;;) {
		int fds[CONTROL_FDS_MAX];
		struct control_head head;
		size_t n_fds = 0;
		int r = control_recv(fd, buf, LIMIT_CONTROL_FRAME, &head, fds, &n_fds);

		if (r < 0)
			return quiet ? CLI_FAILED : broken(cli, r);
		for (size_t i = 0; i < n_fds; i++)
			close(fds[i]); /* nothing in the protocol sends us any */
		switch (head.kind) {
		case CONTROL_DATA:
			r = hand_over(cli, buf, head.len, data, arg);
			if (r != CLI_YES)
				return r;
			break;
		case CONTROL_ERROR:
			if (quiet)
				break;
			text_put_lines(cli->err, (const char *)buf, head.len);
			if (head.len == 0 || buf[head.len - 1] != '\n')
				putc('\n', cli->err);
			break;
		case CONTROL_EXIT:
			if (head.len != 1 || buf[0] > CLI_FAILED)
				return broken(cli, ERR_MALFORMED);
			return buf[0];
		default:
			return broken(cli, ERR_MALFORMED);
		}
	}
}

/* Connect, ask, read the answer. */
static int run_once(const struct cli *cli, const struct request *request, request_data_cb *data,
                    void *arg, bool *ret_reached)
{
	CLEANUP(free) char *words = NULL;
	CLEANUP(free) uint8_t *buf = malloc(LIMIT_CONTROL_FRAME);
	CLEANUP(fd_close) int fd = -1;
	size_t len = 0;
	int r;

	words = join_words(request, &len);
	if (!words || !buf)
		return cli_nomem(cli);
	fd = connect_keeper(cli, request);
	if (fd < 0)
		return CLI_FAILED;
	if (ret_reached)
		*ret_reached = true;
	r = control_send(fd, CONTROL_REQUEST, words, len, request->fds, request->n_fds);
	/* A keeper that refuses us may answer and hang up before it has read all: its word counts.
	 */
	if (r < 0 && r != ERR_CLOSED)
		return broken(cli, r);
	return read_reply(cli, fd, buf, request->quiet, data, arg);
}

int request_run(const struct cli *cli, const struct request *request, request_data_cb *data,
                void *arg, bool *ret_reached)
{
	if (ret_reached)
		*ret_reached = false;
	/* Of whom may not change anything the keeper takes no descriptors (keeper/rights.h): they
	 * would find nobody, and only waiting would tell. So words go first. */
	if (request->n_fds) {
		const char *const may[] = { "may", request->words[0] };
		const struct request ask = { .words = may,
			                     .n_words = ARRAY_LEN(may),
			                     .timeout_s = request->timeout_s,
			                     .quiet = request->quiet };
		int status = run_once(cli, &ask, NULL, NULL, ret_reached);

		if (status != CLI_YES)
			return status;
	}
	return run_once(cli, request, data, arg, ret_reached);
}

int request_words(const struct cli *cli, request_data_cb *data, void *arg, const char *const *words,
                  size_t n_words)
{
	const struct request request = { .words = words, .n_words = n_words };

	return request_run(cli, &request, data, arg, NULL);
}
