/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Text is gathered and given to the loop in large pieces; a small message
 * travels with the question at its end, in one go. Lines of a header end in CR
 * LF; a body is kept as it came (what is sent later is clean all the same).
 */
#include "front/milter_message.h"

#include "front/milter_txn.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PIECE (128 * 1024)
#define TEXT_MAX (1u << 20) /* of one question; a piece and one callback */
#define SUBJECT_MAX 256
#define SHOWN_MAX (64 * 1024)
#define SHOWN_ADDRESS_MAX 1024 /* of what is none */

struct milter_conn *
milter_conn_new(
    struct milter_port *port, const struct milter_settings *settings)
{
	struct milter_conn *c = xcalloc(1, sizeof(*c));

	c->port = port;
	c->settings = settings;
	c->peer = milter_peer_new();
	buf_init(&c->text, TEXT_MAX);
	return c;
}

/* Everything of the message in hand. */
static void
forget(struct milter_conn *c)
{
	for (size_t i = 0; i < c->rcpt_count; i++) {
		free(c->rcpts[i].raw);
		free(c->rcpts[i].path);
	}
	free(c->rcpts);
	free(c->queue_id);
	free(c->subject);
	buf_clear(&c->text);
	c->rcpts = NULL;
	c->queue_id = c->subject = NULL;
	c->rcpt_count = c->rcpt_cap = c->held_count = c->header_bytes = 0;
	c->has_refused = false;
	c->known = c->eight_bit = c->failed = c->header_too_big = false;
}

void
milter_conn_free(struct milter_conn *c)
{
	milter_post(c->port, milter_ask_new(MILTER_CLOSE, c->peer));
	forget(c);
	free(c->helo);
	free(c);
}

/* ---- the envelope ---- */

/* The mail server gives it as its client did, whatever it made of it. */
static void
read_path(struct milter_ask *ask, struct str given)
{
	struct smtp_path path;

	ask->path_error =
	    smtp_path_parse_given(given, ask->verb == MILTER_MAIL, &path);
	if (ask->path_error == SMTP_PATH_OK)
		given = path.address;
	ask->address = str_dup(str_sub(given, 0, SHOWN_ADDRESS_MAX));
}

static unsigned
notify_bits(struct str value)
{
	static const struct {
		struct str word;
		unsigned bit;
	} words[] = {
	    {STR("NEVER"), SMTP_NOTIFY_NEVER},
	    {STR("SUCCESS"), SMTP_NOTIFY_SUCCESS},
	    {STR("FAILURE"), SMTP_NOTIFY_FAILURE},
	    {STR("DELAY"), SMTP_NOTIFY_DELAY},
	};
	unsigned bits = 0;

	while (value.n > 0) {
		struct str word = str_cut(&value, ',');

		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			bits |= str_ieq(word, words[i].word) ? words[i].bit : 0;
	}
	return bits;
}

/* It goes into a command of ours one day. */
static char *
plain_value(struct str value, size_t max)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char b = (unsigned char)value.p[i];

		if (b <= ' ' || b >= 0x7f)
			return NULL;
	}
	return value.n == 0 || value.n > max ? NULL : str_dup(value);
}

static void
read_param(struct milter_ask *ask, struct str value)
{
	struct str name = str_cut(&value, '=');

	if (str_ieq(name, STR("BODY")))
		ask->body_type = str_ieq(value, STR("8BITMIME"))
				     ? SMTP_BODY_8BITMIME
				     : SMTP_BODY_7BIT;
	else if (str_ieq(name, STR("SMTPUTF8")))
		ask->utf8 = true;
	else if (str_ieq(name, STR("REQUIRETLS")))
		ask->require_tls = true;
	else if (str_ieq(name, STR("RET")))
		ask->ret =
		    str_ieq(value, STR("FULL")) ? SMTP_RET_FULL : SMTP_RET_HDRS;
	else if (str_ieq(name, STR("ENVID")) && ask->envid == NULL)
		ask->envid = plain_value(value, SMTP_ENVID_MAX);
	else if (str_ieq(name, STR("NOTIFY")))
		ask->notify = notify_bits(value);
	else if (str_ieq(name, STR("ORCPT")) && ask->orcpt == NULL)
		ask->orcpt = plain_value(value, SMTP_ORCPT_MAX);
}

static struct milter_ask *
envelope_ask(struct milter_conn *c, enum milter_verb verb, char **argv)
{
	struct milter_ask *ask = milter_ask_new(verb, c->peer);

	read_path(ask, str_from(argv[0]));
	for (size_t i = 1; argv[i] != NULL; i++)
		read_param(ask, str_from(argv[i]));
	ask->utf8 |= !str_is_ascii(str_from(ask->address));
	return ask;
}

struct milter_ask *
milter_conn_mail(struct milter_conn *c, char **argv)
{
	struct milter_ask *ask = envelope_ask(c, MILTER_MAIL, argv);

	forget(c);
	c->in_txn = true;
	ask->client = c->client;
	ask->helo = c->helo != NULL ? xstrdup(c->helo) : xstrdup("");
	return ask;
}

