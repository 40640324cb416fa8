/* SPDX-License-Identifier: BSD-3-Clause */
/* One worm behind the throttle core: each attempt goes to a new destination. */
#ifndef REPLAY_LONE_WORM_H
#define REPLAY_LONE_WORM_H

#include "base/base.h"
#include "weir/throttle.h"

struct lone_worm {
	int64_t first_held_ms, frozen_ms; /* since its start; -1: never */
	int64_t longest_ms;               /* that the first one held waits */
	uint32_t passed, released;
};

/* rate: attempts a second. Up to the freeze, or for so long. */
struct lone_worm lone_worm_run(
    const struct throttle_policy *policy, double rate, int64_t until_ms);

#endif
