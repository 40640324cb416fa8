/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What people and programs read of a relayed message: the trace header (RFC
 * 5321 section 4.4), the reply that says honestly what was held, and one log
 * line with its result.
 */
#include "relay/relay_internal.h"

#include "front/log_recipients.h"
#include "front/settle.h"
#include "os/clock.h"

#include <stdio.h>

/* RFC 3848, RFC 6531 section 4.3: with TLS an S, with AUTH an A. */
static const char *
protocol_name(const struct txn *t)
{
	static const char *const names[2][4] = {
	    {"ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA"},
	    {"UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA"},
	};
	const struct session *s = t->session;

	if (!smtp_server_is_esmtp(s->server))
		return "SMTP";
	return names[t->mail.utf8]
		    [(t->tls != NULL ? 2 : 0) + (s->user != NULL)];
}

/* Cut where it does not fit. */
static void
put(char out[RELAY_TRACE_MAX], size_t *n, const char *text)
{
	*n += str_copy(str_from(text), out + *n, RELAY_TRACE_MAX - *n);
}

/* "from helo (name [address])" and a line end; nothing where it is hidden. */
static void
put_client(const struct txn *t, char out[RELAY_TRACE_MAX], size_t *n)
{
	const struct session *s = t->session;
	const char *name = t->forwarded ? NULL : s->client_name;
	char safe[256], ip[IP_TEXT_MAX];
	bool local = t->client.family == IP_NONE;

	if (s->listen.hide_client)
		return;
	put(out, n, "from ");
	put(out, n, str_escape(str_from(t->helo), safe, sizeof(safe)));
	put(out, n, " (");
	if (name != NULL) {
		put(out, n, str_escape(str_from(name), safe, sizeof(safe)));
		put(out, n, " ");
	}
	put(out, n, local ? "local socket" : "[");
	put(out, n, local ? "" : ip_format(&t->client, ip));
	put(out, n, local ? ")\r\n\t" : "])\r\n\t");
}

/* Written for each message, so without printf. */
struct str
relay_trace_header(const struct txn *t, char out[RELAY_TRACE_MAX])
{
	char id[SPOOL_ID_TEXT], date[SETTLE_DATE_MAX];
	size_t n = 0;

	put(out, &n, "Received: ");
	put_client(t, out, &n);
	put(out, &n, "by ");
	put(out, &n, t->session->settings->hostname);
	put(out, &n, " (weir) with ");
	put(out, &n, protocol_name(t));
	put(out, &n, " id ");
	put(out, &n, spool_id_format(t->id, id));
	if (t->tls != NULL) { /* RFC 8314 section 4.3 */
		put(out, &n, "\r\n\ttls ");
		put(out, &n, t->tls_cipher);
	}
	put(out, &n, ";\r\n\t");
	put(out, &n, settle_date(t->started_at, date));
	put(out, &n, "\r\n");
	return (struct str){out, n};
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
relay_make_temporary(struct smtp_reply *reply)
{
	reply->code = 451;
	if (reply->enhanced[0] != '\0')
		reply->enhanced[0] = '4';
}

static const char *
recipient_of(const void *arg, size_t i)
{
	const struct txn *t = arg;

	return t->rcpts[i].address;
}

void
relay_log_message(
    const struct txn *t, const char *result, const struct smtp_reply *reply)
{
	char id[SPOOL_ID_TEXT];
	struct log *log = t->relay->parts.log;
	const struct log_recipients to = {recipient_of, t, t->rcpt_count};
	struct log_list first;

	if (!log_has(log, LOG_EV_SMTP_MESSAGE))
		return;
	log_recipients_take(&to, 0, &first);
	log_write(log, LOG_EV_SMTP_MESSAGE, KV(id, spool_id_format(t->id, id)),
	    KV(result, result),
	    KV(sender, t->gate != NULL ? gate_txn_source(t->gate) : ""),
	    KV(from, t->from), KV(client, &t->client), KV(size_bytes, t->size),
	    KV(recipients, t->rcpt_count),
	    KV(passed, t->rcpt_count - t->held_count), KV(held, t->held_count),
	    KV(delay_ms, clock_wall_ms() - t->started_at),
	    KV(tls, t->tls != NULL ? t->tls : "none"),
	    KV(cipher, t->tls != NULL ? t->tls_cipher : "none"),
	    KV(code, reply->code), KV(reply, reply->text), KV(to, &first));
	log_recipients_rest(&to, log, LOG_EV_SMTP_RECIPIENTS, id, first.end);
}
