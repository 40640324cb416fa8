/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The verb table: the one place that says which commands there are, when and
 * how they may come, and who handles them. Everything that a command shares
 * with others is decided from its row.
 */
#include "smtp/server_impl.h"

#include "base/mailbox.h"
#include "smtp/address.h"

#include <stdio.h>
#include <stdlib.h>

#define HELO_MAX 255
#define WORDS_ANY UINT16_MAX
#define IN_SESSION (SMTP_PHASE_READY | IN_TRANSACTION)
#define IN_TRANSACTION (SMTP_PHASE_MAIL | SMTP_PHASE_RCPT)
#define ANY_TIME (SMTP_PHASE_GREETED | IN_SESSION | SMTP_PHASE_CHUNKS)

enum verb_flags {
	VERB_LAST = 1,   /* nothing may be pipelined behind it */
	VERB_IDLE = 2,   /* brings no mail forward: capped */
	VERB_LOGIN = 8,  /* only where AUTH is offered */
	VERB_TRUST = 16, /* only from those who are believed */
	VERB_PLAIN = 4,  /* may come in plain where TLS is required */
	VERB_LOOSE = 32, /* any number of words from those who cannot help it */
};

struct verb {
	struct str name;
	unsigned phases; /* in which it may come */
	uint16_t min_words, max_words;
	uint8_t flags;
	void (*handle)(struct smtp_server *s, struct str args);
	/* NULL: known, not offered. */
	const char *syntax;
};

/* Blanks are lenient: tabs count, and there may be several. */
static struct str
take_word(struct str *s)
{
	size_t n = 0;
	struct str word;

	while (n < s->n && s->p[n] != ' ' && s->p[n] != '\t')
		n++;
	word = str_sub(*s, 0, n);
	*s = str_trim(str_sub(*s, n, s->n));
	return word;
}

static size_t
count_words(struct str s)
{
	size_t n = 0;

	for (; s.n > 0; n++)
		take_word(&s);
	return n;
}

/* A hostname or an address literal, seen with the eyes of Windows clients:
 * underscores and UTF-8 pass, blanks and what can break a header do not. */
static bool
is_helo_name(struct str name)
{
	static const struct str bad = STR("\"\\<>(),;@");

	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c <= ' ' || c == 0x7F || str_index(bad, (char)c) < bad.n)
			return false;
		if (c == 0xC2 && i + 1 < name.n &&
		    (unsigned char)name.p[i + 1] < 0xA0)
			return false; /* C1 control character */
	}
	return name.n > 0 && name.n <= HELO_MAX && str_is_utf8(name);
}

/* What a client that cannot be mended says in place of a name, without what can
 * break a header. */
static struct str
mend_helo_name(struct str name, char out[HELO_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < name.n && n < HELO_MAX; i++) {
		struct str c = str_sub(name, i, 1);

		out[n++] = is_helo_name(c) ? c.p[0] : '?';
	}
	return (struct str){out, n};
}

static void
hello(struct smtp_server *s, struct str name, bool esmtp)
{
	char mended[HELO_MAX];

	if (s->limits->lenient && name.n > 0 && !is_helo_name(name))
		name = mend_helo_name(name, mended);
	if (!is_helo_name(name)) {
		smtp_server_fault(s, 501, "5.5.4",
		    "expected a host name or an address literal");
		return;
	}
	if (!smtp_server_forget(s))
		return;
	free(s->helo);
	s->helo = str_dup(name);
	s->next_esmtp = esmtp;
	smtp_server_ask(s, SMTP_ASK_HELO);
	s->ops->on_helo(s->arg, str_from(s->helo), esmtp);
}

static void
on_verb_ehlo(struct smtp_server *s, struct str args)
{
	hello(s, args, true);
}

static void
on_verb_helo(struct smtp_server *s, struct str args)
{
	hello(s, args, false);
}

