#include "fair_queue.h"

void fair_queue_init(struct fair_queue *queue)
{
	for (size_t i = 0; i < FAIR_CLASSES; i++)
		queue->classes[i] = (struct fair_class){ .last = &queue->classes[i].first };
	queue->first = NULL;
	queue->last = &queue->first;
	queue->n = 0;
}

static void append(struct fair_queue *queue, struct fair_class *class)
{
	class->next = NULL;
	*queue->last = class;
	queue->last = &class->next;
}

/* Out of the order of turns; @at is the link that points at it. */
static struct fair_class *unlink_at(struct fair_queue *queue, struct fair_class **at)
{
	struct fair_class *class = *at;

	*at = class->next;
	if (!*at)
		queue->last = at;
	return class;
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

void fair_queue_put(struct fair_queue *queue, uint32_t class, struct fair_item *item)
{
	struct fair_class *c = &queue->classes[class % FAIR_CLASSES];

	if (c->n == 0)
		append(queue, c);
	item->next = NULL;
	*c->last = item;
	c->last = &item->next;
	c->n++;
	queue->n++;
}

struct fair_item *fair_queue_peek(const struct fair_queue *queue)
{
	return queue->first ? queue->first->first : NULL;
}

struct fair_item *fair_queue_take(struct fair_queue *queue)
{
	struct fair_class *class;
	struct fair_item *item;

	if (!queue->first)
		return NULL;
	class = unlink_at(queue, &queue->first);
	item = pop(queue, class);
	if (class->n > 0)
		append(queue, class);
	return item;
}

static void unlink_class(struct fair_queue *queue, const struct fair_class *class)
{
	for (struct fair_class **at = &queue->first; *at; at = &(*at)->next) {
		if (*at == class) {
			unlink_at(queue, at);
			return;
		}
	}
}

void fair_queue_put_back(struct fair_queue *queue, uint32_t class, struct fair_item *item)
{
	struct fair_class *c = &queue->classes[class % FAIR_CLASSES];

	if (c->n > 0)
		unlink_class(queue, c);
	c->next = queue->first;
	if (!c->next)
		queue->last = &c->next;
	queue->first = c;
	item->next = c->first;
	if (!item->next)
		c->last = &item->next;
	c->first = item;
	c->n++;
	queue->n++;
}

void fair_queue_remove(struct fair_queue *queue, uint32_t class, struct fair_item *item)
{
	struct fair_class *c = &queue->classes[class % FAIR_CLASSES];

	for (struct fair_item **at = &c->first; *at; at = &(*at)->next) {
		if (*at != item)
			continue;
		*at = item->next;
		if (!*at)
			c->last = at;
		item->next = NULL;
		queue->n--;
		if (--c->n == 0)
			unlink_class(queue, c);
		return;
	}
}

struct fair_item *fair_queue_drop(struct fair_queue *queue)
{
	struct fair_class **longest = &queue->first;
	struct fair_item *item;

	if (!queue->first)
		return NULL;
	for (struct fair_class **at = &queue->first; *at; at = &(*at)->next) {
		if ((*at)->n > (*longest)->n)
			longest = at;
	}
	item = pop(queue, *longest);
	if ((*longest)->n == 0)
		unlink_at(queue, longest);
	return item;
}
