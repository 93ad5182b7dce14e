#include "client.h"

#include <assert.h>

#include "listener.h"
#include "sallyport/err.h"

uint8_t *client_buffer(struct worker *worker, const struct client *client, size_t *ret_cap)
{
	if (client->tcp) {
		if (!client->tcp->open) {
			count(worker->lane, COUNT_SEND_FAILED);
			return NULL;
		}
		*ret_cap = LIMIT_MSG_BYTES;
		return worker->listeners->tcp_out + 2;
	}
	*ret_cap = LIMIT_EDNS_UDP_BYTES;
	return listen_udp_buffer(client->listener);
}

static void let_go(struct client *client)
{
	if (client->tcp)
		listen_tcp_answered(client->tcp);
	if (!client->held)
		return;
	client->held = false;
	if (client->tcp)
		listen_tcp_unref(client->tcp);
	else
		listener_unref(client->listener);
}

int client_answer(struct worker *worker, struct client *client, size_t len)
{
	int r = ERR_OK;

	if (client->tcp) {
		r = client->tcp->open ? listen_tcp_answer(client->tcp, len) : ERR_CLOSED;
		count(worker->lane, r < 0 ? COUNT_SEND_FAILED : COUNT_ANSWERS);
	} else {
		assert(len <= LIMIT_EDNS_UDP_BYTES);
		listen_udp_answer(client, len);
		/* A removed listener is not visited at the end of the batch. */
		if (client->listener->closed) {
			listener_publish(worker);
			listen_udp_flush(client->listener);
		}
	}
	let_go(client);
	return r;
}

void client_drop(struct worker *worker, struct client *client)
{
	(void)worker; /* the same shape as client_answer() */
	let_go(client);
}

void client_hold(struct client *client)
{
	assert(!client->held);
	client->held = true;
	if (client->tcp)
		client->tcp->refs++;
	else
		client->listener->refs++;
}
