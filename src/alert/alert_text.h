/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What alerts say. Pure: items in, text out. All that items hold was made fit
 * to be shown when they were made.
 */
#ifndef ALERT_ALERT_TEXT_H
#define ALERT_ALERT_TEXT_H

#include "alert/alert_conf.h"
#include "alert/alert_item.h"
#include "base/buf.h"

#define ALERT_MESSAGE_MAX (2u << 20) /* bytes */

struct alert_voice { /* who speaks; borrowed */
	const char *hostname;
	const char *postmaster; /* an address */
};

/* "alice@example.org is frozen", "97 senders frozen, 3 warnings". Heap. */
char *alert_summary(const struct alert_batch *b);
/* As doc/alerts.md has it, with max items at most. Heap. */
char *alert_json(const struct alert_voice *v, const struct alert_conf *c,
    const struct alert_batch *b, size_t max);
/* The JSON, or the section's template filled in. Heap. */
char *alert_body(const struct alert_voice *v, const struct alert_conf *c,
    const struct alert_batch *b);
/* False: what is wrong with it in err. */
MUST_CHECK bool alert_template_check(const char *text, char *err, size_t cap);

/* A whole message, lines end in CR LF; ASCII. Heap. */
char *alert_mail(const struct alert_voice *v, const struct alert_conf *c,
    const struct alert_batch *b, int64_t wall);
/* To the sender itself: one item. */
char *alert_mail_to_sender(const struct alert_voice *v,
    const struct alert_item *item, const char *id, int64_t wall);
/* The Subject field's value of either; ASCII. Heap. */
char *alert_subject(const struct alert_voice *v, const struct alert_batch *b);
const char *alert_sender_subject(const struct alert_item *item);

#endif
