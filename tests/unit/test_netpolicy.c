/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policies of weir-netd: defaults, classes by address, what is refused, and the
 * credit and the known set by themselves.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netgate/credit.h"
#include "netgate/known.h"
#include "netgate/named.h"
#include "netgate/netpolicy.h"

static struct ip
ip(const char *text)
{
	struct ip out;

	assert_true(ip_parse(str_from(text), &out));
	return out;
}

static struct netpolicies *
make(const struct netpolicy_conf *conf, const struct netpolicy **out)
{
	struct ip host = ip("192.0.2.1");
	char err[256];
	struct netpolicies *set =
	    netpolicies_new(conf, conf != NULL, err, sizeof(err));

	assert_non_null(set);
	*out = netpolicies_select(set, &host);
	return set;
}

/* Whoever gives no number gets a workstation, who gives one the paper's. */
static void
test_profile_of_a_policy_without_one(void **state)
{
	struct netpolicy_conf conf = {
	    .name = (char[]){"default"}, .freeze_at = 100};
	const struct netpolicy *p;
	struct netpolicies *set = make(NULL, &p);

	(void)state;
	assert_int_equal(p->throttle.working_set, 128);
	assert_int_equal(p->throttle.burst, 60);
	assert_int_equal(p->throttle.limit_count, 2);
	assert_false(p->throttle.paper);
	assert_true(p->dns_known);
	assert_int_equal(p->unfrozen.freeze_at, 0);
	netpolicies_free(set);
	set = make(&conf, &p);
	assert_int_equal(p->throttle.working_set, 128);
	netpolicies_free(set);
	conf.exempt = true; /* nothing is new to it anyway */
	set = make(&conf, &p);
	assert_false(p->dns_known);
	netpolicies_free(set);
	conf.exempt = false;
	conf.dns_known = NETPOLICY_DNS_OFF;
	set = make(&conf, &p);
	assert_int_equal(p->throttle.working_set, 128);
	assert_false(p->dns_known);
	netpolicies_free(set);
	conf.interval_ms = 3000;
	set = make(&conf, &p);
	assert_true(p->throttle.paper);
	assert_int_equal(p->throttle.working_set, 5);
	assert_int_equal(p->throttle.interval_ms, 3000);
	assert_false(p->dns_known);
	netpolicies_free(set);
}

static void
test_profiles(void **state)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100,
	    .dns_known = NETPOLICY_DNS_YES};
	const struct netpolicy *p;
	struct netpolicies *set = make(&conf, &p);
	char err[256];

	(void)state;
	assert_int_equal(p->throttle.working_set, 5);
	assert_int_equal(p->throttle.interval_ms, 1000);
	assert_int_equal(p->throttle.limit_count, 0);
	assert_true(p->throttle.paper);
	assert_true(p->dns_known);
	netpolicies_free(set);
	conf.burst = 7;
	assert_null(netpolicies_new(&conf, 1, err, sizeof(err)));
	assert_non_null(strstr(err, "burst"));
	/* Windows of the policy stand in for the profile's. */
	conf.profile = NETPOLICY_GATEWAY;
	conf.limit = (struct option_rates){{{0, 1000}}, 1};
	set = make(&conf, &p);
	assert_int_equal(p->throttle.working_set, 512);
	assert_int_equal(p->throttle.burst, 7);
	assert_int_equal(p->throttle.initial, 7);
	assert_int_equal(p->throttle.limit_count, 0);
	netpolicies_free(set);
}

static void
test_first_match_is_taken(void **state)
{
	char *nets[] = {(char[]){"192.0.2.0/24"}};
	struct netpolicy_conf confs[] = {
	    {.name = (char[]){"server"}, .match = {nets, 1}, .freeze_at = 7},
	    {.name = (char[]){"default"}, .freeze_at = 100},
	};
	struct ip in = ip("192.0.2.9"), out = ip("198.51.100.1");
	struct netpolicies *set;
	char err[256];

	(void)state;
	set = netpolicies_new(confs, 2, err, sizeof(err));
	assert_non_null(set);
	assert_string_equal(netpolicies_select(set, &in)->name, "server");
	assert_string_equal(netpolicies_select(set, &out)->name, "default");
	netpolicies_free(set);
}

static void
test_errors(void **state)
{
	struct netpolicy_conf twice[] = {
	    {.name = (char[]){"default"}, .freeze_at = 1},
	    {.name = (char[]){"default"}, .freeze_at = 1},
	};
	struct netpolicy_conf unused = {.name = (char[]){"x"}};
	struct netpolicy_conf no_dns = {
	    .name = (char[]){"default"}, .no_dns_limit = {6, 60000}};
	char err[256];

	(void)state;
	assert_null(netpolicies_new(twice, 2, err, sizeof(err)));
	assert_non_null(strstr(err, "duplicate policy name"));
	assert_null(netpolicies_new(&unused, 1, err, sizeof(err)));
	assert_non_null(strstr(err, "no match"));
	assert_null(netpolicies_new(&no_dns, 1, err, sizeof(err)));
	assert_non_null(strstr(err, "dns_known"));
}

