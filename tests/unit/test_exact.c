/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A gate on virtual time, with several transactions at once, and its log played
 * again: the same verdicts. The gate writes to stderr, which is a file here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/exact.h"
#include "replay/input.h"
#include "replay/scratch.h"
#include "replay/setup.h"

#define OPEN 12
#define STEPS 6000

static struct err err;

static struct {
	char *dir, config[200], log[200];
	uint64_t random;
	uint64_t verdicts[3];
} c;

static uint32_t
below(uint32_t n)
{
	c.random =
	    c.random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(((c.random >> 33) * n) >> 31);
}

static void
configure(const char *policy)
{
	FILE *f = fopen(c.config, "w");

	assert_non_null(f);
	fprintf(f,
	    "hostname = \"test.test\"\nnext_hop = \"127.0.0.1:25\"\n"
	    "listen \"x\" { address = \"127.0.0.1:2525\" }\n"
	    "internal_domains = {\"own.test\"}\n"
	    "policy \"default\" { %s }\n",
	    policy);
	assert_int_equal(fclose(f), 0);
}

static void
on_delivered(void *arg, uint64_t label)
{
	(void)arg;
	(void)label;
}

static void
on_freeze(void *arg, const struct gate_freeze *freeze)
{
	(void)arg;
	(void)freeze;
}

static const struct world_callbacks callbacks = {
    .on_delivered = on_delivered,
    .on_freeze = on_freeze,
};

static struct world *
make_world(struct setup *setup, struct log *log)
{
	struct world *w;
	int status = 0;

	assert_int_equal(setup_load(setup, c.config, NULL, &err), 0);
	setup->world.log = log;
	w = world_new(&setup->world, &callbacks, NULL, &err, &status);
	if (w == NULL)
		fail_msg("%s", err.text);
	return w;
}

static struct world_txn *
begin(struct world *w)
{
	static const char *const users[] = {
	    "ann", "bob", "o'neil \"x\"", "dan"};
	struct gate_facts facts = {
	    .user = str_from(users[below(ARRAY_LEN(users))]),
	    .sender = STR("somebody@own.test"),
	    .helo = STR("pc"),
	    .client = {IP_V4, {192, 0, 2, (uint8_t)(1 + below(3))}},
	    .teaches = true,
	};

	return world_begin(w, &facts);
}

static void
ask(struct world *w, struct world_txn *t)
{
	static const struct gate_reply unknown = {550, "5.1.1", true};
	char to[64];
	enum throttle_verdict v;

	snprintf(to, sizeof(to), "r%u@%s", (unsigned)below(40),
	    below(4) == 0 ? "own.test" : "example.net");
	v = world_ask_recipient(w, t, str_from(to), false);
	c.verdicts[v]++;
	if (v == THROTTLE_PASS && below(10) == 0)
		world_drop(w, t, below(2) == 0 ? &unknown : NULL, false);
}

static void
end(struct world *w, struct world_txn *t)
{
	uint32_t n = below(20);

	if (n < 3)
		world_end(w, t, WORLD_CANCEL);
	else if (n < 5)
		world_end(w, t, WORLD_DOUBT);
	else if (n < 7)
		world_end(w, t, WORLD_DEFER);
	else if (world_ask_sender(w, t) == THROTTLE_REFUSE ||
		 world_ask_secure(w, t) == THROTTLE_REFUSE)
		world_end(w, t, WORLD_CANCEL);
	else
		world_end(w, t, WORLD_COMMIT);
}

/* At any moment one of several transactions takes its next step. */
static void
play(struct world *w)
{
	struct world_txn *open[OPEN] = {NULL};

	for (int i = 0; i < STEPS; i++) {
		struct world_txn **t = &open[below(OPEN)];

		world_advance(w, world_now(w) + below(400));
		if (*t == NULL) {
			*t = begin(w);
			(void)!world_ask_sender(w, *t);
		} else if (below(3) > 0) {
			ask(w, *t);
		} else {
			end(w, *t);
			*t = NULL;
		}
	}
	for (int i = 0; i < OPEN; i++) {
		if (open[i] != NULL)
			end(w, open[i]);
	}
}

