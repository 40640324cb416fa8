/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Delivery's side: claiming what is due, recording what became of it.
 *
 * Sources take turns. The index by source holds what was let go and nothing
 * that is held, so a turn is two look-ups however much there is; each message
 * looked at leaves what is due, claimed or (when its rows are damaged) put
 * aside with a log line: a claim never passes over the same rows again and
 * again.
 *
 * Where more sources than one claim looks at have something released, most of
 * it not due, the oldest that is due goes as well: nobody starves.
 *
 * A claim that is rolled back leaves the turns where it had brought them.
 */
#include "spool/core.h"

#include "spool/message.h"
#include "spool/simple.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CLAIM_MAX 1024
#define PAGE_TICKETS 256
#define MESSAGE_BODY 20 /* behind DB_MESSAGE_READ */
/* Texts that go with the jobs of one claim; the rest is read in pieces. */
#define INLINE_MAX (64 << 10)
#define INLINE_TOTAL_MAX (2 << 20)
#define DAMAGED_TEXT "its row in the spool is damaged"

struct job {
	struct spool_job job;
	struct arena mem;
	struct spool_rcpt *rcpts;
};

struct claim_op {
	struct op op;
	size_t max;
	int64_t wall_ms, next_due;
	struct spool_job **jobs;
	size_t n, bytes;
	spool_claim_fn *fn;
	void *arg;
};

void
spool_job_free(struct spool_job *job)
{
	struct job *j = CONTAINER_OF(job, struct job, job);

	arena_clear(&j->mem);
	free(j->rcpts);
	free(j);
}

static struct claim_op *
claim_of(struct op *op)
{
	return CONTAINER_OF(op, struct claim_op, op);
}

static void
claim_undo(struct op *op)
{
	struct claim_op *c = claim_of(op);

	for (size_t i = 0; i < c->n; i++)
		spool_job_free(c->jobs[i]);
	c->n = c->bytes = 0;
}

static void
put_aside(struct tx *tx, uint64_t ticket)
{
	sqlite3_stmt *st = db_get(tx->db, DB_PUT_ASIDE);

	log_write(tx->db->log, LOG_EV_SPOOL_PUT_ASIDE, KV(ticket, ticket),
	    KV(reason, "damaged"));
	db_bind_int(st, 1, (int64_t)ticket);
	db_bind_text(st, 2, DAMAGED_TEXT);
	db_run(tx->db, st);
	tx->effects.recipients[SPOOL_RELEASED]--;
	tx->effects.recipients[DB_BLOCKED]++;
}

/* ---- one job ---- */

/* False: the text is not what the row says. */
static bool
read_text(struct claim_op *c, struct db *db, sqlite3_stmt *st, struct job *j)
{
	uint64_t size = (uint64_t)sqlite3_column_bytes(st, MESSAGE_BODY);

	if (sqlite3_column_type(st, MESSAGE_BODY) != SQLITE_BLOB ||
	    size != j->job.m.size)
		return false;
	if (size > INLINE_MAX || c->bytes + size > INLINE_TOTAL_MAX)
		return true;
	j->job.body.p =
	    arena_copy(&j->mem, sqlite3_column_blob(st, MESSAGE_BODY), size);
	j->job.body.n = size;
	c->bytes += size;
	return db->rc == SQLITE_OK;
}

static bool
read_job(struct claim_op *c, struct tx *tx, uint64_t id, struct job *j)
{
	sqlite3_stmt *st = db_get(tx->db, DB_GET_MESSAGE);
	int pending;
	bool in_file, ok;

	db_bind_int(st, 1, (int64_t)id);
	if (!db_step(tx->db, st))
		return false;
	ok = message_read(tx->db, st, &j->mem, &j->job.m, &pending, &in_file) &&
	     pending == DB_READY && j->job.m.mta_id == NULL &&
	     (in_file || read_text(c, tx->db, st, j));
	db_reset(st);
	return ok;
}

