/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking for messages by what people know of them. The reading thread walks
 * the spool in order of ids, a step at a time, and looks at what is cheap
 * first: a message's row, and its recipients only where that has not decided.
 */
#include "base/fold.h"
#include "base/header.h"
#include "base/ip.h"
#include "spool/message.h"
#include "spool/walk.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_MESSAGES 2000
#define LOOK_RCPTS 4000
#define FOUND_MAX 1000
#define FOUND_BYTES_MAX (4 << 20)

struct find_op {
	struct op op;
	struct arena found;
	struct walk walk;
	struct fold *fold;
	struct str term; /* folded; n 0: none */
	struct str subject;
	const char *raw_term, *message_id, *mta_id;
	const char *term_name; /* as a Message-ID is written */
	uint64_t term_id;      /* 0: it is no id of ours */
	struct ip term_ip, client;
	bool has_term_ip, has_client;
	size_t max, looked_rcpts;
	struct spool_message *messages;
	struct spool_found result;
	spool_found_fn *fn;
	void *arg;
};

static struct find_op *
find_of(struct op *op)
{
	return CONTAINER_OF(op, struct find_op, op);
}

/* ---- what fits ---- */

static bool
same_text(const char *a, const char *b)
{
	return b != NULL && strcmp(a, b) == 0;
}

/* Our letters are read in either case by spool_id_parse; the mail server's ids
 * count by case. */
static bool
has_mta_id(const struct spool_message *m, const char *id)
{
	return same_text(id, m->mta_id) || same_text(id, m->queue_id);
}

static bool
has_client(const struct spool_message *m, const struct ip *ip)
{
	struct ip client;

	return ip_parse(str_from(m->client), &client) && ip_eq(&client, ip);
}

static bool
has_message_id(const struct spool_message *m, const char *id)
{
	return m->message_id != NULL &&
	       str_ieq(str_from(id), str_from(m->message_id));
}

/* By all that stands in its row but the term. */
static bool
is_candidate(struct find_op *f, const struct spool_message *m)
{
	return (f->message_id == NULL || has_message_id(m, f->message_id)) &&
	       (f->mta_id == NULL || has_mta_id(m, f->mta_id)) &&
	       (!f->has_client || has_client(m, &f->client)) &&
	       (f->subject.n == 0 || walk_has_subject(f->fold, m, f->subject));
}

/* The whole message, whatever its recipients are. */
static bool
has_term(struct find_op *f, const struct spool_message *m)
{
	return f->term.n == 0 || (f->term_id != 0 && f->term_id == m->id) ||
	       has_mta_id(m, f->raw_term) || has_message_id(m, f->term_name) ||
	       (f->has_term_ip && has_client(m, &f->term_ip)) ||
	       fold_has(f->fold, str_from(m->source), f->term) ||
	       fold_has(f->fold, str_from(m->from), f->term) ||
	       walk_has_subject(f->fold, m, f->term);
}

/* ---- the walk ---- */

static bool
fits(struct find_op *f, const char *address, bool whole)
{
	return walk_matches(&f->walk, address) &&
	       (whole || fold_has(f->fold, str_from(address), f->term));
}

/* Twice: to count, and to keep. */
static size_t
read_rcpts(struct find_op *f, struct db *db, uint64_t id, bool whole,
    struct spool_rcpt *out)
{
	sqlite3_stmt *st = db_get(db, DB_GET_RCPTS);
	struct arena passing = {0}, *mem = &f->found;
	struct spool_rcpt r;
	size_t n = 0;
	int state;