struct milter_ask *
milter_conn_rcpt(struct milter_conn *c, char **argv)
{
	return envelope_ask(c, MILTER_RCPT, argv);
}

static char *
unrouted(struct str raw)
{
	struct smtp_path path;

	if ((!str_starts(raw, STR("<@")) && !str_starts(raw, STR("@"))) ||
	    smtp_path_parse_given(raw, false, &path) != SMTP_PATH_OK)
		return NULL;
	return xasprintf("<%.*s>", STR_ARG(path.address));
}

void
milter_conn_add_rcpt(struct milter_conn *c, const char *raw, bool held)
{
	if (c->rcpt_count == c->rcpt_cap) {
		c->rcpt_cap = c->rcpt_cap == 0 ? 2 : c->rcpt_cap * 2;
		c->rcpts = xrealloc(c->rcpts, c->rcpt_cap * sizeof(*c->rcpts));
	}
	c->rcpts[c->rcpt_count++] = (struct milter_rcpt_name){
	    .raw = xstrdup(raw), .path = unrouted(str_from(raw)), .held = held};
	if (held)
		c->held_count++;
}

/* ---- the text ---- */

static void
give_text(struct milter_conn *c)
{
	struct milter_ask *ask = milter_ask_new(MILTER_TEXT, c->peer);

	ask->text = c->text;
	buf_init(&c->text, TEXT_MAX);
	if (c->queue_id != NULL)
		ask->queue_id = xstrdup(c->queue_id);
	ask = milter_wait(c->port, ask, c->settings->answer_timeout_ms);
	if (ask == NULL || ask->status == MILTER_REFUSED)
		c->failed = true;
	if (ask != NULL)
		milter_ask_free(ask);
}

void
milter_conn_text(struct milter_conn *c, struct str text)
{
	if (c->failed || c->settings->hold == MILTER_TEMPFAIL)
		return;
	/* Only to be looked at: the message itself stays in the mail server. */
	if (c->settings->hold == MILTER_QUARANTINE &&
	    c->text.len + text.n > SHOWN_MAX)
		return;
	if (!str_is_ascii(text))
		c->eight_bit = true;
	if (!buf_append_str(&c->text, text))
		c->failed = true;
	else if (c->text.len >= PIECE)
		give_text(c);
}

static void
header_line(struct milter_conn *c, struct str value)
{
	while (value.n > 0) {
		struct str line = str_cut(&value, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		milter_conn_text(c, line);
		milter_conn_text(c, STR("\r\n"));
	}
}

void
milter_conn_header(
    struct milter_conn *c, const char *name, const char *value, bool has_space)
{
	struct str v = str_from(value);

	c->header_bytes += strlen(name) + v.n + 4;
	if (c->header_bytes > c->settings->header_max &&
	    c->settings->hold != MILTER_QUARANTINE)
		c->failed = c->header_too_big = true;
	if (strcasecmp(name, "Subject") == 0 && c->subject == NULL)
		c->subject = str_dup(str_sub(str_trim(v), 0, SUBJECT_MAX));
	milter_conn_text(c, str_from(name));
	milter_conn_text(c, has_space ? STR(":") : STR(": "));
	if (v.n == 0)
		milter_conn_text(c, STR("\r\n"));
	header_line(c, v);
}

struct milter_ask *
milter_conn_end(struct milter_conn *c)
{
	struct milter_ask *ask = milter_ask_new(MILTER_END, c->peer);

	ask->text = c->text;
	buf_init(&c->text, TEXT_MAX);
	ask->subject = c->subject;
	c->subject = NULL;
	if (c->queue_id != NULL)
		ask->queue_id = xstrdup(c->queue_id);
	if (c->eight_bit)
		ask->body_type = SMTP_BODY_8BITMIME;
	return ask;
}

struct milter_ask *
milter_conn_secure(struct milter_conn *c)
{
	return milter_ask_new(MILTER_SECURE, c->peer);
}

/* ---- words ---- */

static void
say(struct milter_conn *c, enum milter_verb verb)
{
	struct milter_ask *ask;

	if (!c->in_txn)
		return;
	c->in_txn = false;
	ask = milter_ask_new(verb, c->peer);
	if (c->queue_id != NULL)
		ask->queue_id = xstrdup(c->queue_id);
	milter_post(c->port, ask);
}

void
milter_conn_passed(struct milter_conn *c)
{
	say(c, MILTER_PASSED);
}

void
milter_conn_taken(struct milter_conn *c)
{
	say(c, MILTER_TAKEN);
}

void
milter_conn_undo(struct milter_conn *c)
{
	say(c, MILTER_UNDO);
}

void
milter_conn_drop(struct milter_conn *c)
{
	say(c, MILTER_DROP);
}
