/* resolver/anchor/main.c - sallyport-anchor: one DNSKEY RRset in, what it says out.
 *
 * The octets come from the network, by way of the resolver; the process that reads them holds
 * nothing. The keeper sends ANCHOR (a: 0 trusted, 1 configured), KEYS (a: 1 when SHA-1 counts), END
 * (a: wall clock, b: 0, or uid | gid << 32 to run as), and is sent SEEN for each key and READY (a:
 * 1 reached | 2 verified, b: TTL << 32 | seconds until the signature ends).
 */
#include <openssl/crypto.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "judge.h"
#include "sallyport/confine.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#define TAG "anchor"

enum { CPU_S = 10 };

struct given {
	struct judge_anchors trusted, configured;
	uint8_t *keys;
	size_t keys_len;
	bool sha1;
	uint64_t now_s, ids;
};

static int take_anchor(struct judge_anchors *to, const struct role_msg *msg)
{
	if (msg->len != sizeof(to->list[0]) || to->n == JUDGE_ANCHORS)
		return ERR_MALFORMED;
	memcpy(&to->list[to->n], msg->payload, msg->len);
	if (to->list[to->n].len > LIMIT_ANCHOR_BYTES)
		return ERR_MALFORMED;
	to->n++;
	return ERR_OK;
}

static int take_keys(struct given *given, const struct role_msg *msg)
{
	if (given->keys)
		return ERR_MALFORMED;
	given->keys = malloc(msg->len + 1);
	if (!given->keys)
		return ERR_NOMEM;
	memcpy(given->keys, msg->payload, msg->len);
	given->keys_len = msg->len;
	given->sha1 = msg->a != 0;
	return ERR_OK;
}

/* Until END: returns 1. */
static int take(struct given *given, const struct role_msg *msg)
{
	switch (msg->type) {
	case ROLE_MSG_ANCHOR:
		return take_anchor(msg->a ? &given->configured : &given->trusted, msg);
	case ROLE_MSG_KEYS:
		return take_keys(given, msg);
	case ROLE_MSG_END:
		given->now_s = msg->a;
		given->ids = msg->b;
		return given->keys ? 1 : ERR_MALFORMED;
	default: /* not an enum here: whatever the channel brought */
		return ERR_MALFORMED;
	}
}

static int receive(struct given *given)
{
	CLEANUP(free) uint8_t *buf = malloc(LIMIT_ROLE_MESSAGE);
	int r = buf ? ERR_OK : ERR_NOMEM;

	while (r == ERR_OK) {
		struct role_msg msg;

		r = role_recv(ROLE_FD, buf, LIMIT_ROLE_MESSAGE, &msg);
		if (r < 0)
			break;
		r = take(given, &msg);
		role_msg_close(&msg);
	}
	return r < 0 ? r : ERR_OK;
}

static int shut_in(uint64_t ids)
{
	static const int syscalls[] = { SCMP_SYS(sendmsg), -1 };
	const struct confine confine = {
		.role = "anchor",
		.uid = ids ? (uid_t)(uint32_t)ids : (uid_t)-1,
		.gid = ids ? (gid_t)(uint32_t)(ids >> 32) : (gid_t)-1,
		.root_fd = -1,
		.keep_cap = -1,
		.syscalls = syscalls,
	};
	const struct rlimit cpu = { CPU_S, CPU_S }, core = { 0, 0 };

	if (setrlimit(RLIMIT_CPU, &cpu) < 0 || setrlimit(RLIMIT_CORE, &core) < 0)
		return -errno;
	return confine_self(&confine);
}

static int tell(const struct judgement *judgement)
{
	int r = ERR_OK;

	for (size_t i = 0; i < judgement->n_keys && r == ERR_OK; i++)
		r = role_send(ROLE_FD, ROLE_MSG_SEEN, 0, 0, &judgement->keys[i],
		              sizeof(judgement->keys[i]), NULL, 0);
	if (r == ERR_OK)
		r = role_send(ROLE_FD, ROLE_MSG_READY,
		              (judgement->reached ? 1u : 0u) | (judgement->verified ? 2u : 0u),
		              (uint64_t)judgement->ttl_s << 32 | judgement->expires_in_s, NULL, 0,
		              NULL, 0);
	return r;
}

int main(void)
{
	static struct given given;
	static struct judgement judgement;
	int r;

	log_init("anchor", LOG_FORM_KEYVALUE, LOG_LEVEL_INFO);
	OPENSSL_init_crypto(0, NULL); /* it reads its configuration while there is a file system */
	r = receive(&given);
	if (r < 0) {
		log_error(TAG, "the keeper's messages: %s", err_str(r));
		return 2;
	}
	if (shut_in(given.ids) < 0)
		return 2;
	r = judge_keys(&given.trusted, &given.configured, given.keys, given.keys_len, given.sha1,
	               given.now_s, &judgement);
	if (r == ERR_OK)
		r = tell(&judgement);
	if (r < 0)
		log_error(TAG, "the keys: %s", err_str(r));
	return r < 0 ? 1 : 0;
}
