/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of acquaintances over a real spool: what is asked, learnt, written
 * behind and read back, and what a disk that fails or lies does to it.
 */
#include "spool_kit.h"

#include "fault_vfs.h"
#include "gate/acquaintances.h"

#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY ACQUAINTANCE_DAY_MS
#define PLENTY ((size_t)64 << 20)
#define ALICE STR("user:alice")
#define BOB STR("user:bob")

struct world {
	struct kit kit;
	struct acquaintances *a;
	struct acquaintances_settings settings;
	struct counters counters;
	int64_t now, wall;
	unsigned dues;
	/* What on_new heard: how often, and what last. */
	unsigned news, news_why;
	uint64_t news_site;
	/* What on_met heard, and says. */
	unsigned met;
	bool is_met_later;
};

static void
on_due(void *arg)
{
	struct world *w = arg;

	w->dues++;
}

static void
on_new(void *arg, const char *source, uint64_t site, unsigned why, uint32_t day)
{
	struct world *w = arg;

	assert_string_equal(source, ALICE.p);
	assert_int_equal(day, acquaintance_day(w->wall));
	w->news++;
	w->news_site = site;
	w->news_why = why;
}

static bool
on_met(void *arg, const char *source,
    const struct acquaintance_observation *observation, uint32_t day)
{
	struct world *w = arg;

	assert_string_equal(source, ALICE.p);
	assert_int_equal(day, acquaintance_day(w->wall));
	assert_int_equal(observation->told, ACQUAINTANCE_SEEN);
	w->met++;
	return w->is_met_later;
}

static void
start(struct world *w)
{
	w->a =
	    acquaintances_new(&w->settings, w->kit.spool, &w->counters, NULL);
}

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	kit_init(&w->kit);
	kit_open(&w->kit);
	w->now = 5000;
	w->wall = KIT_WALL;
	w->settings = (struct acquaintances_settings){.bytes_max = PLENTY,
	    .rows_max = PLENTY,
	    .on_new = on_new,
	    .on_met = on_met,
	    .on_due = on_due,
	    .arg = w};
	start(w);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	if (w->kit.spool != NULL)
		kit_close(&w->kit);
	acquaintances_free(w->a);
	kit_remove_dir(w->kit.dir);
	free(w);
	return 0;
}

/* Until the spool has nothing outstanding. */
static void
pump(struct world *w)
{
	struct spool *s = w->kit.spool;
	struct pollfd p = {.fd = spool_fd(s), .events = POLLIN};

	spool_dispatch(s);
	while (!spool_is_idle(s)) {
		assert_int_not_equal(poll(&p, 1, 60000), 0);
		spool_dispatch(s);
	}
}

static void
run(struct world *w, int64_t ms)
{
	w->now += ms;
	w->wall += ms;
	acquaintances_run(w->a, w->now, w->wall);
	pump(w);
}

/* As after a crash: what was not handed to the spool is lost. */
static void
restart(struct world *w)
{
	pump(w);
	kit_close(&w->kit);
	acquaintances_free(w->a);
	kit_open(&w->kit);
	start(w);
}

struct asking {
	struct acquaintance_question q;
	enum acquaintance_answer answer;
	unsigned called;
};

static void
on_answer(struct acquaintance_question *q, enum acquaintance_answer answer)
{
	struct asking *ask = q->arg;

	ask->answer = answer;
	ask->called++;
}

static void
begin(struct world *w, struct asking *ask, struct str source, uint64_t who)
{
	*ask = (struct asking){.q = {.destination = who,
				   .wall = w->wall,
				   .familiar_for_ms = 365 * DAY,
				   .met_for_ms = 30 * DAY,
				   .fn = on_answer,
				   .arg = ask}};
	ask->answer = acquaintances_ask(w->a, source, &ask->q);
}

static enum acquaintance_answer
ask(struct world *w, struct str source, uint64_t who)
{
	struct asking a;

	begin(w, &a, source, who);
	if (a.answer == ACQUAINTANCE_LATER) {
		pump(w);
		assert_int_equal(a.called, 1);
	}
	return a.answer;
}

