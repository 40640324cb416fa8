/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Group commit. While one commit is on its way to the disk, ops gather; the
 * next transaction takes them all. No op has a savepoint: an op that fails
 * spoils its group, which is rolled back and run again one by one.
 *
 * Crash windows. What matters is when the log (WAL) has been synced, which
 * COMMIT does before it returns.
 *
 *	op run, no COMMIT yet	nothing of it is there after a crash; nobody
 *				was told.
 *	COMMIT under way	all of the group is there, or nothing: the
 *				frames count only with the last one's mark
 *				and checksum. Nobody was told: mail that is
 *				there may come a second time from its client.
 *	COMMIT done		all is there. Only now completions are posted,
 *				so a completion with 0 is true after a crash.
 *	COMMIT failed		The frames may have reached the disk although
 *				the sync said no, and a later sync would not
 *				say so again: the kernel forgets. SQLite does
 *				not count them and overwrites them next. So
 *				the connection is opened anew and a commit of
 *				our own follows at once, which overwrites the
 *				first frame, and with it the chain of
 *				checksums breaks. Then the group has surely
 *				failed. Should that commit fail as well, a
 *				crash can still bring the group back: mail
 *				twice, never none; an op knows by `unsure`
 *				and leaves body files alone.
 *	removal, then unlink	A body file goes after the commit that took
 *				its row. A crash between leaves a file that no
 *				row names; recovery removes it.
 *	checkpoint		Copies committed pages from the log. After a
 *				failure the log is still whole, and the next
 *				checkpoint writes the same pages again.
 */
#include "spool/writer.h"

#include "os/clock.h"
#include "os/file.h"
#include "spool/core.h"
#include "spool/filer.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUP_MAX 256
#define GROUP_COST_MAX (4 << 20)
#define TICK_MS 1000 /* free space is looked at */
#define LAZY_MS 2000 /* snapshots wait at most */
#define REOPEN_MS 100
#define USED_MS 5000 /* what is used is noted for the next start */
/* Pages in the log that are worth a checkpoint: when nothing goes on, and in
 * any case. Many are the same page again, so late is cheaper per commit. */
#define CHECKPOINT_IDLE 100
#define CHECKPOINT_BUSY 4000
/* Free pages are given back to the file system in idle moments, so many at a
 * time, as long as there are more than are worth keeping. */
#define FREE_PAGES_KEPT 4096
#define FREE_PAGES_STEP 2048

struct writer {
	struct spool *spool;
	struct queue queue;
	pthread_t thread;
	struct tx tx;
	struct db db;   /* h NULL: lost, opened again for the next group */
	int wal_pages;  /* in the log */
	int wal_copied; /* of these, brought over */
	int64_t now;    /* monotonic, of this round */
	int64_t space_at, lazy_at, reopen_at, used_at; /* when they are due */
};

static int
on_wal(void *arg, sqlite3 *h, const char *name, int pages)
{
	struct writer *w = arg;

	(void)h;
	(void)name;
	/* It began again from the front. */
	if (pages < w->wal_pages)
		w->wal_copied = 0;
	w->wal_pages = pages;
	return SQLITE_OK;
}

static void
count_error(struct spool *s)
{
	atomic_fetch_add(&s->errors, 1);
}

/* ---- effects ---- */

static void
drop_effects(struct writer *w)
{
	uint64_t *files = w->tx.effects.files;
	size_t cap = w->tx.effects.file_cap;
	struct account_changes accounts = w->tx.effects.accounts;

	accounts_drop(&accounts);
	w->tx.effects = (struct tx_effects){.counted_to = w->spool->counted_to,
	    .files = files,
	    .file_cap = cap,
	    .accounts = accounts};
}

