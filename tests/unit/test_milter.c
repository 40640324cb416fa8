/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The milter without libmilter: threads that ask and a loop that answers, in
 * time, late, and not at all, over a real gate and a real spool.
 */
#include "delivery/handed.h"
#include "milter/milter_message.h"
#include "milter/milter_txn.h"
#include "os/clock.h"
#include "smtp/address.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 8
#define MESSAGES 20

struct world {
	char dir[64];
	struct loop *loop;
	struct spool *spool;
	struct events *events;
	struct counters counters;
	struct gate *gate;
	struct milter_desk desk;
	struct loop_watch *watch;
	unsigned left; /* threads, under lock */
	pthread_mutex_t lock;
	struct loop_timer look;
	struct policies *policies;
};

static void
on_spool(void *arg, int64_t now)
{
	(void)now;
	spool_dispatch(((struct world *)arg)->spool);
}

static void
on_look(void *arg, int64_t now)
{
	struct world *w = arg;
	unsigned left;

	pthread_mutex_lock(&w->lock);
	left = w->left;
	pthread_mutex_unlock(&w->lock);
	if (left == 0 && list_is_empty(&w->desk.txns) &&
	    spool_is_idle(w->spool))
		loop_stop(w->loop);
	else
		loop_timer_set(&w->look, now + 5);
}

static const struct gate_callbacks callbacks = {.on_released = NULL};

static void
world_open(struct world *w)
{
	struct policy_conf conf = {
	    .name = (char *)"default",
	    .interval_ms = 3600000,
	    .burst = 2,
	    .initial = 2,
	    .ipv6_prefix = 64,
	};
	char err[256];
	int status;

	*w = (struct world){.left = 0};
	str_copy(STR("/tmp/weir-milter-XXXXXX"), w->dir, sizeof(w->dir));
	assert_non_null(mkdtemp(w->dir));
	pthread_mutex_init(&w->lock, NULL);
	w->loop = loop_new();
	w->events = events_new();
	w->spool = spool_open(&(struct spool_settings){.dir = w->dir,
				  .min_free_bytes = 1,
				  .large_body_bytes = 262144,
				  .body_memory_bytes = 1 << 24,
				  .outstanding_max = 10000},
	    NULL, err, sizeof(err), &status);
	assert_non_null(w->spool);
	w->policies = policies_new(&conf, 1, err, sizeof(err));
	assert_non_null(w->policies);
	w->gate = gate_new(&(struct gate_settings){.policies = w->policies,
			       .senders_max = 1000,
			       .recipient_key = smtp_address_key},
	    w->spool, w->events, &w->counters, NULL, &callbacks, w);
	assert_int_equal(
	    gate_load(w->gate, loop_now(w->loop), clock_wall_ms()), 0);
	assert_true(gate_load_wait(w->gate, 30000));
	milter_desk_init(&w->desk,
	    &(struct milter_parts){.loop = w->loop,
		.gate = w->gate,
		.spool = w->spool,
		.events = w->events,
		.counters = &w->counters},
	    &(struct milter_settings){.hostname = "weir.test",
		.hold = MILTER_TAKE,
		.command_timeout_ms = 5000,
		.answer_timeout_ms = 20000,
		.header_max = 65536});
	w->watch = loop_watch_new(w->loop, spool_fd(w->spool), on_spool, w);
	loop_timer_init(&w->look, w->loop, on_look, w);
}

static void
world_run(struct world *w)
{
	loop_timer_set(&w->look, loop_now(w->loop) + 1);
	loop_run(w->loop);
}

static void
world_close(struct world *w)
{
	char command[128];

	milter_desk_close(&w->desk);
	milter_port_free(w->desk.port);
	loop_watch_free(w->watch);
	gate_free(w->gate);
	spool_close(w->spool);
	loop_timer_clear(&w->look);
	loop_free(w->loop);
	events_free(w->events);
	policies_free(w->policies);
	pthread_mutex_destroy(&w->lock);
	snprintf(command, sizeof(command), "rm -rf %s", w->dir);
	assert_int_equal(system(command), 0);
}

/* ---- an MTA's connection ---- */

struct mta {
	struct world *w;
	pthread_t thread;
	unsigned number, held, passed, refused;
};

static struct milter_ask *
ask_of(struct milter_conn *c, enum milter_verb verb, const char *address)
{
	char text[128];
	char *argv[] = {text, NULL};

	snprintf(text, sizeof(text), "<%s>", address);
	return verb == MILTER_MAIL ? milter_conn_mail(c, argv)
				   : milter_conn_rcpt(c, argv);
}

static bool
ask_wait(struct milter_conn *c, struct milter_ask *ask, bool *held, bool *all)
{
	bool ok;

	ask = milter_wait(c->port, ask, 20000);
	ok = ask != NULL && ask->status != MILTER_REFUSED;
	if (ok && held != NULL)
		*held = ask->status == MILTER_HELD;
	if (ok && all != NULL)
		*all = ask->all;
	if (ask != NULL)
		milter_ask_free(ask);
	return ok;
}

