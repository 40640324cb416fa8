/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the papers say of throttles and worms, measured here: with the throttle
 * core itself, with the equations of model.h, with the agents of outbreak.h. A
 * test fails when one of them leaves its bounds.
 */
#ifndef REPLAY_FIGURES_H
#define REPLAY_FIGURES_H

#include "base/base.h"

struct figure {
	const char *source; /* of the literature, see doc/epidemic.md */
	const char *what;
	const char *paper; /* its words or its figure */
	const char *unit;
	double low, high; /* what is taken as the same */
	double (*measure)(const struct figure *f);
	double rate, share; /* for measure */
};

extern const struct figure figures[]; /* what NULL ends it */

static inline bool
figure_holds(const struct figure *f, double value)
{
	return value >= f->low && value <= f->high;
}

#endif
