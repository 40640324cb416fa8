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