static void
apply_effects(struct writer *w)
{
	struct tx_effects *e = &w->tx.effects;
	struct spool *s = w->spool;

	accounts_apply(s->accounts, &e->accounts);
	s->counted_to = e->counted_to;
	if (s->counted_to == s->count_end && !spool_is_counted(s)) {
		accounts_expect_none(s->accounts);
		atomic_store(&s->is_counted, true);
	}
	e->recipients[SPOOL_RELEASED] +=
	    e->recipients[DB_BLOCKED] + e->recipients[DB_STOPPED];
	e->recipients[SPOOL_SENDING] += e->recipients[DB_STOPPING];
	atomic_fetch_add(&s->stopped,
	    e->recipients[DB_STOPPED] + e->recipients[DB_STOPPING]);
	if (e->messages != 0)
		atomic_fetch_add(&s->messages, e->messages);
	if (e->quarantined != 0)
		atomic_fetch_add(&s->quarantined, e->quarantined);
	for (size_t i = SPOOL_HELD; i <= SPOOL_SENDING; i++) {
		if (e->recipients[i] != 0)
			atomic_fetch_add(&s->recipients[i], e->recipients[i]);
	}
	for (size_t i = 0; i < e->file_count; i++)
		filer_remove(s->filer, e->files[i]);
	drop_effects(w);
}

/* ---- the connection ---- */

/* A commit of our own behind a failed one; see above. */
static bool
overwrite_failed(struct writer *w)
{
	sqlite3_stmt *st = db_get(&w->db, DB_BUMP_META);

	db_bind_text(st, 1, "reopened");
	return db_run(&w->db, st) > 0;
}

static bool
reopen(struct writer *w)
{
	struct spool *s = w->spool;
	char err[256];
	bool ok;

	db_close(&w->db);
	w->reopen_at = w->now + REOPEN_MS;
	if (db_open(&w->db, s->database, DB_WRITE, s->log, err, sizeof(err)) !=
	    SQLITE_OK) {
		log_write(s->log, LOG_EV_SPOOL_REOPEN_FAILED,
		    KV(file, s->database), KV(error, err));
		return false;
	}
	sqlite3_wal_hook(w->db.h, on_wal, w);
	ok = db_tune(&w->db, s->settings.scratch) == SQLITE_OK &&
	     overwrite_failed(w);
	log_write(s->log, LOG_EV_SPOOL_REOPENED, KV(file, s->database),
	    KV(usable, ok));
	if (!ok)
		db_close(&w->db);
	return ok;
}

/* ---- a transaction ---- */

static void
roll_back(struct writer *w, struct list *group)
{
	struct list *e;

	db_clear_error(&w->db);
	/* SQLite may have rolled back by itself. */
	if (!sqlite3_get_autocommit(w->db.h))
		db_run(&w->db, db_get(&w->db, DB_ROLLBACK));
	drop_effects(w);
	list_each (e, group) {
		struct op *op = LIST_ITEM(e, struct op, entry);

		if (op->type->undo != NULL)
			op->type->undo(op);
	}
}

static void
set_meta(struct db *db, const char *key, uint64_t v)
{
	sqlite3_stmt *st = db_get(db, DB_SET_META);

	db_bind_text(st, 1, key);
	db_bind_int(st, 2, v < INT64_MAX ? (int64_t)v : INT64_MAX);
	db_run(db, st);
}

/* With a commit that is made in any case: the next start goes by it until it
 * has counted. */
static void
note_used(struct writer *w)
{
	uint64_t recipients, bytes;

	if (w->now < w->used_at || w->spool->settings.scratch ||
	    !spool_is_counted(w->spool))
		return;
	accounts_used(w->spool->accounts, &recipients, &bytes);
	set_meta(&w->db, DB_USED_RECIPIENTS, recipients);
	set_meta(&w->db, DB_USED_BYTES, bytes);
	w->used_at = w->now + USED_MS;
}

/* rc of SQLite; anything but OK: nothing of the group is in the database.
 * *at_commit: the failure was the commit's. */
