/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom senders know, passed on by a cluster of one server that the test plays:
 * what is read on after one question came to nothing, what is not handed over
 * behind what others have forgotten, and what the site's rate has room for.
 */
#include "share/learns.h"

#include "fake_redis.h"
#include "pump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ABOUT "weir learnt 1"

struct world {
	struct loop *loop;
	struct fake_redis server;
	struct redis_link *link;
	struct seal *seal;
	struct learns *learns;
	unsigned reads, adds, lost, want_reads, want_adds;
	struct buf reply;    /* to the next read; empty: nothing new */
	bool is_adding_lost; /* the next add; alice is forgotten by then */
	bool holds_read;     /* until the next add */
	struct fake_redis_peer *held; /* whose read is held */
	/* To each that is asked: '1', '0', or 'x' for none. */
	const char *answers;
	unsigned asks;
	char answered[512]; /* "alice 1, bob 0, " */
	unsigned answers_n, want_answers, gaps;
	char added[512]; /* all of it: "+alice 5, -bob 5, " */
	char heard[512]; /* what on_record was given, the same */
};

/* ---- the server ---- */

static void
note(char (*out)[512], const struct learns_record *r)
{
	size_t n = strlen(*out);

	snprintf(*out + n, sizeof(*out) - n, "%c%.*s %u, ", " +-?!"[r->what],
	    STR_ARG(r->sender), r -> day);
}

static void
answer_read(struct world *w, struct fake_redis_peer *p)
{
	if (w->reply.len == 0)
		fake_redis_begin(&w->reply, 0, 5);
	fake_redis_answer(p, buf_str(&w->reply));
	buf_reset(&w->reply);
}

static void
take_read(struct world *w, struct fake_redis_peer *p)
{
	w->reads++;
	if (w->holds_read)
		w->held = p;
	else
		answer_read(w, p);
}

static void
on_added(void *arg, struct str plain)
{
	struct world *w = arg;
	struct learns_record r;

	assert_true(learns_read(plain, &r));
	note(&w->added, &r);
}

static void add_forget(struct world *w);

static void
take_add(struct world *w, struct fake_redis_peer *p,
    const struct resp_value *command)
{
	w->adds++;
	if (w->is_adding_lost) {
		w->is_adding_lost = false;
		add_forget(w);
		if (w->held != NULL)
			answer_read(w, w->held);
		w->holds_read = false;
		fake_redis_answer(
		    p, STR("-CLUSTERDOWN Hash slot not served\r\n"));
		return;
	}
	fake_redis_each_added(command, ABOUT, w->seal, on_added, w);
	fake_redis_answer(p, STR(":1\r\n"));
}

static void
take_ask(struct world *w, struct fake_redis_peer *p,
    const struct resp_value *command)
{
	char c = w->answers[w->asks++];
	struct buf plain;
	struct learns_record r;

	buf_init(&plain, 1024);
	/* Of 50 a day, one each 1728 s. */
	assert_true(str_eq(resp_text(resp_at(command, 9)), STR("1728000")));
	assert_true(str_eq(resp_text(resp_at(command, 10)), STR("86400000")));
	assert_true(seal_open(
	    w->seal, STR(ABOUT), resp_text(resp_at(command, 11)), &plain));
	assert_true(learns_read(buf_str(&plain), &r));
	assert_int_equal(r.what, LEARNS_MET_COUNTED);
	assert_int_equal(r.domain, 3);
	assert_int_equal(r.network, 4);
	buf_clear(&plain);
	if (c == 'x')
		fake_redis_answer(
		    p, STR("-CLUSTERDOWN Hash slot not served\r\n"));
	else
		fake_redis_answer(p, c == '1' ? STR(":1\r\n") : STR(":0\r\n"));
}

static void
on_command(
    void *arg, struct fake_redis_peer *p, const struct resp_value *command)
{
	if (str_eq(resp_text(resp_at(command, 2)), STR("3")))
		take_ask(arg, p, command);
	else if (command->count == FAKE_REDIS_READ_WORDS)
		take_read(arg, p);
	else
		take_add(arg, p, command);
}

static void
add_entry(struct world *w, unsigned id, enum learns_what what,
    const char *sender, uint32_t day)
{
	struct learns_record r = {.what = what,
	    .relay = 7,
	    .destination = 1,
	    .why = 1,
	    .day = day,
	    .sender = str_from(sender)};
	struct buf plain;

	buf_init(&plain, 1024);
	assert_true(learns_write(&r, &plain));
	fake_redis_entry(&w->reply, id, buf_str(&plain), ABOUT, w->seal);
	buf_clear(&plain);
}

static void
add_forget(struct world *w)
{
	fake_redis_begin(&w->reply, 1, 6);
	add_entry(w, 6, LEARNS_FORGET, "alice", 9);
}

/* ---- the relay ---- */

static void
on_up(void *arg, int64_t now)
{
	(void)now;
	learns_start(((struct world *)arg)->learns);
}

