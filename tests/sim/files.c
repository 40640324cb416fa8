/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The files that weir has open, and libc's calls on files and directories below
 * /sim in the place of libc. What they hold is disk.c's.
 */
#include "sim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FDS 4096

struct open_file {
	struct inode *inode;
	uint64_t at;
	bool used, is_locked;
	char *path;
};

static struct open_file files[FDS];

int __real_open64(const char *path, int flags, ...);
int __real_fsync(int fd);
int __real_flock(int fd, int op);
int __real_fstat64(int fd, struct stat *st);
int __real_stat64(const char *path, struct stat *st);
int __real_lstat64(const char *path, struct stat *st);
int __real_statvfs64(const char *path, struct statvfs *fs);
int __real_ftruncate64(int fd, off_t n);
ssize_t __real_pread64(int fd, void *p, size_t n, off_t at);
ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t at);
int __real_unlink(const char *path);
int __real_rename(const char *from, const char *to);
int __real_mkdir(const char *path, mode_t mode);
int __real_access(const char *path, int mode);
int __real_chmod(const char *path, mode_t mode);
int __real_lchown(const char *path, uid_t u, gid_t g);
DIR *__real_opendir(const char *path);
struct dirent *__real_readdir64(DIR *d);
int __real_closedir(DIR *d);
int __real_dirfd(DIR *d);
int __real_unlinkat(int fd, const char *name, int flags);

int __wrap_open64(const char *path, int flags, ...);
int __wrap_fsync(int fd);
int __wrap_flock(int fd, int op);
int __wrap_fstat64(int fd, struct stat *st);
int __wrap_stat64(const char *path, struct stat *st);
int __wrap_lstat64(const char *path, struct stat *st);
int __wrap_statvfs64(const char *path, struct statvfs *fs);
int __wrap_ftruncate64(int fd, off_t n);
ssize_t __wrap_pread64(int fd, void *p, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at);
int __wrap_unlink(const char *path);
int __wrap_rename(const char *from, const char *to);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_access(const char *path, int mode);
int __wrap_chmod(const char *path, mode_t mode);
int __wrap_lchown(const char *path, uid_t u, gid_t g);
DIR *__wrap_opendir(const char *path);
struct dirent *__wrap_readdir64(DIR *d);
int __wrap_closedir(DIR *d);
int __wrap_dirfd(DIR *d);
int __wrap_unlinkat(int fd, const char *name, int flags);

static int
fail_with(int error)
{
	errno = error;
	return -1;
}

static struct open_file *
file_of(int fd)
{
	struct open_file *f;

	if (fd < SIM_FD_DISK || fd >= SIM_FD_DISK + FDS)
		panic("sim: no file %d", fd);
	f = &files[fd - SIM_FD_DISK];
	if (!f->used)
		panic("sim: file %d is closed", fd);
	return f;
}

int
__wrap_open64(const char *path, int flags, ...)
{
	char clean[512];
	struct inode *i;
	bool created;
	int fd = 0;

	if (!disk_path(path, clean)) {
		va_list ap;
		int mode;

		va_start(ap, flags);
		mode = va_arg(ap, int);
		va_end(ap);
		return __real_open64(path, flags, mode);
	}
	i = disk_open(clean, flags & O_CREAT, &created);
	if (i == NULL)
		return fail_with(ENOENT);
	if (!created && flags & O_EXCL)
		return fail_with(EEXIST);
	if (flags & O_TRUNC)
		inode_truncate(i, 0);
	inode_open(i);
	while (files[fd].used)
		fd++;
	files[fd] = (struct open_file){
	    .inode = i, .used = true, .path = xstrdup(clean)};
	return SIM_FD_DISK + fd;
}

static void
close_file(struct open_file *f)
{
	inode_close(f->inode);
	free(f->path);
	*f = (struct open_file){0};
}

int
files_close(int fd)
{
	close_file(file_of(fd));
	return 0;
}

void
files_close_all(void)
{
	for (size_t i = 0; i < FDS; i++) {
		if (files[i].used)
			close_file(&files[i]);
	}
}

