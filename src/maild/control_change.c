/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * release, flush, discard, freeze, thaw, forget: what an administrator changes.
 * The gate does it and writes the audit log; here is who asked, for what, and
 * the log line.
 */
#include "maild/control_private.h"

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
		control_fail(c, 1, "nothing held fits that");
}

static void
on_changed(void *arg, int error, uint64_t count)
{
	struct control_conn *c = arg;

	if (!control_resume(c))
		return;
	if (error == EINVAL && c->request.sender != NULL) {
		control_fail(c, 1,
		    "no sender can be called that; write it as senders "
		    "shows it");
	} else if (error != 0) {
		control_fail_errno(c, error);
	} else if (is_in_vain(c, count)) {
		fail_in_vain(c);
	} else {
		control_log_change(c, count);
		/* One never seen has its full name by now. */
		if (c->request.sender != NULL)
			control_find_sender(
			    c, loop_now(control_parts(c)->loop));
		control_done(
		    c, json_pack("{s:I,s:s?}", "recipients", (json_int_t)count,
			   "sender", c->request.sender));
	}
}

static void
change_selected(struct control_conn *c, int64_t now,
    void (*change)(struct gate *g, const struct spool_select *select,
	const char *who, int64_t now, int64_t wall, gate_done_fn *fn,
	void *arg))
{
	const struct control_request *r = &c->request;
	int64_t wall = clock_wall_ms();
	struct spool_select select;

	/* The cursor remembers that the gate does not know the sender: it may
	 * have left mail in the spool. */
	c->cursor = r->sender != NULL && !control_find_sender(c, now);
	select = (struct spool_select){.ids = r->ids,
	    .id_count = r->id_count,
	    .source = r->sender,
	    .recipient = r->recipient,
	    .all = r->all};
	if (r->given & CONTROL_OLDER)
		select.queued_before = wall - r->older_ms;
	control_wait(c);
	change(
	    control_parts(c)->gate, &select, c->who, now, wall, on_changed, c);
}

void
control_release(struct control_conn *c, int64_t now)
{
	delivery_try_now(control_parts(c)->delivery, now);
	change_selected(c, now, gate_release);
}

void
control_flush(struct control_conn *c, int64_t now)
{
	delivery_try_now(control_parts(c)->delivery, now);
	change_selected(c, now, gate_flush);
}

void
control_discard(struct control_conn *c, int64_t now)
{
	change_selected(c, now, gate_discard);
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
	    !s.t.frozen || s.t.freeze_reason == THROTTLE_FREEZE_HAND)
		return true;
	snprintf(note, sizeof(note),
	    "%s was frozen by its policy, which no time ends: thaw it by hand",
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
	gate_thaw(control_parts(c)->gate, c->request.sender, what, c->who, now,
	    clock_wall_ms(), on_changed, c);
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
			control_fail(c, 1,
			    "%s knows nobody whom it could forget",
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
	gate_unlearn(control_parts(c)->gate, c->request.sender, c->who, now,
	    clock_wall_ms(), on_forgotten, c);
}
