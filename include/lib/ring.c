/* include/lib/ring.c - history records from one worker thread to the historian.
 *
 * Ordering: the producer fills slots, adds to its counts, then stores head with release; the
 * consumer loads head with acquire before it copies. The consumer stores tail with release after
 * its last copy; the producer loads it with acquire before it overwrites. Nothing else is shared.
 */
#include "sallyport/ring.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "sallyport/err.h"
#include "sallyport/shm.h"

#define SLOTS_MIN 1024u
#define SLOTS_MAX (UINT64_C(1) << 26) /* 4 GiB */

_Static_assert(sizeof(struct ring_head) % RING_SLOT == 0, "slots begin aligned");
_Static_assert(LIMIT_RECORD_BYTES <= SLOTS_MIN * RING_SLOT, "any record fits into any ring");

static uint64_t slots_of(uint64_t bytes)
{
	return (bytes + RING_SLOT - 1) / RING_SLOT;
}

int ring_create(size_t n_slots, int *ret_data_fd, int *ret_back_fd)
{
	CLEANUP(fd_close) int data_fd = -1;
	CLEANUP(fd_close) int back_fd = -1;
	uint64_t n = SLOTS_MIN, id;
	struct ring_head *head;
	struct ring_back *back;
	void *map;
	size_t len;
	int r;

	while (n < n_slots && n < SLOTS_MAX)
		n *= 2;
	if (n < n_slots)
		return ERR_LIMIT;
	if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return -errno;

	data_fd = shm_create("sallyport-ring", sizeof(struct ring_head) + n * RING_SLOT);
	if (data_fd < 0)
		return data_fd;
	back_fd = shm_create("sallyport-ring-back", sizeof(struct ring_back));
	if (back_fd < 0)
		return back_fd;

	r = shm_map(data_fd, SHM_WRITE, sizeof(*head), &map, &len);
	if (r < 0)
		return r;
	head = map;
	head->id = id;
	head->n_slots = n;
	head->magic = RING_MAGIC;
	munmap(map, len);

	r = shm_map(back_fd, SHM_WRITE, sizeof(*back), &map, &len);
	if (r < 0)
		return r;
	back = map;
	back->magic = RING_MAGIC;
	munmap(map, len);

	*ret_data_fd = fd_take(&data_fd);
	*ret_back_fd = fd_take(&back_fd);
	return ERR_OK;
}

/* The other side may have written anything, so the size is checked against the memory. */
static int head_check(const struct ring_head *head, size_t len, uint64_t *ret_n_slots)
{
	uint64_t n = head->n_slots;

	if (head->magic != RING_MAGIC || n < SLOTS_MIN || n > SLOTS_MAX || (n & (n - 1)) != 0)
		return ERR_DAMAGED;
	if (len < sizeof(*head) + n * RING_SLOT)
		return ERR_DAMAGED;
	*ret_n_slots = n;
	return ERR_OK;
}

static size_t data_len(uint64_t n_slots)
{
	return sizeof(struct ring_head) + n_slots * RING_SLOT;
}

int ring_producer_open(struct ring_producer *ring, int data_fd, int back_fd)
{
	struct ring_producer made = { 0 };
	void *data, *back;
	size_t len, back_len;
	uint64_t head, tail, gone;
	int r;

	r = shm_map(data_fd, SHM_WRITE, sizeof(struct ring_head), &data, &len);
	if (r < 0)
		return r;
	made.head = data;
	made.slots = (uint8_t *)data + sizeof(struct ring_head);
	r = head_check(made.head, len, &made.n_slots);
	if (r == 0)
		r = shm_map(back_fd, SHM_READ, sizeof(struct ring_back), &back, &back_len);
	if (r < 0) {
		munmap(data, len);
		return r;
	}
	made.back = back;
	if (made.back->magic != RING_MAGIC) {
		munmap(data, len);
		munmap(back, back_len);
		return ERR_DAMAGED;
	}

	/* A predecessor gone mad may have left any head: begin anew where the consumer stands. */
	head = atomic_load_explicit(&made.head->head, memory_order_relaxed);
	tail = atomic_load_explicit(&made.back->tail, memory_order_acquire);
	if (head < tail || head - tail > made.n_slots) {
		head = tail;
		atomic_store_explicit(&made.head->head, head, memory_order_release);
	}
	made.next = head;
	gone = ring_in_flight(made.head);
	made.abandoned =
	    gone - MIN(gone, atomic_load_explicit(&made.head->abandoned, memory_order_relaxed));
	atomic_store_explicit(&made.head->abandoned, gone, memory_order_relaxed);
	*ring = made;
	return ERR_OK;
}

uint64_t ring_in_flight(const struct ring_head *head)
{
	uint64_t taken = atomic_load_explicit(&head->taken, memory_order_relaxed);
	uint64_t done = atomic_load_explicit(&head->dropped, memory_order_relaxed);

	for (int v = 0; v < VERDICT_N; v++)
		done += atomic_load_explicit(&head->offered[v], memory_order_relaxed);
	return taken > done ? taken - done : 0;
}

void ring_producer_close(struct ring_producer *ring)
{
	if (ring->head)
		munmap(ring->head, data_len(ring->n_slots));
	if (ring->back)
		munmap((void *)(uintptr_t)ring->back, sizeof(struct ring_back));
	*ring = (struct ring_producer){ 0 };
}

