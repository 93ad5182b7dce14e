#include "worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explain.h"
#include "fetch.h"
#include "fitness.h"
#include "held.h"
#include "key_fetch.h"
#include "listen.h"
#include "pinhole_client.h"
#include "poller.h"
#include "query.h"
#include "sallyport/err.h"
#include "sallyport/log.h"
#include "server.h"
#include "settings.h"
#include "wheel.h"

#define BEAT_MS 250
#define UPSTREAMS_IN_COMPANY 4 /* answers of upstreams in a turn, when several workloads ask */
#define HELD_ROWS 65536
#define MEMO_BYTES_MIN (UINT64_C(4) << 20)

/* What only worker.c touches. The mailbox and the atomics are all that the main thread shares with
 * it. */
struct worker_thread {
	struct worker worker;
	pthread_t id;
	int notify_fd; /* borrowed */
	uv_async_t wake;
	uv_prepare_t before_wait;
	uv_timer_t beat;
	struct wheel wheel;
	struct poller poller;
	bool have_loop, have_wheel, have_poller;
	uint64_t drain_until_ns;

	pthread_mutex_t lock; /* of the mailbox */
	struct worker_set *set;
	bool policy, drain, ask_keys;
	uint8_t keys_name[NAME_MAX_WIRE + 1]; /* of ask_keys */
	struct explain *explain, *explained;  /* to be done; done */

	_Atomic uint64_t applied;
	_Atomic bool ended;
};

void worker_set_free(struct worker_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->n_listeners; i++) {
		if (set->listeners[i].fd >= 0)
			close(set->listeners[i].fd);
	}
	settings_unref(set->settings);
	free(set);
}

static void notify(struct worker_thread *thread)
{
	uint64_t one = 1;

	/* The main thread looks at everything whenever it wakes; a full counter wakes it as well.
	 */
	if (write(thread->notify_fd, &one, sizeof(one)) < 0)
		log_debug("worker", "notify: %s", err_str(-errno));
}

static void touch_clock(void *ctx)
{
	worker_touch_clock(ctx);
}

static void look(void *ctx)
{
	listeners_look(ctx);
}

static uint64_t memo_bytes(const struct resolver_conf *conf)
{
	return MAX(conf->cache_bytes / 2 / conf->workers, MEMO_BYTES_MIN);
}

/* ---- on the worker's own thread ---- */

/* Other zones: what was learnt from the old ones must not be believed under the new ones, so the
 * cache is another one, and with it every form that was made from the old. */
static int change_zones(struct worker *worker, struct cache *cache)
{
	const struct resolver_conf *conf = &worker->settings->conf;
	struct memo *memo = memo_new(memo_bytes(conf), conf->hash_key);
	struct servers *servers = servers_new(worker->settings, worker->servers);

	if (!memo || !servers) {
		memo_free(memo);
		servers_free(servers);
		return ERR_NOMEM;
	}
	memo_free(worker->memo);
	worker->memo = memo;
	worker->cache = cache;
	servers_free(worker->servers);
	worker->servers = servers;
	fetches_zones_changed(worker);
	return 0;
}

/* Forms are made anew as they are asked for. Without memory the old size stays. */
static void resize_memo(struct worker *worker)
{
	const struct resolver_conf *conf = &worker->settings->conf;
	struct memo *memo = memo_new(memo_bytes(conf), conf->hash_key);

	if (!memo)
		return;
	memo_free(worker->memo);
	worker->memo = memo;
}

static void take_listeners(struct worker *worker, struct worker_set *set)
{
	for (size_t i = 0; i < set->n_listeners; i++) {
		struct worker_listener *l = &set->listeners[i];
		int fd = l->fd, r;

		l->fd = -1;
		r = listeners_add(worker, fd, l->index, l->proto);
		if (r < 0)
			log_error("listen", "listener %u cannot be used: %s", l->index, err_str(r));
	}
	listeners_keep_named(worker);
}

