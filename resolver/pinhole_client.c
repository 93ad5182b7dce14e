/* resolver/pinhole_client.c - requests of one loop turn as one batch, one batch in flight. */
#include "pinhole_client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "listen.h"
#include "sallyport/clock.h"
#include "sallyport/counter.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "worker.h"
#ifdef SALLYPORT_TEST_ANSWER_EARLY
#include "query_open.h"
#endif

#define QUEUED_MAX LIMIT_IN_FLIGHT

enum ask_state {
	ASK_IDLE = 0, /* not ours (any more) */
	ASK_QUEUED,
	ASK_SENT,
};

struct pinhole_client {
	struct worker *worker;
	uv_poll_t *poll; /* of its own memory: it is bound to one descriptor for life */
	uv_idle_t awake; /* while something is to be sent: then the loop does not wait */
	uv_timer_t timer;
	unsigned int handles; /* still to be closed before this memory may go */
	bool full, broken;

	struct fair_queue queued; /* each class in the order of its deadlines */

	/* The batch in flight, in the order of its requests; NULL: expired or cancelled. */
	struct pinhole_ask *slots[PINHOLE_CLIENT_BATCH];
	unsigned int n_slots; /* 0: none in flight */
	uint64_t seq, deadline_ns;

	_Alignas(8) uint8_t out[LIMIT_PINHOLE_MESSAGE];
	_Alignas(8) uint8_t in[LIMIT_PINHOLE_MESSAGE];
};

static uint64_t timeout_ns(const struct worker *worker)
{
	return (uint64_t)worker->settings->conf.ack_timeout_ms * NS_PER_MS;
}

/* The one way out of QUEUED and SENT. @ask may be gone afterwards. */
static void end(struct pinhole_client *client, struct pinhole_ask *ask, enum pinhole_status status,
                uint32_t detail, uint64_t epoch)
{
	ask->state = ASK_IDLE;
	switch (status) {
	case PINHOLE_OPEN:
		break;
	case PINHOLE_LATE:
		count(client->worker->lane, COUNT_PINHOLE_TIMEOUTS);
		break;
	case PINHOLE_FAILED:
	case PINHOLE_OUTSIDE:
	case PINHOLE_STALE:
	case PINHOLE_WORKLOAD_FULL:
	case PINHOLE_FULL:
	case PINHOLE_MALFORMED:
		count(client->worker->lane, COUNT_PINHOLE_REFUSED);
		break;
	}
	ask->done(ask, status, detail, epoch);
}

static struct pinhole_ask *ask_of(struct fair_item *turn)
{
	return (struct pinhole_ask *)(void *)((char *)turn - offsetof(struct pinhole_ask, turn));
}

/* The queued one that ends first; NULL: none. */
static struct pinhole_ask *earliest(const struct pinhole_client *client)
{
	struct pinhole_ask *found = NULL;

	for (const struct fair_class *c = NULL; (c = fair_queue_next(&client->queued, c));) {
		struct pinhole_ask *ask = ask_of(c->first);

		if (!found || ask->deadline_ns < found->deadline_ns)
			found = ask;
	}
	return found;
}

static void unqueue(struct pinhole_client *client, struct pinhole_ask *ask)
{
	fair_queue_remove(&client->queued, ask->request.workload, &ask->turn);
}

/* Deadlines: earliest in the batch in flight, else of what is queued. */

static void on_timer(uv_timer_t *timer)
{
	struct pinhole_client *client = timer->data;

	worker_touch_clock(client->worker);
	pinhole_client_tick(client->worker);
}

static void arm(struct pinhole_client *client)
{
	uint64_t now_ns = client->worker->now_ns, due_ns = UINT64_MAX;
	const struct pinhole_ask *queued = earliest(client);

	if (client->n_slots)
		due_ns = client->deadline_ns;
	for (unsigned int i = 0; i < client->n_slots; i++) {
		if (client->slots[i])
			due_ns = MIN(due_ns, client->slots[i]->deadline_ns);
	}
	if (queued)
		due_ns = MIN(due_ns, queued->deadline_ns);
	if (due_ns == UINT64_MAX)
		uv_timer_stop(&client->timer);
	else
		uv_timer_start(&client->timer, on_timer,
		               due_ns > now_ns ? (due_ns - now_ns) / NS_PER_MS + 1 : 1, 0);
}

