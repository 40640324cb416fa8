/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commands of weir-maild on the control socket: handlers, and what they
 * work on.
 */
#ifndef MAILD_CONTROL_PRIVATE_H
#define MAILD_CONTROL_PRIVATE_H

#include "control/control.h"
#include "maild/control.h"
#include "maild/control_request.h"

#define CONTROL_PAGE 100 /* messages asked for at once */

static inline const struct control_parts *
control_parts(const struct control_conn *c)
{
	return c->control->parts;
}

/* In words for the client. */
void control_fail_errno(struct control_conn *c, int error);

/* ---- handlers ---- */

void control_status(struct control_conn *c, int64_t now);
void control_config(struct control_conn *c, int64_t now);
void control_reload(struct control_conn *c, int64_t now);
void control_senders(struct control_conn *c, int64_t now);
void control_show(struct control_conn *c, int64_t now);
void control_explain(struct control_conn *c, int64_t now);
void control_history(struct control_conn *c, int64_t now);
void control_queue(struct control_conn *c, int64_t now);
void control_find(struct control_conn *c, int64_t now);
void control_problems(struct control_conn *c, int64_t now);
void control_cat(struct control_conn *c, int64_t now);
void control_change(struct control_conn *c, int64_t now);
void control_freeze(struct control_conn *c, int64_t now);
void control_thaw(struct control_conn *c, int64_t now);
void control_forget(struct control_conn *c, int64_t now);
void control_learn(struct control_conn *c, int64_t now);
void control_alerts(struct control_conn *c, int64_t now);
void control_alert_test(struct control_conn *c, int64_t now);
void control_audit(struct control_conn *c, int64_t now);

/* What the request's filters select, within the asker's domain. */
struct spool_select control_selection(const struct control_conn *c);
/* The throttle's key of the sender that the request names, in request.sender
 * from then on. False: the gate does not know it (it may be in the spool). */
/* A message of the spool with its recipients. */
json_t *control_message_row(const struct spool_message *m);
bool control_find_sender(struct control_conn *c, int64_t now);
const char *control_freeze_reason(enum throttle_freeze_reason reason);
/* A scope's window in words. */
json_t *control_scope(const struct scope_info *info);
/* What to say of a name that weir has never seen: "never seen", and who may
 * have been meant. */
#define CONTROL_UNSEEN_MAX 2048
const char *control_unseen(
    const struct control_conn *c, char out[CONTROL_UNSEEN_MAX]);
/* Fails with it. */
void control_no_sender(struct control_conn *c);

#endif