static void take_set(struct worker_thread *thread, struct worker_set *set)
{
	struct worker *worker = &thread->worker;
	struct settings *old = worker->settings;

	worker->settings = settings_ref(set->settings);
	if (set->cache != worker->cache && change_zones(worker, set->cache) < 0) {
		/* Half of it would be worse than none of it. */
		log_error("worker", "no memory for the new configuration; the old one stays");
		settings_unref(worker->settings);
		worker->settings = old;
		return;
	}
	if (fitness_settings_changed(worker->fitness) < 0)
		log_error("worker", "no memory to probe the upstreams");
	queries_settings_changed(worker);
	if (memo_bytes(&old->conf) != memo_bytes(&worker->settings->conf))
		resize_memo(worker);
	take_listeners(worker, set);
	settings_unref(old);
	atomic_store_explicit(&thread->applied, set->seq, memory_order_release);
}

static void take_policy(struct worker *worker)
{
	struct policy_map *old = worker->policy;
	struct policy_map *newer = policy_slot_newer(worker->slot, old);

	if (!newer)
		return;
	worker->policy = newer;
	queries_policy_changed(worker);
	policy_map_unref(old);
	atomic_store_explicit(&worker->policy_version, newer->image.version, memory_order_release);
}

static void on_explained(void *ctx, struct explain *explain)
{
	struct worker_thread *thread = ctx;

	pthread_mutex_lock(&thread->lock);
	thread->explained = explain;
	pthread_mutex_unlock(&thread->lock);
	notify(thread);
}

static void on_wake(uv_async_t *wake)
{
	struct worker_thread *thread = wake->data;
	struct worker *worker = &thread->worker;
	struct worker_set *set;
	uint8_t keys_name[NAME_MAX_WIRE + 1];
	struct explain *explain;
	bool policy, drain, ask_keys;

	pthread_mutex_lock(&thread->lock);
	set = TAKE(thread->set);
	explain = TAKE(thread->explain);
	policy = thread->policy;
	drain = thread->drain;
	ask_keys = thread->ask_keys;
	memcpy(keys_name, thread->keys_name, sizeof(keys_name));
	thread->policy = thread->drain = thread->ask_keys = false;
	pthread_mutex_unlock(&thread->lock);

	worker_touch_clock(worker);
	if (set)
		take_set(thread, set);
	worker_set_free(set);
	if (policy)
		take_policy(worker);
	if (ask_keys)
		key_fetch_start(worker->keys, worker, keys_name);
	if (explain)
		explain_start(worker, explain, on_explained, thread);
	if (drain && !worker->draining) {
		worker->draining = true;
		thread->drain_until_ns =
		    worker->now_ns + worker->settings->conf.query_ms * NS_PER_MS;
		listeners_drain(worker);
	}
	notify(thread);
}

static void on_before_wait(uv_prepare_t *prepare)
{
	struct worker_thread *thread = prepare->data;
	struct worker *worker = &thread->worker;

	worker_touch_clock(worker);
	worker->poller->most = worker_in_company(worker) ? UPSTREAMS_IN_COMPANY : POLLER_BATCH;
	fetches_turn(worker);
	if (worker->pinholes) /* what the answers need leaves before anything else is begun */
		pinhole_client_send(worker);
	listeners_turn(worker);
	if (!worker->draining)
		return;
	if (worker->now_ns < thread->drain_until_ns &&
	    (queries_in_flight(worker) > 0 || listeners_connections(worker) > 0))
		return;
	uv_stop(&worker->loop);
}

static void on_beat(uv_timer_t *beat)
{
	struct worker_thread *thread = beat->data;
	struct worker *worker = &thread->worker;

	worker_touch_clock(worker);
	listeners_count_drops(worker);
	if (worker->fitness && !worker->draining)
		fitness_turn(worker->fitness);
	atomic_store_explicit(&worker->lane->heartbeat_ns, worker->now_ns, memory_order_relaxed);
}

/* ---- making and ending ---- */