static void
on_down(void *arg, const char *why, int64_t now)
{
	(void)arg;
	(void)why;
	(void)now;
}

static const struct redis_link_ops link_ops = {
    .on_up = on_up, .on_down = on_down};

static void
on_record(void *arg, const struct learns_record *r)
{
	struct world *w = arg;

	note(&w->heard, r);
	if (r->what == LEARNS_FORGET)
		learns_drop(w->learns, r->sender);
}

static void
on_gap(void *arg, uint64_t missed)
{
	assert_int_equal(missed, 0);
	((struct world *)arg)->gaps++;
}

static void
on_answer(void *arg, const struct learns_record *r, bool is_known)
{
	struct world *w = arg;
	size_t n = strlen(w->answered);

	assert_int_equal(r->own, 77);
	assert_int_equal(r->domain, 3);
	snprintf(w->answered + n, sizeof(w->answered) - n, "%.*s %d, ",
	    STR_ARG(r->sender), is_known);
	w->answers_n++;
}

static void
on_full(void *arg)
{
	(void)arg;
	fail_msg("full");
}

static const struct learns_ops ops = {
    .on_record = on_record,
    .on_gap = on_gap,
    .on_full = on_full,
    .on_answer = on_answer,
};

static int
set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct redis_link_settings s = {.deadline_ms = PUMP_LIMIT_MS};

	w->loop = loop_new();
	fake_redis_open(&w->server, w->loop, on_command, w);
	buf_init(&w->reply, 1 << 20);
	w->seal = seal_new(STR("a secret of enough bytes"));
	w->link =
	    fake_redis_link(&w->server, "redis+cluster://", &s, &link_ops, w);
	w->learns = learns_new(w->loop, w->link, w->seal, "weir", "mx1",
	    (struct stream_mark){0}, &ops, w);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	redis_link_free(w->link);
	learns_free(w->learns);
	fake_redis_close(&w->server);
	loop_free(w->loop);
	seal_free(w->seal);
	buf_clear(&w->reply);
	free(w);
	return 0;
}

static bool
has_heard(void *arg)
{
	struct world *w = arg;

	return w->reads >= w->want_reads && w->adds >= w->want_adds;
}

/* Until the server has heard so many more. */
static void
await(struct world *w, unsigned reads, unsigned adds)
{
	w->want_reads = w->reads + reads;
	w->want_adds = w->adds + adds;
	assert_true(pump_until(w->loop, has_heard, w));
}

static void
learn(struct world *w, enum learns_what what, const char *sender)
{
	learns_note(w->learns, &(struct learns_record){.what = what,
				   .destination = 1,
				   .why = 1,
				   .day = 5,
				   .sender = str_from(sender)});
}

/* ---- tests ---- */

/* One question comes to nothing, and the link stays. */
static void
test_reads_on_after_one_lost_answer(void **state)
{
	struct world *w = *state;

	await(w, 2, 0);
	assert_true(buf_append_str(
	    &w->reply, STR("-CLUSTERDOWN Hash slot not served\r\n")));
	await(w, 1, 0);
	fake_redis_begin(&w->reply, 1, 6);
	add_entry(w, 6, LEARNS_KNOWS, "alice", 4);
	await(w, 2, 0);
	assert_string_equal(w->heard, "+alice 4, ");
	assert_true(redis_link_is_up(w->link));
	learn(w, LEARNS_KNOWS, "bob");
	await(w, 0, 1);
	assert_string_equal(w->added, "+bob 5, ");
}

static void
test_the_longest_sender(void **state)
{
	char sender[LEARNS_SENDER_MAX + 1];
	struct world *w = *state;

	memset(sender, 'a', LEARNS_SENDER_MAX);
	sender[LEARNS_SENDER_MAX] = '\0';
	fake_redis_begin(&w->reply, 1, 6);
	add_entry(w, 6, LEARNS_KNOWS, sender, 4);
	await(w, 2, 0);
	assert_int_equal(strspn(w->heard + 1, "a"), sizeof(w->heard) - 2);
}

/* As many entries as a read asks for, and none of them leads on. */
static void
test_a_page_that_leads_nowhere(void **state)
{
	struct world *w = *state;

	fake_redis_begin(&w->reply, 200, 5);
	for (unsigned i = 0; i < 200; i++)
		assert_true(
		    buf_append_str(&w->reply, STR(":0\r\n$1\r\nx\r\n")));
	await(w, 1, 0);
	w->holds_read = true;
	await(w, 1, 0);
	assert_int_equal(learns_mark(w->learns).at, 5);
	assert_string_equal(w->heard, "");
}

/* What was learnt in an outage does not undo what others forgot in it. */
static void
test_nothing_goes_behind_a_forget(void **state)
{
	struct world *w = *state;

	learn(w, LEARNS_KNOWS, "alice");
	learn(w, LEARNS_KNOWS, "bob");
	learn(w, LEARNS_FORGET, "alice");
	learn(w, LEARNS_KNOWS, "alicea");
	add_forget(w);
	await(w, 1, 1);
	assert_string_equal(w->heard, "-alice 9, ");
	assert_string_equal(w->added, "+bob 5, -alice 5, +alicea 5, ");
}

