/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Familiar recipients: those that are not in a source's working set, but that
 * it knows. They have a limiter of their own, in a second throttle of the same
 * keys (g->familiar), where a source is only while its familiar allowance is
 * not full or a familiar recipient waits; a source without costs nothing. The
 * source in the first throttle is pinned by it, so the two go together.
 *
 * Whom it lets go becomes known in the first one's working set. A freeze is of
 * both (freeze_set_at).
 */
#ifndef GATE_GATE_TIER_H
#define GATE_GATE_TIER_H

#include "gate/gate_internal.h"

extern const struct throttle_callbacks tier_callbacks;

/* In which queue a recipient waits, as the spool has it. */
enum gate_lane { GATE_LANE_NEW, GATE_LANE_FAMILIAR };

/* Made where it is missing, frozen where its source is. */
struct throttle_source *tier_get(
    struct gate *g, struct throttle_source *src, int64_t now);
/* NULL: it has all of its familiar allowance. */
struct throttle_source *tier_of(const struct throttle_source *src);
/* After its source has got another policy. */
void tier_adapt(struct gate *g, struct throttle_source *src);
/* Away with it; no reservation is open. */
void tier_forget(struct gate *g, struct throttle_source *src);
/* The same where nothing would be lost. */
void tier_drop_idle(struct gate *g, struct throttle_source *src, int64_t now);
/* Of both. */
enum throttle_stake tier_stake(
    struct gate *g, struct throttle_source *src, int64_t now);

void tier_freeze(struct gate *g, struct throttle_source *src);
void tier_thaw(struct gate *g, struct throttle_source *src);
/* Familiar recipients that wait. */
uint32_t tier_queue(struct gate *g, struct throttle_source *src);
/* The allowance, and what waits; as one never seen without. */
void tier_info(struct gate *g, struct throttle_source *src,
    const struct policy *policy, int64_t now, struct throttle_source_info *out);
/* Takes out of both queues, at most max (0: all); how many. */
size_t tier_remove(struct gate *g, struct throttle_source *src,
    bool (*match)(void *arg, uint64_t destination, uint64_t ticket), void *arg,
    size_t max);
/* Both queues, the new recipients first. */
void tier_queue_each(const struct throttle_source *src,
    void (*fn)(void *arg, uint64_t destination, uint64_t ticket), void *arg);

/* ---- stored state ---- */

/* The bytes needed; 0: nothing is to be stored. */
size_t tier_save(struct gate *g, struct throttle_source *src, int64_t now,
    void *out, size_t cap);
/* False: it cannot be read; the allowance counts as used up. */
MUST_CHECK bool tier_load(struct gate *g, struct throttle_source *src,
    struct str state, int64_t age_ms, int64_t now);
/* A held recipient, after a restart. */
void tier_requeue(struct gate *g, struct throttle_source *src,
    uint64_t destination, uint64_t ticket, int64_t now);
/* from: the same source in another gate. */
void tier_copy(struct gate *g, struct throttle_source *src,
    struct throttle_source *from, int64_t now);

#endif