/* Copy into slots from position @pos on, @offset octets behind its start; wraps around the end. */
static void copy_in(struct ring_producer *ring, uint64_t pos, uint64_t offset, const void *src,
                    size_t len)
{
	uint64_t size = ring->n_slots * RING_SLOT;
	uint64_t at = (pos % ring->n_slots * RING_SLOT + offset) % size;
	size_t first = (size_t)MIN((uint64_t)len, size - at);

	memcpy(ring->slots + at, src, first);
	if (len > first)
		memcpy(ring->slots, (const uint8_t *)src + first, len - first);
}

/* Only this thread writes these counts, so a load and a store are enough and cheaper than an add.
 */
static void add(_Atomic uint64_t *n, uint64_t more)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + more,
	                      memory_order_relaxed);
}

void ring_taken(struct ring_producer *ring, uint64_t n)
{
	if (ring->head)
		add(&ring->head->taken, n);
}

void ring_dropped(struct ring_producer *ring, uint64_t n)
{
	if (ring->head)
		add(&ring->head->dropped, n);
}

bool ring_put(struct ring_producer *ring, const struct record *record, const void *tail,
              size_t tail_len)
{
	bool query = record->type == RECORD_QUERY;
	unsigned int verdict = VERDICT_DENY;
	uint64_t need, used, room;

	if (query) {
		verdict = ((const struct record_query *)(const void *)record)->verdict;
		if (verdict >= VERDICT_N)
			verdict = VERDICT_DENY;
		add(&ring->head->offered[verdict], 1);
	}

	used = ring->next - atomic_load_explicit(&ring->back->tail, memory_order_acquire);
	room = used > ring->n_slots ? 0 : ring->n_slots - used;
	need = slots_of(record->len);
	/* The last eighth is kept for denials: a flood of allowed queries cannot hide them. */
	if (!query || verdict != VERDICT_DENY)
		room = room > ring->n_slots / 8 ? room - ring->n_slots / 8 : 0;
	if (record->len < sizeof(*record) + tail_len || record->len > LIMIT_RECORD_BYTES ||
	    need > room) {
		if (query)
			add(&ring->head->lost[verdict], 1);
		return false;
	}

	copy_in(ring, ring->next, 0, record, record->len - tail_len);
	if (tail_len)
		copy_in(ring, ring->next, record->len - tail_len, tail, tail_len);
	ring->next += need;
	return true;
}

void ring_publish(struct ring_producer *ring)
{
	atomic_store_explicit(&ring->head->head, ring->next, memory_order_release);
}

int ring_consumer_open(struct ring_consumer *ring, int data_fd, int back_fd)
{
	struct ring_consumer made = { 0 };
	void *data, *back;
	size_t len, back_len;
	int r;

	r = shm_map(data_fd, SHM_READ, sizeof(struct ring_head), &data, &len);
	if (r < 0)
		return r;
	made.head = data;
	made.slots = (const uint8_t *)data + sizeof(struct ring_head);
	r = head_check(made.head, len, &made.n_slots);
	made.id = made.head->id;
	if (r == 0)
		r = shm_map(back_fd, SHM_WRITE, sizeof(struct ring_back), &back, &back_len);
	if (r < 0) {
		munmap(data, len);
		return r;
	}
	made.back = back;
	if (made.back->magic != RING_MAGIC) {
		munmap(data, len);
		munmap(back, back_len);
		return ERR_DAMAGED;
	}
	*ring = made;
	return ERR_OK;
}

void ring_consumer_close(struct ring_consumer *ring)
{
	if (ring->head)
		munmap((void *)(uintptr_t)ring->head, data_len(ring->n_slots));
	if (ring->back)
		munmap(ring->back, sizeof(struct ring_back));
	*ring = (struct ring_consumer){ 0 };
}

static void copy_out(const struct ring_consumer *ring, uint64_t pos, void *dst, size_t len)
{
	uint64_t size = ring->n_slots * RING_SLOT;
	uint64_t at = pos % ring->n_slots * RING_SLOT;
	size_t first = (size_t)MIN((uint64_t)len, size - at);

	memcpy(dst, ring->slots + at, first);
	if (len > first)
		memcpy((uint8_t *)dst + first, ring->slots, len - first);
}

int ring_get(const struct ring_consumer *ring, uint64_t *pos, void *buf, size_t cap)
{
	uint64_t head = atomic_load_explicit(&ring->head->head, memory_order_acquire);
	struct record record;
	uint64_t need;

	if (head == *pos)
		return 0;
	/* Positions never go back, for they name records: wait for the producer to come to reason.
	 */
	if (head < *pos)
		return ERR_DAMAGED;
	if (head - *pos > ring->n_slots) {
		*pos = head;
		return ERR_DAMAGED;
	}

	copy_out(ring, *pos, &record, sizeof(record));
	need = slots_of(record.len);
	if (record.len < sizeof(record) || record.len > LIMIT_RECORD_BYTES || record.len > cap ||
	    need > head - *pos) {
		*pos = head;
		return ERR_DAMAGED;
	}
	copy_out(ring, *pos, buf, record.len);
	/* What was checked is what the caller sees, even if the producer has changed it since. */
	memcpy(buf, &record, sizeof(record));
	*pos += need;
	return (int)record.len;
}

uint16_t ring_hint(const struct ring_consumer *ring, uint64_t pos)
{
	const uint8_t *slot = ring->slots + pos % ring->n_slots * RING_SLOT;
	uint16_t hint;

	memcpy(&hint, slot + offsetof(struct record, hint), sizeof(hint));
	return hint;
}

void ring_release(struct ring_consumer *ring, uint64_t pos)
{
	atomic_store_explicit(&ring->back->tail, pos, memory_order_release);
}
