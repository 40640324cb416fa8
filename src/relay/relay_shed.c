/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When all sessions are taken, one makes room: of those without a login and
 * without a transaction the one that belongs to the client with most sessions,
 * and of these the one that has been silent longest. A transaction in which
 * nothing has moved for long goes as well, from a client that has more sessions
 * than the newcomer's. So silent clients never keep others out; whoever has
 * logged in or works is left alone.
 */
#include "relay/relay_internal.h"

/* Sessions that are looked at, the longest silent first. */
#define LOOK_MOST 4096
/* A newcomer's client that has as many as the other must find it silent. */
#define SILENT_MS 5000
#define STUCK_MS 30000

void
session_touch(struct session *s, int64_t now)
{
	s->active_at = now;
	if (s->state == SESSION_ENDED)
		return;
	list_remove(&s->entry);
	list_append(&s->relay->sessions, &s->entry);
}

/* It is the client's turn, and nobody would miss it. */
static bool
is_idle(const struct session *s, int64_t now)
{
	if (s->state == SESSION_ENDED || s->login != NULL ||
	    s->caps_hop != NULL || !str_is_empty(session_user(s)) ||
	    smtp_server_is_waiting(s->server))
		return false;
	return s->txn == NULL || (!smtp_server_is_in_data(s->server) &&
				     now - s->active_at >= STUCK_MS);
}

static void
shed(struct session *s, int64_t now)
{
	struct smtp_reply bye = smtp_reply_make(421, "4.3.2",
	    "Idle too long while others are waiting for a connection, try "
	    "again later");
	struct conn *c = s->conn;

	counters_add(s->relay->parts.counters, COUNT_SESSIONS_SHED, 1);
	s->shed = true;
	if (session_is_greeted(s) && !conn_is_shaking(c)) {
		session_close(s, &bye, now);
		return;
	}
	session_end(s);
	conn_free(c);
}

bool
relay_shed(struct relay *r, uint64_t has, int64_t now)
{
	struct session *found = NULL;
	unsigned looked = 0;
	struct list *e;

	list_each (e, &r->sessions) {
		struct session *s = LIST_ITEM(e, struct session, entry);
		uint64_t n = share_used_by(s->place);
		bool silent = now - s->active_at >= SILENT_MS;

		if (looked++ == LOOK_MOST)
			break;
		if (is_idle(s, now) &&
		    (n > has + 1 || (silent && s->txn == NULL)) &&
		    (found == NULL || n > share_used_by(found->place)))
			found = s;
	}
	if (found == NULL)
		return false;
	shed(found, now);
	return true;
}

bool
relay_shed_own(struct relay *r, const struct share_user *client, int64_t now)
{
	unsigned looked = 0;
	struct list *e;

	list_each (e, &r->sessions) {
		struct session *s = LIST_ITEM(e, struct session, entry);

		if (looked++ == LOOK_MOST || now - s->active_at < STUCK_MS)
			break;
		if (s->place == client && is_idle(s, now)) {
			shed(s, now);
			return true;
		}
	}
	return false;
}
