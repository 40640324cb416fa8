/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Array queue. Ranks number the destinations that wait in the order of their
 * first request, without gaps from the head's on, so that the number of
 * destinations ahead is a subtraction. Short queues are searched; from
 * INDEX_FROM on an index answers.
 */
#include "throttle/delay_queue.h"

#include <string.h>

#include "throttle/mem.h"

#define QUEUE_FIRST 4
#define INDEX_FROM 24
#define RANK_BITS 32 /* of the mark of what waits */

static struct delay_entry *
first_waiting(const struct delay_queue *q)
{
	return q->entries + q->head + q->owed;
}

static uint8_t
blast_of(const struct delay_entry *e)
{
	return (uint8_t)((uint64_t)e->mark >> RANK_BITS);
}

static int64_t
make_mark(uint32_t rank, uint8_t blast)
{
	return (int64_t)((uint64_t)blast << RANK_BITS | rank);
}

static uint32_t
head_rank(const struct delay_queue *q)
{
	return (uint32_t)first_waiting(q)->mark;
}

/* The rank of a destination among the first n waiting; false: not there. */
static bool
find_rank(const struct delay_queue *q, uint32_t n, uint64_t destination,
    uint32_t *rank)
{
	const struct delay_entry *e = first_waiting(q);

	if (q->index) {
		const struct dest_slot *slot =
		    dest_index_find(q->index, destination);

		if (slot)
			*rank = slot->rank;
		return slot != NULL;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (e[i].destination == destination) {
			*rank = (uint32_t)e[i].mark;
			return true;
		}
	}
	return false;
}

static void
build_index(struct delay_queue *q, uint32_t n, size_t *bytes)
{
	const struct delay_entry *e = first_waiting(q);

	q->index = dest_index_new(2 * n, bytes);
	for (uint32_t i = 0; i < n; i++) {
		struct dest_slot *slot =
		    dest_index_find(q->index, e[i].destination);

		if (slot)
			slot->count++;
		else
			dest_index_add(&q->index, e[i].destination,
			    (uint32_t)e[i].mark, bytes);
	}
}

/* Gives the i-th waiting its rank; those before it have theirs. */
static void
rank_entry(struct delay_queue *q, uint32_t i, size_t *bytes)
{
	struct delay_entry *e = first_waiting(q) + i;
	uint32_t rank;

	if (!q->index && i >= INDEX_FROM)
		build_index(q, i, bytes);
	if (find_rank(q, i, e->destination, &rank)) {
		if (q->index)
			dest_index_find(q->index, e->destination)->count++;
	} else {
		rank = q->next_rank++;
		if (q->index)
			dest_index_add(&q->index, e->destination, rank, bytes);
	}
	e->mark = make_mark(rank, blast_of(e));
}

void
delay_queue_clear(struct delay_queue *q, size_t *bytes)
{
	dest_index_free(&q->index, bytes);
	blasts_free(&q->blasts, bytes);
	mem_free(bytes, q->entries, q->cap * sizeof(*q->entries));
	*q = (struct delay_queue){0};
}

/* Room for one more at the end: by moving to the front where at least half of
 * the array lies free there, else by doubling, so that appending stays cheap
 * on average. */
static void
make_room(struct delay_queue *q, size_t *bytes)
{
	uint32_t used = q->owed + q->waiting;

	if (q->head + used < q->cap)
		return;
	if (q->head > 0 && q->head >= q->cap / 2) {
		memmove(q->entries, q->entries + q->head,
		    used * sizeof(*q->entries));
		q->head = 0;
	} else {
		uint32_t cap = q->cap ? q->cap * 2 : QUEUE_FIRST;

		q->entries = mem_resize(bytes, q->entries,
		    q->cap * sizeof(*q->entries), cap * sizeof(*q->entries));
		q->cap = cap;
	}
}

void
delay_queue_append(struct delay_queue *q, uint64_t destination, uint64_t ticket,
    uint8_t blast, size_t *bytes)
{
	make_room(q, bytes);
	first_waiting(q)[q->waiting] =
	    (struct delay_entry){destination, ticket, make_mark(0, blast)};
	blasts_add(q->blasts, blast);
	rank_entry(q, q->waiting, bytes);
	q->waiting++;
}

static uint32_t
count_waiting(const struct delay_queue *q, uint64_t destination)
{
	const struct delay_entry *e = first_waiting(q);
	uint32_t count = 0;

	if (q->index)
		return dest_index_find(q->index, destination)->count;
	for (uint32_t i = 0; i < q->waiting; i++)
		count += e[i].destination == destination;
	return count;
}

/* Moves all for one destination to the front, both parts in order. */
static void
gather(struct delay_queue *q, uint64_t destination, uint32_t count)
{
	struct delay_entry *e = first_waiting(q);
	struct delay_entry *same = xmalloc(count * sizeof(*same));
	uint32_t rest = q->waiting, n = count;

	for (uint32_t i = q->waiting; i-- > 0;) {
		if (e[i].destination == destination)
			same[--n] = e[i];
		else
			e[--rest] = e[i];
	}
	memcpy(e, same, count * sizeof(*same));
	free(same);
}

