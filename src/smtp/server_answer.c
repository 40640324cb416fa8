/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Questions to the owner and their answers. A question stops the input and the
 * client's deadlines. An answer to no question is the owner's bug, and a panic;
 * one that comes after the end of the session is ignored; one that a next hop
 * made up and that cannot be said here becomes a 451.
 */
#include "smtp/server_impl.h"

#include <stdlib.h>

void
smtp_server_ask(struct smtp_server *s, enum smtp_question question)
{
	s->question = question;
	smtp_server_time_changed(s);
}

enum smtp_question
smtp_server_take_question(struct smtp_server *s, int64_t now)
{
	enum smtp_question question = s->question;

	smtp_server_set_now(s, now);
	if (s->phase == SMTP_PHASE_CLOSED)
		return SMTP_ASK_NOTHING;
	if (question == SMTP_ASK_NOTHING)
		panic("smtp server: an answer to no question");
	s->question = SMTP_ASK_NOTHING;
	smtp_server_time_changed(s);
	return question;
}

/* Input came although the client had to wait for this answer: it did not
 * speak SMTP with us, or somebody spoke in its name (RFC 2920 section 3.1). */
bool
smtp_server_refuse_early(struct smtp_server *s)
{
	if (!s->early)
		return false;
	smtp_server_end(s, SMTP_SERVER_PROTOCOL, 554, "5.5.0",
	    "illegal pipelining: wait for the reply to this command");
	return true;
}

static void
write_ehlo(struct smtp_server *s)
{
	char line[64];
	struct smtp_reply r = {.code = 250};
	struct buf text;

	buf_init(&text, SMTP_REPLY_TEXT_MAX);
	if (!buf_append_str(&text, str_from(s->hostname)))
		panic("hostname too long");
	for (unsigned i = 0; s->esmtp && smtp_caps_line(&s->caps, i, line,
					     sizeof(line)) != NULL;
	     i++) {
		if (!buf_append(&text, "\n", 1) ||
		    !buf_append_str(&text, str_from(line)))
			panic("EHLO reply too long");
	}
	r.text = buf_str(&text);
	smtp_server_write(s, &r, false);
	buf_clear(&text);
	smtp_server_await_command(s);
}

void
smtp_server_helo_done(
    struct smtp_server *s, const struct smtp_caps *caps, int64_t now)
{
	enum smtp_question question = smtp_server_take_question(s, now);

	if (question == SMTP_ASK_NOTHING || smtp_server_refuse_early(s))
		return;
	if (question != SMTP_ASK_HELO)
		panic("smtp server: helo_done answers no HELO");
	s->esmtp = s->next_esmtp;
	s->caps = s->esmtp ? *caps : (struct smtp_caps){0};
	if (!s->esmtp && s->limits->lenient) {
		s->caps.ext = caps->ext & SMTP_EXT_AUTH;
		s->caps.auth = caps->auth;
	}
	s->caps.ext &= ~(unsigned)SMTP_EXT_STARTTLS;
	if (s->esmtp && (s->tls == SMTP_SERVER_TLS_OFFER ||
			    s->tls == SMTP_SERVER_TLS_REQUIRE))
		s->caps.ext |= SMTP_EXT_STARTTLS;
	smtp_server_set_phase(s, SMTP_PHASE_READY);
	write_ehlo(s);
}

void
smtp_server_tls_done(struct smtp_server *s, int64_t now)
{
	enum smtp_question question = smtp_server_take_question(s, now);

	if (question == SMTP_ASK_NOTHING || smtp_server_refuse_early(s))
		return;
	if (question != SMTP_ASK_TLS)
		panic("smtp server: tls_done answers no STARTTLS");
	free(s->helo);
	s->helo = NULL;
	s->esmtp = s->authenticated = false;
	s->caps = (struct smtp_caps){0};
	s->first_line = true;
	s->tls = SMTP_SERVER_TLS_ACTIVE;
	smtp_server_set_phase(s, SMTP_PHASE_GREETED);
	smtp_server_await_command(s);
}

void
smtp_server_data_go(struct smtp_server *s, int64_t now)
{
	struct smtp_reply r =
	    smtp_reply_make(354, "", "end data with <CR><LF>.<CR><LF>");
	enum smtp_question question = smtp_server_take_question(s, now);

	if (question == SMTP_ASK_NOTHING || smtp_server_refuse_early(s))
		return;
	if (question != SMTP_ASK_DATA)
		panic("smtp server: data_go answers no DATA");
	if (s->chunk.open) {
		smtp_server_chunk_go(s);
		return;
	}
	smtp_decoder_clear(&s->decoder);
	smtp_decoder_init(&s->decoder, &s->limits->data);
	smtp_server_set_phase(s, SMTP_PHASE_DATA);
	smtp_server_write_answer(s, &r);
	smtp_server_await_data(s);
}

static void
answer_mail(struct smtp_server *s, bool ok)
{
	if (ok)
		smtp_server_set_phase(s, SMTP_PHASE_MAIL);
	else
		s->utf8 = false;
	s->mail_refused = !ok;
}

