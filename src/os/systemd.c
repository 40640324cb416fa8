/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Talks to systemd where it is there. A failed notification is no error: the
 * daemon runs as well without.
 */
#include "config.h"

#include "os/systemd.h"

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

void
systemd_notify(const char *state)
{
#ifdef HAVE_SYSTEMD
	(void)sd_notify(0, state);
#else
	(void)state;
#endif
}

int64_t
systemd_watchdog_ms(void)
{
#ifdef HAVE_SYSTEMD
	uint64_t usec = 0;

	/* sd_watchdog_enabled(3): ping at half the time. */
	if (sd_watchdog_enabled(0, &usec) > 0)
		return usec >= 2000 ? (int64_t)(usec / 2000) : 1;
#endif
	return 0;
}
