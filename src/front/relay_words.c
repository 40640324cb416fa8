/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What people and programs read of a relayed message: the trace header (RFC
 * 5321 section 4.4), the reply that says honestly what was held, and one log
 * line with its fate.
 */
#include "front/relay_internal.h"

#include "front/settle.h"
#include "os/clock.h"

#include <stdio.h>

struct str
relay_trace_header(const struct txn *t, char out[RELAY_TRACE_MAX])
{
	char id[SPOOL_ID_TEXT], ip[IP_TEXT_MAX], date[SETTLE_DATE_MAX],
	    helo[256];
	bool esmtp = smtp_server_is_esmtp(t->session->server);
	int n;

	settle_date(t->started_at, date);
	str_escape(str_from(t->helo), helo, sizeof(helo));
	ip_format(&t->client, ip);
	n = snprintf(out, RELAY_TRACE_MAX,
	    "Received: from %s (%s%s%s)\r\n"
	    "\tby %s (weir) with %s id %s;\r\n\t%s\r\n",
	    helo, t->client.family == IP_NONE ? "" : "[",
	    t->client.family == IP_NONE ? "local socket" : ip,
	    t->client.family == IP_NONE ? "" : "]",
	    t->session->settings->hostname,
	    t->mail.utf8 ? "UTF8SMTP"
	    : esmtp      ? "ESMTP"
			 : "SMTP",
	    spool_id_format(t->id, id), date);
	return (struct str){out, (size_t)n};
}

struct smtp_reply
relay_accept_reply(
    const struct txn *t, const struct smtp_reply *hop, char *out, size_t cap)
{
	char id[SPOOL_ID_TEXT];
	struct smtp_reply reply;

	if (t->held_count == 0)
		return *hop;
	spool_id_format(t->id, id);
	if (hop == NULL)
		snprintf(out, cap, "Ok: held as %s, %zu recipient%s; %s", id,
		    t->held_count, t->held_count == 1 ? "" : "s", t->held_why);
	else
		snprintf(out, cap, "%.*s; %zu of %zu recipients held as %s: %s",
		    hop->text.n > 200 ? 200 : (int)hop->text.n, hop->text.p,
		    t->held_count, t->rcpt_count, id, t->held_why);
	reply = smtp_reply_make(250, "2.0.0", out);
	return reply;
}

void
relay_log_message(
    const struct txn *t, const char *fate, const struct smtp_reply *reply)
{
	char id[SPOOL_ID_TEXT], ip[IP_TEXT_MAX];
	char from[LOG_QUOTE_MAX], text[LOG_QUOTE_MAX], sender[LOG_QUOTE_MAX];
	struct log *log = t->relay->parts.log;

	if (!log_is_on(log, LOG_LEVEL_INFO))
		return;
	log_event(log, LOG_LEVEL_INFO, "smtp", "message",
	    "id=%s fate=%s sender=%s from=%s client=%s size=%llu "
	    "recipients=%zu passed=%zu held=%zu delay_ms=%lld code=%u "
	    "reply=%s",
	    spool_id_format(t->id, id), fate,
	    log_quote(str_from(t->gate == NULL ? "" : gate_txn_source(t->gate)),
		sender),
	    log_quote(str_from(t->from), from), ip_format(&t->client, ip),
	    (unsigned long long)t->size, t->rcpt_count,
	    t->rcpt_count - t->held_count, t->held_count,
	    (long long)(clock_wall_ms() - t->started_at), reply->code,
	    log_quote(reply->text, text));
}
