/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The replay's figures on traces so small that they can be worked out by hand:
 * each case says how.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "replay/lines.h"
#include "replay/report.h"
#include "replay/scratch.h"
#include "replay/setup.h"

#define PLAIN "working_set = 64  interval = \"1m\"  burst = 10  freeze_at = 100"
#define MINUTES(n) ((n)*INT64_C(60000))
#define SECONDS(n) ((n)*INT64_C(1000))

static struct err err;

static struct {
	char *dir, *config;
	struct setup setup;
	struct trace trace;
	struct trace_nodes nodes;
	struct replay_result result;
	struct report report;
} c;

static void
read_text(lines_fn *fn, void *to, const char *text)
{
	struct lines l;

	lines_init(&l, "test", fn, to);
	if (!lines_push(&l, str_from(text), &err) || !lines_end(&l, &err))
		fail_msg("%s", err.text);
	lines_clear(&l);
}

/* policy: of everybody, or whole sections when it has a brace. */
static void
configure(const char *policy)
{
	FILE *f = fopen(c.config, "w");

	assert_non_null(f);
	fprintf(f, "hostname = \"test.test\"\nnext_hop = \"127.0.0.1:25\"\n"
		   "listen \"x\" { address = \"127.0.0.1:2525\" }\n"
		   "internal_domains = {}\n");
	fprintf(f,
	    strchr(policy, '{') != NULL ? "%s\n"
					: "policy \"default\" { %s }\n",
	    policy);
	assert_int_equal(fclose(f), 0);
}

static void
play_as(const char *policy, const char *name, const char *messages,
    const struct attack_plan *attacks, size_t attack_count, bool no_local)
{
	struct replay_settings settings = {
	    .trace = &c.trace,
	    .nodes = &c.nodes,
	    .attacks = attacks,
	    .attack_count = attack_count,
	    .no_local = no_local,
	};

	/* Of a case that plays twice. */
	replay_clear(&c.result);
	setup_clear(&c.setup);
	configure(policy);
	if (setup_load(&c.setup, c.config, name, &err) != 0)
		fail_msg("%s", err.text);
	read_text(trace_add_line, &c.trace, messages);
	settings.world = c.setup.world;
	settings.recipients_max = c.setup.recipients_max;
	if (replay_run(&settings, &c.result, &err) != 0)
		fail_msg("%s", err.text);
	report_make(&c.report, &c.trace, &c.nodes, &c.result);
}

static void
play(const char *policy, const char *messages)
{
	play_as(policy, NULL, messages, NULL, 0, false);
}

static const struct report_figures *
cold(void)
{
	return &c.report.figures[REPORT_COLD];
}

static const struct report_figures *
warm(void)
{
	return &c.report.figures[REPORT_WARM];
}

/* Ten pass by the allowance, the others by one a minute,
 * whenever the next message comes. */
static void
test_twelve_at_once(void **state)
{
	(void)state;
	play(PLAIN, "5 1 2 3 4 5 6 7 8 9 10 11 12 13\n"
		    "6 1 2\n"
		    "86400 14 1\n");
	assert_int_equal(cold()->messages, 3);
	assert_int_equal(cold()->recipients, 14);
	assert_int_equal(cold()->waited.count, 2);
	assert_int_equal(cold()->waited.median, MINUTES(1));
	assert_int_equal(cold()->waited.p90, MINUTES(2));
	assert_int_equal(cold()->waited.longest, MINUTES(2));
	assert_int_equal(cold()->messages_waited.count, 1);
	assert_int_equal(cold()->messages_waited.median, MINUTES(2));
	assert_int_equal(cold()->causes[REPLAY_MANY_IN_ONE], 2);
	assert_int_equal(cold()->never, 0);
	assert_int_equal(cold()->users, 2);
	assert_int_equal(cold()->unnoticed, 1);
	assert_int_equal(cold()->top_count, 1);
	assert_int_equal(cold()->top[0].id, 1);
	assert_int_equal(cold()->top[0].total, MINUTES(3));
	assert_int_equal(warm()->messages, 0);
	assert_int_equal(warm()->users, 0);
}

