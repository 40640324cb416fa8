/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The delay queue of one source, one array in order of arrival:
 *
 *   head          head + owed            head + owed + waiting
 *   | owed ...    | waiting ...          |
 *
 * `owed` have been let go at their tick, but their callback has not run yet:
 * no decision counts them as waiting any more. They stay in front, in the order
 * in which they were let go.
 */
#ifndef THROTTLE_DELAY_QUEUE_H
#define THROTTLE_DELAY_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "throttle/blasts.h"
#include "throttle/dest_index.h"

struct delay_entry {
	uint64_t destination;
	uint64_t ticket;
	/* Owed: when let go. Waiting: its destination's rank and, above it, the
	 * number of its blast. */
	int64_t mark;
};

struct delay_queue {
	struct delay_entry *entries;
	struct dest_index *index; /* NULL while the queue is short */
	struct blasts *blasts;    /* NULL: none */
	uint32_t cap, head, owed, waiting;
	uint32_t next_rank;
};

void delay_queue_clear(struct delay_queue *q, size_t *bytes);
/* blast: a number of q->blasts; 0: none. */
void delay_queue_append(struct delay_queue *q, uint64_t destination,
    uint64_t ticket, uint8_t blast, size_t *bytes);
/* Lets the head go, and every other request for its destination; returns that
 * destination. Something must wait. */
uint64_t delay_queue_let_go(struct delay_queue *q, int64_t at, size_t *bytes);
/* The same for one that need not be the head; false: it does not wait. */
bool delay_queue_let_go_of(
    struct delay_queue *q, uint64_t destination, int64_t at, size_t *bytes);
/* The destination that goes next; something must wait. */
uint64_t delay_queue_head(const struct delay_queue *q);
/* When the first of the owed was let go; there must be one. */
int64_t delay_queue_owed_at(const struct delay_queue *q);
/* Takes the first of the owed. */
struct delay_entry delay_queue_take(struct delay_queue *q, size_t *bytes);
/* How many destinations go before this one would: those ahead of its first
 * request, or all when it does not wait (*found tells). */
uint32_t delay_queue_ahead(
    const struct delay_queue *q, uint64_t destination, bool *found);
/* Takes out the first max that match, waiting or owed; returns how many. */
uint32_t delay_queue_remove(struct delay_queue *q,
    bool (*match)(void *arg, uint64_t destination, uint64_t ticket), void *arg,
    size_t max, size_t *bytes);

#endif
