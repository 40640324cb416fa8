/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tokens, sessions, users, and addresses that guess; on a clock of the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/access.h"
#include "control/api.h"
#include "control/guard.h"
#include "control/request.h"

#define DAY (24 * 3600 * INT64_C(1000))

static struct ip
ip(const char *text)
{
	struct ip out;

	assert_true(ip_parse(str_from(text), &out));
	return out;
}

static void
test_tokens(void **state)
{
	static char net[] = "192.0.2.0/24";
	char *const nets[] = {net};
	struct access_order order = {.name = "ops",
	    .rights = CONTROL_READ | CONTROL_CHANGE,
	    .domain = "example.org",
	    .networks = nets,
	    .network_count = 1,
	    .for_ms = DAY};
	struct access *a = access_new();
	struct ip near = ip("192.0.2.7"), far = ip("198.51.100.7");
	char secret[ACCESS_SECRET_MAX], other[ACCESS_SECRET_MAX];
	const struct access_entry *e;

	(void)state;
	e = access_add_token(a, &order, 1000, secret);
	assert_non_null(e);
	assert_true(access_take_changed(a));
	assert_int_equal(strlen(secret), 5 + 43);
	assert_ptr_equal(
	    access_find(a, str_from(secret), false, &near, 2000), e);
	assert_ptr_equal(
	    access_find(a, str_from(secret), false, NULL, 2000), e);
	assert_null(access_find(a, str_from(secret), false, &far, 2000));
	/* Through a proxy that does not tell. */
	assert_null(access_find(
	    a, str_from(secret), false, &(struct ip){.family = IP_NONE}, 2000));
	/* A token is no session, and a part of one nothing. */
	assert_null(access_find(a, str_from(secret), true, &near, 2000));
	assert_null(access_find(a, str_from(secret + 5), false, &near, 2000));
	assert_null(
	    access_find(a, str_sub(str_from(secret), 0, 47), false, &near, 1));
	assert_null(access_find(a, str_from(secret), false, &near, 1000 + DAY));
	/* Each is another. */
	order.for_ms = 0;
	assert_non_null(access_add_token(a, &order, 1000, other));
	assert_string_not_equal(secret, other);
	assert_non_null(
	    access_find(a, str_from(other), false, &near, INT64_C(1) << 50));
	access_free(a);
}

static void
test_sessions(void **state)
{
	struct access_order order = {
	    .name = "token ops", .rights = CONTROL_READ};
	struct access *a = access_new();
	char first[ACCESS_SECRET_MAX], secret[ACCESS_SECRET_MAX];
	char token[ACCESS_SECRET_MAX], id[ACCESS_ID_MAX];
	const struct access_entry *e;
	struct ip_net net = {.ip = ip("192.0.2.0"), .bits = 24};
	int64_t now;

	(void)state;
	assert_non_null(access_add_session(a, &order, 0, first));
	/* It goes on while it is used, and for a week at most. */
	for (now = 0; now < ACCESS_SESSION_MS; now += ACCESS_IDLE_MS - 1)
		assert_non_null(
		    access_find(a, str_from(first), true, NULL, now));
	assert_null(
	    access_find(a, str_from(first), true, NULL, ACCESS_SESSION_MS));
	assert_non_null(access_add_session(a, &order, now, secret));
	assert_null(
	    access_find(a, str_from(secret), true, NULL, now + ACCESS_IDLE_MS));
	/* Those of its token are its networks. */
	order.nets = &net;
	order.net_count = 1;
	assert_non_null(access_add_session(a, &order, now, secret));
	assert_null(access_find(
	    a, str_from(secret), true, &(struct ip){.family = IP_NONE}, now));
	assert_non_null(access_find(a, str_from(secret), true, NULL, now));
	order.net_count = 0;
	/* The one least used lately makes room. */
	for (size_t i = 0; i < ACCESS_SESSIONS_MAX + 1; i++)
		assert_non_null(access_add_session(
		    a, &order, now + (int64_t)i, i == 0 ? first : secret));
	assert_null(access_find(a, str_from(first), true, NULL, now + 500));
	assert_non_null(
	    access_find(a, str_from(secret), true, NULL, now + 500));
	/* Where its token ends, it ends. */
	order.name = "ops";
	e = access_add_token(a, &order, now, token);
	(void)str_copy(str_from(e->id), id, sizeof(id));
	assert_true(access_remove(a, str_from(id)));
	assert_null(access_find(a, str_from(secret), true, NULL, now + 501));
	assert_false(access_remove(a, str_from(id)));
	access_free(a);
}

static void
test_users(void **state)
{
	struct access *a = access_new();
	struct access_order order = {.name = "alice", .rights = CONTROL_READ};
	char hash[ACCESS_HASH_MAX], secret[ACCESS_SECRET_MAX];

	(void)state;
	assert_true(access_hash_password("correct horse", hash));
	assert_int_equal(strncmp(hash, "$y$", 3), 0);
	assert_true(access_check_password("correct horse", hash));
	assert_false(access_check_password("correct hors", hash));
	assert_false(access_check_password("correct horse", NULL));
	assert_false(access_check_password("", "*"));
	assert_non_null(access_set_user(a, &order, hash, 1));
	assert_non_null(access_add_session(a, &order, 1, secret));
	/* A new password ends what the old one began. */
	assert_non_null(access_set_user(a, &order, hash, 2));
	assert_null(access_find(a, str_from(secret), true, NULL, 3));
	assert_non_null(access_find_user(a, STR("alice")));
	assert_true(access_remove_user(a, STR("alice")));
	assert_false(access_remove_user(a, STR("alice")));
	access_free(a);
}

