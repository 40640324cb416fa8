/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an administrator does: release, discard, freeze, thaw, and their races
 * with the schedule.
 */
#include "gate_rig.h"

#include <errno.h>
#include <poll.h>

#define MINUTE 60000
#define SLOW "policy \"default\" { burst = 1 initial = 1 }"

static void
expect_audit(struct rig *r, const char *line)
{
	struct buf out;
	char *text;

	buf_init(&out, 1 << 20);
	rig_audit(r, &out);
	assert_true(buf_append(&out, "", 1));
	text = buf_take(&out);
	if (strstr(text, line) == NULL)
		fail_msg("no \"%s\" in\n%s", line, text);
	free(text);
}

static uint64_t
held_id(struct rig *r, const char *user, const char *address)
{
	struct gate_txn *txn = rig_begin(r, user);

	assert_int_equal(rig_ask(r, txn, address), THROTTLE_HOLD);
	return rig_commit(r, txn);
}

/* A frozen outbreak that is released: exactly the rest is delivered, once. */
static void
test_thaw_release(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { freeze_at = 100 }");
	rig_send_many(&r, "mallory", "v", 300);
	assert_true(rig_is_frozen(&r, "mallory"));
	assert_int_equal(rig_thaw(&r, "mallory", GATE_THAW_RELEASE), 0);
	assert_int_equal(r.count, 100);
	assert_false(rig_is_frozen(&r, "mallory"));
	assert_int_equal(rig_queue(&r, "mallory"), 0);
	assert_true(r.released > 0);
	assert_int_equal(rig_deliver(&r, NULL), 100);
	assert_int_equal(rig_counter(&r, COUNT_RELEASED_RECIPIENTS), 100);
	rig_run(&r, 200 * MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	assert_int_equal(rig_counter(&r, COUNT_RELEASED_RECIPIENTS), 100);
	/* Those released last are known now. */
	assert_int_equal(
	    rig_send(&r, "mallory", "v109@example.com"), THROTTLE_PASS);
	assert_string_equal(r.why, "known recipient");
	expect_audit(&r, "weir freeze mallory 100 of 100 recipients waiting");
	expect_audit(&r, "admin release mallory ");
	expect_audit(&r, "admin thaw mallory 100 recipients released");
	assert_int_equal(rig_events(&r, EVENT_THAW), 1);
	assert_int_equal(rig_events(&r, EVENT_RELEASE), 100);
	rig_close(&r);
}

static void
test_thaw_discard(void **state)
{
	struct rig r;
	struct rig_counts c;

	(void)state;
	rig_open(&r, "policy \"default\" { freeze_at = 100 }");
	rig_send_many(&r, "mallory", "v", 300);
	assert_int_equal(rig_thaw(&r, "mallory", GATE_THAW_DISCARD), 0);
	assert_int_equal(r.count, 100);
	assert_false(rig_is_frozen(&r, "mallory"));
	assert_int_equal(rig_queue(&r, "mallory"), 0);
	rig_run(&r, 200 * MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	assert_int_equal(rig_counter(&r, COUNT_DISCARDED_RECIPIENTS), 100);
	assert_int_equal(rig_counter(&r, COUNT_RELEASED_RECIPIENTS), 0);
	expect_audit(&r, "admin thaw mallory 100 recipients discarded");
	/* It can be frozen anew, and the hook runs anew. */
	c = rig_send_many(&r, "mallory", "w", 300);
	assert_int_equal(c.held, 100);
	assert_true(rig_is_frozen(&r, "mallory"));
	assert_int_equal(r.freezes, 2);
	rig_close(&r);
}

static void
test_thaw_keep(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { freeze_at = 100 }");
	rig_send_many(&r, "mallory", "v", 300);
	assert_int_equal(rig_thaw(&r, "mallory", GATE_THAW_KEEP), 0);
	assert_int_equal(r.count, 0);
	assert_int_equal(rig_queue(&r, "mallory"), 100);
	rig_run(&r, 40 * MINUTE);
	assert_in_range(rig_deliver(&r, NULL), 39, 51);
	rig_run(&r, 100 * MINUTE);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 0);
	expect_audit(&r, "admin thaw mallory queue kept");
	rig_close(&r);
}

/* ---- what was let go before ---- */

/* Ten released in time, and then frozen by hand, with ten that wait. */
static void
let_go_and_freeze(struct rig *r)
{
	rig_open(r, "");
	rig_send_many(r, "alice", "v", 30);
	rig_run(r, 10 * MINUTE);
	assert_int_equal(rig_stored(r, SPOOL_RELEASED), 10);
	r->stops = 0;
	assert_int_equal(rig_freeze(r, "alice"), 0);
	assert_int_equal(r->stops, 1);
}

static void
test_freeze_reaches_what_was_let_go(void **state)
{
	struct rig r;

	(void)state;
	let_go_and_freeze(&r);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	rig_restart(&r);
	assert_true(rig_is_frozen(&r, "alice"));
	rig_run(&r, 10 * MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	r.released = 0;
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_KEEP), 0);
	assert_true(r.released > 0);
	assert_int_equal(rig_deliver(&r, NULL), 10);
	assert_int_equal(rig_queue(&r, "alice"), 10);
	rig_close(&r);
}

