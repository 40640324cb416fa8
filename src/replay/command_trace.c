/* SPDX-License-Identifier: BSD-3-Clause */
/* weir-replay trace: reads a trace in normal form, replays it, reports. */
#include "replay/command.h"
#include "replay/input.h"
#include "replay/report.h"
#include "replay/setup.h"

#include <stdio.h>
#include <sysexits.h>

static int
read_both(const struct command_args *args, struct trace *trace,
    struct trace_nodes *nodes, struct err *err)
{
	int status = input_read(args->nodes, trace_nodes_add_line, nodes, err);

	if (status == 0)
		status = input_read(args->files[0], trace_add_line, trace, err);
	if (status == 0 && trace->message_count == 0) {
		err_set(err, "%s: contains no message", args->files[0]);
		status = EX_DATAERR;
	}
	return status;
}

/* Single accounts first; returns how many outbreaks follow. */
static size_t
take_plans(
    struct attack_plan plans[ATTACKS_MAX], const struct command_args *args)
{
	for (size_t i = 0; i < args->attack_count; i++)
		plans[i] = args->attacks[i];
	return stolen_sort(plans, args->attack_count);
}

static int
replay(const struct command_args *args, struct setup *setup,
    const struct trace *trace, const struct trace_nodes *nodes, struct err *err)
{
	struct attack_plan plans[ATTACKS_MAX];
	size_t outbreaks = take_plans(plans, args);
	size_t single = args->attack_count - outbreaks;
	struct stolen_results stolen = {.count = 0};
	struct replay_settings settings = {
	    .trace = trace,
	    .nodes = nodes,
	    .attacks = plans,
	    .attack_count = single,
	    .world = setup->world,
	    .recipients_max = setup->recipients_max,
	    .no_local = args->no_local,
	    .stop = args->stop,
	};
	struct report report = {
	    .trace = args->files[0],
	    .config = args->config,
	    .policy = args->policy,
	    .no_local = args->no_local,
	    .stolen = &stolen,
	};
	struct replay_result result = {0};
	int status = stolen_prepare(setup, plans + single, outbreaks, err);
	bool ok;

	if (status == 0)
		status = replay_run(&settings, &result, err);
	if (status == 0)
		status = stolen_run(
		    &settings, 0, plans + single, outbreaks, &stolen, err);
	if (status == 0) {
		report_make(&report, trace, nodes, &result);
		ok = args->json ? report_print_json(&report)
				: report_print_text(&report);
		if (!ok) {
			err_set(err, "the report cannot be written");
			status = EX_IOERR;
		}
	}
	replay_clear(&result);
	stolen_clear(&stolen);
	return status;
}

int
command_trace(const struct command_args *args, struct err *err)
{
	struct trace trace = {0};
	struct trace_nodes nodes = {0};
	struct setup setup;
	int status;

	if (args->profile_count > 0) {
		err_set(err, "--profile is for traces of flows");
		return EX_USAGE;
	}
	for (size_t i = 0; i < args->attack_count; i++) {
		if (!args->attacks[i].is_udp)
			continue;
		err_set(err, "--attack: udp is for traces of flows");
		return EX_USAGE;
	}
	status = setup_load(&setup, args->config, args->policy, err);

	if (status == 0)
		status = read_both(args, &trace, &nodes, err);
	if (status == 0)
		status = replay(args, &setup, &trace, &nodes, err);
	trace_clear(&trace);
	trace_nodes_clear(&nodes);
	setup_clear(&setup);
	return status;
}
