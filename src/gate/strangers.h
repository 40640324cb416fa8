/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many messages of one source named a stranger that no earlier one of the
 * window had named. Of the strangers named, the latest STRANGERS_NAMED_MAX are
 * remembered; who waits in the source's queue is known there. Bounded; times
 * are monotonic ms. Pure.
 */
#ifndef GATE_STRANGERS_H
#define GATE_STRANGERS_H

#include "base/buf.h"
#include "gate/window.h"

#define STRANGERS_NAMED_MAX 128

struct strangers; /* NULL: nobody was named */

void strangers_free(struct strangers *s); /* takes NULL */
/* A window of another length keeps what was used. Takes NULL, as all that
 * follows but for note. */
uint32_t strangers_used(struct strangers *s, int64_t window_ms, int64_t now);
/* When the oldest message that counts is out. */
int64_t strangers_open_at(struct strangers *s, int64_t window_ms, int64_t now);
bool strangers_has(const struct strangers *s, uint64_t destination,
    int64_t window_ms, int64_t now);
/* It is named now. is_first: by a message that is counted for it. */
void strangers_note(struct strangers **s, uint64_t destination, bool is_first,
    int64_t window_ms, int64_t now);
/* A message of which only the number is known. */
void strangers_note_message(
    struct strangers **s, int64_t window_ms, int64_t now);
/* What was counted last is taken back, and destination is nobody who was named.
 */
void strangers_take_back(
    struct strangers *s, uint64_t destination, bool is_first);
/* Nothing is counted any more; who was named stays. */
void strangers_reset(struct strangers *s);
/* Bits of warn_at, for the owner; NULL: none. */
uint8_t *strangers_told(struct strangers *s);

/* Stored: a window, n u16, then destination u64 and age i64 of each. */
#define STRANGERS_STATE_MAX (WINDOW_BYTES + 2 + 16 * STRANGERS_NAMED_MAX)

/* Returns the bytes written; 0: nothing is to be stored. */
size_t strangers_save(const struct strangers *s, int64_t now,
    unsigned char out[STRANGERS_STATE_MAX]);
/* What was saved age_ms ago. NULL: it is no such state. Read-back state is
 * hostile: bounded and validated. */
struct strangers *strangers_load(
    const unsigned char *in, size_t n, int64_t age_ms, int64_t now);

#endif
