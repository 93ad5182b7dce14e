/* keeper/restart.c - checking, draining, and the moment between two keepers. */
#include "restart.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "keeper.h"
#include "notify.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "spawn.h"

#define TAG "restart"
#define OUTPUT_MAX 8192

int restart_init(struct restart *re)
{
	ssize_t n = readlink("/proc/self/exe", re->program, sizeof(re->program) - 1);
	char *gone;

	re->output = -1;
	if (n < 0)
		return -errno;
	re->program[n] = '\0';
	gone = strstr(re->program, " (deleted)"); /* replaced while it was being started */
	if (gone)
		*gone = '\0';
	return ERR_OK;
}

/* What we would leave; descriptors are borrowed from @k. */
static void describe(const struct keeper *k, struct takeover *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->workers = k->config->workers;
	ret->firewall = k->config->resolver.firewall;
	ret->count = k->restart.count + 1;
	ret->id_second = k->id_second;
	memcpy(ret->cookie_secret, k->cookie_secret, sizeof(ret->cookie_secret));
	memcpy(ret->hash_key, k->hash_key, sizeof(ret->hash_key));
	memcpy(ret->state_dir, k->config->state_dir, sizeof(ret->state_dir));
	memcpy(ret->run_dir, k->config->run_dir, sizeof(ret->run_dir));
	ret->lock_fd = k->lock_fd;
	ret->history_fd = k->history_fd;
	ret->control_fd = server_fd(k->server);
	ret->listeners = k->listeners;
	ret->shared = k->shared;
	memcpy(ret->catalogs, k->rollout.catalogs, sizeof(ret->catalogs));
	ret->n_catalogs = k->rollout.n_catalogs;
}

static void finish(struct restart *re)
{
	if (re->output >= 0)
		close(re->output);
	re->output = -1;
	re->pid = 0;
	if (re->client)
		server_watch(re->client, NULL, NULL);
	re->client = NULL;
}

static void client_gone(void *arg)
{
	struct restart *re = arg;

	re->client = NULL;
}

static int start_check(struct keeper *k)
{
	struct restart *re = &k->restart;
	struct takeover t;
	CLEANUP(fd_close) int record = -1;

	describe(k, &t);
	record = takeover_write(&t);
	if (record < 0)
		return record;
	return takeover_check(re->program, k->config->file, record, &t, &re->pid, &re->output);
}

void restart_request(struct keeper *k, struct server_client *client, uint32_t uid)
{
	struct restart *re = &k->restart;
	const char *why = NULL;
	int r;

	if (re->state != RESTART_NO || k->stopping)
		why = "it is restarting or ending already";
	else if (k->apply)
		why = "a policy is being applied; try again when it is in force";
	if (why) {
		server_error(client, "error: %s", why);
		server_exit(client, 2);
		return;
	}
	r = start_check(k);
	if (r < 0) {
		server_error(client, "error: %s cannot be started: %s", re->program, err_str(r));
		server_exit(client, 2);
		return;
	}
	re->state = RESTART_CHECKING;
	re->deadline_ns = clock_mono_ns() + TAKEOVER_CHECK_MS * NS_PER_MS;
	re->client = client;
	re->uid = uid;
	server_watch(client, client_gone, re);
}

static void tell_output(struct restart *re)
{
	char text[OUTPUT_MAX];
	ssize_t n = pread(re->output, text, sizeof(text) - 1, 0);
	char *line, *rest = text;

	text[n > 0 ? n : 0] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		if (!*line)
			continue;
		log_error(TAG, "%s: %s", re->program, line);
		if (re->client)
			server_error(re->client, "%s", line);
	}
}

static void refuse(struct keeper *k)
{
	struct restart *re = &k->restart;

	tell_output(re);
	log_error(TAG, "%s would not start; everything stays as it is", re->program);
	keeper_audit(k, re->uid, "restart", "refused: the new program would not start");
	if (re->client) {
		server_error(re->client, "error: %s would not start; everything stays as it is",
		             re->program);
		server_exit(re->client, 2);
	}
	finish(re);
	re->state = RESTART_NO;
}

static void begin(struct keeper *k)
{
	struct restart *re = &k->restart;

	log_info(TAG, "%s takes over; queries wait meanwhile", re->program);
	keeper_audit(k, re->uid, "restart", re->program);
	if (re->client) {
		server_json_give(re->client, json_pack("{s:b,s:I}", "restarting", 1, "takeovers",
		                                       (json_int_t)re->count + 1));
		server_exit(re->client, 0);
	}
	finish(re);
	re->state = RESTART_DRAINING;
	keeper_drain(k);
}

bool restart_reaped(struct keeper *k, pid_t pid, int status)
{
	struct restart *re = &k->restart;

	if (re->state != RESTART_CHECKING || pid != re->pid)
		return false;
	if (k->stopping) {
		finish(re);
		re->state = RESTART_NO;
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		begin(k);
	} else {
		refuse(k);
	}
	return true;
}

void restart_pulse(struct keeper *k, uint64_t now_ns)
{
	const struct restart *re = &k->restart;

	if (re->state == RESTART_CHECKING && now_ns > re->deadline_ns)
		kill(re->pid, SIGKILL); /* its end is told by waitpid() */
}

void restart_exec(struct keeper *k)
{
	struct restart *re = &k->restart;
	struct takeover t;
	CLEANUP(fd_close) int record = -1;
	uint64_t backlog = shared_backlog(&k->shared);
	int r;

	if (backlog)
		log_warning(TAG, "the historian has left %" PRIu64 " slots of its rings unwritten",
		            backlog);
	server_leave(k->server);
	store_free(k->store);
	k->store = NULL;
	notify_reloading();
	describe(k, &t);
	record = takeover_write(&t);
	r = record < 0 ? record : takeover_exec(re->program, k->config->file, record, &t);
	log_error(TAG, "%s cannot be started: %s; ending", re->program, err_str(r));
}

static int take_memory(struct keeper *k, struct takeover *t, struct diag *diag)
{
	bool firewall = k->config->resolver.firewall != FIREWALL_NONE;

	if (firewall && t->shared.netlink < 0)
		return diag_set(diag, ERR_DAMAGED, "takeover: the firewall's socket is missing");
	if (t->same_layout)
		return shared_adopt(&k->shared, &t->shared, SHARED_ALL, k->config, diag);
	log_info(TAG, "this version lays its memory out anew: counters begin at 0, pinholes open "
	              "again when they are asked for");
	return shared_adopt(&k->shared, &t->shared, SHARED_NETLINK, k->config, diag);
}

int restart_adopt(struct keeper *k, struct takeover *t, struct diag *diag)
{
	int r = takeover_fits(t, k->config, diag);

	if (r < 0)
		return r;
	k->lock_fd = fd_take(&t->lock_fd);
	k->history_fd = fd_take(&t->history_fd);
	k->id_second = t->id_second;
	memcpy(k->cookie_secret, t->cookie_secret, sizeof(k->cookie_secret));
	memcpy(k->hash_key, t->hash_key, sizeof(k->hash_key));
	k->restart.count = t->count;
	memcpy(k->rollout.catalogs, t->catalogs, sizeof(k->rollout.catalogs));
	k->rollout.n_catalogs = t->n_catalogs;
	t->n_catalogs = 0;
	r = listeners_open(&k->config->resolver, t->listeners, &k->listeners, diag);
	return r < 0 ? r : take_memory(k, t, diag);
}
