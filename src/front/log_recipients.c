/* SPDX-License-Identifier: BSD-3-Clause */
/* See log_recipients.h. */
#include "front/log_recipients.h"

#include <stdio.h>
#include <string.h>

size_t
log_recipients_format(
    const struct log_recipients *r, size_t from, char out[LOG_RECIPIENTS_MAX])
{
	char address[LOG_QUOTE_MAX];
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = from; i < r->count; i++) {
		const char *text =
		    log_quote(str_from(r->address(r->arg, i)), address);
		size_t more = strlen(text) + sizeof(" to=") - 1;

		if (n + more >= LOG_RECIPIENTS_MAX)
			return i;
		snprintf(out + n, LOG_RECIPIENTS_MAX - n, " to=%s", text);
		n += more;
	}
	return r->count;
}

void
log_recipients_rest(const struct log_recipients *r, struct log *log,
    const char *subsystem, const char *id, size_t from)
{
	char to[LOG_RECIPIENTS_MAX];

	while (from < r->count) {
		from = log_recipients_format(r, from, to);
		log_event(log, LOG_LEVEL_INFO, subsystem, "recipients",
		    "id=%s%s", id, to);
	}
}