static void
record(uint64_t seed)
{
	int kept = dup(STDERR_FILENO);
	int fd = open(c.log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct log *log = log_new(LOG_TARGET_STDERR, LOG_LEVEL_DEBUG);
	struct setup setup;
	struct world *w;

	assert_true(kept >= 0 && fd >= 0);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	c.random = seed;
	w = make_world(&setup, log);
	play(w);
	world_free(w);
	setup_clear(&setup);
	log_free(log);
	assert_true(dup2(kept, STDERR_FILENO) >= 0);
	close(kept);
	close(fd);
}

static struct exact_stats
again(void)
{
	struct setup setup;
	struct world *w = make_world(&setup, NULL);
	struct exact *e = exact_new(w);
	struct exact_stats s;

	if (input_read(c.log, exact_add_line, e, &err) != 0)
		fail_msg("%s", err.text);
	s = *exact_stats(e);
	exact_free(e);
	world_free(w);
	setup_clear(&setup);
	return s;
}

#define FULL                                                           \
	"working_set = 8  interval = \"5s\"  burst = 4 freeze_at = 0 " \
	"queue_max = 10  limit = {\"200/10m\", \"900/1h\"}"
#define FREEZES                                                          \
	"working_set = 4  interval = \"10s\"  burst = 4 freeze_at = 25 " \
	"limit = {\"300/10m\"} stranger_messages = \"400/1h\" multi = whole"

static void
test_virtual_time(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct exact_stats s;

		configure(seed % 2 == 0 ? FREEZES : FULL);
		memset(c.verdicts, 0, sizeof(c.verdicts));
		record(seed);
		printf("# seed %u: %u pass, %u hold, %u refused\n",
		    (unsigned)seed, (unsigned)c.verdicts[0],
		    (unsigned)c.verdicts[1], (unsigned)c.verdicts[2]);
		/* All kinds of verdicts were there. */
		assert_true(c.verdicts[THROTTLE_PASS] > 100);
		assert_true(c.verdicts[THROTTLE_HOLD] > 100);
		assert_true(c.verdicts[THROTTLE_REFUSE] > 10);
		s = again();
		if (s.different > 0)
			fail_msg("seed %u: %s", (unsigned)seed, s.shown[0]);
		assert_true(s.verdicts > c.verdicts[0] + c.verdicts[1]);
		assert_int_equal(s.unknown, 0);
	}
}

/* It can tell. */
static void
test_another_policy(void **state)
{
	struct exact_stats s;

	(void)state;
	configure(FULL);
	record(5);
	configure("working_set = 8  interval = \"5s\"  burst = 5");
	s = again();
	assert_true(s.different > 0);
	assert_non_null(strstr(s.shown[0], "there, "));
}

static void
test_lines(void **state)
{
	static const char *const bad[] = {
	    "debug gate begin txn=1 now_ms=-1",
	    "debug gate begin txn=x now_ms=1",
	    "debug gate begin txn=1",
	    "debug gate begin txn=0 now_ms=1",
	    "debug gate begin txn=1 now_ms=1 client=x",
	    "debug gate begin txn=1 now_ms=99999999999999999999",
	};
	static const char *const others[] = {
	    "",
	    "debug gate begin",
	    "debug gate learn txn=1 now_ms=1",
	    "info gate begin txn=1 now_ms=1",
	    "debug gate verdict txn=7 now_ms=1 verdict=pass to=a@b",
	};
	struct setup setup;
	struct world *w;
	struct exact *e;

	(void)state;
	configure("burst = 5");
	w = make_world(&setup, NULL);
	e = exact_new(w);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_true(exact_add_line(e, str_from(others[i]), &err));
	assert_int_equal(exact_stats(e)->unknown, 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(exact_add_line(e, str_from(bad[i]), &err));
	/* A daemon that starts again begins at 1; its clock may, too. */
	for (int i = 0; i < 2; i++) {
		assert_true(exact_add_line(e,
		    STR("x debug gate begin txn=1 now_ms=5 user=a from=\"b c\" "
			"helo=d client=192.0.2.1 flags=lt"),
		    &err));
	}
	assert_int_equal(exact_stats(e)->restarts, 1);
	assert_int_equal(exact_stats(e)->transactions, 2);
	exact_free(e);
	world_free(w);
	setup_clear(&setup);
}

static int
set_up(void **state)
{
	(void)state;
	c.dir = scratch_make(&err);
	if (c.dir == NULL)
		return 1;
	snprintf(c.config, sizeof(c.config), "%s/weir.conf", c.dir);
	snprintf(c.log, sizeof(c.log), "%s/log", c.dir);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	scratch_remove(c.dir);
	free(c.dir);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_virtual_time),
	    cmocka_unit_test(test_another_policy),
	    cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests_name("exact", tests, set_up, tear_down);
}
