/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reverse path as a destination: what it costs, what is free, what waits
 * for it, and what is known of it after a restart.
 */
#include "inbound_rig.h"

#include <stdlib.h>
#include <unistd.h>

#define HOME "me@own.test"
#define FEW "policy \"default\" { burst = 3 initial = 3 interval = \"1m\" }"

struct from {
	const char *user, *client, *path;
	bool local, front_end, by_command;
};

static struct gate_txn *
begin_from(struct rig *r, const struct from *f)
{
	struct gate_facts facts = {
	    .user = str_from(f->user),
	    .sender = str_from(f->path),
	    .local = f->local,
	    .front_end = f->front_end,
	    .by_command = f->by_command,
	};

	if (f->client != NULL)
		assert_true(ip_parse(str_from(f->client), &facts.client));
	return gate_begin(r->gate, &facts, r->now);
}

static enum throttle_verdict
send_from(struct rig *r, const struct from *f, const char *to)
{
	struct gate_txn *txn = begin_from(r, f);
	enum throttle_verdict verdict = rig_ask(r, txn, to);

	if (verdict == THROTTLE_REFUSE)
		gate_cancel(txn, r->now);
	else
		rig_commit(r, txn);
	return verdict;
}

/* "s#@x.test" as "s17@x.test". */
static void
number(const char *form, unsigned i, char out[96])
{
	struct str rest = str_from(form), front = str_cut(&rest, '#');

	if (strchr(form, '#') == NULL)
		snprintf(out, 96, "%s", form);
	else
		snprintf(
		    out, 96, "%.*s%u%.*s", STR_ARG(front), i, STR_ARG(rest));
}

/* Of n messages to one recipient, each from another path. */
static unsigned
count_passed(struct rig *r, struct from f, const char *form, unsigned n)
{
	unsigned passed = 0;

	for (unsigned i = 0; i < n; i++) {
		char path[96];

		number(form, i, path);
		f.path = path;
		passed += send_from(r, &f, "known@b.test") == THROTTLE_PASS;
	}
	return passed;
}

static const struct from alice = {.user = "alice", .path = HOME};
static const struct from client = {.client = "192.0.2.1", .path = HOME};

/* ---- what it costs ---- */

static void
test_carrier(void **state)
{
	const struct from *const sources[] = {&alice, &client};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		rig_open(&r, "");
		/* The home and the recipient: 9 are left. */
		assert_int_equal(
		    send_from(&r, sources[i], "known@b.test"), THROTTLE_PASS);
		assert_int_equal(
		    count_passed(&r, *sources[i], "s#@x.test", 200), 9);
		assert_int_equal(rig_counter(&r, COUNT_FROZEN_SENDERS), 1);
		assert_int_equal(rig_stored(&r, SPOOL_HELD), 100);
		rig_close(&r);
	}
}

/* Without a path of its own the first is its home. */
static void
test_home(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, FEW);
	assert_int_equal(send_from(&r, &alice, "a@b.test"), THROTTLE_PASS);
	assert_int_equal(send_from(&r, &alice, "b@b.test"), THROTTLE_PASS);
	assert_int_equal(send_from(&r, &alice, "c@b.test"), THROTTLE_PASS);
	assert_int_equal(send_from(&r, &alice, "d@b.test"), THROTTLE_HOLD);
	assert_null(strstr(r.why, "reverse path"));
	rig_close(&r);
}

static void
test_known_once_used(void **state)
{
	struct from other = alice;
	struct rig r;

	(void)state;
	rig_open(&r, FEW);
	send_from(&r, &alice, "known@b.test");
	other.path = "Other+tag@X.test";
	assert_int_equal(send_from(&r, &other, "known@b.test"), THROTTLE_PASS);
	other.path = "other@x.test";
	for (int i = 0; i < 20; i++)
		assert_int_equal(
		    send_from(&r, &other, "known@b.test"), THROTTLE_PASS);
	assert_int_equal(rig_counter(&r, COUNT_NEW_REVERSE_PATHS), 1);
	/* Who was written to is no stranger as a path either. */
	assert_int_equal(send_from(&r, &alice, "carl@b.test"), THROTTLE_PASS);
	other.path = "carl@b.test";
	assert_int_equal(send_from(&r, &other, "known@b.test"), THROTTLE_PASS);
	rig_close(&r);
}

static void
test_base(void **state)
{
	static const char *const forms[] = {
	    "list-bounces+u#=b.test@l.test",
	    "bounce-#-u=b.test@l.test",
	    "SRS0=ab#=tt=b.test=u@f.test",
	    "prvs=12#abcdef=me@o.test",
	    "me+#@p.test",
	};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		rig_open(&r, FEW);
		send_from(&r, &client, "known@b.test");
		assert_int_equal(count_passed(&r, client, forms[i], 500), 500);
		assert_int_equal(rig_counter(&r, COUNT_NEW_REVERSE_PATHS), 1);
		rig_close(&r);
	}
}

