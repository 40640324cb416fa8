/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The last day once more, under another configuration: what each sender would
 * have felt, beside what it felt.
 *
 * The throttle begins the day with a full allowance, and knows whom a sender
 * knew when it wrote to them. Mail that weir put off came again: it is played
 * once for each recipient. Who is frozen stays so.
 */
#ifndef REPLAY_PAST_RUN_H
#define REPLAY_PAST_RUN_H

#include "replay/past.h"
#include "replay/world.h"

#include <signal.h>

struct past_sender {
	struct str source; /* under the new configuration; heap */
	struct str was;    /* under the old one; borrowed from the past */
	char *policy;      /* the new one's */
	uint64_t messages, recipients;
	uint64_t waited;   /* recipients, in the past */
	uint64_t waits;    /* recipients that are held */
	uint64_t never;    /* of these, not let go by the schedule */
	uint64_t refused;  /* recipients */
	int64_t longest;   /* ms, that one waits */
	int64_t frozen_at; /* wall ms; 0: not frozen */
	char *reason;      /* of the freeze; NULL: none */
};

struct past_result {
	struct past_sender *senders; /* in the order of their first mail */
	uint32_t count, cap;
	uint64_t messages, recipients;
	int64_t began, ended; /* wall ms */
};

/* 0, or a sysexits status with why in err. The result is cleared by the caller
 * in any case. stop: set from outside to end early, with an error; may be NULL.
 */
MUST_CHECK int past_run(const struct past *past,
    const struct world_settings *settings, const volatile sig_atomic_t *stop,
    struct past_result *out, char *err, size_t cap);
void past_result_clear(struct past_result *r);

#endif
