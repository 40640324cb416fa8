/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks of one value, that every daemon's configuration needs.
 */
#include "os/option_check.h"

#include "base/ip.h"
#include "os/priv.h"
#include "os/program.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

bool
option_refuse(char *err, size_t cap, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, cap, fmt, ap);
	va_end(ap);
	return false;
}

bool
option_check_path(const char *text, char *err, size_t cap)
{
	if (text[0] == '/')
		return true;
	return option_refuse(err, cap, "is not a full path; begin it with /");
}

bool
option_check_socket_path(const char *text, char *err, size_t cap)
{
	size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (!option_check_path(text, err, cap))
		return false;
	if (strlen(text) <= max)
		return true;
	return option_refuse(
	    err, cap, "is too long for a socket; write at most %zu bytes", max);
}

bool
option_check_program(const char *text, char *err, size_t cap)
{
	char why[PROGRAM_WHY_MAX];

	if (!option_check_path(text, err, cap))
		return false;
	if (program_can_run(text, why, sizeof(why)))
		return true;
	return option_refuse(err, cap, "cannot be run: %s", why);
}

bool
option_check_user(const char *text, char *err, size_t cap)
{
	uid_t uid;
	gid_t gid;

	if (!priv_find_user(text, &uid, &gid))
		return option_refuse(err, cap,
		    "is not a user of this machine; make "
		    "one with useradd --system");
	if (uid == 0)
		return option_refuse(
		    err, cap, "is root; name an unprivileged user");
	return true;
}

bool
option_check_group(const char *text, char *err, size_t cap)
{
	gid_t gid;

	if (priv_find_group(text, &gid))
		return true;
	return option_refuse(err, cap,
	    "is not a group of this machine; make one "
	    "with groupadd --system");
}

bool
option_check_network(const char *text, char *err, size_t cap)
{
	struct ip_net net;

	if (ip_net_parse(str_from(text), &net))
		return true;
	return option_refuse(err, cap,
	    "is not a network; write it as \"192.0.2.0/24\" with no bits set "
	    "past its length");
}