/* With multi = whole all twelve go with the last one. */
static void
test_whole(void **state)
{
	(void)state;
	play(PLAIN "  multi = whole", "0 1 2 3 4 5 6 7 8 9 10 11 12 13\n");
	assert_int_equal(cold()->waited.count, 12);
	assert_int_equal(cold()->waited.median, MINUTES(2));
	assert_int_equal(cold()->waited.longest, MINUTES(2));
}

/* 31 days after its first message 1 is warm; 14, who began later, is not. */
static void
test_warm(void **state)
{
	(void)state;
	play(PLAIN "  idle_expiry = \"60d\"",
	    "0 1 2\n"
	    "1728000 14 2\n"
	    "2678400 1 2 3 4 5 6 7 8 9 10 11 12 13\n"
	    "2678400 14 2 3\n");
	assert_int_equal(cold()->recipients, 16);
	assert_int_equal(cold()->users, 2);
	assert_int_equal(warm()->recipients, 12);
	assert_int_equal(warm()->messages, 1);
	assert_int_equal(warm()->users, 1);
	assert_int_equal(cold()->waited.count, 1);
	assert_int_equal(warm()->waited.count, 1);
	assert_int_equal(warm()->waited.longest, MINUTES(1));
}

/*
 * One place in the working set and one an hour: 3 takes the place of 2, which
 * waits when it is named again. 4 is new within the first days, 5 after them.
 */
static void
test_causes(void **state)
{
	(void)state;
	play("working_set = 1  interval = \"1h\"  burst = 1  initial = 1  "
	     "freeze_at = 100  familiar_for = \"0\"",
	    "0 1 2\n"
	    "36000 1 3\n"
	    "36001 1 2\n"
	    "36002 1 4\n"
	    "3600000 1 6\n"
	    "3600001 1 5\n");
	assert_int_equal(cold()->waited.count, 3);
	assert_int_equal(cold()->causes[REPLAY_FORGOTTEN], 1);
	assert_int_equal(cold()->causes[REPLAY_FIRST_DAYS], 1);
	assert_int_equal(cold()->causes[REPLAY_BUSY], 1);
	assert_int_equal(cold()->causes[REPLAY_MANY_IN_ONE], 0);
	assert_int_equal(warm()->causes[REPLAY_BUSY], 1);
	assert_int_equal(warm()->waited.count, 1);
}

#define FREEZES                                                         \
	"working_set = 64  interval = \"1h\"  burst = 4  initial = 1  " \
	"freeze_at = 3  "

/*
 * One passes, three wait and freeze their sender. What it sends ten seconds
 * later is tried again when it is 300, 600, 1200, 2400 and 4800 s old; the thaw
 * came after 3600.
 */
static void
test_freeze(void **state)
{
	(void)state;
	play(FREEZES, "0 1 2 3 4 5\n"
		      "10 1 2\n"
		      "10 6 1\n");
	assert_int_equal(cold()->freezes, 1);
	assert_int_equal(cold()->frozen_users, 1);
	assert_int_equal(c.result.freezes[0].sender, 1);
	assert_int_equal(c.result.freezes[0].at, 0);
	assert_int_equal(cold()->waited.count, 4);
	assert_int_equal(cold()->waited.median, SECONDS(3600));
	assert_int_equal(cold()->waited.longest, SECONDS(4800));
	assert_int_equal(cold()->messages_waited.count, 2);
	assert_int_equal(cold()->never, 0);
	assert_int_equal(cold()->users, 2);
	assert_int_equal(cold()->unnoticed, 1);
	assert_int_equal(cold()->top[0].freezes, 1);
	assert_int_equal(warm()->freezes, 0);
}

/* A 5xx is not tried again. */
static void
test_reject(void **state)
{
	(void)state;
	play(FREEZES "when_frozen = reject", "0 1 2 3 4 5\n"
					     "10 1 2\n");
	assert_int_equal(cold()->waited.count, 4);
	assert_int_equal(cold()->waited.longest, SECONDS(3600));
	assert_int_equal(cold()->never, 1);
}

