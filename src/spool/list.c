/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the reading thread does: listing, bodies in pieces, the audit log. All
 * answers are bounded, whatever the database holds.
 */
#include "spool/message.h"
#include "spool/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define LIST_MAX 1000
#define LIST_BYTES_MAX (4 << 20)
#define CHUNK_BYTES 65536
#define AUDIT_MAX 10000

/* ---- messages ---- */

struct list_op {
	struct op op;
	struct arena found; /* of the answer, or what was looked at for it */
	struct walk walk;
	size_t max;
	struct spool_message *messages;
	size_t n;
	spool_list_fn *fn;
	void *arg;
};

static struct list_op *
list_of(struct op *op)
{
	return CONTAINER_OF(op, struct list_op, op);
}

/* Twice: to count, and to keep. */
static size_t
read_rcpts(
    struct list_op *l, struct db *db, uint64_t id, struct spool_rcpt *out)
{
	sqlite3_stmt *st = db_get(db, DB_GET_RCPTS);
	struct arena passing, *mem = out != NULL ? &l->found : &passing;
	struct spool_rcpt r;
	size_t n = 0;
	int state;

	arena_init(&passing);
	db_bind_int(st, 1, (int64_t)id);
	while (n < SPOOL_RCPT_MAX && db_step(db, st)) {
		if (!message_read_rcpt(db, st, mem, &r, &state) ||
		    !walk_matches(&l->walk, r.address))
			continue;
		if (out != NULL)
			out[n] = r;
		n++;
	}
	db_reset(st);
	arena_clear(&passing);
	return n;
}

static void
add_message(struct list_op *l, struct db *db, const struct walk_message *wm)
{
	size_t n = read_rcpts(l, db, wm->m.id, NULL);
	struct spool_message *m = &l->messages[l->n];
	struct spool_rcpt *rcpts;

	if (n == 0)
		return;
	rcpts = arena_alloc(&l->found, n * sizeof(*rcpts));
	*m = wm->m;
	m->rcpts = rcpts;
	m->rcpt_count = read_rcpts(l, db, wm->m.id, rcpts);
	l->n++;
}

static bool
is_enough(const struct list_op *l)
{
	return l->n > 0 && arena_total(&l->found) >= LIST_BYTES_MAX;
}

/* An answer with nothing in it would mean the end: so it goes on until there is
 * one, and forgets what was only looked at. */
static int
list_run(struct tx *tx, struct op *op)
{
	struct list_op *l = list_of(op);
	struct walk_page page = {.end = false};
	struct walk w = l->walk;

	while (!page.end && l->n < l->max && !is_enough(l) &&
	       tx->db->rc == SQLITE_OK) {
		size_t i = 0;

		walk_page(&w, tx->db, &l->found, l->max - l->n, &page);
		for (; i < page.n && !is_enough(l); i++)
			add_message(l, tx->db, &page.v[i]);
		if (i < page.n)
			return 0;
		w.after = page.last;
		if (l->n == 0)
			arena_clear(&l->found);
	}
	return 0;
}

static bool
list_finish(struct spool *s, struct op *op, bool muted)
{
	struct list_op *l = list_of(op);

	(void)s;
	if (!muted)
		l->fn(
		    l->arg, op->error, l->messages, op->error == 0 ? l->n : 0);
	return false;
}

static void
list_free(struct op *op)
{
	struct list_op *l = list_of(op);

	arena_clear(&l->found);
}

static const struct op_type list_type = {
    .name = "list",
    .run = list_run,
    .finish = list_finish,
    .free = list_free,
};

void
spool_list(struct spool *s, const struct spool_select *select,
    uint64_t after_id, size_t max, spool_list_fn *fn, void *arg)
{
	struct list_op *l = xcalloc(1, sizeof(*l));
	int error = walk_init(&l->walk, &l->op.mem, select);

	l->op.type = &list_type;
	l->walk.after = after_id < INT64_MAX ? after_id : INT64_MAX;
	l->max = max < LIST_MAX ? max : LIST_MAX;
	l->messages =
	    arena_alloc(&l->op.mem, (l->max + 1) * sizeof(*l->messages));
	l->fn = fn;
	l->arg = arg;
	if (error != 0)
		core_refuse(s, &l->op, error);
	else
		core_submit_new(s, &l->op, CORE_READER);
}

/* ---- bodies ---- */

struct chunk_op {
	struct op op;
	uint64_t id, offset;
	char *text;
	size_t n;
	spool_chunk_fn *fn;
	void *arg;
};

static struct chunk_op *
chunk_of(struct op *op)
{
	return CONTAINER_OF(op, struct chunk_op, op);
}

