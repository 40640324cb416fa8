/* SPDX-License-Identifier: BSD-3-Clause */
/* See stolen.h. */
#include "replay/stolen.h"

#include "replay/report_outcome.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

static int
by_kind(const void *a, const void *b)
{
	const struct attack_plan *x = a, *y = b;

	if ((x->users > 0) != (y->users > 0))
		return x->users > 0 ? 1 : -1;
	/* They lie in the order of the command line. */
	return x->place < y->place ? -1 : 1;
}

size_t
stolen_sort(struct attack_plan *plans, size_t n)
{
	size_t outbreaks = 0;

	for (size_t i = 0; i < n; i++) {
		plans[i].place = (uint32_t)i;
		outbreaks += plans[i].users > 0;
	}
	if (n > 0)
		qsort(plans, n, sizeof(*plans), by_kind);
	return outbreaks;
}

int
stolen_prepare(struct setup *setup, const struct attack_plan *plans, size_t n,
    struct err *err)
{
	bool decoys = false;

	for (size_t i = 0; i < n; i++)
		decoys = decoys || plans[i].decoys > 0;
	if (decoys && !policies_add_decoy(setup->world.gate.policies,
			  str_from(stolen_decoy), ERR_ROOM(err)))
		return EX_SOFTWARE;
	return 0;
}

/* ---- when ---- */

static int
resolve(const struct replay_settings *s, int64_t start,
    const struct attack_plan *plan, int64_t *at, struct err *err)
{
	const struct trace *t = s->trace;
	int64_t end = t->messages[t->message_count - 1].seconds * INT64_C(1000);

	*at = end / 3 * 2;
	if (plan->at >= 0)
		*at = plan->at;
	if (plan->at_wall != 0 && start == 0) {
		err_set(err,
		    "--attack: %s: a trace has no date; write at=40d, counted "
		    "from its beginning",
		    plan->text);
		return EX_USAGE;
	}
	if (plan->at_wall != 0)
		*at = plan->at_wall - start;
	if (*at > 0 && *at <= end)
		return 0;
	err_set(err,
	    "--attack: %s: at is not between the first and the last message",
	    plan->text);
	return EX_USAGE;
}

/* ---- who feels it ---- */

static void
compare(const struct replay_settings *s, const struct report_outcome *before,
    const struct replay_result *with, struct stolen_result *out)
{
	struct report_outcome *after = report_outcomes(s->trace, with);

	for (uint32_t id = 0; id <= s->trace->id_max; id++) {
		const struct report_outcome *a = &before[id], *b = &after[id];

		if (a->messages == 0 || with->is_stolen[id] ||
		    !trace_node(s->nodes, id).is_user)
			continue;
		out->innocent++;
		out->touched += b->waited > a->waited ||
				b->longest > a->longest ||
				b->freezes > a->freezes;
		if (b->waited > a->waited)
			out->touched_recipients += b->waited - a->waited;
	}
	free(after);
}

static int
run_one(const struct replay_settings *settings, int64_t start,
    const struct attack_plan *plan, const struct report_outcome *before,
    struct stolen_result *out, struct err *err)
{
	struct replay_settings with = *settings;
	struct replay_result result = {0};
	int status = resolve(settings, start, plan, &with.outbreak_at, err);

	with.outbreak = plan;
	if (status == 0)
		status = replay_run(&with, &result, err);
	if (status == 0) {
		out->outbreak = result.outbreak;
		result.outbreak.reason = NULL; /* taken */
		compare(settings, before, &result, out);
	}
	replay_clear(&result);
	return status;
}

int
stolen_run(const struct replay_settings *settings, int64_t start,
    const struct attack_plan *plans, size_t n, struct stolen_results *out,
    struct err *err)
{
	struct replay_settings without = *settings;
	struct replay_result result = {0};
	struct report_outcome *before = NULL;
	int status = 0;

	*out = (struct stolen_results){.count = 0};
	if (n == 0)
		return 0;
	without.attack_count = 0;
	status = replay_run(&without, &result, err);
	if (status == 0)
		before = report_outcomes(settings->trace, &result);
	for (size_t i = 0; i < n && status == 0; i++) {
		status = run_one(
		    &without, start, &plans[i], before, &out->v[i], err);
		out->count = i + 1;
	}
	free(before);
	replay_clear(&result);
	return status;
}

void
stolen_clear(struct stolen_results *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->v[i].outbreak.reason);
}
