/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * alerts, alert_test: how alerts go, and a try. No address of a webhook and no
 * secret is shown.
 */
#include "maild/control_private.h"

#include "os/clock.h"

void
control_alerts(struct control_conn *c, int64_t now)
{
	const struct alert *a = control_parts(c)->alert;
	struct alert_status s;

	(void)now;
	for (size_t i = 0; a != NULL && alert_status_of(a, i, &s); i++) {
		json_t *row =
		    json_pack("{s:o, s:s, s:I, s:I, s:b, s:I, s:o, s:o}",
			"alert", control_text(s.name), "channel", s.channel,
			"waiting", (json_int_t)s.waiting, "lasting",
			(json_int_t)s.lasting, "sending", (int)s.is_sending,
			"attempts", (json_int_t)s.attempts, "last_error",
			control_text(s.last_error), "last_sent",
			control_time(s.last_sent));

		if (!control_send_only(c, row))
			return;
	}
	control_done(c, NULL);
}

static void
on_tested(void *arg, bool taken, const char *why)
{
	struct control_conn *c = arg;

	if (!control_resume(c))
		return;
	if (!taken) {
		control_fail(
		    c, CONTROL_FAILED, "the test was not accepted: %s", why);
		return;
	}
	control_audit_change(c, c->request.term, "");
	control_done(c, NULL);
}

void
control_alert_test(struct control_conn *c, int64_t now)
{
	struct alert *a = control_parts(c)->alert;

	control_wait(c);
	if (a != NULL &&
	    alert_test(a, c->request.term, now, clock_wall_ms(), on_tested, c))
		return;
	if (control_resume(c))
		control_fail(c, CONTROL_ABSENT,
		    "no alert section is called \"%s\"; weirctl alert lists "
		    "them",
		    c->request.term);
}
