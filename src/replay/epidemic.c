/* SPDX-License-Identifier: BSD-3-Clause */
/* See epidemic.h. */
#include "replay/epidemic.h"

#include "replay/lone_worm.h"

#include <math.h>

#define HOUR_MS (3600 * INT64_C(1000))
#define MODEL_POINTS 401
#define MODEL_STEPS 50
#define SPAN_SHARE 0.99 /* of what is infected in the end */
#define SPAN_MORE 1.15

const char *const epidemic_spread_name[] = {
    [OUTBREAK_RANDOM] = "random",
    [OUTBREAK_LOCAL] = "local",
    [OUTBREAK_CONTACTS] = "contacts",
    NULL,
};

/* Contacts a second that hit of a host with the throttle. One that is frozen
 * soon makes none: what got out before is left out of the equation. */
static double
limited_rate(const struct outbreak_settings *s)
{
	struct lone_worm w = lone_worm_run(s->policy, s->rate, HOUR_MS);

	if (w.frozen_ms >= 0)
		return 0;
	return (w.passed + w.released) * s->density * 1000 / HOUR_MS;
}

static void
run_model(const struct epidemic *e, struct epidemic_side *side)
{
	const struct outbreak_settings *s = &e->settings;
	struct model m = {
	    .hosts = s->hosts,
	    .first = s->first,
	    .rate = s->rate * s->density,
	    .limited_share = side->deployed / 100.0,
	    .limited_rate = e->limited_rate,
	};

	if (s->spread != OUTBREAK_RANDOM || !(e->span > 0))
		return;
	model_run(&m, e->span, MODEL_POINTS, MODEL_STEPS, &side->model);
	side->model_half = model_time(&side->model, m.hosts / 2);
}

bool
epidemic_run(struct epidemic *e)
{
	for (size_t i = 0; i < e->side_count; i++) {
		struct epidemic_side *side = &e->sides[i];
		struct outbreak_settings s = e->settings;
		double most;

		s.deployed = side->deployed;
		side->model_half = INFINITY;
		if (!outbreak_run(&s, &side->agents))
			return false;
		side->half = outbreak_time(&side->agents, 0.5 * s.hosts);
		side->ninety = outbreak_time(&side->agents, 0.9 * s.hosts);
		most = outbreak_time(
		    &side->agents, SPAN_SHARE * (double)side->agents.ever);
		if (isfinite(most))
			e->span = fmax(e->span, most * SPAN_MORE);
	}
	if (e->settings.spread == OUTBREAK_RANDOM)
		e->limited_rate = limited_rate(&e->settings);
	for (size_t i = 0; i < e->side_count; i++)
		run_model(e, &e->sides[i]);
	return true;
}

void
epidemic_clear(struct epidemic *e)
{
	for (size_t i = 0; i < e->side_count; i++) {
		outbreak_clear(&e->sides[i].agents);
		model_clear(&e->sides[i].model);
	}
}