void pinhole_client_tick(struct worker *worker)
{
	struct pinhole_client *client = worker->pinholes;
	struct pinhole_ask *queued;

	for (unsigned int i = 0; i < client->n_slots; i++) {
		struct pinhole_ask *ask = client->slots[i];

		if (!ask || ask->deadline_ns > worker->now_ns)
			continue;
		client->slots[i] = NULL;
		end(client, ask, PINHOLE_LATE, 0, 0);
	}
	/* fwsync opens nothing past the batch's deadline; whatever it says of it now is late. */
	if (client->n_slots && client->deadline_ns <= worker->now_ns)
		client->n_slots = 0;
	while ((queued = earliest(client)) && queued->deadline_ns <= worker->now_ns) {
		unqueue(client, queued);
		end(client, queued, PINHOLE_LATE, 0, 0);
	}
	pinhole_client_send(worker);
	arm(client);
}

/* Lay out what is queued, in turns, as far as one message holds it. It is taken into the slots.
 * Returns the message's length, 0 for nothing. */
static size_t compose(struct pinhole_client *client, unsigned int *ret_n)
{
	struct pinhole_batch *head = (struct pinhole_batch *)(void *)client->out;
	struct fair_item *turn;
	unsigned int n = 0;
	int len = sizeof(*head);

	*head = (struct pinhole_batch){ .magic = PINHOLE_MAGIC,
		                        .version = PINHOLE_VERSION,
		                        .seq = client->seq + 1 };
	while (n < PINHOLE_CLIENT_BATCH && (turn = fair_queue_peek(&client->queued))) {
		struct pinhole_ask *ask = ask_of(turn);
		int longer =
		    pinhole_batch_append(client->out, (size_t)len, sizeof(client->out), &ask->view);

		if (longer < 0)
			break;
		len = longer;
		client->slots[n++] = ask_of(fair_queue_take(&client->queued));
		head->deadline_ns = MAX(head->deadline_ns, ask->deadline_ns);
	}
	head->n_requests = (uint16_t)n;
	head->len = (uint32_t)len;
	*ret_n = n;
	return n ? (size_t)len : 0;
}

/* It could not be sent: back to where it was. */
static void decompose(struct pinhole_client *client, unsigned int n)
{
	while (n-- > 0) {
		struct pinhole_ask *ask = TAKE(client->slots[n]);

		fair_queue_put_back(&client->queued, ask->request.workload, &ask->turn);
	}
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct pinhole_client *client, bool full)
{
	client->full = full;
	if (client->poll)
		uv_poll_start(client->poll, full ? UV_READABLE | UV_WRITABLE : UV_READABLE,
		              on_poll);
}

#ifdef SALLYPORT_TEST_ANSWER_EARLY
/* In sallyport-resolver-broken only (tests/e2e/tools): what tests of promise P1 have to notice. */
static void answer_early(struct pinhole_client *client)
{
	for (unsigned int i = 0; i < client->n_slots; i++)
		end(client, TAKE(client->slots[i]), PINHOLE_OPEN, 0, open_epoch(client->worker));
}
#endif