static void close_handle(uv_handle_t *handle, void *ctx)
{
	(void)ctx;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* Parts first, the loop last: their close callbacks run in it. Any part may be missing. */
static void worker_free(struct worker *worker)
{
	struct worker_thread *thread = worker->thread;

	/* The loop turns once more below: nothing may look at the parts then. */
	if (thread->have_loop)
		uv_prepare_stop(&thread->before_wait);
	if (worker->queries)
		queries_free(worker->queries);
	if (worker->pinholes)
		pinhole_client_free(worker->pinholes);
	fetches_free(worker->fetches);
	fitness_free(worker->fitness);
	key_fetch_free(worker->keys);
	servers_free(worker->servers);
	listeners_free(worker->listeners);
	if (worker->held)
		held_free(worker->held);
	if (worker->memo)
		memo_free(worker->memo);
	if (thread->have_wheel)
		wheel_fini(&thread->wheel);
	if (thread->have_poller)
		poller_fini(&thread->poller);
	if (thread->have_loop) {
		uv_walk(&worker->loop, close_handle, NULL);
		/* Only closing handles are left: this ends. */
		uv_run(&worker->loop, UV_RUN_DEFAULT);
		uv_loop_close(&worker->loop);
	}
	if (worker->pinhole_fd >= 0)
		close(worker->pinhole_fd);
	policy_map_unref(worker->policy);
	settings_unref(worker->settings);
	worker_set_free(thread->set);
	explain_free(thread->explain);
	explain_free(thread->explained);
	pthread_mutex_destroy(&thread->lock);
	free(thread);
}

static int make_loop(struct worker_thread *thread)
{
	struct worker *worker = &thread->worker;
	int r = uv_loop_init(&worker->loop);

	if (r < 0)
		return r;
	thread->have_loop = true;
	/* The prepare handle that is started first runs last: whatever other parts do before the
	 * loop waits, their answers leave in the same turn. */
	r = uv_prepare_init(&worker->loop, &thread->before_wait);
	if (r == 0)
		r = uv_prepare_start(&thread->before_wait, on_before_wait);
	if (r == 0)
		r = uv_async_init(&worker->loop, &thread->wake, on_wake);
	if (r == 0)
		r = uv_timer_init(&worker->loop, &thread->beat);
	if (r == 0)
		r = uv_timer_start(&thread->beat, on_beat, 0, BEAT_MS);
	if (r < 0)
		return r;
	thread->before_wait.data = thread->wake.data = thread->beat.data = thread;

	r = wheel_init(&thread->wheel, &worker->loop, touch_clock, worker);
	if (r < 0)
		return r;
	thread->have_wheel = true;
	worker->wheel = &thread->wheel;
	r = poller_init(&thread->poller, &worker->loop, touch_clock, worker);
	if (r < 0)
		return r;
	thread->have_poller = true;
	thread->poller.between = thread->wheel.between = look;
	worker->poller = &thread->poller;
	return 0;
}

static int make_parts(struct worker *worker, const struct worker_spec *spec)
{
	const struct resolver_conf *conf = &worker->settings->conf;
	int r = ring_producer_open(&worker->ring, spec->ring_fd, spec->ring_back_fd);

	if (r < 0)
		return r;
	count_add(worker->lane, COUNT_ABANDONED, worker->ring.abandoned);
	worker->memo = memo_new(memo_bytes(conf), conf->hash_key);
	worker->held = held_new(HELD_ROWS, conf->hash_key);
	worker->servers = servers_new(worker->settings, NULL);
	worker->fetches = fetches_new(worker);
	if (worker->index == 0 && worker->servers) {
		worker->fitness = fitness_new(worker);
		if (!worker->fitness)
			return ERR_NOMEM;
	}
	worker->keys = key_fetch_new();
	worker->listeners = listeners_new(worker);
	if (!worker->memo || !worker->held || !worker->servers || !worker->fetches ||
	    !worker->keys || !worker->listeners)
		return ERR_NOMEM;
	if (spec->pinhole_fd >= 0) {
		worker->pinhole_fd = spec->pinhole_fd;
		worker->pinholes = pinhole_client_new(worker);
		if (!worker->pinholes)
			return ERR_NOMEM;
	}
	worker->queries = queries_new(worker);
	return worker->queries ? 0 : ERR_NOMEM;
}

int worker_new(const struct worker_spec *spec, struct worker **ret_worker)
{
	struct worker_thread *thread = calloc(1, sizeof(*thread));
	struct worker *worker;
	int r;

	if (!thread)
		return ERR_NOMEM;
	if (pthread_mutex_init(&thread->lock, NULL) != 0) {
		free(thread);
		return ERR_NOMEM;
	}
	thread->notify_fd = spec->notify_fd;
	worker = &thread->worker;
	worker->thread = thread;
	worker->index = spec->index;
	worker->settings = settings_ref(spec->settings);
	worker->cache = spec->cache;
	worker->slot = spec->slot;
	worker->follow = spec->follow;
	worker->tally = spec->tally;
	worker->amplification = spec->amplification;
	worker->upstreams = spec->upstreams;
	worker->lane = spec->lane;
	worker->epoch = spec->epoch;
	worker->pinhole_fd = -1;
	worker->next_query_id = worker->settings->conf.id_base + spec->index;
	worker_touch_clock(worker);

	r = make_loop(thread);
	if (r == 0)
		r = make_parts(worker, spec);
	if (r < 0) {
		/* The socket is ours after success only. */
		worker->pinhole_fd = -1;
		worker_free(worker);
		return r;
	}
	*ret_worker = worker;
	return 0;
}

static void *run(void *arg)
{
	struct worker *worker = arg;
	struct worker_thread *thread = worker->thread;

	uv_run(&worker->loop, UV_RUN_DEFAULT);
	/* A drained worker has nothing to beat for, and is not hung. */
	atomic_store_explicit(&worker->lane->heartbeat_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&thread->ended, true, memory_order_release);
	notify(thread);
	return NULL;
}

int worker_start(struct worker *worker)
{
	int r = pthread_create(&worker->thread->id, NULL, run, worker);

	return r == 0 ? 0 : -r;
}

/* ---- from the main thread ---- */

static void wake(struct worker_thread *thread)
{
	/* Fails only for a handle that is closing, and it closes after worker_join(). */
	(void)uv_async_send(&thread->wake);
}

void worker_give_set(struct worker *worker, struct worker_set *set)
{
	struct worker_thread *thread = worker->thread;
	struct worker_set *unread;

	pthread_mutex_lock(&thread->lock);
	unread = thread->set;
	thread->set = set;
	pthread_mutex_unlock(&thread->lock);
	worker_set_free(unread);
	wake(thread);
}

void worker_tell_policy(struct worker *worker)
{
	struct worker_thread *thread = worker->thread;

	pthread_mutex_lock(&thread->lock);
	thread->policy = true;
	pthread_mutex_unlock(&thread->lock);
	wake(thread);
}

void worker_ask_keys(struct worker *worker, const uint8_t *name)
{
	struct worker_thread *thread = worker->thread;

	pthread_mutex_lock(&thread->lock);
	thread->ask_keys = true;
	name_lower(thread->keys_name, name, (size_t)name_wire_len(name, NAME_MAX_WIRE));
	pthread_mutex_unlock(&thread->lock);
	wake(thread);
}

struct key_answer *worker_take_keys(struct worker *worker)
{
	return key_fetch_take(worker->keys);
}

void worker_give_explain(struct worker *worker, struct explain *explain)
{
	struct worker_thread *thread = worker->thread;

	pthread_mutex_lock(&thread->lock);
	thread->explain = explain;
	pthread_mutex_unlock(&thread->lock);
	wake(thread);
}

struct explain *worker_take_explained(struct worker *worker)
{
	struct worker_thread *thread = worker->thread;
	struct explain *explained;

	pthread_mutex_lock(&thread->lock);
	explained = TAKE(thread->explained);
	pthread_mutex_unlock(&thread->lock);
	return explained;
}

void worker_drain(struct worker *worker)
{
	struct worker_thread *thread = worker->thread;

	pthread_mutex_lock(&thread->lock);
	thread->drain = true;
	pthread_mutex_unlock(&thread->lock);
	wake(thread);
}

uint64_t worker_applied(const struct worker *worker)
{
	return atomic_load_explicit(&worker->thread->applied, memory_order_acquire);
}

bool worker_ended(const struct worker *worker)
{
	return atomic_load_explicit(&worker->thread->ended, memory_order_acquire);
}

void worker_join(struct worker *worker)
{
	pthread_join(worker->thread->id, NULL);
	worker_free(worker);
}
