/* SPDX-License-Identifier: BSD-3-Clause */
/* See input.h. */
#include "replay/input.h"

#include "replay/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define PIECE (64 * 1024)

struct input {
	const char *name;
	input_fn *fn;
	void *arg;
	struct err *err;
	bool is_enough;
};

static int
fail(const struct input *in, int status, const char *why)
{
	err_set(in->err, "%s: %s", in->name, why);
	return status;
}

static bool
on_plain(void *arg, struct str plain)
{
	struct input *in = arg;

	in->err->text[0] = '\0';
	if (in->fn(in->arg, plain, in->err))
		return true;
	in->is_enough = in->err->text[0] == '\0';
	return false;
}

static ssize_t
read_piece(int fd, char *piece)
{
	ssize_t n;

	do
		n = read(fd, piece, PIECE);
	while (n < 0 && errno == EINTR);
	return n;
}

static int
read_all(struct input *in, int fd, struct unpack *u)
{
	char piece[PIECE];
	const char *why;
	ssize_t n;

	do {
		n = read_piece(fd, piece);
		if (n < 0)
			return fail(in, errno == EISDIR ? EX_NOINPUT : EX_IOERR,
			    strerror(errno));
		if (unpack_push(
			u, (struct str){piece, (size_t)n}, n == 0, &why))
			continue;
		if (in->is_enough)
			return 0;
		return why != NULL ? fail(in, EX_DATAERR, why) : EX_DATAERR;
	} while (n > 0);
	return 0;
}

int
input_read_fd(
    int fd, const char *name, input_fn *fn, void *arg, struct err *err)
{
	struct input in = {.name = name, .fn = fn, .arg = arg, .err = err};
	struct unpack *u = unpack_new(on_plain, &in);
	int status = read_all(&in, fd, u);

	unpack_free(u);
	return status;
}

int
input_read_pieces(const char *path, input_fn *fn, void *arg, struct err *err)
{
	const struct input in = {.name = path, .err = err};
	int fd = open(path, O_RDONLY | O_CLOEXEC), status;

	if (fd < 0)
		return fail(&in, EX_NOINPUT, strerror(errno));
	status = input_read_fd(fd, path, fn, arg, err);
	close(fd);
	return status;
}

static bool
on_piece(void *arg, struct str piece, struct err *err)
{
	return lines_push(arg, piece, err);
}

int
input_read(const char *path, lines_fn *fn, void *arg, struct err *err)
{
	struct lines lines;
	int status;

	lines_init(&lines, path, fn, arg);
	status = input_read_pieces(path, on_piece, &lines, err);
	if (status == 0 && !lines_end(&lines, err))
		status = EX_DATAERR;
	lines_clear(&lines);
	return status;
}