/* ---- what is free ---- */

static void
test_costs_nothing(void **state)
{
	const struct {
		struct from from;
		const char *form, *policy;
		unsigned passed;
	} rows[] = {
	    {{.user = "alice"}, "s#@example.org", FEW, 50},
	    {{.user = "alice"}, "s#@EXAMPLE.org", FEW, 50},
	    {{.client = "192.0.2.1"}, "s#@example.org", FEW, 50},
	    {{.user = "alice"}, "", FEW, 50},
	    {{.client = "192.0.2.1", .front_end = true}, "s#@x.test", FEW, 50},
	    {{.client = "192.0.2.1"}, "s#@x.test",
		"policy \"default\" { burst = 3 reverse_paths = free }", 50},
	    {{.client = "192.0.2.1"}, "s#@x.test",
		"policy \"default\" { exempt = yes }", 50},
	    /* A login counts behind a front end, too. */
	    {{.user = "alice", .front_end = true}, "s#@x.test", FEW, 2},
	    {{.user = "alice"}, "s#@x.test", FEW, 2},
	    /* Another address may hide in it. */
	    {{.user = "alice"}, "s#%x.test@example.org", FEW, 2},
	    {{.user = "alice"}, "x.test!s#@example.org", FEW, 2},
	    {{.user = "alice"}, "\"s#@x.test\"@example.org", FEW, 2},
	};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct from first = rows[i].from;
		unsigned passed;

		open_as(&r, rows[i].policy, LOCALS_ADDRESS);
		first.path = HOME;
		send_from(&r, &first, "known@b.test");
		passed = count_passed(&r, rows[i].from, rows[i].form, 50);
		if (passed != rows[i].passed)
			fail_msg("%s: %u passed", rows[i].form, passed);
		close_rig(&r);
	}
}

/* The login is the address, with whatever tag; a file gives it others. */
static void
test_own(void **state)
{
	static const struct {
		const char *user, *path;
		bool own;
	} rows[] = {
	    {"bob@b.test", "bob@b.test", true},
	    {"bob@b.test", "Bob+x@B.test", true},
	    {"bob@b.test", "bob@c.test", false},
	    /* A login of a foreign domain proves nothing about it. */
	    {"bob@c.test", "bob@c.test", false},
	    {"alice", "alice@example.org", true},
	    {"alice", "bob@example.org", false},
	    {"asmith", "alice.smith@example.org", true},
	    {"alice", "alice.smith@example.org", false},
	    {"alice", "sales@d.test", true},
	    {"ALICE", "Sales@D.test", true},
	    {"bob", "sales@d.test", false},
	    {"alice", "any@lists.test", true},
	    {"alice", "s%x.test@lists.test", false},
	    {"bob", "any@lists.test", false},
	    {"alice", "", true},
	};
	char file[] = "/tmp/weir-owners-XXXXXX", policy[256];
	static const char text[] = "# who\nalice sales@d.test, @lists.test\n";
	int fd = mkstemp(file);
	struct rig r;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	snprintf(policy, sizeof(policy),
	    "policy \"default\" { sender_addresses = own "
	    "sender_address_file = \"%s\" }",
	    file);
	open_as(&r, policy, LOCALS_LOCALPART);
	add(&r, "b.test", "alice.smith@example.org=asmith");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct from f = {.user = rows[i].user, .path = rows[i].path};
		struct gate_txn *txn = begin_from(&r, &f);

		rig_sender(&r, txn);
		if ((r.verdict == THROTTLE_PASS) != rows[i].own)
			fail_msg("%s %s", rows[i].user, rows[i].path);
		if (!rows[i].own) {
			assert_int_equal(r.code, 553);
			assert_string_equal(r.enhanced, "5.7.1");
			assert_non_null(strstr(r.text, "not owned by"));
		}
		gate_cancel(txn, r.now);
	}
	close_rig(&r);
	unlink(file);
}

/* ---- what waits ---- */

