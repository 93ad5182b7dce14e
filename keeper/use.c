#include "use.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "keeper.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/shm.h"

static void forget(struct use_memory *memory)
{
	if (memory->rows)
		munmap((void *)(uintptr_t)memory->rows, memory->len);
	*memory = (struct use_memory){ 0 };
}

/* Memory for every row that there is. All of it at once: neither of us may meet a page that the
 * kernel has not got. Returns a descriptor or an error. */
static int make(struct use_memory *memory, uint32_t n_rows)
{
	size_t len = MAX(n_rows, 1u) * sizeof(struct role_use);
	CLEANUP(fd_close) int fd = shm_create("sallyport-use", len);
	void *data;
	int r;

	if (fd < 0)
		return fd_take(&fd);
	while (fallocate(fd, 0, 0, (off_t)len) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	r = shm_map(fd, SHM_READ, len, &data, &memory->len);
	if (r < 0)
		return r;
	memory->rows = data;
	memory->n_rows = n_rows;
	return fd_take(&fd);
}

static int ask(struct keeper *k)
{
	struct use *use = &k->use;
	CLEANUP(fd_close) int fd = make(&use->asked, ledger_rows(&k->shared.ledger));
	int r = fd;

	if (r >= 0)
		r = child_send(&k->children[ROLE_FWSYNC], ROLE_MSG_USE, ++use->number, 0, NULL, 0,
		               &fd, 1);
	if (r < 0)
		forget(&use->asked);
	use->asked_ns = clock_mono_ns();
	return r;
}

/* Those who wait for question @number or an older one, or who have waited until @now_ns. */
static size_t end_waiting(struct use *use, uint64_t number, uint64_t now_ns, bool known)
{
	struct use_waiter **p = &use->waiters;
	size_t n = 0;

	while (*p) {
		struct use_waiter *waiter = *p;

		if (waiter->number > number && waiter->deadline_ns > now_ns) {
			p = &waiter->next;
			continue;
		}
		*p = waiter->next;
		waiter->counted(waiter, known);
		n++;
	}
	return n;
}

/* The next question, for those who have come since the last one. */
static void go_on(struct keeper *k)
{
	if (k->use.waiters && !k->use.asked.rows && ask(k) < 0)
		end_waiting(&k->use, UINT64_MAX, 0, false);
}

bool use_wait(struct keeper *k, struct use_waiter *waiter)
{
	struct use *use = &k->use;

	use->n_readers++;
	waiter->number = use->number + 1;
	waiter->deadline_ns = clock_mono_ns() + LIMIT_USE_MS * NS_PER_MS;
	if (k->children[ROLE_FWSYNC].state != CHILD_RUNNING || (!use->asked.rows && ask(k) < 0))
		return false;
	waiter->next = use->waiters;
	use->waiters = waiter;
	return true;
}

void use_leave(struct keeper *k, struct use_waiter *waiter)
{
	struct use_waiter **p = &k->use.waiters;

	while (*p && *p != waiter)
		p = &(*p)->next;
	if (*p)
		*p = waiter->next;
	if (--k->use.n_readers == 0)
		forget(&k->use.now);
}

bool use_read(const struct use *use, uint32_t row, uint64_t opened_ns, struct role_use *ret_use)
{
	if (row >= use->now.n_rows || opened_ns >= use->now_ns)
		return false;
	*ret_use = use->now.rows[row];
	return true;
}

void use_counted(struct keeper *k, const struct role_msg *msg)
{
	struct use *use = &k->use;

	if (!use->asked.rows || msg->a != use->number)
		return; /* too late, or never asked */
	if (msg->b) {
		forget(&use->now);
		use->now = use->asked;
		use->now_ns = msg->b;
		use->asked = (struct use_memory){ 0 };
	} else {
		forget(&use->asked);
	}
	end_waiting(use, use->number, 0, msg->b != 0);
	go_on(k);
	if (use->n_readers == 0)
		forget(&use->now);
}

void use_lost(struct keeper *k)
{
	forget(&k->use.asked);
	end_waiting(&k->use, UINT64_MAX, 0, false);
}

void use_pulse(struct keeper *k, uint64_t now_ns)
{
	struct use *use = &k->use;
	size_t n = end_waiting(use, 0, now_ns, false);

	if (n > 0)
		count_add(&k->shared.pages[ROLE_FWSYNC]->lanes[0], COUNT_LIMIT_USE, n);
	if (use->asked.rows && now_ns >= use->asked_ns + LIMIT_USE_MS * NS_PER_MS) {
		forget(&use->asked);
		go_on(k);
	}
}

void use_fini(struct use *use)
{
	forget(&use->now);
	forget(&use->asked);
}
