/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/target.h"

#include <stdlib.h>
#include <string.h>

struct decoder {
	char *out; /* the next free byte */
	const char *why;
};

static bool
fail(struct decoder *d, const char *why)
{
	d->why = why;
	return false;
}

/* One character of s at *i, decoded; false: bad encoding. */
static bool
next_char(struct str s, size_t *i, bool is_form, char *out)
{
	int high, low;

	*out = s.p[*i];
	if (*out == '+' && is_form)
		*out = ' ';
	if (*out != '%') {
		++*i;
		return true;
	}
	if (s.n - *i < 3)
		return false;
	high = str_hex_digit(s.p[*i + 1]);
	low = str_hex_digit(s.p[*i + 2]);
	if (high < 0 || low < 0)
		return false;
	*out = (char)(high * 16 + low);
	*i += 3;
	return true;
}

/* Decoded text is never longer. */
static bool
decode(struct decoder *d, struct str s, bool is_form, struct str *out)
{
	size_t i = 0, n = 0;

	out->p = d->out;
	while (i < s.n) {
		/* Some read a bare one as a slash. An encoded one may be of a
		 * sender's name. */
		bool is_bare_backslash = s.p[i] == '\\';
		char c;

		if (!next_char(s, &i, is_form, &c))
			return fail(d, "The percent-encoding is invalid.");
		if ((unsigned char)c < ' ' || c == 0x7f || is_bare_backslash)
			return fail(
			    d, "The target contains a forbidden character.");
		d->out[n++] = c;
	}
	d->out[n] = '\0';
	out->n = n;
	d->out += n + 1;
	return str_is_utf8(*out) || fail(d, "The target is not UTF-8.");
}

static bool
add_segment(struct http_target *t, struct decoder *d, struct str text)
{
	struct str *s;

	if (t->segment_count >= HTTP_SEGMENTS_MAX)
		return fail(d, "The path has too many parts.");
	s = &t->segments[t->segment_count++];
	if (!decode(d, text, false, s))
		return false;
	if (s->n == 0 || str_eq(*s, STR(".")) || str_eq(*s, STR("..")))
		return fail(
		    d, "The path contains an empty part, \".\" or \"..\".");
	return true;
}

static bool
parse_path(struct http_target *t, struct decoder *d, struct str path)
{
	if (path.n == 0 || path.p[0] != '/')
		return fail(d, "The path must begin with a slash.");
	path = str_sub(path, 1, path.n);
	if (path.n > 0 && path.p[path.n - 1] == '/') {
		t->is_folder = true;
		path.n--;
		if (path.n == 0)
			return fail(d, "The path contains an empty part, "
				       "\".\" or \"..\".");
	}
	while (path.n > 0) {
		size_t end = str_index(path, '/');

		if (!add_segment(t, d, str_sub(path, 0, end)))
			return false;
		if (end + 1 == path.n)
			return fail(d, "The path contains an empty part, "
				       "\".\" or \"..\".");
		path = str_sub(path, end < path.n ? end + 1 : end, path.n);
	}
	return true;
}

static bool
parse_query(struct http_target *t, struct decoder *d, struct str query)
{
	while (query.n > 0) {
		struct str value = str_cut(&query, '&');
		struct str name = str_cut(&value, '=');
		struct http_parameter *p;

		if (name.n == 0 && value.n == 0)
			continue;
		if (t->parameter_count >= HTTP_PARAMETERS_MAX)
			return fail(d, "The query has too many parameters.");
		p = &t->parameters[t->parameter_count++];
		if (!decode(d, name, true, &p->name) ||
		    !decode(d, value, true, &p->value))
			return false;
	}
	return true;
}

bool
http_target_parse(struct str target, struct http_target *out, const char **why)
{
	struct str query = target, path = str_cut(&query, '?');
	struct decoder d = {.why = NULL};
	bool ok;

	*out = (struct http_target){.mem = NULL};
	if (target.n > HTTP_TARGET_MAX) {
		*why = "The target is too long.";
		return false;
	}
	/* Each part gets a terminator: not more of them than there are bytes,
	 * and two for an empty parameter. */
	out->mem = xmalloc(2 * target.n + 2 * HTTP_PARAMETERS_MAX + 2);
	d.out = out->mem;
	ok = parse_path(out, &d, path) && parse_query(out, &d, query);
	*why = d.why;
	return ok;
}

void
http_target_clear(struct http_target *t)
{
	free(t->mem);
	t->mem = NULL;
}

const struct str *
http_target_parameter(const struct http_target *t, const char *name)
{
	const struct str *found = NULL;

	for (size_t i = 0; i < t->parameter_count; i++) {
		if (!str_eq(t->parameters[i].name, str_from(name)))
			continue;
		if (found != NULL)
			return NULL;
		found = &t->parameters[i].value;
	}
	return found;
}
