/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the peer says. Each reply belongs to the command at the front of the
 * queue; one table says what that reply may be and which function it goes to.
 * What comes out of turn, or cannot be, fails the connection.
 */
#include "smtp/client_private.h"

struct command_info {
	const char *name;
	enum smtp_client_what what;
	char positive; /* first digit of a positive reply */
	void (*on_reply)(struct smtp_client *c,
	    const struct client_command *cmd, const struct smtp_reply *reply,
	    int64_t now);
};

static const struct command_info command_info[CLIENT_COMMANDS];

static void
report(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply)
{
	if (!cmd->swallow)
		c->ops->on_reply(
		    c->arg, command_info[cmd->type].what, cmd->tag, reply);
}

static bool
is_positive(const struct smtp_reply *reply)
{
	return reply->code < 400;
}

static void
on_greeting(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	struct str text = reply->text;

	(void)cmd;
	str_copy(str_cut(&text, '\n'), c->greeting, sizeof(c->greeting));
	if (reply->code == 220)
		client_queue_hello(c, CLIENT_EHLO, now);
	else if (is_positive(reply))
		client_fail_with(c, "4.5.0", "next hop: not an SMTP greeting");
	else
		client_fail(c, reply);
}

static void
become_ready(struct smtp_client *c)
{
	if (c->tls == SMTP_CLIENT_TLS_REQUIRE) {
		client_fail_with(
		    c, "4.7.5", "next hop: STARTTLS is not offered");
		return;
	}
	c->phase = CLIENT_READY;
	c->ops->on_ready(c->arg, &c->caps);
}

static void
on_ehlo(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	struct str text = reply->text;

	(void)cmd;
	if (c->lmtp && !is_positive(reply)) {
		client_fail(c, reply);
		return;
	}
	/* RFC 5321 section 4.1.4 names 501, 500, 502 and 550, servers say 503,
	 * 504 and 554 as well. 421 does not come here. */
	if (!is_positive(reply)) {
		client_queue_hello(c, CLIENT_HELO, now);
		return;
	}
	(void)str_cut(&text, '\n'); /* its name */
	while (text.n > 0)
		smtp_caps_parse_line(&c->caps, str_cut(&text, '\n'));
	if (!c->verified)
		c->caps.ext &= ~(uint32_t)SMTP_EXT_REQUIRETLS;
	if (c->tls != SMTP_CLIENT_TLS_NONE &&
	    (c->caps.ext & SMTP_EXT_STARTTLS) != 0)
		client_queue_starttls(c, now);
	else
		become_ready(c);
}

static void
on_helo(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	(void)cmd;
	(void)now;
	if (is_positive(reply))
		become_ready(c);
	else
		client_fail(c, reply);
}

static void
on_starttls(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	(void)cmd;
	(void)now;
	/* A refusal is no reason to bounce anybody's mail. */
	if (is_positive(reply))
		c->tls_waits = true;
	else if (c->tls == SMTP_CLIENT_TLS_REQUIRE)
		client_fail_with(c, "4.7.5", "next hop: STARTTLS was refused");
	else
		become_ready(c);
}

static bool
has_mail_queued(const struct smtp_client *c)
{
	const struct client_command *cmd;

	for (uint32_t i = 0; i < c->queue.count; i++) {
		cmd = client_queue_at(&c->queue, i);
		if (cmd->type == CLIENT_MAIL && !cmd->drop)
			return true;
	}
	return false;
}

static void
on_mail(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	(void)now;
	c->rcpts_ok = c->accepted.count = 0;
	if (!is_positive(reply) && !has_mail_queued(c))
		c->tx_open = false;
	report(c, cmd, reply);
}

static void
keep_accepted(struct client_accepted *a, uintptr_t tag)
{
	if (a->count == a->cap) {
		a->cap = a->cap == 0 ? 4 : 2 * a->cap;
		a->v = xrealloc(a->v, a->cap * sizeof(*a->v));
	}
	a->v[a->count++] = tag;
}

static void
on_rcpt(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	(void)now;
	if (is_positive(reply)) {
		c->rcpts_ok++;
		if (c->lmtp)
			keep_accepted(&c->accepted, cmd->tag);
	}
	report(c, cmd, reply);
}

/* RFC 2920 section 3.1: a server may say 354 though nobody is left to send
 * to. Only a message can follow. */
