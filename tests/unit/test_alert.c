/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Alerts on a clock of the test's and a real spool: when they are collected,
 * limited, repeated, resolved and given up, what a restart finds, and what a
 * disk that fails leaves.
 */
#include "alert/alert.h"
#include "alert/courier.h"
#include "base/map.h"
#include "spool/schema.h"

#include "fault_vfs.h"
#include "spool_kit.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPORTED_MAX 64

struct reported {
	char id[ALERT_ID_MAX];
	char *json;
	alert_sent_fn *fn; /* not answered yet */
	void *arg;
};

struct world {
	struct kit k;
	struct counters counters;
	struct alert *alert;
	struct alert_settings settings;
	int64_t now, wall;
	struct reported reported[REPORTED_MAX];
	size_t count, mails;
	bool crashed;
};

static struct alert_conf hook = {
    .name = (char *)"hook",
    .channel = ALERT_WEBHOOK,
    .wanted = ~0u,
    .group_wait_ms = 10000,
    .remind_ms = 3600000,
    .retry_for_ms = 24 * 3600000,
    .group_limit = {3, 60000},
};

static char *to[] = {(char *)"admin@example.org"};
static struct alert_conf mail = {
    .name = (char *)"mail",
    .channel = ALERT_MAIL,
    .wanted = 1u << ALERT_FREEZE | 1u << ALERT_DISK,
    .to = {to, 1},
    .group_wait_ms = 0,
    .retry_for_ms = 24 * 3600000,
};

static void
on_send(void *arg, const struct alert_voice *v, const struct alert_conf *c,
    const struct alert_batch *b, alert_sent_fn *fn, void *fn_arg)
{
	struct world *w = arg;
	struct reported *t = &w->reported[w->count];

	assert_true(w->count < REPORTED_MAX);
	w->count++;
	str_copy(str_from(b->id), t->id, sizeof(t->id));
	t->json = alert_json(v, c, b, ALERT_DIGEST_MAX);
	t->fn = fn;
	t->arg = fn_arg;
}

static void
on_mail(void *arg)
{
	struct world *w = arg;

	w->mails++;
}

static void
on_time(void *arg, int64_t *now, int64_t *wall)
{
	const struct world *w = arg;

	*now = w->now;
	*wall = w->wall;
}

static const struct alert_ops ops = {
    .send = on_send, .on_mail = on_mail, .time = on_time};

static void
begin(struct world *w)
{
	w->alert =
	    alert_new(w->k.spool, &ops, w, &w->settings, &w->counters, NULL);
	assert_int_equal(0, alert_load(w->alert, w->now, w->wall, &w->crashed));
}

static void
init(struct world *w, const struct alert_conf *confs, size_t n)
{
	memset(w, 0, sizeof(*w));
	kit_init(&w->k);
	kit_open(&w->k);
	w->now = 1000000;
	w->wall = KIT_WALL;
	w->settings = (struct alert_settings){confs, n,
	    {.hostname = "relay.test", .postmaster = "pm@relay.test"}};
	begin(w);
}

static void
clear_reported(struct world *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->reported[i].json);
	w->count = 0;
}

static void
clear(struct world *w)
{
	alert_free(w->alert);
	kit_clear(&w->k);
	clear_reported(w);
}

static void
settle(struct world *w)
{
	while (!spool_is_idle(w->k.spool))
		spool_dispatch(w->k.spool);
}

/* Time passes, as the daemon's timer would have it. */
static void
pass(struct world *w, int64_t ms)
{
	int64_t end = w->now + ms;

	settle(w);
	for (int i = 0; i < 10000; i++) {
		int64_t due = alert_next_due(w->alert);

		if (due > end)
			break;
		if (due > w->now) {
			w->wall += due - w->now;
			w->now = due;
		}
		alert_run(w->alert, w->now, w->wall);
		settle(w);
		assert_true(i < 9999);
	}
	w->wall += end - w->now;
	w->now = end;
}

/* A kill -9: nothing is said, the spool alone is left. */
static void
crash(struct world *w)
{
	settle(w);
	alert_free(w->alert);
	kit_close(&w->k);
	kit_open(&w->k);
	begin(w);
}

