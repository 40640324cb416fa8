/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the gate reads at the start: sources and held recipients. Blocks, with
 * a connection of its own, before the loop runs.
 */
#include "spool/core.h"

#include <errno.h>

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

static void
load_held(struct db *db, sqlite3_stmt *st, struct arena *mem,
    void (*on_held)(void *arg, const struct spool_row *row), void *arg)
{
	uint64_t ticket = (uint64_t)db_column_int(db, st, 0, 1, INT64_MAX);
	struct spool_row row = {
	    .ticket = ticket,
	    .destination =
		(uint64_t)db_column_int(db, st, 1, INT64_MIN, INT64_MAX),
	    .address = db_column_text(db, st, 2, mem),
	    .source = db_column_text(db, st, 3, mem),
	    .lane = (uint8_t)db_column_int(db, st, 4, 0, UINT8_MAX),
	    .was = SPOOL_HELD,
	};

	if (!db_take_bad_row(db, "rcpt", ticket))
		on_held(arg, &row);
}

int
spool_load(struct spool *s,
    void (*on_source)(void *arg, const struct spool_source *source),
    void (*on_held)(void *arg, const struct spool_row *row), void *arg)
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
	st = db_get(&db, DB_GET_HELD);
	while (db_step(&db, st)) {
		load_held(&db, st, &mem, on_held, arg);
		arena_clear(&mem);
	}
	rc = db.rc;
	db_close(&db);
	return db_errno(rc);
}

int
spool_load_inbound(struct spool *s,
    void (*on_inbound)(void *arg, const struct spool_source *row), void *arg)
{
	struct arena mem;
	sqlite3_stmt *st;
	char err[256];
	struct db db;
	int rc = db_open(&db, s->database, DB_READ, s->log, err, sizeof(err));

	if (rc != SQLITE_OK)
		return db_errno(rc);
	arena_init(&mem);
	st = db_get(&db, DB_GET_INBOUND);
	while (db_step(&db, st)) {
		struct spool_source row = {
		    .key = db_column_text(&db, st, 0, &mem),
		    .saved_at = db_column_int(&db, st, 2, INT64_MIN, INT64_MAX),
		};

		load_state(&db, st, 1, &row);
		if (!db_take_bad_row(&db, "inbound", 0))
			on_inbound(arg, &row);
		arena_clear(&mem);
	}
	rc = db.rc;
	db_close(&db);
	return db_errno(rc);
}
