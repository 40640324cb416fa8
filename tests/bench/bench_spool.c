/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The spool's speed: puts by number outstanding and size, release by selection,
 * claims with results, listing. CPU is that of the whole process, so it has the
 * loop's share in it.
 *
 *	bench_spool [directory [messages]]
 */
#include "config.h"

#include "os/clock.h"
#include "spool/spool.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define WALL INT64_C(1800000000000)
#define CLAIM 256

struct bench {
	struct spool *s;
	size_t size, target, started, ended, failed;
	size_t outstanding_max;
	char *text;
	bool draining;
};

static double
cpu_s(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static long
resident_kb(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	if (f == NULL || fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	if (f != NULL)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void
wait_once(struct bench *b)
{
	struct pollfd p = {.fd = spool_fd(b->s), .events = POLLIN};

	poll(&p, 1, 1000);
	spool_dispatch(b->s);
}

struct mark {
	const char *what;
	int64_t at;
	double cpu, loop_cpu;
	struct spool_stats stats;
};

static void
begin(struct bench *b, struct mark *m, const char *what)
{
	m->what = what;
	m->at = clock_mono_ns();
	m->cpu = cpu_s(RUSAGE_SELF);
	m->loop_cpu = cpu_s(RUSAGE_THREAD);
	spool_stats(b->s, &m->stats);
}

static void
end(struct bench *b, const struct mark *m, size_t n)
{
	double s = (double)(clock_mono_ns() - m->at) / 1e9;
	double cpu = cpu_s(RUSAGE_SELF) - m->cpu;
	double loop = cpu_s(RUSAGE_THREAD) - m->loop_cpu;
	struct spool_stats st;

	spool_stats(b->s, &st);
	printf("%-34s %9.0f/s  cpu %6.1f us (loop %5.1f)  group %5.1f"
	       "  rss %5ld KB\n",
	    m->what, (double)n / s, cpu * 1e6 / (double)n,
	    loop * 1e6 / (double)n,
	    (double)(st.operations - m->stats.operations) /
		(double)(st.commits - m->stats.commits),
	    resident_kb());
	fflush(stdout);
}

static void put_one(struct bench *b);

static void
on_put(void *arg, int error)
{
	struct bench *b = arg;

	b->ended++;
	b->failed += error != 0;
	if (b->started < b->target)
		put_one(b);
}

static void
put_one(struct bench *b)
{
	char source[32], address[48], name[64];
	struct spool_rcpt r = {.address = address,
	    .destination = b->started * UINT64_C(0x9e3779b97f4a7c15),
	    .state = SPOOL_HELD};
	struct spool_message m = {.source = source,
	    .policy = "default",
	    .from = "someone@example.org",
	    .subject = "a subject of the usual length",
	    .client = "192.0.2.55",
	    .message_id = name,
	    .queue_id = "4jWFs55w7zz1cQhf",
	    .helo = "client.example.org",
	    .queued_at = WALL,
	    .rcpts = &r,
	    .rcpt_count = 1};
	struct spool_body *body;

	snprintf(source, sizeof(source), "user%zu@example.org",
	    b->started * 7919 % 1000);
	snprintf(
	    address, sizeof(address), "recipient%zu@example.net", b->started);
	snprintf(
	    name, sizeof(name), "%zu.1764000000@mail.example.org", b->started);
	b->started++;
	m.id = spool_new_id(b->s, WALL + (int64_t)b->started / 20);
	body = spool_body_new(b->s, m.id);
	spool_body_write(body, b->text, b->size);
	spool_put(b->s, &m, body, on_put, b);
}

static void
bench_put(struct bench *b, size_t size, size_t outstanding, size_t n)
{
	char what[64];
	struct mark m;

	snprintf(what, sizeof(what), "put %zu bytes, %zu outstanding", size,
	    outstanding);
	b->size = size;
	b->started = b->ended = 0;
	b->target = n;
	begin(b, &m, what);
	for (size_t i = 0; i < outstanding && i < n; i++)
		put_one(b);
	while (b->ended < n)
		wait_once(b);
	end(b, &m, n);
}

struct rows {
	size_t n;
	bool done;
};

static void
on_rows(void *arg, int error, const struct spool_row *rows, size_t n, bool last)
{
	struct rows *r = arg;

	(void)rows;
	if (error != 0)
		abort();
	r->n += n;
	r->done = last;
}

static void
bench_select(struct bench *b, bool discard)
{
	struct spool_select all = {.all = true};
	struct rows r = {0};
	struct mark m;

	begin(b, &m, discard ? "discard, all" : "release, all");
	if (discard)
		spool_discard(b->s, &all, NULL, on_rows, &r);
	else
		spool_release(b->s, &all, WALL, NULL, on_rows, &r);
	while (!r.done)
		wait_once(b);
	end(b, &m, r.n);
}

struct finding {
	size_t n, steps;
	uint64_t after;
	bool step_done, end;
};

static void
on_found(void *arg, int error, const struct spool_found *found)
{
	struct finding *f = arg;

	if (error != 0)
		abort();
	f->n += found->n;
	f->after = found->after;
	f->end = found->end;
	f->step_done = true;
}

/* Nothing fits, so all n messages are looked at. */
static void
bench_find(struct bench *b, const struct spool_find *what, size_t n)
{
	struct finding f = {0};
	char text[64] = "";
	struct mark m;

	begin(b, &m, text);
	while (!f.end) {
		f.step_done = false;
		spool_find(b->s, what, f.after, 100, on_found, &f);
		while (!f.step_done)
			wait_once(b);
		f.steps++;
	}
	snprintf(text, sizeof(text), "find by %s, in %zu steps",
	    what->term != NULL ? "any" : "Message-ID", f.steps);
	end(b, &m, n);
}

static void claim(struct bench *b);

static void
on_finish(void *arg, int error)
{
	struct bench *b = arg;

	b->ended++;
	b->failed += error != 0;
	if (b->ended == b->started && !b->draining)
		claim(b);
}

static void
on_claim(void *arg, int error, struct spool_job **jobs, size_t n, int64_t due)
{
	struct bench *b = arg;

	(void)due;
	b->failed += error != 0;
	b->started += n;
	if (n == 0)
		b->draining = true;
	for (size_t i = 0; i < n; i++) {
		struct spool_result r = {.ticket = jobs[i]->m.rcpts[0].ticket,
		    .outcome = SPOOL_DELIVERED};

		spool_finish(b->s, &r, 1, NULL, STR(""), on_finish, b);
		spool_job_free(jobs[i]);
	}
}

static void
claim(struct bench *b)
{
	spool_claim(b->s, CLAIM, WALL + 1000000, on_claim, b);
}

static void
bench_drain(struct bench *b)
{
	struct mark m;

	b->started = b->ended = 0;
	b->draining = false;
	begin(b, &m, "claim 256 and finish each");
	claim(b);
	while (!b->draining || b->ended < b->started)
		wait_once(b);
	end(b, &m, b->ended);
}

static void
bench_all(struct bench *b, size_t n)
{
	static const size_t outstanding[] = {1, 8, 20, 64};
	struct rusage u;

	for (size_t i = 0; i < 4; i++) {
		bench_put(b, 1000, outstanding[i], i == 0 ? n / 10 : n / 4);
		bench_select(b, true);
	}
	bench_put(b, 1000, 20, n);
	bench_find(b, &(struct spool_find){.term = "no such thing"}, n);
	bench_find(b, &(struct spool_find){.message_id = "a@b"}, n);
	bench_select(b, false);
	bench_drain(b);
	for (size_t i = 0; i < 4; i++)
		bench_put(b, 10000, outstanding[i], n / 10);
	bench_select(b, false);
	bench_drain(b);
	bench_put(b, 300000, 20, 500);
	bench_select(b, true);
	getrusage(RUSAGE_SELF, &u);
	printf(
	    "resident at most %ld KB, %zu failures\n", u.ru_maxrss, b->failed);
}

/* The directory that was made for this run. */
static void
remove_made(const char *dir)
{
	static const char *const names[] = {"spool.db", "lock"};
	char *path;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		path = xasprintf("%s/%s", dir, names[i]);
		unlink(path);
		free(path);
	}
	path = xasprintf("%s/bodies", dir);
	rmdir(path);
	free(path);
	rmdir(dir);
}

int
main(int argc, char **argv)
{
	char made[] = "bench-spool-XXXXXX";
	const char *dir = argc > 1 ? argv[1] : mkdtemp(made);
	size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
	struct spool_settings settings = {.dir = dir,
	    .large_body_bytes = 256 << 10,
	    .body_memory_bytes = 8 << 20,
	    .outstanding_max = 4096};
	struct bench b = {.text = xmalloc(300000)};
	char err[512];
	int status = 0;

	if (dir == NULL)
		return 1;
	b.s = spool_open(&settings, NULL, err, sizeof(err), &status);
	if (b.s == NULL) {
		fprintf(stderr, "%s\n", err);
		return status;
	}
	memset(b.text, 'x', 300000);
	bench_all(&b, n);
	spool_close(b.s);
	if (dir == made)
		remove_made(dir);
	free(b.text);
	return b.failed > 0;
}