static void
read_rcpts(struct claim_op *c, struct tx *tx, uint64_t id, struct job *j)
{
	sqlite3_stmt *st = db_get(tx->db, DB_GET_RCPTS);
	size_t n = 0, cap = 0;
	struct spool_rcpt r;
	int state;

	db_bind_int(st, 1, (int64_t)id);
	while (db_step(tx->db, st)) {
		if (!message_read_rcpt(tx->db, st, &j->mem, &r, &state) ||
		    state != SPOOL_RELEASED || r.next_try > c->wall_ms)
			continue;
		if (n == cap) {
			cap = cap > 0 ? cap * 2 : 1;
			j->rcpts = xrealloc(j->rcpts, cap * sizeof(r));
		}
		r.state = SPOOL_SENDING;
		j->rcpts[n++] = r;
	}
	j->job.m.rcpts = j->rcpts;
	j->job.m.rcpt_count = n;
}

static void
mark_sending(struct tx *tx, const struct spool_message *m)
{
	for (size_t i = 0; i < m->rcpt_count; i++) {
		sqlite3_stmt *st = db_get(tx->db, DB_SET_STATE);

		db_bind_int(st, 1, (int64_t)m->rcpts[i].ticket);
		db_bind_int(st, 2, SPOOL_SENDING);
		db_run(tx->db, st);
	}
	tx->effects.recipients[SPOOL_RELEASED] -= (int64_t)m->rcpt_count;
	tx->effects.recipients[SPOOL_SENDING] += (int64_t)m->rcpt_count;
}

static bool
is_claimed(const struct claim_op *c, uint64_t id)
{
	for (size_t i = c->n; i-- > 0;) {
		if (c->jobs[i]->m.id == id)
			return true;
	}
	return false;
}

/* True: something changed. */
static bool
claim_ticket(struct claim_op *c, struct tx *tx, uint64_t ticket)
{
	uint64_t id = SPOOL_ID(ticket);
	struct job *j;

	if (is_claimed(c, id))
		return false;
	j = xcalloc(1, sizeof(*j));
	if (read_job(c, tx, id, j))
		read_rcpts(c, tx, id, j);
	if (j->job.m.rcpt_count == 0) {
		spool_job_free(&j->job);
		if (tx->db->rc == SQLITE_OK)
			put_aside(tx, ticket);
		return true;
	}
	mark_sending(tx, &j->job.m);
	c->jobs[c->n++] = &j->job;
	return true;
}

/* ---- the claim ---- */

static size_t
due_tickets(struct claim_op *c, struct tx *tx, uint64_t out[PAGE_TICKETS])
{
	sqlite3_stmt *st = db_get(tx->db, DB_DUE);
	size_t n = 0;

	db_bind_int(st, 1, c->wall_ms);
	db_bind_int(st, 2, PAGE_TICKETS);
	while (n < PAGE_TICKETS && db_step(tx->db, st))
		out[n++] = (uint64_t)sqlite3_column_int64(st, 0);
	db_reset(st);
	return n;
}

/* Whatever source it is of. A page at a time, as long as it leads on. */
static void
claim_oldest(struct claim_op *c, struct tx *tx, size_t max)
{
	uint64_t tickets[PAGE_TICKETS];
	bool moved = true;

	while (moved && c->n < max) {
		size_t n = due_tickets(c, tx, tickets);

		moved = false;
		for (size_t i = 0; i < n && c->n < max; i++)
			moved |= claim_ticket(c, tx, tickets[i]);
		if (tx->db->rc != SQLITE_OK)
			return;
	}
}

/* ---- turns ---- */

struct claiming { /* arg of the turns */
	struct claim_op *c;
	struct tx *tx;
	uint64_t ticket; /* of the message at the head */
};

static bool
next_owner(void *arg, int64_t after, int64_t *key)
{
	struct claiming *k = arg;
	sqlite3_stmt *st = db_get(k->tx->db, DB_NEXT_OWNER);

	db_bind_int(st, 1, after);
	*key = db_number(k->tx->db, st, INT64_MIN);
	return *key != INT64_MIN;
}

static uint32_t
weight_of(struct spool *s, const char *policy)
{
	uint32_t weight = 1;

	pthread_mutex_lock(&s->weights_lock);
	for (size_t i = 0; policy != NULL && i < s->weight_count; i++) {
		if (strcmp(s->weights[i].policy, policy) == 0)
			weight = s->weights[i].weight;
	}
	pthread_mutex_unlock(&s->weights_lock);
	return weight;
}

