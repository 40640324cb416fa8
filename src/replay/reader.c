/* SPDX-License-Identifier: BSD-3-Clause */
/* See reader.h. */
#include "replay/reader.h"

#include <string.h>

const char *const reader_use_name[READER_USES] = {
    [READER_USED] = "used",
    [READER_CONNECTION] = "connections",
    [READER_REJECTED] = "refused before MAIL",
    [READER_FAILED_LOGIN] = "failed logins",
    [READER_BOUNCE] = "bounces",
    [READER_NOTE] = "notes of the mail server",
    [READER_OTHER_PROGRAM] = "of other programs",
    [READER_STRANGE] = "not understood",
};

const struct reader *const reader_list[] = {
    &reader_postfix,
    &reader_exim,
    &reader_sendmail,
    &reader_opensmtpd,
    &reader_exchange,
    &reader_weir,
    &reader_rspamd,
    &reader_kumomta,
    NULL,
};

const struct reader *
reader_find(const char *name)
{
	for (size_t i = 0; reader_list[i] != NULL; i++) {
		if (strcmp(reader_list[i]->name, name) == 0)
			return reader_list[i];
	}
	return NULL;
}

bool
reader_field(struct str s, struct str key, struct str *out)
{
	const char *from = s.p, *end = s.p + s.n, *at, *comma;

	while (s.n > 0 && (at = memmem(from, (size_t)(end - from), key.p,
			       key.n)) != NULL) {
		from = at + 1;
		if (at != s.p &&
		    (at - s.p < 2 || at[-1] != ' ' || at[-2] != ','))
			continue;
		at += key.n;
		comma = memmem(at, (size_t)(end - at), ", ", 2);
		*out = (struct str){
		    at, (size_t)((comma != NULL ? comma : end) - at)};
		return true;
	}
	return false;
}

size_t
reader_last(struct str s, struct str what)
{
	for (size_t i = s.n >= what.n ? s.n - what.n + 1 : 0; i > 0; i--) {
		if (memcmp(s.p + i - 1, what.p, what.n) == 0)
			return i - 1;
	}
	return s.n;
}

bool
reader_has(struct str s, struct str what)
{
	return s.n > 0 && memmem(s.p, s.n, what.p, what.n) != NULL;
}

bool
reader_take_path(struct str *s, struct str *out)
{
	bool quoted = false;

	if (s->n == 0 || s->p[0] != '<')
		return false;
	for (size_t i = 1; i < s->n; i++) {
		if (s->p[i] == '\\' && quoted)
			i++;
		else if (s->p[i] == '"')
			quoted = !quoted;
		else if (s->p[i] == '>' && !quoted) {
			*out = str_sub(*s, 1, i - 1);
			*s = str_sub(*s, i + 1, s->n);
			return true;
		}
	}
	return false;
}

bool
reader_client(struct str s, struct ip *out)
{
	size_t open = str_rindex(s, '[');
	struct str inside;

	if (open == s.n)
		return false;
	inside = str_sub(s, open + 1, s.n);
	inside = str_sub(inside, 0, str_index(inside, ']'));
	if (str_istarts(inside, STR("IPv6:")))
		inside = str_sub(inside, 5, inside.n);
	return ip_parse(inside, out);
}