static void
test_thaw_discards_what_was_let_go(void **state)
{
	struct rig r;

	(void)state;
	let_go_and_freeze(&r);
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_DISCARD), 0);
	assert_int_equal(r.count, 20);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	assert_int_equal(rig_stored(&r, SPOOL_RELEASED), 0);
	rig_close(&r);
}

static void
test_thaw_releases_what_was_let_go(void **state)
{
	struct rig r;

	(void)state;
	let_go_and_freeze(&r);
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_RELEASE), 0);
	assert_int_equal(rig_deliver(&r, NULL), 20);
	rig_close(&r);
}

static void
test_thaw_unknown(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "");
	assert_int_equal(rig_thaw(&r, "nobody", GATE_THAW_KEEP), ENOENT);
	assert_int_equal(gate_sender_count(r.gate), 0);
	/* Known and not frozen: harmless. */
	rig_send(&r, "alice", "a@x");
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_KEEP), 0);
	assert_int_equal(rig_events(&r, EVENT_THAW), 0);
	rig_close(&r);
}

static void
test_freeze(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "");
	rig_send(&r, "alice", "a@x");
	assert_int_equal(rig_freeze(&r, "Alice"), 0);
	assert_true(rig_is_frozen(&r, "alice"));
	assert_int_equal(r.freezes, 1);
	assert_string_equal(r.freeze_sender, "alice");
	assert_int_equal(rig_send(&r, "alice", "a@x"), THROTTLE_REFUSE);
	assert_non_null(
	    strstr(r.text, "alice has been frozen since 2026-01-01T10:00:00Z: "
			   "frozen by an administrator"));
	/* Twice is once. */
	assert_int_equal(rig_freeze(&r, "alice"), 0);
	assert_int_equal(r.freezes, 1);
	assert_int_equal(rig_counter(&r, COUNT_FREEZES), 1);
	rig_restart(&r);
	assert_true(rig_is_frozen(&r, "alice"));
	expect_audit(&r, "admin freeze alice frozen by an administrator");
	rig_close(&r);
}

static void
test_freeze_unknown(void **state)
{
	struct rig r;
	struct gate_sender_info info;

	(void)state;
	rig_open(&r, "policy \"net\" { match = {\"192.0.2.0/24\"} }");
	assert_int_equal(rig_freeze(&r, "eve@example.org"), 0);
	assert_true(rig_is_frozen(&r, "eve@example.org"));
	assert_int_equal(rig_freeze(&r, "192.0.2.7"), 0);
	assert_true(rig_info(&r, "192.0.2.7", &info));
	assert_string_equal(info.sender, "[192.0.2.7]");
	assert_string_equal(info.policy, "net");
	assert_int_equal(rig_freeze(&r, "2001:db8::7"), 0);
	assert_true(rig_info(&r, "2001:db8::7", &info));
	assert_string_equal(info.sender, "[2001:db8::/64]");
	assert_int_equal(rig_freeze(&r, "<x@y>"), 0);
	assert_true(rig_info(&r, "<x@y>", &info));
	assert_string_equal(info.sender, "<x@y>");
	r.done = 0;
	gate_freeze(r.gate,
	    &(struct gate_freeze_order){.sender = "  ", .who = "admin"}, r.now,
	    r.wall, rig_on_done, &r);
	assert_int_equal(r.done, 1);
	assert_int_equal(r.error, EINVAL);
	/* No network is a sender. */
	gate_freeze(r.gate,
	    &(struct gate_freeze_order){
		.sender = "192.0.2.0/24", .who = "admin"},
	    r.now, r.wall, rig_on_done, &r);
	assert_int_equal(r.done, 2);
	assert_int_equal(r.error, EINVAL);
	assert_int_equal(
	    rig_send(&r, "eve@example.org", "a@x"), THROTTLE_REFUSE);
	rig_close(&r);
}