/* Of a row that is damaged nothing is known; the claim puts it aside. */
static bool
due_head(void *arg, int64_t key, struct turns_head *out)
{
	struct claiming *k = arg;
	sqlite3_stmt *st = db_get(k->tx->db, DB_DUE_OF);
	int64_t size;

	db_bind_int(st, 1, key);
	db_bind_int(st, 2, k->c->wall_ms);
	k->ticket = (uint64_t)db_number(k->tx->db, st, 0);
	if (k->ticket == 0)
		return false;
	*out = (struct turns_head){0};
	st = db_get(k->tx->db, DB_GET_LOAD);
	db_bind_int(st, 1, (int64_t)SPOOL_ID(k->ticket));
	if (db_step(k->tx->db, st)) {
		size = sqlite3_column_int64(st, 0);
		out->octets = size > 0 ? (uint64_t)size : 0;
		out->weight = weight_of(
		    k->tx->spool, (const char *)sqlite3_column_text(st, 1));
		db_reset(st);
	}
	return k->tx->db->rc == SQLITE_OK;
}

static bool
take_head(void *arg)
{
	struct claiming *k = arg;

	return claim_ticket(k->c, k->tx, k->ticket) &&
	       k->tx->db->rc == SQLITE_OK;
}

static const struct turns_ops claim_turns = {
    .next = next_owner, .head = due_head, .take = take_head};

static int
claim_run(struct tx *tx, struct op *op)
{
	struct claim_op *c = claim_of(op);
	struct claiming k = {.c = c, .tx = tx};
	sqlite3_stmt *st;
	bool looked;

	(void)turns_run(&tx->spool->turns, &claim_turns, &k, c->max, &looked);
	if (c->n < c->max)
		claim_oldest(c, tx, looked ? c->max : c->n + 1);
	if (tx->db->rc != SQLITE_OK)
		return 0;
	st = db_get(tx->db, DB_NEXT_DUE);
	db_bind_int(st, 1, c->wall_ms);
	c->next_due = db_number(tx->db, st, INT64_MAX);
	return 0;
}

static bool
claim_finish(struct spool *s, struct op *op, bool muted)
{
	struct claim_op *c = claim_of(op);

	(void)s;
	if (muted)
		claim_undo(op);
	else
		c->fn(c->arg, op->error, c->jobs, c->n, c->next_due);
	return false;
}

static void
claim_free(struct op *op)
{
	struct claim_op *c = claim_of(op);

	free(c->jobs);
}

static const struct op_type claim_type = {
    .name = "claim",
    .run = claim_run,
    .undo = claim_undo,
    .finish = claim_finish,
    .free = claim_free,
};

void
spool_claim(
    struct spool *s, size_t max, int64_t wall_ms, spool_claim_fn *fn, void *arg)
{
	struct claim_op *c = xcalloc(1, sizeof(*c));

	c->op.type = &claim_type;
	c->max = max < CLAIM_MAX ? max : CLAIM_MAX;
	c->jobs = xcalloc(c->max + 1, sizeof(struct spool_job *));
	c->wall_ms = wall_ms;
	c->next_due = INT64_MAX;
	c->fn = fn;
	c->arg = arg;
	core_submit(s, &c->op, CORE_WRITER);
}

/* ---- weights ---- */

void
claim_free_weights(struct spool *s)
{
	for (size_t i = 0; i < s->weight_count; i++)
		free((char *)(uintptr_t)s->weights[i].policy);
	free(s->weights);
	s->weights = NULL;
	s->weight_count = 0;
}

void
spool_set_weights(struct spool *s, const struct spool_weight *weights, size_t n)
{
	pthread_mutex_lock(&s->weights_lock);
	claim_free_weights(s);
	s->weights = n > 0 ? xcalloc(n, sizeof(*weights)) : NULL;
	for (; s->weight_count < n; s->weight_count++)
		s->weights[s->weight_count] = (struct spool_weight){
		    xstrdup(weights[s->weight_count].policy),
		    weights[s->weight_count].weight};
	pthread_mutex_unlock(&s->weights_lock);
}

/* ---- a clock that was set back ---- */

struct mend_op {
	struct simple_op simple;
	int64_t wall_ms, latest;
};

static int
mend_run(struct tx *tx, struct op *op)
{
	const struct mend_op *m = CONTAINER_OF(op, struct mend_op, simple.op);
	static const enum db_statement both[] = {
	    DB_MEND_DUE, DB_MEND_QUARANTINE};

	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		sqlite3_stmt *st = db_get(tx->db, both[i]);

		db_bind_int(st, 1, m->wall_ms);
		db_bind_int(st, 2, m->latest);
		db_run(tx->db, st);
	}
	return 0;
}

