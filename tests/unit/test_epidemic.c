/* SPDX-License-Identifier: BSD-3-Clause */
/* weir-replay epidemic: the papers' figures, the equations, the agents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "replay/contacts.h"
#include "replay/epidemic.h"
#include "replay/figures.h"
#include "replay/model.h"
#include "replay/outbreak.h"

static void
test_figures(void **state)
{
	int bad = 0;

	(void)state;
	for (const struct figure *f = figures; f->what != NULL; f++) {
		double value = f->measure(f);

		printf("# %-62s %10.4g %-5s (%s)%s\n", f->what, value, f->unit,
		    f->paper, figure_holds(f, value) ? "" : " NOT SO");
		bad += !figure_holds(f, value);
	}
	assert_int_equal(bad, 0);
}

/* A step of Runge and Kutta is as good as its order says: half of it, a
 * sixteenth of the error. */
static void
test_step(void **state)
{
	static const struct model m = {.hosts = 1000, .first = 1, .rate = 0.8};
	double error[2] = {0};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct model_curve c;

		model_run(&m, 20, 11, 4U << i, &c);
		for (size_t k = 0; k < c.n; k++)
			error[i] = fmax(error[i],
			    fabs(c.ever[k] - model_logistic(&m, c.t[k])));
		model_clear(&c);
	}
	assert_true(error[0] / error[1] > 10);
	assert_true(error[0] < 0.001 * m.hosts);
}

/* Nobody is lost: susceptible, infected and patched are all there is. */
static void
test_patching_ends_it(void **state)
{
	static const struct model m = {.hosts = 1000,
	    .first = 10,
	    .rate = 1,
	    .patch_at = 0,
	    .patch_rate = 2};
	struct model_curve c;

	(void)state;
	model_run(&m, 20, 201, 10, &c);
	assert_true(c.infected[200] < 1e-6);
	assert_true(c.ever[200] < 25);
	assert_true(isinf(model_time(&c, 500)));
	model_clear(&c);
}

static void
test_node_that_is_never_full(void **state)
{
	static const struct model m = {.hosts = 100,
	    .first = 1,
	    .rate = 1,
	    .link_rate = 1,
	    .node_rate = 200};

	(void)state;
	for (double t = 0; t < 20; t++)
		assert_true(
		    fabs(model_node(&m, t) - model_logistic(&m, t)) < 1e-9);
}

static struct outbreak_settings
small(enum outbreak_spread spread, unsigned deployed)
{
	return (struct outbreak_settings){
	    .spread = spread,
	    .hosts = 2000,
	    .first = 20,
	    .rate = 20,
	    .density = 0.01,
	    .network = 100,
	    .local_share = 0.8,
	    .open_share = 1,
	    .open_s = 1,
	    .policy = &throttle_profile_tcp,
	    .deployed = deployed,
	    .until_ms = 3600000,
	    .seed = 7,
	};
}

static struct outbreak_result
run(const struct outbreak_settings *s)
{
	struct outbreak_result r;

	assert_true(outbreak_run(s, &r));
	return r;
}

static void
test_seed(void **state)
{
	struct outbreak_settings s = small(OUTBREAK_RANDOM, 50);
	struct outbreak_result a = run(&s), b = run(&s), c;

	(void)state;
	s.seed++;
	c = run(&s);
	assert_int_equal(a.n, b.n);
	for (size_t i = 0; i < a.n; i++) {
		assert_true(a.points[i].t == b.points[i].t);
		assert_true(a.points[i].ever == b.points[i].ever);
	}
	assert_true(outbreak_time(&a, 1000) != outbreak_time(&c, 1000));
	outbreak_clear(&a);
	outbreak_clear(&b);
	outbreak_clear(&c);
}

static void
test_deployment(void **state)
{
	static const unsigned shares[] = {0, 50, 75};
	double half = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
		struct outbreak_settings s = small(OUTBREAK_RANDOM, shares[i]);
		struct outbreak_result r = run(&s);

		assert_int_equal(r.ever, s.hosts);
		assert_int_equal(r.throttled, s.hosts * shares[i] / 100);
		assert_true(outbreak_time(&r, 1000) > 1.3 * half);
		half = outbreak_time(&r, 1000);
		outbreak_clear(&r);
	}
}

/* All have it: each infected host gets five out at once and one a second for
 * the five that it takes to freeze it. */
static void
test_all_have_it(void **state)
{
	struct outbreak_settings s = small(OUTBREAK_RANDOM, 100);
	struct outbreak_result r = run(&s);

	(void)state;
	assert_true(r.ever >= 20 && r.ever < 40);
	assert_int_equal(r.throttled, r.ever);
	assert_int_equal(r.frozen, r.ever);
	assert_int_equal(r.throttled_out, 10 * r.ever);
	assert_true(isinf(outbreak_time(&r, 1000)));
	outbreak_clear(&r);
}

/* In its own network a worm finds the same hosts again and again. */
static void
test_local(void **state)
{
	struct outbreak_settings s = small(OUTBREAK_RANDOM, 0);
	struct outbreak_result r = run(&s), l;
	double random;

	(void)state;
	random = outbreak_time(&r, 1900);
	s.spread = OUTBREAK_LOCAL;
	s.first = 1;
	l = run(&s);
	assert_int_equal(l.ever, s.hosts);
	assert_true(outbreak_time(&l, 1900) > random);
	outbreak_clear(&r);
	outbreak_clear(&l);
	s.local_share = 1;
	l = run(&s);
	assert_int_equal(l.ever, s.network);
	outbreak_clear(&l);
}

