/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * senders and show: what the gate knows of its sources. A walk over a million
 * of them takes many steps, so that the loop serves others in between.
 */
#include "front/control_private.h"

#include "os/clock.h"

#include <stdlib.h>

#define LOOK_MAX 500 /* senders looked at in one step */

static const char *const reason_names[] = {
    [THROTTLE_FREEZE_NONE] = NULL,
    [THROTTLE_FREEZE_LENGTH] = "queue length",
    [THROTTLE_FREEZE_GROWTH] = "queue growth",
    [THROTTLE_FREEZE_HAND] = "by hand",
};

static json_t *
sender_row(const struct gate_sender_info *s)
{
	enum throttle_freeze_reason reason = s->t.freeze_reason;

	return json_pack("{s:o, s:b, s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:o}",
	    "sender", control_text(s->sender), "frozen", (int)s->t.frozen,
	    "freeze_reason",
	    control_text(s->t.frozen ? reason_names[reason] : NULL),
	    "queue_length", (json_int_t)s->t.queue_length, "allowance",
	    (json_int_t)s->t.allowance, "working_set",
	    (json_int_t)s->t.working_set, "policy", control_text(s->policy),
	    "last_seen", control_time(s->last_seen), "frozen_at",
	    control_time(s->frozen_at), "next_release",
	    control_time(s->next_release));
}

static bool
is_wanted(const struct control_request *r, const struct gate_sender_info *s)
{
	if (r->frozen && !s->t.frozen)
		return false;
	return !r->busy || s->t.frozen || s->t.queue_length > 0;
}

static void
step_senders(struct control_conn *c, int64_t now)
{
	struct gate *gate = control_parts(c)->gate;
	int64_t wall = clock_wall_ms();
	struct gate_sender_info s;

	for (int i = 0; i < LOOK_MAX; i++) {
		size_t at = (size_t)c->cursor, was = at;

		if (!gate_sender_each(gate, &at, now, wall, &s)) {
			control_done(c, NULL);
			return;
		}
		c->cursor = at;
		if (!is_wanted(&c->request, &s))
			continue;
		if (!control_send(c, "row", sender_row(&s))) {
			c->cursor = was; /* again when there is room */
			return;
		}
	}
}

void
control_senders(struct control_conn *c, int64_t now)
{
	c->on_step = step_senders;
	step_senders(c, now);
}

static json_t *
limits_of(const struct gate_sender_info *s)
{
	json_t *limits = json_array();

	for (size_t i = 0; i < THROTTLE_LIMITS_MAX; i++) {
		if (s->t.limit_used[i] > 0)
			json_array_append_new(limits,
			    json_integer((json_int_t)s->t.limit_used[i]));
	}
	return limits;
}

void
control_show(struct control_conn *c, int64_t now)
{
	struct gate_sender_info s;
	json_t *row;

	if (!gate_sender_find(control_parts(c)->gate,
		str_from(c->request.sender), now, clock_wall_ms(), &s)) {
		control_fail(c, 1, "no such sender: %s", c->request.sender);
		return;
	}
	row = sender_row(&s);
	json_object_set_new(row, "working_set_max",
	    json_integer((json_int_t)s.working_set_max));
	json_object_set_new(row, "burst", json_integer((json_int_t)s.burst));
	json_object_set_new(
	    row, "freeze_at", json_integer((json_int_t)s.freeze_at));
	json_object_set_new(row, "limits_used", limits_of(&s));
	json_object_set_new(
	    row, "inbound", json_integer((json_int_t)s.inbound));
	json_object_set_new(
	    row, "inbound_max", json_integer((json_int_t)s.inbound_max));
	json_object_set_new(
	    row, "new_reverse_paths", json_integer((json_int_t)s.new_paths));
	json_object_set_new(row, "held_for_reverse_path",
	    json_integer((json_int_t)s.held_paths));
	json_object_set_new(
	    row, "last_reverse_path_held", control_text(s.last_path));
	if (control_send_only(c, row))
		control_done(c, NULL);
}

bool
control_find_sender(struct control_conn *c, int64_t now)
{
	struct gate_sender_info s;

	if (!gate_sender_find(control_parts(c)->gate,
		str_from(c->request.sender), now, clock_wall_ms(), &s))
		return false;
	free(c->request.sender);
	c->request.sender = xstrdup(s.sender);
	return true;
}