static void
send_one(struct mta *m, struct milter_conn *c, unsigned i)
{
	char from[64], to[64];
	bool held = false, all = false;
	struct milter_ask *ask;

	snprintf(from, sizeof(from), "s%u@example.org", m->number);
	ask = ask_of(c, MILTER_MAIL, from);
	ask->local = true;
	if (!ask_wait(c, ask, NULL, NULL)) {
		m->refused++;
		return;
	}
	snprintf(to, sizeof(to), "r%u@example.com", i);
	if (!ask_wait(c, ask_of(c, MILTER_RCPT, to), &held, NULL)) {
		m->refused++;
		return;
	}
	milter_conn_add_rcpt(c, to, held);
	if (i % 5 == 4) { /* the client gives it up */
		milter_conn_drop(c);
		return;
	}
	if (!held) {
		m->passed++;
		milter_conn_passed(c);
		return;
	}
	milter_conn_header(c, "Subject", " hi\n there", true);
	milter_conn_text(c, STR("\r\nbody\r\n"));
	if (!ask_wait(c, milter_conn_end(c), &held, &all) || !all) {
		m->refused++;
		return;
	}
	if (i % 5 == 3) { /* the MTA did not hear it */
		milter_conn_undo(c);
		return;
	}
	m->held++;
	milter_conn_taken(c);
}

static void *
run_mta(void *arg)
{
	struct mta *m = arg;
	struct milter_conn *c =
	    milter_conn_new(m->w->desk.port, &m->w->desk.settings);

	for (unsigned i = 0; i < MESSAGES; i++)
		send_one(m, c, i);
	milter_conn_free(c);
	pthread_mutex_lock(&m->w->lock);
	m->w->left--;
	pthread_mutex_unlock(&m->w->lock);
	return NULL;
}

static void
test_many_threads_and_one_loop(void **state)
{
	struct world w;
	struct mta mtas[THREADS];
	struct spool_stats stats;
	unsigned held = 0;

	(void)state;
	world_open(&w);
	w.left = THREADS;
	for (unsigned i = 0; i < THREADS; i++) {
		mtas[i] = (struct mta){.w = &w, .number = i};
		assert_int_equal(
		    pthread_create(&mtas[i].thread, NULL, run_mta, &mtas[i]),
		    0);
	}
	world_run(&w);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(mtas[i].thread, NULL);
		/* Of 20: 4 given up, 4 not heard; 2 pass at once. */
		assert_int_equal(mtas[i].refused, 0);
		assert_int_equal(mtas[i].passed, 2);
		assert_int_equal(mtas[i].held, 10);
		held += mtas[i].held;
	}
	spool_stats(w.spool, &stats);
	assert_int_equal(stats.messages, held);
	assert_int_equal(stats.recipients[SPOOL_HELD], held);
	world_close(&w);
}

static void
test_nobody_answers(void **state)
{
	struct world w;
	struct milter_conn *c;
	struct milter_ask *ask;

	(void)state;
	world_open(&w);
	c = milter_conn_new(w.desk.port, &w.desk.settings);
	/* The loop does not run: the thread gives up by itself. */
	ask = ask_of(c, MILTER_MAIL, "a@example.org");
	assert_null(milter_wait(c->port, ask, 10));
	milter_conn_drop(c);
	milter_conn_free(c);
	world_run(&w); /* finds a question whose asker has left */
	assert_true(list_is_empty(&w.desk.txns));
	world_close(&w);
}

static void
test_a_closed_port_answers_nobody(void **state)
{
	struct world w;
	struct milter_conn *c;

	(void)state;
	world_open(&w);
	c = milter_conn_new(w.desk.port, &w.desk.settings);
	milter_port_close(w.desk.port);
	assert_null(milter_wait(
	    c->port, ask_of(c, MILTER_MAIL, "a@example.org"), 60000));
	c->in_txn = false;
	milter_conn_free(c);
	milter_port_free(w.desk.port);
	w.desk.port = milter_port_new(w.loop, NULL, NULL);
	world_close(&w);
}

static void
test_parameters(void **state)
{
	char path[] = "<a@b.c>", body[] = "BODY=8BITMIME", ret[] = "ret=HDRS";
	char envid[] = "ENVID=x+2By", bad[] = "ORCPT=rfc822;a b", odd[] = "FOO";
	char notify[] = "NOTIFY=SUCCESS,DELAY", utf8[] = "SMTPUTF8";
	char tls[] = "REQUIRETLS";
	char *argv[] = {
	    path, body, ret, envid, bad, odd, notify, utf8, tls, NULL};
	struct world w;
	struct milter_conn *c;
	struct milter_ask *ask;

	(void)state;
	world_open(&w);
	c = milter_conn_new(w.desk.port, &w.desk.settings);
	ask = milter_conn_mail(c, argv);
	assert_string_equal(ask->address, "a@b.c");
	assert_int_equal(ask->body_type, SMTP_BODY_8BITMIME);
	assert_int_equal(ask->ret, SMTP_RET_HDRS);
	assert_string_equal(ask->envid, "x+2By");
	assert_null(ask->orcpt);
	assert_int_equal(ask->notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY);
	assert_true(ask->utf8);
	assert_true(ask->require_tls);
	milter_ask_free(ask);
	milter_conn_drop(c);
	milter_conn_free(c);
	world_run(&w);
	world_close(&w);
}

