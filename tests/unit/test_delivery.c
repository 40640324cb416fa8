/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Released mail from a real spool to a scripted next hop: what is sent, what
 * becomes of each recipient, and that nothing is lost when the next hop
 * misbehaves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "delivery/delivery.h"
#include "fake_hop.h"
#include "os/clock.h"
#include "pump.h"

#define DAY_MS 86400000
#define HOUR_MS 3600000
#define LARGE (1u << 20)

struct world {
	struct loop *loop;
	struct fake *fake;
	char dir[64];
	struct spool *spool;
	struct loop_watch *watch;
	struct nexthop *n;
	struct delivery *d;
	struct events *events;
	struct event_follower follower;
	int events_seen[EVENT_TYPE_MAX];
	char last_detail[512];
	struct counters counters;
	struct nexthop_settings hops;
	struct delivery_settings settings;
	const char *addresses[1];
	bool drained;
};

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

static void
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

static int
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

static void
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

static int
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

struct letter {
	const char *from;
	const char *to[4];
	const char *body;
	size_t body_size; /* of LARGE ones, filled by a pattern */
	unsigned notify, body_type, ret;
	bool utf8;
	int64_t age_ms;
	uint32_t attempts;
	const char *envid;
};

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

static char *
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

static uint64_t
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

static void
kick(struct world *w)
{
	delivery_kick(w->d, loop_now(w->loop), clock_wall_ms());
}

/* ---- what is left ---- */

struct left {
	bool is_done;
	size_t messages, rcpts;
	char address[256], error[512];
	enum spool_state state;
	uint32_t attempts;
	int64_t next_try;
};

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

static struct left
look(struct world *w)
{
	const struct spool_select all = {.all = true};
	struct left l = {0};

	spool_list(w->spool, &all, 0, 100, on_list, &l);
	assert_true(pump_until(w->loop, pump_is_set, &l.is_done));
	return l;
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
static bool
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

static void
wait_count(struct world *w, const int *what, int least)
{
	struct count c = {what, least};

	assert_true(pump_until(w->loop, is_count, &c));
}

static void
wait_empty(struct world *w)
{
	assert_true(pump_until(w->loop, is_empty, w));
}

static bool
is_deferred(void *arg)
{
	struct world *w = arg;

	return w->events_seen[EVENT_DEFER] > 0 && is_quiet(w);
}

static void
wait_deferred(struct world *w)
{
	assert_true(pump_until(w->loop, is_deferred, w));
}

static struct str
body_of(const struct fake_message *m)
{
	return (struct str){m->body, m->body_size};
}

static bool
has(const struct fake_message *m, const char *text)
{
	struct str s = body_of(m);

	return s.n > 0 && memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static size_t
count_lines(const struct fake_message *m, const char *text)
{
	struct str s = body_of(m);
	size_t n = 0;

	while (s.n > 0)
		n += str_starts(str_cut(&s, '\n'), str_from(text));
	return n;
}

/* ---- delivered ---- */

static void
test_delivers(void **state)
{
	struct world *w = *state;
	const struct fake_message *m = &w->fake->messages[0];

	start(w);
	put(w, &(struct letter){.to = {"b@example.org", "c@example.org"},
		   .body = "Subject: x\r\n\r\n.\r\n..two\r\n",
		   .notify = SMTP_NOTIFY_SUCCESS,
		   .ret = SMTP_RET_HDRS,
		   .envid = "QQ123"});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 1);
	assert_string_equal(m->from, "alice@example.org");
	assert_string_equal(m->rcpts, "b@example.org c@example.org");
	assert_true(
	    str_eq(body_of(m), STR("Subject: x\r\n\r\n..\r\n...two\r\n")));
	assert_non_null(strstr(m->mail, " ENVID=QQ123"));
	assert_non_null(strstr(m->mail, " RET=HDRS"));
	assert_int_equal(w->events_seen[EVENT_DELIVER], 2);
	assert_int_equal(w->counters.v[COUNT_DELIVERED_RECIPIENTS], 2);
	assert_int_equal(w->counters.v[COUNT_DEFERRED_RECIPIENTS], 0);
}

static void
test_many_on_few_connections(void **state)
{
	struct world *w = *state;
	char to[300][32];

	start(w);
	for (int i = 0; i < 300; i++) {
		snprintf(to[i], sizeof(to[i]), "r%d@example.org", i);
		put(w, &(struct letter){.to = {to[i]}});
	}
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 300);
	assert_true(w->fake->connects <= 4);
	/* Each of them, once. */
	for (int i = 0; i < 300; i++) {
		int n = 0;

		for (int j = 0; j < 300; j++)
			n += strcmp(w->fake->messages[j].rcpts, to[i]) == 0;
		assert_int_equal(n, 1);
	}
}

