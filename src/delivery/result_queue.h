/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What became of messages, on its way into the spool. A message that the next
 * hop took must never be sent again because a disk was full for a moment: so
 * results stay here, and are offered again until the spool has them.
 *
 * Results of one turn of the loop go in one operation. Inside delivery alone.
 */
#ifndef DELIVERY_RESULT_QUEUE_H
#define DELIVERY_RESULT_QUEUE_H

#include "net/loop.h"
#include "os/counters.h"
#include "spool/spool.h"

/* Reports are nobody's mail. */
#define BOUNCE_SOURCE "<>" /* the null sender's key: gate/policy.h */
#define BOUNCE_POLICY "bounce"

struct result_queue;

/* released: something may be claimed that could not be before: a bounce, or
 * what is to be tried again and was stored late. */
typedef void result_queue_fn(void *arg, bool released, int64_t now);

struct result_bounce { /* strings are copied */
	uint64_t id;
	const char *to;
	const char *subject;
	unsigned body_type; /* enum smtp_body */
	bool utf8, require_tls;
	unsigned notify; /* enum smtp_notify bits */
	int64_t wall;
	struct str text;
};

struct result_queue *result_queue_new(struct loop *loop, struct spool *spool,
    struct counters *counters, struct log *log, result_queue_fn *fn, void *arg);
/* Results that are not stored yet are given to the spool a last time. */
void result_queue_free(struct result_queue *l);
void result_queue_add(
    struct result_queue *l, const struct spool_result *result);
/* These, and a bounce in the same commit. */
void result_queue_add_bounce(struct result_queue *l,
    const struct spool_result *results, size_t n,
    const struct result_bounce *bounce);
size_t result_queue_pending(
    const struct result_queue *l); /* results not stored yet */
bool result_queue_is_stuck(
    const struct result_queue *l); /* the spool refused some */

#endif
