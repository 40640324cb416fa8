/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shares of a resource: one alone has it all, many have equal parts, and who
 * comes last finds room.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/share.h"

#define MAX 1600

static struct str
name_of(unsigned i, char out[16])
{
	return (struct str){out, (size_t)snprintf(out, 16, "user%u", i)};
}

/* Takes one at a time as long as it may; how many it has then. */
static uint64_t
take_all(struct share *s, struct share_user *u)
{
	while (share_may(s, u, MAX, 1))
		share_take(s, u, 1);
	return share_used_by(u);
}

static void
test_one_alone_has_it_all(void **state)
{
	struct share *s = share_new();
	struct share_user *u = share_join(s, STR("exchange"));

	(void)state;
	assert_int_equal(take_all(s, u), MAX);
	assert_false(share_may(s, u, MAX, 1));
	/* One who comes then finds room, and so does the next. */
	for (unsigned i = 0; i < 4; i++) {
		char text[16];
		struct share_user *late = share_join(s, name_of(i, text));

		assert_true(share_may(s, NULL, MAX, 1));
		assert_true(take_all(s, late) >= 2);
	}
	assert_false(share_may(s, u, MAX, 1));
	assert_true(share_used(s) <= MAX + MAX / 16);
	share_free(s);
}

static void
test_nearly_alone(void **state)
{
	struct share *s = share_new();
	struct share_user *big = share_join(s, STR("big"));
	struct share_user *small = share_join(s, STR("small"));

	(void)state;
	share_take(s, small, 10);
	assert_int_equal(take_all(s, big), MAX - 20);
	/* The small one is not bound by it. */
	assert_true(share_may(s, small, MAX, 10));
	share_free(s);
}

/* All that there are take in turns. */
static void
test_equal_parts(void **state)
{
	static const unsigned counts[] = {2, 3, 10, 40};

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
		unsigned n = counts[c];
		struct share *s = share_new();
		struct share_user *users[40];
		bool more = true;
		char text[16];

		for (unsigned i = 0; i < n; i++)
			users[i] = share_join(s, name_of(i, text));
		while (more) {
			more = false;
			for (unsigned i = 0; i < n; i++) {
				if (!share_may(s, users[i], MAX, 1))
					continue;
				share_take(s, users[i], 1);
				more = true;
			}
		}
		for (unsigned i = 0; i < n; i++)
			assert_in_range(share_used_by(users[i]), MAX / (n + 1),
			    (MAX + MAX / 16) / (n + 1) + 1);
		assert_true(share_may(s, NULL, MAX, MAX / (n + 2)));
		share_free(s);
	}
}

/* Whoever was first has half and more; the last of many still has something. */
static void
test_one_after_the_other(void **state)
{
	struct share *s = share_new();
	char text[16];

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		assert_true(take_all(s, share_join(s, name_of(i, text))) >= 2);
	share_free(s);
}

static void
test_it_comes_back(void **state)
{
	struct share *s = share_new();
	struct share_user *a = share_join(s, STR("a"));
	struct share_user *b = share_join(s, STR("b"));

	(void)state;
	(void)take_all(s, a);
	(void)take_all(s, b);
	assert_false(share_may(s, b, MAX, 1));
	share_give(s, a, share_used_by(a));
	assert_true(share_may(s, b, MAX, 1));
	share_free(s);
}

/* A user is there while it uses something, or is held. */
static void
test_users_go(void **state)
{
	struct share *s = share_new();
	struct share_user *u = share_join(s, STR("u"));

	(void)state;
	assert_ptr_equal(share_join(s, STR("u")), u);
	share_take(s, u, 5);
	share_leave(s, u);
	share_leave(s, u);
	assert_int_equal(share_users(s), 1);
	assert_ptr_equal(share_find(s, STR("u")), u);
	share_give(s, u, 5);
	assert_int_equal(share_users(s), 0);
	assert_null(share_find(s, STR("u")));
	share_leave(s, share_join(s, STR("v")));
	assert_int_equal(share_users(s), 0);
	share_leave(s, NULL);
	share_free(s);
	share_free(NULL);
}

static void
test_edges(void **state)
{
	struct share *s = share_new();
	struct share_user *u = share_join(s, STR(""));

	(void)state;
	assert_false(share_may(s, u, MAX, UINT64_MAX));
	assert_false(share_may(s, u, MAX, MAX + 1));
	assert_true(share_may(s, u, MAX, MAX));
	assert_false(share_may(s, u, 0, 1));
	/* A limit that was lowered under what is used. */
	share_take(s, u, MAX);
	assert_false(share_may(s, u, MAX / 4, 1));
	assert_false(share_may(s, NULL, MAX / 4, 1));
	/* A small one has nothing above it. */
	share_give(s, u, MAX - 3);
	assert_false(share_may(s, NULL, 3, 1));
	share_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_alone_has_it_all),
	    cmocka_unit_test(test_nearly_alone),
	    cmocka_unit_test(test_equal_parts),
	    cmocka_unit_test(test_one_after_the_other),
	    cmocka_unit_test(test_it_comes_back),
	    cmocka_unit_test(test_users_go),
	    cmocka_unit_test(test_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
