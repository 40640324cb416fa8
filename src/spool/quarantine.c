/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages that wait in the mail server's own hold queue: what of them may go,
 * or is doomed, is claimed here and nowhere else. Their recipients are never
 * RELEASED in the database (they go from HELD to BLOCKED to SENDING), so that
 * delivery does not see them; when a message is due stands in the table
 * quarantine.
 */
#include "spool/message.h"
#include "spool/simple.h"

#include <stdlib.h>
#include <string.h>

#define CLAIM_MAX 1000

struct look_op { /* a claim or a listing */
	struct op op;
	size_t max, n;
	uint64_t after;
	int64_t wall_ms, settle_ms, next_due;
	struct spool_quarantined *v;
	spool_quarantine_fn *fn;
	void *arg;
};

static struct look_op *
look_of(struct op *op)
{
	return CONTAINER_OF(op, struct look_op, op);
}

/* False: a bad row, logged. */
static bool
read_row(struct db *db, sqlite3_stmt *st, struct spool_quarantined *out)
{
	struct arena mem;
	const char *mta_id;

	arena_init(&mem);
	out->id = (uint64_t)db_column_int(db, st, 0, 1, INT64_MAX);
	mta_id = db_column_text(db, st, 1, &mem);
	if (out->id != SPOOL_ID(out->id) || strlen(mta_id) >= SPOOL_MTA_ID_MAX)
		db->bad_row = true;
	str_copy(str_from(mta_id), out->mta_id, sizeof(out->mta_id));
	out->doomed = db_column_int(db, st, 2, 0, 1) != 0;
	out->attempts = (uint32_t)db_column_int(db, st, 3, 0, UINT32_MAX);
	arena_clear(&mem);
	return !db_take_bad_row(
	    db, "quarantine", (uint64_t)sqlite3_column_int64(st, 0));
}

static void
look_undo(struct op *op)
{
	look_of(op)->n = 0;
}

static bool
look_finish(struct spool *s, struct op *op, bool muted)
{
	struct look_op *l = look_of(op);

	(void)s;
	if (!muted)
		l->fn(l->arg, op->error, l->v, op->error == 0 ? l->n : 0,
		    l->next_due);
	return false;
}

static struct look_op *
look_new(
    const struct op_type *type, size_t max, spool_quarantine_fn *fn, void *arg)
{
	struct look_op *l = xcalloc(1, sizeof(*l));

	l->op.type = type;
	l->max = max < CLAIM_MAX ? max : CLAIM_MAX;
	l->v = arena_alloc(&l->op.mem, (l->max + 1) * sizeof(*l->v));
	l->next_due = INT64_MAX;
	l->fn = fn;
	l->arg = arg;
	return l;
}

/* ---- claim ---- */

/* What is taken is not due any more, also where its row is damaged: a claim
 * never comes upon it again. */
static void
take(struct tx *tx, uint64_t id)
{
	sqlite3_stmt *st = db_get(tx->db, DB_TAKE_QUARANTINE);
	int64_t n;

	db_bind_int(st, 1, (int64_t)id);
	db_run(tx->db, st);
	st = db_get(tx->db, DB_SEND_RANGE);
	db_bind_int(st, 1, (int64_t)id);
	n = db_run(tx->db, st);
	if (n > 0) {
		tx->effects.recipients[DB_BLOCKED] -= n;
		tx->effects.recipients[SPOOL_SENDING] += n;
	}
}

static int
claim_run(struct tx *tx, struct op *op)
{
	struct look_op *l = look_of(op);
	sqlite3_stmt *st = db_get(tx->db, DB_DUE_QUARANTINE);
	uint64_t *ids = xcalloc(l->max + 1, sizeof(*ids));
	size_t n = 0;

	db_bind_int(st, 1, l->wall_ms);
	db_bind_int(st, 2, (int64_t)l->max);
	db_bind_int(st, 3, l->settle_ms);
	while (n < l->max && db_step(tx->db, st)) {
		ids[n++] = (uint64_t)sqlite3_column_int64(st, 0);
		if (read_row(tx->db, st, &l->v[l->n]))
			l->n++;
	}
	db_reset(st);
	for (size_t i = 0; i < n; i++)
		take(tx, ids[i]);
	free(ids);
	st = db_get(tx->db, DB_NEXT_QUARANTINE);
	db_bind_int(st, 1, l->wall_ms);
	db_bind_int(st, 3, l->settle_ms);
	l->next_due = db_number(tx->db, st, INT64_MAX);
	return 0;
}

static const struct op_type claim_type = {
    .name = "quarantine_claim",
    .run = claim_run,
    .undo = look_undo,
    .finish = look_finish,
};

void
spool_quarantine_claim(struct spool *s, size_t max, int64_t wall_ms,
    int64_t settle_ms, spool_quarantine_fn *fn, void *arg)
{
	struct look_op *l = look_new(&claim_type, max, fn, arg);

	l->wall_ms = wall_ms;
	l->settle_ms = settle_ms;
	core_submit(s, &l->op, CORE_WRITER);
}