static void
send_empty_message(
    struct smtp_client *c, const struct client_command *cmd, int64_t now)
{
	struct smtp_reply none =
	    smtp_reply_make(554, "5.5.1", "No valid recipients");

	c->tx_open = false;
	client_queue_swallowed(c, CLIENT_END, ".\r\n", now);
	report(c, cmd, &none);
}

static void
on_data(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	c->data_waits = false;
	if (is_positive(reply) && c->rcpts_ok == 0 && c->lmtp) {
		/* RFC 2033 section 4.2: it must be 503. */
		client_fail_with(c, "4.5.0",
		    "next hop: accepted DATA without a valid recipient");
		return;
	}
	if (is_positive(reply) && c->rcpts_ok == 0) {
		send_empty_message(c, cmd, now);
		return;
	}
	if (is_positive(reply)) {
		c->body_open = true;
		client_chunks_clear(c);
		smtp_encoder_init(&c->encoder);
		client_set_due(c, now);
	}
	report(c, cmd, reply);
}

static void
on_end(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	struct smtp_reply failure;

	(void)now;
	/* What a peer holds open after it refused a chunk is its own affair: a
	 * RSET comes before the next MAIL. */
	if (c->chunks.on && !is_positive(reply) && c->queue.count == 0)
		c->tx_open = true;
	if (!c->chunks.failed) {
		report(c, cmd, reply);
	} else if (is_positive(reply)) {
		client_fail_with(c, "4.5.0",
		    "next hop: accepted a message with a chunk missing");
	} else {
		failure = client_chunk_failure(c);
		report(c, cmd, &failure);
	}
}

static void
on_chunk(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	(void)cmd;
	(void)now;
	if (!is_positive(reply))
		client_chunk_refused(c, reply);
}

static void
on_chunk_rset(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	struct smtp_reply failure = client_chunk_failure(c);

	(void)now;
	if (is_positive(reply))
		report(c, cmd, &failure);
	else
		client_fail(c, &failure);
}

static void
on_rset(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	(void)cmd;
	(void)now;
	/* What the peer holds open now is anybody's guess. */
	if (!is_positive(reply))
		client_fail(c, reply);
}

static void
on_quit(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	(void)now;
	c->phase = CLIENT_CLOSED;
	c->due = INT64_MAX;
	report(c, cmd, reply);
}

static void
on_auth(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	(void)now;
	report(c, cmd, reply);
}

static const struct command_info command_info[CLIENT_COMMANDS] = {
    [CLIENT_GREETING] = {"the connection", 0, '2', on_greeting},
    [CLIENT_EHLO] = {"EHLO", 0, '2', on_ehlo},
    [CLIENT_HELO] = {"HELO", 0, '2', on_helo},
    [CLIENT_STARTTLS] = {"STARTTLS", 0, '2', on_starttls},
    [CLIENT_MAIL] = {"MAIL", SMTP_CLIENT_MAIL, '2', on_mail},
    [CLIENT_RCPT] = {"RCPT", SMTP_CLIENT_RCPT, '2', on_rcpt},
    [CLIENT_DATA] = {"DATA", SMTP_CLIENT_DATA, '3', on_data},
    [CLIENT_CHUNK] = {"BDAT", SMTP_CLIENT_END, '2', on_chunk},
    [CLIENT_CHUNK_RSET] = {"RSET", SMTP_CLIENT_END, '2', on_chunk_rset},
    [CLIENT_END] = {"the final dot", SMTP_CLIENT_END, '2', on_end},
    [CLIENT_RSET] = {"RSET", SMTP_CLIENT_RSET, '2', on_rset},
    [CLIENT_QUIT] = {"QUIT", SMTP_CLIENT_QUIT, '2', on_quit},
    [CLIENT_AUTH] = {"AUTH", SMTP_CLIENT_AUTH, '2', on_auth},
    [CLIENT_XCLIENT] = {"XCLIENT", 0, '2', client_on_xclient},
};

const char *
client_command_name(enum client_command_type type)
{
	return command_info[type].name;
}

static bool
is_possible(const struct client_command *cmd, const struct smtp_reply *reply)
{
	char first = (char)('0' + reply->code / 100);

	if (cmd->type == CLIENT_DATA && first == '3')
		return reply->code == 354;
	if (cmd->type == CLIENT_STARTTLS && first < '4')
		return reply->code == 220;
	if (cmd->type == CLIENT_AUTH && first < '4')
		return reply->code == 334 || reply->code == 235;
	return first >= '4' || first == command_info[cmd->type].positive;
}