/*
 * There is room for one to wait, for ten days. What is sent to another is tried
 * again when it is 300, 600, 1200, 2400, 4800 s old, and then all 4000 s; the
 * last try before it would be five days old comes after 4800 + 106 * 4000 s.
 */
static void
test_given_up(void **state)
{
	(void)state;
	play("working_set = 1  interval = \"10d\"  burst = 1  initial = 0  "
	     "freeze_at = 0  queue_max = 1",
	    "0 1 2\n"
	    "1 1 3\n");
	assert_int_equal(cold()->never, 1);
	assert_int_equal(cold()->waited.count, 2);
	assert_int_equal(cold()->waited.median, SECONDS(428800));
	assert_int_equal(cold()->waited.longest, SECONDS(864000));
}

/* A sender that was silent for idle_expiry is one never seen: ten of twelve
 * pass, and one of those who wait was written to before. */
static void
test_idle(void **state)
{
	(void)state;
	play(PLAIN "  idle_expiry = \"30d\"  familiar_for = \"0\"",
	    "0 1 13\n"
	    "2678400 1 2 3 4 5 6 7 8 9 10 11 12 13\n");
	assert_int_equal(cold()->waited.count, 2);
	assert_int_equal(cold()->causes[REPLAY_FORGOTTEN], 1);
	assert_int_equal(cold()->causes[REPLAY_MANY_IN_ONE], 1);
}

/* But whom it wrote to is remembered. */
static void
test_idle_remembers(void **state)
{
	(void)state;
	play(PLAIN "  idle_expiry = \"30d\"",
	    "0 1 13\n"
	    "2678400 1 2 3 4 5 6 7 8 9 10 11 12 13\n");
	assert_int_equal(cold()->waited.count, 1);
	assert_int_equal(cold()->causes[REPLAY_MANY_IN_ONE], 1);
}

/* 21 is outside: its mail comes in, and it is no user. 30 is in no list. */
static void
test_incoming(void **state)
{
	static const char messages[] = "0 21 1 2 3 4 5 6 7 8 9 10 11 12 13\n"
				       "1 30 1 21\n"
				       "2 1 30\n";

	(void)state;
	play(PLAIN, messages);
	assert_int_equal(c.result.wait_count, 0);
	assert_int_equal(cold()->users, 1);
	assert_int_equal(cold()->recipients, 1);
	assert_int_equal(c.report.unlisted, 1);
	assert_int_equal(c.report.senders, 3);
}

static void
test_incoming_without_local(void **state)
{
	(void)state;
	play_as(PLAIN, NULL, "0 21 1 2 3 4 5 6 7 8 9 10 11 12 13\n1 1 2\n",
	    NULL, 0, true);
	assert_int_equal(c.result.wait_count, 0);
}

/* The colleague of a user who is not counted is throttled all the same. */
static void
test_not_a_user(void **state)
{
	(void)state;
	play(PLAIN, "0 20 1 2 3 4 5 6 7 8 9 10 11 12 13\n");
	assert_int_equal(c.result.wait_count, 3);
	assert_int_equal(cold()->waited.count, 0);
	assert_int_equal(cold()->messages, 0);
}

static void
test_policy(void **state)
{
	static const char policies[] =
	    "policy \"default\" { " PLAIN " }\n"
	    "policy \"bulk\" { match = {\"user:nobody\"} interval = \"1m\"  "
	    "burst = 11  initial = 11  freeze_at = 100 }\n";

	(void)state;
	play_as(policies, "bulk", "0 1 2 3 4 5 6 7 8 9 10 11 12 13\n", NULL, 0,
	    false);
	assert_int_equal(cold()->waited.count, 1);
}

static void
test_setup_refused(void **state)
{
	(void)state;
	configure(PLAIN);
	assert_int_equal(
	    setup_load(&c.setup, c.config, "none", &err), EX_USAGE);
	assert_non_null(strstr(err.text, "has no policy \"none\""));
	setup_clear(&c.setup);
	configure("policy \"x\" { burst = 0 }");
	assert_int_equal(setup_load(&c.setup, c.config, NULL, &err), EX_CONFIG);
	assert_non_null(strstr(err.text, "weir.conf:5"));
	setup_clear(&c.setup);
	assert_int_equal(
	    setup_load(&c.setup, "/nonexistent", NULL, &err), EX_NOINPUT);
	setup_clear(&c.setup);
	assert_int_equal(setup_load(&c.setup, NULL, "default", &err), 0);
}

