/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DECIDE_FILE: a line of JSON for each place that is taken, for each that is
 * given up, and for each answer that is kept for its Idempotency-Key. Lines are
 * appended and synced by a thread; an answer waits until what it promises is
 * there (decide_file_wait). From time to time all of it is written anew, and
 * takes the place of what was there in one step. A line that a crash has cut
 * off promised nothing to anybody yet.
 */
#include "config.h"

#include "maild/decide_private.h"

#include "os/clock.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX (96u << 20)
#define PENDING_MAX (64u << 20)
#define GROWTH_MAX (4u << 20) /* then it is written anew */
#define SAVE_MS 1000          /* for what nobody waits for */
#define DUMP_FLAGS (JSON_COMPACT | JSON_PRESERVE_ORDER)

struct decide_file {
	struct worker *worker;
	char *path, *temporary;
	struct buf pending; /* lines that no job has yet */
	uint64_t added;     /* lines so far */
	uint64_t written;   /* of these, on the disk */
	size_t growth;      /* bytes since it was written anew */
	bool is_anew;       /* to be written anew */
	bool is_writing;
	struct list waiters; /* struct decide_wait, the oldest first */
	struct loop_timer timer;
};

static void start(struct decider *d);

/* ---- lines ---- */

static bool
put(struct buf *out, json_t *line)
{
	char *text = json_dumps(line, DUMP_FLAGS);
	size_t was = out->len;
	bool ok = text != NULL && buf_append_str(out, str_from(text)) &&
		  buf_append(out, "\n", 1);

	if (!ok)
		out->len = was;
	free(text);
	json_decref(line);
	return ok;
}

static json_t *
waiting_line(const struct waiting *w)
{
	return json_pack("{s:{s:o, s:o, s:s, s:o, s:o, s:o}}", "wait", "sender",
	    control_text(w->sender), "source", control_text(w->source),
	    "application", w->application, "policy", control_text(w->policy),
	    "destination", control_text(w->text), "hash",
	    json_sprintf("%" PRIx64, w->destination));
}

static json_t *
answer_line(const struct decider *d, const struct remembered *r)
{
	int64_t left = r->until - loop_now(d->loop);

	return json_pack("{s:o, s:o, s:i, s:I, s:s%}", "key",
	    control_text(r->key), "body", json_sprintf("%" PRIx64, r->body),
	    "code", (int)r->code, "until",
	    (json_int_t)(clock_wall_ms() + (left > 0 ? left : 0)), "answer",
	    buf_str(&r->answer).p, r->answer.len);
}

/* What does not fit is written with all the rest. */
static void
add(struct decider *d, json_t *line)
{
	struct decide_file *f = d->file;

	if (f == NULL) { /* it is being read */
		json_decref(line);
		return;
	}
	f->added++;
	if (f->is_anew)
		json_decref(line);
	else
		f->is_anew = !put(&f->pending, line);
	if (!f->is_writing && f->timer.due == INT64_MAX)
		loop_timer_set(&f->timer, loop_now(d->loop) + SAVE_MS);
}

void
decide_file_waiting(struct decider *d, const struct waiting *w)
{
	add(d, waiting_line(w));
}

void
decide_file_gone(struct decider *d, const char *ticket)
{
	add(d, json_pack("{s:s}", "gone", ticket));
}

void
decide_file_answer(struct decider *d, const struct remembered *r)
{
	add(d, answer_line(d, r));
}

/* ---- writing ---- */

struct job {
	struct decider *d;
	struct buf text;
	uint64_t added; /* lines that are in the file then */
	bool is_anew;
	int error;
};

