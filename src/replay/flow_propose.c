/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See flow_propose.h. Less of any number holds more, so that the least that
 * will do is found by halving; the numbers are from a table of round ones, and
 * the margin is the next larger of them.
 */
#include "replay/flow_propose.h"

#include "base/units.h"

#include <math.h>
#include <stdio.h>

#define HOUR_MS (3600 * INT64_C(1000))

static const uint32_t round_numbers[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20,
    25, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 400, 500, 600, 800,
    1000, 1200, 1500, 2000, 2500, 3000, 4000, 5000, 6000, 8000, 10000, 12000,
    15000, 20000, 25000, 30000, 40000, 50000, 60000, THROTTLE_COUNT_MAX};
#define ROUND_COUNT ARRAY_LEN(round_numbers)

static const uint32_t working_sets[] = {32, 64, 128, 256};
static const int64_t intervals_ms[] = {250, 500, 1000, 2000};
static const int64_t windows_ms[FLOW_PROPOSE_LIMITS] = {HOUR_MS, 3 * HOUR_MS};

struct search {
	const struct flows *flows;
	double target;
	const struct attack_plan *plans;
	size_t plan_count;
	const volatile sig_atomic_t *stop;
	struct flow_proposal *out;
	double best; /* the score of out's numbers */
};

struct netpolicy_conf
flow_numbers_conf(const struct flow_numbers *n)
{
	struct netpolicy_conf conf = flow_policy_conf(NETPOLICY_WORKSTATION);

	conf.working_set = n->working_set;
	conf.burst = n->burst;
	conf.interval_ms = n->interval_ms;
	for (size_t i = 0; i < FLOW_PROPOSE_LIMITS; i++)
		conf.limit.v[conf.limit.n++] = n->limits[i];
	return conf;
}

/* "500ms", as the file has it: one unit. */
static const char *
duration_text(int64_t ms, char text[UNITS_TEXT_MAX])
{
	static const struct {
		int64_t ms;
		const char *unit;
	} v[] = {{HOUR_MS, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
	size_t i = 0;

	while (ms % v[i].ms != 0)
		i++;
	snprintf(text, UNITS_TEXT_MAX, "%lld%s", (long long)(ms / v[i].ms),
	    v[i].unit);
	return text;
}

void
flow_numbers_print(const struct flow_numbers *n, char *out, size_t cap)
{
	char interval[UNITS_TEXT_MAX], first[UNITS_TEXT_MAX],
	    second[UNITS_TEXT_MAX];

	snprintf(out, cap,
	    "policy \"default\" {\n"
	    "    profile = workstation\n"
	    "    working_set = %u\n"
	    "    burst = %u\n"
	    "    interval = \"%s\"\n"
	    "    limit = {\"%u/%s\", \"%u/%s\"}\n"
	    "}\n",
	    n->working_set, n->burst, duration_text(n->interval_ms, interval),
	    n->limits[0].count, duration_text(n->limits[0].window_ms, first),
	    n->limits[1].count, duration_text(n->limits[1].window_ms, second));
}

static struct flow_policy
make(const struct flow_numbers *n)
{
	struct netpolicy_conf conf = flow_numbers_conf(n);
	struct flow_policy p;
	struct err err;

	/* All of our numbers are within the table of options. */
	if (flow_policy_numbers(&p, &conf, &err) != 0)
		panic("a proposal: %s", err.text);
	return p;
}

static bool
fits(const struct search *s, const struct flow_numbers *n)
{
	struct flow_policy p = make(n);
	struct flow_result r;
	uint64_t held = 0, flows = 0;
	bool ok = flow_run(&p.gate, s->flows, s->out->sought, s->stop, &r);

	s->out->tried++;
	flow_policy_clear(&p);
	for (int i = 0; i < FLOW_PROTOCOLS; i++) {
		held += r.of[i].waited.count + r.of[i].never;
		flows += r.of[i].flows;
	}
	return ok && r.freezes == 0 &&
	       (double)held <= s->target * (double)flows;
}

/* The place of the least number that will do, from `from` on; ROUND_COUNT:
 * none. */
static size_t
least(const struct search *s, struct flow_numbers *n, uint32_t *number,
    size_t from)
{
	size_t low = from, high = ROUND_COUNT;

	while (low < high && !*s->stop) {
		size_t middle = low + (high - low) / 2;

		*number = round_numbers[middle];
		if (fits(s, n))
			high = middle;
		else
			low = middle + 1;
	}
	if (low < ROUND_COUNT)
		*number = round_numbers[low];
	return low;
}

/* How many bits it takes to count whom the outbreaks reach. */
static double
score(const struct search *s, const struct flow_numbers *n)
{
	const struct ip attacker = {.family = IP_V4, .bytes = {10}};
	struct flow_policy p = make(n);
	double sum = 0;

	for (size_t i = 0; i < s->plan_count; i++) {
		struct flow_attack_result r;

		if (!flow_run_attack(
			&p.gate, &attacker, &s->plans[i], s->stop, &r))
			break;
		sum += log2(1 + (double)r.reached);
	}
	flow_policy_clear(&p);
	return sum;
}

static void
widen(uint32_t *number, size_t place)
{
	*number = round_numbers[place + 1 < ROUND_COUNT ? place + 1 : place];
}

static void
try(struct search *s, uint32_t working_set, int64_t interval_ms)
{
	struct flow_numbers n = {
	    .working_set = working_set,
	    .interval_ms = interval_ms,
	    .limits = {{THROTTLE_COUNT_MAX, windows_ms[0]},
		{THROTTLE_COUNT_MAX, windows_ms[1]}},
	};
	size_t burst = least(s, &n, &n.burst, 0), hour, longer;
	double value;

	if (burst == ROUND_COUNT)
		return;
	hour = least(s, &n, &n.limits[0].count, burst);
	longer = least(s, &n, &n.limits[1].count, hour);
	if (*s->stop || hour == ROUND_COUNT || longer == ROUND_COUNT)
		return;
	widen(&n.burst, burst);
	widen(&n.limits[0].count, hour);
	widen(&n.limits[1].count, longer);
	value = score(s, &n);
	if (s->out->is_found && value >= s->best)
		return;
	s->best = value;
	s->out->numbers = n;
	s->out->is_found = true;
}

static uint32_t
find_cut(const struct flows *f, double keep_back)
{
	double wanted = f->opened * (1 - keep_back);
	uint32_t i = 0;

	for (double seen = 0; i < f->count && seen < wanted; i++)
		seen += f->v[i].kind == FLOW_OPEN;
	return i;
}

bool
flow_propose(const struct flows *flows, double target, double keep_back,
    const struct attack_plan *plans, size_t plan_count,
    const volatile sig_atomic_t *stop, struct flow_proposal *out)
{
	struct search s = {
	    .flows = flows,
	    .target = target,
	    .plans = plans,
	    .plan_count = plan_count,
	    .stop = stop,
	    .out = out,
	};

	*out = (struct flow_proposal){.cut = find_cut(flows, keep_back)};
	out->sought = (struct flow_part){0, out->cut};
	out->kept = (struct flow_part){out->cut, flows->count};
	for (size_t i = 0; i < ARRAY_LEN(working_sets); i++) {
		for (size_t k = 0; k < ARRAY_LEN(intervals_ms) && !*stop; k++)
			try(&s, working_sets[i], intervals_ms[k]);
	}
	return !*stop;
}
