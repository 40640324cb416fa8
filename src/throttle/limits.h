/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The limit windows: exact sliding windows over the moments at which new
 * destinations were let go, by a pass or by a release. What is reserved but not
 * committed counts as let go now.
 */
#ifndef THROTTLE_LIMITS_H
#define THROTTLE_LIMITS_H

#include "throttle/core.h"

/* When all windows have room, if nothing is let go until then; TIME_MIN: no
 * limit binds; TIME_NEVER: reservations alone fill one. which (may be NULL):
 * the window that opens last. */
int64_t limits_open_at(const struct throttle_source *src, uint8_t *which);
/* A lower bound for the moment of the n-th (>= 1) pass from now on. */
int64_t limits_bound(
    const struct throttle_source *src, uint32_t n, int64_t now);
void limits_note_pass(
    struct throttle *t, struct throttle_source *src, int64_t at);
/* How much of window i is used. */
uint32_t limits_used(
    const struct throttle_source *src, uint32_t i, int64_t now);
/* Nothing in any window that forgetting the source would give back. */
bool limits_are_idle(const struct throttle_source *src, int64_t now);

#endif
