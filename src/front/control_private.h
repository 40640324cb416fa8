/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commands of weir-maild on the control socket: handlers, and what they
 * work on.
 */
#ifndef FRONT_CONTROL_PRIVATE_H
#define FRONT_CONTROL_PRIVATE_H

#include "control/control.h"
#include "front/control.h"
#include "front/control_request.h"

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
void control_queue(struct control_conn *c, int64_t now);
void control_cat(struct control_conn *c, int64_t now);
void control_release(struct control_conn *c, int64_t now);
void control_flush(struct control_conn *c, int64_t now);
void control_discard(struct control_conn *c, int64_t now);
void control_freeze(struct control_conn *c, int64_t now);
void control_thaw(struct control_conn *c, int64_t now);
void control_forget(struct control_conn *c, int64_t now);
void control_audit(struct control_conn *c, int64_t now);

/* The throttle's key of the sender that the request names, in request.sender
 * from then on. False: the gate does not know it (it may be in the spool). */
bool control_find_sender(struct control_conn *c, int64_t now);

#endif