/* The same of what was sent and not answered. */
static void
test_nothing_is_sent_again_behind_a_forget(void **state)
{
	struct world *w = *state;

	await(w, 2, 0);
	w->is_adding_lost = true;
	learn(w, LEARNS_KNOWS, "alice");
	learn(w, LEARNS_KNOWS, "bob");
	await(w, 0, 2);
	assert_string_equal(w->heard, "-alice 9, ");
	assert_string_equal(w->added, "+bob 5, ");
}

/* The same, when that is heard before it is known that it was lost. */
static void
test_nothing_on_its_way_goes_behind_a_forget(void **state)
{
	struct world *w = *state;

	await(w, 2, 0);
	w->holds_read = w->is_adding_lost = true;
	await(w, 1, 0);
	learn(w, LEARNS_KNOWS, "alice");
	learn(w, LEARNS_KNOWS, "bob");
	await(w, 0, 2);
	assert_string_equal(w->heard, "-alice 9, ");
	assert_string_equal(w->added, "+bob 5, ");
}

static bool
ask(struct world *w, const char *sender, uint64_t destination)
{
	static const struct learns_rate rate = {50, 86400000};

	return learns_ask(w->learns,
	    &(struct learns_record){.what = LEARNS_MET,
		.destination = destination,
		.why = 2,
		.day = 5,
		.domain = 3,
		.network = 4,
		.sender = str_from(sender),
		.own = 77},
	    &rate);
}

static bool
are_answered(void *arg)
{
	struct world *w = arg;

	return w->answers_n >= w->want_answers;
}

/* The site's rate has room, has none, or nobody says: then it is told like
 * what was learnt in an outage. */
static void
test_what_incoming_mail_names(void **state)
{
	struct world *w = *state;

	assert_false(ask(w, "alice", 1));
	await(w, 2, 0);
	assert_int_equal(w->gaps, 0);
	w->answers = "10x";
	assert_true(ask(w, "alice", 1));
	/* Once is enough. */
	assert_true(ask(w, "alice", 1));
	assert_true(ask(w, "bob", 1));
	assert_true(ask(w, "carol", 1));
	w->want_answers = 3;
	assert_true(pump_until(w->loop, are_answered, w));
	assert_string_equal(w->answered, "alice 1, bob 0, carol 1, ");
	w->want_adds = 1;
	assert_true(pump_until(w->loop, has_heard, w));
	assert_string_equal(w->added, "?carol 5, ");
	assert_int_equal(w->asks, 3);
}

/* Forgotten meanwhile, here or elsewhere. */
static void
test_no_answer_about_whom_is_forgotten(void **state)
{
	struct world *w = *state;

	await(w, 2, 0);
	w->answers = "111";
	assert_true(ask(w, "alice", 1));
	learn(w, LEARNS_FORGET, "alice");
	assert_true(ask(w, "bob", 1));
	learns_drop(w->learns, STR("bob"));
	assert_true(ask(w, "carol", 1));
	w->want_answers = 1;
	assert_true(pump_until(w->loop, are_answered, w));
	assert_string_equal(w->answered, "carol 1, ");
}

/* Whoever floods a sender has its mail wait, and no more. */
static void
test_few_are_asked_at_once(void **state)
{
	struct world *w = *state;
	char answers[LEARNS_ASKED_MAX + 1];

	await(w, 2, 0);
	memset(answers, '0', sizeof(answers));
	w->answers = answers;
	for (uint64_t i = 1; i <= LEARNS_ASKED_MAX + 1; i++)
		assert_true(ask(w, "alice", i));
	assert_string_equal(w->answered, "alice 0, ");
	w->want_answers = LEARNS_ASKED_MAX + 1;
	assert_true(pump_until(w->loop, are_answered, w));
	assert_int_equal(w->asks, LEARNS_ASKED_MAX);
}

/* After weeks without a record, or FLUSHALL: said once, and at once. */
static void
test_an_emptied_server_is_a_gap(void **state)
{
	static const char empty[] = "*3\r\n:0\r\n$0\r\n\r\n:0\r\n";
	struct world *w = *state;

	await(w, 2, 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(buf_append_str(&w->reply, str_from(empty)));
		await(w, 2, 0);
		assert_int_equal(w->gaps, 1 + i);
		assert_true(learns_mark(w->learns).epoch != 0);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_reads_on_after_one_lost_answer),
	    TEST(test_the_longest_sender),
	    TEST(test_a_page_that_leads_nowhere),
	    TEST(test_nothing_goes_behind_a_forget),
	    TEST(test_nothing_is_sent_again_behind_a_forget),
	    TEST(test_nothing_on_its_way_goes_behind_a_forget),
	    TEST(test_what_incoming_mail_names),
	    TEST(test_no_answer_about_whom_is_forgotten),
	    TEST(test_few_are_asked_at_once),
	    TEST(test_an_emptied_server_is_a_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