static void
test_large_body(void **state)
{
	struct world *w = *state;
	const struct letter large = {
	    .to = {"b@example.org"}, .body_size = 4 * LARGE};
	struct str got;
	size_t n;
	char *text = make_text(&large, &n);

	start(w);
	put(w, &large);
	put(w, &(struct letter){.to = {"c@example.org"}, .body_size = 100000});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 2);
	for (int i = 0; i < 2; i++) {
		struct fake_message *m = &w->fake->messages[i];
		size_t lines = 0;

		got = body_of(m);
		while (got.n > 0) {
			struct str line = str_cut(&got, '\n');

			assert_true(str_eq(
			    line, STR("..a line that starts with a dot\r")));
			lines++;
		}
		assert_int_equal(lines,
		    (strcmp(m->rcpts, "b@example.org") == 0 ? n : 100000) / 32);
	}
	free(text);
}

static void
test_empty_body(void **state)
{
	struct world *w = *state;

	start(w);
	put(w, &(struct letter){.to = {"b@example.org"}, .body = ""});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 1);
	assert_int_equal(w->fake->messages[0].body_size, 0);
}

static void
test_without_pipelining(void **state)
{
	struct world *w = *state;

	w->fake->ehlo = "250 fake";
	start(w);
	fake_rule(w->fake, "RCPT TO:<c@", "550 5.1.1 who?", -1, 0);
	put(w, &(struct letter){.to = {"b@example.org", "c@example.org"}});
	kick(w);
	wait_empty(w);
	/* The letter, and the bounce. */
	assert_int_equal(w->fake->message_count, 2);
	assert_string_equal(w->fake->messages[0].rcpts, "b@example.org");
	assert_string_equal(w->fake->messages[1].from, "");
}

/* ---- refused ---- */

static void
test_each_recipient_its_fate(void **state)
{
	struct world *w = *state;
	int64_t before = clock_wall_ms();
	const struct fake_message *bounce = &w->fake->messages[1];
	struct left left;

	start(w);
	fake_rule(w->fake, "RCPT TO:<bad@", "550 5.1.1 no such user", -1, 0);
	fake_rule(w->fake, "RCPT TO:<full@", "452 4.2.2 mailbox full", -1, 0);
	put(w, &(struct letter){.to = {"good@example.org", "bad@example.org",
				    "full@example.org"}});
	kick(w);
	wait_deferred(w);
	left = look(w);
	if (left.messages == 2) { /* the bounce is not sent yet */
		assert_true(pump_until(w->loop, is_quiet, w));
		left = look(w);
	}
	assert_int_equal(left.rcpts, 1);
	assert_string_equal(left.address, "full@example.org");
	assert_string_equal(left.error, "452 4.2.2 mailbox full");
	assert_int_equal(left.state, SPOOL_RELEASED);
	assert_int_equal(left.attempts, 1);
	assert_in_range(left.next_try - before, HOUR_MS, HOUR_MS * 12 / 10);
	assert_int_equal(w->fake->message_count, 2);
	assert_string_equal(w->fake->messages[0].rcpts, "good@example.org");
	assert_string_equal(bounce->from, "");
	assert_string_equal(bounce->rcpts, "alice@example.org");
	assert_int_equal(count_lines(bounce, "Final-Recipient:"), 1);
	assert_true(has(bounce, "Final-Recipient: rfc822; bad@example.org"));
	assert_true(has(bounce, "Status: 5.1.1\r\n"));
	assert_true(has(bounce, "Subject: s\r\n"));
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 1);
	assert_int_equal(w->counters.v[COUNT_DEFERRED_RECIPIENTS], 1);
}

static void
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

static void
test_refused_at_mail(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "MAIL FROM:<alice@", "553 5.1.8 bad sender", 1, 0);
	expect_bounce(w,
	    &(struct letter){.to = {"b@example.org", "c@example.org"}},
	    "Diagnostic-Code: smtp; 553 5.1.8 bad sender\r\n");
	assert_int_equal(
	    count_lines(&w->fake->messages[0], "Final-Recipient:"), 2);
}

