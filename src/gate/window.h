/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A window over what was let go: a row of slots, each with what came in a part
 * of it; a slot counts until all of it is older than the window. So a window
 * never lets more through than its limit, opens up to a slot late, and takes
 * some 200 bytes whatever the limit. Times are monotonic ms. Pure.
 */
#ifndef GATE_WINDOW_H
#define GATE_WINDOW_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

#define WINDOW_SLOTS 48
#define WINDOW_MS_MAX (INT64_C(1) << 40)

struct window {
	int64_t length_ms, newest_at; /* the start of slot[0] */
	uint32_t slot[WINDOW_SLOTS + 1], used;
	uint8_t told;   /* the owner's: bits of warn_at */
	uint8_t warned; /* the owner's: a part of it, still to be told */
};

/* What has left the window counts no more. Before used is read. */
void window_advance(struct window *w, int64_t now);
void window_add(struct window *w, int64_t now);
/* One of the latest is taken back. */
void window_take_back(struct window *w);
/* When the oldest that counts is out. */
int64_t window_open_at(const struct window *w);
/* Another length: what was used counts from now on. */
void window_set_length(struct window *w, int64_t length_ms, int64_t now);

/* Stored: length i64, age of the newest slot i64, slots u32. */
#define WINDOW_BYTES (16 + 4 * (WINDOW_SLOTS + 1))

/* Writes WINDOW_BYTES of what w is now; `more` count as used now. */
void window_put(
    unsigned char **p, const struct window *w, uint32_t more, int64_t now);
/* Reads WINDOW_BYTES that were written age_ms ago. False: they are none, and w
 * is empty. */
MUST_CHECK bool window_get(
    const unsigned char **p, int64_t age_ms, int64_t now, struct window *w);

#endif
