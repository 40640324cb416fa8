/* SPDX-License-Identifier: BSD-3-Clause */
/* See log_recipients.h. */
#include "front/log_recipients.h"

#include <string.h>

#define LINE_BYTES 1500 /* of recipients in one line */

void
log_recipients_take(
    const struct log_recipients *r, size_t from, struct log_list *out)
{
	char address[LOG_QUOTE_MAX];
	size_t n = 0;

	*out = (struct log_list){r->address, r->arg, from, from};
	while (out->end < r->count) {
		n += strlen(log_quote(
			 str_from(r->address(r->arg, out->end)), address)) +
		     sizeof(" to=") - 1;
		if (n >= LINE_BYTES)
			return;
		out->end++;
	}
}

void
log_recipients_rest(const struct log_recipients *r, struct log *log,
    enum log_event_id event, const char *id, size_t from)
{
	struct log_list to;

	while (from < r->count) {
		log_recipients_take(r, from, &to);
		log_write(log, event, KV(id, id), KV(to, &to));
		from = to.end;
	}
}
