/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scopes: whose strangers count together, that they hold and never freeze, what
 * is given back, what a reload and a crash leave, and what is wrong with a
 * configuration. The built-in ones for programs of this machine.
 */
#include "gate/scope.h"
#include "inbound_rig.h"
#include "policy_rig.h"

#include <unistd.h>

#define LOOSE "policy \"default\" { burst = 1000 initial = 1000 }"

struct scopes_conf {
	struct option_array scopes;
};

static const struct option_section scope_sections[] = {
    {
	.name = "scope",
	.doc = "a scope",
	.tables = OPTION_TABLES(scope_options),
	.size = sizeof(struct scope_conf),
	.offset = offsetof(struct scopes_conf, scopes),
	.title_offset = offsetof(struct scope_conf, name),
	.place_offset = offsetof(struct scope_conf, place),
    },
    {.name = NULL},
};
static const struct option_schema scope_schema = {
    .tables = OPTION_TABLES(no_options),
    .sections = scope_sections,
    .size = sizeof(struct scopes_conf)};

static struct scope_rules *
read_scopes(const char *text)
{
	struct scopes_conf *conf =
	    options_load(&scope_schema, "weir.conf", text, err, sizeof(err));
	struct scope_rules *rules;

	if (conf == NULL)
		return NULL;
	rules =
	    scope_rules_new(conf->scopes.v, conf->scopes.n, err, sizeof(err));
	options_free(&scope_schema, conf);
	return rules;
}

static void
reload_scopes(struct rig *r, const char *scopes)
{
	struct scope_rules *was = r->settings.scopes;

	r->settings.scopes = read_scopes(scopes);
	if (r->settings.scopes == NULL)
		fail_msg("%s", err);
	gate_reload(r->gate, &r->settings, r->now);
	scope_rules_free(was);
}

static void
open_scoped(struct rig *r, const char *policies, const char *scopes)
{
	rig_open(r, policies);
	reload_scopes(r, scopes);
}

static void
close_scoped(struct rig *r)
{
	rig_close(r);
	scope_rules_free(r->settings.scopes);
}

struct who {
	const char *user, *from, *client;
	bool local;
};

static struct gate_txn *
begin_as(struct rig *r, const struct who *w)
{
	struct gate_facts facts = {
	    .user = str_from(w->user),
	    .sender = str_from(w->from),
	    .local = w->local,
	};

	if (w->client != NULL)
		assert_true(ip_parse(str_from(w->client), &facts.client));
	return gate_begin(r->gate, &facts, r->now);
}

static enum throttle_verdict
send_as(struct rig *r, const struct who *w, const char *to)
{
	struct gate_txn *txn = begin_as(r, w);
	enum throttle_verdict verdict = rig_ask(r, txn, to);

	if (verdict == THROTTLE_REFUSE)
		gate_cancel(txn, r->now);
	else
		rig_commit(r, txn);
	return verdict;
}

/* How many of n strangers are reached. */
static unsigned
reach(struct rig *r, const struct who *w, const char *prefix, unsigned n)
{
	unsigned passed = 0;

	for (unsigned i = 0; i < n; i++) {
		char to[128];

		snprintf(to, sizeof(to), "%.60s%u@x.test", prefix, i);
		passed += send_as(r, w, to) == THROTTLE_PASS;
	}
	return passed;
}

#define LOGIN(name) (&(struct who){name, "", NULL, false})

static void
test_domains_are_apart(void **state)
{
	struct rig r;

	(void)state;
	open_scoped(
	    &r, LOOSE, "scope \"tenants\" { by = domain limit = {\"5/1h\"} }");
	assert_int_equal(reach(&r, LOGIN("a@one.test"), "p", 3), 3);
	assert_int_equal(reach(&r, LOGIN("b@One.test"), "q", 9), 2);
	assert_int_equal(
	    send_as(&r, LOGIN("c@one.test"), "z@x.test"), THROTTLE_HOLD);
	assert_non_null(strstr(r.why,
	    "scope \"tenants\" is full, 5 of 5 new recipients in 1h used"));
	/* Who is known to a sender is no stranger. */
	assert_int_equal(
	    send_as(&r, LOGIN("a@one.test"), "p1@x.test"), THROTTLE_PASS);
	assert_int_equal(reach(&r, LOGIN("a@two.test"), "r", 9), 5);
	/* A login without a domain is in none, and no envelope is. */
	assert_int_equal(reach(&r, LOGIN("carol"), "s", 9), 9);
	assert_int_equal(
	    reach(&r, &(struct who){"", "a@one.test", "192.0.2.1", false}, "t",
		9),
	    9);
	assert_int_equal(r.freezes, 0);
	assert_int_equal(rig_counter(&r, COUNT_SCOPE_HOLDS), 12);
	close_scoped(&r);
}