/* Takes "FROM:" or "TO:" off, with the blanks that follow. */
static bool
take_keyword(struct str *args, struct str keyword)
{
	if (!str_istarts(*args, keyword))
		return false;
	*args = str_trim(str_sub(*args, keyword.n, args->n));
	return true;
}

/* RFC 5321 section 4.5.3.1.1. */
static bool
check_local(struct smtp_server *s, struct str local, bool is_mail)
{
	uint32_t max = s->limits->local_max;
	char text[64];

	if (max == 0 || local.n <= max)
		return true;
	snprintf(text, sizeof(text), "local part longer than %u bytes",
	    (unsigned)max);
	smtp_server_fault(s, 553, is_mail ? "5.1.7" : "5.1.3", text);
	return false;
}

/*
 * "user@example.org" or "< user@example.org >", from a client that cannot be
 * mended. The address itself must be one as ever.
 */
static enum smtp_path_error
take_loose_path(struct str *args, bool is_mail, struct smtp_path *path)
{
	bool angle = args->p[0] == '<';
	struct str s = str_trim(str_sub(*args, angle, args->n));
	size_t n = mailbox_quoted_length(s);

	while (n < s.n &&
	       (angle ? s.p[n] != '>' : s.p[n] != ' ' && s.p[n] != '\t'))
		n++;
	if (angle && n == s.n)
		return SMTP_PATH_SYNTAX;
	*args = str_sub(s, n + angle, s.n);
	s = str_trim(str_sub(s, 0, n));
	if (s.n == 0 && angle && is_mail) {
		*path = (struct smtp_path){.address = s};
		return SMTP_PATH_OK;
	}
	return smtp_address_parse(s, true, path);
}

static enum smtp_path_error
parse_path(const struct smtp_server *s, struct str *args, bool is_mail,
    struct smtp_path *path)
{
	struct str before = *args;
	enum smtp_path_error error = smtp_path_parse(args, is_mail, true, path);

	if (error != SMTP_PATH_SYNTAX || !s->limits->lenient)
		return error;
	*args = before;
	return take_loose_path(args, is_mail, path);
}

/*
 * Takes the path off. Answers and returns false when it is none. UTF-8 passes
 * here: whether it may is known only when the parameters have been read.
 */
static bool
take_path(struct smtp_server *s, struct str *args, bool is_mail,
    struct smtp_path *path)
{
	enum smtp_path_error error;

	if (args->n == 0 || (args->p[0] != '<' && !s->limits->lenient)) {
		smtp_server_fault(s, 501, "5.5.4",
		    is_mail ? "the address must be enclosed in angle brackets: "
			      "MAIL FROM:<user@example.org>"
			    : "the address must be enclosed in angle brackets: "
			      "RCPT TO:<user@example.org>");
		return false;
	}
	error = parse_path(s, args, is_mail, path);
	if (error == SMTP_PATH_OK && args->n > 0 && args->p[0] != ' ' &&
	    args->p[0] != '\t')
		error = SMTP_PATH_SYNTAX;
	if (error == SMTP_PATH_OK)
		return check_local(s, path->local, is_mail);
	smtp_server_fault(s, is_mail || error == SMTP_PATH_SYNTAX ? 501 : 553,
	    is_mail ? "5.1.7" : "5.1.3", smtp_path_error_text(error));
	return false;
}

/* RFC 6531 section 3.5. */
static bool
check_ascii(struct smtp_server *s, struct str address, bool utf8)
{
	if (utf8 || str_is_ascii(address))
		return true;
	smtp_server_fault(
	    s, 553, "5.6.7", smtp_path_error_text(SMTP_PATH_NOT_ASCII));
	return false;
}

static void
fault_reply(struct smtp_server *s, const struct smtp_reply *r)
{
	smtp_server_fault(s, r->code, r->enhanced, r->text.p);
}

