/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See figures.h. Twycross & Williamson give no table of their test network, and
 * the text of Wong et al. gives some of its figures as curves: where a number
 * had to be chosen, it stands here, and doc/epidemic.md says which.
 */
#include "replay/figures.h"

#include "netgate/netprofile.h"
#include "replay/lone_worm.h"
#include "replay/model.h"
#include "replay/outbreak.h"

#include <math.h>

#define HOUR_MS (3600 * INT64_C(1000))
#define POINTS 1001
#define STEPS 20 /* of the integrator, from point to point */

/* ---- one worm in the core ---- */

static double
stopped_after(const struct figure *f)
{
	struct lone_worm o =
	    lone_worm_run(&throttle_profile_tcp, f->rate, HOUR_MS);

	return o.frozen_ms < 0 ? INFINITY
			       : (double)(o.frozen_ms - o.first_held_ms) / 1000;
}

static double
got_out(const struct figure *f)
{
	return lone_worm_run(&throttle_profile_tcp, f->rate, HOUR_MS).released;
}

/* So many in a window (share: its seconds), and nothing else. */
static struct throttle_policy
window_of(double count, double seconds)
{
	struct throttle_policy p = netprofile_get(NETPOLICY_WINDOW).throttle;

	p.freeze_at = 0;
	p.limit_count = 1;
	p.limits[0] =
	    (struct throttle_limit){(uint32_t)count, (int64_t)(seconds * 1000)};
	return p;
}

static double
contacts_in_an_hour(const struct throttle_policy *p, double rate)
{
	struct lone_worm o = lone_worm_run(p, rate, HOUR_MS);

	return o.passed + o.released;
}

/* rate a minute, under six a minute. */
static double
share_of_contacts(const struct figure *f)
{
	struct throttle_policy p = window_of(6, 60);

	return 100 * contacts_in_an_hour(&p, f->rate / 60) / (f->rate * 60);
}

static double
window_contacts(const struct figure *f)
{
	struct throttle_policy p = window_of(f->rate, f->share);

	return contacts_in_an_hour(&p, 100);
}

static double
hybrid_contacts(const struct figure *f)
{
	struct throttle_policy p = window_of(f->rate, f->share);

	p.limit_count = 2;
	p.limits[1] = (struct throttle_limit){50, 60000};
	return contacts_in_an_hour(&p, 100);
}

static double
window_wait(const struct figure *f)
{
	struct throttle_policy p = window_of(f->rate, f->share);
	struct lone_worm o = lone_worm_run(&p, 1000, 1000);

	return (double)o.longest_ms / 1000;
}

/* ---- the equations ---- */

/* Contacts a second that hit, of one infected host; and how many there are. */
#define RATE 0.8
#define HOSTS 1000.0

static const struct model plain = {.hosts = HOSTS, .first = 1, .rate = RATE};

/* Seconds until half of the hosts were infected. */
static double
half_time(const struct model *m, double until)
{
	struct model_curve c;
	double t;

	model_run(m, until, POINTS, STEPS, &c);
	t = model_time(&c, m->hosts / 2);
	model_clear(&c);
	return t;
}

static double
furthest(const struct model *m, double until,
    double (*closed)(const struct model *m, double t))
{
	struct model_curve c;
	double most = 0;

	model_run(m, until, POINTS, STEPS, &c);
	for (size_t i = 0; i < c.n; i++)
		most = fmax(most, fabs(c.infected[i] - closed(m, c.t[i])));
	model_clear(&c);
	return most / m->hosts;
}

static double
logistic_error(const struct figure *f)
{
	(void)f;
	return furthest(&plain, 40, model_logistic);
}

static double
slowdown_at_hosts(const struct figure *f)
{
	struct model m = plain;

	m.limited_share = f->share;
	return half_time(&m, 40 / (1 - f->share)) / half_time(&plain, 40);
}

static struct model
node(double ratio)
{
	struct model m = plain;

	m.link_rate = RATE;
	m.node_rate = RATE * ratio;
	return m;
}

static double
node_error(const struct figure *f)
{
	struct model m = node(f->rate);

	return furthest(&m, 2000, model_node);
}

static double
node_slowdown(const struct figure *f)
{
	struct model m = node(f->rate);

	return half_time(&m, 2000) / half_time(&plain, 40);
}

