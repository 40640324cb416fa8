/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The clock and the allowance of a source. The clock is lazy: nobody ticks it.
 * limiter_advance works off, in order, every tick since the last look, as if
 * each had been handled in its moment; what such a tick lets go becomes `owed`
 * in the delay queue, and throttle_run pays. So no decision ever depends on how
 * late throttle_run comes.
 */
#ifndef THROTTLE_LIMITER_H
#define THROTTLE_LIMITER_H

#include "throttle/core.h"

/* How many new destinations may pass now, limit windows and queue aside. */
uint32_t limiter_room(const struct throttle_source *src);
/* A new source's allowance and clock. */
void limiter_start(struct throttle_source *src, int64_t now);
/* Starts a clock that stands and is needed. */
void limiter_wake(struct throttle_source *src, int64_t now);
/* When the queue moves next, if nothing else happens; not before `from`, the
 * moment of the last change. TIME_NEVER: not by itself. */
int64_t limiter_next(const struct throttle_source *src, int64_t from);
void limiter_advance(
    struct throttle *t, struct throttle_source *src, int64_t from, int64_t now);
/* Reservation of a pass: take, then spend or give back. */
void limiter_take(struct throttle_source *src);
void limiter_spend(struct throttle_source *src, int64_t now);
void limiter_give_back(struct throttle_source *src);
/* The earliest release of a request for this destination, appended now behind
 * `reserved` others. */
int64_t limiter_due(const struct throttle_source *src, uint64_t destination,
    uint32_t reserved, int64_t now);
/* Brings allowance and clock within a new policy. */
void limiter_adapt(struct throttle_source *src, int64_t now);
/* Forgetting the source would give it nothing. */
bool limiter_is_idle(const struct throttle_source *src);

#endif
