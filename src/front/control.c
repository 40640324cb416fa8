/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-maild's control socket: the mail commands on the shared transport.
 */
#include "front/control_private.h"

#include "spool/spool.h"

#include <errno.h>
#include <string.h>

static const struct control_grammar grammar = {
    .commands = control_commands,
    .parse_id = spool_id_parse,
};

bool
control_request_parse(
    struct str line, struct control_request *out, char *err, size_t cap)
{
	return control_request_read(&grammar, line, out, err, cap);
}

void
control_fail_errno(struct control_conn *c, int error)
{
	if (error == ENOENT)
		control_fail(c, 1, "no such sender or message");
	else if (error == EBUSY)
		control_fail(c, 1, "the spool is busy; try again");
	else
		control_fail(c, 1, "the spool failed: %s", strerror(error));
}

struct control *
control_new(
    const struct control_parts *parts, struct listener *listener, int admin_gid)
{
	struct control_server server = {
	    .loop = parts->loop,
	    .log = parts->log,
	    .events = parts->events,
	    .grammar = &grammar,
	    .connections_max = parts->connections_max,
	};

	return control_start(
	    &server, parts, sizeof(*parts), listener, admin_gid);
}

void
control_free(struct control *control)
{
	control_stop(control);
}
