/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Puts right what a crash left, before any thread runs.
 *
 * A message whose body file is missing, or has another size than its row says,
 * is kept with all its recipients and marked DAMAGED: it shows in the list with
 * the reason as last error, is not loaded into the delay queues, and is never
 * claimed, whatever is released; it can be discarded. When the file is back at
 * a later start, the message goes on. What is in the mail server's queue has
 * its text there, and goes on without the file.
 */
#include "spool/recover.h"

#include "os/file.h"
#include "spool/message.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define DAMAGED_TEXT "its body file is missing or damaged; discard the message"

/* Nearly all that lies here is held. What is not has an index, so that a start
 * does not read the whole table for each of these. */
#define LET_GO "UPDATE rcpt INDEXED BY rcpt_owner SET "
#define WHERE " WHERE state <> 1 AND "

static const char *const put_right[] = {
    LET_GO "owner = " DB_OWNER_OF("ticket") WHERE "owner IS NULL",
    LET_GO "state = 4" WHERE "state IN (2, 3)"
	   " AND (ticket & ~4095) IN (SELECT id FROM quarantine)",
    LET_GO "state = 2" WHERE "state = 3",
    LET_GO "state = 5" WHERE "state = 6",
    /* What waited only for the answer that never came. */
    LET_GO "state = 2" WHERE "state = 4 AND (ticket & ~4095) IN"
	   " (SELECT id FROM message WHERE pending <> 0 AND pending = 1"
	   " AND whole <> 2 AND (whole = 0 OR NOT EXISTS"
	   " (SELECT 1 FROM rcpt r WHERE r.ticket >= id"
	   " AND r.ticket <= id + 4095 AND r.state = 1)))",
    "UPDATE message SET pending = 0 WHERE pending <> 0 AND pending = 1",
    /* In the mail server's queue: what a command was at, and what may go. */
    "UPDATE quarantine SET due = " DB_ARRIVED " WHERE due IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM rcpt r WHERE r.ticket >= id"
    " AND r.ticket <= id + 4095 AND r.state IN (1, 5))",
};

/* ---- rows without files ---- */

static bool
file_is_whole(struct spool *s, uint64_t id, uint64_t size)
{
	char *path = core_body_path(s, id, false);
	struct stat st;
	bool ok = lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		  (uint64_t)st.st_size == size;

	free(path);
	return ok;
}

static void
set_damaged(struct spool *s, struct tx *tx, uint64_t id, bool damaged)
{
	struct message_flags flags;
	sqlite3_stmt *st = db_get(tx->db, DB_SET_PENDING);
	char text[SPOOL_ID_TEXT];

	db_bind_int(st, 1, (int64_t)id);
	db_bind_int(st, 2, damaged ? DB_DAMAGED : DB_READY);
	db_run(tx->db, st);
	st = db_get(tx->db, DB_SET_ERROR);
	db_bind_int(st, 1, (int64_t)id);
	db_bind_text(st, 2, damaged ? DAMAGED_TEXT : NULL);
	db_run(tx->db, st);
	if (damaged) {
		st = db_get(tx->db, DB_BLOCK);
		db_bind_int(st, 1, (int64_t)id);
		db_run(tx->db, st);
	} else if (message_flags(tx->db, id, &flags)) {
		message_unblock(tx, id, &flags);
	}
	log_write(s->log,
	    damaged ? LOG_EV_SPOOL_BODY_MISSING : LOG_EV_SPOOL_BODY_IS_BACK,
	    KV(id, spool_id_format(id, text)), KV(dir, s->bodies));
}

struct filed { /* a message whose body is a file */
	uint64_t id, size;
	bool damaged, needed;
};

/* One message at a time above the last, as rows change on the way. */
static bool
next_with_file(struct tx *tx, struct filed *m)
{
	sqlite3_stmt *st = NULL;
	bool found = false;

	if (sqlite3_prepare_v2(tx->db->h,
		"SELECT id, size, pending, whole FROM message"
		" INDEXED BY message_file"
		" WHERE in_file <> 0 AND id > ?1 ORDER BY id LIMIT 1",
		-1, &st, NULL) != SQLITE_OK) {
		tx->db->rc = sqlite3_errcode(tx->db->h);
		return false;
	}
	db_bind_int(st, 1, (int64_t)m->id);
	if (db_step(tx->db, st)) {
		m->id = (uint64_t)sqlite3_column_int64(st, 0);
		m->size = (uint64_t)sqlite3_column_int64(st, 1);
		m->damaged = sqlite3_column_int(st, 2) == DB_DAMAGED;
		m->needed = sqlite3_column_int(st, 3) != DB_QUARANTINED;
		found = true;
	}
	sqlite3_finalize(st);
	return found;
}

static void
check_files(struct spool *s, struct tx *tx)
{
	struct filed m = {.id = 0};

	while (next_with_file(tx, &m)) {
		bool is = m.needed && !file_is_whole(s, m.id, m.size);

		if (is != m.damaged)
			set_damaged(s, tx, m.id, is);
	}
}

/* ---- files without rows ---- */

/* A row of which only this much is sure keeps its file, whatever else may be
 * wrong with it. */
static bool
row_has_file(struct db *db, uint64_t id)
{
	sqlite3_stmt *st = db_get(db, DB_GET_FLAGS);
	bool has = false;

	db_bind_int(st, 1, (int64_t)id);
	if (db_step(db, st)) {
		has = sqlite3_column_type(st, 2) != SQLITE_INTEGER ||
		      sqlite3_column_int64(st, 2) != 0;
		db_reset(st);
	}
	return has || db->rc != SQLITE_OK;
}