static void
answer(struct world *w, size_t i, bool taken)
{
	alert_sent_fn *fn = w->reported[i].fn;

	assert_non_null(fn);
	w->reported[i].fn = NULL;
	fn(w->reported[i].arg, taken, taken ? "" : "no answer");
	settle(w);
}

static void
raise_one(struct world *w, enum alert_event event, const char *subject)
{
	alert_raise(w->alert,
	    &(struct alert_facts){.event = event,
		.subject = subject,
		.detail = "why",
		.policy = "default",
		.clients = "192.0.2.1\n",
		.subjects = "\"a\"\n",
		.to = "",
		.contact = "",
		.limit = 100,
		.waiting = 33,
		.since = w->wall},
	    w->now, w->wall);
	settle(w);
}

static void
assert_reported(const struct world *w, size_t i, const char *text)
{
	if (strstr(w->reported[i].json, text) == NULL)
		fail_msg("no %s in %s", text, w->reported[i].json);
}

static int64_t
rows(struct world *w)
{
	settle(w);
	return kit_ask(&w->k, "SELECT count(*) FROM alert WHERE id > 1");
}

/* The spool opens its database again after an error, in a time of its own. */
static void
wait_for_peace(struct world *w)
{
	for (int i = 0; i < 1000 && alert_next_due(w->alert) != INT64_MAX;
	     i++) {
		pass(w, 5000);
		usleep(10000);
	}
	assert_int_equal(0, rows(w));
}

/* ---- grouping ---- */

static void
test_group_wait(void **state)
{
	struct world w;
	char name[32];

	(void)state;
	init(&w, &hook, 1);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		raise_one(&w, ALERT_FREEZE, name);
		pass(&w, 50);
	}
	pass(&w, 4900);
	assert_int_equal(0, w.count);
	pass(&w, 200);
	assert_int_equal(1, w.count);
	assert_reported(&w, 0, "\"summary\": \"100 senders frozen\"");
	assert_reported(&w, 0, "\"count\": 100");
	answer(&w, 0, true);
	/* They go on: each has a row, for its end. */
	pass(&w, 60000);
	assert_int_equal(100, rows(&w));
	assert_int_equal(1, w.count);
	clear(&w);
}

static void
test_group_limit(void **state)
{
	struct world w;
	char name[32];

	(void)state;
	init(&w, &hook, 1);
	/* Three a minute; what comes then is collected. */
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		raise_one(&w, ALERT_BLAST, name);
		pass(&w, 10001);
		if (i < 3)
			answer(&w, (size_t)i, true);
	}
	assert_int_equal(3, w.count);
	pass(&w, 30000);
	assert_int_equal(4, w.count);
	assert_reported(&w, 3, "\"count\": 2");
	answer(&w, 3, true);
	pass(&w, 1000);
	assert_int_equal(0, rows(&w));
	clear(&w);
}

static void
test_more_than_is_described(void **state)
{
	struct world w;
	char name[32];

	(void)state;
	init(&w, &hook, 1);
	for (int i = 0; i < ALERT_ITEMS_MAX + 5; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		raise_one(&w, ALERT_BLAST, name);
	}
	pass(&w, 10000);
	assert_int_equal(1, w.count);
	assert_reported(&w, 0, "\"count\": 2005");
	assert_reported(&w, 0, "\"omitted\": 1905");
	answer(&w, 0, true);
	pass(&w, 10000);
	assert_int_equal(0, rows(&w));
	clear(&w);
}

/* Somebody waits for each of them: none is only counted, also across a kill,
 * and one source's tickets are as many notices. */
