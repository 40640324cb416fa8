/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linux capabilities of this thread, before others are started.
 */
#ifndef OS_CAPS_H
#define OS_CAPS_H

#include "base/base.h"

/*
 * Becomes user (NULL: stays who it is) and keeps CAP_NET_ADMIN alone, for this
 * process and what it starts; no program gains more by being setuid. 0 or
 * errno; EPERM also when CAP_NET_ADMIN is not there to keep.
 */
MUST_CHECK int caps_keep_net_admin(const char *user);

#endif
