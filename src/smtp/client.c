/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client engine: commands in, their text out when its turn has come, and
 * the deadline for the reply that is next. What the peer says is
 * client_reply.c's.
 */
#include "smtp/client_command.h"
#include "smtp/client_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t
timeout_of(const struct smtp_client *c, enum client_command_type type)
{
	if (type == CLIENT_GREETING)
		return c->timeouts.greeting_ms;
	if (type == CLIENT_DATA || type == CLIENT_CHUNK)
		return c->timeouts.data_ms;
	if (type == CLIENT_END)
		return c->timeouts.end_ms;
	return c->timeouts.command_ms;
}

/* The clock runs for the command whose reply comes next. */
void
client_set_due(struct smtp_client *c, int64_t now)
{
	c->due = INT64_MAX;
	if (c->phase == CLIENT_CLOSED)
		return;
	if (c->queue.sent > 0)
		c->due =
		    now + timeout_of(c, client_queue_at(&c->queue, 0)->type);
	else if (c->body_open)
		c->due = now + c->timeouts.data_ms;
}

static bool
is_usable(const struct smtp_client *c)
{
	return c->phase != CLIENT_CLOSED && c->doom == NULL;
}

void
client_doom(struct smtp_client *c, const char *why)
{
	if (is_usable(c))
		c->doom = why;
}

void
client_fail(struct smtp_client *c, const struct smtp_reply *reply)
{
	if (c->phase == CLIENT_CLOSED)
		return;
	c->phase = CLIENT_CLOSED;
	c->due = INT64_MAX;
	c->body_open = false;
	c->ops->on_fail(c->arg, reply);
}

void
client_fail_with(struct smtp_client *c, const char *enhanced, const char *text)
{
	struct smtp_reply reply = smtp_reply_make(451, enhanced, text);

	client_fail(c, &reply);
}

static void
destroy(struct smtp_client *c)
{
	free(c->hostname);
	free(c->accepted.v);
	client_chunks_clear(c);
	smtp_reply_parser_clear(&c->parser);
	buf_clear(&c->in);
	client_queue_clear(&c->queue);
	free(c);
}

void
client_enter(struct smtp_client *c)
{
	c->depth++;
}

void
client_leave(struct smtp_client *c)
{
	if (--c->depth == 0 && c->freed)
		destroy(c);
}

void
smtp_client_free(struct smtp_client *c)
{
	if (c == NULL)
		return;
	c->phase = CLIENT_CLOSED;
	c->freed = true;
	if (c->depth == 0)
		destroy(c);
}

/* Without PIPELINING one command at a time; with it, DATA and the like end a
 * group (RFC 2920 section 3.1). */
static bool
may_send(const struct smtp_client *c, const struct client_command *next)
{
	uint32_t sent = c->queue.sent;
	enum client_command_type last;

	if (sent == 0)
		return true;
	last = client_queue_at(&c->queue, sent - 1)->type;
	/* LMTP: one dot, several replies. */
	if (last == CLIENT_END && next->type == CLIENT_END && c->lmtp)
		return true;
	if (next->drop || (c->caps.ext & SMTP_EXT_PIPELINING) == 0)
		return false;
	return last == CLIENT_MAIL || last == CLIENT_RCPT ||
	       last == CLIENT_CHUNK || last == CLIENT_RSET ||
	       last == CLIENT_END;
}

/* Of AUTH no more than the mechanism. */
static void
report_said(
    struct smtp_client *c, const struct client_command *cmd, struct str text)
{
	char shown[64];
	struct str rest = text, verb = str_cut(&rest, ' '),
		   mech = str_cut(&rest, ' ');

	if (c->ops->on_said == NULL)
		return;
	if (cmd->type != CLIENT_AUTH) {
		c->ops->on_said(c->arg, text);
	} else if (!str_eq(verb, STR("AUTH"))) {
		c->ops->on_said(c->arg, STR("***"));
	} else if (rest.n == 0) {
		c->ops->on_said(c->arg, text);
	} else {
		(void)snprintf(shown, sizeof(shown), "AUTH %.*s ***",
		    (int)(mech.n < 32 ? mech.n : 32), mech.p);
		c->ops->on_said(c->arg, str_from(shown));
	}
}

void
client_pump(struct smtp_client *c, int64_t now)
{
	struct client_command *next;
	struct str text;

	while (c->phase != CLIENT_CLOSED &&
	       (next = client_queue_unsent(&c->queue)) != NULL &&
	       may_send(c, next)) {
		if (next->drop) {
			client_queue_drop(&c->queue);
			continue;
		}
		text = client_queue_text(&c->queue);
		if (text.n > 0) {
			report_said(c, next, text);
			c->ops->write(c->arg, text.p, text.n);
		}
		if (next->type == CLIENT_AUTH)
			explicit_bzero((char *)text.p, text.n);
		client_queue_mark_sent(&c->queue);
		if (c->queue.sent == 1)
			client_set_due(c, now);
	}
}

