/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gives up the system calls that a running weir-netd does not need. Without
 * libseccomp it does nothing.
 */
#ifndef NETD_SANDBOX_H
#define NETD_SANDBOX_H

#include "base/base.h"

/* may_start_programs: a freeze_command is configured. False and a reason in
 * err; true also where there is no libseccomp: *is_on tells. */
MUST_CHECK bool sandbox_enter(
    bool may_start_programs, bool *is_on, char *err, size_t cap);

#endif
