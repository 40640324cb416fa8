/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue ids that a hostile mail server could give, commands as a site writes
 * them, and listings as mail servers print them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "delivery/mta_queue.h"

static void
test_ids(void **state)
{
	static const char *const good[] = {
	    "4jWDnr6BL8z1bdGS", "0C1A22B3F5", "6AKCG4Sc017482"};
	static const char *const bad[] = {"", "ALL", "-", "-d", "--all",
	    "-H4jWDnr6BL8z", "../../etc/passwd", "4jWDnr/6BL8z", "4jWDnr 6BL8z",
	    "4jWDnr\n6BL8z", "4jWDnr6BL8;rm", "$(reboot)", "4jWDnr6BL8z.",
	    "4jWDnr6BL8z\xc3\xa4", "4jWDnr*", "short", "4jWDnr_6BL8z",
	    "12345678901234567890123456789012"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(mta_id_ok(str_from(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(mta_id_ok(str_from(bad[i])));
	assert_false(mta_id_ok((struct str){"4jWDnr\0BL8z", 11}));
}

static void
test_commands(void **state)
{
	struct mta_command c;
	char err[200], **argv;

	(void)state;
	assert_true(mta_command_parse(
	    " /usr/sbin/postsuper\t-H  - hold ", &c, err, sizeof(err)));
	assert_int_equal(c.n, 4);
	assert_string_equal(c.words[3], "hold");
	assert_false(c.has_id);
	mta_command_clear(&c);
	assert_true(mta_command_parse(
	    "/x/sendmail -qQ -Q -qI%i --both=%i,%i", &c, err, sizeof(err)));
	assert_true(c.has_id);
	argv = mta_command_argv(&c, "6AKCG4Sc017482");
	assert_string_equal(argv[3], "-qI6AKCG4Sc017482");
	assert_string_equal(argv[4], "--both=6AKCG4Sc017482,6AKCG4Sc017482");
	assert_null(argv[5]);
	mta_command_free_argv(argv);
	mta_command_clear(&c);
	assert_true(
	    mta_command_parse("unix:/run/weir/r.sock", &c, err, sizeof(err)));
	assert_string_equal(c.socket, "/run/weir/r.sock");
	assert_int_equal(c.n, 0);
	mta_command_clear(&c);
	assert_true(mta_command_parse(
	    "unix:/run/weir-hold.sock release", &c, err, sizeof(err)));
	assert_string_equal(c.socket, "/run/weir-hold.sock");
	assert_string_equal(c.words[0], "release");
	mta_command_clear(&c);
}

static void
test_commands_that_are_none(void **state)
{
	static const char *const bad[] = {"", " ", "postsuper -H %i",
	    "/bin/sh -c 'postsuper'", "/bin/a | /bin/b", "/bin/a; /bin/b",
	    "/bin/a $HOME", "/bin/a `b`", "/bin/a > /tmp/x", "/bin/%i",
	    "/bin/a %s", "/bin/a %", "/bin/a %%i", "unix:run/weir",
	    "unix:", "unix:/a b c", "unix:/a b%i",
	    "/a 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 1 2 3 4 "
	    "5"};
	struct mta_command c;
	char err[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (mta_command_parse(bad[i], &c, err, sizeof(err)))
			fail_msg("taken: %s", bad[i]);
		assert_null(c.text);
	}
}

static const char json[] =
    "{\"queue_name\": \"hold\", \"queue_id\": \"4jWDnr6BL8z1bdGS\", "
    "\"sender\": \"a\", \"recipients\": [{\"address\": \"x\"}]}\n"
    "{\"queue_name\": \"deferred\", \"queue_id\": \"4jWDnr68q8z1bdGP\", "
    "\"sender\": \"\\\"queue_name\\\": \\\"hold\\\"\"}\n"
    "{\"queue_name\": \"hold\", \"queue_id\": \"4jWDnr684mz1bdGN\"}";
static const char mailq[] =
    "\t\t/var/spool/mqueue (1 request)\n"
    "-----Q-ID----- --Size-- -----Q-Time----- ----Sender/Recipient----\n"
    "6AKCXbDg026326*       5 Fri Nov 20 12:33 <a@example.org>\n"
    "     QUARANTINE: held by weir\n\t\tTotal requests: 1\n";

static void
feed(struct mta_listing *l, const char *text, size_t step)
{
	struct str rest = str_from(text);

	mta_listing_init(l, 42);
	while (rest.n > 0) {
		mta_listing_feed(l, str_sub(rest, 0, step));
		rest = str_sub(rest, step, rest.n);
	}
	assert_true(mta_listing_end(l));
}

/* In pieces of any size. */
static void
test_listings(void **state)
{
	static const size_t steps[] = {1, 7, 100, 4096};
	struct mta_listing l;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		feed(&l, json, steps[i]);
		assert_true(mta_listing_has(&l, "4jWDnr6BL8z1bdGS"));
		assert_true(mta_listing_has(&l, "4jWDnr684mz1bdGN"));
		assert_false(mta_listing_has(&l, "4jWDnr68q8z1bdGP"));
		assert_int_equal(l.held.n, 2);
		mta_listing_clear(&l);
		feed(&l, mailq, steps[i]);
		assert_true(mta_listing_has(&l, "6AKCXbDg026326"));
		assert_false(mta_listing_has(&l, "6AKCXbDg026327"));
		mta_listing_clear(&l);
	}
	feed(&l, "", 1);
	assert_false(mta_listing_has(&l, "6AKCXbDg026326"));
	mta_listing_clear(&l);
}

/* On its way there, asked for or not. */
static void
test_waiting(void **state)
{
	static const char *const queues[] = {
	    "active", "incoming", "deferred", "hold", "maildrop", "corrupt"};
	struct mta_listing l;
	char line[100], id[16];

	(void)state;
	for (int wanted = 0; wanted < 2; wanted++) {
		mta_listing_init(&l, 42);
		l.wants_waiting = wanted;
		for (size_t i = 0; i < ARRAY_LEN(queues); i++) {
			snprintf(line, sizeof(line),
			    "{\"queue_name\": \"%s\", \"queue_id\": "
			    "\"4jWDnr%zu\"}\n",
			    queues[i], i);
			mta_listing_feed(&l, str_from(line));
		}
		mta_listing_feed(&l, STR("4jWDnr7\n"));
		assert_true(mta_listing_end(&l));
		for (size_t i = 0; i < 8; i++) {
			snprintf(id, sizeof(id), "4jWDnr%zu", i);
			assert_int_equal(
			    mta_listing_waits(&l, id), wanted && i < 3);
			assert_int_equal(
			    mta_listing_has(&l, id), i == 3 || i == 7);
		}
		mta_listing_clear(&l);
	}
}

/* An object with ten thousand recipients costs a line's beginning. */
static void
test_a_long_line(void **state)
{
	struct mta_listing l;

	(void)state;
	mta_listing_init(&l, 42);
	mta_listing_feed(&l, STR("{\"queue_name\": \"hold\", \"queue_id\": "
				 "\"4jWDnr6BL8z1bdGS\", \"recipients\": ["));
	for (int i = 0; i < 100000; i++)
		mta_listing_feed(&l, STR("{\"address\": \"x@example.org\"}, "));
	assert_true(l.line.cap < 65536);
	mta_listing_feed(&l, STR("]}\nhold/4jWDnr684mz1bdGN\n"));
	assert_true(mta_listing_end(&l));
	assert_true(mta_listing_has(&l, "4jWDnr6BL8z1bdGS"));
	assert_true(mta_listing_has(&l, "4jWDnr684mz1bdGN"));
	mta_listing_clear(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_commands),
	    cmocka_unit_test(test_commands_that_are_none),
	    cmocka_unit_test(test_listings),
	    cmocka_unit_test(test_waiting),
	    cmocka_unit_test(test_a_long_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
