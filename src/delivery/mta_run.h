/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A command about the mail server's queue under way: as a program or through a
 * socket, with queue ids or without. Event loop's thread.
 */
#ifndef DELIVERY_MTA_RUN_H
#define DELIVERY_MTA_RUN_H

#include "delivery/mta_queue.h"
#include "net/command.h"

#define MTA_RUN_MAX 500 /* ids in one run: they fit COMMAND_INPUT_MAX */

/* What weir does in the mail server's queue; strings are copied. */
struct mta_settings {
	/* As mta_command_parse wants them; NULL: none. What is in the hold
	 * queue waits for a release or a discard. */
	const char *hold, *release, *discard, *queue;
	int64_t check_ms; /* between two listings */
	/* A message is left alone for so long after it was stored or let go:
	 * the mail server may not have it in its queue yet, and a command that
	 * finds nothing there says that it is gone. */
	int64_t settle_ms;
	int64_t timeout_ms; /* of a command */
};

struct mta_run { /* borrowed during the call */
	const struct mta_command *command;
	/* mta_id_ok. With %i in the command it is the first alone. */
	const char *const *ids;
	size_t n;
	int64_t timeout_ms;
	void (*on_output)(void *arg, struct str piece); /* or NULL */
	void (*on_end)(void *arg, const struct command_end *end);
	void *arg;
};

struct command *mta_run_start(struct loop *loop, const struct mta_run *run);

#endif
