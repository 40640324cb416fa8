/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether a program of the site's can be run, and in words why not. Asks the
 * file system: not for the loop, but where a start has failed.
 */
#ifndef OS_PROGRAM_H
#define OS_PROGRAM_H

#include "base/base.h"

#define PROGRAM_WHY_MAX 320

/* By this process, with its effective ids. False: why, which does not name the
 * program itself. */
MUST_CHECK bool program_can_run(const char *path, char *why, size_t cap);

#endif