static void
test_releases_are_all_described(void **state)
{
	struct world w;
	char ticket[32], want[64];
	bool seen[ALERT_DIGEST_MAX + 50] = {false};
	size_t n = 0;

	(void)state;
	init(&w, &hook, 1);
	for (int i = 0; i < ALERT_DIGEST_MAX + 50; i++) {
		snprintf(ticket, sizeof(ticket), "t%d.", i);
		alert_raise(w.alert,
		    &(struct alert_facts){.event = ALERT_RELEASE,
			.subject = "sms:alice",
			.detail = "its turn has come",
			.policy = "",
			.clients = "",
			.subjects = "",
			.to = "",
			.contact = "",
			.ticket = ticket,
			.destination = "+49 30 \x07",
			.since = w.wall},
		    w.now, w.wall);
	}
	pass(&w, 10000);
	assert_int_equal(1, w.count);
	assert_reported(&w, 0, "\"omitted\": 0");
	assert_reported(&w, 0, "\"destination\": \"+49 30 \\\\x07\"");
	crash(&w);
	pass(&w, 20000);
	answer(&w, w.count - 1, true);
	pass(&w, 20000);
	answer(&w, w.count - 1, true);
	pass(&w, 20000);
	for (size_t i = 0; i < w.count; i++) {
		for (int k = 0; k < ALERT_DIGEST_MAX + 50; k++) {
			snprintf(want, sizeof(want), "\"ticket\": \"t%d.\"", k);
			n += !seen[k] &&
			     strstr(w.reported[i].json, want) != NULL;
			seen[k] |= strstr(w.reported[i].json, want) != NULL;
		}
	}
	assert_int_equal(n, ALERT_DIGEST_MAX + 50);
	assert_int_equal(0, rows(&w));
	clear(&w);
}

/* The same again before it was told is one that counts. */
static void
test_counts(void **state)
{
	struct world w;

	(void)state;
	init(&w, &hook, 1);
	raise_one(&w, ALERT_DECOY, "alice");
	raise_one(&w, ALERT_DECOY, "alice");
	raise_one(&w, ALERT_DECOY, "alice");
	pass(&w, 10000);
	assert_int_equal(1, w.count);
	assert_reported(&w, 0, "alice wrote to a decoy (3 times)");
	clear(&w);
}

/* ---- what lasts ---- */

static void
end(struct world *w, enum alert_event event, const char *subject)
{
	alert_end(w->alert, event, subject, "thawed by root", w->now, w->wall);
	settle(w);
}

static void
test_reminder_and_end(void **state)
{
	struct world w;

	(void)state;
	init(&w, &hook, 1);
	raise_one(&w, ALERT_FREEZE, "alice");
	pass(&w, 10000);
	answer(&w, 0, true);
	raise_one(&w, ALERT_FREEZE, "alice"); /* it still is */
	pass(&w, 3600000 - 20000);
	assert_int_equal(1, w.count);
	pass(&w, 30000);
	assert_int_equal(2, w.count);
	assert_reported(&w, 1, "\"state\": \"reminder\"");
	answer(&w, 1, true);
	end(&w, ALERT_FREEZE, "alice");
	pass(&w, 10000);
	assert_int_equal(3, w.count);
	assert_reported(&w, 2, "\"state\": \"resolved\"");
	assert_reported(&w, 2, "thawed by root");
	answer(&w, 2, true);
	pass(&w, 7200000);
	assert_int_equal(3, w.count);
	assert_int_equal(0, rows(&w));
	/* Once more is a new one. */
	raise_one(&w, ALERT_FREEZE, "alice");
	pass(&w, 10000);
	assert_reported(&w, 3, "\"state\": \"new\"");
	clear(&w);
}

/* What was over before it was told is one message, with its end. */
static void
test_over_before_told(void **state)
{
	struct world w;

	(void)state;
	init(&w, &hook, 1);
	raise_one(&w, ALERT_DISK, "/var");
	pass(&w, 5000);
	end(&w, ALERT_DISK, "/var");
	pass(&w, 20000);
	assert_int_equal(1, w.count);
	assert_reported(&w, 0, "\"state\": \"new\"");
	assert_reported(&w, 0, "\"ended\": \"2027");
	answer(&w, 0, true);
	pass(&w, 7200000);
	assert_int_equal(1, w.count);
	assert_int_equal(0, rows(&w));
	clear(&w);
}

