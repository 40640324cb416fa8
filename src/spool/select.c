/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Release, flush and discard by selection, and release by ticket.
 *
 * A large selection is one op that goes round: writer (a batch, a commit), loop
 * (hands the rows over), writer again. So others are served in between, and a
 * loop that is busy is not flooded. Messages that came after the op was given
 * are not touched, so it ends.
 *
 * Against claims it needs no lock: both run in the writer, and what is SENDING
 * is left alone. A discarded recipient can never be claimed again.
 */
#include "os/clock.h"
#include "spool/message.h"
#include "spool/simple.h"
#include "spool/stop.h"
#include "spool/walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH_MESSAGES 250
#define BATCH_RCPTS 1000
#define BATCH_MS 10 /* then others are served */

struct select_op {
	struct op op;
	enum spool_change what;
	bool discard;
	int64_t wall_ms;
	struct walk walk;
	struct spool_audit *audit; /* goes with the first batch */
	spool_rows_fn *fn;
	void *arg;

	/* One batch. */
	struct arena batch;
	struct spool_row *rows;
	size_t n, cap;
	uint64_t after;
	bool end;
};

static struct select_op *
select_of(struct op *op)
{
	return CONTAINER_OF(op, struct select_op, op);
}

static void
select_undo(struct op *op)
{
	struct select_op *so = select_of(op);

	arena_clear(&so->batch);
	free(so->rows);
	so->rows = NULL;
	so->n = so->cap = 0;
}

static void
add_row(struct select_op *so, const struct spool_rcpt *r, const char *source)
{
	if (so->n == so->cap) {
		so->cap = so->cap > 0 ? so->cap * 2 : 64;
		so->rows = xrealloc(so->rows, so->cap * sizeof(*so->rows));
	}
	so->rows[so->n++] = (struct spool_row){
	    .ticket = r->ticket,
	    .destination = r->destination,
	    .source = source,
	    .address = r->address,
	    .lane = r->lane,
	    .was = r->state,
	};
}

/* The whole message or nothing: the mail server cannot take a recipient out of
 * what it holds, and what a command is at is left to that. */
static bool
may_doom(struct select_op *so, struct tx *tx, uint64_t id)
{
	sqlite3_stmt *st = db_get(tx->db, DB_QUARANTINE_DOOMED);
	struct arena mem;
	struct spool_rcpt r;
	bool ok = true;
	int state;

	db_bind_int(st, 1, (int64_t)id);
	if (db_number(tx->db, st, 1) != 0)
		return false;
	arena_init(&mem);
	st = db_get(tx->db, DB_GET_RCPTS);
	db_bind_int(st, 1, (int64_t)id);
	while (db_step(tx->db, st)) {
		if (!message_read_rcpt(tx->db, st, &mem, &r, &state) ||
		    !walk_matches(&so->walk, r.address) ||
		    r.state == SPOOL_SENDING)
			ok = false;
	}
	arena_clear(&mem);
	return ok;
}

/* Deferred mail is due in both other cases: who releases a message means it to
 * go now. */
static bool
is_wanted(enum spool_change what, const struct spool_rcpt *r, int state,
    int64_t wall_ms)
{
	if (what == SPOOL_TO_DISCARD)
		return r->state != SPOOL_SENDING;
	if (state == DB_STOPPED)
		return what == SPOOL_TO_RELEASE;
	if (state == SPOOL_RELEASED)
		return r->next_try > wall_ms;
	return what == SPOOL_TO_RELEASE && state == SPOOL_HELD;
}

bool
spool_would_change(
    enum spool_change what, const struct spool_rcpt *r, int64_t wall_ms)
{
	bool is_stopped = r->stopped && r->state == SPOOL_RELEASED;

	return is_wanted(
	    what, r, is_stopped ? DB_STOPPED : (int)r->state, wall_ms);
}

/* Collects first: the rows must not change under the statement. */
static void
collect(struct select_op *so, struct tx *tx, const struct walk_message *wm)
{
	sqlite3_stmt *st = db_get(tx->db, DB_GET_RCPTS);
	struct spool_rcpt r;
	int state;

	db_bind_int(st, 1, (int64_t)wm->m.id);
	while (db_step(tx->db, st)) {
		if (!message_read_rcpt(tx->db, st, &so->batch, &r, &state) ||
		    !walk_matches(&so->walk, r.address) ||
		    !is_wanted(so->what, &r, state, so->wall_ms))
			continue;
		add_row(so, &r, wm->m.source);
		if (state == SPOOL_HELD)
			core_count_held(tx, r.ticket, -1);
		else
			tx->effects.recipients[state]--;
	}
}