static void
test_envelope_domain_where_it_is_the_source(void **state)
{
	struct who a = {"", "a@one.test", "192.0.2.1", false};
	struct rig r;

	(void)state;
	open_scoped(&r,
	    "policy \"default\" { key = envelope burst = 99 initial = 99 }",
	    "scope \"d\" { by = domain limit = {\"5/1h\"} }");
	assert_int_equal(reach(&r, &a, "p", 4), 4);
	a.from = "b@ONE.test";
	assert_int_equal(reach(&r, &a, "q", 4), 1);
	a.from = "b@two.test";
	assert_int_equal(reach(&r, &a, "q", 4), 4);
	close_scoped(&r);
}

static void
test_user_and_client(void **state)
{
	struct who a = {"alice", "", "192.0.2.1", false};
	struct rig r;

	(void)state;
	open_scoped(&r,
	    "policy \"default\" { key = client burst = 99 initial = 99 }",
	    "scope \"u\" { by = user limit = {\"5/1h\"} }"
	    "scope \"c\" { by = client match = {\"198.51.100.0/24\"} "
	    "limit = {\"2/1h\"} }");
	/* One login from two addresses. */
	assert_int_equal(reach(&r, &a, "p", 3), 3);
	a.client = "192.0.2.2";
	assert_int_equal(reach(&r, &a, "q", 9), 2);
	/* Several logins from one address, which the match names. */
	a = (struct who){"bob", "", "198.51.100.7", false};
	assert_int_equal(reach(&r, &a, "r", 1), 1);
	a.user = "dora";
	assert_int_equal(reach(&r, &a, "s", 9), 1);
	assert_non_null(strstr(r.why, "scope \"c\" is full, 2 of 2"));
	close_scoped(&r);
}

/* All must have room; the strictest is named, and takes nothing in the others.
 */
static void
test_overlapping(void **state)
{
	struct scope_info info;
	struct rig r;

	(void)state;
	open_scoped(&r, LOOSE,
	    "scope \"a\" { limit = {\"9/1h\"} }"
	    "scope \"b\" { by = user limit = {\"4/1h\", \"6/1d\"} }");
	assert_int_equal(reach(&r, LOGIN("alice"), "p", 6), 4);
	assert_true(gate_sender_scope(r.gate, STR("alice"), 0, r.now, &info));
	assert_string_equal(info.name, "a");
	assert_int_equal(info.used, 4);
	assert_true(gate_sender_scope(r.gate, STR("alice"), 2, r.now, &info));
	assert_string_equal(info.name, "b");
	assert_string_equal(info.key, "alice");
	assert_int_equal(info.count, 6);
	assert_false(gate_sender_scope(r.gate, STR("alice"), 3, r.now, &info));
	assert_int_equal(reach(&r, LOGIN("bob"), "p", 3), 3);
	assert_int_equal(reach(&r, LOGIN("carl"), "p", 3), 2);
	/* The day's window opens last. */
	rig_run(&r, 2 * HOUR);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(reach(&r, LOGIN("alice"), "q", 1), 0);
	assert_non_null(strstr(r.why, "scope \"b\" is full, 6 of 6 new "
				      "recipients in 1d"));
	close_scoped(&r);
}

