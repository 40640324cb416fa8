/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files that must survive a crash. Every function retries EINTR and short
 * writes, and returns 0 or an errno value. They block: never on the loop but
 * at start.
 */
#ifndef OS_FILE_H
#define OS_FILE_H

#include "base/buf.h"

MUST_CHECK int file_write_all(int fd, const void *p, size_t n);
MUST_CHECK int file_sync(int fd);
MUST_CHECK int file_sync_dir(const char *dir);
/* rename, then fsync of the directory that holds `to`. */
MUST_CHECK int file_rename_sync(const char *from, const char *to);
/* The text is written to `temporary`, synced, and that renamed to `path`: after
 * a crash there is the old file or the new one. Mode 0600. */
MUST_CHECK int file_replace(
    const char *temporary, const char *path, const void *p, size_t n);
/* Whole file, ENOSPC... EFBIG past max. */
MUST_CHECK int file_read(const char *path, size_t max, struct buf *out);
MUST_CHECK int file_free_space(const char *path, uint64_t *bytes);
/* mkdir where it is missing. */
MUST_CHECK int file_make_dir(const char *path, unsigned mode);

#endif
