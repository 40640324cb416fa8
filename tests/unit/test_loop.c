/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop: timers that move, tasks at the end of the turn, watches, signals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <event2/event.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "net/loop.h"
#include "pump.h"

struct note {
	char text[64];
	struct loop *loop;
	struct loop_timer timer;
	struct loop_task a, b;
	struct loop_watch *watch;
	int count;
	int64_t at;
	bool set;
};

static void
note_add(struct note *n, char c)
{
	size_t len = strlen(n->text);

	assert_true(len + 1 < sizeof(n->text));
	n->text[len] = c;
	n->text[len + 1] = '\0';
}

static void
on_timer(void *arg, int64_t now)
{
	struct note *n = arg;

	n->count++;
	n->at = now;
	n->set = true;
}

static void
test_timer_fires_once_and_not_early(void **state)
{
	struct loop *l = loop_new();
	struct note n = {.loop = l};
	int64_t due = loop_now(l) + 20;

	(void)state;
	loop_timer_init(&n.timer, l, on_timer, &n);
	loop_timer_set(&n.timer, due);
	assert_true(pump_until(l, pump_is_set, &n.set));
	assert_true(n.at >= due);
	pump_turns(l, 5);
	assert_int_equal(n.count, 1);
	assert_true(n.timer.due == INT64_MAX);
	loop_timer_clear(&n.timer);
	loop_free(l);
}

static void
test_timer_moves_later_without_libevent(void **state)
{
	struct loop *l = loop_new();
	struct note n = {.loop = l};
	int64_t start = loop_now(l), armed;

	(void)state;
	loop_timer_init(&n.timer, l, on_timer, &n);
	loop_timer_set(&n.timer, start + 5);
	armed = n.timer.event_due;
	loop_timer_set(&n.timer, start + 40);
	assert_true(n.timer.event_due == armed);
	assert_true(pump_until(l, pump_is_set, &n.set));
	assert_true(n.at >= start + 40);
	/* Sooner than armed: libevent must know. */
	n.set = false;
	start = loop_now(l);
	loop_timer_set(&n.timer, start + 3600 * 1000);
	loop_timer_set(&n.timer, start + 5);
	assert_true(pump_until(l, pump_is_set, &n.set));
	assert_true(n.at < start + PUMP_LIMIT_MS);
	loop_timer_clear(&n.timer);
	loop_free(l);
}

static void
test_timer_off(void **state)
{
	struct loop *l = loop_new();
	struct note n = {.loop = l};

	(void)state;
	loop_timer_init(&n.timer, l, on_timer, &n);
	loop_timer_set(&n.timer, loop_now(l) + 1);
	loop_timer_set(&n.timer, INT64_MAX);
	pump_turns(l, 10);
	assert_int_equal(n.count, 0);
	loop_timer_set(&n.timer, loop_now(l) + 1);
	loop_timer_clear(&n.timer);
	pump_turns(l, 10);
	assert_int_equal(n.count, 0);
	/* It can be armed again, and the far future is no overflow. */
	loop_timer_set(&n.timer, INT64_MAX - 1);
	pump_turns(l, 3);
	assert_int_equal(n.count, 0);
	loop_timer_set(&n.timer, 0);
	assert_true(pump_until(l, pump_is_set, &n.set));
	loop_timer_clear(&n.timer);
	loop_free(l);
}

static void
on_task_b(void *arg, int64_t now)
{
	(void)now;
	note_add(arg, 'b');
}

static void
on_task_a(void *arg, int64_t now)
{
	struct note *n = arg;

	(void)now;
	note_add(n, 'a');
	loop_task_set(&n->b);
	loop_task_set(&n->b);
}

static void
on_timer_set_task(void *arg, int64_t now)
{
	struct note *n = arg;

	(void)now;
	loop_task_set(&n->a);
	loop_task_set(&n->a);
	note_add(n, 't');
	loop_stop(n->loop);
}

static void
test_tasks_run_at_the_end_of_the_turn(void **state)
{
	struct loop *l = loop_new();
	struct note n = {.loop = l};

	(void)state;
	loop_timer_init(&n.timer, l, on_timer_set_task, &n);
	loop_task_init(&n.a, l, on_task_a, &n);
	loop_task_init(&n.b, l, on_task_b, &n);
	loop_timer_set(&n.timer, 0);
	loop_run(l);
	assert_string_equal(n.text, "tab");
	loop_task_set(&n.a);
	loop_task_clear(&n.a);
	loop_stop(l);
	loop_run(l);
	assert_string_equal(n.text, "tab");
	loop_timer_clear(&n.timer);
	loop_free(l);
}

