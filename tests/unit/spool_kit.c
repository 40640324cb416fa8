/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See spool_kit.h. Paths are below the directory of the test's build.
 */
#include "spool_kit.h"

#include "os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int
remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
	(void)st;
	(void)what;
	(void)at;
	return remove(path);
}

void
kit_remove_dir(const char *dir)
{
	if (nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
		fail_msg("%s: %s", dir, strerror(errno));
}

/* By another process: who closes a database file loses the locks that SQLite
 * holds on it. */
void
kit_copy_dir(const char *from, const char *to)
{
	char cp[] = "cp", option[] = "-a", end[] = "--";
	char *a = xstrdup(from), *b = xstrdup(to);
	char *argv[] = {cp, option, end, a, b, NULL};
	posix_spawn_file_actions_t quiet;
	int status;
	pid_t pid;

	assert_int_equal(0, posix_spawn_file_actions_init(&quiet));
	assert_int_equal(0, posix_spawn_file_actions_addopen(&quiet,
				STDERR_FILENO, "/dev/null", O_WRONLY, 0));
	assert_int_equal(
	    0, posix_spawnp(&pid, cp, &quiet, NULL, argv, environ));
	/* Fails for body files that are being removed. */
	assert_int_equal(pid, waitpid(pid, &status, 0));
	posix_spawn_file_actions_destroy(&quiet);
	free(a);
	free(b);
}

void
kit_init(struct kit *k)
{
	*k = (struct kit){.wall = KIT_WALL};
	snprintf(k->dir, sizeof(k->dir), "spool-test-XXXXXX");
	assert_non_null(mkdtemp(k->dir));
	k->settings = (struct spool_settings){
	    .dir = k->dir,
	    .large_body_bytes = 256 << 10,
	    .body_memory_bytes = 8 << 20,
	    .outstanding_max = 4096,
	};
}

void
kit_open(struct kit *k)
{
	k->spool =
	    spool_open(&k->settings, NULL, k->err, sizeof(k->err), &k->status);
	if (k->spool == NULL)
		fail_msg("spool_open: %s", k->err);
	if (k->settings.load_page == 0)
		(void)kit_held(k, NULL);
}

void
kit_close(struct kit *k)
{
	spool_close(k->spool);
	k->spool = NULL;
}

void
kit_clear(struct kit *k)
{
	kit_close(k);
	kit_remove_dir(k->settings.dir);
}

/* ---- SQL by hand ---- */

static sqlite3 *
open_database(struct kit *k)
{
	char *path = xasprintf("%s/spool.db", k->dir);
	sqlite3 *h;

	assert_int_equal(SQLITE_OK, sqlite3_open(path, &h));
	sqlite3_busy_timeout(h, 5000);
	free(path);
	return h;
}

void
kit_sql(struct kit *k, const char *sql)
{
	sqlite3 *h = open_database(k);
	char *err = NULL;

	if (sqlite3_exec(h, sql, NULL, NULL, &err) != SQLITE_OK)
		fail_msg("%s: %s", sql, err);
	sqlite3_close(h);
}

int64_t
kit_ask(struct kit *k, const char *sql)
{
	sqlite3 *h = open_database(k);
	sqlite3_stmt *st = NULL;
	int64_t v;

	if (sqlite3_prepare_v2(h, sql, -1, &st, NULL) != SQLITE_OK ||
	    sqlite3_step(st) != SQLITE_ROW)
		fail_msg("%s: %s", sql, sqlite3_errmsg(h));
	v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(h);
	return v;
}

/* ---- waiting ---- */

bool
kit_wait(struct spool *s, const bool *done)
{
	struct pollfd p = {.fd = spool_fd(s), .events = POLLIN};
	int64_t until = clock_mono_ms() + 60000;

	while (!*done && clock_mono_ms() < until) {
		poll(&p, 1, 100);
		spool_dispatch(s);
	}
	return *done;
}

struct simple {
	int error;
	bool done;
};

static void
on_simple(void *arg, int error)
{
	struct simple *r = arg;

	r->error = error;
	r->done = true;
}

static int
wait_simple(struct kit *k, struct simple *r)
{
	assert_true(kit_wait(k->spool, &r->done));
	return r->error;
}

/* ---- messages ---- */

void
kit_message(struct kit *k, struct kit_message *out, size_t rcpts,
    enum spool_state state)
{
	*out = (struct kit_message){0};
	k->wall++;
	for (size_t i = 0; i < rcpts; i++) {
		snprintf(out->addresses[i], sizeof(out->addresses[i]),
		    "r%u@example.net", (unsigned)i % 8);
		out->rcpts[i] = (struct spool_rcpt){
		    .address = out->addresses[i],
		    .destination = UINT64_MAX - i,
		    .state = state,
		    .next_try = k->wall,
		};
	}
	out->m = (struct spool_message){
	    .id = spool_new_id(k->spool, k->wall),
	    .source = "alice",
	    .policy = "default",
	    .from = "alice@example.org",
	    .subject = "hello",
	    .client = "192.0.2.1",
	    .helo = "client.example.org",
	    .queued_at = k->wall,
	    .rcpts = out->rcpts,
	    .rcpt_count = rcpts,
	};
}

char *
kit_text(uint64_t id, size_t n)
{
	char *text = xmalloc(n + 1);

	for (size_t i = 0; i < n; i++)
		text[i] = (char)('a' + (id / 4096 + i / 7) % 26);
	text[n] = '\0';
	return text;
}

static void
on_drain(void *arg)
{
	*(bool *)arg = true;
}

static struct spool_body *
make_body(struct kit *k, uint64_t id, size_t size)
{
	struct spool_body *b = spool_body_new(k->spool, id);
	char *text = kit_text(id, size);
	bool drained = false;

	spool_body_set_drain(b, on_drain, &drained);
	for (size_t at = 0; at < size;) {
		size_t n = size - at < 9000 ? size - at : 9000;

		if (!spool_body_write(b, text + at, n)) {
			assert_true(kit_wait(k->spool, &drained));
			drained = false;
		}
		at += n;
	}
	free(text);
	return b;
}

int
kit_put(struct kit *k, const struct spool_message *m, size_t size)
{
	struct simple r = {0};

	spool_put(k->spool, m, make_body(k, m->id, size), on_simple, &r);
	return wait_simple(k, &r);
}

uint64_t
kit_add(struct kit *k, size_t rcpts, enum spool_state state, size_t size,
    int *error)
{
	struct kit_message km;
	int err;

	kit_message(k, &km, rcpts, state);
	err = kit_put(k, &km.m, size);
	if (error != NULL)
		*error = err;
	else
		assert_int_equal(0, err);
	return err == 0 ? km.m.id : 0;
}

int
kit_settle(struct kit *k, uint64_t id, bool keep)
{
	struct simple r = {0};

	spool_settle(k->spool, id, keep, on_simple, &r);
	return wait_simple(k, &r);
}

/* ---- release and discard ---- */

static void
on_rows(void *arg, int error, const struct spool_row *rows, size_t n, bool last)
{
	struct kit_rows *r = arg;

	assert_false(r->done);
	r->error = error;
	r->batches++;
	r->n += n;
	r->done = last;
	if (n == 0)
		return;
	r->last_ticket = rows[n - 1].ticket;
	r->last_was = rows[n - 1].was;
	r->last_destination = rows[n - 1].destination;
	snprintf(r->source, sizeof(r->source), "%s", rows[n - 1].source);
	snprintf(r->address, sizeof(r->address), "%s", rows[n - 1].address);
}

struct kit_rows
kit_release(struct kit *k, const struct spool_select *select)
{
	struct kit_rows r = {0};

	spool_release(k->spool, select, k->wall, NULL, on_rows, &r);
	assert_true(kit_wait(k->spool, &r.done));
	return r;
}

struct kit_rows
kit_flush(struct kit *k, const struct spool_select *select)
{
	struct kit_rows r = {0};

	spool_flush(k->spool, select, k->wall, NULL, on_rows, &r);
	assert_true(kit_wait(k->spool, &r.done));
	return r;
}

struct kit_rows
kit_discard(struct kit *k, const struct spool_select *select)
{
	struct spool_audit audit = {k->wall, "root", "discard", "x", "y"};
	struct kit_rows r = {0};

	spool_discard(k->spool, select, &audit, on_rows, &r);
	assert_true(kit_wait(k->spool, &r.done));
	return r;
}

static void
on_held(void *arg, int error, const struct spool_held *page)
{
	struct kit_held *h = arg;

	h->done = true;
	h->error = error;
	if (error != 0)
		return;
	h->pages++;
	h->after = page->after;
	h->end = page->end;
	for (size_t i = 0; i < page->n; i++) {
		assert_int_equal(SPOOL_HELD, page->rows[i].was);
		if (h->n < ARRAY_LEN(h->tickets))
			h->tickets[h->n] = page->rows[i].ticket;
		h->n++;
	}
}

void
kit_held_page(struct kit *k, const char *source, struct kit_held *h)
{
	h->done = false;
	if (source != NULL)
		spool_load_held_of(k->spool, source, h->after, on_held, h);
	else
		spool_load_held(k->spool, on_held, h);
	assert_true(kit_wait(k->spool, &h->done));
}

struct kit_held
kit_held(struct kit *k, const char *source)
{
	struct kit_held h = {0};

	while (!h.end && h.error == 0)
		kit_held_page(k, source, &h);
	return h;
}

int
kit_release_ticket(struct kit *k, uint64_t ticket)
{
	struct simple r = {0};

	spool_release_tickets(k->spool, &ticket, 1, k->wall, on_simple, &r);
	return wait_simple(k, &r);
}

/* ---- delivery ---- */

static void
on_claim(
    void *arg, int error, struct spool_job **jobs, size_t n, int64_t next_due)
{
	struct kit_claim *c = arg;

	c->error = error;
	c->n = n;
	assert_true(n <= ARRAY_LEN(c->jobs));
	if (n > 0)
		memcpy(c->jobs, jobs, n * sizeof(struct spool_job *));
	c->next_due = next_due;
	c->done = true;
}

void
kit_claim(struct kit *k, size_t max, int64_t wall, struct kit_claim *c)
{
	*c = (struct kit_claim){0};
	spool_claim(k->spool, max, wall, on_claim, c);
	assert_true(kit_wait(k->spool, &c->done));
}

void
kit_claim_clear(struct kit_claim *c)
{
	for (size_t i = 0; i < c->n; i++)
		spool_job_free(c->jobs[i]);
	c->n = 0;
}

int
kit_finish(struct kit *k, uint64_t ticket, enum spool_outcome outcome,
    int64_t next_try, const char *error)
{
	struct spool_result result = {ticket, outcome, next_try, error, false};
	struct simple r = {0};

	spool_finish(k->spool, &result, 1, NULL, STR(""), on_simple, &r);
	return wait_simple(k, &r);
}

struct piece {
	struct buf *out;
	int error;
	size_t n;
	bool done;
};

static void
on_piece(void *arg, int error, struct str chunk)
{
	struct piece *p = arg;

	p->error = error;
	p->n = chunk.n;
	p->done = true;
	assert_true(buf_append_str(p->out, chunk));
}

char *
kit_body(struct kit *k, uint64_t id, size_t *n, int *error)
{
	struct buf out;
	struct piece p = {.out = &out, .n = 1};

	buf_init(&out, 64 << 20);
	while (p.n > 0 && p.error == 0) {
		p.done = false;
		spool_read_body(k->spool, id, out.len, on_piece, &p);
		assert_true(kit_wait(k->spool, &p.done));
	}
	*n = out.len;
	*error = p.error;
	if (p.error == 0)
		return buf_take(&out);
	buf_clear(&out);
	return NULL;
}

/* ---- listing ---- */

static void
on_list(void *arg, int error, const struct spool_message *messages, size_t n)
{
	struct kit_list *l = arg;

	l->error = error;
	l->done = true;
	assert_true(n <= ARRAY_LEN(l->v));
	for (size_t i = 0; i < n; i++) {
		const struct spool_message *m = &messages[i];
		struct kit_listed *v = &l->v[l->n++];
		const char *last = m->rcpts[0].last_error;

		v->id = m->id;
		v->rcpts = m->rcpt_count;
		v->state = m->rcpts[0].state;
		v->pending = m->pending;
		v->size = m->size;
		snprintf(v->from, sizeof(v->from), "%s", m->from);
		snprintf(
		    v->address, sizeof(v->address), "%s", m->rcpts[0].address);
		snprintf(v->last_error, sizeof(v->last_error), "%s",
		    last != NULL ? last : "");
	}
}

struct kit_list
kit_list(struct kit *k, const struct spool_select *select, uint64_t after,
    size_t max)
{
	struct kit_list l = {0};

	spool_list(k->spool, select, after, max, on_list, &l);
	assert_true(kit_wait(k->spool, &l.done));
	return l;
}

struct kit_list
kit_list_all(struct kit *k)
{
	struct spool_select all = {.all = true};

	return kit_list(k, &all, 0, 64);
}

void
kit_on_flag(void *arg, int error)
{
	assert_int_equal(0, error);
	*(bool *)arg = true;
}