static void
on_verb_mail(struct smtp_server *s, struct str args)
{
	struct smtp_mail mail = {0};
	struct smtp_path path;
	struct smtp_reply error;

	if (!take_keyword(&args, STR("FROM:"))) {
		smtp_server_fault(s, 501, "5.5.4",
		    "syntax: MAIL FROM:<address> [parameters]");
		return;
	}
	if (!take_path(s, &args, true, &path))
		return;
	if (!smtp_server_mail_params(s, args, &mail, &error)) {
		fault_reply(s, &error);
		return;
	}
	if (!check_ascii(s, path.address, mail.utf8))
		return;
	mail.from = path.address;
	s->utf8 = mail.utf8;
	smtp_server_ask(s, SMTP_ASK_MAIL);
	s->ops->on_mail(s->arg, &mail);
}

static bool
has_room(struct smtp_server *s)
{
	uint32_t max = s->limits->recipients_max;

	/* The next hop's limit was advertised as our own. */
	if (s->caps.rcpt_max > 0 && (max == 0 || s->caps.rcpt_max < max))
		max = s->caps.rcpt_max;
	if (max == 0 || s->recipients < max)
		return true;
	smtp_server_in_vain(s, 452, "4.5.3",
	    "too many recipients for one message, send the rest separately");
	return false;
}

static void
on_verb_rcpt(struct smtp_server *s, struct str args)
{
	struct smtp_rcpt rcpt = {0};
	struct smtp_path path;
	struct smtp_reply error;

	if (!take_keyword(&args, STR("TO:"))) {
		smtp_server_fault(
		    s, 501, "5.5.4", "syntax: RCPT TO:<address> [parameters]");
		return;
	}
	if (!take_path(s, &args, false, &path))
		return;
	if (!smtp_server_rcpt_params(s, args, &rcpt, &error)) {
		fault_reply(s, &error);
		return;
	}
	if (!check_ascii(s, path.address, s->utf8) || !has_room(s))
		return;
	rcpt.to = path.address;
	smtp_server_ask(s, SMTP_ASK_RCPT);
	s->ops->on_rcpt(s->arg, &rcpt);
}

/* The address of a RCPT. Its parameters will be judged in its turn. */
static bool
read_rcpt(const struct smtp_server *s, struct str line, struct smtp_path *path)
{
	struct str verb = str_cut(&line, ' ');

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return str_ieq(verb, STR("RCPT")) && take_keyword(&line, STR("TO:")) &&
	       line.n > 0 && (line.p[0] == '<' || s->limits->lenient) &&
	       parse_path(s, &line, false, path) == SMTP_PATH_OK &&
	       (s->utf8 || str_is_ascii(path->address));
}

void
smtp_server_look_ahead(const struct smtp_server *s, struct str input,
    size_t max, smtp_server_ahead_fn *fn, void *arg)
{
	struct str in = s->feeding ? s->unread : input;
	struct smtp_path path;

	if (s->question != SMTP_ASK_RCPT)
		return;
	for (size_t i = 0; i < max; i++) {
		size_t lf = str_index(in, '\n');

		if (lf == in.n || !read_rcpt(s, str_sub(in, 0, lf), &path) ||
		    !fn(arg, path.address))
			return;
		in = str_sub(in, lf + 1, in.n);
	}
}

static void
on_verb_data(struct smtp_server *s, struct str args)
{
	(void)args;
	smtp_server_ask(s, SMTP_ASK_DATA);
	s->ops->on_data(s->arg);
}

static void
on_verb_rset(struct smtp_server *s, struct str args)
{
	(void)args;
	if (smtp_server_forget(s))
		smtp_server_say(s, 250, "2.0.0", "OK");
}

static void
on_verb_noop(struct smtp_server *s, struct str args)
{
	(void)args;
	smtp_server_say(s, 250, "2.0.0", "OK");
}

static void
on_verb_vrfy(struct smtp_server *s, struct str args)
{
	(void)args;
	smtp_server_say(
	    s, 252, "2.5.0", "cannot VRFY user; send a message to find out");
}

static void
on_verb_help(struct smtp_server *s, struct str args)
{
	(void)args;
	smtp_server_say(s, 214, "2.0.0",
	    "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY QUIT; see RFC 5321");
}