/* Only the upper 40 bits of a hash count. */
static uint64_t
who(uint64_t i)
{
	return (i + 1) << 30;
}

static void
wrote(struct world *w, struct str source, uint64_t i)
{
	assert_true(acquaintances_add(
	    w->a, source, who(i), ACQUAINTANCE_WROTE_TO, w->wall));
}

/* And it is on disk. */
static void
keeps(struct world *w, struct str source, uint64_t i)
{
	wrote(w, source, i);
	pump(w);
	run(w, 20000);
}

#define assert_known(w, source, i) \
	assert_int_equal(ask(w, source, who(i)), ACQUAINTANCE_KNOWN)
#define assert_unknown(w, source, i) \
	assert_int_equal(ask(w, source, who(i)), ACQUAINTANCE_UNKNOWN)

static size_t
dirty(struct world *w)
{
	struct acquaintances_stats stats;

	acquaintances_stats(w->a, &stats);
	return stats.dirty;
}

/* ---- asking ---- */

static void
test_knows_for_a_time(void **state)
{
	struct world *w = *state;

	assert_unknown(w, ALICE, 1);
	wrote(w, ALICE, 1);
	assert_known(w, ALICE, 1);
	assert_unknown(w, ALICE, 2);
	assert_unknown(w, BOB, 1);
	w->wall += 365 * DAY;
	assert_known(w, ALICE, 1);
	w->wall += DAY;
	assert_unknown(w, ALICE, 1);
	wrote(w, ALICE, 1);
	assert_known(w, ALICE, 1);
}

static void
test_nothing_is_familiar_for_no_time(void **state)
{
	struct world *w = *state;
	struct acquaintance_question q = {
	    .destination = who(1), .wall = w->wall, .met_for_ms = 30 * DAY};

	wrote(w, ALICE, 1);
	pump(w);
	assert_int_equal(
	    acquaintances_ask(w->a, ALICE, &q), ACQUAINTANCE_UNKNOWN);
}

static void
test_comes_back_after_a_restart(void **state)
{
	struct world *w = *state;
	struct asking a, b;

	keeps(w, ALICE, 1);
	assert_int_equal(dirty(w), 0);
	restart(w);
	begin(w, &a, ALICE, who(1));
	begin(w, &b, ALICE, who(1));
	assert_int_equal(a.answer, ACQUAINTANCE_LATER);
	acquaintances_unask(&b.q);
	pump(w);
	assert_int_equal(a.called, 1);
	assert_int_equal(a.answer, ACQUAINTANCE_KNOWN);
	assert_int_equal(a.q.found.why, ACQUAINTANCE_WROTE_TO);
	assert_int_equal(b.called, 0);
	acquaintances_unask(&a.q);
	/* In memory by now, as is that there is nothing of bob's. */
	begin(w, &a, ALICE, who(1));
	assert_int_equal(a.answer, ACQUAINTANCE_KNOWN);
	assert_unknown(w, BOB, 1);
	begin(w, &a, BOB, who(1));
	assert_int_equal(a.answer, ACQUAINTANCE_UNKNOWN);
}

static void
test_is_read_when_it_is_wanted(void **state)
{
	struct world *w = *state;
	struct asking a;

	keeps(w, ALICE, 1);
	restart(w);
	acquaintances_want(w->a, ALICE, w->now, w->wall);
	pump(w);
	begin(w, &a, ALICE, who(1));
	assert_int_equal(a.answer, ACQUAINTANCE_KNOWN);
}

/* ---- what is learnt before the row is there ---- */

static void
test_waits_for_its_row(void **state)
{
	struct world *w = *state;
	struct acquaintance_tally tally;

	keeps(w, ALICE, 1);
	restart(w);
	wrote(w, ALICE, 2);
	assert_false(acquaintances_tally(w->a, ALICE, 0, w->wall, &tally));
	assert_int_equal(dirty(w), 0);
	pump(w);
	run(w, 20000);
	restart(w);
	assert_known(w, ALICE, 1);
	assert_known(w, ALICE, 2);
	assert_true(acquaintances_tally(w->a, ALICE, 0, w->wall, &tally));
	assert_int_equal(tally.total, 2);
	assert_int_equal(tally.why[0], 2);
	assert_int_equal(tally.why[3], 0);
}

