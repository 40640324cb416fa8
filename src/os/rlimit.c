/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hard limit is tried first with the soft one: root may raise both, and
 * for everybody else the call fails as a whole.
 */
#include "os/rlimit.h"

#include <sys/resource.h>

uint64_t
rlimit_raise_files(uint64_t want)
{
	struct rlimit now, more;

	if (getrlimit(RLIMIT_NOFILE, &now) != 0)
		return 0;
	if (now.rlim_cur >= want)
		return now.rlim_cur;
	more = (struct rlimit){.rlim_cur = want,
	    .rlim_max = now.rlim_max > want ? now.rlim_max : want};
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return want;
	now.rlim_cur = now.rlim_max < want ? now.rlim_max : want;
	(void)setrlimit(RLIMIT_NOFILE, &now);
	return getrlimit(RLIMIT_NOFILE, &now) == 0 ? now.rlim_cur : 0;
}