static void
on_task_again(void *arg, int64_t now)
{
	struct note *n = arg;

	(void)now;
	n->count++;
	loop_task_set(&n->a);
}

static void
test_a_busy_task_does_not_starve_timers(void **state)
{
	struct loop *l = loop_new();
	struct note n = {.loop = l};

	(void)state;
	loop_task_init(&n.a, l, on_task_again, &n);
	loop_task_set(&n.a);
	pump_turns(l, 3);
	assert_true(n.count > 3);
	loop_task_clear(&n.a);
	loop_free(l);
}

static void
on_task_clear_other(void *arg, int64_t now)
{
	struct note *n = arg;

	(void)now;
	note_add(n, 'a');
	loop_task_clear(&n->b);
}

static void
test_a_task_can_clear_another(void **state)
{
	struct loop *l = loop_new();
	struct note n = {.loop = l};

	(void)state;
	loop_task_init(&n.a, l, on_task_clear_other, &n);
	loop_task_init(&n.b, l, on_task_b, &n);
	loop_task_set(&n.a);
	loop_task_set(&n.b);
	loop_stop(l);
	loop_run(l);
	assert_string_equal(n.text, "a");
	loop_free(l);
}

static void
test_tasks_run_when_the_loop_is_freed(void **state)
{
	struct loop *l = loop_new();
	struct note n = {.loop = l};

	(void)state;
	loop_task_init(&n.a, l, on_task_a, &n);
	loop_task_init(&n.b, l, on_task_b, &n);
	loop_task_set_at_free(&n.a);
	pump_turns(l, 2);
	assert_string_equal(n.text, "");
	loop_free(l);
	assert_string_equal(n.text, "ab");
}

static void
on_watch(void *arg, int64_t now)
{
	struct note *n = arg;

	(void)now;
	n->set = true;
	loop_watch_free(n->watch);
	n->watch = NULL;
}

static void
test_watch_may_free_itself(void **state)
{
	struct loop *l = loop_new();
	struct note n = {.loop = l};
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	n.watch = loop_watch_new(l, fds[0], on_watch, &n);
	pump_turns(l, 3);
	assert_false(n.set);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_true(pump_until(l, pump_is_set, &n.set));
	assert_null(n.watch);
	close(fds[0]);
	close(fds[1]);
	loop_watch_free(NULL);
	loop_free(l);
}

static void
test_signal(void **state)
{
	struct loop *l = loop_new();
	struct note n = {.loop = l};
	struct loop_signal *s = loop_signal_new(l, SIGUSR1, on_timer, &n);

	(void)state;
	raise(SIGUSR1);
	assert_true(pump_until(l, pump_is_set, &n.set));
	loop_signal_free(s);
	loop_free(l);
}

static void
on_timer_check_now(void *arg, int64_t now)
{
	struct note *n = arg;

	n->set = now == loop_now(n->loop);
	usleep(3000);
	n->set = n->set && now == loop_now(n->loop);
	loop_stop(n->loop);
}

static void
test_now_stands_still_within_a_turn(void **state)
{
	struct loop *l = loop_new();
	struct note n = {.loop = l};

	(void)state;
	loop_timer_init(&n.timer, l, on_timer_check_now, &n);
	loop_timer_set(&n.timer, 0);
	loop_run(l);
	assert_true(n.set);
	loop_timer_clear(&n.timer);
	loop_free(l);
	loop_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_timer_fires_once_and_not_early),
	    cmocka_unit_test(test_timer_moves_later_without_libevent),
	    cmocka_unit_test(test_timer_off),
	    cmocka_unit_test(test_tasks_run_at_the_end_of_the_turn),
	    cmocka_unit_test(test_a_busy_task_does_not_starve_timers),
	    cmocka_unit_test(test_a_task_can_clear_another),
	    cmocka_unit_test(test_tasks_run_when_the_loop_is_freed),
	    cmocka_unit_test(test_watch_may_free_itself),
	    cmocka_unit_test(test_signal),
	    cmocka_unit_test(test_now_stands_still_within_a_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
