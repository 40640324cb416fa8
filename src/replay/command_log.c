/* SPDX-License-Identifier: BSD-3-Clause */
/* weir-replay log: reads logs, replays what was sent, reports. */
#include "replay/command.h"
#include "replay/logs.h"
#include "replay/people.h"
#include "replay/report_log.h"
#include "replay/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

/* One configuration on the log. */
struct trial {
	struct setup setup;
	struct replay_result result;
	struct report report;
	struct stolen_results stolen;
};

/* What --attack asks for: single accounts first, then outbreaks. */
struct plans {
	struct attack_plan v[ATTACKS_MAX];
	size_t single, outbreaks;
};

static int
run(struct trial *t, const struct command_args *args, const struct logs *l,
    const struct plans *plans, struct err *err)
{
	struct people people;
	struct replay_settings settings = {
	    .trace = &l->submissions.trace,
	    .nodes = &l->submissions.nodes,
	    .attacks = plans->v,
	    .attack_count = plans->single,
	    .world = t->setup.world,
	    .recipients_max = t->setup.recipients_max,
	    .people = people_init(&people, l),
	    .stop = args->stop,
	};
	int status = stolen_prepare(
	    &t->setup, plans->v + plans->single, plans->outbreaks, err);

	if (status == 0)
		status = replay_run(&settings, &t->result, err);
	if (status == 0)
		status = stolen_run(&settings, l->submissions.start,
		    plans->v + plans->single, plans->outbreaks, &t->stolen,
		    err);
	t->report.stolen = &t->stolen;
	t->report.names = l->submissions.names;
	if (status == 0)
		report_make(
		    &t->report, settings.trace, settings.nodes, &t->result);
	return status;
}

static int
print(const struct command_args *args, const struct report_log *report,
    struct err *err)
{
	bool ok = args->json   ? report_log_print_json(report)
		  : args->csv  ? report_log_print_csv(report, stdout)
		  : args->html ? report_log_print_html(report, stdout)
			       : report_log_print_text(report);

	if (ok)
		return 0;
	err_set(err, "the report cannot be written");
	return EX_IOERR;
}

static int
report(const struct command_args *args, const struct logs *l,
    const struct trial *first, const struct trial *other, struct err *err)
{
	struct report_log r = {
	    .logs = l,
	    .report = &first->report,
	    .other = other != NULL ? &other->report : NULL,
	};
	struct sender_habits *habits = senders_habits(
	    &l->submissions.trace, &l->submissions.nodes, &r.habit_count);
	int status;

	r.habits = habits;
	status = print(args, &r, err);
	free(habits);
	return status;
}

static void
trial_clear(struct trial *t)
{
	replay_clear(&t->result);
	stolen_clear(&t->stolen);
	setup_clear(&t->setup);
}

int
command_log(const struct command_args *args, struct err *err)
{
	struct trial first = {
	    .report = {.config = args->config, .policy = args->policy}};
	struct trial other = {
	    .report = {.config = args->compare, .policy = args->policy}};
	bool compares = args->compare != NULL;
	struct plans plans;
	struct logs l = {0};
	int status = setup_load(&first.setup, args->config, args->policy, err);
	size_t n = args->attack_count;

	for (size_t i = 0; i < n; i++)
		plans.v[i] = args->attacks[i];
	plans.outbreaks = stolen_sort(plans.v, n);
	plans.single = n - plans.outbreaks;
	if (status == 0 && compares)
		status =
		    setup_load(&other.setup, args->compare, args->policy, err);
	if (status == 0)
		status = logs_read(&l, args, &first.setup, err);
	if (status == 0)
		status = run(&first, args, &l, &plans, err);
	if (status == 0 && compares)
		status = run(&other, args, &l, &plans, err);
	if (status == 0)
		status =
		    report(args, &l, &first, compares ? &other : NULL, err);
	trial_clear(&first);
	trial_clear(&other);
	logs_clear(&l);
	return status;
}
