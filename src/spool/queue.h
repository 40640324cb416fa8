/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Work on its way between threads. An op is owned by one thread at a time; it
 * changes hands through a queue (towards a thread of the spool) or through
 * done (back to the loop). These two are all that the threads share, but for
 * the atomics of struct spool (core.h).
 */
#ifndef SPOOL_QUEUE_H
#define SPOOL_QUEUE_H

#include "base/list.h"
#include "spool/arena.h"

#include <pthread.h>

struct op_type;

/* First member of a struct on the heap. */
struct op {
	struct list entry;
	const struct op_type *type;
	int error;
	size_t cost;      /* bytes, roughly: bounds what is taken at once */
	struct arena mem; /* of what was given and of results; ends with it */
};

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list ops;
	bool waiting, stopped;
};

void queue_init(struct queue *q);
void queue_clear(struct queue *q);
void queue_put(struct queue *q, struct op *op);
/* Takes ops in order until a bound is passed, and waits for one, but not past
 * the deadline (monotonic ms). False: stopped, and nothing is left. */
bool queue_take(struct queue *q, struct list *out, size_t max, size_t max_cost,
    int64_t deadline);
void queue_stop(struct queue *q);

struct done {
	pthread_mutex_t lock;
	struct list ops;
	int fd; /* eventfd, readable when ops wait */
};

MUST_CHECK int done_init(struct done *d); /* 0 or errno */
void done_clear(struct done *d);
void done_put(struct done *d, struct op *op);
void done_put_all(struct done *d, struct list *ops); /* empties ops */
void done_take(struct done *d, struct list *out);

#endif
