/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Results on their way into a spool that fails: nothing is forgotten, nothing
 * is recorded twice. The spool is a stand-in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "delivery/result_queue.h"
#include "pump.h"

#define CALLS_MAX 64

static struct spool {
	int calls;
	size_t results, last_n;
	uint64_t last_ticket;
	char last_error[64], last_bounce_to[64], last_text[64];
	spool_done_fn *fn[CALLS_MAX];
	void *arg[CALLS_MAX];
} spool;

void
spool_finish(struct spool *s, const struct spool_result *results, size_t n,
    const struct spool_message *bounce, struct str text, spool_done_fn *fn,
    void *arg)
{
	s->results += n;
	s->last_n = n;
	s->last_ticket = results[n - 1].ticket;
	s->last_bounce_to[0] = '\0';
	str_copy(str_from(results[n - 1].error), s->last_error,
	    sizeof(s->last_error));
	if (bounce != NULL) {
		assert_string_equal(bounce->from, "");
		assert_int_equal(bounce->rcpts[0].state, SPOOL_RELEASED);
		str_copy(str_from(bounce->rcpts[0].address), s->last_bounce_to,
		    sizeof(s->last_bounce_to));
		str_copy(text, s->last_text, sizeof(s->last_text));
	}
	s->fn[s->calls] = fn;
	s->arg[s->calls] = arg;
	s->calls++;
}

struct world {
	struct loop *loop;
	struct result_queue *l;
	struct counters counters;
	int stored, released;
};

static void
on_stored(void *arg, bool released, int64_t now)
{
	struct world *w = arg;

	(void)now;
	w->stored++;
	w->released += released;
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	spool = (struct spool){0};
	w->loop = loop_new();
	w->l =
	    result_queue_new(w->loop, &spool, &w->counters, NULL, on_stored, w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	result_queue_free(w->l);
	loop_free(w->loop);
	free(w);
	return 0;
}

static void
add(struct world *w, uint64_t ticket, const char *error)
{
	char copy[64];
	struct spool_result r = {
	    .ticket = ticket,
	    .outcome = error != NULL ? SPOOL_RETRY : SPOOL_DELIVERED,
	    .error = error != NULL ? copy : NULL,
	};

	str_copy(str_from(error), copy, sizeof(copy));
	result_queue_add(w->l, &r);
	memset(copy, 'x', sizeof(copy) - 1);
}

static void
answer(int call, int error)
{
	spool.fn[call](spool.arg[call], error);
}

static bool
is_called(void *arg)
{
	return spool.calls >= *(int *)arg;
}

static void
wait_calls(struct world *w, int n)
{
	assert_true(pump_until(w->loop, is_called, &n));
}

static void
test_one_operation_a_turn(void **state)
{
	struct world *w = *state;

	for (uint64_t i = 1; i <= 10; i++)
		add(w, i, NULL);
	assert_int_equal(spool.calls, 0);
	wait_calls(w, 1);
	assert_int_equal(spool.last_n, 10);
	assert_int_equal(result_queue_pending(w->l), 10);
	answer(0, 0);
	assert_int_equal(result_queue_pending(w->l), 0);
	assert_int_equal(w->stored, 1);
	assert_int_equal(w->released, 0);
	assert_false(result_queue_is_stuck(w->l));
}

static void
test_is_offered_until_it_is_stored(void **state)
{
	struct world *w = *state;

	add(w, 7, "451 later");
	wait_calls(w, 1);
	answer(0, ENOSPC);
	assert_true(result_queue_is_stuck(w->l));
	assert_int_equal(result_queue_pending(w->l), 1);
	assert_int_equal(w->counters.v[COUNT_SPOOL_ERRORS], 1);
	wait_calls(w, 2);
	answer(1, EIO);
	wait_calls(w, 3);
	assert_int_equal(spool.last_ticket, 7);
	assert_string_equal(spool.last_error, "451 later");
	answer(2, 0);
	assert_false(result_queue_is_stuck(w->l));
	assert_int_equal(result_queue_pending(w->l), 0);
	/* It may be due by now, and nobody has claimed it. */
	assert_int_equal(w->released, 1);
}

static void
test_busy_is_no_trouble(void **state)
{
	struct world *w = *state;

	add(w, 7, NULL);
	wait_calls(w, 1);
	answer(0, EBUSY);
	assert_false(result_queue_is_stuck(w->l));
	wait_calls(w, 2);
	answer(1, 0);
	assert_int_equal(w->counters.v[COUNT_SPOOL_ERRORS], 0);
}

static void
test_large_turns_are_split(void **state)
{
	struct world *w = *state;

	for (uint64_t i = 1; i <= 1000; i++)
		add(w, i, NULL);
	pump_turns(w->loop, 1);
	assert_int_equal(spool.calls, 2);
	assert_int_equal(spool.results, 1000);
	answer(0, 0);
	answer(1, 0);
}

static void
add_bounce(struct world *w)
{
	char to[32] = "alice@example.org", text[32] = "Subject: no\r\n";
	const struct spool_result r = {.ticket = 9, .outcome = SPOOL_BOUNCED};
	const struct result_bounce bounce = {
	    .id = 4096, .to = to, .text = str_from(text)};

	result_queue_add_bounce(w->l, &r, 1, &bounce);
	memset(to, 'x', sizeof(to));
	memset(text, 'x', sizeof(text));
}

static void
test_bounce_with_its_results(void **state)
{
	struct world *w = *state;

	add_bounce(w);
	assert_int_equal(spool.calls, 1);
	answer(0, ENOSPC);
	wait_calls(w, 2);
	assert_string_equal(spool.last_bounce_to, "alice@example.org");
	assert_string_equal(spool.last_text, "Subject: no\r\n");
	assert_int_equal(spool.last_ticket, 9);
	answer(1, 0);
	assert_int_equal(w->released, 1);
}

static void
test_impossible_bounce(void **state)
{
	struct world *w = *state;

	add_bounce(w);
	answer(0, EINVAL);
	assert_int_equal(spool.calls, 2);
	assert_string_equal(spool.last_bounce_to, "");
	assert_int_equal(spool.last_ticket, 9);
	answer(1, 0);
	assert_int_equal(result_queue_pending(w->l), 0);
}

static void
test_last_chance(void **state)
{
	struct world *w = *state;

	add(w, 1, "451 a");
	wait_calls(w, 1);
	answer(0, ENOSPC);
	add(w, 2, NULL);
	/* teardown frees it: both are offered once more. */
	result_queue_free(w->l);
	w->l = NULL;
	assert_int_equal(spool.calls, 3);
	assert_int_equal(spool.results, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_one_operation_a_turn),
	    TEST(test_is_offered_until_it_is_stored),
	    TEST(test_busy_is_no_trouble),
	    TEST(test_large_turns_are_split),
	    TEST(test_bounce_with_its_results),
	    TEST(test_impossible_bounce),
	    TEST(test_last_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
