/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Text is gathered and given to the loop in large pieces; a small message
 * travels with the question at its end, in one go. Lines of a header end in CR
 * LF; a body is kept as it came (what is sent later is clean all the same).
 */
#include "milter/milter_message.h"

#include "base/header.h"
#include "milter/milter_txn.h"
#include "smtp/dsn.h"
#include "smtp/header_names.h"
#include "spool/spool.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PIECE (128 * 1024)
#define NAMES_MAX 4096
#define BOUNCED_MAX 16384
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
	buf_init(&c->names, NAMES_MAX);
	buf_init(&c->bounced, BOUNCED_MAX);
	return c;
}

/* Everything of the message in hand. */
static void
forget(struct milter_conn *c)
{
	for (size_t i = 0; i < c->rcpt_count; i++)
		free(c->rcpts[i].raw);
	free(c->rcpts);
	free(c->queue_id);
	free(c->subject);
	free(c->message_id);
	buf_clear(&c->text);
	buf_clear(&c->names);
	buf_clear(&c->bounced);
	free(c->report);
	c->report = NULL;
	c->rcpts = NULL;
	c->queue_id = c->subject = c->message_id = NULL;
	c->rcpt_count = c->rcpt_cap = c->held_count = c->header_bytes = 0;
	c->has_refused = c->unsure = c->unsure_any = false;
	c->trace_id = 0;
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

/* Postfix names recipients of sendmail(1) as it has rewritten them, and finds
 * them by what they were before. It says that this is one by the port. */
static bool
is_rewritten(const struct milter_conn *c)
{
	return c->client.family == IP_NONE ||
	       (c->client_port == 0 && ip_is_loopback(&c->client));
}

struct milter_ask *
milter_conn_mail(struct milter_conn *c, char **argv)
{
	struct milter_ask *ask = envelope_ask(c, MILTER_MAIL, argv);

	forget(c);
	/* What is not taken goes without an ENVID of weir's. */
	if (ask->path_error == SMTP_PATH_OK && ask->address[0] == '\0' &&
	    c->settings->hold == MILTER_TAKE) {
		c->report = xmalloc(sizeof(*c->report));
		smtp_dsn_init(c->report);
	}
	c->in_txn = true;
	ask->client = c->client;
	ask->client_port = c->client_port;
	ask->by_command = is_rewritten(c);
	ask->helo = c->helo != NULL ? xstrdup(c->helo) : xstrdup("");
	return ask;
}

struct milter_ask *
milter_conn_rcpt(struct milter_conn *c, char **argv)
{
	return envelope_ask(c, MILTER_RCPT, argv);
}

/* The MTA keeps it as its client gave it: no source route, no quotes, no
 * domain to be added. */
static bool
is_plain(struct str raw)
{
	static const char extra[] = "!#$%&'*+-/=?^_`{|}~.";
	bool at = false;

	if (raw.n < 3 || raw.p[0] != '<' || raw.p[raw.n - 1] != '>')
		return false;
	for (size_t i = 1; i + 1 < raw.n; i++) {
		unsigned char b = (unsigned char)raw.p[i];

		if (b == '@' && !at && i > 1)
			at = true;
		else if (b < 0x80 && !isalnum(b) &&
			 (b == '\0' || strchr(extra, b) == NULL))
			return false;
	}
	return at;
}

void
milter_conn_add_rcpt(struct milter_conn *c, const char *raw, bool held)
{
	if (c->rcpt_count == c->rcpt_cap) {
		c->rcpt_cap = c->rcpt_cap == 0 ? 2 : c->rcpt_cap * 2;
		c->rcpts = xrealloc(c->rcpts, c->rcpt_cap * sizeof(*c->rcpts));
	}
	c->rcpts[c->rcpt_count++] =
	    (struct milter_rcpt_name){.raw = xstrdup(raw), .held = held};
	if (held)
		c->held_count++;
	if (is_rewritten(c) || !is_plain(str_from(raw))) {
		c->unsure_any = true;
		c->unsure |= held;
	}
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
	if (strcasecmp(name, "Message-ID") == 0 && c->message_id == NULL)
		c->message_id =
		    str_dup(str_sub(header_message_id(v), 0, SPOOL_NAME_MAX));
	milter_conn_text(c, str_from(name));
	milter_conn_text(c, has_space ? STR(":") : STR(": "));
	if (v.n == 0)
		milter_conn_text(c, STR("\r\n"));
	header_line(c, v);
}

/* What finds no room was named by nobody. */
static void
on_header_name(void *arg, struct str address)
{
	struct milter_conn *c = arg;

	if (buf_room(&c->names) > address.n)
		(void)(buf_append(&c->names, address.p, address.n) &&
		       buf_append(&c->names, " ", 1));
}

void
milter_conn_names(struct milter_conn *c, const char *name, const char *value)
{
	smtp_header_names_of(
	    str_from(name), str_from(value), on_header_name, c);
}

static bool
has_tab(struct str s)
{
	return str_index(s, '\t') < s.n;
}

/* What finds no room was not told. */
static void
on_bounced(void *arg, const struct smtp_dsn_rcpt *r)
{
	struct milter_conn *c = arg;
	size_t n = r->envid.n + r->original.n + r->final.n + r->status.n + 4;

	if (has_tab(r->envid) || has_tab(r->original) || has_tab(r->final) ||
	    has_tab(r->status) || buf_room(&c->bounced) <= n ||
	    !buf_printf(&c->bounced, "%.*s\t%.*s\t%.*s\t%.*s\n",
		STR_ARG(r->envid), STR_ARG(r->original), STR_ARG(r->final),
		STR_ARG(r->status)))
		return;
}

bool
milter_conn_report(struct milter_conn *c, struct str text)
{
	if (c->report == NULL || smtp_dsn_is_over(c->report))
		return false;
	smtp_dsn_feed(c->report, text, on_bounced, c);
	return !smtp_dsn_is_over(c->report);
}

void
milter_conn_look(struct milter_conn *c, const char *name, const char *value)
{
	char by[SMTP_DOMAIN_MAX + 32];
	struct str id;
	const char *at;

	if (c->trace_id != 0 || strcasecmp(name, "Received") != 0)
		return;
	snprintf(by, sizeof(by), "by %s (weir) with ", c->settings->hostname);
	at = strstr(value, by);
	at = at != NULL ? strstr(at + strlen(by), " id ") : NULL;
	if (at == NULL)
		return;
	id = str_from(at + 4);
	id.n = strcspn(id.p, " \t\r\n;");
	if (!spool_id_parse(id, &c->trace_id))
		c->trace_id = 0;
}

struct milter_ask *
milter_conn_end(struct milter_conn *c)
{
	struct milter_ask *ask = milter_ask_new(MILTER_END, c->peer);

	ask->trace_id = c->trace_id;
	ask->unsure = c->unsure;
	ask->unsure_any = c->unsure_any;

	ask->text = c->text;
	buf_init(&c->text, TEXT_MAX);
	ask->subject = c->subject;
	ask->message_id = c->message_id;
	c->subject = c->message_id = NULL;
	if (c->queue_id != NULL)
		ask->queue_id = xstrdup(c->queue_id);
	if (c->eight_bit)
		ask->body_type = SMTP_BODY_8BITMIME;
	return ask;
}

struct milter_ask *
milter_conn_secure(struct milter_conn *c)
{
	struct milter_ask *ask = milter_ask_new(MILTER_SECURE, c->peer);

	ask->trace_id = c->trace_id;
	return ask;
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
	if (verb == MILTER_PASSED && buf_str(&c->names).n > 0)
		ask->names = str_dup(buf_str(&c->names));
	if (buf_str(&c->bounced).n > 0)
		ask->bounced = str_dup(buf_str(&c->bounced));
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
