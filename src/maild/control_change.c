/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * release, flush, discard, freeze, thaw, forget: what an administrator changes.
 * The gate does it and writes the audit log; here is who asked, for what, and
 * the log line.
 */
#include "maild/control_private.h"

#include "control/site.h"
#include "os/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nothing was changed although something was named. */
static bool
is_in_vain(const struct control_conn *c, uint64_t count)
{
	return count == 0 && (c->request.id_count > 0 || c->cursor != 0);
}

static void
fail_in_vain(struct control_conn *c)
{
	if (c->request.sender != NULL && c->cursor != 0)
		control_no_sender(c);
	else
		control_fail(c, CONTROL_ABSENT, "no held mail matches");
}

static void
on_changed(void *arg, int error, uint64_t count)
{
	struct control_conn *c = arg;
	bool goes_on = error == EINPROGRESS;

	if (!control_resume(c))
		return;
	if (error == EINVAL && c->request.sender != NULL) {
		control_fail(c, CONTROL_FAILED,
		    "not a valid sender name; write it as weirctl senders "
		    "shows it");
	} else if (error != 0 && !goes_on) {
		control_fail_errno(c, error);
	} else if (!goes_on && is_in_vain(c, count)) {
		fail_in_vain(c);
	} else {
		control_log_change(c, count);
		/* One never seen has its full name by now. */
		if (c->request.sender != NULL)
			control_find_sender(
			    c, loop_now(control_parts(c)->loop));
		control_done(c, json_pack("{s:I,s:o*,s:s?}", "recipients",
				    (json_int_t)count, "goes_on",
				    goes_on ? json_true() : NULL, "sender",
				    c->request.sender));
	}
}

/* ---- counting first ---- */

static const char *const change_name[] = {
    [SPOOL_TO_RELEASE] = "release",
    [SPOOL_TO_FLUSH] = "flush",
    [SPOOL_TO_DISCARD] = "discard",
};

static enum spool_change
change_of(const struct control_conn *c)
{
	enum spool_change what = SPOOL_TO_RELEASE;

	while (strcmp(change_name[what], c->request.command->name) != 0)
		what++;
	return what;
}

static void
add_number(json_t *object, const char *name, uint64_t n)
{
	n += (uint64_t)json_integer_value(json_object_get(object, name));
	json_object_set_new(object, name, json_integer((json_int_t)n));
}

static void step_count(struct control_conn *c, int64_t now);

static void
on_counted(void *arg, int error, const struct spool_message *messages, size_t n)
{
	struct control_conn *c = arg;
	int64_t wall = clock_wall_ms();

	if (!control_resume(c))
		return;
	for (size_t i = 0; i < n; i++) {
		const struct spool_message *m = &messages[i];
		uint64_t count = 0;

		for (size_t k = 0; k < m->rcpt_count; k++)
			count += spool_would_change(
			    change_of(c), &m->rcpts[k], wall);
		c->cursor = m->id;
		add_number(c->kept, "recipients", count);
		add_number(c->kept, "messages", count > 0);
		add_number(c->kept, "bytes", count > 0 ? m->size : 0);
	}
	c->on_step = step_count;
	if (error != 0)
		control_fail_errno(c, error);
	else if (n == 0)
		control_done(c, json_incref(c->kept));
}

static void
step_count(struct control_conn *c, int64_t now)
{
	struct spool_select select = control_selection(c);

	(void)now;
	control_wait(c);
	spool_list(control_parts(c)->spool, &select, c->cursor, CONTROL_PAGE,
	    on_counted, c);
}

static void
count_selected(struct control_conn *c, int64_t now)
{
	if (c->request.sender != NULL)
		(void)control_find_sender(c, now);
	c->kept = json_pack("{s:b, s:i, s:i, s:i}", "dry_run", 1, "messages", 0,
	    "recipients", 0, "bytes", 0);
	step_count(c, now);
}

/* ---- release, flush, discard ---- */

struct spool_select
control_selection(const struct control_conn *c)
{
	const struct control_request *r = &c->request;
	int64_t wall = clock_wall_ms();
	struct spool_select select = {.ids = r->ids,
	    .id_count = r->id_count,
	    .source = r->sender,
	    .recipient = r->recipient,
	    .domain = c->domain,
	    .subject = r->subject,
	    .size_min = r->size_min,
	    .size_max = r->size_max,
	    .reason = r->reason,
	    .all = r->all || r->id_count == 0};

	if (r->given & CONTROL_OLDER)
		select.queued_before = wall - r->older_ms;
	if (r->given & CONTROL_NEWER)
		select.queued_after = wall - r->newer_ms;
	return select;
}

static void
change_selected(struct control_conn *c, int64_t now,
    void (*change)(struct gate *g, const struct spool_select *select,
	const char *who, int64_t now, int64_t wall, gate_done_fn *fn,
	void *arg))
{
	const struct control_request *r = &c->request;
	struct spool_select select;

	/* The cursor remembers that the gate does not know the sender: it may
	 * have left mail in the spool. */
	c->cursor = r->sender != NULL && !control_find_sender(c, now);
	select = control_selection(c);
	control_wait(c);
	change(control_parts(c)->gate, &select, c->who, now, clock_wall_ms(),
	    on_changed, c);
}

