/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See propose.h. From the defaults it gives way, one number a step, until the
 * target is met, each time where the least is lost to a thief for what people
 * gain; and then it tightens, each time where a thief loses most, as long as
 * the target is met. A policy costs more the stricter any of its numbers is,
 * so that no step has to be taken back.
 */
#include "replay/propose.h"

#include <math.h>
#include <string.h>

#define STEPS_MAX 7
#define LEAST 1e-9

const char *const propose_number_name[PROPOSE_NUMBERS] = {
    [PROPOSE_BURST] = "burst",
    [PROPOSE_INTERVAL] = "interval_s",
    [PROPOSE_FREEZE_AT] = "freeze_at",
    [PROPOSE_MESSAGES] = "stranger_messages_a_day",
    [PROPOSE_DAY] = "strangers_a_day",
    [PROPOSE_WEEK] = "strangers_a_week",
};

/* The loosest first. Start: the defaults of a policy for mail. */
static const struct {
	uint32_t v[STEPS_MAX];
	uint8_t n, start;
} grid[PROPOSE_NUMBERS] = {
    [PROPOSE_BURST] = {{100, 50, 30, 20, 15, 10, 5}, 7, 5},
    [PROPOSE_INTERVAL] = {{15, 30, 60, 120, 300}, 5, 2},
    [PROPOSE_FREEZE_AT] = {{400, 200, 100, 50}, 4, 2},
    [PROPOSE_MESSAGES] = {{400, 200, 100, 60, 40, 25}, 6, 4},
    [PROPOSE_DAY] = {{1000, 400, 200, 100, 60}, 5, 3},
    [PROPOSE_WEEK] = {{0, 1000, 500, 300, 200}, 5, 0},
};

double
propose_share(const struct propose_outcome *o)
{
	return o->recipients > 0 ? (double)o->waited / (double)o->recipients
				 : 0;
}

bool
propose_meets(const struct propose *p, const struct propose_outcome *o)
{
	return propose_share(o) <= p->target && o->frozen == 0;
}

/* One user frozen weighs as much as the whole of what may wait. */
static double
cost(const struct propose *p, const struct propose_outcome *o)
{
	return propose_share(o) / p->target + (double)o->frozen;
}

static struct propose_policy
policy_at(const uint8_t place[PROPOSE_NUMBERS])
{
	struct propose_policy policy = {0};

	for (int i = 0; i < PROPOSE_NUMBERS; i++)
		policy.v[i] = grid[i].v[place[i]];
	return policy;
}

struct propose_policy
propose_strictest(void)
{
	uint8_t place[PROPOSE_NUMBERS];

	for (int i = 0; i < PROPOSE_NUMBERS; i++)
		place[i] = (uint8_t)(grid[i].n - 1);
	return policy_at(place);
}

/* NULL: it was tried no more, or *ok is false. */
static const struct propose_trial *
try_at(struct propose *p, const uint8_t place[PROPOSE_NUMBERS], bool *ok)
{
	struct propose_trial *t;

	for (size_t i = 0; i < p->trial_count; i++) {
		if (memcmp(p->trials[i].place, place, PROPOSE_NUMBERS) == 0)
			return &p->trials[i];
	}
	if (!*ok || p->trial_count == PROPOSE_TRIALS_MAX)
		return NULL;
	t = &p->trials[p->trial_count];
	*t = (struct propose_trial){.policy = policy_at(place)};
	memcpy(t->place, place, PROPOSE_NUMBERS);
	*ok = p->try(p->arg, &t->policy, &t->outcome);
	if (!*ok)
		return NULL;
	p->trial_count++;
	return t;
}

/* With one number a step looser (-1) or stricter (1); NULL: there is none. */
static const struct propose_trial *
try_step(struct propose *p, const struct propose_trial *from, int number,
    int step, bool *ok)
{
	uint8_t place[PROPOSE_NUMBERS];
	int at = from->place[number] + step;

	if (at < 0 || at >= grid[number].n)
		return NULL;
	memcpy(place, from->place, PROPOSE_NUMBERS);
	place[number] = (uint8_t)at;
	return try_at(p, place, ok);
}

/* What people gain for what a thief gains. */
static double
worth(const struct propose *p, const struct propose_trial *from,
    const struct propose_trial *to)
{
	double gain = cost(p, &from->outcome) - cost(p, &to->outcome);
	double loss = log(to->outcome.reached / from->outcome.reached);

	return gain / (loss > LEAST ? loss : LEAST);
}

/* Several numbers may stand in the way of the same message, so that one step
 * alone gains nothing: all of them then. */
static const struct propose_trial *
loosen_all(struct propose *p, const struct propose_trial *from, bool *ok)
{
	uint8_t place[PROPOSE_NUMBERS];

	for (int i = 0; i < PROPOSE_NUMBERS; i++)
		place[i] =
		    from->place[i] > 0 ? (uint8_t)(from->place[i] - 1) : 0;
	return memcmp(place, from->place, PROPOSE_NUMBERS) != 0
		   ? try_at(p, place, ok)
		   : NULL;
}

static const struct propose_trial *
loosen(struct propose *p, const struct propose_trial *from, bool *ok)
{
	const struct propose_trial *best = NULL;

	for (int i = 0; i < PROPOSE_NUMBERS; i++) {
		const struct propose_trial *t = try_step(p, from, i, -1, ok);

		if (t == NULL ||
		    cost(p, &t->outcome) >= cost(p, &from->outcome))
			continue;
		if (best == NULL || worth(p, from, t) > worth(p, from, best))
			best = t;
	}
	return best != NULL ? best : loosen_all(p, from, ok);
}

/* A thief reaches fewer; or as many, and the number is again as it was. */
static bool
is_better(const struct propose_trial *from, const struct propose_trial *to,
    int number)
{
	double more = to->outcome.reached - from->outcome.reached;

	return more < -LEAST ||
	       (more < LEAST && from->place[number] < grid[number].start);
}

/* Stricter for a thief, and people do not feel it more than they may. */
static const struct propose_trial *
tighten(struct propose *p, const struct propose_trial *from, bool *ok)
{
	const struct propose_trial *best = NULL;

	for (int i = 0; i < PROPOSE_NUMBERS; i++) {
		const struct propose_trial *t = try_step(p, from, i, 1, ok);

		if (t == NULL || !propose_meets(p, &t->outcome) ||
		    !is_better(from, t, i))
			continue;
		if (best == NULL || t->outcome.reached < best->outcome.reached)
			best = t;
	}
	return best;
}

static const struct propose_trial *
nearest(const struct propose *p)
{
	const struct propose_trial *best = &p->trials[0];

	for (size_t i = 1; i < p->trial_count; i++) {
		if (cost(p, &p->trials[i].outcome) < cost(p, &best->outcome))
			best = &p->trials[i];
	}
	return best;
}

bool
propose_search(struct propose *p)
{
	uint8_t start[PROPOSE_NUMBERS];
	const struct propose_trial *at, *next;
	bool ok = true;

	for (int i = 0; i < PROPOSE_NUMBERS; i++)
		start[i] = grid[i].start;
	at = try_at(p, start, &ok);
	while (ok && !propose_meets(p, &at->outcome) &&
	       (next = loosen(p, at, &ok)) != NULL)
		at = next;
	if (!ok)
		return false;
	p->is_reached = propose_meets(p, &at->outcome);
	while (p->is_reached && (next = tighten(p, at, &ok)) != NULL)
		at = next;
	p->best = p->is_reached ? at : nearest(p);
	return ok;
}