/* A destination's first request may be gone: all are numbered anew. */
static void
rank_all(struct delay_queue *q, size_t *bytes)
{
	dest_index_free(&q->index, bytes);
	q->next_rank = 0;
	for (uint32_t i = 0; i < q->waiting; i++)
		rank_entry(q, i, bytes);
}

static void
let_go(struct delay_queue *q, uint64_t destination, int64_t at, size_t *bytes)
{
	uint32_t count = count_waiting(q, destination);

	if (count > 1 || first_waiting(q)->destination != destination)
		gather(q, destination, count);
	if (q->index)
		dest_index_remove(
		    q->index, dest_index_find(q->index, destination));
	for (uint32_t i = 0; i < count; i++) {
		blasts_remove(q->blasts, blast_of(first_waiting(q) + i));
		first_waiting(q)[i].mark = at;
	}
	q->owed += count;
	q->waiting -= count;
	if (q->waiting == 0)
		dest_index_free(&q->index, bytes);
}

uint64_t
delay_queue_let_go(struct delay_queue *q, int64_t at, size_t *bytes)
{
	uint64_t destination = first_waiting(q)->destination;

	let_go(q, destination, at, bytes);
	return destination;
}

bool
delay_queue_let_go_of(
    struct delay_queue *q, uint64_t destination, int64_t at, size_t *bytes)
{
	uint32_t rank;

	if (q->waiting == 0 || !find_rank(q, q->waiting, destination, &rank))
		return false;
	let_go(q, destination, at, bytes);
	rank_all(q, bytes);
	return true;
}

uint64_t
delay_queue_head(const struct delay_queue *q)
{
	return q->entries[q->head + q->owed].destination;
}

int64_t
delay_queue_owed_at(const struct delay_queue *q)
{
	return q->entries[q->head].mark;
}

struct delay_entry
delay_queue_take(struct delay_queue *q, size_t *bytes)
{
	struct delay_entry e = q->entries[q->head];

	q->head++;
	q->owed--;
	if (q->owed + q->waiting == 0)
		delay_queue_clear(q, bytes);
	return e;
}

uint32_t
delay_queue_ahead(
    const struct delay_queue *q, uint64_t destination, bool *found)
{
	uint32_t rank;

	*found = false;
	if (q->waiting == 0)
		return 0;
	*found = find_rank(q, q->waiting, destination, &rank);
	return (*found ? rank : q->next_rank) - head_rank(q);
}

/* Of the first n waiting the index forgets one request each. False: one of the
 * destinations waits on, and so has lost its rank. */
static bool
forget_front(struct delay_queue *q, uint32_t n)
{
	const struct delay_entry *e = first_waiting(q);
	bool all_gone = true;

	for (uint32_t i = 0; i < n; i++) {
		struct dest_slot *slot =
		    dest_index_find(q->index, e[i].destination);

		if (slot->count > 1) {
			slot->count--;
			all_gone = false;
		} else {
			dest_index_remove(q->index, slot);
		}
	}
	return all_gone;
}

uint32_t
delay_queue_remove(struct delay_queue *q,
    bool (*match)(void *arg, uint64_t destination, uint64_t ticket), void *arg,
    size_t max, size_t *bytes)
{
	struct delay_entry *e = q->entries + q->head;
	uint32_t n = q->owed + q->waiting, kept = 0, kept_owed = 0, front = 0;
	size_t removed;
	bool is_ranked;

	while (front < n && front < max &&
	       match(arg, e[front].destination, e[front].ticket)) {
		if (front >= q->owed)
			blasts_remove(q->blasts, blast_of(&e[front]));
		front++;
	}
	removed = front;
	/* In a long queue that is released piece by piece each piece is the
	 * front, and the rest stays where it is. */
	is_ranked = q->owed == 0 && q->index != NULL && front < n &&
		    forget_front(q, front);
	for (uint32_t i = front; i < n; i++) {
		if (removed == max && front + kept == i) {
			kept_owed += i < q->owed ? q->owed - i : 0;
			kept += n - i;
			break;
		}
		if (removed < max &&
		    match(arg, e[i].destination, e[i].ticket)) {
			if (i >= q->owed)
				blasts_remove(q->blasts, blast_of(&e[i]));
			is_ranked = false;
			removed++;
			continue;
		}
		kept_owed += i < q->owed;
		if (front + kept != i)
			e[front + kept] = e[i];
		kept++;
	}
	q->head += front;
	q->owed = kept_owed;
	q->waiting = kept - kept_owed;
	if (kept == 0) {
		delay_queue_clear(q, bytes);
		return n;
	}
	if (is_ranked)
		return n - kept;
	rank_all(q, bytes);
	return n - kept;
}
