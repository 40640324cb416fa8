/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who the client is: AUTH (RFC 4954), XCLIENT and XFORWARD (Postfix). Syntax
 * and order are decided here; passwords and trust are the owner's. Nothing of a
 * login is kept.
 */
#include "smtp/server_impl.h"

#include <stdio.h>

bool
smtp_server_offers_auth(const struct smtp_server *s)
{
	return (s->caps.ext & SMTP_EXT_AUTH) && s->caps.auth != 0;
}

void
smtp_server_trust(struct smtp_server *s, bool trusted)
{
	s->trusted = trusted;
}

bool
smtp_server_is_in_auth(const struct smtp_server *s)
{
	return s->auth_open || s->question == SMTP_ASK_AUTH;
}

/* ---- AUTH ---- */

static void
ask_auth(struct smtp_server *s)
{
	s->auth_open = true;
	smtp_server_ask(s, SMTP_ASK_AUTH);
}

void
smtp_server_verb_auth(struct smtp_server *s, struct str args)
{
	size_t blank = str_index(args, ' ');
	struct str initial = str_trim(str_sub(args, blank, args.n));
	enum sasl_mech mech = sasl_mech_find(str_trim(str_sub(args, 0, blank)));

	if (s->authenticated) {
		smtp_server_fault(s, 503, "5.5.1", "already authenticated");
	} else if (!(mech & s->caps.auth)) {
		smtp_server_fault(
		    s, 504, "5.5.4", "authentication mechanism not offered");
	} else if (!sasl_is_base64(initial)) {
		smtp_server_fault(
		    s, 501, "5.5.2", "the initial response is not base64");
	} else {
		ask_auth(s);
		s->ops->on_auth(s->arg, mech, initial.n > 0, initial);
	}
}

static void
cancel(struct smtp_server *s, const char *enhanced, const char *text)
{
	s->auth_open = false;
	s->ops->on_auth_cancel(s->arg);
	smtp_server_fault(s, 501, enhanced, text);
}

void
smtp_server_auth_line(struct smtp_server *s, struct str line, bool more)
{
	if (more) {
		smtp_server_end(s, SMTP_SERVER_PROTOCOL, 554, "5.5.0",
		    "illegal pipelining: wait for the reply to this line");
	} else if (str_eq(line, STR("*"))) {
		cancel(s, "5.7.0", "authentication aborted");
	} else if (str_eq(line, STR("=")) || !sasl_is_base64(line)) {
		cancel(s, "5.5.2", "the response is not base64");
	} else {
		ask_auth(s);
		s->ops->on_auth_line(s->arg, line);
	}
}

bool
smtp_server_auth_challenge(
    struct smtp_server *s, struct str challenge, int64_t now)
{
	char line[SMTP_REPLY_LINE_MAX + sizeof("334 \r\n")];
	int n;

	if (challenge.n > SMTP_REPLY_LINE_MAX || !sasl_is_base64(challenge))
		return false;
	if (smtp_server_take_question(s, now) == SMTP_ASK_NOTHING ||
	    smtp_server_refuse_early(s))
		return true;
	n = snprintf(line, sizeof(line), "334 %.*s\r\n", STR_ARG(challenge));
	if (s->ops->on_said != NULL)
		s->ops->on_said(s->arg, STR("334 ***"));
	s->ops->write(s->arg, line, (size_t)n);
	smtp_server_await_command(s);
	return true;
}

void
smtp_server_auth_done(
    struct smtp_server *s, const struct smtp_reply *reply, int64_t now)
{
	struct smtp_reply r = *reply;

	if (smtp_server_take_question(s, now) == SMTP_ASK_NOTHING ||
	    smtp_server_refuse_early(s))
		return;
	r.code = 235;
	s->auth_open = false;
	s->authenticated = true;
	s->idle_commands = 0;
	smtp_server_write_answer(s, &r);
	smtp_server_await_command(s);
}

/* ---- XCLIENT, XFORWARD ---- */

void
smtp_server_verb_xclient(struct smtp_server *s, struct str args)
{
	struct xclient x;
	const char *why;

	if (!xclient_parse(args, XCLIENT_ATTRS, &x, &why)) {
		smtp_server_fault(s, 501, "5.5.4", why);
		return;
	}
	smtp_server_ask(s, SMTP_ASK_XCLIENT);
	s->ops->on_xclient(s->arg, &x);
}

void
smtp_server_verb_xforward(struct smtp_server *s, struct str args)
{
	struct xclient x;
	const char *why;

	if (!xclient_parse(args, XFORWARD_ATTRS, &x, &why)) {
		smtp_server_fault(s, 501, "5.5.4", why);
		return;
	}
	smtp_server_ask(s, SMTP_ASK_XFORWARD);
	s->ops->on_xforward(s->arg, &x);
}

void
smtp_server_xclient_done(struct smtp_server *s, bool authenticated, int64_t now)
{
	enum smtp_question question = smtp_server_take_question(s, now);

	if (question == SMTP_ASK_NOTHING || smtp_server_refuse_early(s))
		return;
	if (question != SMTP_ASK_XCLIENT)
		panic("smtp server: xclient_done answers no XCLIENT");
	smtp_server_restart(s);
	s->authenticated = authenticated;
}