static int
write_text(const char *path, int flags, struct str text)
{
	int fd = open(path, flags | O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int error = fd < 0 ? errno : file_write_all(fd, text.p, text.n);

	if (error == 0)
		error = file_sync(fd);
	if (fd >= 0)
		close(fd);
	return error;
}

static void
run_job(void *arg)
{
	struct job *j = arg;
	const struct decide_file *f = j->d->file;

	if (!j->is_anew) {
		j->error = write_text(f->path, O_APPEND, buf_str(&j->text));
		return;
	}
	j->error = write_text(f->temporary, O_TRUNC, buf_str(&j->text));
	if (j->error == 0)
		j->error = file_rename_sync(f->temporary, f->path);
}

static void
job_free(void *arg)
{
	struct job *j = arg;

	buf_clear(&j->text);
	free(j);
}

static void
report_waiters(struct decider *d, uint64_t up_to, bool ok)
{
	struct decide_file *f = d->file;

	while (!list_is_empty(&f->waiters)) {
		struct decide_wait *w =
		    LIST_ITEM(f->waiters.next, struct decide_wait, entry);

		if (w->added > up_to)
			return;
		list_remove(&w->entry);
		w->fn(w, ok);
	}
}

static void
on_written(void *arg, int64_t now)
{
	struct job *j = arg;
	struct decider *d = j->d;
	struct decide_file *f = d->file;
	uint64_t added = j->added;
	int error = j->error;

	f->is_writing = false;
	if (error == 0) {
		f->written = added;
		f->growth = j->is_anew ? 0 : f->growth + j->text.len;
		f->is_anew = f->is_anew || f->growth > GROWTH_MAX;
	} else {
		/* Of what was appended a part may be there. */
		f->is_anew = true;
		log_write(d->log, LOG_EV_HTTP_DECISIONS_FILE_FAILED,
		    KV(file, f->path), KV(error, strerror(error)));
	}
	job_free(j);
	report_waiters(d, added, error == 0);
	if (f->written == f->added || f->is_writing)
		return;
	if (error == 0 && !list_is_empty(&f->waiters))
		start(d);
	else if (f->timer.due == INT64_MAX)
		loop_timer_set(&f->timer, now + SAVE_MS);
}

static const struct worker_job job_ops = {
    .run = run_job, .done = on_written, .drop = job_free};

static void
put_all(struct decider *d, struct buf *out)
{
	struct list *i;

	buf_init(out, FILE_MAX);
	list_each (i, &d->waiting)
		(void)!put(
		    out, waiting_line(LIST_ITEM(i, struct waiting, entry)));
	list_each (i, &d->remembered) {
		const struct remembered *r =
		    LIST_ITEM(i, struct remembered, entry);

		if (r->is_stored)
			(void)!put(out, answer_line(d, r));
	}
}

static void
start(struct decider *d)
{
	struct decide_file *f = d->file;
	struct job *j = xcalloc(1, sizeof(*j));

	j->d = d;
	j->added = f->added;
	j->is_anew = f->is_anew;
	if (j->is_anew) {
		put_all(d, &j->text);
		buf_clear(&f->pending);
	} else {
		j->text = f->pending;
	}
	buf_init(&f->pending, PENDING_MAX);
	f->is_anew = false;
	f->is_writing = true;
	loop_timer_set(&f->timer, INT64_MAX);
	/* One at a time: there is room for it. */
	if (!worker_submit(f->worker, &job_ops, j))
		panic("decide: the thread has no room");
}

static void
on_timer(void *arg, int64_t now)
{
	struct decider *d = arg;

	(void)now;
	if (!d->file->is_writing)
		start(d);
}

void
decide_file_wait(struct decider *d, struct decide_wait *w)
{
	struct decide_file *f = d->file;

	w->added = f->added;
	if (f->written == f->added) {
		w->fn(w, true);
		return;
	}
	list_append(&f->waiters, &w->entry);
	if (!f->is_writing)
		start(d);
}

/* ---- reading it back, hostile ---- */

static bool
read_hex(const char *text, uint64_t *out)
{
	struct str s = str_from(text);

	*out = 0;
	for (size_t i = 0; i < s.n; i++) {
		int digit = str_hex_digit(s.p[i]);

		if (digit < 0)
			return false;
		*out = *out << 4 | (uint64_t)digit;
	}
	return s.n > 0 && s.n <= 16;
}

static bool
read_waiting(struct decider *d, json_t *line)
{
	const char *sender, *source, *application, *destination, *hash;
	const char *policy = "";
	uint64_t value;

	if (json_unpack(line, "{s:s, s:s, s:s, s:s, s:s, s?s}", "sender",
		&sender, "source", &source, "application", &application,
		"destination", &destination, "hash", &hash, "policy",
		&policy) != 0 ||
	    !read_hex(hash, &value))
		return false;
	decide_add_waiting(
	    d, sender, value, source, application, policy, destination);
	return true;
}

static bool
read_answer(struct decider *d, json_t *line, int64_t wall, int64_t now)
{
	const char *key, *body, *answer;
	struct remembered *r;
	json_int_t until;
	size_t n;
	uint64_t hash;
	int code;

	if (json_unpack(line, "{s:s, s:s, s:i, s:I, s:s%}", "key", &key, "body",
		&body, "code", &code, "until", &until, "answer", &answer,
		&n) != 0 ||
	    !read_hex(body, &hash) || code < 200 || code > 599 ||
	    strlen(key) > DECIDE_KEY_MAX)
		return false;
	if (until <= wall || until > wall + DECIDE_REMEMBERED_MS ||
	    decide_find_remembered(d, key, now) != NULL)
		return true;
	r = decide_remember(d, key, hash);
	if (r != NULL) {
		r->is_stored = true;
		(void)!decide_remember_answer(d, r, (unsigned)code,
		    (struct str){answer, n}, now + (until - wall));
	}
	return true;
}

static bool
read_line(struct decider *d, struct str text, int64_t wall, int64_t now)
{
	json_t *line = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
	const char *gone = json_string_value(json_object_get(line, "gone"));
	json_t *wait = json_object_get(line, "wait");
	struct waiting *w;
	bool ok = true;

	if (wait != NULL) {
		ok = read_waiting(d, wait);
	} else if (gone != NULL) {
		w = decide_find_waiting(d, str_from(gone));
		if (w != NULL)
			decide_drop_waiting(d, w);
	} else {
		ok = line != NULL && read_answer(d, line, wall, now);
	}
	json_decref(line);
	return ok;
}

static void
load(struct decider *d, const char *path)
{
	int64_t wall = clock_wall_ms(), now = loop_now(d->loop);
	struct buf text;
	struct str rest;
	size_t bad = 0;
	int error;

	buf_init(&text, FILE_MAX);
	error = file_read(path, FILE_MAX, &text);
	if (error != 0 && error != ENOENT)
		log_write(d->log, LOG_EV_HTTP_DECISIONS_FILE_UNREAD,
		    KV(file, path), KV(error, strerror(error)));
	rest = buf_str(&text);
	/* Without its end the last line is none. */
	while (error == 0 && str_index(rest, '\n') < rest.n)
		bad += !read_line(d, str_cut(&rest, '\n'), wall, now);
	if (bad > 0)
		log_write(d->log, LOG_EV_HTTP_DECISIONS_FILE_DAMAGED,
		    KV(file, path), KV(count, bad));
	buf_clear(&text);
}

/* ---- from start to end ---- */

void
decide_file_open(struct decider *d, const char *dir)
{
	struct decide_file *f = xcalloc(1, sizeof(*f));

	f->path = xasprintf("%s/" DECIDE_FILE, dir);
	f->temporary = xasprintf("%s/" DECIDE_FILE ".new", dir);
	load(d, f->path);
	buf_init(&f->pending, PENDING_MAX);
	list_init(&f->waiters);
	loop_timer_init(&f->timer, d->loop, on_timer, d);
	f->worker = worker_new(d->loop, 2);
	if (f->worker == NULL)
		panic("decide: no thread");
	/* Whatever it ends in, the next line begins a line. */
	f->is_anew = true;
	d->file = f;
}

void
decide_file_close(struct decider *d)
{
	struct decide_file *f = d->file;

	while (!list_is_empty(&f->waiters)) {
		struct decide_wait *w =
		    LIST_ITEM(f->waiters.next, struct decide_wait, entry);

		list_remove(&w->entry);
		w->drop(w);
	}
	/* Behind what is under way. */
	if (f->added != f->written)
		start(d);
	worker_free(f->worker);
	loop_timer_clear(&f->timer);
	buf_clear(&f->pending);
	free(f->path);
	free(f->temporary);
	free(f);
	d->file = NULL;
}
