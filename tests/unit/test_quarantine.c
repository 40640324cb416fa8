/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way out of the mail server's hold queue, over a real spool and with real
 * commands: scripts that stand for postsuper and write down what they got.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "delivery/quarantine.h"
#include "os/clock.h"
#include "pump.h"

struct world {
	char dir[64];
	struct loop *loop;
	struct spool *spool;
	struct loop_watch *watch;
	struct quarantine *q;
	struct counters counters;
	char release[160], discard[160], queue[160];
	uint64_t gone[8];
	size_t gone_count;
	bool drained, put;
	unsigned made;
};

static void
on_spool(void *arg, int64_t now)
{
	struct world *w = arg;

	(void)now;
	spool_dispatch(w->spool);
}

static void
open_spool(struct world *w)
{
	struct spool_settings s = {.dir = w->dir,
	    .large_body_bytes = 256 << 10,
	    .body_memory_bytes = 8 << 20,
	    .outstanding_max = 4096};
	char err[256];
	int status;

	w->spool = spool_open(&s, NULL, err, sizeof(err), &status);
	assert_non_null(w->spool);
	w->watch = loop_watch_new(w->loop, spool_fd(w->spool), on_spool, w);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	signal(SIGPIPE, SIG_IGN);
	memcpy(w->dir, "/tmp/weir-hold-XXXXXX", 22);
	assert_non_null(mkdtemp(w->dir));
	w->loop = loop_new();
	open_spool(w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	char *line = xasprintf("rm -rf '%s'", w->dir);

	quarantine_free(w->q);
	loop_watch_free(w->watch);
	spool_close(w->spool);
	loop_free(w->loop);
	assert_int_equal(system(line), 0);
	free(line);
	free(w);
	return 0;
}

static void
script(struct world *w, const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", w->dir, name);
	char *fresh = xasprintf("%s.new", path);
	FILE *f = fopen(fresh, "w");

	fprintf(f, "#!/bin/sh\ncd %s\n%s\n", w->dir, text);
	fclose(f);
	assert_int_equal(chmod(fresh, 0700), 0);
	assert_int_equal(rename(fresh, path), 0);
	free(fresh);
	free(path);
}

/* What a script wrote; for free(). */
static char *
wrote(struct world *w, const char *name)
{
	char *path = xasprintf("%s/%s", w->dir, name), text[16384];
	FILE *f = fopen(path, "r");
	size_t n = f != NULL ? fread(text, 1, sizeof(text), f) : 0;

	if (f != NULL)
		fclose(f);
	free(path);
	return str_dup((struct str){text, n});
}

static void
on_gone(void *arg, const uint64_t *ids, size_t n)
{
	struct world *w = arg;

	for (size_t i = 0; i < n && w->gone_count < ARRAY_LEN(w->gone); i++)
		w->gone[w->gone_count++] = ids[i];
}

static void
start(struct world *w, const char *with)
{
	static const struct quarantine_callbacks callbacks = {on_gone};
	struct mta_settings s = {.release = w->release,
	    .discard = w->discard,
	    .queue = w->queue[0] != '\0' ? w->queue : NULL,
	    .check_ms = 20,
	    .timeout_ms = 60000};

	snprintf(w->release, sizeof(w->release), "%s/release%s", w->dir, with);
	snprintf(w->discard, sizeof(w->discard), "%s/discard%s", w->dir, with);
	w->q = quarantine_new(
	    w->loop, w->spool, &s, &callbacks, w, &w->counters, NULL);
}

static void
on_put(void *arg, int error)
{
	assert_int_equal(error, 0);
	((struct world *)arg)->put = true;
}

static uint64_t
put(struct world *w, const char *mta_id, enum spool_state state)
{
	int64_t wall = clock_wall_ms();
	struct spool_rcpt to = {
	    .address = "b@example.org", .state = state, .next_try = wall};
	struct spool_message m = {.id = spool_new_id(w->spool, wall),
	    .source = "alice",
	    .policy = "default",
	    .from = "a@example.org",
	    .client = "",
	    .helo = "",
	    .whole = true,
	    .mta_id = mta_id,
	    .queued_at = wall - 100000,
	    .rcpts = &to,
	    .rcpt_count = 1};
	struct spool_body *b = spool_body_new(w->spool, m.id);

	(void)spool_body_write(b, "x", 1);
	w->put = false;
	spool_put(w->spool, &m, b, on_put, w);
	assert_true(pump_until(w->loop, pump_is_set, &w->put));
	return m.id;
}

static void
put_many(struct world *w, size_t n)
{
	char id[32];

	for (size_t i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "4jWDnr%05u", w->made++);
		put(w, id, SPOOL_RELEASED);
	}
}

