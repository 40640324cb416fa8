/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preloaded: the wall clock goes wrong by SHIFTCLOCK_S seconds, the monotonic
 * one does not.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	const char *shift = getenv("SHIFTCLOCK_S");
	int error = (int)syscall(SYS_clock_gettime, id, ts);

	if (error == 0 && id == CLOCK_REALTIME && shift != NULL)
		ts->tv_sec += atol(shift);
	return error;
}
