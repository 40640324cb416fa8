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
    struct trace_nodes *nodes, char *err, size_t cap)
{
	int status =
	    input_read(args->nodes, trace_nodes_add_line, nodes, err, cap);

	if (status == 0)
		status =
		    input_read(args->files[0], trace_add_line, trace, err, cap);
	if (status == 0 && trace->message_count == 0) {
		snprintf(err, cap, "%s: holds no message", args->files[0]);
		status = EX_DATAERR;
	}
	return status;
}

static int
replay(const struct command_args *args, const struct setup *setup,
    const struct trace *trace, const struct trace_nodes *nodes, char *err,
    size_t cap)
{
	struct replay_settings settings = {
	    .trace = trace,
	    .nodes = nodes,
	    .attacks = args->attacks,
	    .attack_count = args->attack_count,
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
	};
	struct replay_result result;
	int status = replay_run(&settings, &result, err, cap);
	bool ok;

	if (status == 0) {
		report_make(&report, trace, nodes, &result);
		ok = args->json ? report_print_json(&report)
				: report_print_text(&report);
		if (!ok) {
			snprintf(err, cap, "the report cannot be written");
			status = EX_IOERR;
		}
	}
	replay_clear(&result);
	return status;
}

int
command_trace(const struct command_args *args, char *err, size_t cap)
{
	struct trace trace = {0};
	struct trace_nodes nodes = {0};
	struct setup setup;
	int status;

	if (args->profile_count > 0) {
		snprintf(err, cap, "--profile is for traces of flows");
		return EX_USAGE;
	}
	for (size_t i = 0; i < args->attack_count; i++) {
		if (!args->attacks[i].is_udp)
			continue;
		snprintf(err, cap, "--attack: udp is for traces of flows");
		return EX_USAGE;
	}
	status = setup_load(&setup, args->config, args->policy, err, cap);

	if (status == 0)
		status = read_both(args, &trace, &nodes, err, cap);
	if (status == 0)
		status = replay(args, &setup, &trace, &nodes, err, cap);
	trace_clear(&trace);
	trace_nodes_clear(&nodes);
	setup_clear(&setup);
	return status;
}
