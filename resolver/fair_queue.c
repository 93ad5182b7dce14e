#include "fair_queue.h"

static void list_init(struct fair_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

void fair_queue_init(struct fair_queue *queue)
{
	for (size_t i = 0; i < FAIR_CLASSES; i++)
		queue->classes[i] = (struct fair_class){ .last = &queue->classes[i].first };
	list_init(&queue->fresh);
	list_init(&queue->rounds);
	queue->n = 0;
}

static struct fair_list *list_of(struct fair_queue *queue, const struct fair_class *class)
{
	return class->place == FAIR_FRESH ? &queue->fresh : &queue->rounds;
}

static void append(struct fair_queue *queue, struct fair_class *class, enum fair_place place)
{
	struct fair_list *list;

	class->place = place;
	list = list_of(queue, class);
	class->next = NULL;
	*list->last = class;
	list->last = &class->next;
}

/* Out of the order of turns; @at is the link that points at it. */
static void unlink_at(struct fair_list *list, struct fair_class **at)
{
	struct fair_class *class = *at;

	*at = class->next;
	if (!*at)
		list->last = at;
	class->place = FAIR_ASLEEP;
}

static void unlink_class(struct fair_queue *queue, const struct fair_class *class)
{
	struct fair_list *list = list_of(queue, class);

	for (struct fair_class **at = &list->first; *at; at = &(*at)->next) {
		if (*at == class) {
			unlink_at(list, at);
			return;
		}
	}
}

static struct fair_item *pop(struct fair_queue *queue, struct fair_class *class)
{
	struct fair_item *item = class->first;

	class->first = item->next;
	if (!class->first)
		class->last = &class->first;
	class->n--;
	queue->n--;
	item->next = NULL;
	return item;
}

/* What was taken out or dropped has left some of them empty, in whatever place. */
static void put_to_sleep(struct fair_list *list)
{
	while (list->first && list->first->n == 0)
		unlink_at(list, &list->first);
}

void fair_queue_put(struct fair_queue *queue, uint32_t class, struct fair_item *item)
{
	struct fair_class *c = &queue->classes[fair_class_of(class)];

	if (queue->n == 0) { /* the round is over */
		put_to_sleep(&queue->fresh);
		put_to_sleep(&queue->rounds);
	}
	if (c->place == FAIR_ASLEEP)
		append(queue, c, FAIR_FRESH);
	item->next = NULL;
	*c->last = item;
	c->last = &item->next;
	c->n++;
	queue->n++;
}

struct fair_item *fair_queue_peek(const struct fair_queue *queue)
{
	const struct fair_class *class = fair_queue_next(queue, NULL);

	return class ? class->first : NULL;
}

static struct fair_item *take_of(struct fair_queue *queue, struct fair_list *list)
{
	struct fair_class *class;
	struct fair_item *item;

	put_to_sleep(list);
	class = list->first;
	if (!class)
		return NULL;
	unlink_at(list, &list->first);
	item = pop(queue, class);
	append(queue, class, FAIR_ROUNDS);
	return item;
}

struct fair_item *fair_queue_take_fresh(struct fair_queue *queue)
{
	return take_of(queue, &queue->fresh);
}

struct fair_item *fair_queue_take(struct fair_queue *queue)
{
	struct fair_item *item = take_of(queue, &queue->fresh);

	return item ? item : take_of(queue, &queue->rounds);
}

void fair_queue_put_back(struct fair_queue *queue, uint32_t class, struct fair_item *item)
{
	struct fair_class *c = &queue->classes[fair_class_of(class)];
	struct fair_list *list = &queue->fresh;

	if (c->place != FAIR_ASLEEP)
		unlink_class(queue, c);
	c->place = FAIR_FRESH;
	c->next = list->first;
	if (!c->next)
		list->last = &c->next;
	list->first = c;
	item->next = c->first;
	if (!item->next)
		c->last = &item->next;
	c->first = item;
	c->n++;
	queue->n++;
}

void fair_queue_remove(struct fair_queue *queue, uint32_t class, struct fair_item *item)
{
	struct fair_class *c = &queue->classes[fair_class_of(class)];

	for (struct fair_item **at = &c->first; *at; at = &(*at)->next) {
		if (*at != item)
			continue;
		*at = item->next;
		if (!*at)
			c->last = at;
		item->next = NULL;
		queue->n--;
		c->n--;
		return;
	}
}

struct fair_item *fair_queue_drop(struct fair_queue *queue)
{
	const struct fair_class *longest = NULL;

	for (const struct fair_class *c = NULL; (c = fair_queue_next(queue, c));) {
		if (!longest || c->n > longest->n)
			longest = c;
	}
	return longest ? pop(queue, &queue->classes[longest - queue->classes]) : NULL;
}

const struct fair_class *fair_queue_next(const struct fair_queue *queue,
                                         const struct fair_class *class)
{
	enum fair_place place = class ? class->place : FAIR_FRESH;

	class = class ? class->next : queue->fresh.first;
	for (;;) {
		while (class && class->n == 0)
			class = class->next;
		if (class || place == FAIR_ROUNDS)
			return class;
		place = FAIR_ROUNDS;
		class = queue->rounds.first;
	}
}
