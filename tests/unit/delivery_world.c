/* SPDX-License-Identifier: BSD-3-Clause */
/* What tests of delivery share: see delivery_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "delivery_world.h"
#include "os/clock.h"

static void
on_event(void *arg, const struct event_item *item)
{
	struct world *w = arg;

	w->events_seen[item->type]++;
	str_copy(
	    str_from(item->detail), w->last_detail, sizeof(w->last_detail));
}

static void
on_spool(void *arg, int64_t now)
{
	(void)now;
	spool_dispatch(arg);
}

void
open_spool(struct world *w)
{
	const struct spool_settings settings = {
	    .dir = w->dir,
	    .large_body_bytes = 256 << 10,
	    .body_memory_bytes = 16 << 20,
	    .outstanding_max = 10000,
	};
	char err[256];
	int status;

	w->spool = spool_open(&settings, NULL, err, sizeof(err), &status);
	if (w->spool == NULL)
		fail_msg("%s", err);
	w->watch =
	    loop_watch_new(w->loop, spool_fd(w->spool), on_spool, w->spool);
}

int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->loop = loop_new();
	w->fake = fake_new(w->loop);
	memcpy(w->dir, "/tmp/weir-delivery-XXXXXX", 26);
	assert_non_null(mkdtemp(w->dir));
	w->events = events_new();
	w->follower.on_event = on_event;
	w->follower.arg = w;
	events_follow(w->events, &w->follower);
	w->addresses[0] = w->fake->address;
	w->hops = (struct nexthop_settings){
	    .addresses = w->addresses,
	    .address_count = 1,
	    .hostname = "relay.example.org",
	    .connect_timeout_ms = 5000,
	    .timeouts = {5000, 5000, 5000, 5000},
	    .connections_max = 20,
	    .idle_max = 20,
	    .idle_timeout_ms = 60000,
	};
	w->settings = (struct delivery_settings){
	    .hostname = "relay.example.org",
	    .concurrency = 4,
	    .retry_min_ms = HOUR_MS,
	    .retry_max_ms = 10 * HOUR_MS,
	    .max_age_ms = 5 * (int64_t)DAY_MS,
	};
	open_spool(w);
	*state = w;
	return 0;
}

void
start(struct world *w)
{
	char err[256];

	w->n = nexthop_new(
	    w->loop, &w->hops, &w->counters, NULL, err, sizeof(err));
	assert_non_null(w->n);
	w->d = delivery_new(w->loop, w->spool, w->n, &w->settings, w->events,
	    &w->counters, NULL);
}

static void
remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[512];

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (unlink(path) != 0)
			remove_dir(path);
	}
	if (d != NULL)
		closedir(d);
	rmdir(dir);
}

int
teardown(void **state)
{
	struct world *w = *state;

	delivery_free(w->d);
	nexthop_free(w->n);
	loop_watch_free(w->watch);
	spool_close(w->spool);
	remove_dir(w->dir);
	events_free(w->events);
	fake_free(w->fake);
	pump_turns(w->loop, 3);
	loop_free(w->loop);
	free(w);
	return 0;
}

/* ---- mail in ---- */

struct done {
	bool is_done;
	int error;
};

static void
on_done(void *arg, int error)
{
	struct done *d = arg;

	d->error = error;
	d->is_done = true;
}

char *
make_text(const struct letter *l, size_t *n)
{
	static const char line[] = ".a line that starts with a dot\r\n";
	char *text;

	if (l->body_size == 0) {
		const char *body =
		    l->body != NULL ? l->body : "Subject: s\r\n\r\nx\r\n";

		*n = strlen(body);
		return xstrdup(body);
	}
	*n = l->body_size / (sizeof(line) - 1) * (sizeof(line) - 1);
	text = xmalloc(*n);
	for (size_t i = 0; i < *n; i++)
		text[i] = line[i % (sizeof(line) - 1)];
	return text;
}

