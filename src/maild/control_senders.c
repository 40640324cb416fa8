/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * senders and show: what the gate knows of its sources. A walk over a million
 * of them takes many steps, so that the loop serves others in between.
 */
#include "maild/control_private.h"

#include "os/clock.h"

#include <stdlib.h>

#define LOOK_MAX 500 /* senders looked at in one step */

static const char *const reason_names[] = {
    [THROTTLE_FREEZE_NONE] = NULL,
    [THROTTLE_FREEZE_LENGTH] = "queue length",
    [THROTTLE_FREEZE_GROWTH] = "queue growth",
    [THROTTLE_FREEZE_HAND] = "by hand",
    [THROTTLE_FREEZE_DECOY] = "decoy",
    [THROTTLE_FREEZE_CREDIT] = "unknown recipients",
    [THROTTLE_FREEZE_NETWORKS] = "client networks",
    [THROTTLE_FREEZE_FAMILIAR] = "familiar queue length",
    [THROTTLE_FREEZE_STRANGERS] = "messages to strangers",
    [THROTTLE_FREEZE_RELAY] = "another relay",
};

const char *
control_freeze_reason(enum throttle_freeze_reason reason)
{
	return reason_names[reason] != NULL ? reason_names[reason] : "";
}

static json_t *
sender_row(const struct gate_sender_info *s)
{
	enum throttle_freeze_reason reason = s->t.freeze_reason;

	return json_pack(
	    "{s:o, s:b, s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:o}",
	    "sender", control_text(s->sender), "frozen", (int)s->t.frozen,
	    "freeze_reason",
	    control_text(s->t.frozen ? reason_names[reason] : NULL),
	    "freeze_note", control_text(s->freeze_note), "thaw_at",
	    control_time(s->thaw_at), "queue_length", (json_int_t)s->waiting,
	    "allowance", (json_int_t)s->t.allowance, "working_set",
	    (json_int_t)s->t.working_set, "policy", control_text(s->policy),
	    "last_seen", control_time(s->last_seen), "frozen_at",
	    control_time(s->frozen_at), "next_release",
	    control_time(s->next_release));
}

/* In either case, anywhere in the name. */
static bool
has_term(const char *sender, const char *term)
{
	struct str s = str_from(sender), part = str_from(term);

	for (size_t i = 0; i + part.n <= s.n; i++) {
		if (str_ieq(str_sub(s, i, part.n), part))
			return true;
	}
	return false;
}

static bool
is_wanted(const struct control_conn *c, const struct gate_sender_info *s)
{
	const struct control_request *r = &c->request;

	if (!control_sees(c, s->sender) ||
	    (r->term != NULL && !has_term(s->sender, r->term)))
		return false;
	if (r->frozen && !s->t.frozen)
		return false;
	/* Another relay has a row of its own for who is frozen or idle. */
	if (c->is_errand && r->relay == NULL && r->term == NULL &&
	    s->waiting == 0)
		return false;
	return !r->busy || s->t.frozen || s->waiting > 0;
}

/* False: there is no room; it comes again. */
static bool
send_sender(void *arg, const struct gate_sender_info *s)
{
	struct control_conn *c = arg;

	return !is_wanted(c, s) || control_send(c, "row", sender_row(s));
}

