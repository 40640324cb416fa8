/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sources (frozen or not, snapshots written behind) and the audit log.
 */
#include "spool/core.h"

#include "spool/simple.h"
#include "spool/stop.h"

#include <stdlib.h>
#include <string.h>

#define AUDIT_ROWS_MAX 100000
#define LAZY_BYTES_MAX (32 << 20) /* a writer that is stuck */

bool
simple_finish(struct spool *s, struct op *op, bool muted)
{
	struct simple_op *simple = CONTAINER_OF(op, struct simple_op, op);

	(void)s;
	if (simple->fn != NULL && !muted)
		simple->fn(simple->arg, op->error);
	return false;
}

/* ---- audit ---- */

static char *
copy_cut(struct arena *mem, const char *s)
{
	return arena_copy(mem, s != NULL ? s : "",
	    s != NULL ? strnlen(s, CORE_DETAIL_MAX) : 0);
}

struct spool_audit *
audit_copy(struct arena *mem, const struct spool_audit *audit)
{
	struct spool_audit *out;

	if (audit == NULL)
		return NULL;
	out = arena_alloc(mem, sizeof(*out));
	out->at = audit->at;
	out->who = copy_cut(mem, audit->who);
	out->action = copy_cut(mem, audit->action);
	out->target = copy_cut(mem, audit->target);
	out->detail = copy_cut(mem, audit->detail);
	return out;
}

void
audit_insert(struct tx *tx, const struct spool_audit *audit)
{
	sqlite3_stmt *st;
	int64_t id;

	if (audit == NULL)
		return;
	st = db_get(tx->db, DB_PUT_AUDIT);
	db_bind_int(st, 1, audit->at);
	db_bind_text(st, 2, audit->who);
	db_bind_text(st, 3, audit->action);
	db_bind_text(st, 4, audit->target);
	db_bind_text(st, 5, audit->detail);
	if (db_run(tx->db, st) < 0)
		return;
	id = sqlite3_last_insert_rowid(tx->db->h);
	if (id <= AUDIT_ROWS_MAX)
		return;
	st = db_get(tx->db, DB_TRIM_AUDIT);
	db_bind_int(st, 1, id - AUDIT_ROWS_MAX);
	db_run(tx->db, st);
}

/* ---- what waits for a commit ---- */

struct snapshot {
	int64_t saved_at;
	size_t size;
	bool gone; /* what is stored is to be removed */
	char state[];
};

/* ---- frozen, forget, audit alone ---- */

struct source_op {
	struct simple_op simple;
	const char *key;
	const char *note;
	bool frozen, discards;
	unsigned reason;
	int64_t at, thaw_at;
	struct spool_audit *audit;
};

static struct source_op *
source_of(struct op *op)
{
	return CONTAINER_OF(op, struct source_op, simple.op);
}

static struct source_op *
source_new(const struct op_type *type, const struct spool_audit *audit,
    spool_done_fn *fn, void *arg)
{
	struct source_op *so = xcalloc(1, sizeof(*so));

	so->simple.op.type = type;
	so->simple.fn = fn;
	so->simple.arg = arg;
	so->audit = audit_copy(&so->simple.op.mem, audit);
	return so;
}

static int
frozen_run(struct tx *tx, struct op *op)
{
	struct source_op *so = source_of(op);
	sqlite3_stmt *st = db_get(tx->db, DB_SET_FROZEN);

	db_bind_text(st, 1, so->key);
	db_bind_int(st, 2, so->frozen);
	db_bind_int(st, 3, so->reason);
	db_bind_int(st, 4, so->at);
	db_bind_text(st, 5, so->note);
	db_bind_int(st, 6, so->thaw_at);
	db_run(tx->db, st);
	if (so->frozen)
		stop_source(tx, so->key);
	else
		stop_end(tx, so->key, so->at);
	mta_held_turn(tx, so->key, so->frozen, so->discards);
	audit_insert(tx, so->audit);
	return 0;
}

