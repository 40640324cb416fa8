/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A freeze in the mail server's own queue, over a real spool and with a mail
 * server of files: a message is a file named by its id in one of the
 * directories active, deferred and hold, and scripts stand for postsuper and
 * postqueue.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "delivery/mta_hold.h"
#include "os/clock.h"
#include "pump.h"

#define SETTLE 100

struct world {
	char dir[64];
	struct loop *loop;
	struct spool *spool;
	struct loop_watch *watch;
	struct let_go *let_go;
	struct mta_hold *h;
	struct counters counters;
	bool set, counted;
	uint64_t mta_held;
	const char *with; /* behind the commands' paths */
	/* What a wait is for. */
	const char *id, *queue;
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

static void
shell(const struct world *w, const char *text)
{
	char *line = xasprintf("cd %s && %s", w->dir, text);

	assert_int_equal(system(line), 0);
	free(line);
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

#define HOLD                                                        \
	"echo run >>hold.runs; cat >ids; while read -r id; do"      \
	" mv active/$id deferred/$id hold/ 2>/dev/null; done <ids;" \
	" true"
#define RELEASE                               \
	"echo run >>release.runs; cat >ids2;" \
	" while read -r id; do mv hold/$id deferred/; done <ids2; true"

/* off: without mta_hold_command. */
static void
configure(struct world *w, bool off)
{
	char path[4][160];
	static const char *const names[] = {
	    "hold.sh", "release.sh", "discard.sh", "queue.sh"};
	struct mta_settings s = {
	    .hold = off ? NULL : path[0],
	    .release = path[1],
	    .discard = path[2],
	    .queue = path[3],
	    .settle_ms = SETTLE,
	    .timeout_ms = 60000,
	};

	for (int i = 0; i < 4; i++)
		snprintf(path[i], sizeof(path[i]), "%s/%s%s", w->dir, names[i],
		    i == 0 ? w->with : "");
	if (w->h != NULL)
		mta_hold_reload(w->h, &s);
	else
		w->h = mta_hold_new(
		    w->loop, w->spool, w->let_go, &s, NULL, &w->counters, NULL);
}

static void
start(struct world *w)
{
	w->let_go = let_go_new();
	configure(w, false);
	mta_hold_kick(w->h, loop_now(w->loop));
}

static void
stop(struct world *w)
{
	mta_hold_free(w->h);
	let_go_free(w->let_go);
	w->h = NULL;
	w->let_go = NULL;
	loop_watch_free(w->watch);
	spool_close(w->spool);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	signal(SIGPIPE, SIG_IGN);
	memcpy(w->dir, "/tmp/weir-mhold-XXXXXX", 23);
	assert_non_null(mkdtemp(w->dir));
	w->with = "";
	w->loop = loop_new();
	open_spool(w);
	shell(w, "mkdir active deferred hold");
	script(w, "hold.sh", HOLD);
	script(w, "release.sh", RELEASE);
	script(
	    w, "discard.sh", "while read -r id; do rm -f hold/$id; done; true");
	script(w, "queue.sh",
	    "echo run >>queue.runs; for q in active deferred hold; do"
	    " for f in $q/*; do"
	    " [ -e $f ] && printf '{\"queue_name\": \"%s\","
	    " \"queue_id\": \"%s\"}\\n' $q ${f#*/}; done; done; true");
	start(w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	char *line = xasprintf("rm -rf '%s'", w->dir);

	stop(w);
	loop_free(w->loop);
	assert_int_equal(system(line), 0);
	free(line);
	free(w);
	return 0;
}

/* ---- the mail server ---- */

static void
add(struct world *w, const char *queue, const char *id, const char *source)
{
	char *line = xasprintf("touch %s/%s", queue, id);

	shell(w, line);
	free(line);
	if (source != NULL)
		let_go_note(w->let_go, source, str_from(id), loop_now(w->loop));
}

static bool
is_in(const struct world *w, const char *queue, const char *id)
{
	char *path = xasprintf("%s/%s/%s", w->dir, queue, id);
	bool is = access(path, F_OK) == 0;

	free(path);
	return is;
}

static bool
is_there(void *arg)
{
	struct world *w = arg;

	return is_in(w, w->queue, w->id);
}

static bool
is_gone(void *arg)
{
	return !is_there(arg);
}

static void
wait_in(struct world *w, const char *queue, const char *id)
{
	w->queue = queue;
	w->id = id;
	assert_true(pump_until(w->loop, is_there, w));
}

static bool
holds_nothing(void *arg)
{
	return ((struct world *)arg)->counters.v[COUNT_MTA_HELD] == 0;
}

static bool
has_held(void *arg)
{
	struct world *w = arg;

	return w->counters.v[COUNT_MTA_HOLDS] > 0;
}

static bool
has_failed(void *arg)
{
	struct world *w = arg;

	return w->counters.v[COUNT_MTA_HOLD_FAILURES] > 0;
}

/* ---- the gate ---- */

static void
on_set(void *arg, int error)
{
	assert_int_equal(error, 0);
	*(bool *)arg = true;
}

static void
set_frozen(struct world *w, const char *source, bool frozen, bool discards)
{
	struct spool_source row = {.key = source,
	    .frozen = frozen,
	    .frozen_at = clock_wall_ms(),
	    .discards = discards};

	w->set = false;
	spool_set_frozen(w->spool, &row, NULL, on_set, &w->set);
	assert_true(pump_until(w->loop, pump_is_set, &w->set));
}

static void
freeze(struct world *w, const char *source)
{
	set_frozen(w, source, true, false);
	mta_hold_freeze(w->h, source, loop_now(w->loop));
}

static void
thaw(struct world *w, const char *source, bool discards)
{
	set_frozen(w, source, false, discards);
	mta_hold_kick(w->h, loop_now(w->loop));
}

static void
on_count(void *arg, int error, uint64_t n, uint64_t mta_held)
{
	struct world *w = arg;

	assert_int_equal(error, 0);
	assert_int_equal(n, 0);
	w->mta_held = mta_held;
	w->counted = true;
}

static uint64_t
held_of(struct world *w, const char *source)
{
	w->counted = false;
	spool_count_stopped(w->spool, source, on_count, w);
	assert_true(pump_until(w->loop, pump_is_set, &w->counted));
	return w->mta_held;
}

/* ---- tests ---- */

static void
test_hold_and_release(void **state)
{
	struct world *w = *state;

	add(w, "deferred", "4jWalice01", "alice");
	add(w, "active", "4jWalice02", "alice");
	add(w, "hold", "4jWalice03", "alice"); /* by somebody else */
	add(w, "deferred", "4jWbob0001", "bob");
	add(w, "deferred", "4jWnobody1", NULL);
	freeze(w, "alice");
	wait_in(w, "hold", "4jWalice01");
	wait_in(w, "hold", "4jWalice02");
	assert_true(pump_until(w->loop, has_held, w));
	assert_int_equal(held_of(w, "alice"), 2);
	assert_int_equal(held_of(w, "bob"), 0);
	assert_int_equal(w->counters.v[COUNT_MTA_HELD], 2);
	thaw(w, "alice", false);
	wait_in(w, "deferred", "4jWalice01");
	wait_in(w, "deferred", "4jWalice02");
	assert_true(pump_until(w->loop, holds_nothing, w));
	assert_true(is_in(w, "hold", "4jWalice03"));
	assert_true(is_in(w, "deferred", "4jWbob0001"));
	assert_true(is_in(w, "deferred", "4jWnobody1"));
	/* They are known to the next freeze. */
	freeze(w, "alice");
	wait_in(w, "hold", "4jWalice01");
	thaw(w, "alice", true);
	assert_true(pump_until(w->loop, is_gone, w));
	assert_true(pump_until(w->loop, holds_nothing, w));
	assert_false(is_in(w, "deferred", "4jWalice01"));
	assert_true(is_in(w, "hold", "4jWalice03"));
	assert_int_equal(w->counters.v[COUNT_MTA_HOLD_FAILURES], 0);
}

/* What the mail server was still writing when the first look came. */
static void
test_a_second_look(void **state)
{
	struct world *w = *state;

	shell(w, "mv queue.sh queue.all");
	script(
	    w, "queue.sh", "[ ! -e looked ] || sh ./queue.all; touch looked");
	add(w, "active", "4jWalice01", "alice");
	freeze(w, "alice");
	wait_in(w, "hold", "4jWalice01");
}

static size_t
let_go_known(struct world *w)
{
	static struct let_go_id ids[LET_GO_SOURCE_MAX];

	return let_go_of(w->let_go, "alice", loop_now(w->loop), ids);
}

static bool
knows_none(void *arg)
{
	return let_go_known(arg) == 0;
}

static void
test_what_left_the_queue_is_forgotten(void **state)
{
	struct world *w = *state;

	let_go_note(w->let_go, "alice", STR("4jWalice01"),
	    loop_now(w->loop) - 10 * SETTLE);
	freeze(w, "alice");
	assert_true(pump_until(w->loop, knows_none, w));
}

static void
restart(struct world *w)
{
	stop(w);
	memset(&w->counters, 0, sizeof(w->counters));
	open_spool(w);
	start(w);
}

static void
test_restarts(void **state)
{
	struct world *w = *state;

	add(w, "deferred", "4jWalice01", "alice");
	freeze(w, "alice");
	wait_in(w, "hold", "4jWalice01");
	assert_true(pump_until(w->loop, has_held, w));
	/* A restart within the freeze. */
	restart(w);
	assert_int_equal(held_of(w, "alice"), 1);
	assert_true(is_in(w, "hold", "4jWalice01"));
	/* And one between the thaw and the command. */
	set_frozen(w, "alice", false, false);
	restart(w);
	wait_in(w, "deferred", "4jWalice01");
	assert_true(pump_until(w->loop, holds_nothing, w));
	assert_int_equal(held_of(w, "alice"), 0);
}

static bool
hold_runs(void *arg)
{
	const struct world *w = arg;
	char *path = xasprintf("%s/hold.runs", w->dir);
	bool is = access(path, F_OK) == 0;

	free(path);
	return is;
}

/* Killed while the command ran, which had done its work. */
static void
test_a_restart_within_the_command(void **state)
{
	struct world *w = *state;

	script(w, "hold.sh", HOLD "; exec sleep 600");
	add(w, "deferred", "4jWalice01", "alice");
	freeze(w, "alice");
	wait_in(w, "hold", "4jWalice01");
	restart(w);
	assert_true(pump_until(w->loop, has_held, w));
	thaw(w, "alice", false);
	wait_in(w, "deferred", "4jWalice01");
}

static void
test_a_thaw_within_the_command(void **state)
{
	struct world *w = *state;

	script(w, "hold.sh",
	    "echo >>hold.runs; until [ -e go ]; do sleep 0.02; done; " HOLD);
	add(w, "deferred", "4jWalice01", "alice");
	freeze(w, "alice");
	assert_true(pump_until(w->loop, hold_runs, w));
	thaw(w, "alice", false);
	pump_turns(w->loop, 20);
	assert_int_equal(held_of(w, "alice"), 1);
	shell(w, "touch go");
	assert_true(pump_until(w->loop, holds_nothing, w));
	assert_true(is_in(w, "deferred", "4jWalice01"));
	/* It was on hold in between. */
	assert_int_equal(w->counters.v[COUNT_MTA_HOLDS], 1);
}

/* Nothing is put on hold that no thaw would release. */
static void
test_thawed_before_it_was_noted(void **state)
{
	struct world *w = *state;

	add(w, "deferred", "4jWalice01", "alice");
	set_frozen(w, "alice", false, false);
	mta_hold_freeze(w->h, "alice", loop_now(w->loop));
	pump_turns(w->loop, 3 * SETTLE);
	assert_true(is_in(w, "deferred", "4jWalice01"));
	assert_false(hold_runs(w));
	assert_int_equal(let_go_known(w), 1);
}

static void
test_failing_commands(void **state)
{
	struct world *w = *state;

	script(w, "hold.sh", "echo no >&2; exit 77");
	add(w, "deferred", "4jWalice01", "alice");
	add(w, "deferred", "4jWalice02", "alice");
	freeze(w, "alice");
	assert_true(pump_until(w->loop, has_failed, w));
	assert_int_equal(held_of(w, "alice"), 2);
	/* It is to be deleted, and is put on hold for that first. */
	thaw(w, "alice", true);
	script(w, "hold.sh", HOLD);
	w->queue = "deferred";
	w->id = "4jWalice01";
	assert_true(pump_until(w->loop, is_gone, w));
	w->id = "4jWalice02";
	assert_true(pump_until(w->loop, is_gone, w));
	assert_true(pump_until(w->loop, holds_nothing, w));
	assert_false(is_in(w, "hold", "4jWalice01"));
	assert_false(is_in(w, "hold", "4jWalice02"));
	/* A release that fails, with one message that spoils each run. */
	w->counters.v[COUNT_MTA_HOLD_FAILURES] = 0;
	add(w, "deferred", "4jWpoison1", "bob");
	add(w, "deferred", "4jWbob0001", "bob");
	add(w, "deferred", "4jWbob0002", "bob");
	script(w, "release.sh",
	    "cat >ids3; ! grep -q poison ids3 || exit 1;"
	    " while read -r id; do mv hold/$id deferred/; done <ids3; true");
	freeze(w, "bob");
	wait_in(w, "hold", "4jWbob0001");
	wait_in(w, "hold", "4jWbob0002");
	wait_in(w, "hold", "4jWpoison1");
	thaw(w, "bob", false);
	wait_in(w, "deferred", "4jWbob0001");
	wait_in(w, "deferred", "4jWbob0002");
	assert_true(is_in(w, "hold", "4jWpoison1"));
}

/* A listing that fails: nobody is put on hold, and it is tried again. */
static void
test_failing_listing(void **state)
{
	struct world *w = *state;
	char *path = xasprintf("%s/queue.sh", w->dir);
	char *kept = xasprintf("%s/queue.good", w->dir);

	assert_int_equal(rename(path, kept), 0);
	script(w, "queue.sh", "sh ./queue.good; exit 3");
	add(w, "deferred", "4jWalice01", "alice");
	freeze(w, "alice");
	assert_true(pump_until(w->loop, has_failed, w));
	assert_true(is_in(w, "deferred", "4jWalice01"));
	assert_int_equal(rename(kept, path), 0);
	wait_in(w, "hold", "4jWalice01");
	free(path);
	free(kept);
}

static bool
has_begun(void *arg)
{
	const struct world *w = arg;
	char *path = xasprintf("%s/begun", w->dir);
	bool is = access(path, F_OK) == 0;

	free(path);
	return is;
}

/* While the listing runs for a message that was noted before. */
static void
test_a_reload(void **state)
{
	struct world *w = *state;

	script(w, "hold.sh", "exit 77");
	add(w, "deferred", "4jWalice01", "alice");
	add(w, "deferred", "4jWalice02", "alice");
	freeze(w, "alice");
	assert_true(pump_until(w->loop, has_failed, w));
	shell(w, "mv queue.sh queue.all");
	script(w, "queue.sh",
	    "touch begun; until [ -e go ]; do sleep 0.02; done;"
	    " sh ./queue.all");
	assert_true(pump_until(w->loop, has_begun, w));
	configure(w, true);
	shell(w, "touch go");
	pump_turns(w->loop, 100);
	assert_int_equal(held_of(w, "alice"), 2);
	assert_true(is_in(w, "deferred", "4jWalice01"));
	/* And again, to one that takes an id a run. */
	script(w, "hold.sh", HOLD "; exit 77");
	configure(w, false);
	shell(w, "rm go begun");
	assert_true(pump_until(w->loop, has_begun, w));
	script(w, "hold.sh", "mv deferred/$2 hold/");
	w->with = " -h %i";
	configure(w, false);
	shell(w, "touch go");
	wait_in(w, "hold", "4jWalice01");
	wait_in(w, "hold", "4jWalice02");
}

static void
test_by_id(void **state)
{
	struct world *w = *state;

	stop(w);
	open_spool(w);
	script(w, "hold.sh", "echo \"$*\" >>args; mv deferred/$2 hold/");
	w->with = " -h %i";
	start(w);
	add(w, "deferred", "4jWalice01", "alice");
	add(w, "deferred", "4jWalice02", "alice");
	freeze(w, "alice");
	wait_in(w, "hold", "4jWalice01");
	wait_in(w, "hold", "4jWalice02");
	shell(w, "test \"$(wc -l <args)\" = 2");
}

static void
test_many(void **state)
{
	struct world *w = *state;
	char id[32];

	script(w, "hold.sh",
	    "echo run >>hold.runs; cd deferred && xargs mv -t ../hold");
	script(w, "release.sh", "cd hold && xargs mv -t ../deferred");
	shell(w, "cd deferred && seq -f 4jW%.0f 10000 10699 | xargs touch");
	for (int i = 0; i < 700; i++) {
		snprintf(id, sizeof(id), "4jW%d", 10000 + i);
		let_go_note(w->let_go, i < 400 ? "alice" : "bob", str_from(id),
		    loop_now(w->loop));
	}
	freeze(w, "alice");
	freeze(w, "bob");
	wait_in(w, "hold", "4jW10399");
	wait_in(w, "hold", "4jW10699");
	assert_int_equal(held_of(w, "alice"), 400);
	thaw(w, "alice", false);
	thaw(w, "bob", false);
	assert_true(pump_until(w->loop, holds_nothing, w));
	shell(w, "test \"$(ls hold)\" = ''");
	shell(w, "test \"$(wc -l <hold.runs)\" -le 4");
}

static void
sql(const struct world *w, const char *text)
{
	char *path = xasprintf("%s/spool.db", w->dir);
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	free(path);
}

/* What only a changed database could hold reaches no command. */
static void
test_hostile_rows(void **state)
{
	struct world *w = *state;

	stop(w);
	sql(w, "INSERT INTO mta_held (mta_id, source, held, fate) VALUES"
	       " ('-d', 'a', 1, 1), ('ALL', 'a', 0, 0), (x'00', 'b', 1, 1),"
	       " ('4jWbad01', x'ff', 0, 0), ('../../etc', 'a', 1, 2),"
	       " ('4jWodd01', 'a', 7, 9), ('4jWgood1', 'a', 1, 1)");
	add(w, "hold", "4jWgood1", NULL);
	open_spool(w);
	start(w);
	wait_in(w, "deferred", "4jWgood1");
	pump_turns(w->loop, 50);
	shell(w, "test \"$(cat ids2)\" = 4jWgood1");
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_hold_and_release),
	    TEST(test_a_second_look),
	    TEST(test_what_left_the_queue_is_forgotten),
	    TEST(test_restarts),
	    TEST(test_a_restart_within_the_command),
	    TEST(test_a_thaw_within_the_command),
	    TEST(test_thawed_before_it_was_noted),
	    TEST(test_failing_commands),
	    TEST(test_failing_listing),
	    TEST(test_a_reload),
	    TEST(test_by_id),
	    TEST(test_many),
	    TEST(test_hostile_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