static void
test_end_others(void **state)
{
	struct world w;
	struct map *open = map_new();

	(void)state;
	init(&w, &hook, 1);
	raise_one(&w, ALERT_FREEZE, "alice");
	raise_one(&w, ALERT_FREEZE, "bob");
	pass(&w, 10000);
	answer(&w, 0, true);
	map_set(open, STR("bob"), &w);
	alert_end_others(w.alert, ALERT_FREEZE, open, w.now, w.wall);
	map_free(open, NULL);
	pass(&w, 10000);
	assert_int_equal(2, w.count);
	assert_reported(&w, 1, "alice was thawed");
	clear(&w);
}

/* ---- tries ---- */

static void
test_retry_for(void **state)
{
	struct world w;

	(void)state;
	init(&w, &hook, 1);
	raise_one(&w, ALERT_BLAST, "alice");
	pass(&w, 10000);
	answer(&w, 0, false);
	pass(&w, ALERT_RETRY_MIN_MS - 1);
	assert_int_equal(1, w.count);
	pass(&w, 1);
	assert_int_equal(2, w.count);
	assert_string_equal(w.reported[0].id, w.reported[1].id);
	answer(&w, 1, false);
	pass(&w, 2 * ALERT_RETRY_MIN_MS - 1);
	assert_int_equal(2, w.count);
	/* Meanwhile others wait, and go with the next. */
	raise_one(&w, ALERT_BLAST, "bob");
	raise_one(&w, ALERT_BLAST, "carol");
	for (int i = 0; w.counters.v[COUNT_ALERTS_DROPPED_WEBHOOK] == 0; i++) {
		assert_true(i < 1000);
		pass(&w, ALERT_RETRY_MAX_MS);
		assert_string_equal(
		    w.reported[0].id, w.reported[w.count - 1].id);
		if (w.count > 8) { /* told has no room for a day */
			free(w.reported[--w.count].json);
			w.reported[w.count].fn(
			    w.reported[w.count].arg, false, "no answer");
			settle(&w);
			continue;
		}
		answer(&w, w.count - 1, false);
	}
	assert_true(w.wall - KIT_WALL >= 24 * 3600000);
	assert_true(w.wall - KIT_WALL < 25 * 3600000);
	clear_reported(&w);
	pass(&w, 1000);
	assert_int_equal(1, w.count);
	assert_reported(&w, 0, "\"count\": 2");
	answer(&w, 0, true);
	pass(&w, 1000);
	assert_int_equal(0, rows(&w));
	clear(&w);
}

/* ---- crashes ---- */

static void
test_crash_before_told(void **state)
{
	struct world w;

	(void)state;
	init(&w, &hook, 1);
	assert_false(w.crashed);
	raise_one(&w, ALERT_FREEZE, "alice");
	pass(&w, 1);
	crash(&w);
	assert_true(w.crashed);
	pass(&w, 10000);
	assert_int_equal(1, w.count);
	answer(&w, 0, true);
	pass(&w, 1000);
	crash(&w);
	raise_one(&w, ALERT_FREEZE, "alice"); /* the start says so again */
	pass(&w, 60000);
	assert_int_equal(1, w.count);
	clear(&w);
}

static void
test_crash_without_answer(void **state)
{
	struct world w;

	(void)state;
	init(&w, &hook, 1);
	raise_one(&w, ALERT_FREEZE, "alice");
	raise_one(&w, ALERT_BLAST, "bob");
	pass(&w, 10000);
	assert_int_equal(1, w.count);
	crash(&w);
	pass(&w, 1);
	assert_int_equal(2, w.count);
	assert_string_equal(w.reported[0].id, w.reported[1].id);
	assert_string_equal(w.reported[0].json, w.reported[1].json);
	answer(&w, 1, true);
	pass(&w, 1000);
	crash(&w);
	pass(&w, 60000);
	assert_int_equal(2, w.count);
	clear(&w);
}

static void
test_clean_stop(void **state)
{
	struct world w;

	(void)state;
	init(&w, &hook, 1);
	alert_stop(w.alert);
	crash(&w);
	assert_false(w.crashed);
	clear(&w);
}