static void
expect_frozen_as(const char *policies, const char *name, const char *key)
{
	struct gate_sender_info info;
	struct rig r;

	rig_open(&r, policies);
	rig_freeze(&r, name);
	assert_int_equal(r.error, 0);
	assert_int_equal(gate_frozen_count(r.gate), 1);
	assert_true(rig_info(&r, key, &info));
	assert_string_equal(info.sender, key);
	assert_int_not_equal(info.frozen_at, 0);
	rig_close(&r);
}

/* A name is nobody else, whatever the policy counts: not the null sender where
 * envelopes count, nor all local clients where addresses do. */
static void
test_name_stands_for_itself(void **state)
{
	static const char envelope[] = "policy \"default\" { key = envelope }";
	static const char client[] = "policy \"default\" { key = client }";
	static const char from[] = "policy \"e\" { key = envelope match = "
				   "{\"from:@example.org\"} }";

	(void)state;
	expect_frozen_as(envelope, "Bob@example.org", "<bob@example.org>");
	expect_frozen_as(envelope, "192.0.2.7", "[192.0.2.7]");
	expect_frozen_as(envelope, "<>", "<>");
	expect_frozen_as("", "<Bob@Example.org>", "<bob@example.org>");
	expect_frozen_as(client, "bob@example.org", "bob@example.org");
	expect_frozen_as(client, "192.0.2.7", "[192.0.2.7]");
	expect_frozen_as(client, "2001:db8::7", "[2001:db8::/64]");
	expect_frozen_as(from, "bob@example.org", "<bob@example.org>");
	expect_frozen_as(from, "bob@example.com", "bob@example.com");
	expect_frozen_as("", "192.0.2.7", "[192.0.2.7]");
}

/* What is asked for somebody unknown touches nobody's mail. */
static void
test_discard_of_a_stranger(void **state)
{
	struct spool_select select = {.source = "nobody@example.org"};
	struct gate_facts facts = {.client = {.family = IP_NONE}};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { key = envelope }\n"
		     "policy \"null\" { burst = 1 }");
	txn = gate_begin(r.gate, &facts, r.now);
	assert_string_equal(gate_txn_source(txn), "<>");
	assert_int_equal(rig_ask(&r, txn, "b@x"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "a@x"), THROTTLE_HOLD);
	rig_commit(&r, txn);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 1);
	rig_discard(&r, &select);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.count, 0);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 1);
	rig_close(&r);
}

static void
test_release_by_id(void **state)
{
	struct rig r;
	struct spool_select select = {0};
	uint64_t ids[2];
	char line[64], id[SPOOL_ID_TEXT];

	(void)state;
	rig_open(&r, SLOW);
	rig_send(&r, "alice", "a@x");
	ids[0] = held_id(&r, "alice", "b@x");
	held_id(&r, "alice", "c@x");
	ids[1] = held_id(&r, "alice", "d@x");
	select.ids = ids;
	select.id_count = 2;
	assert_int_equal(rig_release(&r, &select), 0);
	assert_int_equal(r.count, 2);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	assert_int_equal(rig_deliver(&r, NULL), 2);
	assert_int_equal(rig_send(&r, "alice", "b@x"), THROTTLE_PASS);
	assert_int_equal(rig_send(&r, "alice", "c@x"), THROTTLE_HOLD);
	snprintf(line, sizeof(line), "admin release %s and 1 more",
	    spool_id_format(ids[0], id));
	expect_audit(&r, line);
	/* Again: there is nothing left to change. */
	assert_int_equal(rig_release(&r, &select), 0);
	assert_int_equal(r.count, 0);
	rig_close(&r);
}

static void
test_discard_by_id(void **state)
{
	struct rig r;
	struct spool_select select = {0};
	uint64_t id;
	char text[RIG_TEXT];

	(void)state;
	rig_open(&r, SLOW);
	rig_send(&r, "alice", "a@x");
	held_id(&r, "alice", "b@x");
	id = held_id(&r, "alice", "c@x");
	select.ids = &id;
	select.id_count = 1;
	assert_int_equal(rig_discard(&r, &select), 0);
	assert_int_equal(r.count, 1);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 1);
	rig_last_event(&r, EVENT_DISCARD, text);
	assert_non_null(strstr(text, "discarded by admin"));
	/* Discarding makes nobody known. */
	assert_int_equal(rig_send(&r, "alice", "c@x"), THROTTLE_HOLD);
	rig_close(&r);
}

