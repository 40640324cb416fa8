/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dots may stand anywhere in a local part: mobile carriers gave out such
 * addresses.
 */
#include "base/mailbox.h"

#include <string.h>

static bool
is_high(char c)
{
	return (unsigned char)c >= 0x80;
}

/* RFC 5322 atext, the dot and RFC 6531's additions. */
static bool
is_atom_char(char c)
{
	return str_is_alnum(c) || is_high(c) ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL);
}

size_t
mailbox_quoted_length(struct str s)
{
	size_t i = 1;

	if (s.n == 0 || s.p[0] != '"')
		return 0;
	for (; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && (++i == s.n || is_high(s.p[i])))
			return 0;
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7F)
			return 0;
	}
	return i < s.n ? i + 1 : 0;
}

static size_t
atoms_length(struct str s)
{
	size_t n = 0;

	while (n < s.n && is_atom_char(s.p[n]))
		n++;
	return n;
}

size_t
mailbox_local_length(struct str s)
{
	if (s.n > 0 && s.p[0] == '"')
		return mailbox_quoted_length(s);
	return atoms_length(s);
}

/* What a quoted string says, without quotes and quoting. */
static size_t
unquote(struct str quoted, char *out)
{
	size_t n = 0;

	for (size_t i = 1; i < quoted.n - 1; i++) {
		if (quoted.p[i] == '\\')
			i++;
		out[n++] = quoted.p[i];
	}
	return n;
}

/* Takes off what quotes nothing within a quoted string. */
static size_t
requote(struct str quoted, char *out)
{
	size_t n = 0;

	out[n++] = '"';
	for (size_t i = 1; i < quoted.n - 1; i++) {
		if (quoted.p[i] == '\\')
			i++;
		if (quoted.p[i] == '"' || quoted.p[i] == '\\')
			out[n++] = '\\';
		out[n++] = quoted.p[i];
	}
	out[n++] = '"';
	return n;
}

size_t
mailbox_plain_local(struct str local, char *out)
{
	size_t n;

	if (mailbox_quoted_length(local) != local.n || local.n == 0) {
		memcpy(out, local.p, local.n);
		return local.n;
	}
	n = unquote(local, out);
	if (n > 0 && atoms_length((struct str){out, n}) == n)
		return n;
	return requote(local, out);
}

/* Quotes do not help: some servers take them off before they look. */
bool
mailbox_is_indirect(struct str address)
{
	size_t n = mailbox_local_length(address);

	if (n == 0 || n == address.n || address.p[n] != '@')
		return true;
	for (size_t i = 0; i < n; i++) {
		if (strchr("%!@", address.p[i]) != NULL)
			return true;
	}
	return false;
}

struct str
mailbox_plain(struct str address, char out[MAILBOX_PLAIN_MAX])
{
	size_t local = mailbox_quoted_length(address), n;
	struct str rest = str_sub(address, local, address.n);

	if (local == 0 || address.n > MAILBOX_PLAIN_MAX ||
	    (rest.n > 0 && rest.p[0] != '@'))
		return address;
	n = mailbox_plain_local(str_sub(address, 0, local), out);
	memcpy(out + n, rest.p, rest.n);
	return (struct str){out, n + rest.n};
}

bool
mailbox_is_in(struct str source, struct str domain)
{
	size_t at;

	if (source.n > 2 && source.p[0] == '<' && source.p[source.n - 1] == '>')
		source = str_sub(source, 1, source.n - 2);
	at = str_rindex(source, '@');
	return at < source.n && domain.n > 0 &&
	       str_ieq(str_sub(source, at + 1, source.n), domain);
}