void pinhole_client_send(struct worker *worker)
{
	struct pinhole_client *client = worker->pinholes;
	unsigned int n;
	size_t len;

	uv_idle_stop(&client->awake);
	if (client->n_slots || client->queued.n == 0 || worker->pinhole_fd < 0)
		return;
	len = compose(client, &n);
	if (len == 0) { /* cannot happen: pinhole_ask() let in only what fits a message */
		end(client, ask_of(fair_queue_take(&client->queued)), PINHOLE_MALFORMED, 0, 0);
		return;
	}
	if (send(worker->pinhole_fd, client->out, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		int err = errno;

		/* Full, or fwsync is gone: keep gathering; each request ends at its deadline. */
		decompose(client, n);
		if (err == EAGAIN || err == EWOULDBLOCK || err == ENOBUFS) {
			if (!client->full)
				watch(client, true);
		} else if (!client->broken) {
			client->broken = true;
			log_warning("pinhole", "requests cannot be sent: %s", strerror(err));
		}
		return;
	}
	if (client->full)
		watch(client, false);
	client->broken = false;
	client->seq++;
	client->deadline_ns = ((const struct pinhole_batch *)(void *)client->out)->deadline_ns;
	for (unsigned int i = 0; i < n; i++) {
		struct pinhole_ask *ask = client->slots[i];

		ask->state = ASK_SENT;
		ask->seq = client->seq;
		ask->slot = (uint16_t)i;
	}
	client->n_slots = n;
	count_add(worker->lane, COUNT_PINHOLE_REQUESTS, n);
#ifdef SALLYPORT_TEST_ANSWER_EARLY
	answer_early(client);
#endif
	arm(client);
}

static enum pinhole_status status_of(uint32_t wire)
{
	return wire <= PINHOLE_MALFORMED ? (enum pinhole_status)wire : PINHOLE_FAILED;
}

void pinhole_client_result(struct worker *worker, const void *msg, size_t len)
{
	struct pinhole_client *client = worker->pinholes;
	const struct pinhole_results *head;
	const struct pinhole_result *results;
	unsigned int n;

	if (pinhole_results_read(msg, len, &head, &results) < 0) {
		log_warning("pinhole", "a malformed message from fwsync was ignored");
		return;
	}
	if (client->n_slots == 0 || head->seq != client->seq) {
		count_add(worker->lane, COUNT_PINHOLE_LATE, head->n_results);
		return;
	}
	if (head->n_results != client->n_slots) {
		log_warning("pinhole", "%u results for %u requests were ignored", head->n_results,
		            client->n_slots);
		return;
	}
	n = client->n_slots;
	for (unsigned int i = 0; i < n; i++) {
		struct pinhole_ask *ask = client->slots[i];

		client->slots[i] = NULL;
		if (!ask)
			count(worker->lane, COUNT_PINHOLE_LATE);
		else if (ask->deadline_ns <= worker->now_ns)
			end(client, ask, PINHOLE_LATE, 0, 0);
		else
			end(client, ask, status_of(results[i].status), results[i].detail,
			    results[i].epoch);
		listeners_look(worker);
	}
	client->n_slots = 0;
	pinhole_client_send(worker); /* what gathered meanwhile */
	arm(client);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct pinhole_client *client = poll->data;
	struct worker *worker = client->worker;
	ssize_t n;

	(void)events; /* both are tried: each costs one call when there is nothing */
	worker_touch_clock(worker);
	/* One message: with one batch in flight no more is due, and the loop tells if there is. */
	n = recv(worker->pinhole_fd, client->in, sizeof(client->in), MSG_DONTWAIT | MSG_TRUNC);
	if (n > (ssize_t)sizeof(client->in)) {
		log_warning("pinhole", "an over-long message from fwsync was ignored");
	} else if (n > 0) {
		pinhole_client_result(worker, client->in, (size_t)n);
		listeners_flush(worker); /* others' work may come before the end of this turn */
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) ||
	           status != 0) {
		/* End of file or a broken socket: without a stop the loop would spin. */
		log_warning("pinhole", "the socket to fwsync is closed");
		uv_poll_stop(poll);
	}
	pinhole_client_send(worker);
}

/* A request made late in a turn, after its batch, does not wait for the next event from outside. */
static void on_awake(uv_idle_t *awake)
{
	struct pinhole_client *client = awake->data;

	pinhole_client_send(client->worker);
}

/* Elements that a request becomes: pairs of one family, times ports. */
static size_t elements_of(const struct pinhole_view *view)
{
	const struct pinhole_request *request = view->request;
	size_t src4 = 0, dst4 = 0;

	for (unsigned int i = 0; i < request->n_src; i++)
		src4 += addr_is_v4(view->src[i]);
	for (unsigned int i = 0; i < request->n_dst; i++)
		dst4 += addr_is_v4(view->dst[i]);
	return (src4 * dst4 + (request->n_src - src4) * (request->n_dst - dst4)) * request->n_ports;
}