/* A sender as people write it, others untouched. */
static void
test_discard_by_sender(void **state)
{
	struct rig r;
	struct spool_select select = {.source = "MALLORY@example.org"};

	(void)state;
	rig_open(&r, SLOW);
	rig_send_many(&r, "mallory@example.org", "v", 21);
	rig_send_many(&r, "bob", "b", 6);
	assert_int_equal(rig_discard(&r, &select), 0);
	assert_int_equal(r.count, 20);
	assert_int_equal(rig_queue(&r, "mallory@example.org"), 0);
	assert_int_equal(rig_queue(&r, "bob"), 5);
	expect_audit(&r, "admin discard mallory@example.org ");
	rig_close(&r);
}

/* Many senders in one batch: each queue loses its own. */
static void
test_release_all(void **state)
{
	struct rig r;
	struct spool_select select = {.all = true};

	(void)state;
	rig_open(&r, SLOW);
	for (int i = 0; i < 3; i++) {
		rig_send_many(&r, "alice",
		    i == 0   ? "a"
		    : i == 1 ? "b"
			     : "c",
		    4);
		rig_send_many(&r, "bob", i == 0 ? "a" : i == 1 ? "b" : "c", 3);
	}
	assert_int_equal(rig_queue(&r, "alice") + rig_queue(&r, "bob"), 11 + 8);
	assert_int_equal(rig_release(&r, &select), 0);
	assert_int_equal(r.count, 19);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(rig_queue(&r, "bob"), 0);
	assert_int_equal(rig_deliver(&r, NULL), 19);
	expect_audit(&r, "admin release all ");
	rig_close(&r);
}

static void
test_filters(void **state)
{
	struct rig r;
	struct spool_select select = {
	    .source = "alice", .queued_before = RIG_WALL + MINUTE / 2};

	(void)state;
	rig_open(&r, SLOW);
	rig_send_many(&r, "alice", "a", 3);
	rig_pass_time(&r, MINUTE - 1000);
	rig_send_many(&r, "alice", "b", 2);
	assert_int_equal(rig_queue(&r, "alice"), 4);
	assert_int_equal(rig_discard(&r, &select), 0);
	assert_int_equal(r.count, 2);
	assert_int_equal(rig_queue(&r, "alice"), 2);
	expect_audit(&r, "admin discard alice before 2026-01-01T10:00:30Z");
	rig_close(&r);
}

static void
on_release_event(void *arg, const struct event_item *item)
{
	if (item->type == EVENT_RELEASE || item->type == EVENT_THAW)
		snprintf(arg, 1024, "%s", item->detail);
}

/* Of a site it is somebody at a relay, and both have long names. */
static void
test_who_did_it_is_named_whole(void **state)
{
	struct spool_select select = {.source = "alice"};
	char who[360], wanted[400], detail[1024] = "";
	struct rig r;

	(void)state;
	memset(who, 'w', sizeof(who) - 1);
	who[sizeof(who) - 1] = '\0';
	rig_open(&r, SLOW);
	rig_send_many(&r, "alice", "a", 4);
	gate_release(r.gate, &select, who, r.now, r.wall, rig_on_done, &r);
	rig_pump(&r);
	snprintf(wanted, sizeof(wanted), "released by %s", who);
	events_each(r.events, 0, on_release_event, detail);
	assert_non_null(strstr(detail, wanted));
	rig_freeze(&r, "alice");
	gate_thaw(r.gate, "alice", GATE_THAW_KEEP, who, r.now, r.wall,
	    rig_on_done, &r);
	rig_pump(&r);
	snprintf(wanted, sizeof(wanted), "thawed by %s,", who);
	events_each(r.events, 0, on_release_event, detail);
	assert_non_null(strstr(detail, wanted));
	rig_close(&r);
}

/* The schedule let go what an administrator discards: the spool says who was
 * first, and neither is upset. Both orders. */
