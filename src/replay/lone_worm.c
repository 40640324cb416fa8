/* SPDX-License-Identifier: BSD-3-Clause */
/* See lone_worm.h. */
#include "replay/lone_worm.h"

static void
on_release(void *arg, struct throttle_source *src, uint64_t destination,
    uint64_t ticket)
{
	struct lone_worm *o = arg;

	(void)src;
	(void)destination;
	(void)ticket;
	o->released++;
}

struct lone_worm
lone_worm_run(
    const struct throttle_policy *policy, double rate, int64_t until_ms)
{
	static const struct throttle_callbacks callbacks = {
	    .on_release = on_release};
	struct lone_worm o = {.first_held_ms = -1, .frozen_ms = -1};
	struct throttle *t = throttle_new(1, 1, &callbacks, &o);
	struct throttle_source *src = throttle_get(t, "worm", 4, policy, 0);
	struct throttle_reservation r;

	for (uint64_t i = 0; throttle_frozen_count(t) == 0; i++) {
		int64_t now = (int64_t)((double)i * 1000 / rate);

		if (now >= until_ms)
			break;
		throttle_run(t, now, 0);
		throttle_request(t, src, i, i, now, &r);
		o.passed += r.verdict == THROTTLE_PASS;
		if (r.verdict == THROTTLE_HOLD && o.first_held_ms < 0) {
			o.first_held_ms = now;
			o.longest_ms = r.due_ms - now;
		}
		if (throttle_frozen_count(t) > 0)
			o.frozen_ms = now;
	}
	if (o.frozen_ms < 0)
		throttle_run(t, until_ms - 1, 0);
	throttle_free(t);
	return o;
}
