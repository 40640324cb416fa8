/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was held at the start, read and counted behind the listeners, a page at
 * a time in the order of ids, or of one source that somebody waits for.
 *
 * In the writer's thread, so that it stands in one order with everything that
 * changes rows: a page shows what commits before it left, and the completion of
 * a change that came after it runs after the page's own. So the gate removes
 * from its queues what was put there, and puts nothing there that has gone.
 *
 * Counts follow the same line (core_is_counted): the rows of an id are counted
 * when the walk passes it, and change the counts from then on. New ids lie
 * above count_end, and always do. Nothing is written here, so a crash at any
 * point leaves it to the next start.
 */
#include "spool/core.h"

#include <stdlib.h>

#define PAGE_MESSAGES 1000
#define PAGE_ROWS 2000 /* and the rest of a message */
#define SIZE_LIMIT ((int64_t)1 << 50)

struct page_op {
	struct op op;
	const char *source; /* NULL: the walk of all */
	uint64_t after;     /* of a source; 0: where the walk is */
	struct arena text;  /* of rows */
	struct spool_row *rows;
	size_t cap;
	struct spool_held page;
	int64_t messages; /* the walk: how many this page may have yet */
	spool_held_fn *fn;
	void *arg;
};

static struct page_op *
page_of(struct op *op)
{
	return CONTAINER_OF(op, struct page_op, op);
}

void
core_count_held(struct tx *tx, uint64_t ticket, int64_t n)
{
	if (core_is_counted(tx, SPOOL_ID(ticket)))
		tx->effects.recipients[SPOOL_HELD] += n;
}

static void
page_undo(struct op *op)
{
	struct page_op *p = page_of(op);

	arena_clear(&p->text);
	p->page.n = 0;
	p->page.end = false;
}

/* ---- rows ---- */

static void
add_row(struct page_op *p, const struct spool_row *row)
{
	if (p->page.n == p->cap) {
		p->cap = p->cap > 0 ? 2 * p->cap : 64;
		p->rows = xrealloc(p->rows, p->cap * sizeof(*p->rows));
	}
	p->rows[p->page.n++] = *row;
}

/* Of the recipient that `st` stands at. source: NULL: only counted. */
static void
take_rcpt(
    struct page_op *p, struct tx *tx, sqlite3_stmt *st, const char *source)
{
	struct db *db = tx->db;
	uint64_t ticket = (uint64_t)db_column_int(db, st, 0, 1, INT64_MAX);
	struct spool_row row = {
	    .ticket = ticket,
	    .destination =
		(uint64_t)db_column_int(db, st, 2, INT64_MIN, INT64_MAX),
	    .source = source,
	    .address = "",
	    .lane = (uint8_t)db_column_int(db, st, 3, 0, UINT8_MAX),
	    .was = SPOOL_HELD,
	};

	if (sqlite3_column_int64(st, 1) != SPOOL_HELD) {
		db->bad_row = false;
		return;
	}
	if (p->source == NULL)
		tx->effects.recipients[SPOOL_HELD]++;
	if (!db_take_bad_row(db, "rcpt", ticket) && source != NULL)
		add_row(p, &row);
}

/* ---- the walk of all ---- */

/* Of the message id, which go up: both tables are read once, side by side.
 * *ticket: the one that `rcpts` stands at; INT64_MAX: behind the last. */
static int64_t
take_rcpts(struct page_op *p, struct tx *tx, sqlite3_stmt *rcpts, int64_t id,
    const char *source, int64_t *ticket)
{
	int64_t end =
	    id < INT64_MAX - SPOOL_RCPT_MAX ? id + SPOOL_RCPT_MAX : INT64_MAX;
	int64_t n = 0;

	while (*ticket < end) {
		if (*ticket >= id) {
			take_rcpt(p, tx, rcpts, source);
			n++;
		}
		*ticket = db_step(tx->db, rcpts)
			      ? sqlite3_column_int64(rcpts, 0)
			      : INT64_MAX;
	}
	return n;
}

/* Its rows would be those of another message. */
static bool
is_no_id(int64_t id)
{
	return SPOOL_ID((uint64_t)id) != (uint64_t)id;
}

/* A message that is damaged counts for nobody, and one without its body is not
 * queued. */
static void
take_message(struct page_op *p, struct tx *tx, sqlite3_stmt *st,
    sqlite3_stmt *rcpts, int64_t *ticket)
{
	struct db *db = tx->db;
	int64_t id = sqlite3_column_int64(st, 0), n;
	const char *source = db_column_text(db, st, 1, &p->text);
	int64_t size = db_column_int(db, st, 2, 0, SIZE_LIMIT);
	bool is_bad, is_queued;

	if (is_no_id(id))
		db->bad_row = true;
	is_bad = db_take_bad_row(db, "message", (uint64_t)id);
	is_queued = !is_bad && sqlite3_column_int64(st, 3) != DB_DAMAGED;
	n = is_no_id(id) ? 0
			 : take_rcpts(p, tx, rcpts, id,
			       is_queued ? source : NULL, ticket);
	tx->effects.messages++;
	if (!is_bad) {
		accounts_note(&tx->effects.accounts, source, n, size);
		tx->effects.accounts.counted_recipients += n;
		tx->effects.accounts.counted_bytes += size;
	}
	tx->effects.counted_to = (uint64_t)id;
}

