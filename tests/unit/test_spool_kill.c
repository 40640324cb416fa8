/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A child puts and discards, and tells the parent what is done; the parent
 * kills it at any moment and looks at what is left. And two that work at once:
 * what is discarded is never claimed.
 */
#include "spool_kit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- SIGKILL ---- */

/* What the child told. It discards what has an odd size, so only that may be
 * gone without having been told. */
struct report {
	uint64_t id;
	int32_t size; /* 0: discarded */
};

struct child {
	struct kit k;
	int pipe;
	uint64_t ids[8];
	int32_t sizes[8];
	unsigned round;
};

struct child_put {
	struct child *c;
	unsigned slot;
};

static void child_next(struct child *c, struct child_put *p);

/* Tells the parent what is safe, as a reply to a client would. */
static void
report(struct child *c, uint64_t id, int32_t size)
{
	struct report r = {id, size};

	if (write(c->pipe, &r, sizeof(r)) != sizeof(r))
		_exit(3);
}

static void
on_child_discard(
    void *arg, int error, const struct spool_row *rows, size_t n, bool last)
{
	struct child_put *p = arg;

	(void)rows;
	(void)last;
	if (error != 0 || n != 1)
		_exit(4);
	report(p->c, p->c->ids[p->slot], 0);
	child_next(p->c, p);
}

static void
on_child_put(void *arg, int error)
{
	struct child_put *p = arg;
	struct spool_select one = {.ids = &p->c->ids[p->slot], .id_count = 1};

	if (error != 0)
		_exit(5);
	report(p->c, p->c->ids[p->slot], p->c->sizes[p->slot]);
	if (p->c->sizes[p->slot] % 2 == 1)
		spool_discard(p->c->k.spool, &one, NULL, on_child_discard, p);
	else
		child_next(p->c, p);
}

static void
child_next(struct child *c, struct child_put *p)
{
	struct kit_message km;
	struct spool_body *b;
	char *text;

	c->round++;
	kit_message(&c->k, &km, 1, SPOOL_HELD);
	c->ids[p->slot] = km.m.id;
	c->sizes[p->slot] = c->round % 10 == 0 ? 70000 : 1000;
	c->sizes[p->slot] += c->round % 3 == 0;
	text = kit_text(km.m.id, (size_t)c->sizes[p->slot]);
	b = spool_body_new(c->k.spool, km.m.id);
	(void)spool_body_write(b, text, (size_t)c->sizes[p->slot]);
	free(text);
	spool_put(c->k.spool, &km.m, b, on_child_put, p);
}

static _Noreturn void
child_main(struct kit *k, int fd)
{
	struct child c = {.k = *k, .pipe = fd};
	struct child_put puts[8];
	struct pollfd p = {.events = POLLIN};

	c.k.settings.dir = c.k.dir;
	c.k.spool = spool_open(
	    &c.k.settings, NULL, c.k.err, sizeof(c.k.err), &c.k.status);
	if (c.k.spool == NULL)
		_exit(6);
	for (unsigned i = 0; i < 8; i++) {
		puts[i] = (struct child_put){&c, i};
		child_next(&c, &puts[i]);
	}
	p.fd = spool_fd(c.k.spool);
	for (;;) {
		poll(&p, 1, 1000);
		spool_dispatch(c.k.spool);
	}
}

static unsigned
check_survivors(struct kit *k, int fd)
{
	struct report r;
	unsigned n = 0;
	uint64_t gone[4096];
	struct report kept[4096];
	size_t gones = 0, kepts = 0;

	while (read(fd, &r, sizeof(r)) == sizeof(r) && kepts < 4096) {
		n++;
		if (r.size == 0)
			gone[gones++] = r.id;
		else
			kept[kepts++] = r;
	}
	for (size_t i = 0; i < kepts; i++) {
		bool is_gone = false;
		char *text;
		size_t size;
		int error;

		for (size_t j = 0; j < gones; j++)
			is_gone |= gone[j] == kept[i].id;
		text = kit_body(k, kept[i].id, &size, &error);
		if (is_gone) {
			assert_int_equal(ENOENT, error);
		} else if (kept[i].size % 2 == 0 || error == 0) {
			char *want = kit_text(kept[i].id, (size_t)kept[i].size);

			assert_int_equal(0, error);

			assert_int_equal(kept[i].size, size);
			assert_memory_equal(want, text, size);
			free(want);
		}
		free(text);
	}
	return n;
}