int pinhole_ask(struct worker *worker, struct pinhole_ask *ask)
{
	struct pinhole_client *client = worker->pinholes;
	const struct pinhole_request *request = &ask->request;
	size_t bytes = sizeof(struct pinhole_batch) + sizeof(*request) + request->names_len + 8 +
	               ((size_t)request->n_src + request->n_dst) * ADDR_LEN +
	               request->n_ports * sizeof(struct pinhole_port);
	size_t elements;

	if (!client)
		return ERR_CLOSED;
	ask->view.request = &ask->request;
	elements = elements_of(&ask->view);
	if (elements == 0) /* nothing to be opened: nothing to wait for */
		return ERR_LIMIT;
	if (elements > LIMIT_PINHOLE_OPS || bytes > LIMIT_PINHOLE_MESSAGE ||
	    request->names_len > LIMIT_PINHOLE_NAMES) {
		count(worker->lane, COUNT_LIMIT_ADDRESSES);
		return ERR_LIMIT;
	}
	if (client->queued.n >= QUEUED_MAX) {
		count(worker->lane, COUNT_LIMIT_IN_FLIGHT);
		return ERR_LIMIT;
	}
	ask->deadline_ns = worker->now_ns + timeout_ns(worker);
	ask->state = ASK_QUEUED;
	fair_queue_put(&client->queued, ask->request.workload, &ask->turn);
	if (client->n_slots == 0 && !client->full)
		uv_idle_start(&client->awake, on_awake);
	if (!uv_is_active((uv_handle_t *)&client->timer))
		arm(client);
	return ERR_OK;
}

void pinhole_cancel(struct worker *worker, struct pinhole_ask *ask)
{
	struct pinhole_client *client = worker->pinholes;

	switch ((enum ask_state)ask->state) {
	case ASK_IDLE:
		return;
	case ASK_SENT:
		client->slots[ask->slot] = NULL;
		break;
	case ASK_QUEUED:
		unqueue(client, ask);
		break;
	}
	ask->state = ASK_IDLE;
}

static void on_closed(uv_handle_t *handle)
{
	struct pinhole_client *client = handle->data;

	if (--client->handles == 0)
		free(client);
}

static void on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

static int watch_socket(struct pinhole_client *client, int fd)
{
	int r;

	if (fd < 0)
		return ERR_OK;
	client->poll = calloc(1, sizeof(*client->poll));
	if (!client->poll)
		return ERR_NOMEM;
	client->poll->data = client;
	r = uv_poll_init(&client->worker->loop, client->poll, fd);
	if (r < 0) {
		free(TAKE(client->poll));
		return r;
	}
	uv_unref((uv_handle_t *)client->poll);
	return uv_poll_start(client->poll, UV_READABLE, on_poll);
}

struct pinhole_client *pinhole_client_new(struct worker *worker)
{
	struct pinhole_client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->worker = worker;
	fair_queue_init(&client->queued);
	/* Larger than any number that a predecessor on this pair can have reached: it used at most
	 * one a nanosecond, and the clock has gone on. */
	client->seq = worker->now_ns;
	uv_timer_init(&worker->loop, &client->timer); /* these cannot fail */
	uv_idle_init(&worker->loop, &client->awake);
	client->timer.data = client->awake.data = client;
	uv_unref((uv_handle_t *)&client->timer);
	client->handles = 2;
	if (watch_socket(client, worker->pinhole_fd) < 0) {
		pinhole_client_free(client);
		return NULL;
	}
	return client;
}

void pinhole_client_free(struct pinhole_client *client)
{
	if (!client)
		return;
	if (client->poll)
		uv_close((uv_handle_t *)TAKE(client->poll), on_poll_closed);
	uv_close((uv_handle_t *)&client->timer, on_closed);
	uv_close((uv_handle_t *)&client->awake, on_closed);
}