static const struct op_type frozen_type = {
    .name = "frozen",
    .run = frozen_run,
    .finish = simple_finish,
};

/* The row that is about to be written is not the one that was to go. */
static void
cancel_removal(struct spool *s, const char *key)
{
	struct snapshot *old;

	pthread_mutex_lock(&s->lazy_lock);
	old = map_find(s->lazy, str_from(key));
	if (old != NULL && old->gone) {
		map_remove(s->lazy, str_from(key));
		atomic_fetch_sub(&s->lazy_bytes, sizeof(*old));
		free(old);
	}
	pthread_mutex_unlock(&s->lazy_lock);
}

void
spool_set_frozen(struct spool *s, const struct spool_source *source,
    const struct spool_audit *audit, spool_done_fn *fn, void *arg)
{
	struct source_op *so = source_new(&frozen_type, audit, fn, arg);

	so->key = arena_string(&so->simple.op.mem, source->key);
	so->note = source->note != NULL
		       ? copy_cut(&so->simple.op.mem, source->note)
		       : NULL;
	so->frozen = source->frozen;
	so->discards = source->discards;
	so->reason = source->reason;
	so->at = source->frozen_at;
	so->thaw_at = source->thaw_at;
	if (so->frozen)
		cancel_removal(s, source->key);
	core_submit(s, &so->simple.op, CORE_WRITER);
}

static int
audit_run(struct tx *tx, struct op *op)
{
	audit_insert(tx, source_of(op)->audit);
	return 0;
}

static const struct op_type audit_type = {
    .name = "audit",
    .run = audit_run,
    .finish = simple_finish,
};

void
spool_audit_add(struct spool *s, const struct spool_audit *audit,
    spool_done_fn *fn, void *arg)
{
	struct source_op *so = source_new(&audit_type, audit, fn, arg);

	core_submit(s, &so->simple.op, CORE_WRITER);
}

/* ---- snapshots ---- */

/* What is newer takes the place of what waits for the same key. */
static void
wait_for_commit(struct spool *s, const char *key, struct snapshot *snap)
{
	struct snapshot *old;

	pthread_mutex_lock(&s->lazy_lock);
	atomic_fetch_add(&s->lazy_bytes, sizeof(*snap) + snap->size);
	old = map_set(s->lazy, str_from(key), snap);
	if (old != NULL)
		atomic_fetch_sub(&s->lazy_bytes, sizeof(*old) + old->size);
	pthread_mutex_unlock(&s->lazy_lock);
	free(old);
}

/* NULL: too much waits, the writer must be stuck. */
static struct snapshot *
snapshot_new(struct spool *s, size_t size)
{
	struct snapshot *snap;

	if (atomic_load(&s->lazy_bytes) + size > LAZY_BYTES_MAX) {
		atomic_fetch_add(&s->errors, 1);
		return NULL;
	}
	snap = xmalloc(sizeof(*snap) + size);
	*snap = (struct snapshot){.size = size};
	return snap;
}

void
spool_save_state(struct spool *s, const char *key, const void *state,
    size_t size, int64_t wall_ms)
{
	struct snapshot *snap;

	/* Only the next start would read it. */
	if (s->settings.scratch)
		return;
	snap = snapshot_new(s, size);
	if (snap == NULL)
		return;
	snap->saved_at = wall_ms;
	if (size > 0)
		memcpy(snap->state, state, size);
	wait_for_commit(s, key, snap);
}

void
spool_forget_source(struct spool *s, const char *key)
{
	struct snapshot *snap = snapshot_new(s, 0);

	if (snap == NULL)
		return;
	snap->gone = true;
	wait_for_commit(s, key, snap);
}

/* ---- a snapshot that somebody waits for ---- */

struct state_op {
	struct simple_op simple;
	const char *key;
	struct snapshot *snap;
};

static struct state_op *
state_of(struct op *op)
{
	return CONTAINER_OF(op, struct state_op, simple.op);
}

