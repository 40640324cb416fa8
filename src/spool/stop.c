/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of each recipient says that a freeze has stopped it, in the commit
 * of the freeze itself: so there is nothing to work out at a restart, a claim
 * looks at nothing that may not go, and what an administrator releases in the
 * freeze (RELEASED again) stays apart from it.
 *
 * Of what is in the mail server's queue the recipients are BLOCKED, and its row
 * there is due; stopped it is not.
 */
#include "spool/stop.h"

#include <stdlib.h>

static void
note_moved(struct tx *tx, int from, int to, int64_t n)
{
	if (n <= 0)
		return;
	tx->effects.recipients[from] -= n;
	tx->effects.recipients[to] += n;
}

static void
move(struct tx *tx, enum db_statement how, const char *source, int from, int to)
{
	sqlite3_stmt *st = db_get(tx->db, how);

	db_bind_text(st, 1, source);
	db_bind_int(st, 2, from);
	db_bind_int(st, 3, to);
	note_moved(tx, from, to, db_run(tx->db, st));
}

static void
set_due(struct tx *tx, enum db_statement how, const char *source)
{
	sqlite3_stmt *st = db_get(tx->db, how);

	db_bind_text(st, 1, source);
	db_run(tx->db, st);
}

void
stop_source(struct tx *tx, const char *source)
{
	move(tx, DB_MOVE_SOURCE, source, SPOOL_RELEASED, DB_STOPPED);
	move(tx, DB_MOVE_SOURCE, source, SPOOL_SENDING, DB_STOPPING);
	move(tx, DB_MOVE_QUARANTINED, source, DB_BLOCKED, DB_STOPPED);
	move(tx, DB_MOVE_QUARANTINED, source, SPOOL_SENDING, DB_STOPPING);
	set_due(tx, DB_STOP_QUARANTINE, source);
}

void
stop_end(struct tx *tx, const char *source, int64_t wall_ms)
{
	sqlite3_stmt *st;

	set_due(tx, DB_START_QUARANTINE, source);
	move(tx, DB_MOVE_QUARANTINED, source, DB_STOPPED, DB_BLOCKED);
	move(tx, DB_MOVE_QUARANTINED, source, DB_STOPPING, SPOOL_SENDING);
	move(tx, DB_MOVE_SOURCE, source, DB_STOPPING, SPOOL_SENDING);
	st = db_get(tx->db, DB_START_SOURCE);
	db_bind_text(st, 1, source);
	db_bind_int(st, 2, DB_STOPPED);
	db_bind_int(st, 3, wall_ms);
	note_moved(tx, DB_STOPPED, SPOOL_RELEASED, db_run(tx->db, st));
}

static void
move_message(struct tx *tx, uint64_t id, int from, int to)
{
	sqlite3_stmt *st = db_get(tx->db, DB_MOVE_MESSAGE);

	db_bind_int(st, 1, (int64_t)id);
	db_bind_int(st, 2, from);
	db_bind_int(st, 3, to);
	note_moved(tx, from, to, db_run(tx->db, st));
}

void
stop_late(struct tx *tx, uint64_t id, bool quarantined)
{
	sqlite3_stmt *st = db_get(tx->db, DB_IS_STOPPED);

	db_bind_int(st, 1, (int64_t)id);
	if (db_number(tx->db, st, 0) == 0)
		return;
	if (!quarantined) {
		move_message(tx, id, SPOOL_RELEASED, DB_STOPPED);
		return;
	}
	st = db_get(tx->db, DB_STOP_QUARANTINE_ID);
	db_bind_int(st, 1, (int64_t)id);
	if (db_run(tx->db, st) > 0)
		move_message(tx, id, DB_BLOCKED, DB_STOPPED);
}

/* ---- how many ---- */

struct count_op {
	struct op op;
	const char *source;
	uint64_t n, mta_held;
	spool_count_fn *fn;
	void *arg;
};

static struct count_op *
count_of(struct op *op)
{
	return CONTAINER_OF(op, struct count_op, op);
}

static int
count_run(struct tx *tx, struct op *op)
{
	sqlite3_stmt *st = db_get(tx->db, DB_COUNT_STOPPED);

	db_bind_text(st, 1, count_of(op)->source);
	count_of(op)->n = (uint64_t)db_number(tx->db, st, 0);
	st = db_get(tx->db, DB_COUNT_MTA_HELD_OF);
	db_bind_text(st, 1, count_of(op)->source);
	count_of(op)->mta_held = (uint64_t)db_number(tx->db, st, 0);
	return 0;
}

static bool
count_finish(struct spool *s, struct op *op, bool muted)
{
	struct count_op *c = count_of(op);

	(void)s;
	if (!muted)
		c->fn(c->arg, op->error, c->n, c->mta_held);
	return false;
}

static const struct op_type count_type = {
    .name = "count_stopped",
    .run = count_run,
    .finish = count_finish,
};

void
spool_count_stopped(
    struct spool *s, const char *source, spool_count_fn *fn, void *arg)
{
	struct count_op *c = xcalloc(1, sizeof(*c));

	c->op.type = &count_type;
	c->source = arena_string(&c->op.mem, source);
	c->fn = fn;
	c->arg = arg;
	core_submit_new(s, &c->op, CORE_READER);
}
