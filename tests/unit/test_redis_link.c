/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link to a server that the test plays: what it sends and what it may be
 * answered with.
 */
#include "share/redis_link.h"

#include "fake_redis.h"
#include "pump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
	struct loop *loop;
	struct fake_redis server;
	struct redis_link *link;
	char why[REDIS_LINK_WHY_MAX];
	unsigned ups, downs, answers, lost;
	int64_t integer;
};

/* Each test answers by itself. */
static void
on_command(
    void *arg, struct fake_redis_peer *p, const struct resp_value *command)
{
	(void)arg;
	(void)p;
	(void)command;
}

static void
on_up(void *arg, int64_t now)
{
	struct world *w = arg;

	(void)now;
	w->ups++;
}

static void
on_down(void *arg, const char *why, int64_t now)
{
	struct world *w = arg;

	(void)now;
	w->downs++;
	str_copy(str_from(why), w->why, sizeof(w->why));
}

static const struct redis_link_ops link_ops = {
    .on_up = on_up, .on_down = on_down};

static int
set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->loop = loop_new();
	fake_redis_open(&w->server, w->loop, on_command, w);
	w->server.info = "$54\r\nmaxmemory:1000\r\nmaxmemory_policy:"
			 "allkeys-lru\r\nmore:1\r\n\r\n";
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	redis_link_free(w->link);
	fake_redis_close(&w->server);
	loop_free(w->loop);
	free(w);
	return 0;
}

static void
start(struct world *w, int64_t deadline_ms, const char *password)
{
	struct redis_link_settings s = {
	    .user = password != NULL ? "weir" : NULL,
	    .password = str_from(password),
	    .deadline_ms = deadline_ms};

	w->link = fake_redis_link(&w->server, "redis://", &s, &link_ops, w);
}

static bool
is_up(void *arg)
{
	return redis_link_is_up(((struct world *)arg)->link);
}

static bool
is_down(void *arg)
{
	return ((struct world *)arg)->downs > 0;
}

static bool
has_heard(void *arg)
{
	return ((struct world *)arg)->server.heard_n > 0;
}

static bool
is_answered(void *arg)
{
	struct world *w = arg;

	return w->answers + w->lost > 0;
}

static bool
is_accepted_again(void *arg)
{
	return ((struct world *)arg)->server.accepted > 1;
}

static void
on_answer(void *arg, const struct resp_value *reply, int64_t now)
{
	struct world *w = arg;

	(void)now;
	if (reply == NULL) {
		w->lost++;
		/* Nothing can be asked of what is given up. */
		assert_false(redis_link_is_up(w->link));
		return;
	}
	w->answers++;
	w->integer = reply->integer;
}

static struct redis_script script = {.text = "return 1"};

static bool
run(struct world *w)
{
	struct str key = STR("key"), arg = STR("value");

	return redis_link_run(w->link, &script, &key, 1, &arg, 1, on_answer, w);
}

static void
test_goes_up_and_runs_scripts(void **state)
{
	struct world *w = *state;
	struct redis_link_memory memory;

	start(w, 60000, NULL);
	assert_false(run(w));
	assert_true(pump_until(w->loop, is_up, w));
	assert_int_equal(w->ups, 1);
	redis_link_memory(w->link, &memory);
	assert_int_equal(memory.max, 1000);
	assert_string_equal(memory.policy, "allkeys-lru");
	assert_true(run(w));
	assert_true(pump_until(w->loop, has_heard, w));
	assert_string_equal(w->server.heard,
	    "*5\r\n$7\r\nEVALSHA\r\n$40\r\n"
	    "e0e1f9fabfc9d4800c877a703b823ac0578ff8db\r\n"
	    "$1\r\n1\r\n$3\r\nkey\r\n$5\r\nvalue\r\n");
	w->server.heard_n = 0;
	fake_redis_say(&w->server, "-NOSCRIPT No matching script.\r\n");
	assert_true(pump_until(w->loop, has_heard, w));
	assert_string_equal(w->server.heard,
	    "*5\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n"
	    "$1\r\n1\r\n$3\r\nkey\r\n$5\r\nvalue\r\n");
	fake_redis_say(&w->server, ":1\r\n");
	assert_true(pump_until(w->loop, is_answered, w));
	assert_int_equal(w->integer, 1);
	assert_int_equal(w->downs, 0);
}

static void
hears(struct world *w, const char *verb)
{
	char start[32];

	assert_true(pump_until(w->loop, has_heard, w));
	snprintf(
	    start, sizeof(start), "*5\r\n$%zu\r\n%s\r\n", strlen(verb), verb);
	assert_true(str_starts(str_from(w->server.heard), str_from(start)));
	w->server.heard_n = 0;
}

static bool
are_two_answered(void *arg)
{
	return ((struct world *)arg)->answers == 2;
}

