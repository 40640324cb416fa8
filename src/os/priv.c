/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Users and groups from the system's database, and giving up root. The
 * database may be a network service: at start and for control connections
 * alone.
 */
#include "config.h"

#include "os/priv.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ENTRY_MAX (1 << 20) /* a group may have very many members */
#define GROUPS_MAX 65536

/* key: NULL looks up the uid. The entry's strings live in *mem, which the
 * caller frees, whatever comes back. */
static bool
find_passwd(const char *name, uid_t uid, struct passwd *pw, char **mem)
{
	struct passwd *found = NULL;
	int err = ERANGE;

	*mem = NULL;
	for (size_t n = 1024; err == ERANGE && n <= ENTRY_MAX; n *= 4) {
		*mem = xrealloc(*mem, n);
		err = name != NULL ? getpwnam_r(name, pw, *mem, n, &found)
				   : getpwuid_r(uid, pw, *mem, n, &found);
	}
	return err == 0 && found != NULL;
}

bool
priv_find_user(const char *name, uid_t *uid, gid_t *gid)
{
	struct passwd pw;
	char *mem;
	bool found = find_passwd(name, 0, &pw, &mem);

	if (found) {
		*uid = pw.pw_uid;
		*gid = pw.pw_gid;
	}
	free(mem);
	return found;
}

bool
priv_find_group(const char *name, gid_t *gid)
{
	struct group gr, *found = NULL;
	char *mem = NULL;
	int err = ERANGE;

	for (size_t n = 1024; err == ERANGE && n <= ENTRY_MAX; n *= 4) {
		mem = xrealloc(mem, n);
		err = getgrnam_r(name, &gr, mem, n, &found);
	}
	if (err == 0 && found != NULL)
		*gid = gr.gr_gid;
	free(mem);
	return err == 0 && found != NULL;
}

const char *
priv_user_name(uid_t uid, char *out, size_t cap)
{
	struct passwd pw;
	char *mem;

	if (find_passwd(NULL, uid, &pw, &mem))
		snprintf(out, cap, "%s", pw.pw_name);
	else
		snprintf(out, cap, "%lu", (unsigned long)uid);
	free(mem);
	return out;
}

static bool
is_dropped(uid_t uid, gid_t gid)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (getresuid(&r, &e, &s) != 0 || getresgid(&rg, &eg, &sg) != 0)
		return false;
	return r == uid && e == uid && s == uid && rg == gid && eg == gid &&
	       sg == gid;
}

int
priv_drop(const char *user)
{
	uid_t uid;
	gid_t gid;

	if (!priv_find_user(user, &uid, &gid))
		return ENOENT;
	if (geteuid() != 0)
		return geteuid() == uid && getuid() == uid ? 0 : EPERM;
	/* Groups first: without root they could not be changed. */
	if (initgroups(user, gid) != 0 || setresgid(gid, gid, gid) != 0 ||
	    setresuid(uid, uid, uid) != 0)
		return errno;
	if (!is_dropped(uid, gid) || (uid != 0 && setuid(0) == 0))
		return EPERM;
	return 0;
}

bool
priv_user_in_group(uid_t uid, gid_t primary, gid_t group)
{
	struct passwd pw;
	gid_t *groups = NULL;
	char *mem = NULL;
	bool is_in = primary == group;
	int n = 64, cap;

	if (is_in || !find_passwd(NULL, uid, &pw, &mem)) {
		if (!is_in)
			free(mem);
		return is_in;
	}
	do {
		cap = n;
		groups = xrealloc(groups, (size_t)cap * sizeof(*groups));
	} while (getgrouplist(pw.pw_name, primary, groups, &n) < 0 && n > cap &&
		 n <= GROUPS_MAX);
	for (int i = 0; i < n && i < cap && !is_in; i++)
		is_in = groups[i] == group;
	free(groups);
	free(mem);
	return is_in;
}
