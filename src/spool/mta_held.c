/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages that a freeze puts on hold in the mail server's queue, by their
 * queue ids. A row is there before the command runs (held 0), and says after it
 * that it has run (held 1); the thaw sets its disposition (the column fate), in
 * the thaw's own commit, and it goes when that is done. A row is noted only
 * while its source is frozen: whatever comes after a thaw finds nothing to
 * hold.
 *
 * What is to be deleted and is not known to be on hold is put on hold first,
 * since the commands touch nothing else.
 */
#include "spool/core.h"

#include "spool/spool.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MAX 1000
#define SOURCE_MAX 1024 /* bytes; a longer one is damage */

/* Stored, and in the statements of db.h. */
enum held_disposition { HELD_STAYS, HELD_RELEASE, HELD_DISCARD };

static void
set_disposition(struct tx *tx, const char *source, enum held_disposition from,
    enum held_disposition to)
{
	sqlite3_stmt *st = db_get(tx->db, DB_SET_MTA_DISPOSITION);

	db_bind_text(st, 1, source);
	db_bind_int(st, 2, from);
	db_bind_int(st, 3, to);
	db_run(tx->db, st);
}

void
mta_held_turn(struct tx *tx, const char *source, bool frozen, bool discards)
{
	if (frozen)
		set_disposition(tx, source, HELD_RELEASE, HELD_STAYS);
	else
		set_disposition(tx, source, HELD_STAYS,
		    discards ? HELD_DISCARD : HELD_RELEASE);
}

/* ---- the ops ---- */

struct mta_op {
	struct op op;
	/* What is asked. */
	const char *source;
	const char **ids;
	struct spool_mta_result *results;
	enum spool_mta_task task;
	uint64_t after;
	size_t max; /* of the ids, the results, or to be listed */
	/* What is answered. */
	struct spool_mta_held *v;
	size_t n;
	uint64_t total;
	spool_mta_fn *fn;
	void *arg;
};

static struct mta_op *
mta_of(struct op *op)
{
	return CONTAINER_OF(op, struct mta_op, op);
}

static struct mta_op *
mta_new(const struct op_type *type, size_t max, spool_mta_fn *fn, void *arg)
{
	struct mta_op *m = xcalloc(1, sizeof(*m));

	m->op.type = type;
	m->max = max;
	m->fn = fn;
	m->arg = arg;
	return m;
}

static void
forget_found(struct mta_op *m)
{
	for (size_t i = 0; m->v != NULL && i < m->n; i++)
		free((char *)m->v[i].source);
	m->n = 0;
}

static void
mta_undo(struct op *op)
{
	forget_found(mta_of(op));
}

static bool
mta_finish(struct spool *s, struct op *op, bool muted)
{
	struct mta_op *m = mta_of(op);
	struct spool_mta_answer answer = {m->v, m->n, m->total};

	(void)s;
	if (op->error != 0)
		answer = (struct spool_mta_answer){0};
	if (!muted)
		m->fn(m->arg, op->error, &answer);
	return false;
}

static void
mta_free(struct op *op)
{
	struct mta_op *m = mta_of(op);

	forget_found(m);
	free(m->v);
}

static uint64_t
count(struct tx *tx)
{
	return (uint64_t)db_number(
	    tx->db, db_get(tx->db, DB_COUNT_MTA_HELD), 0);
}

static bool
is_frozen(struct tx *tx, const char *source)
{
	sqlite3_stmt *st = db_get(tx->db, DB_IS_FROZEN);

	db_bind_text(st, 1, source);
	return db_number(tx->db, st, 0) != 0;
}

static int
put_run(struct tx *tx, struct op *op)
{
	struct mta_op *m = mta_of(op);

	m->n = 0;
	m->total = count(tx);
	if (!is_frozen(tx, m->source))
		return 0;
	while (m->n < m->max && m->total < SPOOL_MTA_HELD_MAX) {
		sqlite3_stmt *st = db_get(tx->db, DB_PUT_MTA_HELD);

		db_bind_text(st, 1, m->ids[m->n]);
		db_bind_text(st, 2, m->source);
		db_run(tx->db, st);
		m->n++;
		m->total++;
	}
	m->total = count(tx); /* an id may have been there */
	return 0;
}

static const struct op_type put_type = {
    .name = "mta_put",
    .run = put_run,
    .undo = mta_undo,
    .finish = mta_finish,
    .free = mta_free,
};

