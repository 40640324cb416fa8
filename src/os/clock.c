/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's clocks. CLOCK_MONOTONIC and CLOCK_REALTIME always exist on
 * Linux, so a failure is our bug.
 */
#include "os/clock.h"

#include "base/base.h"

#include <time.h>

static int64_t
read_ns(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) != 0)
		panic("clock_gettime");
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t
clock_mono_ms(void)
{
	return read_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t
clock_wall_ms(void)
{
	return read_ns(CLOCK_REALTIME) / 1000000;
}

int64_t
clock_mono_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}