	if (out == NULL)
		mem = &passing;
	db_bind_int(st, 1, (int64_t)id);
	while (n < SPOOL_RCPT_MAX && db_step(db, st)) {
		f->looked_rcpts++;
		if (!message_read_rcpt(db, st, mem, &r, &state) ||
		    !fits(f, r.address, whole))
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
look_at(struct find_op *f, struct db *db, const struct spool_message *m)
{
	bool whole;
	struct spool_rcpt *rcpts;
	struct spool_message *out = &f->messages[f->result.n];
	size_t n;

	if (!is_candidate(f, m))
		return;
	whole = has_term(f, m);
	n = read_rcpts(f, db, m->id, whole, NULL);
	if (n == 0)
		return;
	rcpts = arena_alloc(&f->found, n * sizeof(*rcpts));
	*out = *m;
	out->rcpts = rcpts;
	out->rcpt_count = read_rcpts(f, db, m->id, whole, rcpts);
	f->result.n++;
}

static bool
is_enough(const struct find_op *f)
{
	return f->result.n == f->max || f->looked_rcpts >= LOOK_RCPTS ||
	       arena_total(&f->found) >= FOUND_BYTES_MAX;
}

static int
find_run(struct tx *tx, struct op *op)
{
	struct find_op *f = find_of(op);
	struct walk_page page;
	size_t i = 0;

	f->fold = fold_new();
	f->term = str_from(f->raw_term);
	if (f->raw_term != NULL) {
		f->term = fold_text(f->fold, f->term);
		f->term.p = arena_copy(&f->op.mem, f->term.p, f->term.n);
	}
	if (f->subject.n > 0) {
		f->subject = fold_text(f->fold, f->subject);
		f->subject.p =
		    arena_copy(&f->op.mem, f->subject.p, f->subject.n);
	}
	walk_page(&f->walk, tx->db, &f->found, LOOK_MESSAGES, &page);
	do {
		if (i == page.n)
			break;
		look_at(f, tx->db, &page.v[i++].m);
	} while (!is_enough(f));
	f->result.end = page.end && i == page.n;
	f->result.after = i == page.n ? page.last : page.v[i - 1].m.id;
	f->result.messages = f->messages;
	fold_free(f->fold);
	f->fold = NULL;
	return 0;
}

static bool
find_finish(struct spool *s, struct op *op, bool muted)
{
	struct find_op *f = find_of(op);

	(void)s;
	if (op->error != 0)
		f->result = (struct spool_found){.end = true};
	if (!muted)
		f->fn(f->arg, op->error, &f->result);
	return false;
}

static void
find_free(struct op *op)
{
	struct find_op *f = find_of(op);

	fold_free(f->fold);
	arena_clear(&f->found);
}

static const struct op_type find_type = {
    .name = "find",
    .run = find_run,
    .finish = find_finish,
    .free = find_free,
};

/* A Message-ID is given with brackets or without; cut as it was stored. */
static char *
copy_message_id(struct arena *mem, const char *text)
{
	struct str id = header_message_id(str_from(text));

	id = str_sub(id, 0, SPOOL_NAME_MAX);
	return arena_copy(mem, id.n > 0 ? id.p : "", id.n);
}

void
spool_find(struct spool *s, const struct spool_find *what, uint64_t after_id,
    size_t max, spool_found_fn *fn, void *arg)
{
	struct find_op *f = xcalloc(1, sizeof(*f));
	struct spool_select select = {.source = what->source,
	    .recipient = what->recipient,
	    .domain = what->domain,
	    .all = true};
	int error = walk_init(&f->walk, &f->op.mem, &select);

	f->op.type = &find_type;
	f->walk.after = after_id < INT64_MAX ? after_id : INT64_MAX;
	f->raw_term = arena_string(&f->op.mem, what->term);
	if (what->term != NULL) {
		f->term_name = copy_message_id(&f->op.mem, what->term);
		if (!spool_id_parse(str_from(what->term), &f->term_id))
			f->term_id = 0;
		f->has_term_ip = ip_parse(str_from(what->term), &f->term_ip);
	}
	if (what->message_id != NULL)
		f->message_id = copy_message_id(&f->op.mem, what->message_id);
	f->mta_id = arena_string(&f->op.mem, what->mta_id);
	f->subject = str_from(arena_string(&f->op.mem, what->subject));
	/* What is no address is nobody's. */
	f->has_client = what->client != NULL;
	if (f->has_client && !ip_parse(str_from(what->client), &f->client))
		f->client = (struct ip){0};
	f->max = max < FOUND_MAX ? max : FOUND_MAX;
	f->messages =
	    arena_alloc(&f->op.mem, (f->max + 1) * sizeof(*f->messages));
	f->fn = fn;
	f->arg = arg;
	if (error != 0)
		core_refuse(s, &f->op, error);
	else
		core_submit_new(s, &f->op, CORE_READER);
}
