/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many descriptors the process may have open (RLIMIT_NOFILE). Any thread.
 */
#ifndef OS_RLIMIT_H
#define OS_RLIMIT_H

#include "base/base.h"

/* Raises the limit to want where it is lower, as far as the process may: the
 * soft one always, the hard one with the right to. Returns the soft limit as
 * it is then, which is less than want where it was not allowed. */
uint64_t rlimit_raise_files(uint64_t want);

#endif
