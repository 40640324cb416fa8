/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each op reads within one transaction, so it sees one state of the spool. The
 * connection stays open to the end (writer.c says why), also after errors.
 */
#include "spool/reader.h"

#include "os/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define BATCH_MAX 8
#define WAIT_MS 60000

struct reader {
	struct spool *spool;
	struct queue queue;
	pthread_t thread;
	struct db db;
};

static void
run_op(struct reader *r, struct op *op)
{
	struct tx tx = {.spool = r->spool, .db = &r->db};
	int rc;

	db_clear_error(&r->db);
	db_run(&r->db, db_get(&r->db, DB_BEGIN_READ));
	op->error = op->type->run(&tx, op);
	rc = r->db.rc;
	db_clear_error(&r->db);
	if (!sqlite3_get_autocommit(r->db.h))
		db_run(&r->db, db_get(&r->db, DB_ROLLBACK));
	if (rc != SQLITE_OK) {
		op->error = db_errno(rc);
		atomic_fetch_add(&r->spool->errors, 1);
	}
	done_put(&r->spool->done, op);
}

static void *
reader_main(void *arg)
{
	struct reader *r = arg;
	struct list batch;

	list_init(&batch);
	while (queue_take(&r->queue, &batch, BATCH_MAX, SIZE_MAX,
	    clock_mono_ms() + WAIT_MS)) {
		while (!list_is_empty(&batch)) {
			struct list *e = batch.next;

			list_remove(e);
			run_op(r, LIST_ITEM(e, struct op, entry));
		}
	}
	return NULL;
}

/* The first statement makes the connection join the log's index. */
static int
open_reader(struct reader *r)
{
	struct spool *s = r->spool;
	char err[256];
	int rc =
	    db_open(&r->db, s->database, DB_READ, s->log, err, sizeof(err));

	if (rc == SQLITE_OK && db_exec(&r->db, "SELECT * FROM meta") != 0)
		rc = r->db.rc;
	return db_errno(rc);
}

int
reader_start(struct spool *s)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	sigset_t all, was;
	int err;

	r->spool = s;
	queue_init(&r->queue);
	err = open_reader(r);
	if (err == 0) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &was);
		err = pthread_create(&r->thread, NULL, reader_main, r);
		pthread_sigmask(SIG_SETMASK, &was, NULL);
	}
	if (err != 0) {
		db_close(&r->db);
		queue_clear(&r->queue);
		free(r);
		return err;
	}
	s->reader = r;
	return 0;
}

void
reader_put(struct reader *r, struct op *op)
{
	queue_put(&r->queue, op);
}

void
reader_stop(struct reader *r)
{
	queue_stop(&r->queue);
	pthread_join(r->thread, NULL);
	db_close(&r->db);
	queue_clear(&r->queue);
	free(r);
}
