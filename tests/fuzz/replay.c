/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fuzz target as a test, where libFuzzer is not: runs it over its corpus and
 * then over RUNS (or fuzz_runs) inputs that are made from the corpus and the
 * dictionary, the same ones each time. Speaks TAP. The target fails by dying:
 * the input it died of is left in <target>.crash, and `<target> FILE...` runs
 * just that.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/base.h"
#include "fuzz.h"
#include "mutate.h"

#define RUNS 100000
#define HANGS_S 60 /* of CPU for a part of the test, whatever else runs */

/* The sanitizers' own, where they are linked. */
void __sanitizer_set_death_callback(void (*)(void)) __attribute__((weak));

/* What a signal handler must know: a handler takes no argument. */
static struct {
	const char *target;
	const uint8_t *p;
	size_t n;
	char path[256];
} now;

/* Only calls that a signal handler may make. */
static void
keep_input(void)
{
	int fd = open(now.path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	static const char text[] = "not ok - died; the input is in ";

	if (fd < 0 || write(fd, now.p, now.n) < 0 || close(fd) != 0 ||
	    write(STDOUT_FILENO, text, sizeof(text) - 1) < 0 ||
	    write(STDOUT_FILENO, now.path, strlen(now.path)) < 0 ||
	    write(STDOUT_FILENO, "\n", 1) < 0)
		_exit(99);
}

/* Returns to what the signal does by itself: SA_RESETHAND. */
static void
on_fatal(int sig)
{
	keep_input();
	raise(sig);
}

static void
watch_for_death(void)
{
	static const int fatal[] = {SIGABRT, SIGPROF, SIGSEGV, SIGBUS, SIGFPE};
	struct sigaction sa = {
	    .sa_handler = on_fatal, .sa_flags = (int)SA_RESETHAND};

	snprintf(now.path, sizeof(now.path), "%s.crash", now.target);
	/* A sanitizer reports first and exits without a signal. */
	if (__sanitizer_set_death_callback != NULL)
		__sanitizer_set_death_callback(keep_input);
	for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
		if (__sanitizer_set_death_callback == NULL ||
		    fatal[i] == SIGABRT || fatal[i] == SIGPROF)
			sigaction(fatal[i], &sa, NULL);
}

static void
run(const uint8_t *p, size_t n)
{
	uint8_t *copy = (uint8_t *)fuzz_copy(p, n);

	now.p = copy;
	now.n = n;
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static int
run_files(char **paths)
{
	struct fuzz_blob file;

	for (; *paths != NULL; paths++) {
		if (!fuzz_read_file(*paths, &file)) {
			fprintf(stderr, "%s: %s\n", *paths, strerror(errno));
			return 1;
		}
		run(file.p, file.n);
		free(file.p);
		free(file.name);
		printf("%s: done\n", *paths);
	}
	return 0;
}

static void
set_watchdog(long seconds)
{
	struct itimerval it = {.it_value = {.tv_sec = seconds}};

	(void)setitimer(ITIMER_PROF, &it, NULL);
}

static void
run_seeds(const struct fuzz_blobs *seeds)
{
	set_watchdog(HANGS_S);
	for (size_t i = 0; i < seeds->n; i++)
		run(seeds->v[i].p, seeds->v[i].n);
	printf("ok 1 - %s: corpus of %zu\n", now.target, seeds->n);
}

static void
run_mutations(struct fuzz_mutator *m)
{
	static uint8_t input[FUZZ_INPUT_MAX];

	const unsigned runs = &fuzz_runs != NULL ? fuzz_runs : RUNS;

	set_watchdog(HANGS_S);
	for (unsigned i = 0; i < runs; i++)
		run(input, fuzz_mutate(m, input));
	set_watchdog(0);
	printf("ok 2 - %s: %u inputs near it\n", now.target, runs);
}

static int
run_test(void)
{
	struct fuzz_mutator m = {.random = 1};
	char *corpus =
	    xasprintf("%s/tests/fuzz/corpus/%s", WEIR_SRCDIR, now.target);
	char *words =
	    xasprintf("%s/tests/fuzz/%s.dict", WEIR_SRCDIR, now.target);
	bool ok = fuzz_read_corpus(corpus, &m.seeds) &&
		  fuzz_read_words(words, &m.words);

	printf("1..2\n");
	if (!ok) {
		printf("not ok 1 - cannot read %s, %s\n", corpus, words);
	} else {
		run_seeds(&m.seeds);
		run_mutations(&m);
	}
	fuzz_blobs_clear(&m.seeds);
	fuzz_blobs_clear(&m.words);
	free(corpus);
	free(words);
	return ok ? 0 : 1;
}

int
main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	now.target = program_invocation_short_name;
	watch_for_death();
	return argc > 1 ? run_files(argv + 1) : run_test();
}