static void
test_race_with_schedule(void **state)
{
	struct rig r;
	struct spool_select select = {.source = "alice"};

	(void)state;
	rig_open(&r, SLOW);
	rig_send_many(&r, "alice", "a", 4);
	rig_pass_time(&r, MINUTE);
	r.done = 0;
	gate_discard(r.gate, &select, "admin", r.now, r.wall, rig_on_done, &r);
	gate_run(r.gate, r.now, r.wall);
	rig_pump(&r);
	assert_int_equal(r.done, 1);
	assert_int_equal(r.count, 3);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	assert_int_equal(rig_queue(&r, "alice"), 0);

	rig_send_many(&r, "alice", "b", 4);
	rig_pass_time(&r, MINUTE);
	r.done = 0;
	gate_run(r.gate, r.now, r.wall);
	gate_release(r.gate, &select, "admin", r.now, r.wall, rig_on_done, &r);
	rig_pump(&r);
	assert_int_equal(r.done, 1);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(rig_deliver(&r, NULL), 4);
	rig_run(&r, 10 * MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	rig_close(&r);
}

/* Freeze and thaw given at once end in the order in which they were given. */
static void
test_freeze_and_thaw_at_once(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, SLOW);
	rig_send(&r, "alice", "a@x");
	r.done = 0;
	gate_freeze(r.gate,
	    &(struct gate_freeze_order){.sender = "alice", .who = "admin"},
	    r.now, r.wall, rig_on_done, &r);
	gate_thaw(r.gate, "alice", GATE_THAW_KEEP, "admin", r.now, r.wall,
	    rig_on_done, &r);
	rig_pump(&r);
	assert_int_equal(r.done, 2);
	assert_false(rig_is_frozen(&r, "alice"));
	r.done = 0;
	rig_freeze(&r, "alice");
	r.done = 0;
	gate_thaw(r.gate, "alice", GATE_THAW_KEEP, "admin", r.now, r.wall,
	    rig_on_done, &r);
	gate_freeze(r.gate,
	    &(struct gate_freeze_order){.sender = "alice", .who = "admin"},
	    r.now, r.wall, rig_on_done, &r);
	rig_pump(&r);
	assert_int_equal(r.done, 2);
	assert_true(rig_is_frozen(&r, "alice"));
	rig_restart(&r);
	assert_true(rig_is_frozen(&r, "alice"));
	rig_close(&r);
}

/* An open transaction survives whatever the administrator does meanwhile. */
static void
test_transaction_across_changes(void **state)
{
	struct rig r;
	struct gate_txn *txn;
	struct spool_select select = {.source = "alice"};

	(void)state;
	rig_open(&r, SLOW);
	rig_send_many(&r, "alice", "a", 3);
	txn = rig_begin(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "a0@example.com"), THROTTLE_PASS);
	assert_int_equal(rig_ask(&r, txn, "z@x"), THROTTLE_HOLD);
	rig_discard(&r, &select);
	rig_freeze(&r, "alice");
	assert_int_equal(rig_ask(&r, txn, "y@x"), THROTTLE_REFUSE);
	rig_commit(&r, txn);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	assert_int_equal(rig_thaw(&r, "alice", GATE_THAW_RELEASE), 0);
	assert_int_equal(r.count, 1);
	assert_int_equal(rig_deliver(&r, NULL), 1);
	rig_close(&r);
}

/* The daemon ends with work under way: nothing leaks, nothing is told. */
static void
test_free_with_work_under_way(void **state)
{
	struct rig r;
	struct spool_select select = {.all = true};

	(void)state;
	rig_open(&r, SLOW);
	rig_send_many(&r, "alice", "a", 4);
	r.done = 0;
	rig_pass_time(&r, MINUTE);
	gate_run(r.gate, r.now, r.wall);
	gate_freeze(r.gate,
	    &(struct gate_freeze_order){.sender = "bob", .who = "admin"}, r.now,
	    r.wall, rig_on_done, &r);
	gate_release(r.gate, &select, "admin", r.now, r.wall, rig_on_done, &r);
	rig_restart(&r);
	assert_int_equal(r.done, 0);
	/* It was all done, though. */
	assert_true(rig_is_frozen(&r, "bob"));
	assert_int_equal(rig_deliver(&r, NULL), 3);
	rig_close(&r);
}