static void
test_is_saved_at_exit(void **state)
{
	struct world *w = *state;

	for (uint64_t i = 0; i < 500; i++) {
		char key[32];

		snprintf(key, sizeof(key), "user:u%u", (unsigned)i);
		wrote(w, str_from(key), i);
	}
	pump(w);
	acquaintances_save(w->a, w->wall);
	kit_close(&w->kit);
	acquaintances_free(w->a);
	kit_open(&w->kit);
	start(w);
	assert_known(w, STR("user:u0"), 0);
	assert_known(w, STR("user:u499"), 499);
	assert_int_equal(
	    kit_ask(&w->kit, "SELECT count(*) FROM acquaintance"), 500);
}

/* What waits for its row is not saved yet, and is said not to be. */
static void
test_says_what_is_not_saved(void **state)
{
	struct world *w = *state;

	wrote(w, ALICE, 1);
	assert_false(acquaintances_save(w->a, w->wall));
	pump(w);
	assert_true(acquaintances_save(w->a, w->wall));
	wrote(w, BOB, 1);
	assert_false(acquaintances_save(w->a, w->wall));
	acquaintances_forget(w->a, BOB, w->wall);
	assert_true(acquaintances_save(w->a, w->wall));
	pump(w);
}

static void
test_tells_when_something_is_due(void **state)
{
	struct world *w = *state;

	assert_int_equal(acquaintances_next_due(w->a), INT64_MAX);
	assert_unknown(w, ALICE, 1);
	acquaintances_run(w->a, w->now, w->wall);
	wrote(w, ALICE, 1);
	assert_int_equal(w->dues, 1);
	assert_int_equal(acquaintances_next_due(w->a), w->now + 20000);
	wrote(w, ALICE, 2);
	assert_int_equal(w->dues, 1);
	run(w, 20000);
	assert_int_equal(acquaintances_next_due(w->a), INT64_MAX);
}

/* ---- bounds ---- */

static void
test_memory_is_bounded(void **state)
{
	struct world *w = *state;
	struct acquaintances_stats stats;
	char key[32];

	w->settings.bytes_max = 64 << 10;
	acquaintances_reload(w->a, &w->settings);
	for (uint64_t i = 0; i < 400; i++) {
		snprintf(key, sizeof(key), "user:u%u", (unsigned)i);
		for (uint64_t j = 0; j < 20; j++)
			wrote(w, str_from(key), 100 * i + j);
		pump(w);
		run(w, 20000);
	}
	acquaintances_stats(w->a, &stats);
	assert_in_range(stats.bytes, 1, 64 << 10);
	assert_in_range(stats.sources, 10, 200);
	assert_int_equal(stats.dropped, 0);
	for (uint64_t i = 0; i < 400; i++) {
		snprintf(key, sizeof(key), "user:u%u", (unsigned)i);
		assert_known(w, str_from(key), 100 * i + 19);
	}
}

/* Nothing that is not saved is dropped to make room. */
static void
test_unsaved_stays(void **state)
{
	struct world *w = *state;
	unsigned taken = 0;
	char key[32];

	w->settings.bytes_max = 16 << 10;
	acquaintances_reload(w->a, &w->settings);
	for (uint64_t i = 0; i < 400; i++) {
		snprintf(key, sizeof(key), "user:u%u", (unsigned)i);
		if (acquaintances_add(w->a, str_from(key), who(i),
			ACQUAINTANCE_WROTE_TO, w->wall))
			taken++;
		pump(w);
	}
	assert_in_range(taken, 10, 100);
	assert_int_equal(dirty(w), taken);
	assert_known(w, STR("user:u0"), 0);
	run(w, 20000);
	assert_int_equal(dirty(w), 0);
	for (uint64_t i = 0; i < taken; i++) {
		snprintf(key, sizeof(key), "user:u%u", (unsigned)i);
		assert_known(w, str_from(key), i);
	}
	wrote(w, STR("user:new"), 1);
}

