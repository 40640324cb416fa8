/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shipped policies, and what makes a policy usable.
 */
#include "throttle/core.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* Twycross & Williamson, section 3.1: n = 5, one release per second, 100.
 * Forgetting gives a source its five places back, so it takes an hour. */
#define PAPER                                                        \
	{                                                            \
		.working_set = 5, .interval_ms = SECOND, .burst = 5, \
		.initial = 5, .paper = true, .freeze_at = 100,       \
		.queue_max = 100, .idle_expiry_ms = HOUR,            \
	}

const struct throttle_policy throttle_profile_tcp = PAPER;
const struct throttle_policy throttle_profile_udp = PAPER;

const struct throttle_policy throttle_profile_mail = {
    .working_set = 64,
    .interval_ms = MINUTE,
    .burst = 10,
    .initial = 10,
    .freeze_at = 100,
    .queue_max = 10000,
    .idle_expiry_ms = 30 * DAY,
};

static bool
is_duration(int64_t ms)
{
	return ms >= 1 && ms <= DURATION_MAX;
}

static const char *
limit_error(const struct throttle_limit *limit)
{
	if (limit->count == 0)
		return NULL;
	if (limit->count > THROTTLE_COUNT_MAX)
		return "the count of a limit is above 65535";
	if (!is_duration(limit->window_ms))
		return "the window of a limit is not between 1 ms and 34 years";
	return NULL;
}

static const char *
limits_error(const struct throttle_policy *p)
{
	const char *error = limit_error(&p->freeze_growth);

	if (p->limit_count > THROTTLE_LIMITS_MAX)
		return "more than 4 limits";
	for (uint32_t i = 0; i < p->limit_count && !error; i++)
		error = limit_error(&p->limits[i]);
	return error;
}

const char *
throttle_policy_error(const struct throttle_policy *policy)
{
	const struct throttle_policy *p = policy;

	if (p->working_set < 1 || p->working_set > THROTTLE_WORKING_SET_MAX)
		return "working_set is not between 1 and 4096";
	if (!is_duration(p->interval_ms))
		return "interval is not between 1 ms and 34 years";
	if (!p->paper && p->burst > BURST_MAX)
		return "burst is above 65535";
	if (!p->paper && p->initial > p->burst)
		return "initial is above burst";
	if (p->queue_max < 1 || p->queue_max > QUEUE_MAX)
		return "queue_max is not between 1 and 1048576";
	if (p->freeze_at > p->queue_max)
		return "freeze_at is above queue_max";
	if (p->idle_expiry_ms < 0 || p->idle_expiry_ms > DURATION_MAX)
		return "idle_expiry is negative or above 34 years";
	return limits_error(p);
}
