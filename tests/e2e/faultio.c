/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk that fails or stands still on command, for LD_PRELOAD: the n-th call
 * below the directory FAULTIO_DIR that writes, syncs, renames or creates gives
 * an error, or waits until the orders change. Calls are counted and orders
 * taken in a file that is mapped by the test too (FAULTIO_CTL, see struct
 * control and faultio.py). Other paths are left alone. No locks: the counter is
 * atomic.
 */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

struct control {
	_Atomic long long seen;    /* calls counted */
	_Atomic long long fail_at; /* this one fails; 0: none */
	_Atomic long long until;   /* and all up to this one */
	_Atomic long long error;   /* errno, or one of the orders below */
	_Atomic long long failed;  /* calls that failed, or waited */
	char what[64];             /* the call that failed first */
};

enum { STALL = 0, STALL_AFTER_SYNC = -1 }; /* instead of errno */

static struct control *control;
static const char *directory;
static size_t directory_len;

__attribute__((constructor)) static void
faultio_init(void)
{
	const char *path = getenv("FAULTIO_CTL");
	int fd;
	void *map;

	directory = getenv("FAULTIO_DIR");
	if (path == NULL || directory == NULL)
		return;
	directory_len = strlen(directory);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		control = map;
}

static int
is_ours(const char *path)
{
	return control != NULL &&
	       strncmp(path, directory, directory_len) == 0 &&
	       (path[directory_len] == '/' || path[directory_len] == '\0');
}

static int
is_our_fd(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t n;
	int saved = errno;

	if (control == NULL)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	errno = saved;
	if (n < 0)
		return 0;
	path[n] = '\0';
	return is_ours(path);
}

static void
note(const char *what)
{
	if (atomic_fetch_add(&control->failed, 1) == 0)
		snprintf(control->what, sizeof(control->what), "%s", what);
}

/* Until the orders change. */
static void
stall(long long order)
{
	while (order != 0 && atomic_load(&control->fail_at) == order)
		usleep(1000);
}

/* Counts a call; true: it is to fail, errno is set. */
static int
fails(const char *what)
{
	long long seen = atomic_fetch_add(&control->seen, 1) + 1;
	long long from = atomic_load(&control->fail_at);

	if (from == 0 || seen < from || seen > atomic_load(&control->until) ||
	    atomic_load(&control->error) == STALL_AFTER_SYNC)
		return 0;
	note(what);
	if (atomic_load(&control->error) == STALL) {
		stall(from);
		return 0;
	}
	errno = (int)atomic_load(&control->error);
	return 1;
}

/* Of a sync that was done. */
static int
synced(int rc, const char *what)
{
	int saved = errno;

	if (rc == 0 && atomic_load(&control->fail_at) != 0 &&
	    atomic_load(&control->error) == STALL_AFTER_SYNC) {
		note(what);
		stall(atomic_load(&control->fail_at));
	}
	errno = saved;
	return rc;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t
write(int fd, const void *p, size_t n)
{
	if (is_our_fd(fd) && fails("write"))
		return -1;
	return REAL(write)(fd, p, n);
}

ssize_t
writev(int fd, const struct iovec *iov, int count)
{
	if (is_our_fd(fd) && fails("writev"))
		return -1;
	return REAL(writev)(fd, iov, count);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (is_our_fd(fd) && fails("pwrite"))
		return -1;
	return REAL(pwrite)(fd, p, n, at);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	if (is_our_fd(fd) && fails("pwrite"))
		return -1;
	return REAL(pwrite64)(fd, p, n, at);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	if (is_our_fd(fd) && fails("pwritev"))
		return -1;
	return REAL(pwritev)(fd, iov, count, at);
}

int
fsync(int fd)
{
	if (!is_our_fd(fd))
		return REAL(fsync)(fd);
	return fails("fsync") ? -1 : synced(REAL(fsync)(fd), "fsync");
}

int
fdatasync(int fd)
{
	if (!is_our_fd(fd))
		return REAL(fdatasync)(fd);
	return fails("fdatasync") ? -1
				  : synced(REAL(fdatasync)(fd), "fdatasync");
}

int
rename(const char *from, const char *to)
{
	if (is_ours(from) && fails("rename"))
		return -1;
	return REAL(rename)(from, to);
}

int
ftruncate(int fd, off_t size)
{
	if (is_our_fd(fd) && fails("ftruncate"))
		return -1;
	return REAL(ftruncate)(fd, size);
}

int
ftruncate64(int fd, off64_t size)
{
	if (is_our_fd(fd) && fails("ftruncate"))
		return -1;
	return REAL(ftruncate64)(fd, size);
}

#define OPEN_BODY(name)                                                 \
	mode_t mode = 0;                                                \
	va_list ap;                                                     \
                                                                        \
	if (flags & (O_CREAT | O_TMPFILE)) {                            \
		va_start(ap, flags);                                    \
		mode = (mode_t)va_arg(ap, int);                         \
		va_end(ap);                                             \
	}                                                               \
	if ((flags & O_CREAT) && is_ours(path) && access(path, F_OK) && \
	    fails("create"))                                            \
		return -1;                                              \
	return REAL(name)(path, flags, mode);

int
open(const char *path, int flags, ...)
{
	OPEN_BODY(open)
}

int
open64(const char *path, int flags, ...)
{
	OPEN_BODY(open64)
}