/* SCRIPT FLUSH, again and again: the text is sent each time. */
static void
test_a_server_that_forgets_scripts(void **state)
{
	struct world *w = *state;

	start(w, 60000, NULL);
	assert_true(pump_until(w->loop, is_up, w));
	for (unsigned i = 1; i <= 3; i++) {
		assert_true(run(w));
		hears(w, "EVALSHA");
		fake_redis_say(&w->server, "-NOSCRIPT x\r\n");
		hears(w, "EVAL");
		w->answers = 0;
		fake_redis_say(&w->server, ":1\r\n");
		assert_true(pump_until(w->loop, is_answered, w));
	}
	/* Of two that are refused, one sends it. */
	w->answers = 0;
	assert_true(run(w));
	hears(w, "EVALSHA");
	assert_true(run(w));
	hears(w, "EVALSHA");
	fake_redis_say(&w->server, "-NOSCRIPT x\r\n");
	hears(w, "EVAL");
	fake_redis_say(&w->server, "-NOSCRIPT x\r\n");
	hears(w, "EVALSHA");
	fake_redis_say(&w->server, ":1\r\n:1\r\n");
	assert_true(pump_until(w->loop, are_two_answered, w));
	assert_int_equal(w->downs, 0);
}

static void
test_logs_in_first(void **state)
{
	struct world *w = *state;

	w->server.role = NULL;
	start(w, 60000, "a password");
	assert_true(pump_until(w->loop, has_heard, w));
	assert_true(str_starts(str_from(w->server.heard),
	    STR("*3\r\n$4\r\nAUTH\r\n$4\r\nweir\r\n$10\r\na password\r\n")));
	fake_redis_say(&w->server, "-WRONGPASS invalid\r\n");
	assert_true(pump_until(w->loop, is_down, w));
	assert_non_null(strstr(w->why, "WRONGPASS"));
}

/* An answer that ends the connection: each open command hears of it once. */
static void
ends_with(struct world *w, const char *answer, const char *why)
{
	start(w, 60000, NULL);
	assert_true(pump_until(w->loop, is_up, w));
	assert_true(run(w) && run(w));
	fake_redis_say(&w->server, answer);
	assert_true(pump_until(w->loop, is_down, w));
	assert_non_null(strstr(w->why, why));
	assert_int_equal(w->lost, 2);
	assert_int_equal(w->answers, 0);
	assert_false(run(w));
	/* It tries again by itself. */
	assert_true(pump_until(w->loop, is_accepted_again, w));
	assert_true(pump_until(w->loop, is_up, w));
}

static void
test_errors_are_outages(void **state)
{
	ends_with(*state, "-OOM command not allowed\r\n", "OOM");
}

static void
test_loading_is_an_outage(void **state)
{
	ends_with(*state, "-LOADING Redis is loading\r\n", "LOADING");
}

static void
test_a_second_noscript_is_an_outage(void **state)
{
	ends_with(*state, "-NOSCRIPT x\r\n-NOSCRIPT x\r\n-NOSCRIPT x\r\n",
	    "NOSCRIPT");
}

static void
test_garbage_is_an_outage(void **state)
{
	ends_with(*state, "220 hello\r\n", "no Redis server");
}

static void
test_silence_is_an_outage(void **state)
{
	struct world *w = *state;

	start(w, 50, NULL);
	assert_true(pump_until(w->loop, is_up, w));
	assert_true(run(w));
	assert_true(pump_until(w->loop, is_down, w));
	assert_non_null(strstr(w->why, "in time"));
	assert_int_equal(w->lost, 1);
}

static void
test_what_was_not_asked_is_an_outage(void **state)
{
	struct world *w = *state;

	start(w, 60000, NULL);
	assert_true(pump_until(w->loop, is_up, w));
	fake_redis_say(&w->server, ":1\r\n");
	assert_true(pump_until(w->loop, is_down, w));
	assert_non_null(strstr(w->why, "not asked"));
}

static void
test_a_replica_is_an_outage(void **state)
{
	struct world *w = *state;

	w->server.role = fake_redis_replica;
	start(w, 60000, NULL);
	assert_true(pump_until(w->loop, is_down, w));
	assert_non_null(strstr(w->why, "replica"));
	assert_int_equal(w->ups, 0);
}

static void
test_a_closed_connection_is_an_outage(void **state)
{
	struct world *w = *state;

	start(w, 60000, NULL);
	assert_true(pump_until(w->loop, is_up, w));
	assert_true(run(w));
	fake_redis_hang_up(&w->server);
	assert_true(pump_until(w->loop, is_down, w));
	assert_int_equal(w->lost, 1);
}

int
main(void)
{
#define LINK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    LINK_TEST(test_goes_up_and_runs_scripts),
	    LINK_TEST(test_a_server_that_forgets_scripts),
	    LINK_TEST(test_logs_in_first),
	    LINK_TEST(test_errors_are_outages),
	    LINK_TEST(test_loading_is_an_outage),
	    LINK_TEST(test_a_second_noscript_is_an_outage),
	    LINK_TEST(test_garbage_is_an_outage),
	    LINK_TEST(test_silence_is_an_outage),
	    LINK_TEST(test_what_was_not_asked_is_an_outage),
	    LINK_TEST(test_a_replica_is_an_outage),
	    LINK_TEST(test_a_closed_connection_is_an_outage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