static void
test_kill(void **state)
{
	struct kit k;
	unsigned reported = 0;

	(void)state;
	kit_init(&k);
	k.settings.large_body_bytes = 64 << 10;
	srandom(12345);
	/* More where a child is slow to begin: under TSan, on a busy machine.
	 */
	for (int round = 0; round < 60 || (reported <= 100 && round < 1000);
	     round++) {
		int fds[2], status;
		pid_t pid;

		assert_int_equal(0, pipe(fds));
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(fds[0]);
			child_main(&k, fds[1]);
		}
		close(fds[1]);
		poll(NULL, 0, (int)(random() % 40) + 1);
		kill(pid, SIGKILL);
		assert_int_equal(pid, waitpid(pid, &status, 0));
		assert_true(WIFSIGNALED(status));
		kit_open(&k);
		reported += check_survivors(&k, fds[0]);
		kit_close(&k);
		close(fds[0]);
	}
	assert_true(reported > 100);
	kit_clear(&k);
}

/* ---- claims against discards ---- */

struct race {
	struct kit k;
	unsigned *seen; /* by ticket's order */
	uint64_t first[2000];
	size_t n, claimed, discarded, under_way;
};

static void
mark_seen(struct race *r, uint64_t id)
{
	for (size_t i = 0; i < r->n; i++) {
		if (r->first[i] == id) {
			assert_int_equal(0, r->seen[i]++);
			return;
		}
	}
	fail_msg("no such message");
}

static void
on_race_rows(
    void *arg, int error, const struct spool_row *rows, size_t n, bool last)
{
	struct race *r = arg;

	assert_int_equal(0, error);
	for (size_t i = 0; i < n; i++)
		mark_seen(r, SPOOL_ID(rows[i].ticket));
	r->discarded += n;
	r->under_way -= last;
}

static void
on_race_claim(
    void *arg, int error, struct spool_job **jobs, size_t n, int64_t due)
{
	struct race *r = arg;

	(void)due;
	assert_int_equal(0, error);
	for (size_t i = 0; i < n; i++) {
		mark_seen(r, jobs[i]->m.id);
		spool_job_free(jobs[i]);
	}
	r->claimed += n;
	r->under_way--;
}

static void
race_step(struct race *r, size_t i)
{
	struct spool_select some = {.ids = &r->first[i * 7 % r->n],
	    .id_count = r->n - i * 7 % r->n < 5 ? 1 : 5};

	spool_claim(r->k.spool, 3, r->k.wall, on_race_claim, r);
	spool_discard(r->k.spool, &some, NULL, on_race_rows, r);
	r->under_way += 2;
}

static void
test_claim_against_discard(void **state)
{
	struct race r = {.n = 1000};
	struct pollfd p = {.events = POLLIN};

	(void)state;
	kit_init(&r.k);
	r.k.settings.dir = r.k.dir;
	kit_open(&r.k);
	r.seen = xcalloc(r.n, sizeof(*r.seen));
	for (size_t i = 0; i < r.n; i++)
		r.first[i] = kit_add(&r.k, 1, SPOOL_RELEASED, 10, NULL);
	p.fd = spool_fd(r.k.spool);
	for (size_t i = 0; i < 2 * r.n; i++) {
		race_step(&r, i);
		while (r.under_way > 40) {
			poll(&p, 1, 1000);
			spool_dispatch(r.k.spool);
		}
	}
	while (r.under_way > 0) {
		poll(&p, 1, 1000);
		spool_dispatch(r.k.spool);
	}
	assert_int_equal(r.n, r.claimed + r.discarded);
	assert_true(r.claimed > 0 && r.discarded > 0);
	free(r.seen);
	kit_clear(&r.k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kill),
	    cmocka_unit_test(test_claim_against_discard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