/* What is more than a moment's work is answered before it is done. */
static void
test_answers_before_the_end(void **state)
{
	struct spool_select all = {.all = true};
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 0 freeze_at = 0 "
		     "queue_max = 1000 }");
	(void)rig_send_many(&r, "alice@example.org", "r", 600);
	rig_pump(&r);
	assert_int_equal(rig_queue(&r, "alice@example.org"), 600);
	r.done = 0;
	gate_release(r.gate, &all, "admin", r.now, r.wall, rig_on_done, &r);
	gate_set_now(r.gate, r.now + GATE_ANSWER_MS - 1);
	gate_set_now(r.gate, r.now); /* it does not go back */
	rig_pump(&r);
	assert_int_equal(r.done, 1);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.count, 600);

	(void)rig_send_many(&r, "bob@example.org", "r", 600);
	rig_pump(&r);
	r.done = 0;
	gate_discard(r.gate, &all, "admin", r.now, r.wall, rig_on_done, &r);
	gate_set_now(r.gate, r.now + GATE_ANSWER_MS);
	rig_pump(&r);
	assert_int_equal(r.done, 1);
	assert_int_equal(r.error, EINPROGRESS);
	assert_in_range(r.count, 1, 599);
	assert_int_equal(rig_queue(&r, "bob@example.org"), 0);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 0);
	rig_close(&r);
}

static void
on_drained(void *arg)
{
	(*(unsigned *)arg)++;
}

/* The thaw comes behind the queue, whenever it is answered, and a stop waits
 * for it. */
static void
test_thaw_answers_before_the_end(void **state)
{
	unsigned drained = 0;
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 0 freeze_at = 0 "
		     "queue_max = 1000 }");
	(void)rig_send_many(&r, "alice@example.org", "r", 600);
	gate_freeze(r.gate,
	    &(struct gate_freeze_order){
		.sender = "alice@example.org", .who = "admin"},
	    r.now, r.wall, rig_on_done, &r);
	rig_pump(&r);
	assert_true(rig_is_frozen(&r, "alice@example.org"));
	r.done = 0;
	gate_thaw(r.gate, "alice@example.org", GATE_THAW_RELEASE, "admin",
	    r.now, r.wall, rig_on_done, &r);
	gate_set_now(r.gate, r.now + GATE_ANSWER_MS);
	for (int i = 0; r.done == 0 && i < 1000; i++) {
		struct pollfd p = {spool_fd(r.spool), POLLIN, 0};

		poll(&p, 1, 100);
		spool_dispatch(r.spool);
	}
	assert_int_equal(r.done, 1);
	assert_int_equal(r.error, EINPROGRESS);
	assert_in_range(r.count, 1, 599);
	assert_true(rig_is_frozen(&r, "alice@example.org"));
	gate_drain(r.gate, on_drained, &drained);
	for (int i = 0; drained == 0 && i < 1000; i++) {
		struct pollfd p = {spool_fd(r.spool), POLLIN, 0};

		assert_true(rig_is_frozen(&r, "alice@example.org"));
		poll(&p, 1, 100);
		spool_dispatch(r.spool);
	}
	assert_int_equal(drained, 1);
	assert_int_equal(r.done, 1);
	assert_false(rig_is_frozen(&r, "alice@example.org"));
	assert_int_equal(rig_queue(&r, "alice@example.org"), 0);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 0);
	/* Once, and at once where there is nothing. */
	gate_thaw(r.gate, "alice@example.org", GATE_THAW_KEEP, "admin", r.now,
	    r.wall, rig_on_done, &r);
	rig_pump(&r);
	assert_int_equal(drained, 1);
	gate_drain(r.gate, on_drained, &drained);
	assert_int_equal(drained, 2);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_answers_before_the_end),
	    cmocka_unit_test(test_thaw_answers_before_the_end),
	    cmocka_unit_test(test_thaw_release),
	    cmocka_unit_test(test_thaw_discard),
	    cmocka_unit_test(test_freeze_reaches_what_was_let_go),
	    cmocka_unit_test(test_thaw_discards_what_was_let_go),
	    cmocka_unit_test(test_thaw_releases_what_was_let_go),
	    cmocka_unit_test(test_thaw_keep),
	    cmocka_unit_test(test_thaw_unknown),
	    cmocka_unit_test(test_freeze),
	    cmocka_unit_test(test_freeze_unknown),
	    cmocka_unit_test(test_name_stands_for_itself),
	    cmocka_unit_test(test_discard_of_a_stranger),
	    cmocka_unit_test(test_release_by_id),
	    cmocka_unit_test(test_discard_by_id),
	    cmocka_unit_test(test_discard_by_sender),
	    cmocka_unit_test(test_release_all),
	    cmocka_unit_test(test_filters),
	    cmocka_unit_test(test_who_did_it_is_named_whole),
	    cmocka_unit_test(test_race_with_schedule),
	    cmocka_unit_test(test_freeze_and_thaw_at_once),
	    cmocka_unit_test(test_transaction_across_changes),
	    cmocka_unit_test(test_free_with_work_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