static void
answer_rcpt(struct smtp_server *s, unsigned code)
{
	if (code < 300) {
		s->recipients++;
		smtp_server_set_phase(s, SMTP_PHASE_RCPT);
	} else if (code >= 500 &&
		   smtp_server_is_at(++s->refused, s->limits->refused_max)) {
		/* Guessed addresses. A temporary refusal may come again,
		 * as the rest of a message to very many does. */
		smtp_server_end(s, SMTP_SERVER_ERRORS, 421, "4.7.0",
		    "too many recipients refused");
	}
}

static void
answer_end(struct smtp_server *s, bool ok)
{
	if (ok)
		s->idle_commands = 0;
	smtp_server_forget_quietly(s);
	s->text_refused = !ok;
}

/* The engine's own words for a message with a fault. */
static struct smtp_reply
fault_reply(enum smtp_data_fault fault)
{
	switch (fault) {
	case SMTP_DATA_OK:
		break;
	case SMTP_DATA_BARE_NEWLINE:
		return smtp_reply_make(550, "5.5.2",
		    "message contains a bare <CR> or <LF>; lines must end in "
		    "<CR><LF>");
	case SMTP_DATA_TOO_BIG:
		return smtp_reply_make(
		    552, "5.3.4", "message size exceeds the limit");
	case SMTP_DATA_LINE_TOO_LONG:
		return smtp_reply_make(
		    554, "5.6.0", "message contains a line that is too long");
	case SMTP_DATA_HEADER_TOO_BIG:
		return smtp_reply_make(
		    552, "5.3.4", "message header exceeds the limit");
	case SMTP_DATA_LOOP:
		return smtp_reply_make(
		    554, "5.4.6", "too many hops: mail loop");
	}
	panic("smtp server: no reply for a message without fault");
}

/* An answer may be a next hop's words, and those are hostile: what does not
 * answer the question is not passed on. */
static bool
is_fitting(const struct smtp_server *s, enum smtp_question question,
    const struct smtp_reply *r)
{
	bool ok = r->code >= 200 && r->code < 300;

	if (question == SMTP_ASK_DATA || question == SMTP_ASK_HELO ||
	    question == SMTP_ASK_AUTH || question == SMTP_ASK_XCLIENT ||
	    question == SMTP_ASK_TLS ||
	    (question == SMTP_ASK_END && s->decoder.fault != SMTP_DATA_OK))
		ok = false;
	return ok || (r->code >= 400 && r->code <= 599);
}

/* An acceptance by its first digit (RFC 5321 section 4.2): but a client must
 * not take a 221 for the end, nor a 220 for a beginning. */
static struct smtp_reply
plain_acceptance(const struct smtp_reply *r)
{
	struct smtp_reply plain = *r;

	if (r->code < 250 || (r->code > 252 && r->code < 300))
		plain.code = 250;
	return plain;
}

/* What goes out: the owner's reply, or the engine's own words. */
static struct smtp_reply
choose_reply(const struct smtp_server *s, enum smtp_question question,
    const struct smtp_reply *r)
{
	if (r == NULL && question != SMTP_ASK_END)
		panic("smtp server: no reply for question %d", (int)question);
	if (r == NULL)
		return fault_reply(s->decoder.fault);
	if (!is_fitting(s, question, r))
		return smtp_reply_make(
		    451, "4.5.0", "the next hop sent an invalid reply");
	return plain_acceptance(r);
}

static void
answered(struct smtp_server *s, enum smtp_question question, unsigned code)
{
	bool ok = code < 300;

	switch (question) {
	case SMTP_ASK_NOTHING:
	case SMTP_ASK_HELO: /* refused: as if it had not come */
	case SMTP_ASK_DATA: /* refused: the recipients stand */
	case SMTP_ASK_TLS:
		return;
	case SMTP_ASK_MAIL:
		answer_mail(s, ok);
		return;
	case SMTP_ASK_RCPT:
		answer_rcpt(s, code);
		return;
	case SMTP_ASK_END:
		answer_end(s, ok);
		return;
	case SMTP_ASK_AUTH: /* refused */
		s->auth_open = false;
		return;
	case SMTP_ASK_XCLIENT: /* refused */
	case SMTP_ASK_XFORWARD:
		return;
	}
}

void
smtp_server_reply(
    struct smtp_server *s, const struct smtp_reply *reply, int64_t now)
{
	enum smtp_question question = smtp_server_take_question(s, now);
	struct smtp_reply r;

	if (question == SMTP_ASK_NOTHING || smtp_server_refuse_early(s))
		return;
	if (question == SMTP_ASK_TLS)
		panic("smtp server: the 220 of STARTTLS was said");
	r = choose_reply(s, question, reply);
	/* 421 says that the connection is closed, so it is. */
	if (r.code == 421) {
		answered(s, question, r.code);
		smtp_server_end_with(s, SMTP_SERVER_CLOSED, &r);
		return;
	}
	if (question == SMTP_ASK_DATA && s->chunk.open) {
		smtp_server_chunk_refused(s, &r);
		return;
	}
	smtp_server_write_answer(s, &r);
	smtp_server_await_command(s);
	answered(s, question, r.code);
	/* A guess too many is the end. */
	if (question == SMTP_ASK_AUTH && r.code >= 500)
		smtp_server_count_error(s);
}
