/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening and closing, the loop's side of the threads, ids and figures.
 */
#include "spool/core.h"

#include "base/hash.h"
#include "spool/filer.h"
#include "spool/reader.h"
#include "spool/recover.h"
#include "spool/writer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define EPOCH_MS INT64_C(1577836800000) /* 2020-01-01 */
#define ID_MS_SHIFT 22 /* a sequence of 10 bits, 12 bits for tickets */
#define ID_MS_MAX (((int64_t)1 << 41) - ((int64_t)1 << 34))
#define ID_STEP 4096
#define ID_STEPS 1024 /* in a millisecond */
#define ID_AHEAD ((uint64_t)60000 << ID_MS_SHIFT)

const char *const spool_state_name[4] = {
    [SPOOL_PENDING] = "pending",
    [SPOOL_HELD] = "held",
    [SPOOL_RELEASED] = "released",
    [SPOOL_SENDING] = "sending",
};

/* ---- ops ---- */

static uint32_t *
counter_of(struct spool *s, const struct op *op)
{
	return op->type->internal ? &s->internal : &s->outstanding;
}

void
core_refuse(struct spool *s, struct op *op, int error)
{
	op->error = error;
	++*counter_of(s, op);
	done_put(&s->done, op);
}

void
core_submit(struct spool *s, struct op *op, enum core_thread thread)
{
	/* What ends work has room that what begins it has not. */
	if (!op->type->internal &&
	    s->outstanding / 4 >= s->settings.outstanding_max) {
		core_refuse(s, op, EBUSY);
		return;
	}
	++*counter_of(s, op);
	switch (thread) {
	case CORE_WRITER:
		writer_put(s->writer, op);
		break;
	case CORE_FILER:
		filer_put(s->filer, op);
		break;
	case CORE_READER:
		reader_put(s->reader, op);
		break;
	}
}

void
core_submit_new(struct spool *s, struct op *op, enum core_thread thread)
{
	if (s->outstanding >= s->settings.outstanding_max)
		core_refuse(s, op, EBUSY);
	else
		core_submit(s, op, thread);
}

void
core_free(struct op *op)
{
	if (op->type->free != NULL)
		op->type->free(op);
	arena_clear(&op->mem);
	free(op);
}

/* Not counted any more while its completion runs, so that this may give the
 * next op. */
static void
finish_op(struct spool *s, struct op *op, bool muted)
{
	--*counter_of(s, op);
	if (op->type->finish(s, op, muted)) {
		++*counter_of(s, op);
		writer_put(s->writer, op);
		return;
	}
	core_free(op);
}

static void
dispatch(struct spool *s, bool muted)
{
	struct list ops;

	list_init(&ops);
	done_take(&s->done, &ops);
	while (!list_is_empty(&ops)) {
		struct list *e = ops.next;

		list_remove(e);
		finish_op(s, LIST_ITEM(e, struct op, entry), muted);
	}
}

void
spool_dispatch(struct spool *s)
{
	dispatch(s, false);
}

int
spool_fd(const struct spool *s)
{
	return s->done.fd;
}

bool
spool_is_idle(const struct spool *s)
{
	return s->outstanding == 0 && s->internal == 0;
}

bool
spool_is_scratch(const struct spool *s)
{
	return s->settings.scratch;
}

/* ---- paths ---- */

char *
core_body_path(const struct spool *s, uint64_t id, bool temporary)
{
	char text[SPOOL_ID_TEXT];

	return xasprintf("%s/%s%s", s->bodies, spool_id_format(id, text),
	    temporary ? ".tmp" : "");
}

void
core_effects_add_file(struct tx_effects *e, uint64_t id)
{
	if (e->file_count == e->file_cap) {
		e->file_cap = e->file_cap > 0 ? e->file_cap * 2 : 64;
		e->files = xrealloc(e->files, e->file_cap * sizeof(*e->files));
	}
	e->files[e->file_count++] = id;
}

/* ---- open and close ---- */

static struct spool *
spool_new(const struct spool_settings *settings, struct log *log)
{
	struct spool *s = xcalloc(1, sizeof(*s));

	s->settings = *settings;
	s->settings.dir = xstrdup(settings->dir);
	s->settings.relay = NULL;
	if (settings->relay != NULL)
		s->id_salt =
		    hash_str(str_from(settings->relay), 0) % ID_STEPS * ID_STEP;
	s->bodies = xasprintf("%s/" CORE_BODIES, settings->dir);
	s->database = xasprintf("%s/" CORE_DATABASE, settings->dir);
	s->log = log;
	s->lock_fd = -1;
	s->seed = hash_random_seed();
	for (size_t i = 0; i < ARRAY_LEN(s->key); i++)
		s->key[i] = hash_random_seed();
	s->lazy = map_new();
	s->accounts = accounts_new();
	pthread_mutex_init(&s->lazy_lock, NULL);
	pthread_mutex_init(&s->weights_lock, NULL);
	turns_init(&s->turns);
	return s;
}

static void
spool_free(struct spool *s)
{
	map_free(s->lazy, free);
	accounts_free(s->accounts);
	pthread_mutex_destroy(&s->lazy_lock);
	claim_free_weights(s);
	pthread_mutex_destroy(&s->weights_lock);
	free(s->database);
	free(s->bodies);
	free((char *)(uintptr_t)s->settings.dir);
	free(s);
}