ssize_t
files_read(int fd, void *p, size_t n)
{
	struct open_file *f = file_of(fd);
	int got = inode_read(f->inode, p, n, f->at);

	f->at += (uint64_t)got;
	return got;
}

ssize_t
files_write(int fd, const void *p, size_t n)
{
	struct open_file *f = file_of(fd);
	int error;

	if (n > 1 && sim_chance(20))
		n = 1 + sim_below(n - 1);
	error = inode_write(f->inode, p, n, f->at);
	if (error != 0)
		return fail_with(error);
	f->at += n;
	return (ssize_t)n;
}

ssize_t
__wrap_pread64(int fd, void *p, size_t n, off_t at)
{
	if (fd < SIM_FD_DISK)
		return __real_pread64(fd, p, n, at);
	return inode_read(file_of(fd)->inode, p, n, (uint64_t)at);
}

ssize_t
__wrap_pwrite64(int fd, const void *p, size_t n, off_t at)
{
	int error;

	if (fd < SIM_FD_DISK)
		return __real_pwrite64(fd, p, n, at);
	error = inode_write(file_of(fd)->inode, p, n, (uint64_t)at);
	return error != 0 ? fail_with(error) : (ssize_t)n;
}

int
__wrap_ftruncate64(int fd, off_t n)
{
	if (fd < SIM_FD_DISK)
		return __real_ftruncate64(fd, n);
	inode_truncate(file_of(fd)->inode, (uint64_t)n);
	return 0;
}

int
__wrap_fsync(int fd)
{
	struct open_file *f;
	int error;

	if (fd < SIM_FD_DISK)
		return __real_fsync(fd);
	f = file_of(fd);
	error = inode_sync(f->inode);
	if (error != 0)
		return fail_with(error);
	if (inode_is_dir(f->inode))
		disk_sync_dir(f->path);
	return 0;
}

int
__wrap_flock(int fd, int op)
{
	struct open_file *f;

	(void)op;
	if (fd < SIM_FD_DISK)
		return __real_flock(fd, op);
	f = file_of(fd);
	for (size_t i = 0; i < FDS; i++) {
		if (files[i].is_locked && files[i].inode == f->inode)
			return fail_with(EWOULDBLOCK);
	}
	f->is_locked = true;
	return 0;
}

static int
fill_stat(struct inode *i, struct stat *st)
{
	char text[6];

	memset(st, 0, sizeof(*st));
	if (i == NULL)
		return fail_with(ENOENT);
	st->st_ino = inode_number(i);
	st->st_dev = 77;
	st->st_mode = inode_is_dir(i) ? S_IFDIR | 0700 : S_IFREG | 0600;
	if (inode_size(i) == 6 && inode_read(i, text, 6, 0) == 6 &&
	    memcmp(text, "socket", 6) == 0)
		st->st_mode = S_IFSOCK | 0660;
	st->st_size = (off_t)inode_size(i);
	st->st_uid = geteuid();
	st->st_gid = getegid();
	st->st_nlink = 1;
	return 0;
}

int
__wrap_fstat64(int fd, struct stat *st)
{
	if (fd < SIM_FD_DISK)
		return __real_fstat64(fd, st);
	return fill_stat(file_of(fd)->inode, st);
}

int
__wrap_stat64(const char *path, struct stat *st)
{
	char clean[512];

	return disk_path(path, clean) ? fill_stat(disk_inode(clean), st)
				      : __real_stat64(path, st);
}

int
__wrap_lstat64(const char *path, struct stat *st)
{
	char clean[512];

	return disk_path(path, clean) ? fill_stat(disk_inode(clean), st)
				      : __real_lstat64(path, st);
}

int
__wrap_statvfs64(const char *path, struct statvfs *fs)
{
	uint64_t left, limit = disk_limit(), used = disk_used();
	char clean[512];

	if (!disk_path(path, clean))
		return __real_statvfs64(path, fs);
	left = used < limit ? limit - used : 0;
	memset(fs, 0, sizeof(*fs));
	fs->f_frsize = fs->f_bsize = 4096;
	fs->f_blocks = limit / 4096;
	fs->f_bavail = fs->f_bfree = left / 4096;
	fs->f_files = fs->f_ffree = fs->f_favail = 1000000;
	return 0;
}