static void
change_row(struct select_op *so, struct tx *tx, uint64_t ticket, int state)
{
	sqlite3_stmt *st =
	    db_get(tx->db, so->discard ? DB_DELETE_RCPT : DB_RELEASE);

	db_bind_int(st, 1, (int64_t)ticket);
	if (!so->discard) {
		db_bind_int(st, 2, state);
		db_bind_int(st, 3, so->wall_ms);
		tx->effects.recipients[state]++;
	}
	db_run(tx->db, st);
}

static void
doom(struct select_op *so, struct tx *tx, const struct walk_message *wm)
{
	size_t from = so->n;
	sqlite3_stmt *st;

	collect(so, tx, wm);
	for (size_t i = from; i < so->n; i++) {
		st = db_get(tx->db, DB_SET_STATE);
		db_bind_int(st, 1, (int64_t)so->rows[i].ticket);
		db_bind_int(st, 2, DB_BLOCKED);
		db_run(tx->db, st);
		tx->effects.recipients[DB_BLOCKED]++;
	}
	st = db_get(tx->db, DB_DOOM);
	db_bind_int(st, 1, (int64_t)wm->m.id);
	db_run(tx->db, st);
}

static void
change_message(
    struct select_op *so, struct tx *tx, const struct walk_message *wm)
{
	struct message_flags flags = {
	    wm->pending, wm->m.whole, wm->in_file, wm->m.mta_id != NULL};
	size_t from = so->n;

	if (wm->pending == DB_PENDING ||
	    (wm->pending == DB_DAMAGED && !so->discard))
		return;
	if (so->discard && flags.quarantined && !so->walk.select.gone) {
		if (may_doom(so, tx, wm->m.id))
			doom(so, tx, wm);
		return;
	}
	collect(so, tx, wm);
	for (size_t i = from; i < so->n; i++)
		change_row(so, tx, so->rows[i].ticket,
		    flags.quarantined ||
			    (wm->m.whole && so->rows[i].was == SPOOL_HELD)
			? DB_BLOCKED
			: SPOOL_RELEASED);
	if (so->n == from)
		return;
	if (wm->m.whole && (!so->discard || !flags.quarantined))
		message_unblock(tx, wm->m.id, &flags);
	if (so->discard)
		message_reap(tx, wm->m.id, so->n - from);
}

#define WHOSE_MESSAGES 3

static size_t
same_message(const struct spool_row *rows, size_t n)
{
	size_t k = 1;

	while (k < n && SPOOL_ID(rows[k].ticket) == SPOOL_ID(rows[0].ticket))
		k++;
	return k;
}

const char *
spool_whose(const struct spool_row *rows, size_t n, char out[SPOOL_WHOSE_MAX])
{
	size_t i = 0, used = 0, messages = 0, of_one;
	char id[SPOOL_ID_TEXT], more[48];

	out[0] = '\0';
	for (; i < n; i += of_one) {
		of_one = same_message(rows + i, n - i);
		more[0] = '\0';
		if (of_one > 1)
			snprintf(
			    more, sizeof(more), " and %zu more", of_one - 1);
		if (messages++ < WHOSE_MESSAGES)
			used += (size_t)snprintf(out + used,
			    SPOOL_WHOSE_MAX - used,
			    "%s%s of %.200s to %.320s%s", used > 0 ? "; " : "",
			    spool_id_format(SPOOL_ID(rows[i].ticket), id),
			    rows[i].source, rows[i].address, more);
	}
	if (messages > WHOSE_MESSAGES)
		snprintf(out + used, SPOOL_WHOSE_MAX - used,
		    "; and %zu more messages", messages - WHOSE_MESSAGES);
	return out;
}

/* Behind the batch: its rows tell whose the mail is. It may run again. */
static void
insert_audit(const struct select_op *so, struct tx *tx)
{
	char whose[SPOOL_WHOSE_MAX], *detail;
	struct spool_audit audit;

	if (so->audit == NULL || so->walk.select.id_count == 0 || so->n == 0) {
		audit_insert(tx, so->audit);
		return;
	}
	audit = *so->audit;
	detail = xasprintf("%s%s%s", spool_whose(so->rows, so->n, whose),
	    *audit.detail != '\0' ? "; " : "", audit.detail);
	audit.detail = detail;
	audit_insert(tx, &audit);
	free(detail);
}

static int
select_run(struct tx *tx, struct op *op)
{
	struct select_op *so = select_of(op);
	int64_t until = clock_mono_ms() + BATCH_MS;
	struct walk_page page;
	size_t i = 0;

	walk_page(&so->walk, tx->db, &so->batch, BATCH_MESSAGES, &page);
	do {
		if (i == page.n)
			break;
		change_message(so, tx, &page.v[i++]);
	} while (so->n < BATCH_RCPTS && clock_mono_ms() < until);
	so->end = page.end && i == page.n;
	so->after = i == page.n ? page.last : page.v[i - 1].m.id;
	insert_audit(so, tx);
	return 0;
}