void
client_queue_command(struct smtp_client *c, enum client_command_type type,
    uintptr_t tag, size_t n, int64_t now)
{
	if (client_queue_push(&c->queue, type, tag, n))
		client_pump(c, now);
	else
		client_doom(c, "too many commands");
}

bool
client_queue_text_command(struct smtp_client *c, enum client_command_type type,
    uintptr_t tag, const char *text, int64_t now)
{
	size_t before = c->queue.text.len;

	if (buf_append_str(&c->queue.text, str_from(text)))
		client_queue_command(
		    c, type, tag, c->queue.text.len - before, now);
	else
		client_doom(c, "too many commands");
	return c->doom == NULL;
}

static void
queue_text(struct smtp_client *c, enum client_command_type type, uintptr_t tag,
    const char *text, int64_t now)
{
	(void)client_queue_text_command(c, type, tag, text, now);
}

void
client_queue_swallowed(struct smtp_client *c, enum client_command_type type,
    const char *text, int64_t now)
{
	queue_text(c, type, 0, text, now);
	if (c->queue.count > 0)
		client_queue_at(&c->queue, c->queue.count - 1)->swallow = true;
}

void
smtp_client_set_tls(struct smtp_client *c, enum smtp_client_tls tls)
{
	c->tls = tls;
}

/* What it said in plain may not have been the peer (RFC 3207 section 4.2). */
void
smtp_client_tls_done(struct smtp_client *c, int64_t now)
{
	if (!is_usable(c) || !c->tls_waits)
		return;
	c->tls_waits = false;
	c->tls = SMTP_CLIENT_TLS_NONE;
	c->caps = (struct smtp_caps){0};
	client_queue_hello(c, CLIENT_EHLO, now);
}

void
smtp_client_set_verified(struct smtp_client *c)
{
	c->verified = true;
}

void
client_queue_starttls(struct smtp_client *c, int64_t now)
{
	queue_text(c, CLIENT_STARTTLS, 0, "STARTTLS\r\n", now);
}

void
client_queue_hello(
    struct smtp_client *c, enum client_command_type type, int64_t now)
{
	size_t before = c->queue.text.len;

	c->said_helo = type == CLIENT_HELO;
	if (buf_printf(&c->queue.text, "%s %s\r\n",
		c->lmtp               ? "LHLO"
		: type == CLIENT_EHLO ? "EHLO"
				      : "HELO",
		c->hostname))
		client_queue_command(
		    c, type, 0, c->queue.text.len - before, now);
}

static void
write_chunk(void *arg, struct str chunk)
{
	struct smtp_client *c = arg;

	c->ops->write(c->arg, chunk.p, chunk.n);
}

/* Twice the longest line that the reply parser takes. */
#define INPUT_MAX 8192

struct smtp_client *
smtp_client_new(const char *hostname,
    const struct smtp_client_timeouts *timeouts,
    const struct smtp_client_ops *ops, void *arg, int64_t now)
{
	struct smtp_client *c = xcalloc(1, sizeof(*c));

	c->ops = ops;
	c->arg = arg;
	c->timeouts = *timeouts;
	c->hostname = xstrdup(hostname);
	smtp_reply_parser_init(&c->parser);
	buf_init(&c->in, INPUT_MAX);
	client_queue_init(&c->queue);
	/* The greeting answers the connection itself. */
	if (!client_queue_push(&c->queue, CLIENT_GREETING, 0, 0))
		panic("client: no room for the greeting");
	client_queue_mark_sent(&c->queue);
	client_set_due(c, now);
	return c;
}

void
smtp_client_lost(struct smtp_client *c, const char *why, int64_t now)
{
	(void)now;
	client_enter(c);
	client_fail_with(c, "4.4.2", why);
	client_leave(c);
}

void
smtp_client_set_lmtp(struct smtp_client *c)
{
	c->lmtp = true;
}

bool
smtp_client_is_lmtp(const struct smtp_client *c)
{
	return c->lmtp;
}

const char *
smtp_client_greeting(const struct smtp_client *c)
{
	return c->greeting;
}

const struct smtp_caps *
smtp_client_caps(const struct smtp_client *c)
{
	return &c->caps;
}

bool
smtp_client_said_helo(const struct smtp_client *c)
{
	return c->said_helo;
}

bool
smtp_client_is_idle(const struct smtp_client *c)
{
	return c->phase == CLIENT_READY && c->doom == NULL &&
	       c->queue.count == 0 && !c->tx_open && !c->body_open;
}

bool
client_may_start(const struct smtp_client *c, const char *name)
{
	if (!is_usable(c))
		return false;
	if (c->phase != CLIENT_READY || c->body_open || c->data_waits)
		panic("client: %s out of place", name);
	return true;
}

