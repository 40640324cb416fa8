/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tarpit: replies to frozen senders, and to whoever has just touched a decoy,
 * come late. The engine's question stays open meanwhile, so that no command
 * behind it is read; a timer of the session answers it. A few sessions may wait
 * so at once: whoever wants to use up all others gains nothing by it.
 *
 * A client that leaves takes its reply with it, as it does from any question.
 * A drain gives the replies at once.
 */
#include "relay/relay_internal.h"

#include <stdlib.h>

#define SHARE 20 /* one session of so many */

struct late_reply {
	unsigned code;
	char enhanced[SMTP_ENHANCED_MAX];
	char *text;
	int64_t due;
};

static bool
may_wait(const struct relay *r)
{
	uint32_t most = r->settings->sessions_max / SHARE;

	return !r->draining && r->tarpitted < (most > 0 ? most : 1);
}

bool
session_reply_late(
    struct session *s, const struct smtp_reply *reply, int64_t now)
{
	struct relay *r = s->relay;
	int64_t delay = s->settings->tarpit_ms;
	struct late_reply *late;

	if (delay == 0 || s->state == SESSION_ENDED || s->late != NULL ||
	    !may_wait(r))
		return false;
	late = s->late = xcalloc(1, sizeof(*late));
	late->code = reply->code;
	str_copy(
	    str_from(reply->enhanced), late->enhanced, sizeof(late->enhanced));
	late->text = str_dup(reply->text);
	late->due = now + delay;
	r->tarpitted++;
	counters_add(r->parts.counters, COUNT_TARPIT_REPLIES, 1);
	session_set_timer(s);
	return true;
}

int64_t
session_late_due(const struct session *s)
{
	return s->late != NULL ? s->late->due : INT64_MAX;
}

void
session_late_drop(struct session *s)
{
	if (s->late == NULL)
		return;
	s->relay->tarpitted--;
	free(s->late->text);
	free(s->late);
	s->late = NULL;
}

void
session_late_run(struct session *s, int64_t now)
{
	struct late_reply *late = s->late;
	struct smtp_reply reply;

	if (late == NULL || s->state == SESSION_ENDED)
		return;
	s->late = NULL;
	s->relay->tarpitted--;
	reply = smtp_reply_make(late->code, late->enhanced, late->text);
	smtp_server_reply(s->server, &reply, now);
	session_pump(s, now);
	free(late->text);
	free(late);
}
