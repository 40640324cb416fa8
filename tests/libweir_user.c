/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program outside of weir that uses the installed libweir, and nothing else
 * of weir: a source that may reach three new destinations asks for five, then
 * waits. tests/check-release.sh compiles it against an installation.
 */
#include <stdio.h>
#include <weir/throttle.h>

static unsigned released;

static void
on_release(void *arg, struct throttle_source *src, uint64_t destination,
    uint64_t ticket)
{
	(void)arg;
	(void)src;
	(void)destination;
	(void)ticket;
	released++;
}

static unsigned
count_passes(struct throttle *t, const struct throttle_policy *policy)
{
	struct throttle_source *src = throttle_get(t, "me", 2, policy, 0);
	struct throttle_reservation r;
	unsigned passes = 0;

	for (uint64_t i = 0; i < 5; i++) {
		throttle_request(t, src, i, i, 0, &r);
		passes += r.verdict == THROTTLE_PASS;
	}
	return passes;
}

int
main(void)
{
	static const struct throttle_callbacks callbacks = {
	    .on_release = on_release};
	struct throttle_policy policy = throttle_profile_mail;
	struct throttle *t = throttle_new(1, 10, &callbacks, NULL);
	unsigned passes;

	policy.initial = policy.burst = 3;
	policy.interval_ms = 1000;
	passes = count_passes(t, &policy);
	throttle_run(t, 2000, 0);
	throttle_free(t);
	printf("%u passed, %u released\n", passes, released);
	return passes == 3 && released == 2 ? 0 : 1;
}