/* ---- forgetting ---- */

static void
test_is_forgotten(void **state)
{
	struct world *w = *state;
	struct asking a;

	wrote(w, ALICE, 1);
	keeps(w, BOB, 1);
	acquaintances_forget(w->a, ALICE, w->wall);
	assert_unknown(w, ALICE, 1);
	run(w, 20000);
	restart(w);
	assert_unknown(w, ALICE, 1);
	assert_known(w, BOB, 1);
	restart(w);
	/* While its row is on its way. */
	begin(w, &a, BOB, who(1));
	acquaintances_forget(w->a, BOB, w->wall);
	assert_int_equal(a.answer, ACQUAINTANCE_UNKNOWN);
	pump(w);
	assert_int_equal(a.called, 1);
	assert_unknown(w, BOB, 1);
	run(w, 20000);
	assert_int_equal(
	    kit_ask(&w->kit, "SELECT count(*) FROM acquaintance"), 0);
}

static void
test_old_ones_leave_the_row(void **state)
{
	struct world *w = *state;
	struct acquaintance_tally tally;

	w->settings.keep_ms = 365 * DAY;
	acquaintances_reload(w->a, &w->settings);
	wrote(w, ALICE, 1);
	pump(w);
	w->wall += 400 * DAY;
	keeps(w, ALICE, 2);
	assert_true(acquaintances_tally(w->a, ALICE, 0, w->wall, &tally));
	assert_int_equal(tally.total, 1);
}

static void
sweep(struct world *w, unsigned times)
{
	while (times-- > 0) {
		w->now += 10000;
		acquaintances_sweep(w->a, w->now, w->wall);
		pump(w);
	}
}

static int64_t
rows(struct world *w)
{
	return kit_ask(&w->kit, "SELECT count(*) FROM acquaintance");
}

/* Some hundred rows at a time, then a rest; what is in use stays. */
static void
test_old_rows_are_swept(void **state)
{
	struct world *w = *state;

	for (uint64_t i = 0; i < 1200; i++) {
		char key[32];

		snprintf(key, sizeof(key), "user:u%u", (unsigned)i);
		wrote(w, str_from(key), 1);
	}
	pump(w);
	run(w, 20000);
	for (int i = 0; i < 10; i++)
		run(w, 1000);
	assert_int_equal(rows(w), 1200);
	restart(w);
	sweep(w, 10); /* no time was given */
	w->settings.keep_ms = 365 * DAY;
	acquaintances_reload(w->a, &w->settings);
	w->wall += 372 * DAY;
	sweep(w, 3);
	assert_int_equal(rows(w), 1200);
	keeps(w, ALICE, 1);
	w->wall += 2 * DAY;
	sweep(w, 10); /* rests */
	assert_int_equal(rows(w), 1201);
	w->now += 3600000;
	sweep(w, 1);
	assert_int_equal(rows(w), 701);
	/* A disk that fails is come back to. */
	kit_sql(&w->kit, "ALTER TABLE acquaintance RENAME TO away");
	sweep(w, 2);
	kit_sql(&w->kit, "ALTER TABLE away RENAME TO acquaintance");
	sweep(w, 2);
	assert_int_equal(rows(w), 1);
	assert_known(w, ALICE, 1);
	/* The end comes while it is under way. */
	w->now += 3600000;
	acquaintances_sweep(w->a, w->now, w->wall);
}

/* ---- a disk that lies or fails ---- */

static void
test_damage_costs_one_source(void **state)
{
	struct world *w = *state;
	struct acquaintances_stats stats;

	wrote(w, ALICE, 1);
	keeps(w, BOB, 1);
	kit_sql(&w->kit, "UPDATE acquaintance SET state = substr(state, 1, 30)"
			 " WHERE key = 'user:alice'");
	restart(w);
	assert_unknown(w, ALICE, 1);
	assert_known(w, BOB, 1);
	acquaintances_stats(w->a, &stats);
	assert_int_equal(stats.damaged, 1);
	keeps(w, ALICE, 2);
	restart(w);
	assert_unknown(w, ALICE, 1);
	assert_known(w, ALICE, 2);
	acquaintances_stats(w->a, &stats);
	assert_int_equal(stats.damaged, 0);
	kit_sql(&w->kit, "UPDATE acquaintance SET state = 17");
	restart(w);
	assert_unknown(w, ALICE, 2);
	assert_unknown(w, BOB, 2);
	acquaintances_stats(w->a, &stats);
	assert_int_equal(stats.damaged, 2);
}

