/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AUTH (RFC 4954) and XCLIENT (Postfix) towards a peer. After XCLIENT the peer
 * greets anew, so EHLO is said again and its extensions are others.
 */
#include "smtp/client_private.h"

#include <stdlib.h>

static bool
append_auth(
    struct buf *out, enum sasl_mech mech, bool has_initial, struct str initial)
{
	if (!buf_printf(out, "AUTH %s", sasl_mech_name(mech)))
		return false;
	if (has_initial &&
	    (!buf_append_str(out, STR(" ")) || !buf_append_str(out, initial)))
		return false;
	return buf_append_str(out, STR("\r\n"));
}

void
smtp_client_auth(struct smtp_client *c, enum sasl_mech mech, bool has_initial,
    struct str initial, uintptr_t tag, int64_t now)
{
	size_t before = c->queue.text.len;

	if (!client_may_start(c, "AUTH"))
		return;
	if (append_auth(&c->queue.text, mech, has_initial, initial))
		client_queue_command(
		    c, CLIENT_AUTH, tag, c->queue.text.len - before, now);
	else
		client_doom(c, "AUTH cannot be written");
}

void
smtp_client_auth_line(
    struct smtp_client *c, struct str line, uintptr_t tag, int64_t now)
{
	size_t before = c->queue.text.len;

	if (!client_may_start(c, "a response"))
		return;
	if (buf_append_str(&c->queue.text, line) &&
	    buf_append_str(&c->queue.text, STR("\r\n")))
		client_queue_command(
		    c, CLIENT_AUTH, tag, c->queue.text.len - before, now);
	else
		client_doom(c, "a response cannot be written");
}

/* After XCLIENT it is the client who says EHLO (Postfix's XCLIENT_README). */
static void
take_name(struct smtp_client *c, const struct xclient *x)
{
	c->phase = CLIENT_OPENING;
	if (x->helo[0] == '\0' || !str_is_ascii(str_from(x->helo)))
		return;
	free(c->hostname);
	c->hostname = xstrdup(x->helo);
}

bool
smtp_client_xclient(struct smtp_client *c, const struct xclient *x, int64_t now)
{
	struct str rest, line;
	struct buf text;
	unsigned commands = 0;
	bool ok;

	if (!client_may_start(c, "XCLIENT"))
		return true; /* on_fail says so */
	buf_init(&text, 8 * XCLIENT_LINE_MAX);
	ok = xclient_print(x, c->caps.xclient, &text, &commands);
	rest = buf_str(&text);
	if (commands > 0)
		take_name(c, x);
	c->xclients = commands;
	while (ok && rest.n > 0) {
		line = str_sub(rest, 0, str_index(rest, '\n') + 1);
		rest = str_sub(rest, line.n, rest.n);
		ok = buf_append_str(&c->queue.text, line);
		client_queue_command(c, CLIENT_XCLIENT, 0, line.n, now);
	}
	buf_clear(&text);
	if (!ok)
		client_doom(c, "XCLIENT cannot be written");
	return !ok || commands > 0;
}

void
client_on_xclient(struct smtp_client *c, const struct client_command *cmd,
    const struct smtp_reply *reply, int64_t now)
{
	(void)cmd;
	if (reply->code >= 400) {
		client_fail(c, reply);
		return;
	}
	if (--c->xclients > 0)
		return;
	c->caps = (struct smtp_caps){0};
	client_queue_hello(c, CLIENT_EHLO, now);
}
