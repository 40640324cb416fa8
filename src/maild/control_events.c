/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * audit: what administrators did.
 */
#include "maild/control_private.h"

#define AUDIT_ROWS 100

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
