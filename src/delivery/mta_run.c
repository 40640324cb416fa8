/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ids go to standard input one a line, behind the socket's word where there is
 * one.
 */
#include "delivery/mta_run.h"

static void
write_input(const struct mta_run *run, struct buf *out)
{
	const struct mta_command *c = run->command;

	if (c->socket != NULL && c->n > 0 &&
	    !buf_printf(out, "%s\n", c->words[0]))
		panic("mta_run: too long a word for a socket");
	for (size_t i = 0; !c->has_id && i < run->n; i++) {
		if (!buf_printf(out, "%s\n", run->ids[i]))
			panic("mta_run: too many ids for a pipe");
	}
}

struct command *
mta_run_start(struct loop *loop, const struct mta_run *run)
{
	const struct mta_command *c = run->command;
	struct command_run with = {.socket = c->socket,
	    .timeout_ms = run->timeout_ms,
	    .on_output = run->on_output,
	    .on_end = run->on_end,
	    .arg = run->arg};
	struct command *started;
	char **argv = NULL;
	struct buf input;

	buf_init(&input, COMMAND_INPUT_MAX);
	write_input(run, &input);
	if (c->socket == NULL)
		argv = mta_command_argv(c, run->n > 0 ? run->ids[0] : "");
	with.argv = (const char *const *)argv;
	with.input = buf_str(&input);
	started = command_start(loop, &with);
	buf_clear(&input);
	if (argv != NULL)
		mta_command_free_argv(argv);
	return started;
}