#define TAKE_AWAY "ALTER TABLE acquaintance RENAME TO away"
#define GIVE_BACK "ALTER TABLE away RENAME TO acquaintance"

static void
test_unread_is_not_unknown(void **state)
{
	struct world *w = *state;

	keeps(w, ALICE, 1);
	restart(w);
	kit_sql(&w->kit, TAKE_AWAY);
	assert_int_equal(ask(w, ALICE, who(1)), ACQUAINTANCE_ERROR);
	assert_int_equal(ask(w, ALICE, who(1)), ACQUAINTANCE_ERROR);
	/* What is learnt meanwhile waits, and does not take the row's place. */
	wrote(w, ALICE, 2);
	assert_int_equal(dirty(w), 0);
	assert_int_equal(ask(w, ALICE, who(2)), ACQUAINTANCE_ERROR);
	run(w, 1000);
	assert_int_equal(ask(w, ALICE, who(1)), ACQUAINTANCE_ERROR);
	kit_sql(&w->kit, GIVE_BACK);
	run(w, 2000);
	assert_known(w, ALICE, 1);
	assert_known(w, ALICE, 2);
	run(w, 20000);
	restart(w);
	assert_known(w, ALICE, 1);
	assert_known(w, ALICE, 2);
}

static void
test_unwritten_is_written_again(void **state)
{
	struct world *w = *state;

	assert_unknown(w, ALICE, 1);
	kit_sql(&w->kit, TAKE_AWAY);
	keeps(w, ALICE, 1);
	assert_int_equal(dirty(w), 1);
	assert_int_equal(acquaintances_next_due(w->a), w->now + 1000);
	run(w, 1000);
	assert_int_equal(dirty(w), 1);
	assert_int_equal(acquaintances_next_due(w->a), w->now + 2000);
	kit_sql(&w->kit, GIVE_BACK);
	run(w, 2000);
	assert_int_equal(dirty(w), 0);
	assert_int_equal(acquaintances_next_due(w->a), INT64_MAX);
	restart(w);
	assert_known(w, ALICE, 1);
}

/* The n-th operation on a file of the database fails, while rows are written,
 * and all that was learnt is there in the end. */
static void
test_survives_faults(void **state)
{
	static const int codes[] = {SQLITE_FULL, SQLITE_IOERR};
	struct world *w = *state;
	bool was_hit = true;
	unsigned hits = 0;
	uint64_t next = 0;

	assert_unknown(w, ALICE, 0);
	for (long n = 1; was_hit; n++) {
		was_hit = false;
		for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
			wrote(w, ALICE, next++);
			fault_vfs_set(n, codes[i], false, false);
			run(w, 20000);
			if (fault_vfs_end()) {
				was_hit = true;
				hits++;
			}
			run(w, 60000);
			run(w, 60000);
			assert_int_equal(dirty(w), 0);
		}
	}
	assert_in_range(hits, 4, 100);
	restart(w);
	for (uint64_t i = 0; i < next; i++)
		assert_known(w, ALICE, i);
}

/* ---- observations ---- */

static const struct acquaintance_rules rules = {
    .set = 8, .rate = {4, DAY}, .expiry_ms = 10 * DAY};

static void
hears(struct world *w, uint64_t i, struct acquaintance_origin origin,
    const struct acquaintance_rules *by)
{
	struct acquaintance_observation observation = {.destination = who(i),
	    .why = ACQUAINTANCE_WROTE_US,
	    .origin = origin,
	    .rules = *by};

	acquaintances_learn(w->a, ALICE, &observation, w->now, w->wall);
}

static const struct acquaintance_origin nowhere;

