/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a worm spreads, as equations: Wong, Wang, Song, Bielski and Ganger,
 * "Dynamic Quarantine of Internet Worms", DSN 2004. Every limit is a term of
 * one system; what is 0 is not there. A fixed step of Runge and Kutta's fourth
 * order, so that the same model gives the same numbers. Pure.
 *
 * A host that can be infected is susceptible, infected or patched; "ever" are
 * those that were infected at any time. A contact is one that would hit a host
 * which can be infected; times are seconds.
 */
#ifndef REPLAY_MODEL_H
#define REPLAY_MODEL_H

#include "base/base.h"

struct model {
	double hosts; /* that can be infected */
	double first; /* infected at the start */
	double rate;  /* contacts a second of one infected host */
	/* Limits at a share of the hosts: those contact at limited_rate. */
	double limited_share, limited_rate;
	/* One node in the middle: each link carries link_rate, the node
	 * node_rate in all. */
	double link_rate, node_rate;
	/* The backbone: this share of all paths crosses routers that carry
	 * path_rate in all. */
	double path_share, path_rate;
	/* Networks of the same size: local_share of the contacts stay in their
	 * own, what leaves one passes its router at no more than edge_rate.
	 * edge_rate 0 with has_edge false: no limit. */
	double networks, local_share, edge_rate;
	bool has_edge;
	/* From the moment at which this share was ever infected, a host is
	 * patched with this probability a second, infected or not. */
	double patch_at, patch_rate;
};

struct model_curve {
	double *t, *infected, *ever;
	size_t n;
};

/* From 0 to `until`, n points that the caller frees by model_clear, with
 * `steps` steps from one to the next. n is 2 at least. */
void model_run(const struct model *m, double until, size_t n, unsigned steps,
    struct model_curve *out);
void model_clear(struct model_curve *c);

/* Infected at t by the closed form: the logistic, of the homogeneous model or
 * of limits at hosts; and of a node in the middle, logistic until the node is
 * full, an exponential approach after it. */
double model_logistic(const struct model *m, double t);
double model_node(const struct model *m, double t);

/* When so many were ever infected; INFINITY: not in this curve. */
double model_time(const struct model_curve *c, double hosts);

#endif
