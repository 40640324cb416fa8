/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The clock jumps to the next thing that is due as soon as nobody can run.
 * Threads are coroutines (ucontext); mutexes are real only to the extent that
 * one who holds it may wait for the disk.
 */
#include "sim.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define WEIR_STACK ((size_t)1 << 20)
#define STACK ((size_t)128 << 10)
#define WALL_START INT64_C(1800000000000)
/* So many changes without a step of the clock are an endless loop. */
#define SPIN_MAX 3000000

struct co {
	ucontext_t context;
	struct co *next; /* of all, or free */
	char *stack;
	size_t stack_size;
	void (*fn)(void *arg);
	void *arg;
	uint64_t generation; /* of its waits */
	bool weir, waiting, ready, woken, done;
};

struct due {
	int64_t when;
	uint64_t order, n;
	void (*fn)(void *arg, uint64_t n);
	void *arg;
};

static struct {
	int64_t now, wall_offset;
	uint64_t random, digest, order, points, kill_after, spins;
	ucontext_t scheduler;
	struct co *all, *free, *self;
	struct co *run[65536];
	size_t run_count;
	struct due *heap;
	size_t heap_count, heap_cap;
	bool stop, killed;
} sim = {.random = 1};

/* Who waits for a mutex or a condition. */
struct waiters {
	const void *what;
	struct co *co;
};
static struct waiters waiters[64];
static size_t waiting;

bool sim_verbose;

int64_t
sim_now(void)
{
	return sim.now;
}

int64_t
sim_wall_ms(void)
{
	return WALL_START + sim.wall_offset + sim.now / 1000;
}

void
sim_step_wall(int64_t ms)
{
	sim.wall_offset += ms;
}

