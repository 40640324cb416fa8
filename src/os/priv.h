/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Users, groups and giving up root. Errors are errno values or a text for the
 * administrator.
 */
#ifndef OS_PRIV_H
#define OS_PRIV_H

#include "base/base.h"

#include <sys/types.h>

MUST_CHECK bool priv_find_user(const char *name, uid_t *uid, gid_t *gid);
MUST_CHECK bool priv_find_group(const char *name, gid_t *gid);
/* Name for a uid, or its number. Returns out. */
const char *priv_user_name(uid_t uid, char *out, size_t cap);
/* Drops to the user for good, supplementary groups included, and checks that
 * there is no way back. 0 or errno. */
MUST_CHECK int priv_drop(const char *user);
bool priv_user_in_group(uid_t uid, gid_t primary, gid_t group);

#endif