static bool
select_finish(struct spool *s, struct op *op, bool muted)
{
	struct select_op *so = select_of(op);
	bool end = so->end || op->error != 0;

	(void)s;
	if (so->fn != NULL && !muted)
		so->fn(so->arg, op->error, so->rows, so->n, end);
	select_undo(op);
	so->walk.after = so->after;
	so->audit = NULL;
	return !end;
}

static const struct op_type select_type = {
    .name = "select",
    .run = select_run,
    .undo = select_undo,
    .finish = select_finish,
    .free = select_undo,
};

static void
submit(struct spool *s, enum spool_change what,
    const struct spool_select *select, int64_t wall_ms,
    const struct spool_audit *audit, spool_rows_fn *fn, void *arg)
{
	struct select_op *so = xcalloc(1, sizeof(*so));
	int error = walk_init(&so->walk, &so->op.mem, select);

	so->op.type = &select_type;
	so->what = what;
	so->discard = what == SPOOL_TO_DISCARD;
	so->wall_ms = wall_ms;
	so->walk.upto = s->last_id;
	so->audit = audit_copy(&so->op.mem, audit);
	so->fn = fn;
	so->arg = arg;
	if (error != 0)
		core_refuse(s, &so->op, error);
	else
		core_submit(s, &so->op, CORE_WRITER);
}

void
spool_release(struct spool *s, const struct spool_select *select,
    int64_t wall_ms, const struct spool_audit *audit, spool_rows_fn *fn,
    void *arg)
{
	submit(s, SPOOL_TO_RELEASE, select, wall_ms, audit, fn, arg);
}

void
spool_flush(struct spool *s, const struct spool_select *select, int64_t wall_ms,
    const struct spool_audit *audit, spool_rows_fn *fn, void *arg)
{
	submit(s, SPOOL_TO_FLUSH, select, wall_ms, audit, fn, arg);
}

void
spool_discard(struct spool *s, const struct spool_select *select,
    const struct spool_audit *audit, spool_rows_fn *fn, void *arg)
{
	submit(s, SPOOL_TO_DISCARD, select, 0, audit, fn, arg);
}

/* ---- by ticket ---- */

struct tickets_op {
	struct simple_op simple;
	uint64_t *v;
	size_t n;
	int64_t wall_ms;
};

static void
release_ticket(struct tx *tx, uint64_t ticket, int64_t wall_ms)
{
	sqlite3_stmt *st = db_get(tx->db, DB_GET_STATE);
	struct message_flags flags;
	int state;

	db_bind_int(st, 1, (int64_t)ticket);
	if (db_number(tx->db, st, 0) != SPOOL_HELD ||
	    !message_flags(tx->db, SPOOL_ID(ticket), &flags))
		return;
	state = flags.whole || flags.pending != DB_READY ? DB_BLOCKED
							 : SPOOL_RELEASED;
	st = db_get(tx->db, DB_RELEASE);
	db_bind_int(st, 1, (int64_t)ticket);
	db_bind_int(st, 2, state);
	db_bind_int(st, 3, wall_ms);
	db_run(tx->db, st);
	core_count_held(tx, ticket, -1);
	tx->effects.recipients[state]++;
	if (state == DB_BLOCKED)
		message_unblock(tx, SPOOL_ID(ticket), &flags);
	/* It was on its way here when the freeze came. */
	stop_late(tx, SPOOL_ID(ticket), flags.quarantined);
}

static int
tickets_run(struct tx *tx, struct op *op)
{
	struct tickets_op *t = CONTAINER_OF(op, struct tickets_op, simple.op);

	for (size_t i = 0; i < t->n; i++)
		release_ticket(tx, t->v[i], t->wall_ms);
	return 0;
}

static const struct op_type tickets_type = {
    .name = "release_tickets",
    .run = tickets_run,
    .finish = simple_finish,
};

void
spool_release_tickets(struct spool *s, const uint64_t *tickets, size_t n,
    int64_t wall_ms, spool_done_fn *fn, void *arg)
{
	struct tickets_op *t = xcalloc(1, sizeof(*t));

	t->simple.op.type = &tickets_type;
	t->simple.op.cost = n * 256;
	t->simple.fn = fn;
	t->simple.arg = arg;
	t->n = n;
	t->wall_ms = wall_ms;
	t->v = (uint64_t *)(void *)arena_alloc(
	    &t->simple.op.mem, n * sizeof(*tickets));
	for (size_t i = 0; i < n; i++)
		t->v[i] = tickets[i];
	core_submit(s, &t->simple.op, CORE_WRITER);
}
