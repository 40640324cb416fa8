/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Speed and size of the throttle core. Decisions per second on one core, with
 * many sources in random order, for known, new and held destinations, each
 * beside a bare hash lookup of the same footprint in the same run; and resident
 * bytes per source.
 *
 * The bare lookup: a table of its own with the same slots, load and node sizes,
 * allocated in the same order; per lookup it hashes the key, probes, compares
 * the key, reads the 64 bytes of the header and all of the working set, which
 * lies beside the header. It writes nothing and decides nothing, so that the
 * processor works on several lookups at once, as it cannot on decisions.
 *
 * bench_throttle [SOURCES [DECISIONS]]; each part runs in a child of its own,
 * so that none inherits another's heap.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/hash.h"
#include "weir/throttle.h"

#define KEY_SIZE 24
#define HEADER_WORDS 8

struct bench {
	uint32_t sources, rounds;
	struct throttle_policy policy;
	char (*keys)[KEY_SIZE]; /* in random order */
	uint64_t seed;
};

static uint64_t
draw(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static size_t
resident(void)
{
	unsigned long total = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%lu %lu", &total, &pages) != 2)
		panic("/proc/self/statm");
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The i-th source's j-th destination. */
static uint64_t
destination(const char *key, uint64_t j)
{
	return hash_bytes(key, KEY_SIZE, 77 + j);
}

static void
make_key(char key[KEY_SIZE], uint32_t i)
{
	memset(key, 0, KEY_SIZE);
	snprintf(key, KEY_SIZE, "u%07u@example.org", i);
}

static void
make_keys(struct bench *b)
{
	b->keys = xcalloc(b->sources, sizeof(*b->keys));
	for (uint32_t i = 0; i < b->sources; i++)
		make_key(b->keys[i], i);
	for (uint32_t i = b->sources - 1; i > 0; i--) {
		uint32_t k = (uint32_t)(draw(&b->seed) % (i + 1));
		char tmp[KEY_SIZE];

		memcpy(tmp, b->keys[i], KEY_SIZE);
		memcpy(b->keys[i], b->keys[k], KEY_SIZE);
		memcpy(b->keys[k], tmp, KEY_SIZE);
	}
}

/* ---- the bare lookup ---- */

struct node {
	uint64_t header[HEADER_WORDS]; /* the last word: the set */
	char key[KEY_SIZE];
};

struct slot {
	uint64_t hash;
	struct node *node;
};

struct bare {
	struct slot *slots;
	uint64_t mask;
};

static void
bare_add(struct bare *t, uint32_t i, uint32_t n)
{
	struct node *node = xcalloc(1, sizeof(*node));
	uint64_t *set = xcalloc(n, sizeof(*set));
	uint64_t hash, k;

	make_key(node->key, i);
	hash = hash_bytes(node->key, KEY_SIZE, 1);
	for (uint32_t j = 0; j < n; j++)
		set[j] = destination(node->key, j);
	memcpy(&node->header[HEADER_WORDS - 1], &set, sizeof(set));
	for (k = hash & t->mask; t->slots[k].node; k = (k + 1) & t->mask)
		;
	t->slots[k] = (struct slot){hash, node};
}

static uint64_t
bare_lookup(const struct bare *t, const char *key, uint32_t n)
{
	uint64_t hash = hash_bytes(key, KEY_SIZE, 1), sum = 0;
	uint64_t i = hash & t->mask;
	const struct node *node;
	const uint64_t *set;

	while (t->slots[i].hash != hash ||
	       memcmp(t->slots[i].node->key, key, KEY_SIZE) != 0)
		i = (i + 1) & t->mask;
	node = t->slots[i].node;
	for (uint32_t k = 0; k < HEADER_WORDS; k++)
		sum += node->header[k];
	memcpy(&set, &node->header[HEADER_WORDS - 1], sizeof(set));
	for (uint32_t k = 0; k < n; k++)
		sum += set[k];
	return sum;
}

static double
bench_bare(const struct bench *b)
{
	uint64_t cap = 2048, sum = 0;
	struct bare t;
	double start;

	while (cap * 3 / 4 < b->sources)
		cap *= 2;
	t.slots = xcalloc(cap, sizeof(*t.slots));
	t.mask = cap - 1;
	for (uint32_t i = 0; i < b->sources; i++)
		bare_add(&t, i, b->policy.working_set);
	start = seconds();
	for (uint32_t round = 0; round < b->rounds; round++)
		for (uint32_t i = 0; i < b->sources; i++)
			sum +=
			    destination(b->keys[i], round) ^
			    bare_lookup(&t, b->keys[i], b->policy.working_set);
	start = seconds() - start;
	if (sum == 42)
		puts("# forty-two"); /* the sums must be computed */
	return start;
}

/* ---- the throttle ---- */

static struct throttle *
filled(const struct bench *b, uint32_t members)
{
	struct throttle *t = throttle_new(1, b->sources, NULL, NULL);
	char key[KEY_SIZE];

	for (uint32_t i = 0; i < b->sources; i++) {
		struct throttle_source *src;

		make_key(key, i);
		src = throttle_get(t, key, KEY_SIZE, &b->policy, 0);
		for (uint32_t j = 0; j < members; j++)
			throttle_learn(t, src, destination(key, j), 0);
	}
	return t;
}

static double
decide(const struct bench *b, struct throttle *t, uint64_t from,
    uint64_t spread, enum throttle_verdict want)
{
	double start = seconds();

	for (uint32_t round = 0; round < b->rounds; round++) {
		for (uint32_t i = 0; i < b->sources; i++) {
			struct throttle_reservation r;
			struct throttle_source *src = throttle_get(
			    t, b->keys[i], KEY_SIZE, &b->policy, 1);
			/* Another member in every round. */
			uint64_t j = from + (i + 7 * round) % spread;

			throttle_request(
			    t, src, destination(b->keys[i], j), i, 1, &r);
			if (r.verdict != want)
				panic("verdict %d", (int)r.verdict);
		}
		from += spread == 1;
	}
	return seconds() - start;
}

static double
bench_known(const struct bench *b)
{
	struct throttle *t = filled(b, b->policy.working_set);

	return decide(b, t, 0, b->policy.working_set, THROTTLE_PASS);
}

static double
bench_new(const struct bench *b)
{
	struct throttle *t = filled(b, b->policy.working_set);

	return decide(b, t, 1000, 1, THROTTLE_PASS);
}

static double
bench_held(const struct bench *b)
{
	struct bench held = *b;

	held.policy.burst = held.policy.initial = 0;
	return decide(&held, filled(&held, held.policy.working_set), 1000, 1,
	    THROTTLE_HOLD);
}

/* ---- each part in a child of its own ---- */

static double
in_child(const struct bench *b, double (*part)(const struct bench *))
{
	double result = 0;
	int fds[2], status;
	pid_t pid;

	fflush(stdout);
	if (pipe(fds) != 0 || (pid = fork()) < 0)
		panic("pipe or fork");
	if (pid == 0) {
		result = part(b);
		if (write(fds[1], &result, sizeof(result)) < 0)
			_exit(1);
		_exit(0);
	}
	close(fds[1]);
	if (read(fds[0], &result, sizeof(result)) != sizeof(result))
		panic("a part failed");
	close(fds[0]);
	waitpid(pid, &status, 0);
	return result;
}

static void
print_speed(const struct bench *b)
{
	double decisions = (double)b->sources * b->rounds;
	double bare = decisions / in_child(b, bench_bare);
	struct {
		const char *name;
		double (*part)(const struct bench *);
	} parts[] = {
	    {"known", bench_known}, {"new", bench_new}, {"held", bench_held}};

	printf("n=%-3u %-6s %10.0f /s\n", b->policy.working_set, "bare", bare);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		double rate = decisions / in_child(b, parts[i].part);

		printf("n=%-3u %-6s %10.0f /s  %.2f of bare, bare is %.2fx\n",
		    b->policy.working_set, parts[i].name, rate, rate / bare,
		    bare / rate);
	}
}

static double
measure_full(const struct bench *b)
{
	size_t before = resident();

	filled(b, b->policy.working_set);
	return (double)(resident() - before) / b->sources;
}

static double
measure_four(const struct bench *b)
{
	size_t before = resident();

	filled(b, 4);
	return (double)(resident() - before) / b->sources;
}

static double
measure_accounted(const struct bench *b)
{
	return (double)throttle_memory(filled(b, b->policy.working_set)) /
	       b->sources;
}

static void
print_size(const struct bench *b)
{
	printf("n=%-3u %8u sources: %.0f bytes each with a full set "
	       "(throttle_memory: %.0f), %.0f with 4 destinations\n",
	    b->policy.working_set, b->sources, in_child(b, measure_full),
	    in_child(b, measure_accounted), in_child(b, measure_four));
}

int
main(int argc, char **argv)
{
	uint32_t sources = 1000000, decisions = 4000000;
	struct bench b = {.seed = 5};

	if (argc > 1)
		sources = (uint32_t)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		decisions = (uint32_t)strtoul(argv[2], NULL, 10);
	if (sources == 0 || decisions < sources) {
		fputs("usage: bench_throttle [SOURCES [DECISIONS]]\n", stderr);
		return 2;
	}
	b.policy = throttle_profile_mail;
	b.policy.burst = b.policy.initial = 1000;
	b.policy.freeze_at = 0;
	b.sources = sources;
	b.rounds = decisions / sources;
	make_keys(&b);
	for (uint32_t n = 16; n <= 64; n *= 4) {
		b.policy.working_set = n;
		print_speed(&b);
	}
	b.policy.working_set = 64;
	print_size(&b);
	free(b.keys);
	b.policy.working_set = 16;
	b.sources = sources * 10;
	print_size(&b);
	return 0;
}
