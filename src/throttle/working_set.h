/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The working set of a source: at most n destinations, the least recently used
 * first. An array that is searched and moved: for the sizes in use (5 to 64)
 * that is one to eight cache lines, which beats any linked order.
 */
#ifndef THROTTLE_WORKING_SET_H
#define THROTTLE_WORKING_SET_H

#include "throttle/core.h"

/* Empty, in the source's own slots if it has any. */
void working_set_init(struct throttle_source *src);
/* The index of a destination; -1: not there. */
int working_set_find(const struct throttle_source *src, uint64_t destination);
/* Makes the member at an index the most recently used. */
void working_set_touch(struct throttle_source *src, int at);
/* Adds a destination that is not there; the least recently used is discarded
 * when the set is full. */
void working_set_append(
    struct throttle *t, struct throttle_source *src, uint64_t destination);
/* Adds it, or touches it if it is there. */
void working_set_add(
    struct throttle *t, struct throttle_source *src, uint64_t destination);
void working_set_drop_oldest(struct throttle_source *src, uint32_t count);
/* A destination that is nobody's, another for each i and now. */
uint64_t working_set_nobody(
    const struct throttle_source *src, int64_t now, uint32_t i);
/* Adds so many of them as the least recently used; no more than fit. */
void working_set_fill(
    struct throttle *t, struct throttle_source *src, uint32_t n, int64_t now);
/* Empty again. */
void working_set_free(struct throttle *t, struct throttle_source *src);

#endif
