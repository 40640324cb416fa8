/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom sources know: a row each, of which the spool knows no more than its
 * size. Read one at a time, by key.
 */
#include "spool/simple.h"

#include <stdlib.h>

/* ---- writing ---- */

struct save_op {
	struct simple_op simple;
	struct spool_acquaintances *rows;
	size_t n;
	int64_t at;
};

static struct save_op *
save_of(struct op *op)
{
	return CONTAINER_OF(op, struct save_op, simple.op);
}

static int
save_run(struct tx *tx, struct op *op)
{
	struct save_op *so = save_of(op);

	for (size_t i = 0; i < so->n && tx->db->rc == SQLITE_OK; i++) {
		const struct spool_acquaintances *row = &so->rows[i];
		sqlite3_stmt *st =
		    db_get(tx->db, row->size > 0 ? DB_SAVE_ACQUAINTANCES
						 : DB_FORGET_ACQUAINTANCES);

		db_bind_text(st, 1, row->key);
		if (row->size > 0) {
			db_bind_int(st, 2, so->at);
			db_bind_blob(st, 3, row->state, row->size);
		}
		db_run(tx->db, st);
	}
	return 0;
}

static const struct op_type save_type = {
    .name = "acquaintances",
    .run = save_run,
    .finish = simple_finish,
};

void
spool_save_acquaintances(struct spool *s,
    const struct spool_acquaintances *rows, size_t n, int64_t wall_ms,
    spool_done_fn *fn, void *arg)
{
	struct save_op *so = xcalloc(1, sizeof(*so));
	struct arena *mem = &so->simple.op.mem;

	so->simple.op.type = &save_type;
	so->simple.fn = fn;
	so->simple.arg = arg;
	so->rows = arena_alloc(mem, n * sizeof(*rows));
	so->n = n;
	so->at = wall_ms;
	for (size_t i = 0; i < n; i++) {
		so->rows[i].key = arena_string(mem, rows[i].key);
		so->rows[i].size = rows[i].size;
		so->rows[i].state =
		    arena_copy(mem, rows[i].state, rows[i].size);
	}
	so->simple.op.cost = arena_total(mem);
	core_submit(s, &so->simple.op, CORE_WRITER);
}

/* ---- what is old ---- */

#define SWEEP_ROWS 500

struct sweep_op {
	struct simple_op simple;
	int64_t *pos;
	uint64_t *removed;
	int64_t from, next, before, gone;
};

static struct sweep_op *
sweep_of(struct op *op)
{
	return CONTAINER_OF(op, struct sweep_op, simple.op);
}

static int
sweep_run(struct tx *tx, struct op *op)
{
	struct sweep_op *w = sweep_of(op);
	sqlite3_stmt *last = db_get(tx->db, DB_LAST_ACQUAINTANCES);
	sqlite3_stmt *st = db_get(tx->db, DB_SWEEP_ACQUAINTANCES);
	int64_t max = 0;

	if (db_step(tx->db, last)) {
		max = sqlite3_column_int64(last, 0);
		db_reset(last);
	}
	w->gone = 0;
	w->next = max - w->from > SWEEP_ROWS ? w->from + SWEEP_ROWS : 0;
	if (max <= w->from)
		return 0;
	db_bind_int(st, 1, w->from);
	db_bind_int(st, 2, w->from + SWEEP_ROWS);
	db_bind_int(st, 3, w->before);
	w->gone = db_run(tx->db, st);
	return 0;
}

static bool
sweep_finish(struct spool *s, struct op *op, bool muted)
{
	struct sweep_op *w = sweep_of(op);

	if (!muted && op->error == 0) {
		*w->pos = w->next;
		*w->removed = w->gone > 0 ? (uint64_t)w->gone : 0;
	}
	return simple_finish(s, op, muted);
}

static const struct op_type sweep_type = {
    .name = "old acquaintances",
    .run = sweep_run,
    .finish = sweep_finish,
};

void
spool_sweep_acquaintances(struct spool *s, int64_t *pos, uint64_t *removed,
    int64_t before_wall_ms, spool_done_fn *fn, void *arg)
{
	struct sweep_op *w = xcalloc(1, sizeof(*w));

	w->simple.op.type = &sweep_type;
	w->simple.fn = fn;
	w->simple.arg = arg;
	w->pos = pos;
	w->removed = removed;
	w->from = *pos > 0 ? *pos : 0;
	w->before = before_wall_ms;
	core_submit(s, &w->simple.op, CORE_WRITER);
}

/* ---- reading ---- */

struct read_op {
	struct op op;
	const char *key;
	struct str state;
	spool_acquaintances_fn *fn;
	void *arg;
};

static struct read_op *
read_of(struct op *op)
{
	return CONTAINER_OF(op, struct read_op, op);
}

/* Never empty for a row that is there: whoever asked finds it damaged. */
static int
read_run(struct tx *tx, struct op *op)
{
	struct read_op *r = read_of(op);
	sqlite3_stmt *st = db_get(tx->db, DB_GET_ACQUAINTANCES);
	const void *p;
	size_t n;

	r->state = (struct str){0};
	db_bind_text(st, 1, r->key);
	if (!db_step(tx->db, st))
		return 0;
	p = sqlite3_column_blob(st, 0);
	n = (size_t)sqlite3_column_bytes(st, 0);
	if (p == NULL || n == 0 || n > SPOOL_ACQUAINTANCES_MAX) {
		p = "";
		n = 1;
	}
	r->state = (struct str){arena_copy(&r->op.mem, p, n), n};
	db_reset(st);
	return 0;
}

static bool
read_finish(struct spool *s, struct op *op, bool muted)
{
	struct read_op *r = read_of(op);

	(void)s;
	if (!muted)
		r->fn(r->arg, op->error, r->state);
	return false;
}

static const struct op_type read_type = {
    .name = "read acquaintances",
    .run = read_run,
    .finish = read_finish,
};

void
spool_read_acquaintances(
    struct spool *s, const char *key, spool_acquaintances_fn *fn, void *arg)
{
	struct read_op *r = xcalloc(1, sizeof(*r));

	r->op.type = &read_type;
	r->key = arena_string(&r->op.mem, key);
	r->fn = fn;
	r->arg = arg;
	core_submit(s, &r->op, CORE_READER);
}
