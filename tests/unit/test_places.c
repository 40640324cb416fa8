/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections of a service: no client keeps all others out, and one alone may
 * have all of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>

#include "net/places.h"

#define MAX 32

static unsigned
take_all(struct places *p, struct str key, struct share_user **last)
{
	unsigned n = 0;

	for (struct share_user *u; (u = places_take(p, key, MAX)) != NULL; n++)
		*last = u;
	return n;
}

static void
test_one_alone_has_all_and_leaves_room(void **state)
{
	struct places *p = places_new();
	struct share_user *big = NULL, *small = NULL;
	unsigned n = take_all(p, STR("big"), &big);

	(void)state;
	assert_int_equal(n, MAX);
	small = places_take(p, STR("small"), MAX);
	assert_non_null(small);
	assert_true(places_used(p) <= places_most(MAX));
	places_give(p, small);
	/* Given back, they are there for others. */
	for (unsigned i = 0; i < MAX / 2; i++)
		places_give(p, big);
	assert_int_equal(places_used(p), MAX / 2);
	assert_true(take_all(p, STR("small"), &small) > 2);
	places_give(p, NULL);
	places_free(p);
}

static void
test_no_limit(void **state)
{
	struct places *p = places_new();

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_non_null(places_take(p, STR("one"), 0));
	assert_int_equal(places_used(p), 1000);
	places_free(p);
}

/* Users of this machine by name, whatever address they come from; others by
 * their network, an IPv6 /64 as one. */
static void
test_keys_of_peers(void **state)
{
	char a[PLACE_KEY_MAX], b[PLACE_KEY_MAX];
	struct peer postfix = {.kind = PEER_USER, .uid = 101};
	struct peer tcp = {.kind = PEER_USER, .uid = 101};
	struct peer near = {.kind = PEER_REMOTE}, far = {.kind = PEER_REMOTE};
	struct peer gone = {.kind = PEER_UNKNOWN};

	(void)state;
	assert_true(ip_parse(STR("127.0.0.1"), &tcp.address));
	assert_true(
	    str_eq(places_peer_key(&postfix, a), places_peer_key(&tcp, b)));
	postfix.uid = 102;
	assert_false(
	    str_eq(places_peer_key(&postfix, a), places_peer_key(&tcp, b)));
	assert_true(ip_parse(STR("2001:db8::1"), &near.address));
	assert_true(ip_parse(STR("2001:db8::2"), &far.address));
	assert_true(
	    str_eq(places_peer_key(&near, a), places_peer_key(&far, b)));
	assert_true(ip_parse(STR("2001:db8:0:1::2"), &far.address));
	assert_false(
	    str_eq(places_peer_key(&near, a), places_peer_key(&far, b)));
	assert_true(str_eq(places_peer_key(&gone, a), STR("unknown")));
}

#define ROUNDS 20000

static void *
come_and_go(void *arg)
{
	struct places *p = arg;

	for (unsigned i = 0; i < ROUNDS; i++)
		places_give(p, places_take(p, STR("client"), 3));
	return NULL;
}

static void
test_threads(void **state)
{
	struct places *p = places_new();
	pthread_t thread[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&thread[i], NULL, come_and_go, p), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(places_used(p), 0);
	places_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_alone_has_all_and_leaves_room),
	    cmocka_unit_test(test_no_limit),
	    cmocka_unit_test(test_keys_of_peers),
	    cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