static void
test_damaged_rows(void **state)
{
	struct world w;

	(void)state;
	init(&w, &hook, 1);
	raise_one(&w, ALERT_BLAST, "alice");
	pass(&w, 1);
	kit_sql(&w.k, "INSERT INTO alert VALUES (5000, 'hook', 'no JSON'),"
		      " (5001, 'hook', '{\"items\": []}'),"
		      " (5002, 'gone', '{}'), (5003, 'hook', x'00')");
	crash(&w);
	pass(&w, 10000);
	assert_int_equal(1, w.count);
	answer(&w, 0, true);
	pass(&w, 1000);
	assert_int_equal(1, rows(&w)); /* the blob, which is skipped */
	clear(&w);
}

/* ---- mail ---- */

static void
test_mail_in_one_commit(void **state)
{
	struct kit_claim c;
	struct world w;
	char *text;
	int error;
	size_t n;

	(void)state;
	init(&w, &mail, 1);
	raise_one(&w, ALERT_FREEZE, "alice\r\nBcc: eve@evil.test");
	pass(&w, 1);
	assert_int_equal(1, w.mails);
	assert_int_equal(1, w.counters.v[COUNT_ALERTS_SENT_MAIL]);
	kit_claim(&w.k, 10, w.wall, &c);
	assert_int_equal(1, c.n);
	assert_string_equal("", c.jobs[0]->m.from);
	assert_string_equal("admin@example.org", c.jobs[0]->m.rcpts[0].address);
	assert_int_equal(1, c.jobs[0]->m.rcpts[0].notify);
	text = kit_body(&w.k, c.jobs[0]->m.id, &n, &error);
	assert_non_null(strstr(text, "\r\nAuto-Submitted: auto-generated\r\n"));
	assert_non_null(strstr(text, ".alert@relay.test>\r\n"));
	assert_null(strstr(text, "\nBcc:"));
	free(text);
	kit_claim_clear(&c);
	crash(&w);
	pass(&w, 60000);
	assert_int_equal(1, w.mails);
	clear(&w);
}

static void
test_to_sender_once(void **state)
{
	struct world w;
	struct alert_facts f = {.event = ALERT_FREEZE,
	    .subject = "alice@example.org",
	    .detail = "100 of 100 wait",
	    .policy = "",
	    .clients = "",
	    .subjects = "",
	    .to = "alice@example.org",
	    .contact = "help@example.org"};

	(void)state;
	init(&w, NULL, 0);
	f.since = w.wall;
	alert_raise(w.alert, &f, w.now, w.wall);
	pass(&w, 1);
	assert_int_equal(1, w.mails);
	crash(&w);
	alert_raise(w.alert, &f, w.now, w.wall);
	pass(&w, 48 * 3600000LL);
	assert_int_equal(1, w.mails);
	end(&w, ALERT_FREEZE, "alice@example.org");
	f.since = w.wall;
	alert_raise(w.alert, &f, w.now, w.wall);
	pass(&w, 1);
	assert_int_equal(2, w.mails);
	/* Warnings: once a day. */
	f.event = ALERT_WARNING;
	for (int hour = 0; hour < 30; hour++) {
		alert_raise(w.alert, &f, w.now, w.wall);
		pass(&w, 3600000);
	}
	assert_int_equal(4, w.mails);
	clear(&w);
}

static void
test_words_to_sender(void **state)
{
	struct alert_voice v = {"relay.test", "pm@relay.test"};
	struct alert_facts f = {.event = ALERT_FREEZE,
	    .subject = "alice@example.org",
	    .detail = "100 of 100 wait",
	    .policy = "strict",
	    .clients = "192.0.2.1",
	    .subjects = "x",
	    .to = "alice@example.org",
	    .contact = "help@example.org",
	    .limit = 100,
	    .waiting = 77,
	    .since = KIT_WALL};
	struct alert_item *item = alert_item_new(&f);
	char *text = alert_mail_to_sender(&v, item, "ID", KIT_WALL);

	(void)state;
	assert_non_null(strstr(text, "To: alice@example.org\r\n"));
	assert_non_null(strstr(text, "help@example.org"));
	assert_null(strstr(text, "100"));
	assert_null(strstr(text, "77"));
	assert_null(strstr(text, "192.0.2.1"));
	assert_null(strstr(text, "strict"));
	assert_null(strstr(text, "http"));
	free(text);
	alert_item_free(item);
}