/* Observe mode would show nothing: what enforce mode does is asked. */
static void
test_observe(void **state)
{
	(void)state;
	play("mode = observe\npolicy \"default\" { " PLAIN " }",
	    "0 1 2 3 4 5 6 7 8 9 10 11 12 13\n");
	assert_int_equal(cold()->waited.count, 2);
}

static void
attack(const char *text, struct attack_plan *plan)
{
	if (!attack_parse(text, plan, &err))
		fail_msg("%s", err.text);
}

/*
 * Ten at once, then all wait. At one a second the first of these goes after a
 * minute, so that the 111th message, after 110 s, is the hundredth that waits;
 * at ten a second it is the 110th. One a minute is never frozen, and what it
 * reaches in a day is one a minute. Of 100 people in one message 10 pass, and
 * the others go by one a minute.
 */
static void
test_attacks(void **state)
{
	static const char *const text[] = {"1", "10", "1/60", "100/1d,packed"};
	struct attack_plan plans[ARRAY_LEN(text)];
	const struct replay_attack *a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(text); i++)
		attack(text[i], &plans[i]);
	play_as(PLAIN, NULL, "0 1 2\n", plans, ARRAY_LEN(text), false);
	a = c.result.attacks;
	assert_int_equal(a[0].frozen_after, SECONDS(110));
	assert_int_equal(a[0].at_freeze.strangers, 11);
	assert_int_equal(a[0].after_day.strangers, 11);
	assert_int_equal(a[1].frozen_after, 10900);
	assert_int_equal(a[1].at_freeze.strangers, 10);
	assert_int_equal(a[1].after_day.strangers, 10);
	assert_int_equal(a[2].frozen_after, -1);
	assert_int_equal(a[2].after_day.strangers, 1440);
	assert_int_equal(a[3].frozen_after, -1);
	assert_int_equal(a[3].after_day.strangers, 100);
	/* None of it is the users'. */
	assert_int_equal(c.result.wait_count, 0);
	assert_int_equal(c.result.freeze_count, 0);
}

/* It wrote to 70 people: 64 are in the working set, the others are familiar.
 * Where nobody is, they pass by the allowance, and four strangers with them. */
static void
test_attack_known(void **state)
{
	struct attack_plan plan;
	const struct replay_attack *a;

	(void)state;
	attack("10,known=70", &plan);
	play_as(PLAIN, NULL, "0 1 2\n", &plan, 1, false);
	a = c.result.attacks;
	assert_int_equal(a->at_freeze.known, 70);
	assert_int_equal(a->at_freeze.strangers, 10);
	play_as(
	    PLAIN "  familiar_for = \"0\"", NULL, "0 1 2\n", &plan, 1, false);
	a = c.result.attacks;
	assert_int_equal(a->at_freeze.known, 70);
	assert_int_equal(a->at_freeze.strangers, 4);
	assert_int_equal(a->after_day.strangers, 4);
}

/* A list of which nine in ten are gone: the first 22 addresses cost its credit,
 * two of them are there, and of the rest one goes a minute. */
static void
test_attack_unknown(void **state)
{
	static const char credit[] = "freeze_at = 0  refused_credit = 20";
	struct attack_plan plan;
	const struct replay_attack *a;

	(void)state;
	attack("1,unknown=90%", &plan);
	assert_false(attack_is_unknown(&plan, 0));
	assert_true(attack_is_unknown(&plan, 1));
	assert_true(attack_is_unknown(&plan, 9));
	assert_false(attack_is_unknown(&plan, 10));
	play_as(credit, NULL, "0 1 2\n", &plan, 1, false);
	a = c.result.attacks;
	assert_in_range(a->frozen_after, SECONDS(3600), SECONDS(3700));
	assert_non_null(a->reason);
	assert_string_equal(a->reason, "too many unknown recipients");
	assert_in_range(a->at_freeze.strangers, 2, 70);
}

