/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the gate reads at the start: sources. Blocks, with a connection of its
 * own, before the loop runs. What is held comes later (held.c).
 */
#include "spool/core.h"

#include <errno.h>
#include <stdlib.h>

#define STATE_MAX (16 << 20)

/* A snapshot; NULL is none. */
static void
load_state(struct db *db, sqlite3_stmt *st, int at, struct spool_source *source)
{
	if (sqlite3_column_type(st, at) == SQLITE_BLOB &&
	    sqlite3_column_bytes(st, at) <= STATE_MAX) {
		source->state_size = (size_t)sqlite3_column_bytes(st, at);
		source->state = sqlite3_column_blob(st, at);
	} else if (sqlite3_column_type(st, at) != SQLITE_NULL) {
		db->bad_row = true;
	}
}

static void
load_source(struct db *db, sqlite3_stmt *st, struct arena *mem,
    void (*on_source)(void *arg, const struct spool_source *source), void *arg)
{
	struct spool_source source = {
	    .key = db_column_text(db, st, 0, mem),
	    .frozen = db_column_int(db, st, 1, 0, 1) != 0,
	    .reason = (unsigned)db_column_int(db, st, 2, 0, UINT32_MAX),
	    .frozen_at = db_column_int(db, st, 3, INT64_MIN, INT64_MAX),
	    .saved_at = db_column_int(db, st, 5, INT64_MIN, INT64_MAX),
	    .note = db_column_note(st, 6, SPOOL_NAME_MAX, mem),
	    /* No number is for good: a freeze never ends by an accident. */
	    .thaw_at = sqlite3_column_int64(st, 7),
	};

	load_state(db, st, 4, &source);
	if (!db_take_bad_row(db, "source", 0))
		on_source(arg, &source);
}

int
spool_load(struct spool *s,
    void (*on_source)(void *arg, const struct spool_source *source), void *arg)
{
	struct arena mem;
	sqlite3_stmt *st;
	char err[256];
	struct db db;
	int rc = db_open(&db, s->database, DB_READ, s->log, err, sizeof(err));

	if (rc != SQLITE_OK)
		return db_errno(rc);
	arena_init(&mem);
	st = db_get(&db, DB_GET_SOURCES);
	while (db_step(&db, st)) {
		load_source(&db, st, &mem, on_source, arg);
		arena_clear(&mem);
	}
	rc = db.rc;
	db_close(&db);
	return db_errno(rc);
}

/* ---- whom sources know ---- */

int
spool_count_acquaintances(struct spool *s, uint64_t *out)
{
	char err[256];
	struct db db;
	int rc = db_open(&db, s->database, DB_READ, s->log, err, sizeof(err));

	if (rc != SQLITE_OK)
		return db_errno(rc);
	*out = (uint64_t)db_number(&db, db_get(&db, DB_COUNT_ACQUAINTANCES), 0);
	rc = db.rc;
	db_close(&db);
	return db_errno(rc);
}

#define TAKE_OVER_ROWS 200

struct take_over {
	struct db db;
	struct arena mem; /* of the rows in hand */
	int64_t wall;
	spool_take_over_fn *fn;
	void *arg;
	struct spool_source rows[TAKE_OVER_ROWS];
	int64_t ids[TAKE_OVER_ROWS];
	size_t n;
	unsigned char out[SPOOL_ACQUAINTANCES_MAX];
};

/* Those that cannot be read are among them, without a state. */
static void
get_rows(struct take_over *t)
{
	sqlite3_stmt *st = db_get(&t->db, DB_GET_INBOUND);

	t->n = 0;
	db_bind_int(st, 1, TAKE_OVER_ROWS);
	while (t->n < TAKE_OVER_ROWS && db_step(&t->db, st)) {
		struct spool_source *row = &t->rows[t->n];

		t->ids[t->n++] = sqlite3_column_int64(st, 0);
		*row = (struct spool_source){
		    .key = db_column_text(&t->db, st, 1, &t->mem),
		    .saved_at =
			db_column_int(&t->db, st, 3, INT64_MIN, INT64_MAX),
		};
		load_state(&t->db, st, 2, row);
		row->state = arena_copy(&t->mem, row->state, row->state_size);
		if (db_take_bad_row(&t->db, "inbound", 0))
			*row = (struct spool_source){.key = NULL};
	}
	db_reset(st);
}

static void
take_over(struct take_over *t, const struct spool_source *row)
{
	sqlite3_stmt *st = db_get(&t->db, DB_GET_ACQUAINTANCES);
	struct str known = {0};
	size_t n;

	db_bind_text(st, 1, row->key);
	if (db_step(&t->db, st)) {
		known.p = sqlite3_column_blob(st, 0);
		known.n = (size_t)sqlite3_column_bytes(st, 0);
		known.p = arena_copy(&t->mem, known.p, known.n);
		db_reset(st);
	}
	if (t->db.rc != SQLITE_OK)
		return;
	n = t->fn(t->arg, row, known, t->out);
	if (n == 0)
		return;
	st = db_get(&t->db, DB_SAVE_ACQUAINTANCES);
	db_bind_text(st, 1, row->key);
	db_bind_int(st, 2, t->wall);
	db_bind_blob(st, 3, t->out, n);
	db_run(&t->db, st);
}

/* One commit's worth. */
static void
take_over_some(struct take_over *t)
{
	if (db_exec(&t->db, "BEGIN IMMEDIATE") != SQLITE_OK)
		return;
	get_rows(t);
	for (size_t i = 0; i < t->n && t->db.rc == SQLITE_OK; i++) {
		sqlite3_stmt *st;

		if (t->rows[i].key != NULL)
			take_over(t, &t->rows[i]);
		st = db_get(&t->db, DB_FORGET_INBOUND);
		db_bind_int(st, 1, t->ids[i]);
		db_run(&t->db, st);
	}
	arena_clear(&t->mem);
	if (t->db.rc == SQLITE_OK)
		db_exec(&t->db, "COMMIT");
}

int
spool_take_over_inbound(
    struct spool *s, int64_t wall_ms, spool_take_over_fn *fn, void *arg)
{
	struct take_over *t = xcalloc(1, sizeof(*t));
	char err[256];
	int rc =
	    db_open(&t->db, s->database, DB_WRITE, s->log, err, sizeof(err));

	if (rc == SQLITE_OK) {
		arena_init(&t->mem);
		t->wall = wall_ms;
		t->fn = fn;
		t->arg = arg;
		rc = db_tune(&t->db, s->settings.scratch);
		while (rc == SQLITE_OK) {
			take_over_some(t);
			rc = t->db.rc;
			if (t->n == 0)
				break;
		}
		db_close(&t->db); /* rolls back what is open */
	}
	free(t);
	return db_errno(rc);
}