static void
test_learns_at_a_rate(void **state)
{
	struct world *w = *state;

	for (uint64_t i = 0; i < 6; i++)
		hears(w, i, nowhere, &rules);
	for (uint64_t i = 0; i < 4; i++)
		assert_known(w, ALICE, i);
	assert_unknown(w, ALICE, 4);
	assert_unknown(w, ALICE, 5);
	assert_int_equal(w->counters.v[COUNT_INBOUND_LEARNT], 4);
	assert_int_equal(w->counters.v[COUNT_INBOUND_REFUSED], 2);
	/* One that is known costs nothing. */
	hears(w, 0, nowhere, &rules);
	assert_int_equal(w->counters.v[COUNT_INBOUND_REFUSED], 2);
	w->now += DAY / 4;
	hears(w, 4, nowhere, &rules);
	hears(w, 5, nowhere, &rules);
	assert_known(w, ALICE, 4);
	assert_unknown(w, ALICE, 5);
	/* A restart is no fresh allowance. */
	run(w, 20000);
	restart(w);
	hears(w, 5, nowhere, &rules);
	pump(w);
	assert_unknown(w, ALICE, 5);
}

static void
test_keeps_few_of_those_who_write(void **state)
{
	struct world *w = *state;
	const struct acquaintance_rules any = {.set = 8, .expiry_ms = 10 * DAY};

	wrote(w, ALICE, 100);
	for (uint64_t i = 0; i < 8; i++)
		hears(w, i, nowhere, &any);
	w->wall += DAY;
	hears(w, 0, nowhere, &any);
	for (uint64_t i = 8; i < 15; i++)
		hears(w, i, nowhere, &any);
	assert_known(w, ALICE, 0);
	for (uint64_t i = 1; i < 8; i++)
		assert_unknown(w, ALICE, i);
	assert_known(w, ALICE, 8);
	assert_known(w, ALICE, 100);
	assert_int_equal(w->counters.v[COUNT_INBOUND_REPLACED], 7);
	/* Expired ones make room before anybody has to. */
	w->wall += 11 * DAY;
	hears(w, 200, nowhere, &any);
	assert_int_equal(w->counters.v[COUNT_INBOUND_EXPIRED], 8);
	assert_known(w, ALICE, 100);
}

/* Who wrote in is forgotten sooner than whom the source wrote to. */
static void
test_those_met_expire_first(void **state)
{
	struct world *w = *state;

	hears(w, 1, nowhere, &rules);
	hears(w, 2, nowhere, &rules);
	wrote(w, ALICE, 2);
	w->wall += 31 * DAY;
	assert_unknown(w, ALICE, 1);
	assert_known(w, ALICE, 2);
}

static void
test_nobody_keeps_others_out(void **state)
{
	struct world *w = *state;
	const struct acquaintance_rules wide = {
	    .set = 256, .rate = {50, DAY}, .expiry_ms = 30 * DAY};
	const struct acquaintance_origin one = {7, 8}, domain = {7, 0},
					 network = {0, 8}, other = {9, 10};
	uint64_t i = 0;

	for (unsigned n = 0; n < 30; n++)
		hears(w, i++, one, &wide);
	assert_known(w, ALICE, 9);
	assert_unknown(w, ALICE, 10);
	for (unsigned n = 0; n < 30; n++)
		hears(w, i++, domain, &wide);
	assert_known(w, ALICE, 44);
	assert_unknown(w, ALICE, 45);
	for (unsigned n = 0; n < 30; n++)
		hears(w, i++, network, &wide);
	assert_known(w, ALICE, 74);
	assert_unknown(w, ALICE, 75);
	hears(w, i, other, &wide);
	assert_known(w, ALICE, i);
	w->now += DAY;
	hears(w, 10, one, &wide);
	assert_known(w, ALICE, 10);
}

