/* SPDX-License-Identifier: BSD-3-Clause */
/* weir-replay flows: what it reads, and the gate on virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "replay/flow_run.h"

static const volatile sig_atomic_t never_stopped;

static struct netpolicies *
make(enum netpolicy_profile profile)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .profile = (int)profile,
	    .freeze_at = 100,
	    .thaw_after_ms = 3600000};
	struct err err;
	struct netpolicies *set = netpolicies_new(&conf, 1, ERR_ROOM(&err));

	assert_non_null(set);
	return set;
}

__attribute__((format(printf, 2, 3))) static void
add(struct flows *f, const char *fmt, ...)
{
	char line[128];
	struct err why;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	assert_true(flows_add_line(f, str_from(line), &why));
}

static void
test_lines(void **state)
{
	static const struct {
		const char *line, *why;
	} bad[] = {
	    {"", "the time"},
	    {"x a b 6 80", "the time"},
	    {"1.5x a b 6 80", "the time"},
	    {"1500000001 a b 6 80", "the time"},
	    {"1.9 a b 6 80", "before"},
	    {"3", "the source"},
	    {"3 a", "the destination"},
	    {"3 a b", "the protocol"},
	    {"3 a b 1 80", "neither 6 nor 17"},
	    {"3 a b 6 65536", "the port"},
	    {"3 a b 6 80 1", "five columns"},
	    {"3 "
	     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	     " b 6 80",
		"64 bytes"},
	};
	struct flows f = {0};
	struct err why;

	(void)state;
	add(&f, "0 h 1 6 443");
	add(&f, "1.2345 h 2 17 53");
	add(&f, "2.05 1 h 17 53");
	assert_int_equal(f.count, 3);
	assert_int_equal(f.v[1].at, 1234);
	assert_int_equal(f.v[2].at, 2050);
	assert_int_equal(f.v[2].src, f.v[0].dst);
	assert_int_equal(f.v[1].dport, 53);
	assert_int_equal(flows_address_count(&f), 3);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(flows_add_line(&f, str_from(bad[i].line), &why));
		assert_non_null(strstr(why.text, bad[i].why));
	}
	assert_int_equal(f.count, 3);
	flows_clear(&f);
}

static bool
run(const struct netpolicies *set, const struct flows *f, struct flow_result *r)
{
	struct netgate_settings gate = flow_gate(set);

	return flow_run(&gate, f, flow_part_all(f), &never_stopped, r);
}

static void
test_paper(void **state)
{
	struct netpolicies *paper = make(NETPOLICY_PAPER);
	struct flow_result r;
	struct flows f = {0};

	(void)state;
	for (int i = 0; i < 7; i++)
		add(&f, "0 h %d 6 80", i);
	for (int i = 0; i < 5; i++)
		add(&f, "0 h %d 17 80", i);
	add(&f, "0.5 quiet 1 6 80");
	assert_true(run(paper, &f, &r));
	assert_int_equal(r.of[FLOW_TCP].flows, 8);
	assert_int_equal(r.of[FLOW_TCP].waited.count, 2);
	assert_int_equal(r.of[FLOW_TCP].waited.median, 1000);
	assert_int_equal(r.of[FLOW_TCP].waited.longest, 2000);
	assert_int_equal(r.of[FLOW_UDP].waited.count, 0);
	assert_int_equal(r.sources, 2);
	assert_int_equal(r.unnoticed, 1);
	assert_int_equal(r.freezes, 0);
	/* A scan, and after the hour it goes on. */
	for (int i = 0; i < 200; i++)
		add(&f, "10 h x%d 6 80", i);
	add(&f, "4000 h again 6 80");
	assert_true(run(paper, &f, &r));
	assert_int_equal(r.freezes, 1);
	assert_int_equal(r.frozen, 1);
	/* Two places were free since the queue was empty. */
	assert_in_range(r.of[FLOW_TCP].never, 195, 200);
	flows_clear(&f);
	netpolicies_free(paper);
}

static struct flow_attack_result
attack(enum netpolicy_profile profile, const char *text)
{
	struct netpolicies *set = make(profile);
	struct netgate_settings gate = flow_gate(set);
	struct ip attacker = {.family = IP_V4, .bytes = {10}};
	struct flow_attack_result r;
	struct attack_plan plan;
	struct err err;

	assert_true(attack_parse(text, &plan, &err));
	assert_true(
	    flow_run_attack(&gate, &attacker, &plan, &never_stopped, &r));
	netpolicies_free(set);
	return r;
}

/* Figures of the paper, and those that the manual page gives. */
static void
test_outbreaks(void **state)
{
	struct flow_attack_result r = attack(NETPOLICY_PAPER, "200");

	(void)state;
	assert_int_equal(r.reached, 5);
	assert_int_equal(r.frozen_after, 520);
	r = attack(NETPOLICY_PAPER, "1");
	assert_int_equal(r.frozen_after, -1);
	assert_int_equal(r.reached, 86400);
	r = attack(NETPOLICY_WORKSTATION, "20");
	assert_int_equal(r.reached, 77);
	assert_int_equal(r.frozen_after, 8800);
	r = attack(NETPOLICY_WORKSTATION, "850,udp");
	assert_int_equal(r.reached, 60);
	assert_int_equal(r.frozen_after, 187);
	/* Slower than the interval. */
	r = attack(NETPOLICY_WORKSTATION, "1");
	assert_int_equal(r.reached, 600);
	r = attack(NETPOLICY_SERVER, "1");
	assert_int_equal(r.reached, 300);
	r = attack(NETPOLICY_GATEWAY, "1");
	assert_int_equal(r.reached, 3000);
	r = attack(NETPOLICY_GATEWAY, "200");
	assert_int_equal(r.reached, 124);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_paper),
	    cmocka_unit_test(test_outbreaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
