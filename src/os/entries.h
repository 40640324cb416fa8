/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lists in the configuration: an entry is one, or "file:/path" for those of a
 * file, one a line, with # for comments. Reads files, hence blocks: at start
 * and at a reload.
 */
#ifndef OS_ENTRIES_H
#define OS_ENTRIES_H

#include "base/str.h"

#define ENTRIES_FILE_MAX ((size_t)64 << 20)
#define ENTRY_MAX 400 /* bytes */

/* Takes one entry, not empty, without NUL, of ENTRY_MAX at most. False: what is
 * wrong with it in err. */
typedef bool entry_fn(void *arg, struct str entry, char *err, size_t err_cap);

/* Gives fn the entry, or each of its file. False: fn's reason, with file and
 * line when it stands in a file. */
MUST_CHECK bool entries_read(
    struct str entry, entry_fn *fn, void *arg, char *err, size_t err_cap);

#endif