void
spool_mta_put(struct spool *s, const char *source, const char *const *ids,
    size_t n, spool_mta_fn *fn, void *arg)
{
	struct mta_op *m = mta_new(&put_type, n, fn, arg);

	m->source = arena_string(&m->op.mem, source);
	m->ids = arena_alloc(&m->op.mem, (n + 1) * sizeof(*m->ids));
	for (size_t i = 0; i < n; i++)
		m->ids[i] = arena_string(&m->op.mem, ids[i]);
	core_submit(s, &m->op, CORE_WRITER);
}

/* ---- listing ---- */

/* False: a bad row, logged. */
static bool
read_row(struct db *db, sqlite3_stmt *st, struct spool_mta_held *out)
{
	struct arena mem;
	const char *mta_id, *source;

	arena_init(&mem);
	out->row = (uint64_t)db_column_int(db, st, 0, 1, INT64_MAX);
	mta_id = db_column_text(db, st, 1, &mem);
	source = db_column_text(db, st, 2, &mem);
	if (strlen(mta_id) >= SPOOL_MTA_ID_MAX || strlen(source) > SOURCE_MAX)
		db->bad_row = true;
	str_copy(str_from(mta_id), out->mta_id, sizeof(out->mta_id));
	out->source = xstrdup(source);
	arena_clear(&mem);
	if (!db_take_bad_row(
		db, "mta_held", (uint64_t)sqlite3_column_int64(st, 0)))
		return true;
	free((char *)out->source);
	out->source = NULL;
	return false;
}

static const enum db_statement list_statements[SPOOL_MTA_TASKS] = {
    [SPOOL_MTA_HOLD] = DB_MTA_TO_HOLD,
    [SPOOL_MTA_RELEASE] = DB_MTA_TO_RELEASE,
    [SPOOL_MTA_DISCARD] = DB_MTA_TO_DISCARD,
};

/* A damaged row names no message, and would be in the way for ever. */
static int
list_run(struct tx *tx, struct op *op)
{
	struct mta_op *m = mta_of(op);
	sqlite3_stmt *st = db_get(tx->db, list_statements[m->task]);
	int64_t *bad = xcalloc(m->max + 1, sizeof(*bad));
	size_t bad_count = 0;

	db_bind_int(st, 1, (int64_t)m->after);
	db_bind_int(st, 2, (int64_t)m->max);
	while (m->n + bad_count < m->max && db_step(tx->db, st)) {
		if (read_row(tx->db, st, &m->v[m->n]))
			m->n++;
		else
			bad[bad_count++] = sqlite3_column_int64(st, 0);
	}
	db_reset(st);
	for (size_t i = 0; i < bad_count; i++) {
		st = db_get(tx->db, DB_DELETE_MTA_HELD);
		db_bind_int(st, 1, bad[i]);
		db_run(tx->db, st);
	}
	free(bad);
	m->total = count(tx);
	return 0;
}

static const struct op_type list_type = {
    .name = "mta_list",
    .run = list_run,
    .undo = mta_undo,
    .finish = mta_finish,
    .free = mta_free,
};

void
spool_mta_list(struct spool *s, enum spool_mta_task task, uint64_t after,
    size_t max, spool_mta_fn *fn, void *arg)
{
	struct mta_op *m =
	    mta_new(&list_type, max < LIST_MAX ? max : LIST_MAX, fn, arg);

	m->task = task;
	m->after = after < INT64_MAX ? after : INT64_MAX;
	m->v = xcalloc(m->max + 1, sizeof(*m->v));
	core_submit(s, &m->op, CORE_WRITER);
}

/* ---- results ---- */

static int
finish_run(struct tx *tx, struct op *op)
{
	struct mta_op *m = mta_of(op);

	for (size_t i = 0; i < m->max; i++) {
		sqlite3_stmt *st =
		    db_get(tx->db, m->results[i].is_held ? DB_SET_MTA_HELD
							 : DB_DELETE_MTA_HELD);

		db_bind_int(st, 1, (int64_t)m->results[i].row);
		db_run(tx->db, st);
	}
	m->total = count(tx);
	return 0;
}

static const struct op_type finish_type = {
    .name = "mta_finish",
    .run = finish_run,
    .undo = mta_undo,
    .finish = mta_finish,
    .free = mta_free,
};

void
spool_mta_finish(struct spool *s, const struct spool_mta_result *results,
    size_t n, spool_mta_fn *fn, void *arg)
{
	struct mta_op *m = mta_new(&finish_type, n, fn, arg);

	m->results = arena_alloc(&m->op.mem, (n + 1) * sizeof(*results));
	if (n > 0)
		memcpy(m->results, results, n * sizeof(*results));
	core_submit(s, &m->op, CORE_WRITER);
}