/* What waits is let go when there is room again, and no sooner. */
static void
test_release_waits_for_room(void **state)
{
	struct rig r;

	(void)state;
	open_scoped(&r,
	    "policy \"default\" { burst = 9 initial = 9 interval = \"10ms\" }",
	    "scope \"all\" { limit = {\"3/1h\"} }");
	assert_int_equal(reach(&r, LOGIN("alice"), "p", 2), 2);
	assert_int_equal(reach(&r, LOGIN("bob"), "p", 5), 1);
	assert_int_equal(rig_queue(&r, "bob"), 4);
	rig_run(&r, HOUR - 1);
	assert_int_equal(rig_queue(&r, "bob"), 4);
	rig_run(&r, 3 * MINUTE);
	assert_int_equal(rig_queue(&r, "bob"), 1);
	/* These took the room of that hour. */
	assert_int_equal(reach(&r, LOGIN("alice"), "q", 1), 0);
	rig_run(&r, 65 * MINUTE);
	assert_int_equal(rig_queue(&r, "bob"), 0);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 0);
	close_scoped(&r);
}

/* What a scope holds alone is no outbreak of its sender; its own is. */
static void
test_never_freezes(void **state)
{
	struct rig r;

	(void)state;
	open_scoped(&r,
	    "policy \"default\" { burst = 30 initial = 30 freeze_at = 10 }",
	    "scope \"all\" { limit = {\"3/1h\"} }");
	assert_int_equal(reach(&r, LOGIN("alice"), "p", 30), 3);
	assert_int_equal(rig_queue(&r, "alice"), 27);
	assert_int_equal(r.freezes, 0);
	assert_int_equal(reach(&r, LOGIN("alice"), "q", 10), 0);
	assert_int_equal(r.freezes, 1);
	close_scoped(&r);
}

