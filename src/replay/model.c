/* SPDX-License-Identifier: BSD-3-Clause */
/* See model.h. */
#include "replay/model.h"

#include <math.h>
#include <stdlib.h>

struct state {
	double susceptible, infected, ever;
	double networks; /* with one infected at least */
};

static double
mean_rate(const struct model *m)
{
	return m->limited_share * m->limited_rate +
	       (1 - m->limited_share) * m->rate;
}

/* Contacts a second of all, wherever they go. */
static double
contacts(const struct model *m, double infected)
{
	double all = mean_rate(m) * infected;

	if (m->node_rate > 0)
		all = fmin(m->link_rate * infected, m->node_rate);
	if (m->path_share > 0)
		all = all * (1 - m->path_share) +
		      fmin(all * m->path_share, m->path_rate);
	return all;
}

/* New infections a second; and networks that are newly reached. */
static double
infections(const struct model *m, const struct state *s, double *networks)
{
	double all = contacts(m, s->infected), local, leaving, room;

	*networks = 0;
	if (m->networks <= 0)
		return all * s->susceptible / m->hosts;
	local = all * m->local_share;
	leaving = all - local;
	if (m->has_edge)
		leaving = fmin(leaving, s->networks * m->edge_rate);
	/* Within the networks that have it, all alike. */
	room = 1 - s->ever / (s->networks * m->hosts / m->networks);
	*networks = leaving * (1 - s->networks / m->networks);
	return local * fmax(0, room) + leaving * s->susceptible / m->hosts;
}

static struct state
slope(const struct model *m, const struct state *s, bool is_patching)
{
	double patch = is_patching ? m->patch_rate : 0, networks;
	double new = infections(m, s, &networks);

	return (struct state){
	    .susceptible = -new - patch * s->susceptible,
	    .infected = new - patch * s->infected,
	    .ever = new,
	    .networks = networks,
	};
}

static struct state
add(const struct state *s, const struct state *d, double h)
{
	return (struct state){
	    .susceptible = s->susceptible + h * d->susceptible,
	    .infected = s->infected + h * d->infected,
	    .ever = s->ever + h * d->ever,
	    .networks = s->networks + h * d->networks,
	};
}

static void
advance(const struct model *m, struct state *s, bool is_patching, double h)
{
	struct state k1 = slope(m, s, is_patching), at = add(s, &k1, h / 2);
	struct state k2 = slope(m, &at, is_patching), k3, k4;

	at = add(s, &k2, h / 2);
	k3 = slope(m, &at, is_patching);
	at = add(s, &k3, h);
	k4 = slope(m, &at, is_patching);
	*s = add(s, &k1, h / 6);
	*s = add(s, &k2, h / 3);
	*s = add(s, &k3, h / 3);
	*s = add(s, &k4, h / 6);
}

void
model_run(const struct model *m, double until, size_t n, unsigned steps,
    struct model_curve *out)
{
	double h = until / (double)(n - 1) / steps;
	struct state s = {m->hosts - m->first, m->first, m->first,
	    fmin(m->first, m->networks)};
	bool is_patching = false;

	out->t = xcalloc(n, sizeof(*out->t));
	out->infected = xcalloc(n, sizeof(*out->infected));
	out->ever = xcalloc(n, sizeof(*out->ever));
	out->n = n;
	for (size_t i = 0; i < n; i++) {
		out->t[i] = until * (double)i / (double)(n - 1);
		out->infected[i] = s.infected;
		out->ever[i] = s.ever;
		for (unsigned k = 0; k < steps; k++) {
			is_patching |= m->patch_rate > 0 &&
				       s.ever >= m->patch_at * m->hosts;
			advance(m, &s, is_patching, h);
		}
	}
}

void
model_clear(struct model_curve *c)
{
	free(c->t);
	free(c->infected);
	free(c->ever);
	*c = (struct model_curve){0};
}

static double
logistic(double hosts, double first, double rate, double t)
{
	return hosts / (1 + (hosts / first - 1) * exp(-rate * t));
}

double
model_logistic(const struct model *m, double t)
{
	return logistic(m->hosts, m->first, mean_rate(m), t);
}

double
model_node(const struct model *m, double t)
{
	double full = m->node_rate / m->link_rate, at = 0, start = m->first;

	if (full >= m->hosts)
		return logistic(m->hosts, m->first, m->link_rate, t);
	if (full > m->first) {
		at = log((m->hosts / m->first - 1) / (m->hosts / full - 1)) /
		     m->link_rate;
		start = full;
	}
	if (t < at)
		return logistic(m->hosts, m->first, m->link_rate, t);
	return m->hosts -
	       (m->hosts - start) * exp(-m->node_rate * (t - at) / m->hosts);
}

double
model_time(const struct model_curve *c, double hosts)
{
	for (size_t i = 0; i < c->n; i++) {
		double before, part;

		if (c->ever[i] < hosts)
			continue;
		if (i == 0)
			return c->t[0];
		before = c->ever[i - 1];
		part = (hosts - before) / (c->ever[i] - before);
		return c->t[i - 1] + part * (c->t[i] - c->t[i - 1]);
	}
	return INFINITY;
}