static void
change_now(struct control_conn *c, int64_t now)
{
	enum spool_change what = change_of(c);

	if (c->request.dry_run) {
		count_selected(c, now);
		return;
	}
	if (what != SPOOL_TO_DISCARD)
		delivery_try_now(control_parts(c)->delivery, now);
	change_selected(c, now,
	    what == SPOOL_TO_RELEASE ? gate_release
	    : what == SPOOL_TO_FLUSH ? gate_flush
				     : gate_discard);
}

/* ---- which of the ids are here ---- */

static void step_look(struct control_conn *c, int64_t now);

static void
on_looked(void *arg, int error, const struct spool_message *messages, size_t n)
{
	struct control_conn *c = arg;

	if (!control_resume(c))
		return;
	for (size_t i = 0; i < n; i++) {
		c->cursor = messages[i].id;
		json_array_append_new(
		    c->found, json_integer((json_int_t)messages[i].id));
	}
	c->on_step = step_look;
	if (error != 0) {
		control_fail_errno(c, error);
	} else if (n == 0) {
		c->on_step = NULL;
		c->cursor = 0;
		change_now(c, loop_now(control_parts(c)->loop));
	}
}

static void
step_look(struct control_conn *c, int64_t now)
{
	struct spool_select select = {.ids = c->request.ids,
	    .id_count = c->request.id_count,
	    .domain = c->domain};

	(void)now;
	control_wait(c);
	spool_list(control_parts(c)->spool, &select, c->cursor, CONTROL_PAGE,
	    on_looked, c);
}

/* Another relay may have a message of the same id: what is here is not asked
 * for there. */
void
control_change(struct control_conn *c, int64_t now)
{
	if (c->request.id_count == 0 || !control_round_is_on(c)) {
		change_now(c, now);
		return;
	}
	c->found = json_array();
	step_look(c, now);
}

/* False: the request has failed. */
static bool
warn_of_rule(struct control_conn *c, int64_t now)
{
	struct gate_sender_info s;
	char note[CONTROL_WORD_MAX + 160];

	if (c->request.for_ms == 0 ||
	    !gate_sender_find(control_parts(c)->gate,
		str_from(c->request.sender), now, clock_wall_ms(), &s) ||
	    !s.t.frozen || s.t.freeze_reason == THROTTLE_FREEZE_HAND ||
	    s.t.freeze_reason == THROTTLE_FREEZE_RELAY)
		return true;
	snprintf(note, sizeof(note),
	    "%s was frozen by its policy; such a freeze has no time limit: "
	    "thaw it by hand",
	    s.sender);
	return control_send_only(
	    c, json_pack("{s:o}", "note", control_text(note)));
}

void
control_freeze(struct control_conn *c, int64_t now)
{
	char unseen[CONTROL_UNSEEN_MAX], note[CONTROL_UNSEEN_MAX + 600];
	struct gate_freeze_order order;

	/* One never seen may be frozen too, ahead of its first mail; more often
	 * the name is another. */
	if (!control_find_sender(c, now)) {
		snprintf(note, sizeof(note), "%.512s: %s", c->request.sender,
		    control_unseen(c, unseen));
		if (!control_send_only(
			c, json_pack("{s:o}", "note", control_text(note))))
			return;
	}
	if (!warn_of_rule(c, now))
		return;
	order = (struct gate_freeze_order){.sender = c->request.sender,
	    .who = c->who,
	    .note = c->request.reason,
	    .for_ms = c->request.for_ms};
	control_wait(c);
	gate_freeze(control_parts(c)->gate, &order, now, clock_wall_ms(),
	    on_changed, c);
}

void
control_thaw(struct control_conn *c, int64_t now)
{
	const char *then = c->request.then;
	enum gate_thaw what = GATE_THAW_KEEP;

	if (then != NULL)
		what = strcmp(then, "release") == 0 ? GATE_THAW_RELEASE
						    : GATE_THAW_DISCARD;
	if (!control_find_sender(c, now)) {
		control_no_sender(c);
		return;
	}
	control_wait(c);
	gate_thaw_by(control_parts(c)->gate,
	    &(struct gate_thaw_order){.sender = c->request.sender,
		.then = what,
		.who = c->who,
		.reason = c->request.reason},
	    now, clock_wall_ms(), on_changed, c);
}

static void
on_forgotten(void *arg, int error, uint64_t count)
{
	struct control_conn *c = arg;

	if (!control_resume(c))
		return;
	if (error == ENOENT) {
		if (c->cursor != 0)
			control_no_sender(c);
		else
			control_fail(c, CONTROL_ABSENT,
			    "%s has no recipients to forget",
			    c->request.sender);
	} else if (error != 0) {
		control_fail_errno(c, error);
	} else {
		control_log_change(c, count);
		control_done(
		    c, json_pack("{s:I,s:s?}", "addresses", (json_int_t)count,
			   "sender", c->request.sender));
	}
}

void
control_forget(struct control_conn *c, int64_t now)
{
	c->cursor = !control_find_sender(c, now);
	control_wait(c);
	gate_forget(control_parts(c)->gate, c->request.sender, c->who, now,
	    clock_wall_ms(), on_forgotten, c);
}