static void
on_verb_starttls(struct smtp_server *s, struct str args)
{
	struct smtp_reply r =
	    smtp_reply_make(220, "2.0.0", "ready to start TLS");

	(void)args;
	if (s->tls == SMTP_SERVER_TLS_ACTIVE) {
		smtp_server_fault(s, 503, "5.5.1", "TLS is already active");
		return;
	}
	if (!smtp_server_forget(s))
		return;
	smtp_server_write_answer(s, &r);
	smtp_server_ask(s, SMTP_ASK_TLS);
	s->ops->on_starttls(s->arg);
}

static void
on_verb_quit(struct smtp_server *s, struct str args)
{
	(void)args;
	smtp_server_end(s, SMTP_SERVER_QUIT, 221, "2.0.0", "bye");
}

static const struct verb verbs[] = {
    {STR("MAIL"), SMTP_PHASE_READY, 1, WORDS_ANY, VERB_IDLE, on_verb_mail,
	"syntax: MAIL FROM:<address> [parameters]"},
    {STR("RCPT"), IN_TRANSACTION, 1, WORDS_ANY, 0, on_verb_rcpt,
	"syntax: RCPT TO:<address> [parameters]"},
    {STR("DATA"), SMTP_PHASE_RCPT, 0, 0, VERB_LAST, on_verb_data,
	"syntax: DATA"},
    /* Whatever is wrong with it, its octets are taken first. */
    {STR("BDAT"), ANY_TIME, 0, WORDS_ANY, VERB_PLAIN, smtp_server_bdat, ""},
    {STR("EHLO"), ANY_TIME, 1, 1,
	VERB_LAST | VERB_IDLE | VERB_PLAIN | VERB_LOOSE, on_verb_ehlo,
	"syntax: EHLO hostname"},
    {STR("HELO"), ANY_TIME, 1, 1,
	VERB_LAST | VERB_IDLE | VERB_PLAIN | VERB_LOOSE, on_verb_helo,
	"syntax: HELO hostname"},
    {STR("STARTTLS"), IN_SESSION, 0, 0, VERB_LAST | VERB_IDLE | VERB_PLAIN,
	on_verb_starttls, "syntax: STARTTLS"},
    {STR("RSET"), ANY_TIME, 0, 0, VERB_IDLE, on_verb_rset, "syntax: RSET"},
    {STR("QUIT"), ANY_TIME, 0, 0, VERB_PLAIN, on_verb_quit, "syntax: QUIT"},
    {STR("NOOP"), ANY_TIME, 0, WORDS_ANY, VERB_IDLE | VERB_PLAIN, on_verb_noop,
	""},
    {STR("VRFY"), ANY_TIME, 1, WORDS_ANY, VERB_IDLE, on_verb_vrfy,
	"syntax: VRFY address"},
    {STR("HELP"), ANY_TIME, 0, WORDS_ANY, VERB_IDLE, on_verb_help, ""},
    {STR("AUTH"), SMTP_PHASE_READY, 1, 2, VERB_LAST | VERB_IDLE | VERB_LOGIN,
	smtp_server_verb_auth, "syntax: AUTH mechanism [initial-response]"},
    {STR("XCLIENT"), SMTP_PHASE_GREETED | SMTP_PHASE_READY, 1, WORDS_ANY,
	VERB_LAST | VERB_IDLE | VERB_TRUST, smtp_server_verb_xclient,
	"syntax: XCLIENT attribute=value..."},
    {STR("XFORWARD"), SMTP_PHASE_READY, 1, WORDS_ANY, VERB_IDLE | VERB_TRUST,
	smtp_server_verb_xforward, "syntax: XFORWARD attribute=value..."},
    /* Known, and not offered: 502. */
    {STR("EXPN"), ANY_TIME, 0, WORDS_ANY, 0, NULL, ""},
    {STR("ETRN"), ANY_TIME, 0, WORDS_ANY, 0, NULL, ""},
};