static double
dns_against_ip(const struct figure *f)
{
	struct model dns = node(2), ip = node(6);

	(void)f;
	return half_time(&dns, 2000) / half_time(&ip, 2000);
}

/* From the moment at which the node is full: the second tenth of the hosts
 * against the third. Exponential growth would need far less for the third. */
static double
linearity(const struct figure *f)
{
	struct model m = node(f->rate);
	struct model_curve c;
	double ratio;

	model_run(&m, 2000, POINTS, STEPS, &c);
	ratio = (model_time(&c, 0.2 * HOSTS) - model_time(&c, 0.1 * HOSTS)) /
		(model_time(&c, 0.3 * HOSTS) - model_time(&c, 0.2 * HOSTS));
	model_clear(&c);
	return ratio;
}

static double
backbone_against_hosts(const struct figure *f)
{
	struct model paths = plain, hosts = plain;

	paths.path_share = hosts.limited_share = f->share;
	return half_time(&paths, 400) / half_time(&hosts, 400);
}

/* A hundred networks of a hundred hosts; what leaves one is limited to what
 * a single host of it would send. */
static double
edge_slowdown(const struct figure *f)
{
	struct model m = {
	    .hosts = 10000,
	    .first = 1,
	    .rate = RATE,
	    .networks = 100,
	    .local_share = f->share,
	};
	double without = half_time(&m, 200);

	m.has_edge = true;
	m.edge_rate = RATE;
	return half_time(&m, 4000) / without;
}

static double
local_slowdown_at_hosts(const struct figure *f)
{
	struct model m = {
	    .hosts = 10000,
	    .first = 1,
	    .rate = RATE,
	    .networks = 100,
	    .local_share = 0.8,
	};
	double without = half_time(&m, 200);

	m.limited_share = f->share;
	return half_time(&m, 800) / without;
}

/* Patching with 0.1 a second from the moment at which 20 % were infected. */
static double
ever_infected(double path_share)
{
	struct model m = plain;
	struct model_curve c;
	double ever;

	m.path_share = path_share;
	m.patch_at = 0.2;
	m.patch_rate = 0.1;
	model_run(&m, 300, POINTS, STEPS, &c);
	ever = 100 * c.ever[c.n - 1] / m.hosts;
	model_clear(&c);
	return ever;
}

static double
patched(const struct figure *f)
{
	return ever_infected(f->share);
}

static double
patched_less(const struct figure *f)
{
	return 100 * (1 - ever_infected(f->share) / ever_infected(0));
}

/* ---- the agents ---- */

#define AGENTS 10000
#define AGENT_RATE 10
#define AGENT_DENSITY 0.01

static double
run_agents(unsigned deployed, bool want_half)
{
	const struct outbreak_settings s = {
	    .spread = OUTBREAK_RANDOM,
	    .hosts = AGENTS,
	    .first = 50,
	    .rate = AGENT_RATE,
	    .density = AGENT_DENSITY,
	    .policy = &throttle_profile_tcp,
	    .deployed = deployed,
	    .until_ms = HOUR_MS,
	    .seed = 1,
	};
	struct outbreak_result r;
	double value = INFINITY;

	if (outbreak_run(&s, &r))
		value = want_half ? outbreak_time(&r, AGENTS / 2)
				  : 100.0 * r.ever / AGENTS;
	outbreak_clear(&r);
	return value;
}

static double
deployment_slowdown(const struct figure *f)
{
	return run_agents((unsigned)f->share, true) / run_agents(0, true);
}

static double
deployment_ever(const struct figure *f)
{
	return run_agents((unsigned)f->share, false);
}

static double
agents_against_logistic(const struct figure *f)
{
	struct model m = {
	    .hosts = AGENTS, .first = 50, .rate = AGENT_RATE * AGENT_DENSITY};

	(void)f;
	return run_agents(0, true) / half_time(&m, 300);
}

#define T "Twycross 2003"
#define D "Wong 2004"

