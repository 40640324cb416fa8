/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file is taken away by who held it, so one that was opened may be nobody's
 * any more by the time its lock is had: then the name is looked up again.
 */
#include "netd/rules_lock.h"

#include "os/file.h"
#include "os/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_DIR WEIR_RUNSTATEDIR "/weir"
#define TRIES 100
#define WAIT_US 50000

/* As mkdir -p; what cannot be made is found out by opening it. */
static void
make_run_dir(void)
{
	char path[] = RUN_DIR;

	for (char *p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		if (mkdir(path, 0755) != 0)
			errno = 0;
		*p = '/';
	}
	if (mkdir(path, 0755) != 0)
		errno = 0;
}

static bool
is_ours(uid_t owner, const char *user)
{
	uid_t uid;
	gid_t gid;

	return owner == 0 || owner == geteuid() ||
	       (user != NULL && priv_find_user(user, &uid, &gid) &&
		   owner == uid);
}

/* A directory in which nobody else makes files; -1: it is none, or cannot be
 * written. */
static int
open_dir(const char *path, const char *user)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && is_ours(st.st_uid, user) &&
	    (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
	    faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* A lock of root's in another user's directory is that user's, who has to open
 * it when root has gone. */
static bool
check_file(int dir, int file)
{
	struct stat d, f;

	if (fstat(dir, &d) != 0 || fstat(file, &f) != 0 ||
	    !S_ISREG(f.st_mode) || f.st_nlink > 1)
		return false;
	if (f.st_uid == geteuid() && f.st_uid != d.st_uid && geteuid() == 0 &&
	    fchown(file, d.st_uid, d.st_gid) != 0)
		return false;
	return f.st_uid == geteuid() || f.st_uid == 0 || f.st_uid == d.st_uid;
}

static bool
is_named(const struct rules_lock *l)
{
	struct stat named, open;

	return fstat(l->file, &open) == 0 &&
	       fstatat(l->dir, l->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

/* 0, an errno value, or EBUSY while another has it. */
static int
try_lock(struct rules_lock *l)
{
	int error = EBUSY;

	l->file = openat(l->dir, l->name,
	    O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (l->file < 0)
		return errno;
	if (!check_file(l->dir, l->file))
		error = EPERM;
	else if (flock(l->file, LOCK_EX | LOCK_NB) == 0)
		error = is_named(l) ? 0 : EBUSY;
	if (error == 0)
		return 0;
	close(l->file);
	return error;
}

bool
rules_lock_take(struct rules_lock *l, const char *state, const char *user,
    char *err, size_t cap)
{
	struct stat ns;
	const char *dir = RUN_DIR;
	int error = EBUSY;

	*l = (struct rules_lock){.dir = -1, .file = -1};
	if (stat("/proc/self/ns/net", &ns) != 0)
		ns.st_ino = 0;
	snprintf(l->name, sizeof(l->name), "netd-%llu.lock",
	    (unsigned long long)ns.st_ino);
	make_run_dir();
	l->dir = open_dir(dir, user);
	if (l->dir < 0 && state != NULL && file_make_dir(state, 0700) == 0) {
		dir = state;
		l->dir = open_dir(dir, user);
	}
	if (l->dir < 0) {
		snprintf(err, cap,
		    "%s: is not usable for the lock of the rules: the "
		    "directory must belong to root or the daemon's user, and "
		    "only its owner may write to it",
		    dir);
		return false;
	}
	for (int i = 0; i < TRIES && error == EBUSY; i++) {
		error = try_lock(l);
		if (error == EBUSY)
			usleep(WAIT_US);
	}
	if (error == 0)
		return true;
	close(l->dir);
	if (error == EBUSY)
		snprintf(err, cap,
		    "another weir-netd has its rules in this network "
		    "namespace; stop it first");
	else
		snprintf(err, cap, "%s/%s: cannot be locked: %s", dir, l->name,
		    error == EPERM ? "it is not a file of weir-netd; remove it"
				   : strerror(error));
	return false;
}

void
rules_lock_release(struct rules_lock *l)
{
	if (unlinkat(l->dir, l->name, 0) != 0)
		errno = 0;
	close(l->file);
	close(l->dir);
}