static const struct verb *
find_verb(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (str_ieq(name, verbs[i].name))
			return &verbs[i];
	}
	return NULL;
}

/* Why a verb may not come now. What a client pipelined behind a refused MAIL,
 * or a DATA behind recipients that were all refused, is not its fault. */
static void
refuse_order(struct smtp_server *s, const struct verb *v)
{
	if (s->phase == SMTP_PHASE_GREETED)
		smtp_server_fault(s, 503, "5.5.1", "send EHLO or HELO first");
	else if (s->phase == SMTP_PHASE_CHUNKS)
		smtp_server_fault(s, 503, "5.5.1",
		    "BDAT transfer in progress; send RSET to abort it");
	else if (!(v->phases & IN_TRANSACTION))
		smtp_server_fault(s, 503, "5.5.1",
		    "nested MAIL command; send RSET to start over");
	else if (s->phase == SMTP_PHASE_MAIL)
		smtp_server_in_vain(s, 554, "5.5.1", "no valid recipients");
	else if (s->mail_refused)
		smtp_server_in_vain(s, 503, "5.5.1", "the sender was refused");
	else if (s->text_refused)
		smtp_server_in_vain(s, 503, "5.5.1", "the message was refused");
	else
		smtp_server_fault(s, 503, "5.5.1", "send MAIL first");
}

/* Counts commands that bring no mail. False: that was the last one. */
bool
smtp_server_count_idle(struct smtp_server *s)
{
	uint32_t max = s->limits->idle_commands_max;

	s->idle_commands++;
	if (max == 0 || s->idle_commands <= max)
		return true;
	smtp_server_end(s, SMTP_SERVER_ERRORS, 421, "4.7.0",
	    "too many commands without mail");
	return false;
}

static bool
is_offered(const struct smtp_server *s, const struct verb *v)
{
	if (v->handle == on_verb_starttls)
		return s->tls != SMTP_SERVER_TLS_NONE;
	if (v->flags & VERB_LOGIN)
		return smtp_server_offers_auth(s);
	return v->handle != NULL && (!(v->flags & VERB_TRUST) || s->trusted);
}

/* Who says who others are and may not hears that, as from Postfix. */
static void
refuse_offer(struct smtp_server *s, const struct verb *v)
{
	if (v->flags & VERB_TRUST)
		smtp_server_fault(
		    s, 550, "5.7.0", "not authorized to use this command");
	else
		smtp_server_fault(s, 502, "5.5.1", "command not offered");
}

static void
run_verb(struct smtp_server *s, const struct verb *v, struct str args)
{
	size_t words = count_words(args);
	bool loose = s->limits->lenient && (v->flags & VERB_LOOSE);

	if (!is_offered(s, v))
		refuse_offer(s, v);
	else if (words < v->min_words || (words > v->max_words && !loose))
		smtp_server_fault(s, 501, "5.5.4", v->syntax);
	else if (s->tls == SMTP_SERVER_TLS_REQUIRE && !(v->flags & VERB_PLAIN))
		smtp_server_fault(
		    s, 530, "5.7.0", "must issue a STARTTLS command first");
	else if (!(v->phases & (unsigned)s->phase))
		refuse_order(s, v);
	else
		v->handle(s, args);
}

bool
smtp_server_is_command(struct str line)
{
	return find_verb(take_word(&line)) != NULL;
}

void
smtp_server_command(struct smtp_server *s, struct str line, bool more)
{
	struct str args = line;
	const struct verb *v = find_verb(take_word(&args));

	if (v == NULL) {
		smtp_server_fault(s, 500, "5.5.2", "command not recognized");
		return;
	}
	if (is_offered(s, v) && (v->flags & VERB_LAST) && more) {
		smtp_server_end(s, SMTP_SERVER_PROTOCOL, 554, "5.5.0",
		    "illegal pipelining: wait for the reply to this command");
		return;
	}
	if ((v->flags & VERB_IDLE) && !smtp_server_count_idle(s))
		return;
	run_verb(s, v, args);
}