static void
test_refused_at_data(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "DATA", "554 5.7.1 no data", 1, 0);
	expect_bounce(
	    w, &(struct letter){.to = {"b@example.org"}}, "Status: 5.7.1\r\n");
	assert_int_equal(w->fake->connects, 1);
	assert_int_equal(w->fake->resets, 1);
}

static void
test_refused_at_the_end(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, FAKE_END, "550 spam", 1, 0);
	expect_bounce(
	    w, &(struct letter){.to = {"b@example.org"}}, "Status: 5.0.0\r\n");
}

static void
test_all_recipients_refused(void **state)
{
	struct world *w = *state;

	w->fake->naive = true;
	start(w);
	fake_rule(w->fake, "RCPT TO:<b@", "550 5.1.1 no", -1, 0);
	expect_bounce(
	    w, &(struct letter){.to = {"b@example.org"}}, "Status: 5.1.1\r\n");
	/* An empty one for nobody may have been taken, alice's was not. */
	assert_false(has(&w->fake->messages[0], "\r\nx\r\n"));
}

static void
test_mail_refused_and_taken_all_the_same(void **state)
{
	struct world *w = *state;

	w->fake->naive = true;
	start(w);
	fake_rule(w->fake, "MAIL FROM:<alice@", "550 5.7.1 no", 1, 0);
	expect_bounce(
	    w, &(struct letter){.to = {"b@example.org"}}, "Status: 5.7.1\r\n");
	/* Only the bounce. */
	assert_int_equal(w->fake->message_count, 1);
}

static void
test_no_report_where_none_is_wanted(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT", "550 5.1.1 no", -1, 0);
	put(w, &(struct letter){.from = "", .to = {"b@example.org"}});
	put(w, &(struct letter){
		   .to = {"b@example.org"}, .notify = SMTP_NOTIFY_NEVER});
	put(w, &(struct letter){
		   .to = {"b@example.org"}, .notify = SMTP_NOTIFY_SUCCESS});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 0);
	assert_int_equal(w->events_seen[EVENT_BOUNCE], 3);
}

static void
test_bounce_of_a_bounce(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT", "550 5.1.1 no", -1, 0);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 1);
	assert_int_equal(w->events_seen[EVENT_BOUNCE], 2);
}

static void
test_full_return(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT TO:<b@", "550 5.1.1 no", -1, 0);
	expect_bounce(w,
	    &(struct letter){.to = {"b@example.org"}, .ret = SMTP_RET_FULL},
	    "message/rfc822\r\n\r\nSubject: s\r\n\r\nx\r\n");
}

static void
test_large_original(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT TO:<b@", "550 5.1.1 no", -1, 0);
	expect_bounce(w,
	    &(struct letter){.to = {"b@example.org"},
		.body_size = LARGE,
		.ret = SMTP_RET_FULL},
	    "text/rfc822-headers\r\n");
	assert_true(has(
	    &w->fake->messages[w->fake->message_count - 1], ".a line that"));
}

static void
test_next_hop_lost_an_extension(void **state)
{
	struct world *w = *state;

	w->fake->ehlo = "250-fake\r\n250 PIPELINING";
	start(w);
	expect_bounce(w,
	    &(struct letter){.to = {"b@example.org"},
		.body = "Subject: \xc3\xbc\r\n\r\n\r\n",
		.ret = SMTP_RET_FULL,
		.body_type = SMTP_BODY_8BITMIME},
	    "Status: 5.6.3\r\n");
	/* The bounce itself needs nothing. */
	assert_null(strstr(w->fake->messages[0].mail, "BODY"));
	assert_int_equal(w->fake->message_count, 1);
	w->counters.v[COUNT_BOUNCES] = 0;
	expect_bounce(w,
	    &(struct letter){.to = {"b\xc3\xb6@example.org"}, .utf8 = true},
	    "Status: 5.6.7\r\n");
}

/* ---- again ---- */

static void
test_retries(void **state)
{
	struct world *w = *state;

	w->settings.retry_min_ms = 20;
	start(w);
	fake_rule(w->fake, "RCPT", "451 4.7.1 greylisted", 3, 0);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 1);
	assert_int_equal(w->events_seen[EVENT_DEFER], 3);
	assert_int_equal(w->events_seen[EVENT_DELIVER], 1);
}

static void
expect_delay(struct world *w, uint32_t attempts, int64_t delay)
{
	int64_t before = clock_wall_ms();
	struct left left;

	w->events_seen[EVENT_DEFER] = 0;
	put(w, &(struct letter){.to = {"b@example.org"}, .attempts = attempts});
	kick(w);
	wait_deferred(w);
	left = look(w);
	assert_in_range(left.next_try - before, delay, delay * 12 / 10);
}

