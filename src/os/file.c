/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files that must survive a crash. A rename is durable only once the directory
 * has been synced; a write, once the file has.
 */
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define READ_STEP 65536

int
file_write_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t done = write(fd, at, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno;
		if (done == 0)
			return EIO;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int
file_sync(int fd)
{
	while (fsync(fd) != 0) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

static int
open_retry(const char *path, int flags)
{
	int fd;

	do
		fd = open(path, flags | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd;
}

int
file_sync_dir(const char *dir)
{
	int fd = open_retry(dir, O_RDONLY | O_DIRECTORY);
	int err;

	if (fd < 0)
		return errno;
	err = file_sync(fd);
	close(fd);
	return err;
}

int
file_rename_sync(const char *from, const char *to)
{
	struct str path = str_from(to);
	size_t slash = str_rindex(path, '/');
	char *dir;
	int err;

	if (rename(from, to) != 0)
		return errno;
	if (slash == path.n)
		return file_sync_dir(".");
	dir = str_dup(str_sub(path, 0, slash > 0 ? slash : 1));
	err = file_sync_dir(dir);
	free(dir);
	return err;
}

int
file_replace(const char *temporary, const char *path, const void *p, size_t n)
{
	int fd =
	    open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int error;

	if (fd < 0)
		return errno;
	error = file_write_all(fd, p, n);
	if (error == 0)
		error = file_sync(fd);
	if (close(fd) != 0 && error == 0)
		error = errno;
	return error != 0 ? error : file_rename_sync(temporary, path);
}

/* Reads to the end. One byte past max is asked for, so that a file of exactly
 * max bytes is told from a longer one. */
static int
read_all(int fd, size_t max, struct buf *out)
{
	size_t had = out->len;

	for (;;) {
		size_t left = max - (out->len - had);
		size_t step = left < READ_STEP ? left : READ_STEP;
		char extra;
		char *room = step > 0 ? buf_reserve(out, step) : &extra;
		ssize_t n;

		if (room == NULL) {
			step = buf_room(out);
			room = step > 0 ? buf_reserve(out, step) : &extra;
		}
		n = read(fd, room, step > 0 ? step : 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			return 0;
		if (step == 0)
			return EFBIG;
		buf_commit(out, (size_t)n);
	}
}

int
file_read(const char *path, size_t max, struct buf *out)
{
	int fd = open_retry(path, O_RDONLY);
	int err;

	if (fd < 0)
		return errno;
	err = read_all(fd, max, out);
	close(fd);
	return err;
}

int
file_free_space(const char *path, uint64_t *bytes)
{
	struct statvfs fs;

	while (statvfs(path, &fs) != 0) {
		if (errno != EINTR)
			return errno;
	}
	*bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}

int
file_make_dir(const char *path, unsigned mode)
{
	struct stat st;

	if (mkdir(path, (mode_t)mode) == 0)
		return 0;
	if (errno != EEXIST)
		return errno;
	if (stat(path, &st) != 0)
		return errno;
	return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
}
