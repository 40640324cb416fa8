/* SPDX-License-Identifier: BSD-3-Clause */
#include "os/secret_file.h"

#include "os/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* systemd gives the service its right to a credential by an ACL, which stat
 * shows as one of the group's. The directory is the service's alone. */
static bool
is_systemd_credential(const char *path, const struct stat *st)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char *real_dir, *real_path;
	bool below = false;
	size_t n;

	if (dir == NULL || st->st_uid != 0 || (st->st_mode & 037) != 0)
		return false;
	real_dir = realpath(dir, NULL);
	real_path = realpath(path, NULL);
	if (real_dir != NULL && real_path != NULL) {
		n = strlen(real_dir);
		below =
		    strncmp(real_path, real_dir, n) == 0 && real_path[n] == '/';
	}
	free(real_dir);
	free(real_path);
	return below;
}

static bool
is_private(const char *path, char *err, size_t cap)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		snprintf(
		    err, cap, "%s: cannot be read: %s", path, strerror(errno));
		return false;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(err, cap, "%s: is not a file", path);
		return false;
	}
	if ((st.st_mode & 077) == 0 || is_systemd_credential(path, &st))
		return true;
	snprintf(err, cap,
	    "%s: contains passwords and can be read by others (mode %04o); "
	    "run chmod 600 on it",
	    path, (unsigned)(st.st_mode & 07777));
	return false;
}

bool
secret_file_read(const char *path, struct buf *out, char *err, size_t cap)
{
	int error;

	buf_reset(out);
	if (!is_private(path, err, cap))
		return false;
	/* In one piece from the start: growing would leave copies. */
	(void)buf_reserve(out, out->max);
	error = file_read(path, out->max - 1, out);
	if (error == 0)
		return true;
	snprintf(err, cap, "%s: cannot be read: %s", path, strerror(error));
	secret_file_wipe(out);
	return false;
}

void
secret_file_wipe(struct buf *b)
{
	if (b->mem != NULL)
		explicit_bzero(b->mem, b->cap);
	buf_clear(b);
}
