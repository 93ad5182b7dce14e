/* tests/fuzz/resolver_query/pinhole_results.c - any octets from fwsync while a batch is in flight:
 * each request ends at most once, and by its deadline exactly once.
 *
 * First octet of the input: bit 0 puts the right magic, version and sequence into the head.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "pinhole_client.h"
#include "rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ASKS 3
struct asking {
	struct pinhole_ask ask;
	unsigned int times;
};

static void on_done(struct pinhole_ask *ask, enum pinhole_status status, uint32_t detail,
                    uint64_t epoch)
{
	struct asking *a = (struct asking *)(void *)ask;

	(void)status;
	(void)detail;
	(void)epoch;
	if (++a->times > 1)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct rig *rig;
	static _Alignas(8) uint8_t msg[LIMIT_PINHOLE_MESSAGE], batch[LIMIT_PINHOLE_MESSAGE];
	static const uint8_t addr[1][ADDR_LEN];
	static const struct pinhole_port port = { PINHOLE_KIND_PORT, 6, 443 };
	struct pinhole_results *head = (struct pinhole_results *)(void *)msg;
	struct asking a[ASKS] = { 0 };

	if (len == 0 || len - 1 > sizeof(msg))
		return 0;
	if (!rig)
		rig = rig_new(NULL);
	for (unsigned int i = 0; i < ASKS; i++) {
		a[i].ask.done = on_done;
		a[i].ask.request =
		    (struct pinhole_request){ .life_s = 60, .n_src = 1, .n_dst = 1, .n_ports = 1 };
		a[i].ask.view = (struct pinhole_view){ .src = addr, .dst = addr, .ports = &port };
		if (pinhole_ask(&rig->worker, &a[i].ask) < 0)
			abort();
	}
	pinhole_client_send(&rig->worker);
	if (recv(rig->fwsync, batch, sizeof(batch), MSG_DONTWAIT) <= 0)
		abort();
	memset(msg, 0, sizeof(*head));
	memcpy(msg, data + 1, len - 1);
	if (data[0] & 1) {
		head->magic = PINHOLE_MAGIC;
		head->version = PINHOLE_VERSION;
		head->seq = ((const struct pinhole_batch *)(const void *)batch)->seq;
	}
	pinhole_client_result(&rig->worker, msg, len - 1);
	pinhole_client_result(&rig->worker, msg, len - 1);
	rig_advance_ms(rig, 250);
	for (unsigned int i = 0; i < ASKS; i++) {
		if (a[i].times != 1)
			abort();
	}
	return 0;
}