static void
test_allow(void **state)
{
	struct netpolicy_allow list[2];
	struct netpolicy p = {.allow = list, .allow_count = 2};
	struct ip a = ip("192.0.2.3"), b = ip("198.51.100.1");
	char err[256];

	(void)state;
	assert_true(netpolicy_parse_allow(
	    STR("tcp 192.0.2.0/24 80-90"), &list[0], err, sizeof(err)));
	assert_true(netpolicy_parse_allow(
	    STR("udp any 53"), &list[1], err, sizeof(err)));
	assert_true(netpolicy_allows(&p, IPPROTO_TCP, &a, 85));
	assert_false(netpolicy_allows(&p, IPPROTO_TCP, &a, 91));
	assert_false(netpolicy_allows(&p, IPPROTO_TCP, &b, 85));
	assert_true(netpolicy_allows(&p, IPPROTO_UDP, &b, 53));
	assert_false(netpolicy_allows(&p, IPPROTO_UDP, &b, 54));
	for (const char *const *bad = (const char *const[]){"", "tcp",
		 "icmp any", "tcp 192.0.2.1/8 1", "tcp any 70000",
		 "udp any 9-8", "udp any 1 2", NULL};
	     *bad != NULL; bad++)
		assert_false(netpolicy_parse_allow(
		    str_from(*bad), &list[0], err, sizeof(err)));
}

static void
test_credit(void **state)
{
	struct credit c;

	(void)state;
	credit_init(&c, 0);
	for (int i = 0; i < 10; i++)
		assert_true(credit_take(&c, 100));
	assert_false(credit_take(&c, 100));
	assert_int_equal(credit_due(&c, 200), 4100);
	assert_false(credit_take(&c, 4099));
	assert_true(credit_take(&c, 4100)); /* the one that time gives */
	assert_false(credit_take(&c, 4101));
	/* Earned in a burst, cut to two thirds each second. */
	for (int i = 0; i < 15; i++)
		credit_earn(&c, 5000);
	assert_int_equal(c.balance, 30);
	assert_int_equal(credit_due(&c, 5999), 5999);
	assert_int_equal(c.balance, 30);
	credit_due(&c, 6000);
	assert_int_equal(c.balance, 20);
	credit_due(&c, 9000);
	assert_int_equal(c.balance, 10);
}

static void
test_named_is_bounded(void **state)
{
	struct named n = {NULL};
	size_t kept = 0;

	(void)state;
	assert_false(dns_named_has(&n, 0, 0));
	for (uint64_t i = 0; i < 8 * NAMED_PLACES; i++)
		dns_named_add(&n, i, 1000 + (int64_t)(i / NAMED_PLACES));
	/* Of eight in a place those that last longest are left. */
	for (uint64_t i = 0; i < 8 * NAMED_PLACES; i++)
		kept += dns_named_has(&n, i, 0);
	assert_int_equal(kept, NAMED_WAYS * NAMED_PLACES);
	assert_false(dns_named_has(&n, 5, 0));
	assert_true(dns_named_has(&n, 7 * NAMED_PLACES + 5, 1006));
	assert_false(dns_named_has(&n, 7 * NAMED_PLACES + 5, 1007));
	/* The later end is kept. */
	dns_named_add(&n, 7 * NAMED_PLACES + 5, 2000);
	dns_named_add(&n, 7 * NAMED_PLACES + 5, 1500);
	assert_true(dns_named_has(&n, 7 * NAMED_PLACES + 5, 1999));
	dns_named_clear(&n);
	assert_false(dns_named_has(&n, 7 * NAMED_PLACES + 5, 0));
}

static void
test_known_is_bounded(void **state)
{
	struct known k = {0};

	(void)state;
	known_add(&k, 1, 100, 0);
	assert_true(known_has(&k, 1, 99));
	assert_false(known_has(&k, 1, 100));
	known_add(&k, 1, 50, 0); /* the later end counts */
	assert_true(known_has(&k, 1, 99));
	for (uint64_t i = 0; i < 5000; i++)
		known_add(&k, 1000 + i, 200 + (int64_t)i, 0);
	assert_int_equal(k.n, KNOWN_MAX);
	assert_false(known_has(&k, 1, 10)); /* it would have ended first */
	assert_true(known_has(&k, 1000 + 4999, 10));
	known_remove(&k, 1000 + 4999);
	assert_false(known_has(&k, 1000 + 4999, 10));
	known_clear(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_profile_of_a_policy_without_one),
	    cmocka_unit_test(test_profiles),
	    cmocka_unit_test(test_first_match_is_taken),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_allow),
	    cmocka_unit_test(test_credit),
	    cmocka_unit_test(test_named_is_bounded),
	    cmocka_unit_test(test_known_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
