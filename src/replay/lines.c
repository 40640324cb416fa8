/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See lines.h. A line that came whole is handed on where it lies; only what is
 * cut by the end of a piece is copied.
 */
#include "replay/lines.h"

#include <stdio.h>

void
lines_init(struct lines *l, const char *name, lines_fn *fn, void *arg)
{
	*l = (struct lines){.fn = fn, .arg = arg, .name = name};
	buf_init(&l->part, LINES_MAX);
}

void
lines_clear(struct lines *l)
{
	buf_clear(&l->part);
}

static bool
fail(const struct lines *l, const char *why, struct err *err)
{
	err_set(err, "%s:%lu: %s", l->name, l->number, why);
	return false;
}

/* What was too long goes, and is counted. */
static bool
end_line(struct lines *l, struct str line, struct err *err)
{
	bool ok = true;

	if (l->is_skipping) {
		l->number++;
		l->long_count++;
	} else {
		struct err why;

		l->number++;
		ok = l->fn(l->arg, line, &why) || fail(l, why.text, err);
	}
	l->is_skipping = false;
	buf_reset(&l->part);
	return ok;
}

static bool
keep(struct lines *l, struct str s, struct err *err)
{
	if (l->is_skipping || buf_append_str(&l->part, s))
		return true;
	if (l->skips_long) {
		l->is_skipping = true;
		return true;
	}
	l->number++;
	return fail(l, "longer than 1 MiB; this is no such file", err);
}

bool
lines_push(struct lines *l, struct str piece, struct err *err)
{
	while (piece.n > 0) {
		size_t end = str_index(piece, '\n');
		struct str line = str_sub(piece, 0, end);

		if (end == piece.n || l->part.len > 0 || line.n > LINES_MAX ||
		    l->is_skipping) {
			if (!keep(l, line, err))
				return false;
			if (end == piece.n)
				return true;
			line = buf_str(&l->part);
		}
		if (!end_line(l, line, err))
			return false;
		piece = str_sub(piece, end + 1, piece.n);
	}
	return true;
}

bool
lines_end(struct lines *l, struct err *err)
{
	return (l->part.len == 0 && !l->is_skipping) ||
	       end_line(l, buf_str(&l->part), err);
}