/* ---- reload, tests ---- */

static void
test_section_goes(void **state)
{
	struct alert_settings none = {
	    NULL, 0, {.hostname = "relay.test", .postmaster = "pm@relay.test"}};
	struct world w;

	(void)state;
	init(&w, &hook, 1);
	raise_one(&w, ALERT_BLAST, "alice");
	pass(&w, 10000);
	raise_one(&w, ALERT_BLAST, "bob");
	pass(&w, 1);
	assert_int_equal(1, w.count);
	alert_reload(w.alert, &none, w.now);
	answer(&w, 0, false); /* of a section that is gone */
	pass(&w, 100000);
	assert_int_equal(1, w.count);
	assert_int_equal(0, rows(&w));
	clear(&w);
}

/* What the section does not name any more is neither told nor repeated. */
static void
test_event_goes(void **state)
{
	struct alert_conf less = hook;
	struct world w;

	(void)state;
	init(&w, &hook, 1);
	raise_one(&w, ALERT_FREEZE, "alice");
	pass(&w, 10000);
	answer(&w, 0, true);
	raise_one(&w, ALERT_BLAST, "bob");
	less.wanted = 1u << ALERT_DISK;
	w.settings.confs = &less;
	alert_reload(w.alert, &w.settings, w.now);
	pass(&w, 7200000);
	assert_int_equal(1, w.count);
	assert_int_equal(0, rows(&w));
	clear(&w);
}

struct tried {
	bool done, taken;
};

static void
on_tried(void *arg, bool taken, const char *why)
{
	struct tried *t = arg;

	(void)why;
	t->done = true;
	t->taken = taken;
}

static void
test_tests(void **state)
{
	struct alert_conf both[2] = {hook, mail};
	struct tried t = {false, false}, m = {false, false};
	struct world w;

	(void)state;
	init(&w, both, 2);
	assert_false(
	    alert_test(w.alert, "nobody", w.now, w.wall, on_tried, &t));
	assert_false(
	    alert_test(w.alert, "[senders]", w.now, w.wall, on_tried, &t));
	assert_true(alert_test(w.alert, "hook", w.now, w.wall, on_tried, &t));
	assert_true(alert_test(w.alert, "mail", w.now, w.wall, on_tried, &m));
	settle(&w);
	assert_true(m.done && m.taken);
	assert_int_equal(1, w.mails);
	answer(&w, 0, false);
	assert_true(t.done && !t.taken);
	assert_reported(&w, 0, "\"event\": \"test\"");
	clear(&w);
}

/* As openssl dgst -sha256 -mac HMAC -macopt key:0123456789abcdef has it. */
static void
test_signature(void **state)
{
	static const unsigned char key[] = "0123456789abcdef";
	char out[COURIER_SIGNATURE_MAX];

	(void)state;
	assert_string_equal("v1,3PcgvwnkuqcZgTmwgITFw2t1vfkOl9H3PeWxjYpzJlQ=",
	    courier_sign(key, 16, "msg", 1614265330, "{\"a\": 1}", out));
}

static void
test_templates(void **state)
{
	char err[200];

	(void)state;
	assert_true(alert_template_check(
	    "{\"text\": \"{{ text }}\", \"n\": {{count}}}", err, sizeof(err)));
	assert_false(
	    alert_template_check("{\"a\": \"{{b}}\"}", err, sizeof(err)));
	assert_non_null(strstr(err, "unknown placeholder {{b}}"));
	assert_false(
	    alert_template_check("{\"a\": \"{{id\"}", err, sizeof(err)));
	assert_false(
	    alert_template_check("{\"n\": {{text}}}", err, sizeof(err)));
	assert_false(alert_template_check("{\"a\": ", err, sizeof(err)));
	assert_non_null(strstr(err, "is not valid JSON"));
}

