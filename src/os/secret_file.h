/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files that hold passwords and keys: nobody but their owner may have a right
 * to them, unless systemd put them below $CREDENTIALS_DIRECTORY. Blocks.
 */
#ifndef OS_SECRET_FILE_H
#define OS_SECRET_FILE_H

#include "base/buf.h"

/* Its content in out, which is emptied first and may hold at most its maximum.
 * The caller wipes it (secret_file_wipe). False and a reason in err, which
 * names the file: it is not there, not a file, or others may read it. */
MUST_CHECK bool secret_file_read(
    const char *path, struct buf *out, char *err, size_t cap);
void secret_file_wipe(struct buf *b); /* overwrites and frees */

#endif