static void
test_file(void **state)
{
	static const char *const bad[] = {"", "[]", "{}", "{\"version\":2}",
	    "{\"version\":1,\"tokens\":{},\"users\":[],\"sessions\":[]}",
	    /* A domain that is no text must not mean all of them. */
	    "{\"version\":1,\"tokens\":[],\"sessions\":[],\"users\":[{\"name\":"
	    "\"a\",\"crypt\":\"x\",\"right\":\"view\",\"domain\":\"\\n\"}]}",
	    "{\"version\":1,\"tokens\":[],\"sessions\":[],\"users\":[{\"name\":"
	    "\"a\",\"crypt\":\"x\",\"right\":\"root\"}]}"};
	struct access_order order = {
	    .name = "ops", .rights = CONTROL_RIGHTS, .domain = "example.org"};
	struct access *a = access_new(), *b = access_new();
	char secret[ACCESS_SECRET_MAX], err[256];
	const struct access_entry *e;
	struct buf out;

	(void)state;
	assert_non_null(access_add_token(a, &order, 1, secret));
	buf_init(&out, ACCESS_TEXT_MAX);
	assert_true(access_print(a, &out));
	assert_true(access_read(b, buf_str(&out), err, sizeof(err)));
	e = access_find(b, str_from(secret), false, NULL, 2);
	assert_non_null(e);
	assert_string_equal(e->domain, "example.org");
	assert_int_equal(e->rights, CONTROL_RIGHTS);
	/* What is bad changes nothing. */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err[0] = '\0';
		assert_false(
		    access_read(b, str_from(bad[i]), err, sizeof(err)));
		assert_true(err[0] != '\0');
	}
	assert_non_null(access_find(b, str_from(secret), false, NULL, 2));
	buf_clear(&out);
	access_free(a);
	access_free(b);
}

static void
test_guard(void **state)
{
	struct guard *g = guard_new();
	struct ip one = ip("2001:db8::1"), twin = ip("2001:db8::2");
	struct ip other = ip("192.0.2.1");
	int64_t now = 1000, was = 0;

	(void)state;
	for (unsigned i = 1; i < GUARD_FREE; i++) {
		guard_failed(g, &one, now);
		assert_int_equal(guard_locked_for(g, &one, now), 0);
	}
	/* All of a /64 are one; each failure costs twice as long, and no more
	 * than an hour. */
	for (int i = 0; i < 20; i++) {
		int64_t ms;

		guard_failed(g, &twin, now);
		ms = guard_locked_for(g, &one, now);
		assert_true(ms > was || ms == GUARD_LONGEST_MS);
		assert_int_equal(guard_locked_for(g, &one, now + ms), 0);
		was = ms;
		now += ms;
	}
	assert_int_equal(was, GUARD_LONGEST_MS);
	assert_int_equal(guard_locked_for(g, &other, now), 0);
	guard_failed(g, &one, now);
	guard_passed(g, &one);
	assert_int_equal(guard_locked_for(g, &one, now), 0);
	/* It is forgotten in the end, and bounded before that. */
	for (unsigned i = 0; i < 3 * GUARD_ADDRESSES_MAX; i++) {
		struct ip many = ip("10.0.0.0");

		many.bytes[2] = (uint8_t)(i >> 8);
		many.bytes[3] = (uint8_t)i;
		guard_failed(g, &many, now);
	}
	guard_free(g);
}

static void
test_cursors(void **state)
{
	static const char *const bad[] = {"", "q", "s1", "q-1", "q 1", "qg",
	    "q8000000000000000", "q00000000000000001", "1", "q1-", "q1-0",
	    "q1-123456789", "q-1", "q1-1-1"};
	char text[API_CURSOR_MAX];
	struct control_cursor at;

	(void)state;
	api_cursor_format(
	    "queue", (struct control_cursor){.at = INT64_MAX}, text);
	assert_true(api_cursor_parse("queue", str_from(text), &at));
	assert_int_equal(at.at, INT64_MAX);
	assert_int_equal(at.place, 0);
	api_cursor_format("queue",
	    (struct control_cursor){.at = INT64_MAX, .place = UINT32_MAX},
	    text);
	assert_true(api_cursor_parse("queue", str_from(text), &at));
	assert_int_equal(at.at, INT64_MAX);
	assert_int_equal(at.place, UINT32_MAX);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(api_cursor_parse("queue", str_from(bad[i]), &at));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tokens),
	    cmocka_unit_test(test_sessions),
	    cmocka_unit_test(test_users),
	    cmocka_unit_test(test_file),
	    cmocka_unit_test(test_guard),
	    cmocka_unit_test(test_cursors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
