/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How far delay notices have come. The mark and the notice are one commit, so
 * that a crash makes no notice come twice and loses none.
 */
#include "spool/message.h"
#include "spool/simple.h"

#include <errno.h>
#include <stdlib.h>

struct notice_op {
	struct simple_op simple;
	uint64_t mark;
	bool has_message;
	struct spool_message m;
	struct str text;
};

static struct notice_op *
notice_of(struct op *op)
{
	return CONTAINER_OF(op, struct notice_op, simple.op);
}

static int
notice_run(struct tx *tx, struct op *op)
{
	struct notice_op *n = notice_of(op);
	sqlite3_stmt *st = db_get(tx->db, DB_SET_META);

	db_bind_text(st, 1, "notice_mark");
	db_bind_int(st, 2, (int64_t)n->mark);
	db_run(tx->db, st);
	if (n->has_message)
		message_insert(tx, &n->m, n->text);
	return 0;
}

static bool
notice_finish(struct spool *s, struct op *op, bool muted)
{
	if (op->error == 0)
		s->notice_mark = notice_of(op)->mark;
	return simple_finish(s, op, muted);
}

static const struct op_type notice_type = {
    .name = "notice",
    .run = notice_run,
    .finish = notice_finish,
};

uint64_t
spool_notice_mark(const struct spool *s)
{
	return s->notice_mark;
}

void
spool_set_notice_mark(struct spool *s, uint64_t mark,
    const struct spool_message *notice, struct str text, spool_done_fn *fn,
    void *arg)
{
	struct notice_op *n = xcalloc(1, sizeof(*n));
	struct arena *mem = &n->simple.op.mem;
	int error = 0;

	n->simple.op.type = &notice_type;
	n->simple.fn = fn;
	n->simple.arg = arg;
	n->mark = mark;
	if (notice != NULL) {
		n->has_message = true;
		error = message_copy(mem, notice, &n->m);
		n->text = (struct str){arena_copy(mem, text.p, text.n), text.n};
		n->m.size = n->simple.op.cost = text.n;
	}
	if (error == 0 && notice != NULL && spool_is_short(s))
		error = ENOSPC;
	if (error != 0)
		core_refuse(s, &n->simple.op, error);
	else
		core_submit_new(s, &n->simple.op, CORE_WRITER);
}
