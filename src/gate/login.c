/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A login is taken for an address where it is one, so that quotes, the final
 * dot and UTF-8 in its domain make no difference; everything else is folded to
 * lower case, blanks in a row to one (LDAP compares so).
 */
#include "gate/login.h"

#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static size_t
fold(struct str user, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < user.n; i++) {
		char c = is_blank(user.p[i]) ? ' ' : user.p[i];

		if (c == ' ' && i + 1 < user.n && is_blank(user.p[i + 1]))
			continue;
		out[n++] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	}
	return n;
}

/* "bob@example.org", and "EXAMPLE\bob" as Windows writes it. */
static struct str
local_part(struct str name)
{
	struct str local = str_sub(name, 0, str_rindex(name, '@'));
	size_t slash = str_index(local, '\\');

	if (slash + 1 < local.n && local.p[0] != '"')
		local = str_sub(local, slash + 1, local.n);
	local = str_trim(local);
	return local.n > 0 ? local : name;
}

static struct str
folded(const struct login_rules *rules, struct str user, char *out)
{
	size_t n = rules->key(user, false, out);

	return (struct str){out, n > 0 ? n : fold(user, out)};
}

struct str
login_name(
    const struct login_rules *rules, struct str user, char out[LOGIN_NAME_MAX])
{
	struct str name;

	user = str_trim(user);
	if (user.n == 0 || user.n >= LOGIN_NAME_MAX)
		return user;
	name = folded(rules, user, out);
	if (rules->form == LOGIN_LOCALPART)
		return local_part(name);
	if (rules->locals == NULL || !locals_is_foreign(rules->locals, name))
		return rules->form == LOGIN_EXACT ? user : name;
	return local_part(rules->form == LOGIN_EXACT ? user : name);
}
