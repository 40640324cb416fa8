/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket itself tells whom it lets in: its owner is the daemon's user, its
 * group the control_group of weir.conf, or without one the daemon's own, which
 * opens nothing to anybody.
 */
#include "ctl/reach.h"

#include "os/priv.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_BYTES 64

/* By the files of users and groups, as a new session would be. */
static bool
is_member(gid_t group)
{
	const struct passwd *pw = getpwuid(geteuid());

	return priv_user_in_group(
	    geteuid(), pw != NULL ? pw->pw_gid : getegid(), group);
}

static void
print_rights(const char *socket, const struct stat *st, char *out, size_t cap)
{
	const struct group *group = getgrgid(st->st_gid);
	char user[NAME_MAX_BYTES], owner[NAME_MAX_BYTES],
	    name[NAME_MAX_BYTES] = "";
	const struct passwd *daemon;
	int n;

	if (group != NULL)
		snprintf(name, sizeof(name), "%s", group->gr_name);
	priv_user_name(geteuid(), user, sizeof(user));
	priv_user_name(st->st_uid, owner, sizeof(owner));
	daemon = getpwuid(st->st_uid);
	n = snprintf(out, cap, "%s may not use %s: ", user, socket);
	if (n < 0 || (size_t)n >= cap)
		return;
	out += n;
	cap -= (size_t)n;
	if (name[0] == '\0' || (st->st_mode & 0060) != 0060 ||
	    (daemon != NULL && daemon->pw_gid == st->st_gid))
		snprintf(out, cap,
		    "only root and %s may use it. Use sudo; or set "
		    "control_group = \"weir-admin\" in weir.conf, restart "
		    "weir-maild, and run as root: adduser %s weir-admin",
		    owner, user);
	else if (is_member(st->st_gid))
		snprintf(out, cap,
		    "it is open to the group %s. %s is a member, but joined "
		    "after this session started. Log in again",
		    name, user);
	else
		snprintf(out, cap,
		    "only root, %s and members of the group %s may use it. Run "
		    "as root: adduser %s %s, then log in again",
		    owner, name, user, name);
}

void
reach_words(const char *socket, int error, char *out, size_t cap)
{
	char user[NAME_MAX_BYTES];
	struct stat st;

	if (error != EACCES && error != EPERM) {
		snprintf(
		    out, cap, "no daemon at %s: %s", socket, strerror(error));
		return;
	}
	if (stat(socket, &st) == 0) {
		print_rights(socket, &st, out, cap);
		return;
	}
	snprintf(out, cap, "%s may not use %s: no access to its directory: %s",
	    priv_user_name(geteuid(), user, sizeof(user)), socket,
	    strerror(errno));
}
