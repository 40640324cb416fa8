/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread beside the loop, for what takes long and seldom happens: the hash of
 * a password, a small file that must reach the disk. Jobs run one after the
 * other; how many may wait is bounded.
 */
#ifndef NET_WORKER_H
#define NET_WORKER_H

#include "net/loop.h"

struct worker;

struct worker_job {
	void (*run)(void *arg);               /* in the thread */
	void (*done)(void *arg, int64_t now); /* then, in the loop's */
	void (*drop)(void *arg); /* instead of done, at worker_free */
};

/* waiting_max: of jobs, the running one among them. NULL: no thread. */
struct worker *worker_new(struct loop *loop, unsigned waiting_max);
/* ops is borrowed. False: too many wait, and nothing was taken. */
MUST_CHECK bool worker_submit(
    struct worker *w, const struct worker_job *ops, void *arg);
/* Runs what waits, and drops it; takes NULL. */
void worker_free(struct worker *w);

#endif