static void
test_backoff_doubles(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT", "451 4.7.1 no", -1, 0);
	expect_delay(w, 0, HOUR_MS);
	expect_delay(w, 1, 2 * HOUR_MS);
	expect_delay(w, 3, 8 * HOUR_MS);
	expect_delay(w, 4, 10 * HOUR_MS);
	expect_delay(w, UINT32_MAX, 10 * HOUR_MS);
}

static void
test_expires(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "RCPT TO:<b@", "451 4.7.1 still no", -1, 0);
	expect_bounce(w,
	    &(struct letter){.to = {"b@example.org"},
		.age_ms = 6 * (int64_t)DAY_MS,
		.attempts = 3},
	    "Status: 5.4.7\r\n");
	assert_true(has(&w->fake->messages[w->fake->message_count - 1],
	    "Diagnostic-Code: smtp; 451 4.7.1 still no"));
	/* Held for long, tried for the first time: it gets its tries. */
	put(w, &(struct letter){
		   .to = {"b@example.org"}, .age_ms = 6 * (int64_t)DAY_MS});
	kick(w);
	wait_deferred(w);
	assert_int_equal(w->counters.v[COUNT_BOUNCES], 1);
}

static void
test_hangs_up_after_the_dot(void **state)
{
	struct world *w = *state;

	w->settings.retry_min_ms = 20;
	start(w);
	fake_rule(w->fake, FAKE_END, FAKE_CLOSE, 1, 0);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_empty(w);
	/* It had it: twice, never zero times. */
	assert_int_equal(w->fake->message_count, 2);
	assert_int_equal(w->events_seen[EVENT_DEFER], 1);
	assert_int_equal(w->events_seen[EVENT_DELIVER], 1);
}

