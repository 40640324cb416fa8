/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was tried and waits for its next try, by the words that put it off. Only
 * the index of what was released is walked, and of a very long one a part, so
 * that the reading thread is soon free again.
 */
#include "spool/core.h"

#include <stdlib.h>

#define LOOK_MAX 100000 /* recipients */
#define ERROR_MAX CORE_DETAIL_MAX

struct deferred_op {
	struct op op;
	struct spool_deferred rows[SPOOL_DEFERRED_MAX];
	size_t n;
	spool_deferred_fn *fn;
	void *arg;
};

static struct deferred_op *
deferred_of(struct op *op)
{
	return CONTAINER_OF(op, struct deferred_op, op);
}

static int
deferred_run(struct tx *tx, struct op *op)
{
	struct deferred_op *d = deferred_of(op);
	sqlite3_stmt *st = db_get(tx->db, DB_DEFERRED);

	d->n = 0;
	db_bind_int(st, 1, LOOK_MAX);
	db_bind_int(st, 2, SPOOL_DEFERRED_MAX);
	while (d->n < SPOOL_DEFERRED_MAX && db_step(tx->db, st)) {
		struct spool_deferred *row = &d->rows[d->n++];
		int64_t ticket = sqlite3_column_int64(st, 2);

		row->error = db_column_note(st, 0, ERROR_MAX, &d->op.mem);
		row->recipients = (uint64_t)sqlite3_column_int64(st, 1);
		row->oldest = spool_id_wall(SPOOL_ID((uint64_t)ticket));
	}
	db_reset(st);
	return 0;
}

static bool
deferred_finish(struct spool *s, struct op *op, bool muted)
{
	struct deferred_op *d = deferred_of(op);

	(void)s;
	if (!muted)
		d->fn(d->arg, op->error, d->rows, d->n);
	return false;
}

static const struct op_type deferred_type = {
    .name = "deferred",
    .run = deferred_run,
    .finish = deferred_finish,
};

void
spool_deferred(struct spool *s, spool_deferred_fn *fn, void *arg)
{
	struct deferred_op *d = xcalloc(1, sizeof(*d));

	d->op.type = &deferred_type;
	d->fn = fn;
	d->arg = arg;
	core_submit_new(s, &d->op, CORE_READER);
}

/* ---- the oldest that is held ---- */

struct oldest_op {
	struct op op;
	int64_t wall_ms;
	spool_oldest_fn *fn;
	void *arg;
};

static int
oldest_run(struct tx *tx, struct op *op)
{
	struct oldest_op *o = CONTAINER_OF(op, struct oldest_op, op);
	sqlite3_stmt *st = db_get(tx->db, DB_OLDEST_HELD);

	o->wall_ms = 0;
	db_bind_int(st, 1, LOOK_MAX);
	if (db_step(tx->db, st) && sqlite3_column_type(st, 0) != SQLITE_NULL)
		o->wall_ms = spool_id_wall(
		    SPOOL_ID((uint64_t)sqlite3_column_int64(st, 0)));
	db_reset(st);
	return 0;
}

static bool
oldest_finish(struct spool *s, struct op *op, bool muted)
{
	struct oldest_op *o = CONTAINER_OF(op, struct oldest_op, op);

	(void)s;
	if (!muted)
		o->fn(o->arg, op->error, o->wall_ms);
	return false;
}

static const struct op_type oldest_type = {
    .name = "oldest_held",
    .run = oldest_run,
    .finish = oldest_finish,
};

void
spool_oldest_held(struct spool *s, spool_oldest_fn *fn, void *arg)
{
	struct oldest_op *o = xcalloc(1, sizeof(*o));

	o->op.type = &oldest_type;
	o->fn = fn;
	o->arg = arg;
	core_submit_new(s, &o->op, CORE_READER);
}
