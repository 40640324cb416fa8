/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What relays tell each other of what senders spend, before a server that the
 * test plays: what is told when, what an outage does, and what a server may
 * answer.
 */
#include "share/spends.h"

#include "fake_redis.h"
#include "pump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ABOUT "weir spent 1"
#define HEAD 17

struct world {
	struct loop *loop;
	struct fake_redis server;
	struct redis_link *link;
	struct seal *seal;
	struct spends *spends;
	unsigned reads, adds; /* that the server heard */
	char last[24];        /* the id from which the last read began */
	bool is_adding;       /* not answered */
	unsigned late_reads;
	struct buf reply; /* to the next read; empty: nothing new */
	/* Of the last add: "alice 3 1, bob 1 0, ". */
	char reported[512];
	/* What fn heard, in the same form. */
	char heard[512];
	unsigned want_reads, want_adds;
};

/* ---- the server ---- */

static void
answer_read(struct world *w)
{
	if (w->reply.len == 0)
		fake_redis_begin(&w->reply, 0, 5);
	fake_redis_answer(w->server.last, buf_str(&w->reply));
	buf_reset(&w->reply);
}

/* In their order, as a server does. */
static void
answer_add(struct world *w)
{
	assert_true(w->is_adding);
	w->is_adding = false;
	fake_redis_say(&w->server, ":1\r\n");
	for (; w->late_reads > 0; w->late_reads--)
		answer_read(w);
}

static void
on_added(void *arg, struct str plain)
{
	struct world *w = arg;
	size_t used = strlen(w->reported);
	struct spend v;

	assert_true(spend_read(plain, &v));
	snprintf(w->reported + used, sizeof(w->reported) - used, "%.*s %u %u, ",
	    STR_ARG(v.sender), v.recipients, v.messages);
}

static void
on_command(
    void *arg, struct fake_redis_peer *p, const struct resp_value *command)
{
	struct world *w = arg;

	(void)p;
	if (command->count != FAKE_REDIS_READ_WORDS) {
		w->reported[0] = '\0';
		fake_redis_each_added(command, ABOUT, w->seal, on_added, w);
		w->adds++;
		w->is_adding = true;
		return;
	}
	w->reads++;
	str_copy(resp_text(resp_at(command, 5)), w->last, sizeof(w->last));
	if (w->is_adding)
		w->late_reads++;
	else
		answer_read(w);
}

/* ---- the relay ---- */

