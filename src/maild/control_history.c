/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * history: the last day's mail, as src/replay/command_history.c reads it. It
 * takes many steps; what goes out of the history meanwhile is left out. audit:
 * what administrators did.
 */
#include "maild/control_private.h"

#include "os/clock.h"

#include <stdlib.h>

#define MAILS_A_STEP 200
#define AUDIT_ROWS 100

static void
set_text(json_t *row, const char *name, struct str s)
{
	json_t *value = s.n > 0 ? json_stringn(s.p, s.n) : NULL;
	char *text;

	if (s.n > 0 && value == NULL) { /* no UTF-8 */
		text = str_dup(s);
		value = control_text(text);
		free(text);
	}
	if (value != NULL)
		json_object_set_new(row, name, value);
}

static void
set_flag(json_t *row, const char *name, bool is_set)
{
	if (is_set)
		json_object_set_new(row, name, json_true());
}

static json_t *
mail_row(struct history_mail *m)
{
	json_t *row = json_object(), *list = json_array();
	struct history_recipient r;
	char client[IP_TEXT_MAX];

	json_object_set_new(row, "at", json_integer((json_int_t)m->at));
	set_text(row, "source", m->source);
	set_text(row, "policy", m->policy);
	set_text(row, "user", m->user);
	set_text(row, "from", m->sender);
	set_text(row, "helo", m->helo);
	if (m->client.family != IP_NONE)
		json_object_set_new(
		    row, "client", json_string(ip_format(&m->client, client)));
	set_flag(row, "local", m->local);
	set_flag(row, "by_command", m->by_command);
	set_flag(row, "front_end", m->front_end);
	while (history_recipient(m, &r)) {
		json_t *to = json_object();

		set_text(to, "address", r.address);
		set_flag(to, "known", r.flags & HISTORY_KNOWN);
		set_flag(to, "exempt", r.flags & HISTORY_EXEMPT);
		set_flag(to, "waited", r.flags & HISTORY_WAITED);
		set_flag(to, "put_off", r.flags & HISTORY_PUT_OFF);
		json_array_append_new(list, to);
	}
	json_object_set_new(row, "recipients", list);
	return row;
}

static void
end(struct control_conn *c)
{
	struct history *h = gate_history(control_parts(c)->gate);
	struct history_stats stats;

	history_stats(h, clock_wall_ms(), &stats);
	control_done(
	    c, json_pack("{s:o, s:b, s:b}", "since", control_time(stats.since),
		   "kept", (int)history_is_kept(h), "cut", (int)stats.was_cut));
}

static void
step_history(struct control_conn *c, int64_t now)
{
	struct history *h = gate_history(control_parts(c)->gate);
	struct history_mail mail;

	(void)now;
	for (int i = 0; i < MAILS_A_STEP; i++) {
		uint64_t at = c->cursor;

		if (!history_next(h, &at, &mail)) {
			end(c);
			return;
		}
		if (!control_send(c, "row", mail_row(&mail)))
			return; /* again when there is room */
		c->cursor = at;
	}
}

void
control_history(struct control_conn *c, int64_t now)
{
	c->on_step = step_history;
	step_history(c, now);
}

/* ---- audit ---- */

static void
on_audit(void *arg, int error, const struct spool_audit *rows, size_t n)
{
	struct control_conn *c = arg;

	if (!control_resume(c))
		return;
	if (error != 0) {
		control_fail_errno(c, error);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:o}", "at",
		    control_time(rows[i].at), "who", control_text(rows[i].who),
		    "action", control_text(rows[i].action), "target",
		    control_text(rows[i].target), "detail",
		    control_text(rows[i].detail));

		if (!control_send_only(c, row))
			return;
	}
	control_done(c, NULL);
}

void
control_audit(struct control_conn *c, int64_t now)
{
	uint32_t max = c->request.max > 0 ? c->request.max : AUDIT_ROWS;

	(void)now;
	control_wait(c);
	spool_audit_list(control_parts(c)->spool, max, on_audit, c);
}