static int
state_run(struct tx *tx, struct op *op)
{
	struct state_op *so = state_of(op);
	sqlite3_stmt *st = db_get(tx->db, DB_SAVE_STATE);

	db_bind_text(st, 1, so->key);
	db_bind_blob(st, 2, so->snap->state, so->snap->size);
	db_bind_int(st, 3, so->snap->saved_at);
	db_run(tx->db, st);
	return 0;
}

static void
state_free(struct op *op)
{
	struct state_op *so = state_of(op);

	free(so->snap);
}

static const struct op_type state_type = {
    .name = "state",
    .run = state_run,
    .finish = simple_finish,
    .free = state_free,
};

/* An older one would be written behind this one, in the same group. */
static void
drop_waiting(struct spool *s, const char *key)
{
	struct snapshot *old;

	pthread_mutex_lock(&s->lazy_lock);
	old = map_remove(s->lazy, str_from(key));
	if (old != NULL)
		atomic_fetch_sub(&s->lazy_bytes, sizeof(*old) + old->size);
	pthread_mutex_unlock(&s->lazy_lock);
	free(old);
}

void
spool_secure_state(struct spool *s, const char *key, const void *state,
    size_t size, int64_t wall_ms, spool_done_fn *fn, void *arg)
{
	struct state_op *so = xcalloc(1, sizeof(*so));

	so->simple.op.type = &state_type;
	so->simple.op.cost = size;
	so->simple.fn = fn;
	so->simple.arg = arg;
	if (s->settings.scratch) {
		core_refuse(s, &so->simple.op, 0);
		return;
	}
	so->key = arena_string(&so->simple.op.mem, key);
	so->snap = xmalloc(sizeof(*so->snap) + size);
	*so->snap = (struct snapshot){.size = size, .saved_at = wall_ms};
	if (size > 0)
		memcpy(so->snap->state, state, size);
	drop_waiting(s, key);
	core_submit(s, &so->simple.op, CORE_WRITER);
}

/* ---- written behind ---- */

struct lazy_op {
	struct op op;
	struct map *map;
};

static void
write_snapshot(struct tx *tx, struct str key, const struct snapshot *snap)
{
	sqlite3_stmt *st =
	    db_get(tx->db, snap->gone ? DB_FORGET_SOURCE : DB_SAVE_STATE);

	sqlite3_bind_text(st, 1, key.p, (int)key.n, SQLITE_STATIC);
	if (!snap->gone) {
		db_bind_blob(st, 2, snap->state, snap->size);
		db_bind_int(st, 3, snap->saved_at);
	}
	db_run(tx->db, st);
}

static int
lazy_run(struct tx *tx, struct op *op)
{
	struct lazy_op *lazy = CONTAINER_OF(op, struct lazy_op, op);
	struct str key;
	size_t pos = 0;
	void *value;

	while (map_each(lazy->map, &pos, &key, &value))
		write_snapshot(tx, key, value);
	return 0;
}

static void
lazy_free(struct op *op)
{
	struct lazy_op *lazy = CONTAINER_OF(op, struct lazy_op, op);

	map_free(lazy->map, free);
}

static const struct op_type lazy_type = {
    .name = "lazy", .run = lazy_run, .free = lazy_free};

struct op *
source_take_lazy(struct spool *s)
{
	struct map *fresh = map_new();
	struct lazy_op *lazy;
	struct map *map;

	pthread_mutex_lock(&s->lazy_lock);
	map = s->lazy;
	s->lazy = fresh;
	atomic_store(&s->lazy_bytes, 0);
	pthread_mutex_unlock(&s->lazy_lock);
	if (map_count(map) == 0) {
		map_free(map, free);
		return NULL;
	}
	lazy = xcalloc(1, sizeof(*lazy));
	lazy->op.type = &lazy_type;
	lazy->map = map;
	return &lazy->op;
}