static void
test_reserve_cancel_commit(void **state)
{
	struct gate_txn *a, *b;
	struct rig r;

	(void)state;
	open_scoped(&r, LOOSE, "scope \"all\" { limit = {\"3/1h\"} }");
	a = rig_begin(&r, "alice");
	b = rig_begin(&r, "bob");
	assert_int_equal(rig_ask(&r, a, "a@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, a, "b@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, b, "a@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, b, "b@x"), THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "3 of 3"));
	gate_drop_last(b, r.now);
	gate_cancel(a, r.now);
	assert_int_equal(rig_ask(&r, b, "c@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, b, "d@x"), THROTTLE_PASS);
	rig_commit(&r, b);
	assert_int_equal(reach(&r, LOGIN("carl"), "p", 2), 0);
	close_scoped(&r);
}

static void
test_observe_holds_nothing(void **state)
{
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_scoped(&r, LOOSE, "scope \"all\" { limit = {\"1/1h\"} }");
	rig_reload(&r, LOOSE, true);
	assert_int_equal(reach(&r, LOGIN("a"), "p", 1), 1);
	txn = rig_begin(&r, "b");
	assert_int_equal(rig_ask(&r, txn, "z@x"), THROTTLE_PASS);
	assert_true(r.observed);
	assert_non_null(strstr(r.why, "scope \"all\" is full"));
	rig_commit(&r, txn);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 0);
	close_scoped(&r);
}

static void
test_reload(void **state)
{
	struct rig r;

	(void)state;
	open_scoped(&r, LOOSE, "scope \"all\" { limit = {\"3/1h\"} }");
	assert_int_equal(reach(&r, LOGIN("a"), "p", 9), 3);
	reload_scopes(&r, "scope \"all\" { limit = {\"5/2h\"} }");
	rig_run(&r, MINUTE);
	assert_int_equal(rig_queue(&r, "a"), 4);
	/* What was used counts from then on. */
	assert_int_equal(reach(&r, LOGIN("b"), "p", 1), 0);
	reload_scopes(&r, "scope \"other\" { limit = {\"99/2h\"} }");
	rig_run(&r, MINUTE);
	assert_int_equal(rig_queue(&r, "a"), 0);
	assert_int_equal(reach(&r, LOGIN("c"), "p", 2), 2);
	close_scoped(&r);
}

static void
on_secured(void *arg, const struct gate_answer *answer)
{
	enum throttle_verdict *verdict = arg;

	*verdict = answer->verdict;
}

/* A kill: what was secured before the dot stays spent, under another's name
 * too, and what waits for the scope goes on waiting. */
static void
test_survives_a_kill(void **state)
{
	enum throttle_verdict verdict = THROTTLE_REFUSE;
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	open_scoped(
	    &r, LOOSE, "scope \"d\" { by = domain limit = {\"2/1h\"} }");
	txn = rig_begin(&r, "a@one.test");
	rig_ask(&r, txn, "p@x");
	rig_ask(&r, txn, "q@x");
	rig_ask(&r, txn, "r@x");
	gate_secure(txn, r.now, r.wall, on_secured, &verdict);
	rig_pump(&r);
	assert_int_equal(verdict, THROTTLE_PASS);
	rig_commit(&r, txn);
	rig_pump(&r);
	rig_pass_time(&r, 10 * MINUTE);
	rig_restart(&r);
	assert_int_equal(rig_queue(&r, "a@one.test"), 1);
	assert_int_equal(reach(&r, LOGIN("b@one.test"), "s", 3), 0);
	assert_int_equal(reach(&r, LOGIN("b@two.test"), "s", 3), 2);
	rig_run(&r, 45 * MINUTE);
	assert_int_equal(rig_queue(&r, "a@one.test"), 1);
	assert_int_equal(rig_queue(&r, "b@one.test"), 3);
	rig_run(&r, 10 * MINUTE);
	assert_int_equal(
	    rig_queue(&r, "a@one.test") + rig_queue(&r, "b@one.test"), 2);
	rig_run(&r, 70 * MINUTE);
	assert_int_equal(
	    rig_queue(&r, "a@one.test") + rig_queue(&r, "b@one.test"), 0);
	/* Nothing is left of windows that are empty. */
	rig_run(&r, 3 * HOUR);
	gate_save(r.gate, r.now, r.wall);
	rig_pump(&r);
	close_scoped(&r);
}

static void
test_hostile_state(void **state)
{
	struct scope_rules *rules =
	    read_scopes("scope \"all\" { limit = {\"9/1h\", \"9/1d\"} }");
	struct scope_book *b = scope_book_new();
	struct scope_facts f = {.policy = NULL};
	struct scope_state saved;
	struct scope_info full;
	struct scope_pins *p;
	struct policies *set;
	uint32_t mask;

	(void)state;
	assert_non_null(rules);
	f.policy = only(&set, "");
	scope_book_set_rules(b, rules, 0);
	p = scope_pins_new(b, &f, 0);
	assert_true(scope_reserve(p, 1, 0, &mask, &full));
	scope_commit(p, 1, mask, 0);
	assert_true(scope_next_changed(b, NULL, 5, &saved));
	assert_false(scope_has_changed(b));
	assert_true(
	    scope_load(b, (struct str){(char *)saved.bytes, saved.n}, 0, 5));
	for (size_t n = 0; n < saved.n; n++)
		assert_false(
		    scope_load(b, (struct str){(char *)saved.bytes, n}, 0, 5));
	for (size_t i = 0; i < saved.n; i++) {
		struct scope_state bad = saved;
		bool read;

		bad.bytes[i] ^= 0xff;
		read =
		    scope_load(b, (struct str){(char *)bad.bytes, bad.n}, 0, 5);
		(void)read;
		scope_reserve(p, 1, 6, &mask, &full);
		scope_cancel(p, mask);
	}
	scope_pins_free(p);
	scope_book_free(b);
	scope_rules_free(rules);
	policies_free(set);
}

/* Keys are bounded: who comes past them shares one. */
static void
test_keys_are_bounded(void **state)
{
	struct scope_rules *rules =
	    read_scopes("scope \"c\" { by = client limit = {\"1/1h\"} }");
	struct scope_book *b = scope_book_new();
	struct policies *set;
	struct scope_facts f = {.policy = only(&set, "")};
	unsigned passed = 0;

	(void)state;
	scope_book_set_rules(b, rules, 0);
	for (uint32_t i = 0; i < SCOPE_KEYS_MAX + 500; i++) {
		struct scope_pins *p;
		struct scope_info full;
		uint32_t mask;

		f.facts.client = (struct ip){IP_V4,
		    {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
		p = scope_pins_new(b, &f, 0);
		if (scope_reserve(p, i, 0, &mask, &full)) {
			scope_commit(p, i, mask, 0);
			passed++;
		}
		scope_pins_free(p);
	}
	assert_int_equal(passed, SCOPE_KEYS_MAX + 1);
	scope_sweep(b, SCOPE_KEYS_MAX + 10, 3 * HOUR);
	scope_book_free(b);
	scope_rules_free(rules);
	policies_free(set);
}

static void
expect_scope_error(const char *text, const char *needle)
{
	struct scope_rules *rules = read_scopes(text);

	if (rules != NULL || strstr(err, needle) == NULL)
		fail_msg("%s: %s, not %s", text,
		    rules != NULL ? "no error" : err, needle);
}

static void
test_errors(void **state)
{
	struct scope_rules *rules;

	(void)state;
	expect_scope_error("scope \"a\" { by = user }",
	    "weir.conf:1: scope \"a\": it has no limit");
	expect_scope_error("scope \"a\" { limit = {\"5\"} }", "limit");
	expect_scope_error("scope \"a\" { limits = {\"5/1h\"} }", "limits");
	expect_scope_error("scope \"a\" { by = ip limit = {\"5/1h\"} }", "by");
	expect_scope_error("scope \"a\" { limit = {\"5/1h\"} "
			   "match = {\"from:<>\"} }",
	    "policy of its own");
	expect_scope_error("scope \"a\" { limit = {\"5/1h\"} match = "
			   "{\"file:/nonexistent/x\"} }",
	    "/nonexistent/x");
	expect_scope_error(
	    "scope \"local\" { limit = {\"5/1h\"} match = {\"user:a\"} }",
	    "not allowed in this built-in scope");
	rules = read_scopes(
	    "scope \"a\" { limit = {\"5/1h\"} match = {\"file:/dev/null\"} }"
	    "scope \"b\" { limit = {\"5/1h\"} match = {\"user:a\"} }");
	assert_non_null(rules);
	assert_true(scope_rules_is_void(rules, 0));
	assert_false(scope_rules_is_void(rules, 1));
	scope_rules_free(rules);
}

/* ---- programs of this machine ---- */

static unsigned
forge(struct rig *r, const char *prefix, unsigned n, unsigned each)
{
	unsigned passed = 0;

	for (unsigned i = 0; i < n; i++) {
		char from[64], to[64];
		struct who w = {"", from, "127.0.0.1", true};

		snprintf(from, sizeof(from), "%s%u@site.test", prefix, i);
		snprintf(to, sizeof(to), "%s%u-", prefix, i);
		passed += reach(r, &w, to, each);
	}
	return passed;
}

#define MAIL "policy \"default\" { }"

/* Names cost nothing, and give nothing. */
static void
test_invented_names(void **state)
{
	struct rig r;

	(void)state;
	open_scoped(&r, MAIL, "");
	assert_int_equal(forge(&r, "x", 200, 1), 10);
	/* Nor does sending as one of those that got through. */
	assert_int_equal(forge(&r, "x", 10, 5), 10);
	assert_true(rig_stored(&r, SPOOL_HELD) >= 190);
	rig_run(&r, HOUR);
	assert_in_range(rig_counter(&r, COUNT_RELEASED_RECIPIENTS), 50, 70);
	/* A restart makes nobody of them known. */
	gate_save(r.gate, r.now, r.wall);
	rig_pump(&r);
	rig_restart(&r);
	rig_run(&r, HOUR);
	assert_in_range(rig_counter(&r, COUNT_RELEASED_RECIPIENTS), 90, 140);
	/* A login has nothing to do with it. */
	assert_int_equal(reach(&r, LOGIN("alice"), "p", 10), 10);
	close_scoped(&r);
}

/* A list with a policy of its own, a program known for days, redirects to the
 * same few. */
static void
test_known_programs_go_on(void **state)
{
	struct who old = {"", "cron@site.test", "127.0.0.1", true};
	struct who list = {"", "list@site.test", "127.0.0.1", true};
	struct rig r;

	(void)state;
	open_scoped(&r,
	    MAIL "policy \"lists\" { match = {\"from:list@site.test\"} "
		 "burst = 1000 initial = 1000 }",
	    "");
	assert_int_equal(reach(&r, &old, "o", 1), 1);
	rig_run(&r, 25 * HOUR);
	assert_int_equal(forge(&r, "x", 50, 1), 10);
	assert_int_equal(reach(&r, &old, "p", 10), 10);
	assert_int_equal(reach(&r, &list, "q", 500), 500);
	for (unsigned i = 0; i < 50; i++) {
		char from[64];
		struct who w = {"", from, "127.0.0.1", true};

		snprintf(from, sizeof(from), "s%u@world.test", i);
		assert_int_equal(send_as(&r, &w, "o0@x.test"), THROTTLE_PASS);
	}
	close_scoped(&r);
}

/* All of them together, known or not, in a day. */
static void
test_local_day(void **state)
{
	unsigned passed = 0;
	struct rig r;

	(void)state;
	open_scoped(&r,
	    "policy \"default\" { burst = 99 initial = 99 freeze_at = 0 }",
	    "scope \"local\" { limit = {\"300/1d\"} } "
	    "scope \"new-local\" { limit = {} }");
	for (unsigned i = 0; i < 10; i++) {
		char prefix[8];

		snprintf(prefix, sizeof(prefix), "n%u-", i);
		passed += forge(&r, prefix, 1, 99);
	}
	assert_int_equal(passed, 300);
	assert_int_equal(r.freezes, 0);
	close_scoped(&r);
}

static void
on_full(void *arg, const struct gate_explanation *x)
{
	unsigned *times = arg;

	assert_int_equal(x->answer.verdict, THROTTLE_HOLD);
	assert_non_null(strstr(x->answer.why, "scope \"all\" is full"));
	assert_non_null(strstr(x->change, "a higher limit of the scope"));
	assert_int_equal(x->scope_count, 1);
	assert_int_equal(x->scopes[0].used, 10);
	++*times;
}

/* Of a sender that has sent nothing, and with nothing of it left behind. */
static void
explain_full(struct rig *r)
{
	struct gate_question q = {
	    .sender = STR("carol"),
	    .recipient = STR("z@x.test"),
	    .now = r->now,
	    .wall = r->wall,
	};
	unsigned times = 0;

	for (unsigned i = 0; i < 3; i++)
		gate_explain(r->gate, &q, on_full, &times);
	assert_int_equal(times, 3);
	assert_int_equal(gate_sender_count(r->gate), 2);
}

/* Once for all its senders, and again when the window was half empty. */
static void
test_warns_of_a_scope(void **state)
{
	static const struct who bob = {.user = "bob"}, eve = {.user = "eve"};
	struct rig r;
	char detail[RIG_TEXT];

	(void)state;
	open_scoped(&r, LOOSE, "scope \"all\" { limit = {\"10/1h\"} }");
	reach(&r, &bob, "b", 4);
	reach(&r, &eve, "e", 3);
	assert_int_equal(rig_events(&r, EVENT_WARN), 0);
	reach(&r, &eve, "f", 1);
	assert_int_equal(rig_events(&r, EVENT_WARN), 1);
	rig_last_event(&r, EVENT_WARN, detail);
	assert_string_equal(detail,
	    "80% of scope \"all\" (all): 8 of 10 new recipients in 1h used");
	reach(&r, &bob, "c", 1);
	assert_int_equal(rig_events(&r, EVENT_WARN), 1);
	reach(&r, &bob, "h", 1);
	explain_full(&r);
	rig_pass_time(&r, 2 * 3600 * 1000);
	reach(&r, &bob, "d", 8);
	assert_int_equal(rig_events(&r, EVENT_WARN), 3);
	rig_pass_time(&r, 2 * 3600 * 1000);
	reload_scopes(&r, "scope \"all\" { limit = {\"10/1h\"} warn_at = {} }");
	reach(&r, &bob, "g", 10);
	assert_int_equal(rig_events(&r, EVENT_WARN), 3);
	close_scoped(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_domains_are_apart),
	    cmocka_unit_test(test_envelope_domain_where_it_is_the_source),
	    cmocka_unit_test(test_user_and_client),
	    cmocka_unit_test(test_overlapping),
	    cmocka_unit_test(test_release_waits_for_room),
	    cmocka_unit_test(test_never_freezes),
	    cmocka_unit_test(test_reserve_cancel_commit),
	    cmocka_unit_test(test_observe_holds_nothing),
	    cmocka_unit_test(test_reload),
	    cmocka_unit_test(test_survives_a_kill),
	    cmocka_unit_test(test_hostile_state),
	    cmocka_unit_test(test_keys_are_bounded),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_invented_names),
	    cmocka_unit_test(test_known_programs_go_on),
	    cmocka_unit_test(test_local_day),
	    cmocka_unit_test(test_warns_of_a_scope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
