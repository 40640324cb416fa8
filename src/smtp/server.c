/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server engine: its life, its phases, what it says and how it ends. An
 * error of the client is a reply, and past the caps the end; only misuse by the
 * owner is a panic. Once closed it says nothing and asks nothing.
 */
#include "smtp/server_impl.h"

#include <stdlib.h>
#include <string.h>

#define REPLY_WIRE_MAX 8192 /* text of 4096 bytes, all lines with prefix */
#define IN_VAIN_MAX 1000    /* where recipients have no limit */
#define TRANSACTION                                            \
	(SMTP_PHASE_MAIL | SMTP_PHASE_RCPT | SMTP_PHASE_DATA | \
	    SMTP_PHASE_CHUNKS)

static const char *
phase_name(enum smtp_phase phase)
{
	switch (phase) {
	case SMTP_PHASE_NEW:
		return "new";
	case SMTP_PHASE_GREETED:
		return "greeted";
	case SMTP_PHASE_READY:
		return "ready";
	case SMTP_PHASE_MAIL:
		return "mail";
	case SMTP_PHASE_RCPT:
		return "rcpt";
	case SMTP_PHASE_DATA:
		return "data";
	case SMTP_PHASE_CLOSED:
		return "closed";
	case SMTP_PHASE_CHUNKS:
		return "chunks";
	}
	panic("smtp phase %d", (int)phase);
}

/* From which phases each may be entered. */
static unsigned
phase_from(enum smtp_phase phase)
{
	switch (phase) {
	case SMTP_PHASE_NEW:
		return 0;
	case SMTP_PHASE_GREETED: /* again after STARTTLS and XCLIENT */
		return SMTP_PHASE_NEW | SMTP_PHASE_GREETED | SMTP_PHASE_READY;
	case SMTP_PHASE_READY:
		return SMTP_PHASE_GREETED | SMTP_PHASE_READY | SMTP_PHASE_MAIL |
		       SMTP_PHASE_RCPT | SMTP_PHASE_DATA | SMTP_PHASE_CHUNKS;
	case SMTP_PHASE_MAIL:
		return SMTP_PHASE_READY;
	case SMTP_PHASE_RCPT:
		return SMTP_PHASE_MAIL | SMTP_PHASE_RCPT;
	case SMTP_PHASE_DATA:
	case SMTP_PHASE_CHUNKS:
		return SMTP_PHASE_RCPT;
	case SMTP_PHASE_CLOSED:
		return ~(unsigned)SMTP_PHASE_CLOSED;
	}
	panic("smtp phase %d", (int)phase);
}

void
smtp_server_set_phase(struct smtp_server *s, enum smtp_phase phase)
{
	if (!(phase_from(phase) & (unsigned)s->phase))
		panic("smtp server: %s after %s", phase_name(phase),
		    phase_name(s->phase));
	s->phase = phase;
}

struct smtp_server *
smtp_server_new(const struct smtp_server_limits *limits, const char *hostname,
    const struct smtp_server_ops *ops, void *arg)
{
	struct smtp_server *s = xcalloc(1, sizeof(*s));

	s->limits = limits;
	s->hostname = hostname;
	s->ops = ops;
	s->arg = arg;
	s->phase = SMTP_PHASE_NEW;
	s->first_line = true;
	s->now = s->stopped_at = INT64_MIN;
	smtp_server_await_nothing(s);
	return s;
}

void
smtp_server_free(struct smtp_server *s)
{
	if (s == NULL)
		return;
	smtp_decoder_clear(&s->decoder);
	smtp_server_chunk_clear(s);
	free(s->helo);
	free(s);
}

void
smtp_server_set_tls(struct smtp_server *s, enum smtp_server_tls tls)
{
	s->tls = tls;
}

void
smtp_server_write(
    struct smtp_server *s, const struct smtp_reply *r, bool enhanced)
{
	struct smtp_reply cut = *r;
	struct buf out;

	buf_init(&out, REPLY_WIRE_MAX);
	if (!smtp_reply_print(r, enhanced, &out)) {
		/* A next hop may have sent thousands of short lines. */
		cut.text = str_sub(r->text, 0, str_index(r->text, '\n'));
		cut.text = str_sub(cut.text, 0, SMTP_REPLY_LINE_MAX);
		if (!smtp_reply_print(&cut, enhanced, &out))
			panic("a reply of one line does not fit");
	}
	if (s->ops->on_said != NULL)
		s->ops->on_said(s->arg, buf_str(&out));
	s->ops->write(s->arg, buf_str(&out).p, out.len);
	buf_clear(&out);
}

/* RFC 2034: enhanced codes only where they were advertised, and on no reply
 * of 3xx. */
void
smtp_server_write_answer(struct smtp_server *s, const struct smtp_reply *r)
{
	bool enhanced =
	    s->esmtp && (s->caps.ext & SMTP_EXT_ENHANCED) && r->code / 100 != 3;

	smtp_server_write(s, r, enhanced);
}

void
smtp_server_say(struct smtp_server *s, unsigned code, const char *enhanced,
    const char *text)
{
	struct smtp_reply r = smtp_reply_make(code, enhanced, text);

	if (s->phase == SMTP_PHASE_CLOSED)
		return;
	smtp_server_write_answer(s, &r);
	smtp_server_await_command(s);
}

/* The owner knows of a transaction once it was asked on_mail, until it refused
 * that or answered on_end. */
