/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-netd, as its main calls it. Results are exit statuses (sysexits.h).
 */
#ifndef NETD_NETD_H
#define NETD_NETD_H

#include "base/base.h"

int netd_check(const char *config_file);
/* kind: "nft" or "iptables". */
int netd_print_rules(const char *config_file, const char *kind);
/* Takes away what a daemon that was killed has left. */
int netd_remove_rules(const char *config_file);
/* Says what, and returns status. */
int netd_fail(int status, const char *what);
int netd_run(const char *config_file, bool install_rules);

#endif