/* splitmix64 */
uint64_t
sim_random(void)
{
	uint64_t z = (sim.random += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void
sim_mix(uint64_t v)
{
	sim.digest = (sim.digest ^ v) * UINT64_C(0x100000001b3);
	sim.digest ^= sim.digest >> 29;
}

uint64_t
sim_digest(void)
{
	return sim.digest;
}

void sim_seed(uint64_t seed);
void
sim_seed(uint64_t seed)
{
	sim.random = seed * 2 + 1;
	(void)sim_random();
}

uint64_t
sim_below(uint64_t n)
{
	return n > 0 ? sim_random() % n : 0;
}

bool
sim_chance(unsigned per_mille)
{
	return sim_below(1000) < per_mille;
}

int64_t
sim_span(int64_t least, int64_t most)
{
	return least + (int64_t)sim_below((uint64_t)(most - least + 1));
}

/* A sum of halves is near enough to an exponential, and the same on every
 * machine. */
int64_t
sim_gap(int64_t mean)
{
	int64_t t = 0;

	while (sim_chance(500) && t < 16 * mean)
		t += mean;
	return t + sim_span(0, mean);
}

void
sim_say(const char *fmt, ...)
{
	va_list ap;

	if (!sim_verbose)
		return;
	printf("%12.6f ", (double)sim.now / 1e6);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void
sim_fail(const char *fmt, ...)
{
	va_list ap;

	printf("FAIL at %.6f s: ", (double)sim.now / 1e6);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	_exit(1);
}

/* ---- what is due ---- */

static bool
is_before(const struct due *a, const struct due *b)
{
	return a->when != b->when ? a->when < b->when : a->order < b->order;
}

void
sim_at(int64_t when, void (*fn)(void *arg, uint64_t n), void *arg, uint64_t n)
{
	struct due d = {
	    when > sim.now ? when : sim.now, sim.order++, n, fn, arg};
	size_t i = sim.heap_count++;

	if (i == sim.heap_cap) {
		sim.heap_cap = i > 0 ? 2 * i : 1024;
		sim.heap = xrealloc(sim.heap, sim.heap_cap * sizeof(d));
	}
	for (; i > 0 && is_before(&d, &sim.heap[(i - 1) / 2]); i = (i - 1) / 2)
		sim.heap[i] = sim.heap[(i - 1) / 2];
	sim.heap[i] = d;
}

static struct due
take_due(void)
{
	struct due top = sim.heap[0], d = sim.heap[--sim.heap_count];
	size_t i = 0, n = sim.heap_count;

	for (;;) {
		size_t k = 2 * i + 1;

		if (k + 1 < n && is_before(&sim.heap[k + 1], &sim.heap[k]))
			k++;
		if (k >= n || !is_before(&sim.heap[k], &d))
			break;
		sim.heap[i] = sim.heap[k];
		i = k;
	}
	sim.heap[i] = d;
	return top;
}

/* ---- coroutines ---- */

static void
make_ready(struct co *c)
{
	if (c->ready || c->done)
		return;
	if (sim.run_count == ARRAY_LEN(sim.run))
		panic("sim: too many coroutines");
	c->ready = true;
	sim.run[sim.run_count++] = c;
}

static void
enter(void)
{
	struct co *c = sim.self;

	c->fn(c->arg);
	c->done = true;
	swapcontext(&c->context, &sim.scheduler);
}

static void
make_context(struct co *c)
{
	if (getcontext(&c->context) != 0)
		panic("sim: getcontext");
	c->context.uc_stack.ss_sp = c->stack;
	c->context.uc_stack.ss_size = c->stack_size;
	c->context.uc_link = NULL;
	makecontext(&c->context, enter, 0);
}

struct co *
co_start(void (*fn)(void *arg), void *arg, bool weir)
{
	size_t size = weir ? WEIR_STACK : STACK;
	struct co **at = &sim.free, *c;

	while (*at != NULL && (*at)->stack_size != size)
		at = &(*at)->next;
	c = *at;
	if (c != NULL) {
		*at = c->next;
	} else {
		c = xcalloc(1, sizeof(*c));
		c->stack_size = size;
		c->stack = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (c->stack == MAP_FAILED)
			panic("sim: no stack");
	}
	c->next = sim.all;
	sim.all = c;
	c->fn = fn;
	c->arg = arg;
	c->weir = weir;
	c->waiting = c->ready = c->woken = c->done = false;
	c->generation++;
	make_context(c);
	make_ready(c);
	return c;
}

struct co *
co_self(void)
{
	return sim.self;
}

bool
co_is_done(const struct co *c)
{
	return c->done;
}

static void
leave(void)
{
	swapcontext(&sim.self->context, &sim.scheduler);
}

static void
on_timeout(void *arg, uint64_t generation)
{
	struct co *c = arg;

	if (c->generation == generation && c->waiting)
		make_ready(c);
}

bool
co_wait(int64_t until)
{
	struct co *c = sim.self;

	if (c == NULL)
		panic("sim: nobody waits");
	c->generation++;
	c->waiting = true;
	c->woken = false;
	if (until != INT64_MAX)
		sim_at(until, on_timeout, c, c->generation);
	leave();
	c->waiting = false;
	c->generation++;
	return c->woken;
}

void
co_wake(struct co *c)
{
	if (!c->waiting)
		return;
	c->woken = true;
	make_ready(c);
}

void
co_sleep(int64_t us)
{
	int64_t until = sim.now + us;

	/* Nothing but the time wakes it. */
	while (sim.now < until)
		(void)co_wait(until);
}

/* Of coroutines that have ended; those of weir's alone: all of them. */
static void
reap(bool weir)
{
	struct co **at = &sim.all;

	while (*at != NULL) {
		struct co *c = *at;

		if (!c->done && !(weir && c->weir)) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		for (size_t i = 0; i < sim.run_count; i++) {
			if (sim.run[i] == c)
				sim.run[i--] = sim.run[--sim.run_count];
		}
		c->generation++;
		c->done = true;
		c->waiting = c->ready = false;
		c->next = sim.free;
		sim.free = c;
	}
}

void
sim_forget_weir(void)
{
	sim.kill_after = 0;
	sim.killed = false;
	memset(waiters, 0, sizeof(waiters));
	waiting = 0;
	reap(true);
}

void
sim_kill_after(uint64_t points)
{
	sim.kill_after = points;
}

uint64_t
sim_points(void)
{
	return sim.points;
}

void
sim_point(void)
{
	if (sim.self == NULL || !sim.self->weir)
		return;
	sim.points++;
	if (sim.kill_after == 0 || --sim.kill_after > 0)
		return;
	sim.killed = true;
	leave();
	panic("sim: killed, and goes on");
}

void
sim_stop(void)
{
	sim.stop = true;
}

static void
run_one(void)
{
	size_t i = sim_below(sim.run_count);
	struct co *c = sim.run[i];

	sim.run[i] = sim.run[--sim.run_count];
	c->ready = false;
	sim.self = c;
	if (swapcontext(&sim.scheduler, &c->context) != 0)
		panic("sim: swapcontext");
	sim.self = NULL;
	if (++sim.spins > SPIN_MAX)
		sim_fail("an endless loop: nobody waits");
	/* Threads of weir that ended are still joined. */
	if (c->done && !c->weir)
		reap(false);
}

bool
sim_run(void)
{
	sim.stop = false;
	while (!sim.stop && !sim.killed) {
		struct due d;

		if (sim.run_count > 0) {
			run_one();
			continue;
		}
		if (sim.heap_count == 0)
			sim_fail("nothing will ever happen again");
		d = take_due();
		if (d.when > sim.now)
			sim.spins = 0;
		sim.now = d.when;
		d.fn(d.arg, d.n);
	}
	return sim.killed;
}

/* ---- in the place of libc ---- */

int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
ssize_t __wrap_getrandom(void *p, size_t n, unsigned flags);
int __wrap_malloc_trim(size_t pad);

int
__wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t us = sim.now + SECOND_US;

	if (id == CLOCK_REALTIME)
		us = sim_wall_ms() * 1000;
	ts->tv_sec = us / SECOND_US;
	ts->tv_nsec = us % SECOND_US * 1000;
	return 0;
}

ssize_t
__wrap_getrandom(void *p, size_t n, unsigned flags)
{
	(void)flags;
	for (size_t i = 0; i < n; i++)
		((unsigned char *)p)[i] = (unsigned char)sim_random();
	return (ssize_t)n;
}

int
__wrap_malloc_trim(size_t pad)
{
	(void)pad;
	return 0;
}

/* ---- threads ---- */

struct thread {
	struct co *co;
	void *(*fn)(void *arg);
	void *arg;
};

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr,
    void *(*fn)(void *arg), void *arg);
int __wrap_pthread_join(pthread_t thread, void **out);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_timedwait(
    pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *ts);
int __wrap_pthread_cond_signal(pthread_cond_t *c);

static void
thread_main(void *arg)
{
	struct thread *t = arg;

	t->fn(t->arg);
}

int
__wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr,
    void *(*fn)(void *arg), void *arg)
{
	struct thread *t = xcalloc(1, sizeof(*t));

	(void)attr;
	t->fn = fn;
	t->arg = arg;
	t->co = co_start(thread_main, t, true);
	*out = (pthread_t)(uintptr_t)t;
	return 0;
}

