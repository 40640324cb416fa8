/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Alerts as rows, of which the spool knows no more than their size. What is
 * told by mail leaves its row and becomes a message in one commit, so that a
 * crash neither loses nor doubles it.
 */
#include "spool/message.h"
#include "spool/simple.h"

#include <errno.h>
#include <stdlib.h>

struct alert_op {
	struct simple_op simple;
	struct spool_alert *rows;
	size_t n;
	bool has_mail;
	struct spool_message mail;
	struct str text;
};

static struct alert_op *
alert_of(struct op *op)
{
	return CONTAINER_OF(op, struct alert_op, simple.op);
}

static int
alert_run(struct tx *tx, struct op *op)
{
	struct alert_op *a = alert_of(op);

	for (size_t i = 0; i < a->n && tx->db->rc == SQLITE_OK; i++) {
		const struct spool_alert *row = &a->rows[i];
		sqlite3_stmt *st = db_get(tx->db,
		    row->state != NULL ? DB_SAVE_ALERT : DB_FORGET_ALERT);

		db_bind_int(st, 1, (int64_t)row->id);
		if (row->state != NULL) {
			db_bind_text(st, 2, row->channel);
			db_bind_text(st, 3, row->state);
		}
		db_run(tx->db, st);
	}
	if (a->has_mail)
		message_insert(tx, &a->mail, a->text);
	return 0;
}

static const struct op_type alert_type = {
    .name = "alerts",
    .run = alert_run,
    .finish = simple_finish,
};

void
spool_save_alerts(struct spool *s, const struct spool_alert *rows, size_t n,
    const struct spool_message *mail, struct str text, spool_done_fn *fn,
    void *arg)
{
	struct alert_op *a = xcalloc(1, sizeof(*a));
	struct arena *mem = &a->simple.op.mem;
	int error = 0;

	a->simple.op.type = &alert_type;
	a->simple.fn = fn;
	a->simple.arg = arg;
	a->rows = arena_alloc(mem, (n + 1) * sizeof(*rows));
	a->n = n;
	for (size_t i = 0; i < n; i++) {
		a->rows[i].id = rows[i].id;
		a->rows[i].channel = arena_string(mem, rows[i].channel);
		a->rows[i].state = arena_string(mem, rows[i].state);
	}
	if (mail != NULL) {
		a->has_mail = true;
		error = message_copy(mem, mail, &a->mail);
		a->text = (struct str){arena_copy(mem, text.p, text.n), text.n};
		a->mail.size = text.n;
	}
	a->simple.op.cost = arena_total(mem);
	if (error != 0)
		core_refuse(s, &a->simple.op, error);
	else
		core_submit(s, &a->simple.op, CORE_WRITER);
}

static void
load_one(struct db *db, sqlite3_stmt *st,
    void (*on_alert)(void *arg, const struct spool_alert *row), void *arg)
{
	struct arena mem;
	struct spool_alert row;

	arena_init(&mem);
	row.id = (uint64_t)db_column_int(db, st, 0, 1, INT64_MAX);
	row.channel = db_column_note(st, 1, SPOOL_NAME_MAX, &mem);
	row.state = db_column_note(st, 2, SPOOL_ALERT_MAX, &mem);
	if (row.channel == NULL || row.state == NULL)
		db->bad_row = true;
	if (!db_take_bad_row(db, "alert", row.id))
		on_alert(arg, &row);
	arena_clear(&mem);
}

int
spool_load_alerts(struct spool *s,
    void (*on_alert)(void *arg, const struct spool_alert *row), void *arg)
{
	sqlite3_stmt *st;
	char err[256];
	struct db db;
	int rc = db_open(&db, s->database, DB_READ, s->log, err, sizeof(err));

	if (rc != SQLITE_OK)
		return db_errno(rc);
	st = db_get(&db, DB_GET_ALERTS);
	while (db_step(&db, st))
		load_one(&db, st, on_alert, arg);
	rc = db.rc;
	db_close(&db);
	return db_errno(rc);
}
