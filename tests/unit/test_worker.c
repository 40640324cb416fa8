/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread beside the loop: order, bound, where callbacks run, and the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>

#include "net/worker.h"
#include "pump.h"

#define JOBS 5

struct rig {
	struct loop *loop;
	struct worker *worker;
	sem_t begun, may_end;
	char
	    order[4 * JOBS + 1]; /* "r" run, "d" done, "x" dropped, and which */
	size_t n;
	pthread_mutex_t lock;
	pthread_t loop_thread;
	bool is_done;
	int last; /* is_done with it */
};

struct task {
	struct rig *r;
	char name;
	bool blocks;
	bool ran_outside, saw_signals;
};

static void
note(struct rig *r, char what, char name)
{
	pthread_mutex_lock(&r->lock);
	assert_true(r->n + 2 < sizeof(r->order));
	r->order[r->n++] = what;
	r->order[r->n++] = name;
	pthread_mutex_unlock(&r->lock);
}

static void
run(void *arg)
{
	struct task *t = arg;
	sigset_t blocked;

	t->ran_outside = !pthread_equal(pthread_self(), t->r->loop_thread);
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	t->saw_signals = !sigismember(&blocked, SIGTERM);
	note(t->r, 'r', t->name);
	if (t->blocks) {
		sem_post(&t->r->begun);
		sem_wait(&t->r->may_end);
	}
}

static void
done(void *arg, int64_t now)
{
	struct task *t = arg;

	assert_true(pthread_equal(pthread_self(), t->r->loop_thread));
	assert_true(now > 0);
	assert_true(t->ran_outside && !t->saw_signals);
	note(t->r, 'd', t->name);
	t->r->is_done = t->name == t->r->last;
}

static void
drop(void *arg)
{
	struct task *t = arg;

	note(t->r, 'x', t->name);
}

static const struct worker_job job = {.run = run, .done = done, .drop = drop};

static void
rig_open(struct rig *r, unsigned max)
{
	*r = (struct rig){.loop = loop_new(), .loop_thread = pthread_self()};
	sem_init(&r->begun, 0, 0);
	sem_init(&r->may_end, 0, 0);
	pthread_mutex_init(&r->lock, NULL);
	r->worker = worker_new(r->loop, max);
	assert_non_null(r->worker);
}

static void
rig_close(struct rig *r)
{
	worker_free(r->worker);
	loop_free(r->loop);
	sem_destroy(&r->begun);
	sem_destroy(&r->may_end);
	pthread_mutex_destroy(&r->lock);
}

static void
test_in_order(void **state)
{
	struct task tasks[JOBS];
	struct rig r;
	size_t runs = 0, dones = 0;

	(void)state;
	rig_open(&r, JOBS);
	r.last = 'a' + JOBS - 1;
	for (int i = 0; i < JOBS; i++) {
		tasks[i] = (struct task){.r = &r, .name = (char)('a' + i)};
		assert_true(worker_submit(r.worker, &job, &tasks[i]));
	}
	assert_true(pump_until(r.loop, pump_is_set, &r.is_done));
	/* Each of the two in the order of the jobs. */
	for (size_t i = 0; i < r.n; i += 2) {
		size_t *count = r.order[i] == 'r' ? &runs : &dones;

		assert_true(r.order[i] == 'r' || r.order[i] == 'd');
		assert_int_equal(r.order[i + 1], 'a' + (int)(*count)++);
	}
	assert_int_equal(runs, JOBS);
	assert_int_equal(dones, JOBS);
	rig_close(&r);
}

/* The one that runs counts, and so does one that is done but was not told. */
static void
test_bound(void **state)
{
	struct task a = {.name = 'a', .blocks = true}, b = {.name = 'b'},
		    c = {.name = 'c'};
	struct rig r;

	(void)state;
	rig_open(&r, 2);
	a.r = b.r = c.r = &r;
	r.last = 'b';
	assert_true(worker_submit(r.worker, &job, &a));
	sem_wait(&r.begun);
	assert_true(worker_submit(r.worker, &job, &b));
	assert_false(worker_submit(r.worker, &job, &c));
	sem_post(&r.may_end);
	assert_true(pump_until(r.loop, pump_is_set, &r.is_done));
	r.last = 'c';
	r.is_done = false;
	assert_true(worker_submit(r.worker, &job, &c));
	assert_true(pump_until(r.loop, pump_is_set, &r.is_done));
	rig_close(&r);
}

/* What waits is run to its end, and nobody is told. */
static void
test_end(void **state)
{
	struct task a = {.name = 'a', .blocks = true}, b = {.name = 'b'};
	struct rig r;

	(void)state;
	rig_open(&r, 2);
	a.r = b.r = &r;
	assert_true(worker_submit(r.worker, &job, &a));
	assert_true(worker_submit(r.worker, &job, &b));
	sem_wait(&r.begun);
	sem_post(&r.may_end);
	rig_close(&r);
	r.order[r.n] = '\0';
	assert_string_equal(r.order, "rarbxaxb");
	worker_free(NULL);
}

/* From within a callback: the thread takes the next one. */
static struct task *again;

static void
done_and_submit(void *arg, int64_t now)
{
	static const struct worker_job once = {
	    .run = run, .done = done, .drop = drop};
	struct task *t = arg;

	(void)now;
	assert_true(worker_submit(t->r->worker, &once, again));
}

static void
test_from_within(void **state)
{
	static const struct worker_job first = {
	    .run = run, .done = done_and_submit, .drop = drop};
	struct task a = {.name = 'a'}, b = {.name = 'b'};
	struct rig r;

	(void)state;
	rig_open(&r, 1);
	a.r = b.r = &r;
	r.last = 'b';
	again = &b;
	assert_true(worker_submit(r.worker, &first, &a));
	assert_true(pump_until(r.loop, pump_is_set, &r.is_done));
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_in_order),
	    cmocka_unit_test(test_bound),
	    cmocka_unit_test(test_end),
	    cmocka_unit_test(test_from_within),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