static void
test_works_without_a_spool(void **state)
{
	struct world *w = *state;

	acquaintances_free(w->a);
	w->a = acquaintances_new(&w->settings, NULL, &w->counters, NULL);
	wrote(w, ALICE, 1);
	hears(w, 2, nowhere, &rules);
	assert_known(w, ALICE, 1);
	assert_known(w, ALICE, 2);
	assert_int_equal(acquaintances_next_due(w->a), INT64_MAX);
	acquaintances_run(w->a, w->now, w->wall);
	acquaintances_save(w->a, w->wall);
}

static enum acquaintance_answer
ask_by_site(struct world *w, uint64_t destination, uint64_t site, int64_t wall)
{
	struct acquaintance_question q = {.destination = destination,
	    .site = site,
	    .wall = wall,
	    .familiar_for_ms = 30 * DAY};

	return acquaintances_ask(w->a, ALICE, &q);
}

/* Told once, when the row has been read; and found by the name that others
 * know it by, for as long as by its own. */
static void
test_shared(void **state)
{
	struct world *w = *state;

	assert_true(acquaintances_add_shared(
	    w->a, ALICE, who(1), who(91), ACQUAINTANCE_WROTE_TO, w->wall));
	assert_int_equal(w->news, 0); /* the row is being read */
	pump(w);
	assert_int_equal(w->news, 1);
	assert_true(w->news_site == who(91));
	assert_int_equal(w->news_why, ACQUAINTANCE_WROTE_TO);
	acquaintances_add_shared(
	    w->a, ALICE, who(1), who(91), ACQUAINTANCE_WROTE_TO, w->wall);
	assert_int_equal(w->news, 1);
	/* What another relay told. */
	acquaintances_add(w->a, ALICE, who(92), ACQUAINTANCE_IMPORTED, w->wall);
	assert_int_equal(w->news, 1);
	assert_int_equal(
	    ask_by_site(w, who(2), 0, w->wall), ACQUAINTANCE_UNKNOWN);
	assert_int_equal(
	    ask_by_site(w, who(2), who(92), w->wall), ACQUAINTANCE_KNOWN);
	assert_int_equal(ask_by_site(w, who(2), who(92), w->wall + 40 * DAY),
	    ACQUAINTANCE_UNKNOWN);
	assert_int_equal(
	    ask_by_site(w, who(1), who(93), w->wall), ACQUAINTANCE_KNOWN);
}

/* One that has a name at all relays. */
static void
hears_of(struct world *w, uint64_t i, enum acquaintance_told told)
{
	struct acquaintance_observation observation = {
	    .destination =
		told == ACQUAINTANCE_SEEN || told == ACQUAINTANCE_GRANTED
		    ? who(i)
		    : who(1000 + i),
	    .site = who(1000 + i),
	    .told = told,
	    .why = ACQUAINTANCE_WROTE_US,
	    .rules = rules};

	acquaintances_learn(w->a, ALICE, &observation, w->now, w->wall);
	pump(w);
}

static enum acquaintance_answer
ask_met(struct world *w, uint64_t i)
{
	struct acquaintance_question q = {.destination = who(i),
	    .site = who(1000 + i),
	    .wall = w->wall,
	    .met_for_ms = rules.expiry_ms};

	return acquaintances_ask(w->a, ALICE, &q);
}

static void
test_what_incoming_mail_names_is_asked_about(void **state)
{
	struct world *w = *state;

	/* Nobody is there: at once. */
	hears_of(w, 0, ACQUAINTANCE_SEEN);
	assert_int_equal(w->met, 1);
	assert_int_equal(ask_met(w, 0), ACQUAINTANCE_KNOWN);
	w->is_met_later = true;
	hears_of(w, 1, ACQUAINTANCE_SEEN);
	assert_int_equal(w->met, 2);
	assert_int_equal(ask_met(w, 1), ACQUAINTANCE_UNKNOWN);
	hears_of(w, 1, ACQUAINTANCE_GRANTED);
	assert_int_equal(ask_met(w, 1), ACQUAINTANCE_KNOWN);
	assert_int_equal(w->counters.v[COUNT_INBOUND_LEARNT], 2);
	/* What is asked about takes of the rate, whatever becomes of it: four
	 * a day. */
	hears_of(w, 2, ACQUAINTANCE_SEEN);
	hears_of(w, 3, ACQUAINTANCE_SEEN);
	hears_of(w, 4, ACQUAINTANCE_SEEN);
	assert_int_equal(w->met, 4);
	assert_int_equal(w->counters.v[COUNT_INBOUND_REFUSED], 1);
	/* One that is known is not asked about. */
	hears_of(w, 1, ACQUAINTANCE_SEEN);
	assert_int_equal(w->met, 4);
}

