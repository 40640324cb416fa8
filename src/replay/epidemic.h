/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An outbreak with the throttle on some shares of the hosts, by agents and,
 * where they are reached at random, by the equation beside it; and its report.
 */
#ifndef REPLAY_EPIDEMIC_H
#define REPLAY_EPIDEMIC_H

#include "replay/model.h"
#include "replay/outbreak.h"

#define EPIDEMIC_SHARES_MAX 4 /* as many as a plot can show twice */

struct epidemic_side {
	unsigned deployed; /* percent */
	struct outbreak_result agents;
	struct model_curve model; /* n 0: none */
	double half, ninety;      /* s until so much was infected; INFINITY */
	double model_half;
};

struct epidemic {
	struct outbreak_settings settings; /* but for deployed */
	const char *rate;                  /* as it was given, borrowed */
	const char *trace;                 /* of contacts; NULL */
	const char *policy;                /* its name, borrowed */
	struct epidemic_side sides[EPIDEMIC_SHARES_MAX];
	size_t side_count;
	double span;         /* s that a plot shows */
	double limited_rate; /* of the equation */
};

extern const char *const epidemic_spread_name[]; /* NULL ends it */

/* Fills the sides, whose `deployed` is given. False: stopped. epidemic_clear in
 * any case. */
MUST_CHECK bool epidemic_run(struct epidemic *e);
void epidemic_clear(struct epidemic *e);

/* To stdout, with the figures of the papers. False: it could not be written. */
MUST_CHECK bool epidemic_print_text(const struct epidemic *e);
MUST_CHECK bool epidemic_print_json(const struct epidemic *e);
MUST_CHECK bool epidemic_print_html(const struct epidemic *e);

#endif