static void
shut_down(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply)
{
	/* From here on commands do nothing. */
	c->doom = "the next hop replied with 421";
	if (cmd->type > CLIENT_STARTTLS && cmd->type != CLIENT_RSET &&
	    cmd->type != CLIENT_XCLIENT && cmd->type != CLIENT_CHUNK)
		report(c, cmd, reply);
	client_fail(c, reply);
}

/* What answers AUTH may repeat it. */
static void
report_heard(const struct smtp_client *c, const struct smtp_reply *reply)
{
	struct smtp_reply shown = *reply;

	if (c->ops->on_heard == NULL)
		return;
	if (c->queue.count > 0 &&
	    client_queue_at(&c->queue, 0)->type == CLIENT_AUTH)
		shown.text = STR("***");
	c->ops->on_heard(c->arg, &shown);
}

static void
on_reply(struct smtp_client *c, const struct smtp_reply *reply, int64_t now)
{
	struct client_command cmd;

	report_heard(c, reply);
	/* Also what came before its command was written: it answers
	 * nothing. */
	if (c->expected == 0) {
		if (is_positive(reply))
			client_fail_with(
			    c, "4.5.0", "next hop: unexpected reply");
		else
			client_fail(c, reply);
		return;
	}
	c->expected--;
	cmd = client_queue_pop(&c->queue);
	client_set_due(c, now);
	if (reply->code == 421)
		shut_down(c, &cmd, reply);
	else if (!is_possible(&cmd, reply))
		client_fail_with(c, "4.5.0",
		    "next hop: invalid reply code for this command");
	else
		command_info[cmd.type].on_reply(c, &cmd, reply, now);
	client_pump(c, now);
}

/* Takes whole replies off *s. */
static void
parse(struct smtp_client *c, struct str *s, int64_t now)
{
	struct smtp_reply reply;

	while (c->phase != CLIENT_CLOSED && !c->tls_waits) {
		switch (smtp_reply_parse(&c->parser, s, &reply)) {
		case SMTP_REPLY_MORE:
			return;
		case SMTP_REPLY_DONE:
			on_reply(c, &reply, now);
			break;
		case SMTP_REPLY_BAD:
			client_fail_with(
			    c, "4.5.0", "next hop: malformed reply");
			return;
		}
	}
}

/* Finishes the line that is kept in c->in with bytes of *s. */
static void
parse_kept(struct smtp_client *c, struct str *s, int64_t now)
{
	size_t n = str_index(*s, '\n');
	struct str kept;

	n = n < s->n ? n + 1 : n;
	if (n > buf_room(&c->in))
		n = buf_room(&c->in);
	if (!buf_append(&c->in, s->p, n))
		panic("client: no room for input");
	*s = str_sub(*s, n, s->n);
	kept = buf_str(&c->in);
	parse(c, &kept, now);
	buf_consume(&c->in, c->in.len - kept.n);
	buf_trim(&c->in);
}

/* What came behind the 220 in plain would pass for the peer's first words under
 * TLS (CVE-2021-38371). */
static void
start_tls(struct smtp_client *c, bool waited, struct str rest)
{
	if (rest.n > 0 || c->in.len > 0)
		client_fail_with(c, "4.7.5",
		    "next hop: plaintext data after the reply to STARTTLS");
	else if (!waited)
		c->ops->on_starttls(c->arg);
}

void
smtp_client_feed(struct smtp_client *c, const char *p, size_t n, int64_t now)
{
	struct str s = {p, n};
	bool waited;

	client_enter(c);
	c->expected = c->queue.sent;
	waited = c->tls_waits;
	while (s.n > 0 && c->in.len > 0 && !c->tls_waits &&
	       c->phase != CLIENT_CLOSED)
		parse_kept(c, &s, now);
	if (s.n > 0 && !c->tls_waits && c->phase != CLIENT_CLOSED) {
		parse(c, &s, now);
		if (c->phase != CLIENT_CLOSED && !c->tls_waits &&
		    !buf_append_str(&c->in, s))
			panic("client: no room for input");
	}
	if (c->tls_waits && c->phase != CLIENT_CLOSED)
		start_tls(c, waited, s);
	client_leave(c);
}