static uint64_t
left(const struct world *w)
{
	struct spool_stats s;

	spool_stats(w->spool, &s);
	return s.quarantined;
}

static bool
is_empty(void *arg)
{
	return left(arg) == 0;
}

static void
test_one_run_for_many(void **state)
{
	struct world *w = *state;
	char *ids;

	script(w, "release", "echo run >>runs; cat >>ids");
	put_many(w, 200);
	start(w, "");
	quarantine_kick(w->q, loop_now(w->loop));
	assert_true(pump_until(w->loop, is_empty, w));
	ids = wrote(w, "runs");
	assert_string_equal(ids, "run\n");
	free(ids);
	ids = wrote(w, "ids");
	assert_int_equal(strlen(ids), 200 * 12);
	assert_true(str_starts(
	    str_from(ids), STR("4jWDnr00000\n4jWDnr00001\n4jWDnr00002\n")));
	free(ids);
	assert_int_equal(w->counters.v[COUNT_QUARANTINE_ENDED], 200);
}

static void
test_one_run_for_each(void **state)
{
	struct world *w = *state;
	char *ids;

	script(w, "release", "echo \"$# $2\" >>ids; cat >>ids");
	put_many(w, 3);
	start(w, " -H %i hold");
	quarantine_kick(w->q, loop_now(w->loop));
	assert_true(pump_until(w->loop, is_empty, w));
	ids = wrote(w, "ids");
	assert_string_equal(
	    ids, "3 4jWDnr00000\n3 4jWDnr00001\n3 4jWDnr00002\n");
	free(ids);
}

static void
on_failure(void *arg, const struct event_item *item)
{
	assert_int_equal(item->type, EVENT_COMMAND);
	assert_string_equal(item->option, "release_command");
	assert_non_null(strstr(item->detail, "status 1"));
	*(uint64_t *)arg += item->count;
}

/* One id that spoils a run does not keep the others. */
static void
test_what_spoils_a_run(void **state)
{
	struct world *w = *state;
	struct events *events = events_new();
	uint64_t failures = 0;
	bool all_but_one = false;

	script(w, "release",
	    "cat >ids; ! grep -q 4jWDnrPOISON ids && cat ids >>good");
	put(w, "4jWDnrPOISON", SPOOL_RELEASED);
	put_many(w, 3);
	start(w, "");
	quarantine_set_events(w->q, events);
	quarantine_kick(w->q, loop_now(w->loop));
	for (int i = 0; i < 2000 && !all_but_one; i++) {
		pump_turns(w->loop, 20);
		all_but_one = left(w) == 1;
	}
	assert_true(all_but_one);
	assert_true(w->counters.v[COUNT_QUARANTINE_FAILURES] >= 3);
	events_each(events, 0, on_failure, &failures);
	assert_int_equal(failures, w->counters.v[COUNT_QUARANTINE_FAILURES]);
	quarantine_set_events(w->q, NULL);
	events_free(events);
}

/* No command sees what only a changed database could hold. */
static void
test_hostile_ids(void **state)
{
	struct world *w = *state;
	char *ids;

	script(w, "release", "cat >>ids");
	put(w, "-d", SPOOL_RELEASED);
	put(w, "ALL", SPOOL_RELEASED);
	put(w, "../../../etc", SPOOL_RELEASED);
	put(w, "4jWDnr00000\n4jWDnr00001", SPOOL_RELEASED);
	put(w, "4jWDnr00009", SPOOL_RELEASED);
	start(w, "");
	quarantine_kick(w->q, loop_now(w->loop));
	while (left(w) > 4)
		pump_turns(w->loop, 5);
	ids = wrote(w, "ids");
	assert_string_equal(ids, "4jWDnr00009\n");
	free(ids);
}

static void
on_drained(void *arg)
{
	((struct world *)arg)->drained = true;
}

static void
test_drain_waits_for_the_command(void **state)
{
	struct world *w = *state;
	char *text;

	script(w, "release", "echo begun >out; sleep 0.3; echo done >>out");
	put_many(w, 1);
	start(w, "");
	quarantine_kick(w->q, loop_now(w->loop));
	for (;;) {
		pump_turns(w->loop, 5);
		text = wrote(w, "out");
		if (text[0] != '\0')
			break;
		free(text);
	}
	free(text);
	quarantine_drain(w->q, on_drained, w);
	assert_false(w->drained);
	assert_true(pump_until(w->loop, pump_is_set, &w->drained));
	text = wrote(w, "out");
	assert_string_equal(text, "begun\ndone\n");
	free(text);
	assert_int_equal(left(w), 0);
}