/* ---- outbreaks ---- */

static void
break_out(const char *policy, const char *messages, const char *text,
    struct stolen_results *out, int expected)
{
	struct replay_settings settings = {
	    .trace = &c.trace, .nodes = &c.nodes};
	struct attack_plan plan;

	attack(text, &plan);
	configure(policy);
	if (setup_load(&c.setup, c.config, NULL, &err) != 0 ||
	    stolen_prepare(&c.setup, &plan, 1, &err) != 0)
		fail_msg("%s", err.text);
	if (c.trace.message_count == 0)
		read_text(trace_add_line, &c.trace, messages);
	settings.world = c.setup.world;
	settings.recipients_max = c.setup.recipients_max;
	assert_int_equal(
	    stolen_run(&settings, 0, &plan, 1, out, &err), expected);
	setup_clear(&c.setup);
	c.setup = (struct setup){0};
}

/* Users 1 and 5 are stolen after half a day. 1 knows three people, of whom the
 * thief takes two, 5 knows one. Ten strangers pass of each, and the hundredth
 * that waits freezes: the 112th and the 111th recipient. 8 writes to six
 * strangers a minute later. */
#define TRAFFIC                      \
	"0 1 2 3 4\n"                \
	"100 5 6\n"                  \
	"43260 8 9 10 11 12 13 14\n" \
	"200000 1 2\n"               \
	"300000 5 7\n"

static void
test_outbreak(void **state)
{
	struct stolen_results r;
	const struct replay_outbreak *o = &r.v[0].outbreak;

	(void)state;
	break_out(PLAIN, TRAFFIC, "10,users=2,known=2,at=12h", &r, 0);
	assert_int_equal(o->accounts, 2);
	assert_int_equal(o->frozen, 2);
	assert_int_equal(o->started, SECONDS(43200));
	assert_int_equal(o->median_after, 11000);
	assert_int_equal(o->last_after, 11100);
	assert_int_equal(o->reached.strangers, 20);
	assert_int_equal(o->reached.known, 3);
	assert_non_null(o->reason);
	assert_int_equal(r.v[0].innocent, 1);
	assert_int_equal(r.v[0].touched, 0);
	stolen_clear(&r);
}

/* All senders share 25 strangers a day: four went before, and the thieves take
 * twenty, which leaves one of the six. */
static void
test_outbreak_scope(void **state)
{
	struct stolen_results r;

	(void)state;
	break_out("scope \"all\" { by = all  limit = {\"25/1d\"} }\n"
		  "policy \"default\" { " PLAIN " }",
	    TRAFFIC, "10,users=2,at=12h", &r, 0);
	assert_int_equal(r.v[0].outbreak.reached.strangers, 20);
	assert_int_equal(r.v[0].innocent, 1);
	assert_int_equal(r.v[0].touched, 1);
	assert_int_equal(r.v[0].touched_recipients, 5);
	stolen_clear(&r);
}

/* The first address of the only book is a decoy. */
static void
test_outbreak_decoy(void **state)
{
	struct stolen_results r;
	const struct replay_outbreak *o = &r.v[0].outbreak;

	(void)state;
	break_out(
	    PLAIN, TRAFFIC, "10,users=1,known=100%,decoys=100%,at=12h", &r, 0);
	assert_int_equal(o->frozen, 1);
	assert_int_equal(o->last_after, 0);
	assert_int_equal(o->reached.known, 0);
	assert_string_equal(o->reason, "wrote to a decoy");
	stolen_clear(&r);
}

/* From a new network each minute: the third is one too many. */
static void
test_outbreak_networks(void **state)
{
	static const char policy[] =
	    "client_networks = \"2/1h\"  client_networks_action = freeze";
	struct stolen_results r;

	(void)state;
	break_out(policy, TRAFFIC, "1/60,users=1,networks=5,at=12h", &r, 0);
	assert_int_equal(r.v[0].outbreak.frozen, 1);
	assert_int_equal(r.v[0].outbreak.last_after, MINUTES(2));
	stolen_clear(&r);
	break_out(policy, TRAFFIC, "1/60,users=1,networks=2,at=12h", &r, 0);
	assert_true(r.v[0].outbreak.last_after > MINUTES(30));
	stolen_clear(&r);
}

