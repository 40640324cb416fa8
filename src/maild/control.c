/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-maild's control socket: the mail commands on the shared transport.
 */
#include "maild/control_private.h"

#include "os/clock.h"
#include "spool/spool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct control_grammar grammar = {
    .tables = CONTROL_TABLES(control_commands, access_commands),
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
		control_fail(c, CONTROL_ABSENT, "no such sender or message");
	else if (error == EBUSY)
		control_fail(c, CONTROL_LATER, "the spool is busy; try again");
	else
		control_fail(
		    c, CONTROL_FAILED, "the spool failed: %s", strerror(error));
}

const char *
control_unseen(const struct control_conn *c, char out[CONTROL_UNSEEN_MAX])
{
	char like[GATE_LIKE_MAX][POLICY_SOURCE_MAX];
	size_t count = gate_sender_like(
	    control_parts(c)->gate, str_from(c->request.sender), like);
	size_t n = str_copy(STR("never seen"), out, CONTROL_UNSEEN_MAX);

	/* Whose they are others need not know. */
	if (c->domain != NULL)
		count = 0;
	for (size_t i = 0; i < count && n + 1 < CONTROL_UNSEEN_MAX; i++)
		n += (size_t)snprintf(out + n, CONTROL_UNSEEN_MAX - n, "%s%s",
		    i == 0 ? "; did you mean " : " or ", like[i]);
	if (count > 0 && n + 1 < CONTROL_UNSEEN_MAX)
		(void)str_copy(STR("?"), out + n, CONTROL_UNSEEN_MAX - n);
	return out;
}

void
control_no_sender(struct control_conn *c)
{
	char unseen[CONTROL_UNSEEN_MAX];

	control_fail(c, CONTROL_ABSENT, "no such sender: %s (%s)",
	    c->request.sender, control_unseen(c, unseen));
}

static void
on_audit(void *parts, const char *who, const char *action, const char *target,
    const char *detail)
{
	const struct control_parts *p = parts;
	struct spool_audit audit = {.at = clock_wall_ms(),
	    .who = who,
	    .action = action,
	    .target = target,
	    .detail = detail};

	spool_audit_add(p->spool, &audit, NULL, NULL);
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
	    .access = parts->access,
	    .audit = on_audit,
	    .site = parts->site,
	    .site_arg = parts->arg,
	};

	return control_start(
	    &server, parts, sizeof(*parts), listener, admin_gid);
}

void
control_free(struct control *control)
{
	control_stop(control);
}