static bool
has_gone(void *arg)
{
	return ((struct world *)arg)->gone_count > 0;
}

static void
test_gone_by_other_hands(void **state)
{
	struct world *w = *state;
	uint64_t first = put(w, "4jWDnr00001", SPOOL_HELD);

	put(w, "4jWDnr00002", SPOOL_HELD);
	script(w, "queue", "echo ran >>ran");
	snprintf(w->queue, sizeof(w->queue), "%s/queue", w->dir);
	start(w, "");
	/* Shows nothing of ours, fails, or says nothing at all: nothing is
	 * forgotten. */
	for (int i = 0; i < 300; i++)
		pump_turns(w->loop, 1);
	script(w, "queue", "echo 4jWDnr00002; exit 1");
	for (int i = 0; i < 300; i++)
		pump_turns(w->loop, 1);
	assert_int_equal(w->gone_count, 0);
	script(w, "queue", "echo 4jWDnr00002");
	assert_true(pump_until(w->loop, has_gone, w));
	for (size_t i = 0; i < w->gone_count; i++)
		assert_int_equal(w->gone[i], first);
	assert_true(w->counters.v[COUNT_QUARANTINE_FAILURES] > 0);
}

static void
restart(struct world *w)
{
	quarantine_free(w->q);
	w->q = NULL;
	loop_watch_free(w->watch);
	spool_close(w->spool);
	open_spool(w);
}

/* All of it, while weir was down: the command has shown one before. Another
 * command has not. */
static void
test_gone_while_down(void **state)
{
	struct world *w = *state;
	uint64_t first = put(w, "4jWDnr00001", SPOOL_HELD);

	put(w, "4jWDnr00002", SPOOL_HELD);
	script(w, "queue", "echo 4jWDnr00002");
	snprintf(w->queue, sizeof(w->queue), "%s/queue", w->dir);
	start(w, "");
	assert_true(pump_until(w->loop, has_gone, w));
	assert_int_equal(w->gone[0], first);
	restart(w);
	w->gone_count = 0;
	script(w, "queue", "true");
	snprintf(w->queue, sizeof(w->queue), "%s/queue other", w->dir);
	start(w, "");
	for (int i = 0; i < 300; i++)
		pump_turns(w->loop, 1);
	assert_int_equal(w->gone_count, 0);
	restart(w);
	snprintf(w->queue, sizeof(w->queue), "%s/queue", w->dir);
	start(w, "");
	assert_true(pump_until(w->loop, has_gone, w));
}

static bool
has_maildrop(void *arg)
{
	return ((struct world *)arg)->counters.v[COUNT_MAILDROP_MESSAGES] == 2;
}

static bool
has_no_maildrop(void *arg)
{
	return ((struct world *)arg)->counters.v[COUNT_MAILDROP_MESSAGES] == 0;
}

/* With nothing on hold, as long as somebody is frozen. */
static void
test_maildrop_is_counted(void **state)
{
	struct world *w = *state;

	script(w, "queue",
	    "echo '{\"queue_name\": \"maildrop\", \"queue_id\": "
	    "\"A1B2C3D4\"}'\n"
	    "echo '{\"queue_name\": \"deferred\", \"queue_id\": "
	    "\"A1B2C3D5\"}'\n"
	    "echo '{\"queue_name\": \"maildrop\", \"queue_id\": "
	    "\"A1B2C3D6\"}'");
	snprintf(w->queue, sizeof(w->queue), "%s/queue", w->dir);
	w->counters.v[COUNT_FROZEN_SENDERS] = 1;
	start(w, "");
	assert_true(pump_until(w->loop, has_maildrop, w));
	w->counters.v[COUNT_FROZEN_SENDERS] = 0;
	assert_true(pump_until(w->loop, has_no_maildrop, w));
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_one_run_for_many),
	    TEST(test_one_run_for_each),
	    TEST(test_what_spoils_a_run),
	    TEST(test_hostile_ids),
	    TEST(test_drain_waits_for_the_command),
	    TEST(test_gone_by_other_hands),
	    TEST(test_gone_while_down),
	    TEST(test_maildrop_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
