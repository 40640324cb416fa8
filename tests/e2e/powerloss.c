/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a loss of power leaves, for LD_PRELOAD: whenever a file or a directory
 * below POWERLOSS_DIR is synced, a copy of it as it is then goes to
 * POWERLOSS_COPY. A file's copy is called by its inode and birth, that of a
 * directory by its path, and lists names and which file each is. After a kill
 * powerloss.py puts the spool together from the copies alone: what was written
 * and not synced is gone. A copy is made beside its place and renamed, so that
 * a kill in the middle leaves the one before.
 */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH 4096

static const char *directory, *copies;

__attribute__((constructor)) static void
start(void)
{
	directory = getenv("POWERLOSS_DIR");
	copies = getenv("POWERLOSS_COPY");
}

/* False: it is gone, or no file. */
static int
name_of(int at, const char *path, char out[64])
{
	struct statx st;

	if (statx(at, path, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW,
		STATX_INO | STATX_BTIME | STATX_TYPE, &st) != 0)
		return 0;
	snprintf(out, 64, "%s%llu-%lld.%09u", S_ISDIR(st.stx_mode) ? "d" : "f",
	    (unsigned long long)st.stx_ino, (long long)st.stx_btime.tv_sec,
	    st.stx_btime.tv_nsec);
	return S_ISDIR(st.stx_mode) || S_ISREG(st.stx_mode);
}

static void
die(const char *what)
{
	fprintf(stderr, "powerloss: %s: %s\n", what, strerror(errno));
	abort();
}

static void
put(const char *name, int from, const char *text, size_t n)
{
	char fresh[PATH], place[PATH], piece[65536];
	off_t at = 0;
	ssize_t got;
	int fd;

	snprintf(place, sizeof(place), "%s/%s", copies, name);
	snprintf(fresh, sizeof(fresh), "%s/%s.%d", copies, name, gettid());
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		die(fresh);
	if (text != NULL && write(fd, text, n) != (ssize_t)n)
		die(fresh);
	while (
	    text == NULL && (got = pread(from, piece, sizeof(piece), at)) > 0) {
		if (write(fd, piece, (size_t)got) != got)
			die(fresh);
		at += got;
	}
	close(fd);
	if (rename(fresh, place) != 0)
		die(place);
}

static void
copy_directory(int fd, const char *name)
{
	DIR *d = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *e;
	char *text = NULL, file[64];
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (d == NULL || f == NULL)
		die(name);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0 &&
		    name_of(dirfd(d), e->d_name, file))
			fprintf(f, "%s %s\n", file, e->d_name);
	}
	closedir(d);
	fclose(f);
	put(name, -1, text, n);
	free(text);
}

static void
copy(int fd)
{
	char link[64], path[PATH], name[64];
	int error = errno, from;
	ssize_t n;

	if (directory == NULL)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return;
	path[n] = '\0';
	if (strncmp(path, directory, strlen(directory)) != 0 ||
	    strstr(path, " (deleted)") != NULL)
		return;
	if (!name_of(fd, "", name))
		return;
	if (name[0] == 'd') {
		copy_directory(fd, name);
	} else { /* fd may be open for writing alone */
		from = open(link, O_RDONLY | O_CLOEXEC);
		if (from < 0)
			die(path);
		put(name, from, NULL, 0);
		close(from);
	}
	errno = error;
}

static int
sync_by(const char *call, int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
	int rc = real(fd);

	if (rc == 0)
		copy(fd);
	return rc;
}

int
fsync(int fd)
{
	return sync_by("fsync", fd);
}

int
fdatasync(int fd)
{
	return sync_by("fdatasync", fd);
}