static void
test_stale_connection_is_tried_again_at_once(void **state)
{
	struct world *w = *state;

	start(w);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_empty(w);
	fake_rule(w->fake, "MAIL", FAKE_CLOSE, 1, 0);
	put(w, &(struct letter){.to = {"c@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 2);
	assert_int_equal(w->fake->connects, 2);
	assert_int_equal(w->events_seen[EVENT_DEFER], 0);
}

static void
test_fresh_connection_is_not(void **state)
{
	struct world *w = *state;

	start(w);
	fake_rule(w->fake, "MAIL", FAKE_CLOSE, -1, 0);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_deferred(w);
	assert_int_equal(w->fake->connects, 1);
}

static void
test_slow_reply(void **state)
{
	struct world *w = *state;

	w->hops.timeouts.end_ms = 50;
	start(w);
	fake_rule(w->fake, FAKE_END, FAKE_SILENT, -1, 0);
	put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_deferred(w);
	assert_non_null(strstr(w->last_detail, "timed out"));
}

static void
test_breaks_within_a_large_body(void **state)
{
	struct world *w = *state;

	w->settings.retry_min_ms = 20;
	start(w);
	put(w, &(struct letter){.to = {"b@example.org"}, .body_size = LARGE});
	kick(w);
	wait_count(w, &w->fake->open, 1);
	pump_turns(w->loop, 3);
	fake_kick_out(w->fake, NULL);
	wait_empty(w);
	assert_true(w->fake->message_count >= 1);
}

static bool
has_failed_often(void *arg)
{
	struct world *w = arg;

	return w->counters.v[COUNT_NEXT_HOP_FAILURES] >= 8;
}

static void
test_next_hop_is_down(void **state)
{
	struct world *w = *state;
	struct spool_stats stats;
	int tries;

	w->settings.retry_min_ms = 100;
	start(w);
	fake_stop(w->fake);
	for (int i = 0; i < 60; i++)
		put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	assert_true(pump_until(w->loop, has_failed_often, w));
	tries = (int)w->counters.v[COUNT_NEXT_HOP_FAILURES];
	/* Four at first, then one at a time: no storm. */
	assert_true(tries < 12);
	spool_stats(w->spool, &stats);
	assert_int_equal(stats.messages, 60);
	assert_int_equal(w->events_seen[EVENT_DEFER], 0);
	fake_start(w->fake);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 60);
}

static void
test_next_hop_limits_connections(void **state)
{
	struct world *w = *state;

	w->settings.concurrency = 8;
	start(w);
	fake_rule(w->fake, FAKE_OPEN, "421 4.7.0 too many", -1, 2);
	for (int i = 0; i < 100; i++)
		put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_empty(w);
	assert_int_equal(w->fake->message_count, 100);
	assert_int_equal(w->events_seen[EVENT_DEFER], 0);
}

static void
test_every_connection_breaks(void **state)
{
	struct world *w = *state;
	struct spool_stats stats;

	w->settings.retry_min_ms = 200;
	start(w);
	fake_rule(w->fake, "MAIL", FAKE_CLOSE, -1, 0);
	for (int i = 0; i < 50; i++)
		put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_deferred(w);
	/* Not one after the other, as fast as it goes. */
	assert_true(w->fake->connects < 20);
	fake_clear_rules(w->fake);
	wait_empty(w);
	spool_stats(w->spool, &stats);
	assert_int_equal(w->fake->message_count, 50);
}

static void
test_damaged_body(void **state)
{
	struct world *w = *state;
	char path[512];
	DIR *dir;
	struct dirent *e;

	start(w);
	put(w, &(struct letter){.to = {"b@example.org"}, .body_size = LARGE});
	snprintf(path, sizeof(path), "%s/bodies", w->dir);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/bodies/%s", w->dir, e->d_name);
		if (e->d_name[0] != '.')
			assert_int_equal(truncate(path, LARGE / 2), 0);
	}
	closedir(dir);
	kick(w);
	wait_deferred(w);
	/* Half a message is none. */
	assert_int_equal(w->fake->message_count, 0);
}

/* ---- the end ---- */

static void
on_drained(void *arg)
{
	((struct world *)arg)->drained = true;
}

static void
test_drain(void **state)
{
	struct world *w = *state;
	struct spool_stats stats;
	int sent;

	start(w);
	for (int i = 0; i < 100; i++)
		put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_count(w, &w->fake->message_count, 3);
	delivery_drain(w->d, on_drained, w);
	assert_false(w->drained);
	assert_true(pump_until(w->loop, pump_is_set, &w->drained));
	assert_true(is_quiet(w));
	spool_stats(w->spool, &stats);
	sent = w->fake->message_count;
	assert_int_equal(stats.messages + (uint64_t)sent, 100);
	kick(w);
	pump_turns(w->loop, 20);
	assert_int_equal(w->fake->message_count, sent);
}

static void
test_drain_with_nothing_under_way(void **state)
{
	struct world *w = *state;

	start(w);
	delivery_drain(w->d, on_drained, w);
	assert_true(pump_until(w->loop, pump_is_set, &w->drained));
}

static void
test_restart_in_the_middle(void **state)
{
	struct world *w = *state;

	start(w);
	for (int i = 0; i < 30; i++)
		put(w, &(struct letter){.to = {"b@example.org"}});
	kick(w);
	wait_count(w, &w->fake->message_count, 3);
	delivery_free(w->d);
	nexthop_free(w->n);
	loop_watch_free(w->watch);
	spool_close(w->spool);
	open_spool(w);
	start(w);
	kick(w);
	wait_empty(w);
	assert_true(w->fake->message_count >= 30);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_delivers),
	    TEST(test_many_on_few_connections),
	    TEST(test_large_body),
	    TEST(test_empty_body),
	    TEST(test_without_pipelining),
	    TEST(test_each_recipient_its_fate),
	    TEST(test_refused_at_mail),
	    TEST(test_refused_at_data),
	    TEST(test_refused_at_the_end),
	    TEST(test_all_recipients_refused),
	    TEST(test_mail_refused_and_taken_all_the_same),
	    TEST(test_no_report_where_none_is_wanted),
	    TEST(test_bounce_of_a_bounce),
	    TEST(test_full_return),
	    TEST(test_large_original),
	    TEST(test_next_hop_lost_an_extension),
	    TEST(test_retries),
	    TEST(test_backoff_doubles),
	    TEST(test_expires),
	    TEST(test_hangs_up_after_the_dot),
	    TEST(test_stale_connection_is_tried_again_at_once),
	    TEST(test_fresh_connection_is_not),
	    TEST(test_slow_reply),
	    TEST(test_breaks_within_a_large_body),
	    TEST(test_next_hop_is_down),
	    TEST(test_next_hop_limits_connections),
	    TEST(test_every_connection_breaks),
	    TEST(test_damaged_body),
	    TEST(test_drain),
	    TEST(test_drain_with_nothing_under_way),
	    TEST(test_restart_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
