/* SPDX-License-Identifier: BSD-3-Clause */
/* See rows.h. */
#include "replay/rows.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str
skip_blanks(struct str s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = str_sub(s, 1, s.n);
	return s;
}

bool
rows_is_it(struct str first)
{
	first = skip_blanks(first);
	if (str_starts(first, STR("[")))
		return str_starts(
		    skip_blanks(str_sub(first, 1, first.n)), STR("{"));
	if (!str_starts(first, STR("{")))
		return false;
	first = skip_blanks(str_sub(first, 1, first.n));
	return str_starts(first, STR("\"version\"")) ||
	       str_starts(first, STR("\"rows\""));
}

void
rows_init(struct rows *r, rows_fn *fn, void *arg)
{
	*r = (struct rows){.fn = fn, .arg = arg};
	buf_init(&r->part, ROWS_MAX);
}

void
rows_clear(struct rows *r)
{
	buf_clear(&r->part);
}

static void
end_row(struct rows *r)
{
	if (r->is_skipping)
		r->long_count++;
	else
		r->fn(r->arg, buf_str(&r->part));
	r->is_skipping = false;
	r->depth = 0;
	buf_reset(&r->part);
}

static void
keep(struct rows *r, struct str s)
{
	if (!r->is_skipping && !buf_append_str(&r->part, s))
		r->is_skipping = true;
}

/* Quoted, where brackets count for nothing. */
static void
take_quoted(struct rows *r, char c)
{
	if (r->is_escaped)
		r->is_escaped = false;
	else if (c == '\\')
		r->is_escaped = true;
	else if (c == '"')
		r->is_quoted = false;
}

/* False: the object in hand ends with it. */
static bool
take_inside(struct rows *r, char c)
{
	if (r->is_quoted)
		take_quoted(r, c);
	else if (c == '"')
		r->is_quoted = true;
	else if (c == '{' || c == '[')
		r->depth++;
	else if (c == '}' || c == ']')
		r->depth--;
	return r->depth > 0;
}

/* True: an object begins with it. */
static bool
take_outside(struct rows *r, char c)
{
	if (r->is_quoted) {
		take_quoted(r, c);
		return false;
	}
	switch (c) {
	case '"':
		r->is_quoted = true;
		return false;
	case '[':
		r->is_in_list = true;
		return false;
	case ']':
		r->is_in_list = false;
		return false;
	case '{':
		return r->is_in_list;
	default:
		return false;
	}
}

void
rows_push(struct rows *r, struct str piece)
{
	size_t from = 0;

	for (size_t i = 0; i < piece.n; i++) {
		if (r->depth > 0) {
			if (take_inside(r, piece.p[i]))
				continue;
			keep(r, str_sub(piece, from, i + 1 - from));
			end_row(r);
		} else if (take_outside(r, piece.p[i])) {
			r->depth = 1;
			from = i;
		}
	}
	if (r->depth > 0)
		keep(r, str_sub(piece, from, piece.n - from));
}

void
rows_end(struct rows *r)
{
	if (r->depth > 0)
		end_row(r);
}