static const struct op_type mend_type = {
    .name = "mend_due",
    .run = mend_run,
    .finish = simple_finish,
};

void
spool_mend_due(struct spool *s, int64_t wall_ms, int64_t latest)
{
	struct mend_op *m = xcalloc(1, sizeof(*m));

	m->simple.op.type = &mend_type;
	m->wall_ms = wall_ms;
	m->latest = latest;
	core_submit(s, &m->simple.op, CORE_WRITER);
}

/* ---- results ---- */

struct finish_op {
	struct simple_op simple;
	struct spool_result *results;
	size_t n;
	bool has_bounce;
	struct spool_message bounce;
	struct str text;
};

static void
record_retry(struct tx *tx, const struct spool_result *r)
{
	sqlite3_stmt *st = db_get(tx->db, DB_RETRY);

	db_bind_int(st, 1, (int64_t)r->ticket);
	db_bind_int(st, 2, r->next_try);
	db_bind_text(st, 3, r->error);
	db_bind_int(st, 4, r->untried ? 0 : 1);
	while (db_step(tx->db, st)) {
		bool stopped = sqlite3_column_int(st, 0) == DB_STOPPED;

		tx->effects.recipients[stopped ? DB_STOPPING : SPOOL_SENDING]--;
		tx->effects.recipients[stopped ? DB_STOPPED : SPOOL_RELEASED]++;
	}
}

static size_t
record_end(struct tx *tx, const struct spool_result *r)
{
	sqlite3_stmt *st = db_get(tx->db, DB_DELETE_SENDING);
	size_t n = 0;

	db_bind_int(st, 1, (int64_t)r->ticket);
	for (; db_step(tx->db, st); n++)
		tx->effects.recipients[sqlite3_column_int(st, 0)]--;
	return n;
}

/* What is not SENDING is passed over, and a bounce that is there is not stored
 * again, so that results may be given again when it is not known whether they
 * were recorded. */
static int
finish_run(struct tx *tx, struct op *op)
{
	struct finish_op *f = CONTAINER_OF(op, struct finish_op, simple.op);
	struct message_flags flags;
	size_t ended = 0;

	for (size_t i = 0; i < f->n; i++) {
		const struct spool_result *r = &f->results[i];
		uint64_t id = SPOOL_ID(r->ticket);

		if (r->outcome == SPOOL_RETRY)
			record_retry(tx, r);
		else
			ended += record_end(tx, r);
		if (i + 1 < f->n && SPOOL_ID(r[1].ticket) == id)
			continue;
		message_reap(tx, id, ended);
		ended = 0;
	}
	if (f->has_bounce && !message_flags(tx->db, f->bounce.id, &flags))
		message_insert(tx, &f->bounce, f->text);
	return 0;
}

static const struct op_type finish_type = {
    .name = "finish",
    .run = finish_run,
    .finish = simple_finish,
};

static void
copy_results(struct finish_op *f, const struct spool_result *results, size_t n)
{
	struct arena *mem = &f->simple.op.mem;

	f->n = n;
	f->results = arena_alloc(mem, n * sizeof(*results));
	for (size_t i = 0; i < n; i++) {
		const char *error = results[i].error;

		f->results[i] = results[i];
		if (error != NULL)
			f->results[i].error = arena_copy(
			    mem, error, strnlen(error, CORE_DETAIL_MAX));
	}
}

void
spool_finish(struct spool *s, const struct spool_result *results, size_t n,
    const struct spool_message *bounce, struct str bounce_text,
    spool_done_fn *fn, void *arg)
{
	struct finish_op *f = xcalloc(1, sizeof(*f));
	int error = 0;

	f->simple.op.type = &finish_type;
	f->simple.fn = fn;
	f->simple.arg = arg;
	copy_results(f, results, n);
	if (bounce != NULL) {
		f->has_bounce = true;
		error = message_copy(&f->simple.op.mem, bounce, &f->bounce);
		f->text.p =
		    arena_copy(&f->simple.op.mem, bounce_text.p, bounce_text.n);
		f->text.n = f->bounce.size = bounce_text.n;
		f->simple.op.cost = bounce_text.n;
	}
	if (error != 0)
		core_refuse(s, &f->simple.op, error);
	else
		core_submit(s, &f->simple.op, CORE_WRITER);
}