static void
test_outbreak_when(void **state)
{
	struct stolen_results r;

	(void)state;
	break_out(PLAIN, TRAFFIC, "1,users=1,at=4d", &r, EX_USAGE);
	assert_non_null(strstr(err.text, "between the first and the last"));
	stolen_clear(&r);
	break_out(
	    PLAIN, TRAFFIC, "1,users=1,at=2026-01-02T03:04:05Z", &r, EX_USAGE);
	assert_non_null(strstr(err.text, "has no date"));
	stolen_clear(&r);
	break_out(PLAIN, TRAFFIC, "1,users=1", &r, 0);
	assert_int_equal(r.v[0].outbreak.started, SECONDS(200000));
	stolen_clear(&r);
}

/* Every third recipient is known, as long as there are any. */
static void
test_attack_shares(void **state)
{
	static const char *const wrong[] = {"1,users=0", "1,users=1001",
	    "1,at=1d", "1,known=30%", "1,decoys=10%", "1,networks=2",
	    "1,users=2,at=soon", "1,users=2,decoys=101%",
	    "1,users=2,at=2026-01-02T03:04:05Z+"};
	static const uint32_t known[] = {3, 3, 3, 0, 3, 3, 1, 3, 3, 2, 3, 3, 3};
	struct attack_plan plan;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(attack_parse(wrong[i], &plan, &err));
	attack("1,users=2,known=30%,decoys=50%", &plan);
	for (uint32_t i = 0; i < ARRAY_LEN(known); i++)
		assert_int_equal(attack_known(&plan, i, 3), known[i]);
	assert_false(attack_has_decoy(&plan, 0));
	assert_true(attack_has_decoy(&plan, 1));
}

/* ---- spreads ---- */

static void
test_spread(void **state)
{
	int64_t v[200];
	struct report_spread s;

	(void)state;
	report_spread(v, 0, &s);
	assert_int_equal(s.count, 0);
	for (unsigned i = 0; i < 200; i++)
		v[i] = 200 - i;
	report_spread(v, 200, &s);
	assert_int_equal(s.median, 100);
	assert_int_equal(s.p90, 180);
	assert_int_equal(s.p99, 198);
	assert_int_equal(s.longest, 200);
}

static int
set_up(void **state)
{
	(void)state;
	memset(&c, 0, sizeof(c));
	c.dir = scratch_make(&err);
	if (c.dir == NULL)
		return -1;
	c.config = xasprintf("%s/weir.conf", c.dir);
	/* 1 to 19 are users within, 20 sends elsewhere too, 21 is outside. */
	for (unsigned id = 1; id <= 21; id++) {
		char line[40];

		snprintf(line, sizeof(line), "%u %d %d %d", id, id < 20,
		    id < 21, id < 21 ? 1 : 2);
		read_text(trace_nodes_add_line, &c.nodes, line);
	}
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	replay_clear(&c.result);
	trace_clear(&c.trace);
	trace_nodes_clear(&c.nodes);
	setup_clear(&c.setup);
	scratch_remove(c.dir);
	free(c.dir);
	free(c.config);
	return 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_twelve_at_once),
	    CASE(test_whole),
	    CASE(test_warm),
	    CASE(test_causes),
	    CASE(test_freeze),
	    CASE(test_reject),
	    CASE(test_given_up),
	    CASE(test_idle),
	    CASE(test_idle_remembers),
	    CASE(test_incoming),
	    CASE(test_incoming_without_local),
	    CASE(test_not_a_user),
	    CASE(test_policy),
	    CASE(test_setup_refused),
	    CASE(test_observe),
	    CASE(test_attacks),
	    CASE(test_attack_known),
	    CASE(test_attack_unknown),
	    CASE(test_outbreak),
	    CASE(test_outbreak_scope),
	    CASE(test_outbreak_decoy),
	    CASE(test_outbreak_networks),
	    CASE(test_outbreak_when),
	    CASE(test_attack_shares),
	    CASE(test_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