static bool
is_unsure(struct milter_conn *c, const char *path)
{
	c->unsure = false;
	milter_conn_add_rcpt(c, path, true);
	return c->unsure;
}

/* Which names the MTA finds again when it is asked to take them out. */
static void
test_names_that_the_mta_finds(void **state)
{
	static const char *const sure[] = {"<a@b.c>", "<a.b+c@d.e>",
	    "<m\303\257a@b.c>", "<a%b@c>", "<a@localhost>"};
	static const char *const unsure[] = {"<@r.test:a@b.c>", "<\"a\"@b.c>",
	    "<a>", "a@b.c", "<a\\b@c.d>", "<a@b.c> ", "<a@[192.0.2.1]>", "<>"};
	struct world w;
	struct milter_conn *c;

	(void)state;
	world_open(&w);
	c = milter_conn_new(w.desk.port, &w.desk.settings);
	assert_true(ip_parse(STR("127.0.0.1"), &c->client));
	c->client_port = 1025;
	for (size_t i = 0; i < ARRAY_LEN(sure); i++)
		assert_false(is_unsure(c, sure[i]));
	for (size_t i = 0; i < ARRAY_LEN(unsure); i++)
		assert_true(is_unsure(c, unsure[i]));
	c->unsure = false;
	milter_conn_add_rcpt(c, "<@r.test:a@b.c>", false); /* it passes */
	assert_false(c->unsure);
	c->client_port = 0; /* sendmail(1) in Postfix */
	assert_true(is_unsure(c, sure[0]));
	milter_conn_drop(c);
	milter_conn_free(c);
	world_run(&w);
	world_close(&w);
}

static uint64_t
trace_of(struct milter_conn *c, const char *name, const char *value)
{
	c->trace_id = 0;
	milter_conn_look(c, name, value);
	return c->trace_id;
}

static void
test_our_own_trace(void **state)
{
	char id[SPOOL_ID_TEXT], text[256];
	struct world w;
	struct milter_conn *c;
	uint64_t want;

	(void)state;
	world_open(&w);
	want = spool_new_id(w.spool, clock_wall_ms());
	c = milter_conn_new(w.desk.port, &w.desk.settings);
	snprintf(text, sizeof(text),
	    " from h ([192.0.2.1])\n\tby weir.test (weir) with ESMTP id %s\n"
	    "\t(held);\n\tdate",
	    spool_id_format(want, id));
	assert_int_equal(trace_of(c, "received", text), want);
	assert_int_equal(trace_of(c, "X-Received", text), 0);
	assert_int_equal(
	    trace_of(c, "Received", " by weir.test (weir) with SMTP"), 0);
	assert_int_equal(
	    trace_of(c, "Received", " by weir.test (weir) with SMTP id !;"), 0);
	snprintf(text, sizeof(text), "by other.test (weir) with SMTP id %s",
	    spool_id_format(want, id));
	assert_int_equal(trace_of(c, "Received", text), 0);
	milter_conn_drop(c);
	milter_conn_free(c);
	world_run(&w);
	world_close(&w);
}

/* Good for one time and for nobody else, and bounded. */
static void
test_handed(void **state)
{
	struct handed *h = handed_new(3);

	(void)state;
	handed_add(h, 7, STR("a@Example.org"));
	assert_true(handed_has(h, 7, STR("A@example.org")));
	assert_false(handed_has(h, 7, STR("b@example.org")));
	assert_false(handed_has(h, 8, STR("a@example.org")));
	assert_true(handed_take(h, 7, STR("a@example.org")));
	assert_false(handed_take(h, 7, STR("a@example.org")));
	assert_false(handed_has(h, 0, STR("a@example.org")));
	for (uint64_t i = 1; i <= 4; i++)
		handed_add(h, i, STR("x@y"));
	assert_false(handed_has(h, 1, STR("x@y")));
	assert_true(handed_has(h, 2, STR("x@y")));
	assert_true(handed_has(h, 4, STR("x@y")));
	handed_free(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_many_threads_and_one_loop),
	    cmocka_unit_test(test_nobody_answers),
	    cmocka_unit_test(test_a_closed_port_answers_nobody),
	    cmocka_unit_test(test_parameters),
	    cmocka_unit_test(test_names_that_the_mta_finds),
	    cmocka_unit_test(test_our_own_trace),
	    cmocka_unit_test(test_handed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
