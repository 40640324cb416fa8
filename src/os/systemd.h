/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sd_notify, where libsystemd is there and the daemon runs under systemd;
 * harmless elsewhere.
 */
#ifndef OS_SYSTEMD_H
#define OS_SYSTEMD_H

#include "base/base.h"

void systemd_notify(const char *state); /* "READY=1", "STOPPING=1", ... */
/* Milliseconds between watchdog pings, or 0 for none. */
int64_t systemd_watchdog_ms(void);

#endif
