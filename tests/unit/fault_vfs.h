/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Faults on demand, SQLite's own way of testing: the n-th operation on a file
 * fails, for n = 1, 2, 3 ... until a whole scenario passes without meeting it.
 * fault_vfs.c is for SQLite's files, fault_libc.c for those of the spool.
 */
#ifndef TESTS_FAULT_VFS_H
#define TESTS_FAULT_VFS_H

#include <stdbool.h>

/* SQLite's default VFS from now on, with no fault set. */
void fault_vfs_install(void);
/* The n-th operation from now (1 is the next) fails with code, a result of
 * SQLite: SQLITE_FULL hits writes alone, others everything that changes a file.
 * forever: so do all after it. only_database: not the log. */
void fault_vfs_set(long n, int code, bool forever, bool only_database);
/* No faults any more; true: there was one. */
bool fault_vfs_end(void);

/* The same for write, fsync and rename as the spool calls them, with an errno
 * value. */
void fault_libc_set(long n, int error);
bool fault_libc_end(void);

#endif