/* ---- list ---- */

static int
list_run(struct tx *tx, struct op *op)
{
	struct look_op *l = look_of(op);
	sqlite3_stmt *st = db_get(tx->db, DB_WALK_QUARANTINE);

	db_bind_int(st, 1, (int64_t)l->after);
	db_bind_int(st, 2, (int64_t)l->max);
	while (l->n < l->max && db_step(tx->db, st)) {
		l->v[l->n].queued_at =
		    db_column_int(tx->db, st, 4, INT64_MIN, INT64_MAX);
		if (read_row(tx->db, st, &l->v[l->n]))
			l->n++;
	}
	db_reset(st);
	return 0;
}

static const struct op_type list_type = {
    .name = "quarantine_list",
    .run = list_run,
    .undo = look_undo,
    .finish = look_finish,
};

void
spool_quarantine_list(struct spool *s, uint64_t after_id, size_t max,
    spool_quarantine_fn *fn, void *arg)
{
	struct look_op *l = look_new(&list_type, max, fn, arg);

	l->after = after_id < INT64_MAX ? after_id : INT64_MAX;
	core_submit_new(s, &l->op, CORE_READER);
}

/* ---- results ---- */

struct finish_op {
	struct simple_op simple;
	struct spool_quarantine_result *results;
	size_t n;
};

static void
try_again(struct tx *tx, const struct spool_quarantine_result *r)
{
	sqlite3_stmt *st = db_get(tx->db, DB_RETRY_RANGE);
	bool is_due = false;

	db_bind_int(st, 1, (int64_t)r->id);
	db_bind_int(st, 2, r->next_try);
	db_bind_text(st, 3, r->error);
	while (db_step(tx->db, st)) {
		bool stopped = sqlite3_column_int(st, 0) == DB_STOPPED;

		tx->effects.recipients[stopped ? DB_STOPPING : SPOOL_SENDING]--;
		tx->effects.recipients[stopped ? DB_STOPPED : DB_BLOCKED]++;
		is_due |= !stopped;
	}
	if (!is_due)
		return;
	st = db_get(tx->db, DB_RETRY_QUARANTINE);
	db_bind_int(st, 1, (int64_t)r->id);
	db_bind_int(st, 2, r->next_try);
	db_run(tx->db, st);
}

/* What is not claimed is passed over, so that results may be given again. */
static int
finish_run(struct tx *tx, struct op *op)
{
	struct finish_op *f = CONTAINER_OF(op, struct finish_op, simple.op);

	for (size_t i = 0; i < f->n; i++) {
		uint64_t id = f->results[i].id;
		sqlite3_stmt *st = db_get(tx->db, DB_HAS_SENDING);
		struct message_flags flags;

		db_bind_int(st, 1, (int64_t)id);
		if (db_number(tx->db, st, 0) == 0 ||
		    !message_flags(tx->db, id, &flags) || !flags.quarantined)
			continue;
		if (f->results[i].gone)
			message_remove(tx, id, flags.in_file);
		else
			try_again(tx, &f->results[i]);
	}
	return 0;
}

static const struct op_type finish_type = {
    .name = "quarantine_finish",
    .run = finish_run,
    .finish = simple_finish,
};

void
spool_quarantine_finish(struct spool *s,
    const struct spool_quarantine_result *results, size_t n, spool_done_fn *fn,
    void *arg)
{
	struct finish_op *f = xcalloc(1, sizeof(*f));
	struct arena *mem = &f->simple.op.mem;

	f->simple.op.type = &finish_type;
	f->simple.fn = fn;
	f->simple.arg = arg;
	f->n = n;
	f->results = arena_alloc(mem, (n + 1) * sizeof(*results));
	for (size_t i = 0; i < n; i++) {
		f->results[i] = results[i];
		f->results[i].error = arena_string(mem, results[i].error);
	}
	core_submit(s, &f->simple.op, CORE_WRITER);
}

/* ---- a listing that is believed ---- */

struct proof_op {
	struct simple_op simple;
	uint64_t proof;
};

static int
proof_run(struct tx *tx, struct op *op)
{
	sqlite3_stmt *st = db_get(tx->db, DB_SET_META);

	db_bind_text(st, 1, "queue_proof");
	db_bind_int(st, 2,
	    (int64_t)CONTAINER_OF(op, struct proof_op, simple.op)->proof);
	db_run(tx->db, st);
	return 0;
}

static const struct op_type proof_type = {
    .name = "queue_proof",
    .run = proof_run,
    .finish = simple_finish,
};

uint64_t
spool_queue_proof(const struct spool *s)
{
	return s->queue_proof;
}

void
spool_set_queue_proof(struct spool *s, uint64_t proof)
{
	struct proof_op *p = xcalloc(1, sizeof(*p));

	s->queue_proof = proof;
	p->simple.op.type = &proof_type;
	p->proof = proof;
	core_submit(s, &p->simple.op, CORE_WRITER);
}
