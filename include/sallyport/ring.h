/* sallyport/ring.h - history records from one worker thread to the historian.
 *
 * One producer, one consumer, two pieces of shared memory made by the keeper:
 *
 *   data:  struct ring_head | slots of RING_SLOT octets     producer writes, consumer reads only
 *   back:  struct ring_back                                 consumer writes, producer reads only
 *
 * Positions count slots since the ring was made and never wrap (64 bits); position p lies in slot
 * p mod n_slots. A record takes whole slots, begins with struct record and may wrap around the end.
 * The producer copies a record, then publishes head with release order; the consumer copies it out
 * before it looks inside, and believes nothing: lengths and positions are checked, a record that
 * fails is counted and skipped by resynchronising at head. (ring id, position) names a record for
 * ever: the historian stores it for exactly-once replay.
 *
 * When the ring is full a record is lost and counted by verdict in the head; an eighth of the slots
 * is kept for denials. The cumulative counts cover every record ever offered, lost ones included,
 * and every query ever read, so a consumer can tell what is missing after any crash.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sallyport/cleanup.h"
#include "sallyport/limits.h"
#include "sallyport/record.h"
#include "sallyport/verdict.h"

#define RING_MAGIC UINT64_C(0x31474e4952505331)
#define RING_SLOT 64
#define RING_SOCKETS (2 * LIMIT_LISTENERS) /* old ones and new ones, while a set is changed */

/* A socket counts what the kernel has dropped at it since it was made, for whoever reads it in
 * turn: here stands how far that count is in kernel_drops already. */
struct ring_socket {
	_Atomic uint64_t ino;  /* names it; 0: this row is free */
	_Atomic uint64_t told; /* the kernel's count, of 32 bits, when it was last taken over */
};

struct ring_head {
	uint64_t magic;
	uint64_t id;      /* random, made by the keeper; names this memory for ever */
	uint64_t n_slots; /* a power of two */
	uint64_t pad[5];
	_Alignas(64) _Atomic uint64_t head;               /* next position to be written */
	_Alignas(64) _Atomic uint64_t offered[VERDICT_N]; /* queries ever offered, by verdict */
	_Atomic uint64_t lost[VERDICT_N];                 /* of these: no room */
	_Atomic uint64_t kernel_drops;                    /* datagrams lost before we read them */
	/* Each query that is taken is offered, sooner or later, or dropped; what a producer dies
	 * with is neither, and its successor counts it as abandoned. */
	_Alignas(64) _Atomic uint64_t taken; /* queries read from sockets */
	_Atomic uint64_t dropped;            /* of these: never judged, for want of time or room */
	_Atomic uint64_t abandoned;
	_Alignas(64) struct ring_socket sockets[RING_SOCKETS]; /* the producer's own */
};
struct ring_back {
	uint64_t magic;
	_Alignas(64) _Atomic uint64_t tail;  /* everything before it is durable */
	_Atomic uint64_t answers_generation; /* raised when producers must tell answers anew */
};

/* Keeper: make both pieces; @n_slots is rounded up to a power of two, at least 1024. */
int ring_create(size_t n_slots, int *ret_data_fd, int *ret_back_fd) MUST_CHECK;

struct ring_producer {
	struct ring_head *head;
	uint8_t *slots;
	const struct ring_back *back;
	uint64_t n_slots, next; /* next: written but perhaps not yet published */
	uint64_t abandoned;     /* queries that the predecessor died with */
};
/* Map both. @back_fd may be read-only. Returns 0, ERR_DAMAGED or -errno. Continues at the head
 * that a predecessor left. */
int ring_producer_open(struct ring_producer *ring, int data_fd, int back_fd) MUST_CHECK;
/* Copy @record (its len says how long) followed by @tail_len octets of @tail, which its len
 * includes. Not visible before ring_publish(). Never blocks. Returns false when there was no room;
 * then it is counted as lost. RECORD_QUERY records count as offered under their verdict. */
bool ring_put(struct ring_producer *ring, const struct record *record, const void *tail,
              size_t tail_len);
void ring_publish(struct ring_producer *ring); /* once a batch: one release store */
/* @n queries were read from a socket; @n of those will have no record. A ring that is not open is
 * fine (tests). */
void ring_taken(struct ring_producer *ring, uint64_t n);
void ring_dropped(struct ring_producer *ring, uint64_t n);
void ring_producer_close(
    struct ring_producer *ring); /* unmaps; what was put but not published is gone */

struct ring_consumer {
	const struct ring_head *head;
	const uint8_t *slots;
	struct ring_back *back;
	uint64_t n_slots, id;
};
int ring_consumer_open(struct ring_consumer *ring, int data_fd, int back_fd) MUST_CHECK;
/* Copy the record at *@pos into @buf and move *@pos past it. Returns its length, 0 (nothing there
 * yet), or ERR_DAMAGED (*@pos is then moved to the present head; unless head went back: positions
 * name records, so *@pos stays and the ring yields nothing before head is there again). */
int ring_get(const struct ring_consumer *ring, uint64_t *pos, void *buf, size_t cap);
/* The hint of the record that begins at @pos, or anything, if none does. */
uint16_t ring_hint(const struct ring_consumer *ring, uint64_t pos);
void ring_release(struct ring_consumer *ring, uint64_t pos); /* tail = pos */
/* Queries ever taken that are neither offered nor dropped: in flight, if a producer lives. */
uint64_t ring_in_flight(const struct ring_head *head);
void ring_consumer_close(struct ring_consumer *ring);