static void
step_senders(struct control_conn *c, int64_t now)
{
	if (!gate_sender_page(control_parts(c)->gate, &c->cursor, LOOK_MAX, now,
		clock_wall_ms(), send_sender, c))
		control_done(c, NULL);
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

static json_t *
limits_reported(const struct gate_sender_info *s)
{
	json_t *limits = json_array();

	for (uint32_t i = 0; i < s->limit_count; i++)
		json_array_append_new(
		    limits, json_pack("{s:I, s:I, s:I}", "used",
				(json_int_t)s->t.limit_used[i], "max",
				(json_int_t)s->limits[i].count, "window_s",
				(json_int_t)(s->limits[i].window_ms / 1000)));
	return limits;
}

json_t *
control_scope(const struct scope_info *info)
{
	char window[UNITS_TEXT_MAX];

	return json_sprintf("%s (%s): %u of %u in %s", info->name, info->key,
	    (unsigned)info->used, (unsigned)info->count,
	    units_format_duration(info->window_ms, window));
}

static json_t *
scopes_of(struct gate *gate, struct str sender, int64_t now)
{
	json_t *scopes = json_array();
	struct scope_info info;

	for (size_t i = 0; gate_sender_scope(gate, sender, i, now, &info); i++)
		json_array_append_new(scopes, control_scope(&info));
	return scopes;
}

/* null where the policy has no familiar recipients. */
static void
put_familiar(json_t *row, const struct gate_sender_info *s)
{
	const struct {
		const char *name;
		uint32_t value;
	} members[] = {
	    {"familiar_allowance", s->familiar.allowance},
	    {"familiar_burst", s->familiar_burst},
	    {"familiar_waiting", s->familiar.queue_length},
	    {"familiar_freeze_at", s->familiar_freeze_at},
	};

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		json_object_set_new(row, members[i].name,
		    s->has_familiar ? json_integer((json_int_t)members[i].value)
				    : json_null());
}

static void
show(struct control_conn *c, uint64_t stopped, uint64_t mta_held)
{
	int64_t now = loop_now(control_parts(c)->loop);
	struct gate_sender_info s;
	json_t *row;

	if (!gate_sender_find(control_parts(c)->gate,
		str_from(c->request.sender), now, clock_wall_ms(), &s)) {
		control_no_sender(c);
		return;
	}
	row = sender_row(&s);
	json_object_set_new(
	    row, "stopped_by_freeze", json_integer((json_int_t)stopped));
	json_object_set_new(
	    row, "mta_held", json_integer((json_int_t)mta_held));
	json_object_set_new(row, "working_set_max",
	    json_integer((json_int_t)s.working_set_max));
	json_object_set_new(
	    row, "passed_new", json_integer((json_int_t)s.passed));
	json_object_set_new(row, "burst", json_integer((json_int_t)s.burst));
	json_object_set_new(
	    row, "freeze_at", json_integer((json_int_t)s.freeze_at));
	put_familiar(row, &s);
	json_object_update(row, c->kept);
	json_decref(c->kept);
	c->kept = NULL;
	json_object_set_new(row, "never_freeze", json_boolean(s.is_spared));
	json_object_set_new(row, "limits_used", limits_of(&s));
	json_object_set_new(row, "limits", limits_reported(&s));
	if (s.is_shared)
		json_object_set_new(row, "waiting_elsewhere",
		    json_integer((json_int_t)s.waiting_elsewhere));
	if (s.stranger_messages_max > 0)
		json_object_set_new(row, "stranger_messages",
		    json_sprintf("%u of %u", (unsigned)s.stranger_messages,
			(unsigned)s.stranger_messages_max));
	json_object_set_new(row, "scopes",
	    scopes_of(
		control_parts(c)->gate, str_from(c->request.sender), now));
	json_object_set_new(
	    row, "credit", json_integer((json_int_t)s.credit.left));
	json_object_set_new(
	    row, "credit_max", json_integer((json_int_t)s.credit.max));
	json_object_set_new(
	    row, "credit_empty", json_boolean(s.credit.is_empty));
	json_object_set_new(
	    row, "client_networks", json_integer((json_int_t)s.networks.fresh));
	json_object_set_new(row, "client_networks_max",
	    json_integer((json_int_t)s.networks.max));
	json_object_set_new(row, "client_networks_learnt",
	    json_integer((json_int_t)s.networks.learnt));
	json_object_set_new(
	    row, "inbound_max", json_integer((json_int_t)s.met_max));
	json_object_set_new(
	    row, "new_reverse_paths", json_integer((json_int_t)s.new_paths));
	json_object_set_new(row, "held_for_reverse_path",
	    json_integer((json_int_t)s.held_paths));
	json_object_set_new(
	    row, "last_reverse_path_held", control_text(s.last_path));
	if (control_send_only(c, row))
		control_done(c, NULL);
}

/* What is in memory is asked for when the spool has answered. */
static void
on_stopped(void *arg, int error, uint64_t n, uint64_t mta_held)
{
	struct control_conn *c = arg;

	if (!control_resume(c))
		return;
	if (error != 0)
		control_fail_errno(c, error);
	else
		show(c, n, mta_held);
}

/* Whom it knows, which is in memory now and may not be later. null where that
 * is not remembered, or cannot be read. */
static json_t *
known_of(const struct gate_known *known)
{
	const struct {
		const char *name;
		uint32_t value;
	} members[] = {
	    {"remembered", known->total},
	    {"remembered_reached", known->reached},
	    {"remembered_wrote", known->wrote},
	    {"remembered_beside", known->beside},
	    {"remembered_imported", known->imported},
	    {"inbound", known->met},
	};
	json_t *row = json_object();

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		json_object_set_new(row, members[i].name,
		    known->is_told ? json_integer((json_int_t)members[i].value)
				   : json_null());
	return row;
}

static void
on_recalled(void *arg)
{
	struct control_conn *c = arg;
	struct gate_sender_info s;

	if (!control_resume(c))
		return;
	if (!gate_sender_find(control_parts(c)->gate,
		str_from(c->request.sender), loop_now(control_parts(c)->loop),
		clock_wall_ms(), &s)) {
		control_no_sender(c);
		return;
	}
	c->kept = known_of(&s.known);
	free(c->request.sender);
	c->request.sender = xstrdup(s.sender);
	control_wait(c);
	spool_count_stopped(
	    control_parts(c)->spool, c->request.sender, on_stopped, c);
}

void
control_show(struct control_conn *c, int64_t now)
{
	control_wait(c);
	gate_recall(control_parts(c)->gate, str_from(c->request.sender), now,
	    clock_wall_ms(), on_recalled, c);
}

bool
control_find_sender(struct control_conn *c, int64_t now)
{
	struct gate_sender_info s;

	if (!gate_sender_find(control_parts(c)->gate,
		str_from(c->request.sender), now, clock_wall_ms(), &s) ||
	    !control_sees(c, s.sender))
		return false;
	free(c->request.sender);
	c->request.sender = xstrdup(s.sender);
	return true;
}
