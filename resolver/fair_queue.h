/* resolver/fair_queue.h - what waits for its turn: a queue for each workload, served one by one in
 * rounds, so that who has much waits for himself and not the others for him.
 *
 *            put, nothing waits in it
 *   (asleep) -------------------------> fresh --its first is taken--.
 *      ^                                                            v
 *      '------its turn, still nothing in it--- in the rounds <--its turn, first taken--.
 *                                                    '--------------------------------'
 *
 * Who asks now and then goes before who always asks: a queue that was asleep is fresh and served
 * before the rounds go on, once; then it has its place in the rounds, and must be found empty there
 * to be fresh again. So nobody who asks again at once is ever served twice before another.
 *
 * Pure and intrusive: no allocation, no clock. One worker's. Bounded by whoever puts something in:
 * when there is no room, fair_queue_drop() says which is to go, always of the longest queue. So a
 * burst has all the room that the others leave, and none that they need.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Workloads are told apart by their index, modulo one less than this: more than so many share
 * queues. The last queue is of all who are no workload, and nobody shares that with them. */
#define FAIR_CLASSES 1025
#define FAIR_NOBODY UINT32_MAX

static inline uint32_t fair_class_of(uint32_t class)
{
	return class == FAIR_NOBODY ? FAIR_CLASSES - 1 : class % (FAIR_CLASSES - 1);
}

struct fair_item { /* in the owner's memory while it is queued */
	struct fair_item *next;
};

enum fair_place { FAIR_ASLEEP = 0, FAIR_FRESH, FAIR_ROUNDS };
struct fair_class {
	struct fair_item *first, **last;
	struct fair_class *next; /* of those in the same place */
	unsigned int n;          /* what is asleep has none */
	enum fair_place place;
};

struct fair_list {
	struct fair_class *first, **last; /* in the order of their turns */
};
struct fair_queue {
	struct fair_class classes[FAIR_CLASSES];
	struct fair_list fresh, rounds;
	unsigned int n; /* of all */
};

void fair_queue_init(struct fair_queue *queue);
/* Last in the queue of @class: a workload's index, or FAIR_NOBODY. */
void fair_queue_put(struct fair_queue *queue, uint32_t class, struct fair_item *item);
/* The one whose turn it is; NULL: nothing waits. */
struct fair_item *fair_queue_peek(const struct fair_queue *queue);
struct fair_item *fair_queue_take(struct fair_queue *queue);
/* The same, if it is fresh. */
struct fair_item *fair_queue_take_fresh(struct fair_queue *queue);
/* Undo a take: first of its class and first of all. */
void fair_queue_put_back(struct fair_queue *queue, uint32_t class, struct fair_item *item);
/* Out of the queue of @class, if it is there: a walk along it. */
void fair_queue_remove(struct fair_queue *queue, uint32_t class, struct fair_item *item);
/* The oldest of the longest queue, as if it had never been there; NULL: nothing waits. Looks at
 * every queue that is not asleep. */
struct fair_item *fair_queue_drop(struct fair_queue *queue);
/* Every queue with something in it: the one after @class, the first after NULL; NULL: no more. */
const struct fair_class *fair_queue_next(const struct fair_queue *queue,
                                         const struct fair_class *class);