static void
add_mail(struct trace *t, const char *line)
{
	struct err why;

	assert_true(trace_add_line(t, str_from(line), &why));
}

static void
test_contacts(void **state)
{
	static const uint32_t first[] = {0, 2, 3, 3, 4}, to[] = {3, 1, 2, 0};
	struct trace t = {0};
	struct outbreak_graph g;

	(void)state;
	add_mail(&t, "0 10 11 30");
	add_mail(&t, "5 11 20");
	add_mail(&t, "6 30 10 30");
	add_mail(&t, "9 10 30");
	contacts_make(&t, &g);
	assert_int_equal(g.nodes, 4);
	assert_memory_equal(g.first, first, sizeof(first));
	assert_memory_equal(g.to, to, sizeof(to));
	contacts_clear(&g);
	trace_clear(&t);
}

/* 0 knows 1 to 50, who know nobody. */
static void
test_mail(void **state)
{
	static const struct throttle_policy policy = {.working_set = 10,
	    .interval_ms = 1000000,
	    .burst = 5,
	    .initial = 5,
	    .freeze_at = 1000,
	    .queue_max = 1000,
	    .idle_expiry_ms = 1000};
	uint32_t first[52] = {0}, to[50];
	struct outbreak_graph g = {51, first, to};
	struct outbreak_settings s = small(OUTBREAK_CONTACTS, 0);
	struct outbreak_result r;

	(void)state;
	for (uint32_t i = 0; i < 50; i++)
		to[i] = i + 1;
	for (uint32_t i = 1; i < ARRAY_LEN(first); i++)
		first[i] = 50;
	s.hosts = g.nodes;
	s.graph = &g;
	s.density = 0.5;
	s.policy = &policy;
	/* Whoever begins: 0 does with some seed. */
	s.first = 51;
	r = run(&s);
	assert_int_equal(r.ever, 51);
	outbreak_clear(&r);
	s.first = 1;
	for (s.seed = 1;; s.seed++) {
		r = run(&s);
		if (r.ever > 1)
			break;
		outbreak_clear(&r);
	}
	assert_int_equal(r.ever, 51);
	assert_int_equal(r.outside, 50);
	outbreak_clear(&r);
	/* Those of the ten whom it knows that five others did not push out of
	 * the working set before their turn. */
	s.deployed = 100;
	s.until_ms = 900000;
	r = run(&s);
	assert_in_range(r.throttled_out, 10, 15);
	assert_int_equal(r.ever - 1 + r.outside, r.throttled_out);
	outbreak_clear(&r);
}

static void
test_opening(void **state)
{
	uint32_t first[] = {0, 1, 2}, to[] = {1, 0};
	struct outbreak_graph g = {2, first, to};
	struct outbreak_settings s = small(OUTBREAK_CONTACTS, 0);
	struct outbreak_result r;

	(void)state;
	s.hosts = 2;
	s.graph = &g;
	s.density = 1;
	s.first = 1;
	s.open_share = 0;
	r = run(&s);
	assert_int_equal(r.ever, 1);
	outbreak_clear(&r);
	s.open_share = 1;
	s.open_s = 100;
	r = run(&s);
	assert_int_equal(r.ever, 2);
	assert_true(outbreak_time(&r, 2) > 0.05);
	outbreak_clear(&r);
}

static void
test_stop(void **state)
{
	static const volatile sig_atomic_t stopped = 1;
	struct outbreak_settings s = small(OUTBREAK_RANDOM, 0);
	struct outbreak_result r;

	(void)state;
	s.stop = &stopped;
	assert_false(outbreak_run(&s, &r));
	outbreak_clear(&r);
}

/* The equation beside the agents. */
static void
test_both(void **state)
{
	struct epidemic e = {.settings = small(OUTBREAK_RANDOM, 0),
	    .sides = {{.deployed = 0}, {.deployed = 100}},
	    .side_count = 2};

	(void)state;
	assert_true(epidemic_run(&e));
	assert_true(fabs(e.sides[0].half / e.sides[0].model_half - 1) < 0.1);
	assert_true(isinf(e.sides[1].half));
	assert_true(isinf(e.sides[1].model_half));
	epidemic_clear(&e);
	/* A worm that the throttle never freezes is the same to both. */
	e.settings.rate = 0.5;
	e.settings.density = 0.1;
	assert_true(epidemic_run(&e));
	assert_true(fabs(e.sides[1].half / e.sides[1].model_half - 1) < 0.1);
	epidemic_clear(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_figures),
	    cmocka_unit_test(test_step),
	    cmocka_unit_test(test_patching_ends_it),
	    cmocka_unit_test(test_node_that_is_never_full),
	    cmocka_unit_test(test_seed),
	    cmocka_unit_test(test_deployment),
	    cmocka_unit_test(test_all_have_it),
	    cmocka_unit_test(test_local),
	    cmocka_unit_test(test_contacts),
	    cmocka_unit_test(test_mail),
	    cmocka_unit_test(test_opening),
	    cmocka_unit_test(test_stop),
	    cmocka_unit_test(test_both),
	};

	return cmocka_run_group_tests_name("epidemic", tests, NULL, NULL);
}
