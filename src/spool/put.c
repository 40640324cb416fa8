/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Storing a message, and settling one that was pending.
 */
#include "spool/body.h"
#include "spool/filer.h"
#include "spool/message.h"
#include "spool/simple.h"

#include <errno.h>
#include <stdlib.h>

struct put_op {
	struct simple_op simple;
	struct spool_message m;
	struct body_end body;
	bool has_file; /* sealed, or on the way there */
};

static struct put_op *
put_of(struct op *op)
{
	return CONTAINER_OF(op, struct put_op, simple.op);
}

static void
put_file(struct filer *f, struct op *op)
{
	struct put_op *put = put_of(op);

	put->has_file = true;
	op->error = filer_seal(f, put->body.file);
	put->body.file = NULL;
}

static int
put_run(struct tx *tx, struct op *op)
{
	struct put_op *put = put_of(op);
	struct str body = {put->body.text, put->body.size};

	message_insert(tx, &put->m, body);
	return 0;
}

/* The file of what may yet come back is left to the next start. */
static void
put_failed(struct spool *s, struct op *op, bool unsure)
{
	struct put_op *put = put_of(op);

	if (put->has_file && !unsure)
		filer_remove(s->filer, put->m.id);
}

static bool
put_finish(struct spool *s, struct op *op, bool muted)
{
	struct put_op *put = put_of(op);

	body_release(s, &put->body);
	/* It never got to the filer. */
	if (put->body.file != NULL)
		body_drop_file(s, put->body.file);
	return simple_finish(s, op, muted);
}

static void
put_free(struct op *op)
{
	struct put_op *put = put_of(op);

	free(put->body.text);
}

static const struct op_type put_type = {
    .name = "put",
    .file = put_file,
    .run = put_run,
    .failed = put_failed,
    .finish = put_finish,
    .free = put_free,
};

void
spool_put(struct spool *s, const struct spool_message *m,
    struct spool_body *body, spool_done_fn *fn, void *arg)
{
	struct put_op *put = xcalloc(1, sizeof(*put));
	struct op *op = &put->simple.op;
	int error;

	op->type = &put_type;
	put->simple.fn = fn;
	put->simple.arg = arg;
	body_take(body, &put->body);
	op->cost = put->body.text != NULL ? put->body.size : 0;
	error = message_copy(&put->simple.op.mem, m, &put->m);
	if (error == 0)
		error = put->body.error;
	put->m.size = put->body.size;
	if (error == 0 && spool_is_short(s))
		error = ENOSPC;
	if (error != 0)
		core_refuse(s, op, error);
	else
		core_submit_new(
		    s, op, put->body.file != NULL ? CORE_FILER : CORE_WRITER);
}

/* ---- settle ---- */

struct settle_op {
	struct simple_op simple;
	uint64_t id;
	bool keep;
};

static int
settle_run(struct tx *tx, struct op *op)
{
	struct settle_op *settle =
	    CONTAINER_OF(op, struct settle_op, simple.op);
	struct message_flags flags;
	sqlite3_stmt *st;

	if (!message_flags(tx->db, settle->id, &flags))
		return ENOENT;
	if (flags.pending != DB_PENDING)
		return settle->keep ? 0 : ENOENT;
	if (!settle->keep) {
		message_remove(tx, settle->id, flags.in_file);
		return 0;
	}
	st = db_get(tx->db, DB_SET_PENDING);
	db_bind_int(st, 1, (int64_t)settle->id);
	db_bind_int(st, 2, DB_READY);
	db_run(tx->db, st);
	flags.pending = DB_READY;
	message_unblock(tx, settle->id, &flags);
	return 0;
}

static const struct op_type settle_type = {
    .name = "settle",
    .run = settle_run,
    .finish = simple_finish,
};

void
spool_settle(
    struct spool *s, uint64_t id, bool keep, spool_done_fn *fn, void *arg)
{
	struct settle_op *settle = xcalloc(1, sizeof(*settle));

	settle->simple.op.type = &settle_type;
	settle->simple.fn = fn;
	settle->simple.arg = arg;
	settle->id = id;
	settle->keep = keep;
	core_submit(s, &settle->simple.op, CORE_WRITER);
}
