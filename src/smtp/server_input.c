/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the server engine takes input: command lines, message text, and what is
 * neither. Nothing is kept of it: the start of a command line stays with the
 * owner, who gives it again. A line too long is thrown away as it comes.
 */
#include "smtp/server_impl.h"

#include <stdio.h>

#define LINE_MAX_LEAST 512        /* RFC 5321 section 4.5.3.1.4 */
#define LINE_SKIP_MAX (64 * 1024) /* a longer command line is the end */

/* Bytes that no SMTP client begins with: a TLS handshake, a binary protocol.
 * Their line might never end. */
static bool
is_foreign_byte(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 0x7F || (u < ' ' && u != '\r' && u != '\n' && u != '\t');
}

static void
refuse_foreign(struct smtp_server *s)
{
	smtp_server_end(s, SMTP_SERVER_PROTOCOL, 521, "5.5.1",
	    "this is an SMTP server; the client does not speak SMTP");
}

/* HTTP requests, "SSH-2.0-...": the first line of another protocol. */
static bool
is_foreign_line(struct str line)
{
	static const struct str methods[] = {STR("GET"), STR("POST"),
	    STR("CONNECT"), STR("HEAD"), STR("PUT"), STR("OPTIONS"),
	    STR("DELETE"), STR("PATCH"), STR("TRACE"), STR("PRI"),
	    STR("PROXY")};
	struct str verb = line;

	for (size_t i = 0; i < verb.n; i++) {
		if (verb.p[i] == ' ' || verb.p[i] == '\t')
			verb.n = i;
	}
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (str_eq(verb, methods[i]))
			return true;
	}
	for (size_t i = 0; i < verb.n; i++) {
		char c = (char)(verb.p[i] | 0x20);

		if ((c < 'a' || c > 'z') && verb.p[i] != '\r' &&
		    verb.p[i] != '\0')
			return true;
	}
	return false;
}

/* Of AUTH no more than the mechanism; and after it nothing that is no command,
 * since that may be the password of a client that was not heard out. */
static void
report_heard(struct smtp_server *s, struct str line)
{
	char text[64];
	struct str rest = line, verb = str_cut(&rest, ' '),
		   mech = str_cut(&rest, ' ');
	bool is_auth = str_ieq(verb, STR("AUTH"));

	if (s->ops->on_heard == NULL)
		return;
	if (s->auth_open || (s->auth_heard && !smtp_server_is_command(line))) {
		s->ops->on_heard(s->arg, STR("***"));
	} else if (is_auth && rest.n > 0) {
		(void)snprintf(text, sizeof(text), "AUTH %.*s ***",
		    (int)(mech.n < 32 ? mech.n : 32), mech.p);
		s->ops->on_heard(s->arg, str_from(text));
	} else {
		s->ops->on_heard(s->arg, line);
	}
	s->auth_heard = s->auth_heard || is_auth;
}

/* One line that ends in LF, which is not part of it. */
static void
take_line(struct smtp_server *s, struct str line, bool more)
{
	bool crlf = line.n > 0 && line.p[line.n - 1] == '\r';
	bool first = s->first_line;

	s->first_line = false;
	if (crlf)
		line.n--;
	report_heard(s, line);
	if (first && is_foreign_line(line)) {
		refuse_foreign(s);
		return;
	}
	if (!crlf && s->limits->data.bare_newline < SMTP_BARE_ALLOW) {
		smtp_server_fault(s, 500, "5.5.2",
		    "bare <LF>; commands must end in <CR><LF>");
		return;
	}
	if (str_index(line, '\r') < line.n || str_index(line, '\0') < line.n) {
		smtp_server_fault(
		    s, 500, "5.5.2", "control character in the command");
		return;
	}
	if (s->auth_open)
		smtp_server_auth_line(s, line, more);
	else
		smtp_server_command(s, line, more);
}