/* The whole message, and nothing of it before its path. */
static void
test_whole(void **state)
{
	struct from other = {.user = "alice", .path = "s@x.test"};
	struct gate_sender_info info;
	char event[RIG_TEXT];
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 2 initial = 2 }");
	send_from(&r, &alice, "a@b.test");
	send_from(&r, &alice, "b@b.test");
	txn = begin_from(&r, &other);
	assert_int_equal(rig_ask(&r, txn, "a@b.test"), THROTTLE_HOLD);
	assert_non_null(strstr(r.why, "reverse path is new"));
	assert_int_equal(rig_ask(&r, txn, "b@b.test"), THROTTLE_HOLD);
	assert_int_equal(gate_txn_path(txn), GATE_PATH_HELD);
	assert_true(gate_txn_is_whole(txn));
	assert_false(gate_txn_is_known(txn));
	rig_commit(&r, txn);
	/* The path's own, and one for each recipient. */
	assert_int_equal(rig_events(&r, EVENT_HOLD), 3);
	rig_last_event(&r, EVENT_HOLD, event);
	assert_string_equal(
	    event, "waits for the other recipients of its message");
	assert_int_equal(rig_queue(&r, "alice"), 1);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 1);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(info.held_paths, 1);
	assert_string_equal(info.last_path, "s@x.test");
	/* Also after a crash. */
	rig_pass_time(&r, 10000);
	gate_run(r.gate, r.now, r.wall);
	rig_pump(&r);
	rig_restart(&r);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	rig_run(&r, 2 * MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 2);
	/* Its turn has come: it is known. */
	assert_int_equal(send_from(&r, &other, "a@b.test"), THROTTLE_PASS);
	/* So is the home, after the restart. */
	assert_int_equal(send_from(&r, &alice, "a@b.test"), THROTTLE_PASS);
	rig_close(&r);
}

/* All messages to one new recipient go with the first of them, but for those
 * whose own path comes later. */
static void
test_not_before_its_path(void **state)
{
	struct rig r;
	unsigned total = 0;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 }");
	send_from(&r, &alice, "a@b.test");
	for (int i = 0; i < 10; i++) {
		struct from other = {.user = "alice"};
		char path[32];

		snprintf(path, sizeof(path), "s%d@x.test", i);
		other.path = path;
		assert_int_equal(
		    send_from(&r, &other, "new@b.test"), THROTTLE_HOLD);
	}
	for (int minute = 1; minute <= 12; minute++) {
		unsigned n;

		rig_run(&r, MINUTE);
		n = rig_deliver(&r, NULL);
		assert_true(n <= 1);
		total += n;
	}
	assert_int_equal(total, 10);
	rig_close(&r);
}

/* 200 known recipients behind a new path are one place in the queue. */
static void
test_many_recipients(void **state)
{
	struct from other = {.user = "alice", .path = "s@x.test"};
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { working_set = 300 burst = 200 "
		     "initial = 200 freeze_at = 50 queue_max = 50 }");
	for (int i = 0; i < 200; i++) {
		char to[32];

		snprintf(to, sizeof(to), "r%d@b.test", i);
		assert_int_equal(send_from(&r, &alice, to), THROTTLE_PASS);
	}
	txn = begin_from(&r, &other);
	for (int i = 0; i < 200; i++) {
		char to[32];

		snprintf(to, sizeof(to), "r%d@b.test", i);
		assert_int_equal(rig_ask(&r, txn, to), THROTTLE_HOLD);
	}
	rig_commit(&r, txn);
	assert_int_equal(rig_queue(&r, "alice"), 1);
	assert_false(rig_is_frozen(&r, "alice"));
	rig_run(&r, 2 * MINUTE);
	assert_int_equal(rig_deliver(&r, NULL), 200);
	rig_close(&r);
}

static void
test_by_hand(void **state)
{
	struct from other = {.user = "alice", .path = "s@x.test"};
	struct spool_select select = {.source = "alice"};
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 1 initial = 1 }");
	send_from(&r, &alice, "a@b.test");
	send_from(&r, &other, "a@b.test");
	assert_int_equal(rig_release(&r, &select), 0);
	assert_int_equal(rig_deliver(&r, NULL), 1);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(send_from(&r, &other, "a@b.test"), THROTTLE_PASS);
	other.path = "t@x.test";
	send_from(&r, &other, "a@b.test");
	assert_int_equal(rig_discard(&r, &select), 0);
	assert_int_equal(rig_queue(&r, "alice"), 0);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	rig_close(&r);
}

/* What is given up is given back; what is put off waits once. */
static void
test_cancel_and_defer(void **state)
{
	struct from other = {.user = "alice", .path = "s@x.test"};
	struct gate_sender_info info;
	struct gate_txn *txn;
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { burst = 2 initial = 2 }");
	send_from(&r, &alice, "a@b.test");
	for (int i = 0; i < 5; i++) {
		txn = begin_from(&r, &other);
		assert_int_equal(rig_ask(&r, txn, "a@b.test"), THROTTLE_PASS);
		assert_int_equal(gate_txn_path(txn), GATE_PATH_NEW);
		gate_drop_last(txn, r.now);
		gate_cancel(txn, r.now);
	}
	assert_true(rig_info(&r, "alice", &info));
	assert_int_equal(info.t.allowance, 1);
	send_from(&r, &alice, "b@b.test");
	for (int i = 0; i < 5; i++) {
		txn = begin_from(&r, &other);
		assert_int_equal(rig_ask(&r, txn, "a@b.test"), THROTTLE_HOLD);
		gate_defer(txn, r.now, r.wall);
		assert_int_equal(rig_queue(&r, "alice"), 1);
	}
	rig_run(&r, 2 * MINUTE);
	assert_int_equal(send_from(&r, &other, "a@b.test"), THROTTLE_PASS);
	rig_close(&r);
}

