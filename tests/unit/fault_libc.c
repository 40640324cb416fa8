/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linked with --wrap: the calls of os/file.c and the spool come here, SQLite's
 * (a shared library) do not. Only files and directories count: pipes and event
 * descriptors are not a disk.
 */
#include "fault_vfs.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long left;
static atomic_int error;
static atomic_bool hit;

ssize_t __real_write(int fd, const void *p, size_t n);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);

static bool
is_hit(void)
{
	if (atomic_load(&error) == 0 || atomic_fetch_sub(&left, 1) != 1)
		return false;
	atomic_store(&hit, true);
	errno = atomic_load(&error);
	return true;
}

ssize_t
__wrap_write(int fd, const void *p, size_t n)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && is_hit())
		return -1;
	return __real_write(fd, p, n);
}

/* Without the real one, as in fault_vfs.c. */
int
__wrap_fsync(int fd)
{
	(void)fd;
	return is_hit() ? -1 : 0;
}

int
__wrap_rename(const char *from, const char *to)
{
	return is_hit() ? -1 : __real_rename(from, to);
}

void
fault_libc_set(long n, int err)
{
	atomic_store(&left, n);
	atomic_store(&hit, false);
	atomic_store(&error, err);
}

bool
fault_libc_end(void)
{
	atomic_store(&error, 0);
	return atomic_load(&hit);
}