static int
run_transaction(struct writer *w, struct list *group, bool *at_commit)
{
	struct db *db = &w->db;
	struct list *e;
	int rc;

	*at_commit = false;
	db_clear_error(db);
	db_run(db, db_get(db, DB_BEGIN));
	list_each (e, group) {
		struct op *op = LIST_ITEM(e, struct op, entry);

		if (db->rc == SQLITE_OK)
			op->error = op->type->run(&w->tx, op);
	}
	if (db->rc == SQLITE_OK)
		note_used(w);
	if (db->rc == SQLITE_OK) {
		*at_commit = true;
		db_run(db, db_get(db, DB_COMMIT));
	}
	rc = db->rc;
	if (rc != SQLITE_OK)
		roll_back(w, group);
	else
		apply_effects(w);
	return rc;
}

static void
fail_group(struct writer *w, struct list *group, int error, bool unsure)
{
	struct list *e;

	list_each (e, group) {
		struct op *op = LIST_ITEM(e, struct op, entry);

		op->error = error;
		count_error(w->spool);
		if (op->type->failed != NULL)
			op->type->failed(w->spool, op, unsure);
	}
}

static void
post(struct writer *w, struct list *group)
{
	struct list *e, *tmp;

	list_each_safe (e, tmp, group) {
		struct op *op = LIST_ITEM(e, struct op, entry);

		if (op->type->finish == NULL) {
			list_remove(e);
			core_free(op);
		}
	}
	done_put_all(&w->spool->done, group);
}

/* 0, or an errno value that goes for every op of the group. *again: worth to
 * be tried one by one. */
static int
try_group(struct writer *w, struct list *group, bool *again, bool *unsure)
{
	bool at_commit;
	int rc;

	*again = *unsure = false;
	if (w->db.h == NULL && (w->now < w->reopen_at || !reopen(w)))
		return EIO;
	rc = run_transaction(w, group, &at_commit);
	if (rc == SQLITE_OK)
		return 0;
	*again = !db_is_io_error(rc) && db_errno(rc) != EBUSY;
	if (at_commit || db_is_io_error(rc))
		*unsure = !reopen(w) && at_commit;
	return db_errno(rc);
}

static void
run_group(struct writer *w, struct list *group)
{
	bool alone = group->next->next == group;
	bool again, unsure;
	int error = try_group(w, group, &again, &unsure);
	struct list one;

	if (error == 0 || alone || !again) {
		if (error != 0)
			fail_group(w, group, error, unsure);
		post(w, group);
		return;
	}
	list_init(&one);
	while (!list_is_empty(group)) {
		struct list *e = group->next;

		list_remove(e);
		list_append(&one, e);
		error = try_group(w, &one, &again, &unsure);
		if (error != 0)
			fail_group(w, &one, error, unsure);
		post(w, &one);
	}
}

/* ---- what else the thread does ---- */

static void
look_at_space(struct writer *w)
{
	struct spool *s = w->spool;
	uint64_t bytes;
	bool was, is;

	if (w->now < w->space_at)
		return;
	w->space_at = w->now + TICK_MS;
	if (file_free_space(s->settings.dir, &bytes) != 0)
		return;
	is = bytes < s->settings.min_free_bytes;
	was = atomic_exchange(&s->is_short, is);
	atomic_store(&s->free_bytes, bytes);
	if (was != is)
		log_write(s->log,
		    is ? LOG_EV_SPOOL_SPACE_SHORT : LOG_EV_SPOOL_SPACE_ENOUGH,
		    KV(dir, s->settings.dir), KV(free_bytes, bytes),
		    KV(floor_bytes, s->settings.min_free_bytes));
}

/* In the writer's own thread, between commits: readers never wait for it, and
 * a log that has been brought over whole begins again from the front with the
 * next commit. */
