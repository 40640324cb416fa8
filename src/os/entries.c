/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lists of the configuration and their files. A file names no other file, so
 * there are no circles.
 */
#include "os/entries.h"

#include "base/buf.h"
#include "os/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
	entry_fn *fn;
	void *arg;
	char *err;
	size_t err_cap;
};

static bool
fail(const struct reading *r, const char *why)
{
	snprintf(r->err, r->err_cap, "%s", why);
	return false;
}

static bool
take_one(const struct reading *r, struct str entry)
{
	if (entry.n == 0)
		return fail(r, "empty entry");
	if (entry.n > ENTRY_MAX) {
		snprintf(r->err, r->err_cap, "entry of more than %d bytes",
		    ENTRY_MAX);
		return false;
	}
	if (memchr(entry.p, '\0', entry.n) != NULL)
		return fail(r, "entry with a zero byte");
	return r->fn(r->arg, entry, r->err, r->err_cap);
}

/* "path:line: reason" */
static bool
fail_at(const struct reading *r, const char *path, unsigned line)
{
	char reason[160];

	str_copy(str_from(r->err), reason, sizeof(reason));
	snprintf(r->err, r->err_cap, "%s:%u: %s", path, line, reason);
	return false;
}

/* A '#' begins a comment at the start or after a blank: local parts may have
 * one, too. */
static struct str
strip_comment(struct str line)
{
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '#' &&
		    (i == 0 || line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
			line.n = i;
	}
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return str_trim(line);
}

static bool
take_lines(const struct reading *r, const char *path, struct str text)
{
	for (unsigned line = 1; text.n > 0; line++) {
		struct str entry = strip_comment(str_cut(&text, '\n'));

		if (entry.n == 0)
			continue;
		if (str_istarts(entry, STR("file:"))) {
			fail(r, "a file may not name another file");
			return fail_at(r, path, line);
		}
		if (!take_one(r, entry))
			return fail_at(r, path, line);
	}
	return true;
}

static bool
take_file(const struct reading *r, struct str name)
{
	char *path = str_dup(name);
	struct buf text;
	bool ok = false;
	int error;

	buf_init(&text, ENTRIES_FILE_MAX);
	error = file_read(path, ENTRIES_FILE_MAX, &text);
	if (error != 0)
		snprintf(r->err, r->err_cap, "%s: %s", path, strerror(error));
	else
		ok = take_lines(r, path, buf_str(&text));
	buf_clear(&text);
	free(path);
	return ok;
}

bool
entries_read(
    struct str entry, entry_fn *fn, void *arg, char *err, size_t err_cap)
{
	struct reading r = {fn, arg, err, err_cap};

	entry = str_trim(entry);
	if (str_istarts(entry, STR("file:")))
		return take_file(&r, str_sub(entry, 5, entry.n));
	return take_one(&r, entry);
}