static bool
owner_has_transaction(const struct smtp_server *s)
{
	return s->question == SMTP_ASK_MAIL || (s->phase & TRANSACTION);
}

void
smtp_server_forget_quietly(struct smtp_server *s)
{
	s->utf8 = s->mail_refused = s->text_refused = false;
	s->recipients = s->overshoot = 0;
	if (s->phase & TRANSACTION)
		smtp_server_set_phase(s, SMTP_PHASE_READY);
}

void
smtp_server_end_with(struct smtp_server *s, enum smtp_server_end why,
    const struct smtp_reply *reply)
{
	bool known = owner_has_transaction(s);

	if (s->phase == SMTP_PHASE_CLOSED)
		return;
	if (reply != NULL)
		smtp_server_write_answer(s, reply);
	smtp_server_forget_quietly(s);
	s->question = SMTP_ASK_NOTHING;
	s->auth_open = false;
	/* Closed before the owner hears of it: an owner that shuts down ends
	 * the session as soon as its transaction is over. */
	smtp_server_set_phase(s, SMTP_PHASE_CLOSED);
	smtp_server_await_nothing(s);
	if (known)
		s->ops->on_reset(s->arg);
	s->ops->on_close(s->arg, why);
}

void
smtp_server_end(struct smtp_server *s, enum smtp_server_end why, unsigned code,
    const char *enhanced, const char *text)
{
	struct smtp_reply r = smtp_reply_make(code, enhanced, text);

	smtp_server_end_with(s, why, &r);
}

void
smtp_server_close(
    struct smtp_server *s, const struct smtp_reply *reply, int64_t now)
{
	smtp_server_set_now(s, now);
	smtp_server_end_with(s, SMTP_SERVER_CLOSED, reply);
}

bool
smtp_server_is_at(uint32_t count, uint32_t cap)
{
	return cap > 0 && count >= cap;
}

void
smtp_server_count_error(struct smtp_server *s)
{
	s->errors++;
	if (smtp_server_is_at(s->errors, s->limits->errors_max))
		smtp_server_end(
		    s, SMTP_SERVER_ERRORS, 421, "4.7.0", "too many errors");
}

void
smtp_server_fault(struct smtp_server *s, unsigned code, const char *enhanced,
    const char *text)
{
	smtp_server_say(s, code, enhanced, text);
	smtp_server_count_error(s);
}

void
smtp_server_in_vain(struct smtp_server *s, unsigned code, const char *enhanced,
    const char *text)
{
	uint32_t cap = s->limits->recipients_max;

	if (smtp_server_is_at(++s->overshoot, cap > 0 ? cap : IN_VAIN_MAX))
		smtp_server_fault(s, code, enhanced, text);
	else
		smtp_server_say(s, code, enhanced, text);
}

bool
smtp_server_forget(struct smtp_server *s)
{
	bool known = owner_has_transaction(s);

	smtp_server_forget_quietly(s);
	if (known)
		s->ops->on_reset(s->arg);
	return s->phase != SMTP_PHASE_CLOSED;
}

static void
say_greeting(struct smtp_server *s)
{
	char text[SMTP_REPLY_LINE_MAX];
	struct str host = str_from(s->hostname);
	size_t n = str_copy(host, text, sizeof(text) - sizeof(" ESMTP"));

	str_copy(STR(" ESMTP"), text + n, sizeof(text) - n);
	smtp_server_set_phase(s, SMTP_PHASE_GREETED);
	smtp_server_say(s, 220, "", text);
}

void
smtp_server_restart(struct smtp_server *s)
{
	free(s->helo);
	s->helo = NULL;
	s->esmtp = s->next_esmtp = s->authenticated = false;
	s->caps = (struct smtp_caps){0};
	say_greeting(s);
}

void
smtp_server_greet(struct smtp_server *s, bool talked_early, int64_t now)
{
	smtp_server_set_now(s, now);
	if (s->phase == SMTP_PHASE_CLOSED)
		return;
	if (talked_early) {
		smtp_server_end(s, SMTP_SERVER_PROTOCOL, 554, "5.5.0",
		    "protocol error: data sent before the greeting");
		return;
	}
	say_greeting(s);
}

bool
smtp_server_is_waiting(const struct smtp_server *s)
{
	return s->question != SMTP_ASK_NOTHING;
}

bool
smtp_server_is_in_data(const struct smtp_server *s)
{
	return s->phase == SMTP_PHASE_DATA || s->phase == SMTP_PHASE_CHUNKS;
}

struct str
smtp_server_helo(const struct smtp_server *s)
{
	return str_from(s->helo);
}

bool
smtp_server_is_esmtp(const struct smtp_server *s)
{
	return s->esmtp;
}

bool
smtp_server_is_utf8(const struct smtp_server *s)
{
	return s->utf8;
}

uint64_t
smtp_server_message_size(const struct smtp_server *s)
{
	return s->decoder.size;
}

struct str
smtp_server_subject(const struct smtp_server *s)
{
	return buf_str(&s->decoder.subject);
}

struct str
smtp_server_message_id(const struct smtp_server *s)
{
	return buf_str(&s->decoder.message_id);
}

bool
smtp_server_has_message_id(const struct smtp_server *s)
{
	return s->decoder.id_seen;
}

bool
smtp_server_is_chunked(const struct smtp_server *s)
{
	return s->phase == SMTP_PHASE_CHUNKS || s->chunk.open;
}

uint32_t
smtp_server_errors(const struct smtp_server *s)
{
	return s->errors;
}
