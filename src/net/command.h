/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a program of the site's without a shell and without waiting: input goes
 * in at the start, output is handed on or kept for the log, and there is a
 * deadline. Or the same through a Unix socket, behind which a service manager
 * starts the program with rights that weir does not have: the text goes in, is
 * ended by a shutdown, and the last line that comes back is "status N". Event
 * loop's thread.
 */
#ifndef NET_COMMAND_H
#define NET_COMMAND_H

#include "base/str.h"
#include "net/loop.h"

struct command;

#define COMMAND_INPUT_MAX 32768 /* fits a pipe as it is */
#define COMMAND_SAID_MAX 512

struct command_end { /* borrowed during the call */
	int status;  /* its exit status, 128 + signal, 127: not started */
	bool timed_out;
	const char *said; /* the beginning of its words, one line */
};

struct command_run { /* borrowed during the call */
	const char *const
	    *argv;          /* argv[0]: a full path. NULL: socket is used */
	const char *socket; /* path */
	struct str input;
	int64_t timeout_ms; /* then it is killed */
	/* Standard output in pieces; NULL: kept with its words. */
	void (*on_output)(void *arg, struct str piece);
	/* Once, never from within command_start; the command is gone after it.
	 * One that cannot be killed is waited for. */
	void (*on_end)(void *arg, const struct command_end *end);
	void *arg;
};

struct command *command_start(struct loop *loop, const struct command_run *run);
/* Before its end: it is told to end, and nobody hears of it. */
void command_free(struct command *c);

#endif