static void
checkpoint(struct writer *w, bool idle)
{
	int rc;

	if (w->db.h == NULL || w->wal_pages - w->wal_copied <
				   (idle ? CHECKPOINT_IDLE : CHECKPOINT_BUSY))
		return;
	rc = sqlite3_wal_checkpoint_v2(
	    w->db.h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	w->wal_copied = w->wal_pages;
	if (rc == SQLITE_OK || rc == SQLITE_BUSY)
		return;
	count_error(w->spool);
	log_write(w->spool->log, LOG_EV_SPOOL_CHECKPOINT_FAILED,
	    KV(sqlite_code, rc), KV(error, sqlite3_errstr(rc)));
}

/* After an outbreak was discarded its pages would count as used disk for ever,
 * and keep the spool below its floor. A step is a commit like others. */
static void
give_back(struct writer *w)
{
	char sql[64];

	if (w->db.h == NULL)
		return;
	db_clear_error(&w->db);
	if (db_number(&w->db, db_get(&w->db, DB_FREE_PAGES), 0) <=
	    FREE_PAGES_KEPT)
		return;
	snprintf(
	    sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)", FREE_PAGES_STEP);
	if (db_exec(&w->db, sql) != SQLITE_OK)
		count_error(w->spool);
	if (db_is_io_error(w->db.rc))
		reopen(w);
}

static void
note_last_used(struct writer *w)
{
	if (w->db.h == NULL)
		return;
	db_clear_error(&w->db);
	db_run(&w->db, db_get(&w->db, DB_BEGIN));
	note_used(w);
	if (w->db.rc == SQLITE_OK)
		db_run(&w->db, db_get(&w->db, DB_COMMIT));
	if (!sqlite3_get_autocommit(w->db.h)) {
		db_clear_error(&w->db);
		db_run(&w->db, db_get(&w->db, DB_ROLLBACK));
	}
}

/* Snapshots join a group that is on its way, or make one when it is time. */
static void
add_lazy(struct writer *w, struct list *group, bool stopping)
{
	struct op *op;

	if (atomic_load(&w->spool->lazy_bytes) == 0) {
		w->lazy_at = w->now + LAZY_MS;
		return;
	}
	if (list_is_empty(group) && w->now < w->lazy_at && !stopping)
		return;
	op = source_take_lazy(w->spool);
	if (op != NULL)
		list_append(group, &op->entry);
	w->lazy_at = w->now + LAZY_MS;
}

static void
run_queued(struct writer *w, struct list *group, bool stopping)
{
	struct list *e;
	uint64_t n = 0;
	bool idle;

	w->now = clock_mono_ms();
	add_lazy(w, group, stopping);
	look_at_space(w);
	idle = list_is_empty(group);
	if (stopping)
		w->used_at = 0;
	if (idle && stopping) {
		note_last_used(w);
	} else if (idle) {
		give_back(w);
	} else {
		list_each (e, group)
			n++;
		atomic_fetch_add(&w->spool->operations, n);
		atomic_fetch_add(&w->spool->commits, 1);
		run_group(w, group);
	}
	checkpoint(w, idle);
}

static void *
writer_main(void *arg)
{
	struct writer *w = arg;
	struct list group;
	bool more = true;

	list_init(&group);
	while (more) {
		more = queue_take(&w->queue, &group, GROUP_MAX, GROUP_COST_MAX,
		    clock_mono_ms() + TICK_MS);
		run_queued(w, &group, !more);
	}
	return NULL;
}

/* ---- for the loop's thread ---- */

int
writer_start(struct spool *s, struct db *db)
{
	struct writer *w = xcalloc(1, sizeof(*w));
	sigset_t all, was;
	int err;

	w->spool = s;
	w->db = *db;
	w->tx = (struct tx){.spool = s, .db = &w->db};
	*db = (struct db){.log = s->log};
	queue_init(&w->queue);
	sqlite3_wal_hook(w->db.h, on_wal, w);
	w->now = clock_mono_ms();
	look_at_space(w);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	err = pthread_create(&w->thread, NULL, writer_main, w);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (err != 0) {
		db_close(&w->db);
		queue_clear(&w->queue);
		free(w);
		return err;
	}
	s->writer = w;
	return 0;
}

void
writer_put(struct writer *w, struct op *op)
{
	queue_put(&w->queue, op);
}

void
writer_stop(struct writer *w)
{
	queue_stop(&w->queue);
	pthread_join(w->thread, NULL);
}

void
writer_free(struct writer *w)
{
	db_close(&w->db);
	queue_clear(&w->queue);
	free(w->tx.effects.files);
	accounts_clear(&w->tx.effects.accounts);
	free(w);
}