void
smtp_client_mail(struct smtp_client *c, const struct smtp_mail *mail,
    uintptr_t tag, int64_t now)
{
	size_t before;

	if (!client_may_start(c, "MAIL"))
		return;
	smtp_client_flush_reset(c, now);
	before = c->queue.text.len;
	c->tx_open = true;
	if (client_command_mail(mail, &c->caps, &c->queue.text))
		client_queue_command(
		    c, CLIENT_MAIL, tag, c->queue.text.len - before, now);
	else
		client_doom(c, "the sender cannot be written");
}

void
smtp_client_rcpt(struct smtp_client *c, const struct smtp_rcpt *rcpt,
    uintptr_t tag, int64_t now)
{
	size_t before = c->queue.text.len;

	if (!client_may_start(c, "RCPT"))
		return;
	if (client_command_rcpt(rcpt, &c->caps, &c->queue.text))
		client_queue_command(
		    c, CLIENT_RCPT, tag, c->queue.text.len - before, now);
	else
		client_doom(c, "a recipient cannot be written");
}

void
smtp_client_data(struct smtp_client *c, uintptr_t tag, int64_t now)
{
	if (!client_may_start(c, "DATA"))
		return;
	c->data_waits = true;
	queue_text(c, CLIENT_DATA, tag, "DATA\r\n", now);
}

typedef void encode_fn(struct smtp_encoder *e, struct str in,
    void (*sink)(void *arg, struct str chunk), void *arg);

static void
send_body(
    struct smtp_client *c, struct str text, encode_fn *encode, int64_t now)
{
	if (!is_usable(c))
		return;
	if (!c->body_open)
		panic("client: text before the 354");
	if (c->chunks.on) {
		client_chunk_body(c, text, now);
		return;
	}
	encode(&c->encoder, text, write_chunk, c);
	client_set_due(c, now);
}

void
smtp_client_body(struct smtp_client *c, struct str text, int64_t now)
{
	send_body(c, text, smtp_encode, now);
}

void
smtp_client_body_decoded(struct smtp_client *c, struct str text, int64_t now)
{
	send_body(c, text, smtp_encode_decoded, now);
}

void
smtp_client_end(struct smtp_client *c, uintptr_t tag, int64_t now)
{
	if (!is_usable(c))
		return;
	if (!c->body_open)
		panic("client: final dot before the 354");
	if (c->chunks.on) {
		client_chunk_end(c, tag, now);
		return;
	}
	smtp_encode_end(&c->encoder, write_chunk, c);
	c->body_open = c->tx_open = false;
	if (!c->lmtp) {
		queue_text(c, CLIENT_END, tag, "", now);
		return;
	}
	/* A reply comes for each recipient that was accepted. */
	for (uint32_t i = 0; i < c->accepted.count; i++)
		queue_text(c, CLIENT_END, c->accepted.v[i], "", now);
}

void
smtp_client_abandon(struct smtp_client *c, int64_t now)
{
	struct client_command *cmd;

	if (!is_usable(c))
		return;
	if (c->body_open || c->data_waits) {
		client_doom(c, "the message was abandoned");
		return;
	}
	for (uint32_t i = c->queue.count; i-- > 0;) {
		cmd = client_queue_at(&c->queue, i);
		if (cmd->type != CLIENT_MAIL && cmd->type != CLIENT_RCPT)
			break;
		cmd->swallow = true;
		cmd->drop = i >= c->queue.sent;
		if (cmd->type == CLIENT_MAIL && cmd->drop)
			c->tx_open = false;
	}
	client_pump(c, now);
}

void
smtp_client_flush_reset(struct smtp_client *c, int64_t now)
{
	if (!is_usable(c) || !c->tx_open || c->body_open || c->data_waits)
		return;
	c->tx_open = false;
	client_queue_swallowed(c, CLIENT_RSET, "RSET\r\n", now);
}

void
smtp_client_quit(struct smtp_client *c, int64_t now)
{
	if (!is_usable(c) || c->phase != CLIENT_READY)
		return;
	if (c->body_open || c->data_waits)
		client_doom(c, "the message was abandoned");
	else
		queue_text(c, CLIENT_QUIT, 0, "QUIT\r\n", now);
}

int64_t
smtp_client_next_due(const struct smtp_client *c)
{
	if (c->phase == CLIENT_CLOSED)
		return INT64_MAX;
	return c->doom != NULL ? 0 : c->due;
}

void
smtp_client_run(struct smtp_client *c, int64_t now)
{
	char text[96] = "timed out within the message";

	if (smtp_client_next_due(c) > now)
		return;
	client_enter(c);
	if (c->doom != NULL) {
		client_fail_with(c, "4.3.0", c->doom);
	} else {
		if (c->queue.sent > 0)
			snprintf(text, sizeof(text),
			    "timed out waiting for the reply to %s",
			    client_command_name(
				client_queue_at(&c->queue, 0)->type));
		client_fail_with(c, "4.4.2", text);
	}
	client_leave(c);
}