static sqlite3_stmt *
tickets_from(struct tx *tx, int64_t id, int64_t *ticket)
{
	sqlite3_stmt *st = db_get(tx->db, DB_HELD_TICKETS);

	db_bind_int(st, 1, id);
	db_bind_int(st, 2, INT64_MAX);
	*ticket = db_step(tx->db, st) ? sqlite3_column_int64(st, 0) : INT64_MAX;
	return st;
}

static int
walk_run(struct tx *tx, struct op *op)
{
	struct page_op *p = page_of(op);
	sqlite3_stmt *st = db_get(tx->db, DB_HELD_MESSAGES), *rcpts = NULL;
	int64_t ticket = INT64_MAX;
	int64_t left = p->messages;
	bool more = true;

	page_undo(op);
	db_bind_int(st, 1, (int64_t)tx->effects.counted_to);
	db_bind_int(st, 2, (int64_t)tx->spool->count_end);
	while (
	    left > 0 && p->page.n < PAGE_ROWS && (more = db_step(tx->db, st))) {
		if (rcpts == NULL)
			rcpts = tickets_from(
			    tx, sqlite3_column_int64(st, 0), &ticket);
		take_message(p, tx, st, rcpts, &ticket);
		left--;
	}
	db_reset(st);
	db_reset(rcpts);
	p->page.end = !more && tx->db->rc == SQLITE_OK;
	if (p->page.end)
		tx->effects.counted_to = tx->spool->count_end;
	return 0;
}

/* ---- of one source ---- */

static void
take_held_of(struct page_op *p, struct tx *tx, int64_t id)
{
	sqlite3_stmt *st = db_get(tx->db, DB_HELD_TICKETS);

	db_bind_int(st, 1, id);
	db_bind_int(st, 2,
	    id < INT64_MAX - SPOOL_RCPT_MAX ? id + SPOOL_RCPT_MAX - 1
					    : INT64_MAX);
	while (db_step(tx->db, st))
		take_rcpt(p, tx, st, p->source);
}

static int
source_run(struct tx *tx, struct op *op)
{
	struct page_op *p = page_of(op);
	sqlite3_stmt *st = db_get(tx->db, DB_HELD_OF);
	int64_t left = p->messages;
	bool more = true;

	page_undo(op);
	p->page.after = p->after > 0 ? p->after : tx->effects.counted_to;
	db_bind_text(st, 1, p->source);
	db_bind_int(st, 2, (int64_t)p->page.after);
	db_bind_int(st, 3, (int64_t)tx->spool->count_end);
	while (
	    left > 0 && p->page.n < PAGE_ROWS && (more = db_step(tx->db, st))) {
		int64_t id = sqlite3_column_int64(st, 0);

		if (!is_no_id(id) && sqlite3_column_int64(st, 1) != DB_DAMAGED)
			take_held_of(p, tx, id);
		p->page.after = (uint64_t)id;
		left--;
	}
	db_reset(st);
	p->page.end = !more && tx->db->rc == SQLITE_OK;
	return 0;
}

/* ---- for the loop ---- */

static bool
page_finish(struct spool *s, struct op *op, bool muted)
{
	struct page_op *p = page_of(op);

	(void)s;
	p->page.rows = p->rows;
	if (op->error != 0)
		p->page = (struct spool_held){.rows = NULL};
	if (!muted)
		p->fn(p->arg, op->error, &p->page);
	return false;
}

static void
page_free(struct op *op)
{
	struct page_op *p = page_of(op);

	arena_clear(&p->text);
	free(p->rows);
}

static const struct op_type walk_type = {
    .name = "load",
    .run = walk_run,
    .undo = page_undo,
    .finish = page_finish,
    .free = page_free,
    .internal = true,
};

static const struct op_type source_type = {
    .name = "load_source",
    .run = source_run,
    .undo = page_undo,
    .finish = page_finish,
    .free = page_free,
    .internal = true,
};

static void
submit(struct spool *s, const struct op_type *type, const char *source,
    uint64_t after, spool_held_fn *fn, void *arg)
{
	struct page_op *p = xcalloc(1, sizeof(*p));

	p->op.type = type;
	p->source = arena_string(&p->op.mem, source);
	p->after = after;
	p->messages =
	    s->settings.load_page > 0 ? s->settings.load_page : PAGE_MESSAGES;
	p->fn = fn;
	p->arg = arg;
	core_submit(s, &p->op, CORE_WRITER);
}

void
spool_load_held(struct spool *s, spool_held_fn *fn, void *arg)
{
	submit(s, &walk_type, NULL, 0, fn, arg);
}

void
spool_load_held_of(struct spool *s, const char *source, uint64_t after,
    spool_held_fn *fn, void *arg)
{
	submit(s, &source_type, source, after, fn, arg);
}

bool
spool_is_counted(const struct spool *s)
{
	return atomic_load(&s->is_counted);
}