static void
test_what_others_met_takes_of_the_rate(void **state)
{
	struct world *w = *state;

	hears_of(w, 0, ACQUAINTANCE_COUNTED);
	hears_of(w, 1, ACQUAINTANCE_COUNTED);
	hears_of(w, 2, ACQUAINTANCE_TOLD);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(ask_met(w, i), ACQUAINTANCE_KNOWN);
	/* It is known by that name: not asked about, nor new. */
	hears_of(w, 0, ACQUAINTANCE_SEEN);
	assert_int_equal(w->met, 0);
	hears_of(w, 3, ACQUAINTANCE_SEEN);
	assert_int_equal(w->met, 1);
	hears_of(w, 4, ACQUAINTANCE_SEEN);
	assert_int_equal(w->met, 1);
	/* Of what others learnt in an outage as of one's own. */
	hears_of(w, 5, ACQUAINTANCE_TOLD);
	assert_int_equal(ask_met(w, 5), ACQUAINTANCE_UNKNOWN);
	hears_of(w, 6, ACQUAINTANCE_COUNTED);
	assert_int_equal(ask_met(w, 6), ACQUAINTANCE_KNOWN);
	assert_int_equal(w->counters.v[COUNT_INBOUND_LEARNT], 1);
	assert_int_equal(w->counters.v[COUNT_INBOUND_REFUSED], 2);
}

/* Expiry is ten days: others hear of it each five, and of what was told from
 * nobody again. */
static void
test_mail_that_goes_on_is_told_now_and_then(void **state)
{
	struct world *w = *state;

	hears_of(w, 0, ACQUAINTANCE_SEEN);
	hears_of(w, 0, ACQUAINTANCE_SEEN);
	assert_int_equal(w->news, 0);
	for (unsigned day = 0; day < 20; day++) {
		w->wall += DAY;
		hears_of(w, 0, ACQUAINTANCE_SEEN);
		hears_of(w, 0, ACQUAINTANCE_SEEN);
	}
	assert_int_equal(w->news, 4);
	assert_true(w->news_site == who(1000));
	assert_int_equal(w->news_why, ACQUAINTANCE_WROTE_US);
	for (unsigned day = 0; day < 20; day++) {
		w->wall += DAY;
		hears_of(w, 0, ACQUAINTANCE_TOLD);
	}
	assert_int_equal(w->news, 4);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_knows_for_a_time),
	    TEST(test_nothing_is_familiar_for_no_time),
	    TEST(test_comes_back_after_a_restart),
	    TEST(test_is_read_when_it_is_wanted),
	    TEST(test_waits_for_its_row),
	    TEST(test_is_saved_at_exit),
	    TEST(test_says_what_is_not_saved),
	    TEST(test_tells_when_something_is_due),
	    TEST(test_memory_is_bounded),
	    TEST(test_unsaved_stays),
	    TEST(test_is_forgotten),
	    TEST(test_old_ones_leave_the_row),
	    TEST(test_old_rows_are_swept),
	    TEST(test_damage_costs_one_source),
	    TEST(test_unread_is_not_unknown),
	    TEST(test_unwritten_is_written_again),
	    TEST(test_survives_faults),
	    TEST(test_learns_at_a_rate),
	    TEST(test_keeps_few_of_those_who_write),
	    TEST(test_those_met_expire_first),
	    TEST(test_nobody_keeps_others_out),
	    TEST(test_shared),
	    TEST(test_what_incoming_mail_names_is_asked_about),
	    TEST(test_what_others_met_takes_of_the_rate),
	    TEST(test_mail_that_goes_on_is_told_now_and_then),
	    TEST(test_works_without_a_spool),
	};

	fault_vfs_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
