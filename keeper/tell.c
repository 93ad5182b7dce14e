#include "tell.h"

#include "hand_down.h"
#include "keeper.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

uint64_t tell_next(struct keeper *k)
{
	k->tell.due = false;
	k->tell.told_ns = clock_mono_ns();
	return ++k->tell.told;
}

/* An older one may still be on its way, unless nobody will say so any more. */
static void send_if_due(struct keeper *k, uint64_t now_ns)
{
	struct tell *t = &k->tell;
	struct child *c = &k->children[ROLE_RESOLVER];

	if (!t->due || c->state != CHILD_RUNNING ||
	    (t->applied < t->told && now_ns < t->told_ns + TELL_WAIT_MS * NS_PER_MS))
		return; /* one that starts is told all */
	if (hand_down(k, c) < 0) {
		log_error("keeper", "the resolver cannot be told the new configuration; it is "
		                    "tried again");
		t->due = true; /* what it has not been told it goes on doing otherwise */
	}
}

void tell_resolver(struct keeper *k)
{
	k->tell.due = true;
	send_if_due(k, clock_mono_ns());
}

static void end(struct tell_waiter *w, bool in_force)
{
	struct server_client *client = w->client;

	if (client) {
		server_watch(client, NULL, NULL);
		if (in_force)
			server_json_give(client, TAKE(w->answer));
		else
			server_error(client, "error: it is kept, but the resolver has not said "
			                     "that it goes by it; see `sallyport status`");
		server_exit(client, in_force ? 0 : 2);
	}
	json_decref(w->answer);
	*w = (struct tell_waiter){ 0 };
}

static void client_gone(void *arg)
{
	struct tell_waiter *w = arg;

	json_decref(w->answer);
	*w = (struct tell_waiter){ 0 };
}

void tell_wait_give(struct keeper *k, struct server_client *client, json_t *answer)
{
	struct tell *t = &k->tell;
	struct tell_waiter *w = t->waiters;

	while (w < t->waiters + TELL_WAITERS && w->client)
		w++;
	if (w == t->waiters + TELL_WAITERS) {
		json_decref(answer);
		server_error(client, "error: it is kept, but too many wait to hear that it is in "
		                     "force; see `sallyport status`");
		server_exit(client, 2);
		return;
	}
	*w = (struct tell_waiter){ client, answer, t->told + (t->due ? 1 : 0),
		                   clock_mono_ns() + TELL_WAIT_MS * NS_PER_MS };
	server_watch(client, client_gone, w);
}

static void tell_waiters(struct keeper *k, uint64_t now_ns)
{
	for (size_t i = 0; i < TELL_WAITERS; i++) {
		struct tell_waiter *w = &k->tell.waiters[i];

		if (w->client && w->number <= k->tell.applied)
			end(w, true);
		else if (w->client && now_ns >= w->deadline_ns)
			end(w, false);
	}
}

void tell_applied(struct keeper *k, uint64_t number)
{
	uint64_t now_ns = clock_mono_ns();

	if (number > k->tell.applied && number <= k->tell.told)
		k->tell.applied = number;
	tell_waiters(k, now_ns);
	send_if_due(k, now_ns);
}

void tell_pulse(struct keeper *k, uint64_t now_ns)
{
	tell_waiters(k, now_ns);
	send_if_due(k, now_ns);
}

void tell_fini(struct keeper *k)
{
	for (size_t i = 0; i < TELL_WAITERS; i++) {
		json_decref(k->tell.waiters[i].answer);
		k->tell.waiters[i] = (struct tell_waiter){ 0 };
	}
}