int
__wrap_unlink(const char *path)
{
	char clean[512];
	int error;

	if (!disk_path(path, clean))
		return __real_unlink(path);
	error = disk_unlink(clean);
	return error != 0 ? fail_with(error) : 0;
}

int
__wrap_rename(const char *from, const char *to)
{
	char clean[512], clean_to[512];
	int error;

	if (!disk_path(from, clean) || !disk_path(to, clean_to))
		return __real_rename(from, to);
	error = disk_rename(clean, clean_to);
	return error != 0 ? fail_with(error) : 0;
}

int
__wrap_mkdir(const char *path, mode_t mode)
{
	char clean[512];
	int error;

	if (!disk_path(path, clean))
		return __real_mkdir(path, mode);
	error = disk_make_dir(clean);
	return error != 0 ? fail_with(error) : 0;
}

int
__wrap_access(const char *path, int mode)
{
	char clean[512];

	if (!disk_path(path, clean))
		return __real_access(path, mode);
	return disk_exists(clean) ? 0 : fail_with(ENOENT);
}

int
__wrap_chmod(const char *path, mode_t mode)
{
	char clean[512];

	return disk_path(path, clean) ? 0 : __real_chmod(path, mode);
}

int
__wrap_lchown(const char *path, uid_t u, gid_t g)
{
	char clean[512];

	return disk_path(path, clean) ? 0 : __real_lchown(path, u, g);
}

struct sim_dir {
	char path[512];
	char **names;
	size_t n, at;
	struct dirent entry;
};
static struct sim_dir *dirs[8];

static struct sim_dir *
dir_of(DIR *d)
{
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (dirs[i] != NULL && (void *)dirs[i] == (void *)d)
			return dirs[i];
	}
	return NULL;
}

DIR *
__wrap_opendir(const char *path)
{
	struct sim_dir *d;
	char clean[512];
	size_t slot = 0;

	if (!disk_path(path, clean))
		return __real_opendir(path);
	if (!disk_exists(clean)) {
		errno = ENOENT;
		return NULL;
	}
	d = xcalloc(1, sizeof(*d));
	snprintf(d->path, sizeof(d->path), "%s", clean);
	d->names = disk_list(clean, &d->n);
	while (dirs[slot % ARRAY_LEN(dirs)] != NULL && slot < ARRAY_LEN(dirs))
		slot++;
	dirs[slot % ARRAY_LEN(dirs)] = d;
	return (DIR *)(void *)d;
}

struct dirent *
__wrap_readdir64(DIR *dir)
{
	struct sim_dir *d = dir_of(dir);

	if (d == NULL)
		return __real_readdir64(dir);
	if (d->at == d->n)
		return NULL;
	snprintf(
	    d->entry.d_name, sizeof(d->entry.d_name), "%s", d->names[d->at++]);
	d->entry.d_type = DT_UNKNOWN;
	return &d->entry;
}

int
__wrap_closedir(DIR *dir)
{
	struct sim_dir *d = dir_of(dir);

	if (d == NULL)
		return __real_closedir(dir);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (dirs[i] == d)
			dirs[i] = NULL;
	}
	for (size_t i = 0; i < d->n; i++)
		free(d->names[i]);
	free(d->names);
	free(d);
	return 0;
}

#define DIR_FD 300000

int
__wrap_dirfd(DIR *dir)
{
	for (int i = 0; i < (int)ARRAY_LEN(dirs); i++) {
		if (dirs[i] != NULL && (void *)dirs[i] == (void *)dir)
			return DIR_FD + i;
	}
	return __real_dirfd(dir);
}

int
__wrap_unlinkat(int fd, const char *name, int flags)
{
	char path[1024];

	if (fd < DIR_FD)
		return __real_unlinkat(fd, name, flags);
	snprintf(path, sizeof(path), "%s/%s", dirs[fd - DIR_FD]->path, name);
	return __wrap_unlink(path);
}