static void
on_up(void *arg, int64_t now)
{
	struct world *w = arg;

	(void)now;
	w->is_adding = false;
	w->late_reads = 0;
	spends_start(w->spends);
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
on_spent(void *arg, const char *sender, uint32_t recipients, uint32_t messages)
{
	struct world *w = arg;
	size_t n = strlen(w->heard);

	snprintf(w->heard + n, sizeof(w->heard) - n, "%s %u %u, ", sender,
	    recipients, messages);
}

static int
set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct redis_link_settings s = {.deadline_ms = 60000};

	w->loop = loop_new();
	fake_redis_open(&w->server, w->loop, on_command, w);
	buf_init(&w->reply, 1 << 20);
	w->seal = seal_new(STR("a secret of enough bytes"));
	w->link = fake_redis_link(&w->server, "redis://", &s, &link_ops, w);
	w->spends = spends_new(w->loop, w->link, w->seal, "weir", on_spent, w);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	redis_link_free(w->link);
	spends_free(w->spends);
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

/* ---- tests ---- */

/* One command at a time; what comes meanwhile is added up. */
static void
test_tells(void **state)
{
	struct world *w = *state;

	/* Before it is up: kept. */
	spends_note(w->spends, "alice", 1, 1);
	spends_note(w->spends, "alice", 2, 0);
	await(w, 1, 1);
	assert_string_equal(w->last, "-1");
	assert_string_equal(w->reported, "alice 3 1, ");
	spends_note(w->spends, "bob", 1, 0);
	spends_note(w->spends, "bob", 1, 1);
	pump_turns(w->loop, 20);
	assert_int_equal(w->adds, 1);
	answer_add(w);
	await(w, 0, 1);
	assert_string_equal(w->reported, "bob 2 1, ");
	answer_add(w);
	await(w, 1, 0);
	assert_string_equal(w->last, "5");
	assert_int_equal(w->adds, 2);
	assert_string_equal(w->heard, "");
}

/* Nobody knows whether it was taken: it is told again. */
static void
test_outage(void **state)
{
	struct world *w = *state;

	spends_note(w->spends, "alice", 4, 1);
	await(w, 1, 1);
	fake_redis_hang_up(&w->server);
	await(w, 1, 1);
	assert_string_equal(w->reported, "alice 4 1, ");
	spends_note(w->spends, "alice", 1, 0);
	spends_note(w->spends, "alice", SPENDS_COUNT_MAX, 2);
	answer_add(w);
	await(w, 0, 1);
	assert_string_equal(w->reported, "alice 100000 2, ");
	/* More than one command has room for. */
	answer_add(w);
	for (int i = 0; i < 30; i++) {
		char name[16];

		snprintf(name, sizeof(name), "s%d", i);
		spends_note(w->spends, name, 1, 0);
	}
	await(w, 0, 1);
	answer_add(w);
	await(w, 0, 1);
	answer_add(w);
	await(w, 1, 0);
}

static void
add_entry(struct world *w, unsigned id, const char *sender, uint32_t recipients,
    const struct seal *seal)
{
	struct spend v = {.relay = 7,
	    .recipients = recipients,
	    .messages = 1,
	    .sender = str_from(sender)};
	struct buf plain;

	buf_init(&plain, 1024);
	assert_true(spend_write(&v, &plain));
	fake_redis_entry(&w->reply, id, buf_str(&plain), ABOUT, seal);
	buf_clear(&plain);
}

static void
test_hears(void **state)
{
	struct world *w = *state;
	struct seal *foreign = seal_new(STR("the secret of somebody else"));

	await(w, 2, 0);
	fake_redis_begin(&w->reply, 4, 9);
	add_entry(w, 6, "eve", 3, w->seal);
	add_entry(w, 7, "forged", 3, foreign);
	assert_true(buf_append_str(&w->reply, STR(":8\r\n$3\r\nxyz\r\n")));
	add_entry(w, 9, "mallory", 100000, w->seal);
	await(w, 2, 0);
	assert_string_equal(w->heard, "eve 3 1, mallory 100000 1, ");
	assert_string_equal(w->last, "9");
	seal_free(foreign);
}

/* Answers that are none of ours change nothing, and it asks on. */
static void
test_hostile_answers(void **state)
{
	static const char *const bad[] = {"*0\r\n", ":7\r\n", "$-1\r\n",
	    "*2\r\n:9\r\n$0\r\n\r\n", "*1\r\n:9\r\n",
	    "*3\r\n:-4\r\n$0\r\n\r\n:0\r\n", "*3\r\n:9\r\n$2\r\nxy\r\n:0\r\n",
	    "*3\r\n:9\r\n$16\r\n" FAKE_REDIS_EPOCH "\r\n:-1\r\n",
	    "*3\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nz\r\n"};
	struct world *w = *state;

	await(w, 2, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(buf_append_str(&w->reply, str_from(bad[i])));
		await(w, 2, 0);
	}
	assert_string_equal(w->heard, "");
	assert_true(redis_link_is_up(w->link));
}

static void
test_read(void **state)
{
	unsigned char text[HEAD + 6] = {1};
	struct str in = {(const char *)text, sizeof(text)};
	struct spend v;

	(void)state;
	memcpy(text + HEAD, "sender", 6);
	assert_true(spend_read(in, &v));
	assert_true(str_eq(v.sender, STR("sender")));
	for (size_t n = 0; n <= HEAD; n++)
		assert_false(spend_read(str_sub(in, 0, n), &v));
	text[HEAD + 2] = '\0';
	assert_false(spend_read(in, &v));
	text[HEAD + 2] = 'n';
	text[0] = 2;
	assert_false(spend_read(in, &v));
	text[0] = 1;
	memset(text + 9, 0xff, 4); /* recipients */
	assert_false(spend_read(in, &v));
	memset(text + 9, 0, 4);
	memset(text + 13, 0xff, 4); /* messages */
	assert_false(spend_read(in, &v));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_tells),
	    TEST(test_outage),
	    TEST(test_hears),
	    TEST(test_hostile_answers),
	    cmocka_unit_test(test_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