static void
test_observe(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, FEW);
	rig_reload(&r, FEW, true);
	send_from(&r, &alice, "known@b.test");
	assert_int_equal(count_passed(&r, alice, "s#@x.test", 30), 30);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 0);
	assert_int_equal(rig_counter(&r, COUNT_NEW_REVERSE_PATHS), 30);
	assert_int_equal(rig_counter(&r, COUNT_REVERSE_PATH_HOLDS), 0);
	assert_int_equal(rig_events(&r, EVENT_OBSERVE), 28);
	rig_close(&r);
}

/* Who writes to our users from outside is not asked for his path. */
static void
test_incoming(void **state)
{
	struct from loopback = {.client = "127.0.0.1"};
	struct rig r;

	(void)state;
	open_as(&r, LEARN, LOCALS_ADDRESS);
	for (int i = 0; i < 30; i++) {
		struct from out = {.client = "192.0.2.1"};
		char path[32];

		snprintf(path, sizeof(path), "s%d@x.test", i);
		out.path = path;
		assert_int_equal(send_from(&r, &out, ALICE), THROTTLE_PASS);
	}
	close_rig(&r);
	rig_open(&r,
	    "policy \"default\" { burst = 1 initial = 1 local = client "
	    "exempt_recipients = {\"known@b.test\"} }");
	assert_int_equal(count_passed(&r, client, "s#@x.test", 30), 30);
	/* Nor is a mail server on this machine, or one of ours. */
	assert_int_equal(count_passed(&r, loopback, "s#@x.test", 30), 30);
	assert_int_equal(rig_counter(&r, COUNT_NEW_REVERSE_PATHS), 0);
	/* A program on this machine counts: a home, and one is paid for. */
	loopback.local = true;
	assert_int_equal(count_passed(&r, loopback, "s#@x.test", 30), 2);
	/* With a login they count: the first is the home, one is paid for. */
	assert_int_equal(count_passed(&r, alice, "s#@x.test", 30), 2);
	rig_close(&r);
}

/* Frozen, a program by sendmail(1) is held, with a path of its own or without;
 * what it says over SMTP, and where the policy rejects, is refused. */
static void
test_frozen_command(void **state)
{
	struct from bot = {.client = "127.0.0.1", .path = HOME, .local = true};
	struct rig r;

	(void)state;
	rig_open(&r, "policy \"default\" { local = client }");
	assert_int_equal(send_from(&r, &bot, "known@x.test"), THROTTLE_PASS);
	assert_int_equal(rig_freeze(&r, "127.0.0.1"), 0);
	assert_int_equal(send_from(&r, &bot, "known@x.test"), THROTTLE_REFUSE);
	bot.by_command = true;
	assert_int_equal(send_from(&r, &bot, "known@x.test"), THROTTLE_HOLD);
	bot.path = "other@x.test";
	assert_int_equal(send_from(&r, &bot, "new@x.test"), THROTTLE_HOLD);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 2);
	assert_int_equal(rig_deliver(&r, NULL), 0);
	assert_int_equal(rig_thaw(&r, "127.0.0.1", GATE_THAW_DISCARD), 0);
	assert_int_equal(rig_stored(&r, SPOOL_HELD), 0);
	rig_close(&r);
	rig_open(
	    &r, "policy \"default\" { local = client when_frozen = reject }");
	assert_int_equal(rig_freeze(&r, "127.0.0.1"), 0);
	assert_int_equal(send_from(&r, &bot, "known@x.test"), THROTTLE_REFUSE);
	assert_int_equal(r.code, 550);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_carrier),
	    cmocka_unit_test(test_home),
	    cmocka_unit_test(test_known_once_used),
	    cmocka_unit_test(test_base),
	    cmocka_unit_test(test_costs_nothing),
	    cmocka_unit_test(test_own),
	    cmocka_unit_test(test_whole),
	    cmocka_unit_test(test_not_before_its_path),
	    cmocka_unit_test(test_many_recipients),
	    cmocka_unit_test(test_by_hand),
	    cmocka_unit_test(test_cancel_and_defer),
	    cmocka_unit_test(test_observe),
	    cmocka_unit_test(test_incoming),
	    cmocka_unit_test(test_frozen_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
