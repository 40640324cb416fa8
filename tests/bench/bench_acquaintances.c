/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of acquaintances on disk, measured: what a source with 300 of them
 * takes, and the time of a look at one whose row is not in memory.
 *
 *	bench_acquaintances [sources]
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "gate/acquaintances.h"

#define EACH 300
#define LOOKS 2000
#define WALL INT64_C(1800000000000)

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct str
source_name(char out[64], uint64_t i)
{
	int n = snprintf(out, 64, "user%07u@example.org", (unsigned)i);

	return (struct str){out, (size_t)n};
}

static uint64_t
who(uint64_t source, uint64_t i)
{
	uint64_t v[2] = {source, i};

	return hash_bytes(v, sizeof(v), 1);
}

static void
pump(struct spool *s)
{
	struct pollfd p = {.fd = spool_fd(s), .events = POLLIN};

	spool_dispatch(s);
	while (!spool_is_idle(s)) {
		poll(&p, 1, 1000);
		spool_dispatch(s);
	}
}

static void
fill(struct acquaintances *a, struct spool *s, uint64_t sources)
{
	char name[64];

	for (uint64_t i = 0; i < sources; i++) {
		for (uint64_t j = 0; j < EACH; j++)
			acquaintances_add(a, source_name(name, i), who(i, j),
			    ACQUAINTANCE_WROTE_TO, WALL);
		if (i % 64 != 63 && i + 1 < sources)
			continue;
		pump(s);
		acquaintances_save(a, WALL);
		pump(s);
	}
}

static void
on_answer(struct acquaintance_question *q, enum acquaintance_answer answer)
{
	if (answer != ACQUAINTANCE_KNOWN)
		panic("forgotten");
	*(double *)q->arg = seconds();
}

static int
compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
look(struct acquaintances *a, struct spool *s, uint64_t sources)
{
	static double took[LOOKS];
	char name[64];
	size_t n = 0;

	for (uint64_t k = 0; k < LOOKS; k++) {
		uint64_t i = who(k, 7) % sources;
		double end, begin = seconds();
		struct acquaintance_question q = {.destination = who(i, 17),
		    .wall = WALL,
		    .familiar_for_ms = INT64_C(365) * 86400 * 1000,
		    .fn = on_answer,
		    .arg = &end};

		if (acquaintances_ask(a, source_name(name, i), &q) !=
		    ACQUAINTANCE_LATER)
			continue;
		pump(s);
		took[n++] = end - begin;
	}
	if (n == 0)
		return;
	qsort(took, n, sizeof(*took), compare);
	printf("look at a row on disk (%zu): median %.0f us, p99 %.0f us\n", n,
	    took[n / 2] * 1e6, took[n * 99 / 100] * 1e6);
}

static double
file_size(const char *dir, const char *file)
{
	char *path = xasprintf("%s/%s", dir, file);
	struct stat st = {0};

	(void)stat(path, &st);
	free(path);
	return (double)st.st_size;
}

int
main(int argc, char **argv)
{
	uint64_t sources = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000;
	struct acquaintances_settings settings = {
	    .bytes_max = 4 << 20, .rows_max = SIZE_MAX};
	char dir[] = "bench-acquaintances-XXXXXX", err[256];
	struct spool_settings ss = {.large_body_bytes = 1 << 18,
	    .body_memory_bytes = 1 << 20,
	    .outstanding_max = 100000,
	    .scratch = true};
	struct counters counters = {.v = {0}};
	struct acquaintances *a;
	struct spool *s;
	double size, begin = seconds();
	int status;
	char *line;

	if (mkdtemp(dir) == NULL)
		return 1;
	ss.dir = dir;
	s = spool_open(&ss, NULL, err, sizeof(err), &status);
	if (s == NULL) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	a = acquaintances_new(&settings, s, &counters, NULL);
	fill(a, s, sources);
	printf("%u sources with %u each written in %.1f s\n", (unsigned)sources,
	    EACH, seconds() - begin);
	look(a, s, sources);
	spool_close(s);
	acquaintances_free(a);
	size = file_size(dir, "spool.db") + file_size(dir, "spool.db-wal");
	printf("%.0f bytes a source; %.2f GB for 1000000\n",
	    size / (double)sources, size / (double)sources / 1000);
	line = xasprintf("rm -rf -- '%s'", dir);
	status = system(line);
	free(line);
	return status != 0;
}