/* A line too long, whose end stands at lf, or has not come (in.n). */
static void
skip_line(struct smtp_server *s, struct str *in, size_t lf)
{
	bool ended = lf < in->n;

	s->skipped += lf;
	*in = str_sub(*in, ended ? lf + 1 : lf, in->n);
	if (s->skipped > LINE_SKIP_MAX) {
		smtp_server_end(s, SMTP_SERVER_PROTOCOL, 554, "5.5.2",
		    "command line does not end, closing the connection");
	} else if (ended) {
		s->skipped = 0;
		s->first_line = false;
		smtp_server_fault(s, 500, "5.5.2", "command line too long");
	}
}

/* The longest line that may come now, with its CR LF. */
static size_t
line_max(const struct smtp_server *s, struct str in)
{
	size_t max = s->limits->line_max;

	if (s->auth_open ||
	    (smtp_server_offers_auth(s) && str_istarts(in, STR("AUTH "))))
		return SASL_LINE_MAX;
	return max < LINE_MAX_LEAST ? LINE_MAX_LEAST : max;
}

/* False: the line is not whole yet. */
static bool
feed_line(struct smtp_server *s, struct str *in)
{
	size_t max = line_max(s, *in);
	size_t lf = str_index(*in, '\n');

	if (s->first_line && s->skipped == 0 && is_foreign_byte(in->p[0])) {
		refuse_foreign(s);
		return true;
	}
	if (s->skipped > 0 || lf >= max) {
		skip_line(s, in, lf);
		return true;
	}
	if (lf == in->n)
		return false;
	struct str line = str_sub(*in, 0, lf);

	*in = str_sub(*in, lf + 1, in->n);
	s->unread = *in;
	take_line(s, line, in->n > 0);
	s->unread = (struct str){0};
	return true;
}

void
smtp_server_on_text(void *arg, struct str chunk)
{
	struct smtp_server *s = arg;

	if (s->phase != SMTP_PHASE_CLOSED)
		s->ops->on_body(s->arg, chunk);
}

static void
feed_data(struct smtp_server *s, struct str *in)
{
	size_t before = in->n;
	bool ended = smtp_decode(&s->decoder, in, smtp_server_on_text, s);

	/* The owner may have ended the session when it was given a chunk. */
	if (s->phase == SMTP_PHASE_CLOSED)
		return;
	if (!ended) {
		smtp_server_data_came(s, before - in->n);
		return;
	}
	smtp_server_await_nothing(s);
	smtp_server_ask(s, SMTP_ASK_END);
	s->ops->on_end(s->arg, s->decoder.fault);
}

static bool
can_take(const struct smtp_server *s)
{
	return s->question == SMTP_ASK_NOTHING && s->phase != SMTP_PHASE_NEW &&
	       s->phase != SMTP_PHASE_CLOSED;
}

/* For the answer to the open question, before anything more is said. */
static bool
must_wait(const struct smtp_server *s)
{
	/* What follows a BDAT is its text. */
	return s->question == SMTP_ASK_HELO ||
	       (s->question == SMTP_ASK_DATA && !s->chunk.open) ||
	       s->question == SMTP_ASK_TLS || s->question == SMTP_ASK_AUTH ||
	       s->question == SMTP_ASK_XCLIENT;
}

void
smtp_server_yield(struct smtp_server *s)
{
	s->yields = true;
}

size_t
smtp_server_feed(struct smtp_server *s, const char *p, size_t n, int64_t now)
{
	struct str in = {p, n};

	smtp_server_set_now(s, now);
	if (s->phase == SMTP_PHASE_CLOSED)
		return n;
	/* Called again from one of its own callbacks: the outer call goes on
	 * with the same bytes. */
	if (s->feeding)
		return 0;
	if (n > 0 && must_wait(s))
		s->early = true;
	s->feeding = true;
	s->yields = false;
	while (in.n > 0 && can_take(s) && !s->yields) {
		if (s->chunk.open)
			smtp_server_feed_chunk(s, &in);
		else if (s->phase == SMTP_PHASE_DATA)
			feed_data(s, &in);
		else if (!feed_line(s, &in))
			break;
	}
	s->feeding = false;
	return s->phase == SMTP_PHASE_CLOSED ? n : n - in.n;
}
