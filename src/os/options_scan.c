/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One pass over the text with libconfuse's own idea of words, strings and
 * comments. Offsets and line ends stay where they are.
 */
#include "os/options_scan.h"

#include <stdlib.h>
#include <string.h>

struct cursor {
	struct options_scan *scan;
	char *p; /* scan->text */
	size_t n;
	size_t i;
	unsigned line;
	unsigned depth; /* braces open, the outermost since open_line */
	unsigned open_line;
	unsigned long_line; /* of the first string over several; 0: none */
	char before;        /* last character that is not blank */
	bool is_in_word;    /* an unquoted word may hold "//", as a URL does */
};

static bool
fail(struct cursor *c, unsigned line, const char *why)
{
	c->scan->line = line;
	c->scan->why = why;
	return false;
}

static char
at(const struct cursor *c, size_t offset)
{
	return offset < c->n - c->i ? c->p[c->i + offset] : '\0';
}

static void
step(struct cursor *c)
{
	if (c->p[c->i++] == '\n')
		c->line++;
}

/* "${NAME}": the braces and quotes in it are no syntax. */
static void
skip_variable(struct cursor *c)
{
	struct str rest = {c->p + c->i, c->n - c->i};
	size_t end = str_index(rest, '}');

	if (end == rest.n)
		end = 0;
	for (size_t i = 0; i <= end; i++)
		step(c);
}

static bool
skip_string(struct cursor *c)
{
	char quote = c->p[c->i];
	unsigned start = c->line;

	step(c);
	while (c->i < c->n) {
		char now = c->p[c->i];

		if (quote == '"' && now == '$' && at(c, 1) == '{') {
			skip_variable(c);
			continue;
		}
		step(c);
		if (now == quote) {
			if (c->line > start && c->long_line == 0)
				c->long_line = start;
			return true;
		}
		if (now == '\\' && c->i < c->n)
			step(c);
	}
	/* The quotes of the lines between were taken the wrong way round. */
	if (c->long_line != 0)
		return fail(c, c->long_line,
		    "the text that starts here goes on in the next line; "
		    "a closing quote is missing here or further down");
	return fail(
	    c, start, "the text that starts here has no closing quote; add it");
}

static void
blank(struct cursor *c)
{
	if (c->p[c->i] != '\n')
		c->p[c->i] = ' ';
	step(c);
}

static bool
blank_block(struct cursor *c)
{
	unsigned start = c->line;

	blank(c);
	blank(c);
	while (c->i < c->n) {
		bool is_end = c->p[c->i] == '*' && at(c, 1) == '/';

		blank(c);
		if (is_end) {
			blank(c);
			return true;
		}
	}
	return fail(
	    c, start, "the comment that starts here does not end; add */");
}

/* libconfuse takes the end of the file for the end of a section, and so would
 * accept half a file. */
static void
count_brace(struct cursor *c, char brace)
{
	struct options_scan *scan = c->scan;

	if (brace == '{') {
		if (c->depth++ == 0)
			c->open_line = c->line;
		/* After `=` it is a list. */
		if (c->before == '=')
			return;
		/* Room doubles at powers of two. */
		if ((scan->opening_n & (scan->opening_n - 1)) == 0)
			scan->opening = xrealloc(scan->opening,
			    (scan->opening_n * 2 + 1) * sizeof(*scan->opening));
		scan->opening[scan->opening_n++] = c->line;
	} else if (c->depth > 0) {
		c->depth--;
	}
}

static bool
scan_plain(struct cursor *c)
{
	char now = c->p[c->i];

	if (now == '*' || (now == '+' && at(c, 1) != '='))
		return fail(c, c->line,
		    "a \"*\" or \"+\" outside quotes; put the text in quotes");
	if (now == '{' || now == '}')
		count_brace(c, now);
	/* What ends an unquoted word in libconfuse's lexer. */
	c->is_in_word = strchr(" #\"'\t\n\r={}()+,", now) == NULL;
	if (strchr(" \t\r\n", now) == NULL)
		c->before = now;
	step(c);
	return true;
}

static bool
scan_next(struct cursor *c)
{
	char now = c->p[c->i];

	if (now == '\0')
		return fail(
		    c, c->line, "a NUL byte; this is not a configuration file");
	if (now == '#' || (now == '/' && at(c, 1) == '/' && !c->is_in_word)) {
		while (c->i < c->n && c->p[c->i] != '\n')
			blank(c);
		return true;
	}
	if (now == '/' && at(c, 1) == '*' && !c->is_in_word)
		return blank_block(c);
	if (now == '"' || now == '\'') {
		c->is_in_word = false;
		c->before = now;
		return skip_string(c);
	}
	if (now == '$' && at(c, 1) == '{' && !c->is_in_word) {
		c->before = '}';
		skip_variable(c);
		return true;
	}
	return scan_plain(c);
}

bool
options_scan(struct options_scan *scan, struct str text)
{
	struct cursor c = {.scan = scan, .n = text.n, .line = 1};

	*scan = (struct options_scan){.text = str_dup(text)};
	c.p = scan->text;
	/* A byte order mark would stick to the first name. */
	if (str_starts(text, STR("\xef\xbb\xbf")))
		memset(c.p, ' ', 3);
	while (c.i < c.n) {
		if (!scan_next(&c))
			return false;
	}
	if (c.depth > 0)
		return fail(&c, c.open_line,
		    "the brace that opens here is not closed; add }");
	return true;
}

void
options_scan_clear(struct options_scan *scan)
{
	free(scan->text);
	free(scan->opening);
	*scan = (struct options_scan){0};
}