const struct figure figures[] = {
    {T, "Nimda, 200 attempts a second: queue of 100 after",
	"0.25 s (100 at 200 a second take 0.5 s)", "s", 0.2, 0.51,
	stopped_after, 200, 0},
    {T, "Nimda: packets passed meanwhile", "1", "", 0, 1, got_out, 200, 0},
    {T, "20 attempts a second: stopped after", "about 5 s or less", "s", 4.5,
	5.5, stopped_after, 20, 0},
    {T, "20 a second: packets passed meanwhile", "at most 5", "", 0, 5, got_out,
	20, 0},
    {T, "150 attempts a second: stopped after", "less than 5 s", "s", 0, 5,
	stopped_after, 150, 0},
    {T, "SQL Slammer, 850 a second: stopped after", "a fraction of a second",
	"s", 0, 0.99, stopped_after, 850, 0},
    {T, "throttle on 50 %: half infected later, times", "reduced", "times", 1.6,
	2.4, deployment_slowdown, 0, 50},
    {T, "throttle on 75 %: half infected later, times", "substantially reduced",
	"times", 3, 5, deployment_slowdown, 0, 75},
    {T, "throttle on all: ever infected", "stopped", "%", 0, 2, deployment_ever,
	0, 100},
    {D, "Blaster, 671 a minute, under 6 a minute: contacts left",
	"significantly slowed down", "%", 0.8, 1, share_of_contacts, 671, 0},
    {D, "Welchia, 7068 a minute, under 6 a minute: contacts left",
	"significantly slowed down", "%", 0.08, 0.1, share_of_contacts, 7068,
	0},
    {D, "5 in 1 s: a scan's contacts in an hour",
	"long windows allow lower rates", "", 17900, 18010, window_contacts, 5,
	1},
    {D, "12 in 5 s: in an hour", "", "", 8600, 8650, window_contacts, 12, 5},
    {D, "50 in 60 s: in an hour", "", "", 2990, 3010, window_contacts, 50, 60},
    {D, "hybrid, 5 in 1 s and 50 in 60 s: in an hour", "as its long window", "",
	2990, 3010, hybrid_contacts, 5, 1},
    {D, "5 in 1 s, full: the next waits", "long windows wait long", "s", 0.9, 1,
	window_wait, 5, 1},
    {D, "50 in 60 s, full: the next waits", "", "s", 59, 60, window_wait, 50,
	60},
    {D, "homogeneous: furthest from the logistic, of all hosts", "0", "", 0,
	1e-6, logistic_error, 0, 0},
    {D, "limits at 50 % of the hosts: half infected later, times", "linear: 2",
	"times", 1.99, 2.01, slowdown_at_hosts, 0, 0.5},
    {D, "limits at 90 % of the hosts", "linear: 10", "times", 9.9, 10.1,
	slowdown_at_hosts, 0, 0.9},
    {D, "node 1:6: furthest from the closed form, of all hosts", "0", "", 0,
	1e-3, node_error, 6, 0},
    {D, "node 1:6 (IP throttle): half infected later, times", "far slower",
	"times", 10, 100, node_slowdown, 6, 0},
    {D, "node 1:2 (DNS throttle): half infected later, times", "better still",
	"times", 30, 100, node_slowdown, 2, 0},
    {D, "1:2 against 1:6, times", "DNS is better", "times", 2.5, 3.1,
	dns_against_ip, 0, 0},
    {D, "full node: time for its second tenth against its third",
	"linear: near 1", "times", 0.8, 1.05, linearity, 6, 0},
    {D, "backbone on 50 % of paths against limits at 50 % of hosts",
	"comparable: 1", "times", 0.99, 1.01, backbone_against_hosts, 0, 0.5},
    {D, "edge limits, random worm: half infected later, times", "slower",
	"times", 3, 20, edge_slowdown, 0, 0.01},
    {D, "edge limits, local worm (80 % stays): half infected later, times",
	"little", "times", 1, 2.5, edge_slowdown, 0, 0.8},
    {D, "limits at 50 % of the hosts, local worm", "as before: 2", "times", 1.9,
	2.1, local_slowdown_at_hosts, 0, 0.5},
    {D, "patching from 20 % on: ever infected", "about 80 %", "%", 78, 82,
	patched, 0, 0},
    {D, "patching and limits on 30 % of paths: ever infected", "72 %", "%", 71,
	73, patched, 0, 0.3},
    {D, "fewer than by patching alone", "about 10 %", "%", 9, 12, patched_less,
	0, 0.3},
    {"agents", "without throttle against the logistic, time to half", "1",
	"times", 0.93, 1.07, agents_against_logistic, 0, 0},
    {0},
};