/* ---- the disk ---- */

/* Each write of a whole run fails once, for a moment or for good: what was
 * taken by the receiver was told, and nothing is told twice but after a
 * crash. */
static void
fault_at(long n, int code, bool forever)
{
	struct world w;

	init(&w, &hook, 1);
	settle(&w);
	fault_vfs_set(n, code, forever, false);
	raise_one(&w, ALERT_FREEZE, "alice");
	pass(&w, 20000);
	assert_int_equal(1, w.count);
	answer(&w, 0, true);
	end(&w, ALERT_FREEZE, "alice");
	pass(&w, 20000);
	fault_vfs_end();
	assert_int_equal(2, w.count);
	answer(&w, 1, true);
	wait_for_peace(&w);
	crash(&w);
	pass(&w, 60000);
	assert_int_equal(2, w.count);
	clear(&w);
}

static void
test_faults(void **state)
{
	static const int codes[] = {SQLITE_FULL, SQLITE_IOERR};

	(void)state;
	for (size_t c = 0; c < 2; c++) {
		for (long n = 1; n <= 8; n++) {
			fault_at(n, codes[c], false);
			fault_at(n, codes[c], true);
		}
	}
}

/* Mail waits until the spool can store it. */
static void
test_mail_faults(void **state)
{
	struct world w;

	(void)state;
	init(&w, &mail, 1);
	settle(&w);
	fault_vfs_set(1, SQLITE_FULL, true, false);
	raise_one(&w, ALERT_FREEZE, "alice");
	pass(&w, 60000);
	assert_int_equal(0, w.mails);
	assert_true(w.counters.v[COUNT_ALERTS_FAILED_MAIL] > 0);
	fault_vfs_end();
	for (int i = 0; i < 1000 && w.mails == 0; i++) {
		pass(&w, ALERT_RETRY_MIN_MS);
		usleep(10000);
	}
	assert_int_equal(1, w.mails);
	crash(&w);
	pass(&w, 60000);
	assert_int_equal(1, w.mails);
	clear(&w);
}

/* A spool of the version before has no alerts, and gets the table. */
static void
test_upgrade(void **state)
{
	struct world w;

	(void)state;
	init(&w, &hook, 1);
	settle(&w);
	alert_free(w.alert);
	kit_close(&w.k);
	kit_sql(&w.k, "DROP TABLE alert;"
		      " ALTER TABLE inbound_left RENAME TO inbound;"
		      " PRAGMA user_version = 9");
	kit_open(&w.k);
	begin(&w);
	assert_false(w.crashed);
	raise_one(&w, ALERT_BLAST, "alice");
	pass(&w, 10000);
	assert_int_equal(1, w.count);
	assert_int_equal(
	    schema_current.count, kit_ask(&w.k, "PRAGMA user_version"));
	clear(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_group_wait),
	    cmocka_unit_test(test_group_limit),
	    cmocka_unit_test(test_more_than_is_described),
	    cmocka_unit_test(test_releases_are_all_described),
	    cmocka_unit_test(test_counts),
	    cmocka_unit_test(test_reminder_and_end),
	    cmocka_unit_test(test_over_before_told),
	    cmocka_unit_test(test_end_others),
	    cmocka_unit_test(test_retry_for),
	    cmocka_unit_test(test_crash_before_told),
	    cmocka_unit_test(test_crash_without_answer),
	    cmocka_unit_test(test_clean_stop),
	    cmocka_unit_test(test_damaged_rows),
	    cmocka_unit_test(test_mail_in_one_commit),
	    cmocka_unit_test(test_to_sender_once),
	    cmocka_unit_test(test_words_to_sender),
	    cmocka_unit_test(test_section_goes),
	    cmocka_unit_test(test_event_goes),
	    cmocka_unit_test(test_tests),
	    cmocka_unit_test(test_signature),
	    cmocka_unit_test(test_templates),
	    cmocka_unit_test(test_faults),
	    cmocka_unit_test(test_mail_faults),
	    cmocka_unit_test(test_upgrade),
	};

	fault_vfs_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
