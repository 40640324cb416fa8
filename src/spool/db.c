/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything that is peculiar to SQLite's interface. The database file is not
 * trusted: no triggers, no views, defensive mode, cell sizes checked.
 */
#include "spool/db.h"

#include "base/hash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CACHE_KIB "2048"
#define LENGTH_MAX (64 << 20)

static const char *const sql[DB_STATEMENT_MAX] = {
#define DB_SQL(name, text) [DB_##name] = text,
    DB_STATEMENTS(DB_SQL)
#undef DB_SQL
};

static void
distrust(sqlite3 *h)
{
	sqlite3_db_config(h, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(h, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_db_config(h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_limit(h, SQLITE_LIMIT_LENGTH, LENGTH_MAX);
}

/* Without a seed, as it is stored: who makes two names meet shares a turn with
 * the other, and no more. */
static int64_t
owner_of(struct str source)
{
	return (int64_t)(hash_str(source, 0) >> 1) | 1;
}

int64_t
db_owner(const char *source)
{
	return owner_of(str_from(source));
}

static void
sql_owner(sqlite3_context *context, int n, sqlite3_value **v)
{
	struct str source = {0};

	(void)n;
	source.p = (const char *)sqlite3_value_text(v[0]);
	source.n = (size_t)sqlite3_value_bytes(v[0]);
	if (source.p == NULL)
		source.n = 0;
	sqlite3_result_int64(context, owner_of(source));
}

int
db_open(struct db *db, const char *path, enum db_mode mode, struct log *log,
    char *err, size_t err_cap)
{
	int flags =
	    SQLITE_OPEN_NOMUTEX |
	    (mode == DB_READ ? SQLITE_OPEN_READONLY
			     : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	int rc;

	*db = (struct db){.log = log};
	rc = sqlite3_open_v2(path, &db->h, flags, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_extended_result_codes(db->h, 1);
		sqlite3_busy_timeout(db->h, DB_BUSY_MS);
		distrust(db->h);
		rc = sqlite3_create_function_v2(db->h, DB_OWNER_FN, 1,
		    SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
		    NULL, sql_owner, NULL, NULL, NULL);
	}
	if (rc == SQLITE_OK)
		rc = db_exec(db, "PRAGMA cache_size = -" CACHE_KIB);
	if (rc == SQLITE_OK)
		rc = db_exec(db, "PRAGMA cell_size_check = ON");
	if (rc == SQLITE_OK)
		rc = db_exec(db, "PRAGMA mmap_size = 0");
	if (rc != SQLITE_OK) {
		snprintf(err, err_cap, "%s",
		    db->h != NULL ? sqlite3_errmsg(db->h) : sqlite3_errstr(rc));
		db_close(db);
	}
	return rc;
}

void
db_close(struct db *db)
{
	for (size_t i = 0; i < DB_STATEMENT_MAX; i++)
		sqlite3_finalize(db->statements[i]);
	sqlite3_close(db->h);
	*db = (struct db){.log = db->log};
}

/* FULL: the log is synced at each commit. The log is brought over by the
 * writer when it suits (writer.c), never from within a commit. scratch: nothing
 * has to survive, so nothing is synced. */
int
db_tune(struct db *db, bool scratch)
{
	static const char *const pragmas[] = {
	    "PRAGMA journal_mode = WAL",
	    "PRAGMA synchronous = FULL",
	    "PRAGMA wal_autocheckpoint = 0",
	    "PRAGMA journal_size_limit = 33554432",
	    "PRAGMA temp_store = MEMORY",
	};
	int rc = SQLITE_OK;

	for (size_t i = 0; i < ARRAY_LEN(pragmas) && rc == SQLITE_OK; i++)
		rc = db_exec(db, pragmas[i]);
	if (rc == SQLITE_OK && scratch)
		rc = db_exec(db, "PRAGMA synchronous = OFF");
	return rc;
}

static void
note_error(struct db *db, int rc)
{
	int os_error = sqlite3_system_errno(db->h);

	if (db->rc != SQLITE_OK)
		return;
	db->rc = rc;
	log_write(db->log, LOG_EV_SPOOL_DATABASE_ERROR, KV(sqlite_code, rc),
	    KV(os_error, os_error > 0 ? strerror(os_error) : NULL),
	    KV(error, sqlite3_errmsg(db->h)));
}

int
db_exec(struct db *db, const char *text)
{
	int rc = sqlite3_exec(db->h, text, NULL, NULL, NULL);

	if (rc != SQLITE_OK)
		note_error(db, rc);
	return rc;
}

int
db_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
		return 0;
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return EACCES;
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_CONSTRAINT:
		return EEXIST;
	case SQLITE_TOOBIG:
		return EFBIG;
	default:
		return EIO;
	}
}

void
db_clear_error(struct db *db)
{
	db->rc = SQLITE_OK;
}

bool
db_is_io_error(int rc)
{
	return rc != SQLITE_OK && db_errno(rc) == EIO;
}

sqlite3_stmt *
db_get(struct db *db, enum db_statement name)
{
	sqlite3_stmt **st = &db->statements[name];
	int rc;

	if (*st == NULL && db->rc == SQLITE_OK) {
		rc = sqlite3_prepare_v3(
		    db->h, sql[name], -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
		if (rc != SQLITE_OK)
			note_error(db, rc);
	}
	return *st;
}

/* A bind fails for a wrong index, which is our bug, or for what is longer than
 * LENGTH_MAX, which the step then shows as a broken NOT NULL. */
void
db_bind_int(sqlite3_stmt *st, int at, int64_t v)
{
	sqlite3_bind_int64(st, at, v);
}

void
db_bind_text(sqlite3_stmt *st, int at, const char *s)
{
	if (s != NULL)
		sqlite3_bind_text(st, at, s, -1, SQLITE_STATIC);
	else
		sqlite3_bind_null(st, at);
}

void
db_bind_blob(sqlite3_stmt *st, int at, const void *p, size_t n)
{
	sqlite3_bind_blob64(st, at, n > 0 ? p : "", n, SQLITE_STATIC);
}

void
db_reset(sqlite3_stmt *st)
{
	if (st == NULL)
		return;
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

bool
db_step(struct db *db, sqlite3_stmt *st)
{
	int rc;

	if (st == NULL || db->rc != SQLITE_OK) {
		db_reset(st);
		return false;
	}
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		note_error(db, rc);
	db_reset(st);
	return false;
}

int64_t
db_run(struct db *db, sqlite3_stmt *st)
{
	while (db_step(db, st))
		continue;
	return db->rc == SQLITE_OK ? sqlite3_changes64(db->h) : -1;
}

int64_t
db_number(struct db *db, sqlite3_stmt *st, int64_t otherwise)
{
	int64_t v = otherwise;

	if (db_step(db, st)) {
		if (sqlite3_column_type(st, 0) == SQLITE_INTEGER)
			v = sqlite3_column_int64(st, 0);
		db_reset(st);
	}
	return v;
}

int64_t
db_column_int(struct db *db, sqlite3_stmt *st, int at, int64_t min, int64_t max)
{
	int64_t v;

	if (sqlite3_column_type(st, at) != SQLITE_INTEGER) {
		db->bad_row = true;
		return 0;
	}
	v = sqlite3_column_int64(st, at);
	if (v < min || v > max) {
		db->bad_row = true;
		return 0;
	}
	return v;
}

const char *
db_column_text(struct db *db, sqlite3_stmt *st, int at, struct arena *mem)
{
	const unsigned char *p;
	size_t n;

	if (sqlite3_column_type(st, at) != SQLITE_TEXT) {
		db->bad_row = true;
		return "";
	}
	p = sqlite3_column_text(st, at);
	n = (size_t)sqlite3_column_bytes(st, at);
	if (p == NULL || n > DB_TEXT_MAX || memchr(p, '\0', n) != NULL) {
		db->bad_row = true;
		return "";
	}
	return arena_copy(mem, p, n);
}

const char *
db_column_maybe(struct db *db, sqlite3_stmt *st, int at, struct arena *mem)
{
	if (sqlite3_column_type(st, at) == SQLITE_NULL)
		return NULL;
	return db_column_text(db, st, at, mem);
}

const char *
db_column_note(sqlite3_stmt *st, int at, size_t max, struct arena *mem)
{
	const unsigned char *p;
	size_t n;

	if (sqlite3_column_type(st, at) != SQLITE_TEXT)
		return NULL;
	p = sqlite3_column_text(st, at);
	n = (size_t)sqlite3_column_bytes(st, at);
	if (p == NULL || n > max || memchr(p, '\0', n) != NULL)
		return NULL;
	return arena_copy(mem, p, n);
}

bool
db_take_bad_row(struct db *db, const char *table, uint64_t key)
{
	bool bad = db->bad_row;

	db->bad_row = false;
	if (bad)
		log_write(db->log, LOG_EV_SPOOL_BAD_ROW, KV(table, table),
		    KV(key, key));
	return bad;
}
