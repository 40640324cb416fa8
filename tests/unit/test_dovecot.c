/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Dovecot's authentication protocol against a server of the test's own, whole
 * and a byte at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "smtp/dovecot.h"

struct rig {
	struct dovecot *d;
	struct buf out, events;
};

static void
on_write(void *arg, const char *p, size_t n)
{
	struct rig *r = arg;

	assert_true(buf_append(&r->out, p, n));
}

static void
on_ready(void *arg, unsigned mechs)
{
	struct rig *r = arg;
	char text[64];

	assert_true(buf_printf(&r->events, "ready %s\n",
	    sasl_mechs_format(mechs, text, sizeof(text))));
}

static void
on_answer(void *arg, const struct dovecot_answer *a)
{
	static const char *const names[] = {"cont", "ok", "fail"};
	struct rig *r = arg;

	assert_true(buf_printf(&r->events, "%u %s %.*s %.*s%s\n",
	    (unsigned)a->id, names[a->what], STR_ARG(a->challenge),
	    STR_ARG(a->user), a->temporary ? " temp" : ""));
}

static const struct dovecot_ops ops = {
    .write = on_write, .on_ready = on_ready, .on_answer = on_answer};

#define HELLO                                                        \
	"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tSCRAM-SHA-1\n" \
	"MECH\tCRAM-MD5\tdictionary\nSPID\t7\nCUID\t1\nCOOKIE\tff\nDONE\n"

static bool
feed(struct rig *r, const char *text, bool split)
{
	size_t n = strlen(text);

	if (!split)
		return dovecot_feed(r->d, text, n);
	for (size_t i = 0; i < n; i++) {
		if (!dovecot_feed(r->d, text + i, 1))
			return false;
	}
	return true;
}

static void
set_up(struct rig *r)
{
	buf_init(&r->out, 1 << 16);
	buf_init(&r->events, 1 << 16);
	r->d = dovecot_new(&ops, r, 42);
}

static void
tear_down(struct rig *r)
{
	dovecot_free(r->d);
	buf_clear(&r->out);
	buf_clear(&r->events);
}

static void
expect(struct buf *b, const char *want)
{
	struct str got = buf_str(b);

	if (!str_eq(got, str_from(want)))
		fail_msg("\"%.*s\" instead of \"%s\"", STR_ARG(got), want);
	buf_reset(b);
}

static void
dialogue(bool split)
{
	struct dovecot_client client = {
	    .remote_port = 4711, .local_port = 587, .secure = true};
	struct rig r;

	set_up(&r);
	expect(&r.out, "VERSION\t1\t1\nCPID\t42\n");
	assert_false(dovecot_is_ready(r.d));
	assert_true(feed(&r, HELLO, split));
	assert_true(dovecot_is_ready(r.d));
	expect(&r.events, "ready PLAIN CRAM-MD5\n");
	assert_true(ip_parse(STR("192.0.2.1"), &client.remote));
	assert_true(ip_parse(STR("2001:db8::1"), &client.local));
	dovecot_auth(r.d, 3, SASL_PLAIN, &client, true, STR("AGEAYg=="));
	expect(&r.out,
	    "AUTH\t3\tPLAIN\tservice=smtp\tlip=2001:db8::1\trip=192.0.2.1"
	    "\tlport=587\trport=4711\tsecured\tresp=AGEAYg==\n");
	client = (struct dovecot_client){0};
	dovecot_auth(r.d, 4, SASL_CRAM_MD5, &client, false, STR(""));
	dovecot_auth(r.d, 5, SASL_PLAIN, &client, true, STR("="));
	expect(&r.out, "AUTH\t4\tCRAM-MD5\tservice=smtp\n"
		       "AUTH\t5\tPLAIN\tservice=smtp\tresp=\n");
	assert_true(feed(&r,
	    "CONT\t4\tPGE+\nFUTURE\tx\nOK\t3\tuser=alice\tx=y\n"
	    "FAIL\t5\tuser=bob\ttemp\n",
	    split));
	expect(&r.events, "4 cont PGE+ \n3 ok  alice\n5 fail  bob temp\n");
	dovecot_continue(r.d, 4, STR("YWxp"));
	dovecot_cancel(r.d, 4);
	expect(&r.out, "CONT\t4\tYWxp\nCANCEL\t4\n");
	assert_true(feed(&r, "FAIL\t4\n", split));
	expect(&r.events, "4 fail  \n");
	tear_down(&r);
}

static void
test_dialogue(void **state)
{
	(void)state;
	dialogue(false);
	dialogue(true);
}

static void
test_broken(void **state)
{
	static const char *const bad[] = {"VERSION\t2\t0\n", "VERSION\n",
	    "DONE\n", "OK\t1\tuser=x\n", HELLO "OK\tx\n", HELLO "CONT\n",
	    HELLO "FAIL\t99999999999\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct rig r;

		set_up(&r);
		if (feed(&r, bad[i], false))
			fail_msg("taken: %s", bad[i]);
		tear_down(&r);
	}
}

static void
test_endless_line(void **state)
{
	struct rig r;
	char text[1024];
	bool ok = true;

	(void)state;
	memset(text, 'x', sizeof(text));
	set_up(&r);
	for (int i = 0; i < 20 && ok; i++)
		ok = dovecot_feed(r.d, text, sizeof(text));
	assert_false(ok);
	tear_down(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dialogue),
	    cmocka_unit_test(test_broken),
	    cmocka_unit_test(test_endless_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