uint64_t
put(struct world *w, const struct letter *l)
{
	int64_t wall = clock_wall_ms();
	struct spool_rcpt rcpts[4] = {0};
	struct spool_message m = {
	    .id = spool_new_id(w->spool, wall),
	    .source = "alice",
	    .policy = "default",
	    .from = l->from != NULL ? l->from : "alice@example.org",
	    .envid = l->envid,
	    .client = "",
	    .helo = "",
	    .body_type = l->body_type,
	    .ret = l->ret,
	    .utf8 = l->utf8,
	    .require_tls = l->require_tls,
	    .queued_at = wall - l->age_ms,
	    .rcpts = rcpts,
	};
	struct spool_body *body = spool_body_new(w->spool, m.id);
	struct done done = {0};
	size_t n;
	char *text = make_text(l, &n);

	for (size_t i = 0; i < 4 && l->to[i] != NULL; i++, m.rcpt_count++)
		rcpts[i] = (struct spool_rcpt){
		    .address = l->to[i],
		    .notify = l->notify,
		    .destination = 1 + i,
		    .state = SPOOL_RELEASED,
		    .attempts = l->attempts,
		    .next_try = wall,
		};
	(void)spool_body_write(body, text, n);
	free(text);
	spool_put(w->spool, &m, body, on_done, &done);
	assert_true(pump_until(w->loop, pump_is_set, &done.is_done));
	assert_int_equal(done.error, 0);
	return m.id;
}

void
kick(struct world *w)
{
	delivery_kick(w->d, loop_now(w->loop), clock_wall_ms());
}

/* ---- what is left ---- */

static void
on_list(void *arg, int error, const struct spool_message *messages, size_t n)
{
	struct left *l = arg;

	assert_int_equal(error, 0);
	for (size_t i = 0; i < n; i++) {
		l->messages++;
		for (size_t j = 0; j < messages[i].rcpt_count; j++) {
			const struct spool_rcpt *r = &messages[i].rcpts[j];

			l->rcpts++;
			str_copy(str_from(r->address), l->address,
			    sizeof(l->address));
			str_copy(str_from(r->last_error), l->error,
			    sizeof(l->error));
			l->state = r->state;
			l->attempts = r->attempts;
			l->next_try = r->next_try;
		}
	}
	l->is_done = true;
}

struct left
look(struct world *w)
{
	const struct spool_select all = {.all = true};
	struct left l = {0};

	spool_list(w->spool, &all, 0, 100, on_list, &l);
	assert_true(pump_until(w->loop, pump_is_set, &l.is_done));
	return l;
}

struct latch {
	bool (*fn)(void *arg);
	void *arg;
	bool is_set;
};

static bool
is_latched(void *arg)
{
	struct latch *l = arg;

	l->is_set = l->is_set || l->fn(l->arg);
	return l->is_set;
}

/* Once it was true it counts: a timer of delivery in the same turn may have
 * given the spool something to do again. */
void
wait_for(struct world *w, bool (*fn)(void *arg), void *arg)
{
	struct latch l = {.fn = fn, .arg = arg};

	assert_true(pump_until(w->loop, is_latched, &l));
}

static bool
is_empty(void *arg)
{
	struct world *w = arg;
	struct spool_stats s;

	spool_stats(w->spool, &s);
	return s.messages == 0 && delivery_active(w->d) == 0 &&
	       spool_is_idle(w->spool);
}

/* Nothing is under way, and the spool has it all. */
bool
is_quiet(void *arg)
{
	struct world *w = arg;
	struct spool_stats s;

	spool_stats(w->spool, &s);
	return s.recipients[SPOOL_SENDING] == 0 && delivery_active(w->d) == 0 &&
	       spool_is_idle(w->spool);
}

struct count {
	const int *what;
	int least;
};

static bool
is_count(void *arg)
{
	const struct count *c = arg;

	return *c->what >= c->least;
}

void
wait_count(struct world *w, const int *what, int least)
{
	struct count c = {what, least};

	wait_for(w, is_count, &c);
}

void
wait_empty(struct world *w)
{
	wait_for(w, is_empty, w);
}

static bool
is_deferred(void *arg)
{
	struct world *w = arg;

	return w->events_seen[EVENT_DEFER] > 0 && is_quiet(w);
}

void
wait_deferred(struct world *w)
{
	wait_for(w, is_deferred, w);
}

struct str
body_of(const struct fake_message *m)
{
	return (struct str){m->body, m->body_size};
}

bool
has(const struct fake_message *m, const char *text)
{
	struct str s = body_of(m);

	return s.n > 0 && memmem(s.p, s.n, text, strlen(text)) != NULL;
}

size_t
count_lines(const struct fake_message *m, const char *text)
{
	struct str s = body_of(m);
	size_t n = 0;

	while (s.n > 0)
		n += str_starts(str_cut(&s, '\n'), str_from(text));
	return n;
}

void
expect_bounce(struct world *w, const struct letter *l, const char *text)
{
	const struct fake_message *m;

	put(w, l);
	kick(w);
	wait_empty(w);
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 1);
	m = &w->fake->messages[w->fake->message_count - 1];
	assert_string_equal(m->from, "");
	if (!has(m, text))
		fail_msg("no \"%s\" in: %s", text, m->body);
}