/* Our own names only: what an administrator put there stays. */
static bool
is_orphan(struct db *db, const char *name)
{
	struct str s = str_from(name);
	uint64_t id;

	if (s.n == SPOOL_ID_TEXT + 3 && str_iends(s, STR(".tmp")))
		return spool_id_parse(str_sub(s, 0, SPOOL_ID_TEXT - 1), &id);
	return spool_id_parse(s, &id) && !row_has_file(db, id);
}

static void
remove_orphans(struct spool *s, struct db *db)
{
	DIR *dir = opendir(s->bodies);
	struct dirent *e;
	unsigned removed = 0;

	if (dir == NULL)
		return;
	while ((e = readdir(dir)) != NULL) {
		if (is_orphan(db, e->d_name) &&
		    unlinkat(dirfd(dir), e->d_name, 0) == 0)
			removed++;
	}
	closedir(dir);
	if (removed > 0)
		log_write(s->log, LOG_EV_SPOOL_ORPHANS_REMOVED,
		    KV(files, removed), KV(dir, s->bodies));
}

/* ---- counts and marks ---- */

static int64_t
ask(struct db *db, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int64_t v = 0;

	if (sqlite3_prepare_v2(db->h, sql, -1, &st, NULL) != SQLITE_OK)
		db->rc = sqlite3_errcode(db->h);
	else
		v = db_number(db, st, 0);
	sqlite3_finalize(st);
	return v;
}

static int64_t
get_meta(struct db *db, const char *key)
{
	sqlite3_stmt *st = db_get(db, DB_GET_META);

	db_bind_text(st, 1, key);
	return db_number(db, st, 0);
}

/* What was let go alone: the rest may be very much (held.c). */
static void
count_rows(struct spool *s, struct db *db)
{
	sqlite3_stmt *st = db_get(db, DB_COUNT_LET_GO);

	atomic_store(
	    &s->quarantined, ask(db, "SELECT count(*) FROM quarantine"));
	if (db_step(db, st)) {
		atomic_store(&s->stopped, sqlite3_column_int64(st, 0));
		atomic_store(&s->recipients[SPOOL_RELEASED],
		    sqlite3_column_int64(st, 1));
		db_reset(st);
	}
}

/* Ids go on above the highest that was ever given, as far as that is known
 * (the mark is ahead of it), unless a damaged row pretends to be the last. */
static void
find_last_id(struct spool *s, struct db *db)
{
	uint64_t top = (uint64_t)ask(
	    db, "SELECT max(id) FROM message WHERE id < 9218868437227405312");
	uint64_t mark = (uint64_t)get_meta(db, "id_mark");

	if (mark < (uint64_t)9218868437227405312 && mark > top)
		top = mark;
	/* What is there is not counted yet. */
	s->count_end = (uint64_t)ask(db, "SELECT max(id) FROM message");
	atomic_store(&s->is_counted, s->count_end == 0);
	if (s->count_end != 0)
		accounts_expect(s->accounts, get_meta(db, DB_USED_RECIPIENTS),
		    get_meta(db, DB_USED_BYTES));
	s->notice_mark = (uint64_t)get_meta(db, "notice_mark");
	s->queue_proof = (uint64_t)get_meta(db, "queue_proof");
	s->stream_mark.epoch = (uint64_t)get_meta(db, "stream_epoch");
	s->stream_mark.at = (uint64_t)get_meta(db, "stream_at");
	s->last_id = SPOOL_ID(top);
	s->id_mark = s->last_id;
}

/* What is missing is made of random. */
static uint64_t
find_number(struct db *db, const char *key, uint64_t random)
{
	int64_t v = get_meta(db, key);

	if (v == 0) {
		sqlite3_stmt *st = db_get(db, DB_SET_META);

		v = (int64_t)(random | 1);
		db_bind_text(st, 1, key);
		db_bind_int(st, 2, v);
		db_run(db, st);
	}
	return (uint64_t)v;
}

static void
find_secrets(struct spool *s, struct db *db)
{
	static const char *const names[] = {"key1", "key2", "key3", "key4"};

	_Static_assert(ARRAY_LEN(names) == ARRAY_LEN(s->key), "key");
	s->seed = find_number(db, "seed", s->seed);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		s->key[i] = find_number(db, names[i], s->key[i]);
}

bool
recover_rows(struct spool *s, struct db *db, struct recover_failure *failure)
{
	struct tx tx = {.spool = s, .db = db};

	db_clear_error(db);
	db_run(db, db_get(db, DB_BEGIN));
	for (size_t i = 0; i < ARRAY_LEN(put_right); i++) {
		if (db->rc == SQLITE_OK)
			db_exec(db, put_right[i]);
	}
	check_files(s, &tx);
	find_secrets(s, db);
	if (db->rc == SQLITE_OK)
		db_run(db, db_get(db, DB_COMMIT));
	if (db->rc == SQLITE_OK) {
		count_rows(s, db);
		find_last_id(s, db);
	}
	if (db->rc != SQLITE_OK)
		return recover_fail(s, db, "recovery", failure);
	remove_orphans(s, db);
	db->bad_row = false;
	db_clear_error(db);
	return true;
}
