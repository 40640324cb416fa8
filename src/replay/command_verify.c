/* SPDX-License-Identifier: BSD-3-Clause */
/* weir-replay verify: does a replay give what the daemon gave? */
#include "replay/command.h"
#include "replay/exact.h"
#include "replay/input.h"
#include "replay/setup.h"

#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#define DIFFERENT 1

static void
on_delivered(void *arg, uint64_t label)
{
	(void)arg;
	(void)label;
}

static void
on_freeze(void *arg, const struct gate_freeze *freeze)
{
	(void)arg;
	(void)freeze;
}

static const struct world_callbacks callbacks = {
    .on_delivered = on_delivered,
    .on_freeze = on_freeze,
};

static int
read_logs(const struct command_args *args, struct exact *e, struct err *err)
{
	int status = 0;

	for (size_t i = 0; i < args->file_count && status == 0; i++)
		status = input_read(args->files[i], exact_add_line, e, err);
	if (status == 0 && exact_stats(e)->transactions == 0) {
		err_set(err,
		    "%s: has no requests to the gate; set log_level = debug in "
		    "weir.conf and restart weir-maild",
		    args->files[0]);
		status = EX_DATAERR;
	}
	return status;
}

static int
print(const struct exact_stats *s, struct err *err)
{
	printf("%" PRIu64 " verdicts in %" PRIu64 " transactions: %s\n",
	    s->verdicts, s->transactions,
	    s->different == 0 ? "the same verdicts as the daemon's"
			      : "not the same verdicts as the daemon's");
	if (s->unknown > 0)
		printf("%" PRIu64
		       " lines of transactions from before the log\n",
		    s->unknown);
	for (uint64_t i = 0; i < s->different && i < EXACT_SHOWN; i++)
		printf("%s\n", s->shown[i]);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		err_set(err, "the report cannot be written");
		return EX_IOERR;
	}
	if (s->different == 0)
		return 0;
	err_set(err,
	    "%" PRIu64
	    " verdicts differ: a different configuration, a log that does not "
	    "start with an empty spool, or actions of an administrator",
	    s->different);
	return DIFFERENT;
}

int
command_verify(const struct command_args *args, struct err *err)
{
	struct setup setup;
	struct world *world = NULL;
	struct exact *exact = NULL;
	int status;

	if (args->journal || args->config == NULL) {
		err_set(err,
		    "verify needs log files, and the daemon's configuration: "
		    "-c FILE");
		return EX_USAGE;
	}
	status = setup_load(&setup, args->config, NULL, err);
	if (status == 0) {
		/* All as it is, where a replay of other logs has choices. */
		setup.world.gate = setup.config->gate;
		setup.world.gate.history_bytes = 0;
		world = world_new(&setup.world, &callbacks, NULL, err, &status);
	}
	if (world != NULL) {
		exact = exact_new(world);
		status = read_logs(args, exact, err);
	}
	if (status == 0 && world_error(world) != NULL) {
		err_set(err, "the temporary directory: %s", world_error(world));
		status = EX_IOERR;
	}
	if (status == 0)
		status = print(exact_stats(exact), err);
	exact_free(exact);
	world_free(world);
	setup_clear(&setup);
	return status;
}
