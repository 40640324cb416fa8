/* SPDX-License-Identifier: BSD-3-Clause */
/* See scratch.h. */
#include "replay/scratch.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIPTORS 8

char *
scratch_make(struct err *err)
{
	const char *above = getenv("TMPDIR");
	char *dir;

	if (above == NULL || above[0] == '\0')
		above = "/tmp";
	dir = xasprintf("%s/weir-replay-XXXXXX", above);
	if (mkdtemp(dir) != NULL)
		return dir;
	err_set(err,
	    "%s: no temporary directory can be made there: %s; name another "
	    "in TMPDIR",
	    above, strerror(errno));
	free(dir);
	return NULL;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	(void)!remove(path);
	return 0;
}

void
scratch_remove(const char *dir)
{
	(void)!nftw(dir, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}