int
__wrap_pthread_join(pthread_t thread, void **out)
{
	struct thread *t = (struct thread *)(uintptr_t)thread;

	(void)out;
	while (!t->co->done)
		co_sleep(100);
	free(t);
	return 0;
}

static bool
wait_for(const void *what, int64_t until)
{
	size_t i = 0;
	bool woken;

	while (i < ARRAY_LEN(waiters) && waiters[i].what != NULL)
		i++;
	if (i == ARRAY_LEN(waiters))
		panic("sim: too many wait");
	waiters[i] = (struct waiters){what, sim.self};
	waiting++;
	woken = co_wait(until);
	waiting--;
	waiters[i] = (struct waiters){NULL, NULL};
	return woken;
}

static void
wake(const void *what)
{
	for (size_t i = 0; waiting > 0 && i < ARRAY_LEN(waiters); i++) {
		if (waiters[i].what == what)
			co_wake(waiters[i].co);
	}
}

/* The first int of a mutex of ours says whether it is held. */
int
__wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
	int *held = (int *)(void *)m;

	while (*held != 0)
		(void)wait_for(m, INT64_MAX);
	*held = 1;
	return 0;
}

int
__wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
	*(int *)(void *)m = 0;
	wake(m);
	return 0;
}

int
__wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	__wrap_pthread_mutex_unlock(m);
	(void)wait_for(c, INT64_MAX);
	return __wrap_pthread_mutex_lock(m);
}

int
__wrap_pthread_cond_timedwait(
    pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *ts)
{
	int64_t until = (ts->tv_sec - 1) * SECOND_US + ts->tv_nsec / 1000;
	bool woken;

	__wrap_pthread_mutex_unlock(m);
	woken = sim.now < until && wait_for(c, until);
	__wrap_pthread_mutex_lock(m);
	return woken ? 0 : ETIMEDOUT;
}

int
__wrap_pthread_cond_signal(pthread_cond_t *c)
{
	wake(c);
	return 0;
}