/* A row without its file: the message cannot be sent. */
static int
read_file(struct spool *s, struct chunk_op *c)
{
	char *path = core_body_path(s, c->id, false);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;
	int err = 0;

	free(path);
	if (fd < 0)
		return EIO;
	c->text = xmalloc(CHUNK_BYTES);
	do
		n = pread(fd, c->text, CHUNK_BYTES, (off_t)c->offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		err = errno;
	else
		c->n = (size_t)n;
	close(fd);
	return err;
}

static int
chunk_run(struct tx *tx, struct op *op)
{
	struct chunk_op *c = chunk_of(op);
	sqlite3_stmt *st = db_get(tx->db, DB_GET_CHUNK);
	bool in_file;

	if (c->offset > INT32_MAX * (uint64_t)1024)
		return 0;
	db_bind_int(st, 1, (int64_t)c->id);
	db_bind_int(st, 2, (int64_t)c->offset + 1);
	db_bind_int(st, 3, CHUNK_BYTES);
	if (!db_step(tx->db, st))
		return ENOENT;
	in_file = sqlite3_column_int64(st, 0) != 0;
	if (!in_file && sqlite3_column_type(st, 2) == SQLITE_BLOB) {
		const void *p = sqlite3_column_blob(st, 2);

		c->n = (size_t)sqlite3_column_bytes(st, 2);
		c->text = c->n > 0 ? str_dup((struct str){p, c->n}) : NULL;
	}
	db_reset(st);
	return in_file ? read_file(tx->spool, c) : 0;
}

static bool
chunk_finish(struct spool *s, struct op *op, bool muted)
{
	struct chunk_op *c = chunk_of(op);
	struct str chunk = {c->text != NULL ? c->text : "", c->n};

	(void)s;
	if (!muted)
		c->fn(c->arg, op->error, op->error == 0 ? chunk : STR(""));
	return false;
}

static void
chunk_free(struct op *op)
{
	struct chunk_op *c = chunk_of(op);

	free(c->text);
}

static const struct op_type chunk_type = {
    .name = "read_body",
    .run = chunk_run,
    .finish = chunk_finish,
    .free = chunk_free,
};

/* Delivery lives on it, so it does not give way as a listing does. */
void
spool_read_body(struct spool *s, uint64_t id, uint64_t offset,
    spool_chunk_fn *fn, void *arg)
{
	struct chunk_op *c = xcalloc(1, sizeof(*c));

	c->op.type = &chunk_type;
	c->id = id;
	c->offset = offset;
	c->fn = fn;
	c->arg = arg;
	core_submit(s, &c->op, CORE_READER);
}

/* ---- audit ---- */

struct audit_op {
	struct op op;
	size_t max, n;
	struct spool_audit *rows;
	spool_audit_fn *fn;
	void *arg;
};

static struct audit_op *
audit_of(struct op *op)
{
	return CONTAINER_OF(op, struct audit_op, op);
}

static int
audit_list_run(struct tx *tx, struct op *op)
{
	struct audit_op *a = audit_of(op);
	struct db *db = tx->db;
	sqlite3_stmt *st = db_get(db, DB_GET_AUDIT);

	a->rows = arena_alloc(&a->op.mem, (a->max + 1) * sizeof(*a->rows));
	db_bind_int(st, 1, (int64_t)a->max);
	while (arena_total(&a->op.mem) < LIST_BYTES_MAX && a->n < a->max &&
	       db_step(db, st)) {
		struct spool_audit *row = &a->rows[a->n];

		row->at = db_column_int(db, st, 0, INT64_MIN, INT64_MAX);
		row->who = db_column_text(db, st, 1, &a->op.mem);
		row->action = db_column_text(db, st, 2, &a->op.mem);
		row->target = db_column_text(db, st, 3, &a->op.mem);
		row->detail = db_column_text(db, st, 4, &a->op.mem);
		if (!db_take_bad_row(db, "audit", 0))
			a->n++;
	}
	db_reset(st);
	return 0;
}

static bool
audit_list_finish(struct spool *s, struct op *op, bool muted)
{
	struct audit_op *a = audit_of(op);

	(void)s;
	if (!muted)
		a->fn(a->arg, op->error, a->rows, op->error == 0 ? a->n : 0);
	return false;
}

static const struct op_type audit_list_type = {
    .name = "audit_list",
    .run = audit_list_run,
    .finish = audit_list_finish,
};

void
spool_audit_list(struct spool *s, size_t max, spool_audit_fn *fn, void *arg)
{
	struct audit_op *a = xcalloc(1, sizeof(*a));

	a->op.type = &audit_list_type;
	a->max = max < AUDIT_MAX ? max : AUDIT_MAX;
	a->fn = fn;
	a->arg = arg;
	core_submit_new(s, &a->op, CORE_READER);
}
