/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How far a stream of another server has been read. The writer works in order:
 * what was handed to it before the mark is durable before it, or failed.
 */
#include "spool/simple.h"

struct mark_op {
	struct simple_op simple;
	struct spool_mark mark;
};

static int
mark_run(struct tx *tx, struct op *op)
{
	const struct spool_mark *m =
	    &CONTAINER_OF(op, struct mark_op, simple.op)->mark;
	sqlite3_stmt *st = db_get(tx->db, DB_SET_META);

	db_bind_text(st, 1, "stream_epoch");
	db_bind_int(st, 2, (int64_t)m->epoch);
	db_run(tx->db, st);
	st = db_get(tx->db, DB_SET_META);
	db_bind_text(st, 1, "stream_at");
	db_bind_int(st, 2, (int64_t)m->at);
	db_run(tx->db, st);
	return 0;
}

static const struct op_type mark_type = {
    .name = "stream mark",
    .run = mark_run,
    .finish = simple_finish,
};

struct spool_mark
spool_stream_mark(const struct spool *s)
{
	return s->stream_mark;
}

void
spool_set_stream_mark(struct spool *s, struct spool_mark mark)
{
	struct mark_op *op = xcalloc(1, sizeof(*op));

	s->stream_mark = mark;
	op->simple.op.type = &mark_type;
	op->mark = mark;
	core_submit(s, &op->simple.op, CORE_WRITER);
}