/* The reader first: its connection keeps the index of the log alive while the
 * writer opens its own anew (writer.c). */
static int
start_threads(struct spool *s, struct db *db)
{
	int err = done_init(&s->done);

	if (err != 0)
		return err;
	err = reader_start(s);
	if (err == 0)
		err = filer_start(s);
	if (err == 0)
		err = writer_start(s, db);
	if (err == 0)
		return 0;
	if (s->filer != NULL)
		filer_stop(s->filer);
	if (s->reader != NULL)
		reader_stop(s->reader);
	done_clear(&s->done);
	return err;
}

struct spool *
spool_open(const struct spool_settings *settings, struct log *log, char *err,
    size_t err_cap, int *status)
{
	struct recover_failure failure = {err, err_cap, EX_IOERR};
	struct spool *s = spool_new(settings, log);
	struct db db = {.log = NULL};
	bool unclean = false;
	int error;

	if (!recover_lock(s, &unclean, &failure) ||
	    !recover_open(s, &schema_current, unclean, &db, &failure) ||
	    !recover_rows(s, &db, &failure))
		goto out;
	db.log = log;
	error = start_threads(s, &db);
	if (error == 0)
		return s;
	snprintf(err, err_cap, "spool %s: threads cannot be started: %s",
	    settings->dir, strerror(error));
out:
	*status = failure.status;
	db_close(&db);
	recover_unlock(s, !unclean);
	spool_free(s);
	return NULL;
}

static void
wait_until_idle(struct spool *s)
{
	struct pollfd p = {.fd = s->done.fd, .events = POLLIN};

	while (!spool_is_idle(s)) {
		poll(&p, 1, 1000);
		dispatch(s, true);
	}
}

void
spool_close(struct spool *s)
{
	bool clean;

	if (s == NULL)
		return;
	wait_until_idle(s);
	writer_stop(s->writer);
	filer_stop(s->filer);
	reader_stop(s->reader);
	writer_free(s->writer);
	done_clear(&s->done);
	clean = atomic_load(&s->errors) == 0;
	recover_unlock(s, clean);
	spool_free(s);
}

/* ---- ids ---- */

struct mark_op {
	struct op op;
	uint64_t mark;
};

static int
mark_run(struct tx *tx, struct op *op)
{
	sqlite3_stmt *st = db_get(tx->db, DB_SET_META);

	db_bind_text(st, 1, "id_mark");
	db_bind_int(st, 2, (int64_t)CONTAINER_OF(op, struct mark_op, op)->mark);
	db_run(tx->db, st);
	return 0;
}

static bool
mark_finish(struct spool *s, struct op *op, bool muted)
{
	(void)muted;
	s->id_marking = false;
	/* Tried again with the next id. */
	if (op->error != 0)
		s->id_mark = 0;
	return false;
}

static const struct op_type mark_type = {
    .name = "mark",
    .run = mark_run,
    .finish = mark_finish,
    .internal = true,
};

/* A mark well ahead is stored, so that ids of messages that have gone are not
 * given again after a restart with a clock that went back. It is queued before
 * any message that has the id, and so never committed after it. */
static void
move_mark(struct spool *s)
{
	struct mark_op *m = xcalloc(1, sizeof(*m));

	s->id_mark = s->last_id + ID_AHEAD;
	s->id_marking = true;
	m->op.type = &mark_type;
	m->mark = s->id_mark;
	core_submit(s, &m->op, CORE_WRITER);
}

uint64_t
spool_new_id(struct spool *s, int64_t wall_ms)
{
	int64_t ms = wall_ms - EPOCH_MS;
	uint64_t id;

	if (ms < 0)
		ms = 0;
	if (ms > ID_MS_MAX)
		ms = ID_MS_MAX;
	id = (uint64_t)ms << ID_MS_SHIFT | s->id_salt;
	if (id <= s->last_id)
		id = s->last_id + ID_STEP;
	if (id > INT64_MAX)
		panic("spool ids are used up");
	s->last_id = id;
	if (id >= s->id_mark && !s->id_marking)
		move_mark(s);
	return id;
}

int64_t
spool_id_wall(uint64_t id)
{
	return (int64_t)(id >> ID_MS_SHIFT) + EPOCH_MS;
}

/* ---- figures ---- */

bool
spool_is_short(const struct spool *s)
{
	return atomic_load(&s->is_short);
}

uint64_t
spool_seed(const struct spool *s)
{
	return s->seed;
}

const unsigned char *
spool_key(const struct spool *s)
{
	return (const unsigned char *)s->key;
}

static uint64_t
not_negative(int_fast64_t v)
{
	return v > 0 ? (uint64_t)v : 0;
}

void
spool_stats(const struct spool *s, struct spool_stats *out)
{
	*out = (struct spool_stats){
	    .messages = not_negative(atomic_load(&s->messages)),
	    .quarantined = not_negative(atomic_load(&s->quarantined)),
	    .stopped = not_negative(atomic_load(&s->stopped)),
	    .free_bytes = atomic_load(&s->free_bytes),
	    .commits = atomic_load(&s->commits),
	    .operations = atomic_load(&s->operations),
	    .database_errors = atomic_load(&s->errors),
	};
	for (size_t i = 0; i < ARRAY_LEN(out->recipients); i++)
		out->recipients[i] =
		    not_negative(atomic_load(&s->recipients[i]));
}
