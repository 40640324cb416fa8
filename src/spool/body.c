/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Back-pressure: a body that goes to a file counts what the filer has not
 * written yet; past QUEUED_MAX, or when the budget of all bodies is used up,
 * its owner is told to hold back, and called when it is down to QUEUED_LOW.
 * A body that may not have a file (files_max) loses its text and cannot be put.
 * All of it runs in the loop's thread; pieces come back through done.
 */
#include "spool/body.h"

#include "spool/filer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUEUED_MAX (256 << 10)
#define QUEUED_LOW (64 << 10)
#define PIECE_MIN (32 << 10) /* gathered before it goes to the filer */
#define PIECE_OVER (4 << 10) /* the same when the budget is used up */

struct spool_body {
	struct spool *spool;
	uint64_t id, size;
	struct buf text; /* all of it, or what waits for the next piece */
	struct body_file *file; /* NULL: in memory */
	size_t queued;          /* bytes with the filer */
	uint32_t pieces;        /* the same, ops */
	bool owned, blocked, refused;
	void (*on_drain)(void *arg);
	void *arg;
};

struct piece {
	struct op op;
	struct spool_body *body;
	struct body_file *file;
	char *text;
	size_t n;
};

struct spool_body *
spool_body_new(struct spool *s, uint64_t id)
{
	struct spool_body *b = xcalloc(1, sizeof(*b));

	b->spool = s;
	b->id = id;
	b->owned = true;
	buf_init(&b->text, SIZE_MAX / 4);
	return b;
}

void
spool_body_set_drain(
    struct spool_body *b, void (*on_drain)(void *arg), void *arg)
{
	b->on_drain = on_drain;
	b->arg = arg;
}

static void
let_go(struct spool_body *b)
{
	if (b->owned || b->pieces > 0)
		return;
	buf_clear(&b->text);
	free(b);
}

/* ---- pieces ---- */

static void
piece_file(struct filer *f, struct op *op)
{
	struct piece *piece = CONTAINER_OF(op, struct piece, op);

	filer_write(f, piece->file, piece->text, piece->n);
}

static bool
piece_finish(struct spool *s, struct op *op, bool muted)
{
	struct piece *piece = CONTAINER_OF(op, struct piece, op);
	struct spool_body *b = piece->body;

	s->body_memory -= piece->n;
	b->queued -= piece->n;
	if (b->owned && b->blocked && b->queued <= QUEUED_LOW) {
		b->blocked = false;
		if (b->on_drain != NULL && !muted)
			b->on_drain(b->arg);
	}
	/* Only now: the owner may have ended the body from within. */
	b->pieces--;
	let_go(b);
	return false;
}

static void
piece_free(struct op *op)
{
	struct piece *piece = CONTAINER_OF(op, struct piece, op);

	free(piece->text);
}

static const struct op_type piece_type = {
    .name = "piece",
    .file = piece_file,
    .finish = piece_finish,
    .free = piece_free,
    .internal = true,
};

/* buf_take would copy. */
static char *
take_text(struct spool_body *b)
{
	char *text = b->text.len > 0 ? b->text.mem : xmalloc(1);

	if (b->text.len > 0)
		buf_init(&b->text, b->text.max);
	else
		buf_clear(&b->text);
	return text;
}

static void
send_piece(struct spool_body *b)
{
	struct piece *piece;

	if (b->text.len == 0)
		return;
	piece = xcalloc(1, sizeof(*piece));
	piece->op.type = &piece_type;
	piece->n = piece->op.cost = b->text.len;
	piece->text = take_text(b);
	piece->body = b;
	piece->file = b->file;
	b->queued += piece->n;
	b->pieces++;
	core_submit(b->spool, &piece->op, CORE_FILER);
}

static void
refuse_text(struct spool_body *b)
{
	b->spool->body_memory -= b->text.len;
	buf_clear(&b->text);
	b->refused = true;
}

/* False: there are too many. */
static bool
open_file(struct spool_body *b)
{
	struct spool *s = b->spool;

	if (s->settings.files_max > 0 && s->files >= s->settings.files_max)
		return false;
	b->file = filer_file_new(b->id);
	s->files++;
	return true;
}

bool
spool_body_write(struct spool_body *b, const void *p, size_t n)
{
	struct spool *s = b->spool;
	bool over;

	b->size += n;
	if (b->refused)
		return true;
	if (!buf_append(&b->text, p, n))
		panic("spool_body_write: %zu bytes", n);
	s->body_memory += n;
	over = s->body_memory > s->settings.body_memory_bytes;
	if (b->file == NULL &&
	    (b->size >= s->settings.large_body_bytes || over) &&
	    !open_file(b)) {
		refuse_text(b);
		return true;
	}
	if (b->file != NULL && b->text.len >= (over ? PIECE_OVER : PIECE_MIN))
		send_piece(b);
	/* Only what is with the filer is sure to come back. */
	if (b->queued > QUEUED_MAX || (over && b->queued > QUEUED_LOW))
		b->blocked = true;
	return !b->blocked;
}

/* ---- the end ---- */

void
body_take(struct spool_body *b, struct body_end *out)
{
	*out = (struct body_end){.size = b->size};
	if (b->refused) {
		*out = (struct body_end){.text = xcalloc(1, 1), .error = EBUSY};
	} else if (b->file != NULL) {
		out->in_file = true;
		send_piece(b);
		out->file = b->file;
		b->file = NULL;
	} else {
		out->text = take_text(b);
	}
	b->owned = false;
	let_go(b);
}

void
body_release(struct spool *s, const struct body_end *end)
{
	if (end->text != NULL)
		s->body_memory -= end->size;
	if (end->in_file)
		s->files--;
}

struct abort_op {
	struct op op;
	struct body_file *file;
};

static void
abort_file(struct filer *f, struct op *op)
{
	filer_abort(f, CONTAINER_OF(op, struct abort_op, op)->file);
}

static bool
abort_finish(struct spool *s, struct op *op, bool muted)
{
	(void)s;
	(void)op;
	(void)muted;
	return false;
}

static const struct op_type abort_type = {
    .name = "abort",
    .file = abort_file,
    .finish = abort_finish,
    .internal = true,
};

void
body_drop_file(struct spool *s, struct body_file *file)
{
	struct abort_op *a = xcalloc(1, sizeof(*a));

	a->op.type = &abort_type;
	a->file = file;
	core_submit(s, &a->op, CORE_FILER);
}

void
spool_body_abort(struct spool_body *b)
{
	struct spool *s = b->spool;

	s->body_memory -= b->text.len;
	buf_clear(&b->text);
	if (b->file != NULL) {
		body_drop_file(s, b->file);
		s->files--;
	}
	b->file = NULL;
	b->owned = false;
	let_go(b);
}
