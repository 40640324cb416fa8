/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the server engine against any client. The first three bytes
 * choose how the owner behaves: when it answers, how input is cut, what time
 * does, what it refuses. Checked: questions come one at a time and in order,
 * nothing comes after on_close, output is whole lines, and given enough input
 * the engine always goes on.
 */
#include "smtp/server.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINE_MAX_BYTES 512

struct owner {
	struct smtp_server *server;
	unsigned later, refuse, step; /* behaviour */
	char question;                /* 0: none */
	bool transaction, recipient, closed;
	enum smtp_data_fault fault;
	unsigned count;
	int64_t now;
};

static void
check(bool ok, const char *what)
{
	if (!ok)
		panic("%s", what);
}

static void
answer(struct owner *o)
{
	struct smtp_caps caps = {
	    .ext = o->refuse & 1 ? 0 : SMTP_EXT_RELAYED, .size = 5000};
	bool refuse = o->refuse > 3 && ++o->count % o->refuse == 0;
	struct smtp_reply r = refuse ? smtp_reply_make(550, "5.7.1", "no\nno")
				     : smtp_reply_make(250, "2.0.0", "ok");
	char question = o->question;

	o->question = 0;
	if (question == 'M')
		o->transaction = !refuse;
	if (question == 'R')
		o->recipient |= !refuse;
	if (question == 'Z')
		o->transaction = o->recipient = false;
	if (refuse || question == 'M' || question == 'R')
		smtp_server_reply(o->server, &r, o->now);
	else if (question == 'H')
		smtp_server_helo_done(o->server, &caps, o->now);
	else if (question == 'D')
		smtp_server_data_go(o->server, o->now);
	else
		smtp_server_reply(
		    o->server, o->fault == SMTP_DATA_OK ? &r : NULL, o->now);
}

static void
ask(struct owner *o, char question)
{
	check(!o->closed && o->question == 0, "a question too many");
	o->question = question;
	if (!o->later)
		answer(o);
}

static void
on_write(void *arg, const char *p, size_t n)
{
	struct owner *o = arg;

	check(!o->closed, "write after close");
	check(n > 5 && p[n - 2] == '\r' && p[n - 1] == '\n', "half a line");
	check(memchr(p, '\0', n) == NULL, "NUL in a reply");
}

static void
on_helo(void *arg, struct str name, bool esmtp)
{
	struct owner *o = arg;

	(void)esmtp;
	check(!o->transaction, "HELO in a transaction");
	check(name.n > 0 && name.n <= 255, "HELO name");
	ask(o, 'H');
}

static void
on_mail(void *arg, const struct smtp_mail *m)
{
	struct owner *o = arg;

	check(!o->transaction, "MAIL in a transaction");
	check(m->envid.n <= SMTP_ENVID_MAX, "ENVID");
	check(m->utf8 || str_is_ascii(m->from), "UTF-8 sender");
	o->transaction = true;
	o->recipient = false;
	ask(o, 'M');
}

static bool
on_ahead(void *arg, struct str address)
{
	const struct owner *o = arg;

	check(o->transaction && address.n > 0, "a recipient ahead");
	check(smtp_server_is_utf8(o->server) || str_is_ascii(address),
	    "UTF-8 ahead");
	return true;
}

static void
on_rcpt(void *arg, const struct smtp_rcpt *m)
{
	struct owner *o = arg;

	check(o->transaction, "RCPT without MAIL");
	check(m->to.n > 0 && m->orcpt.n <= SMTP_ORCPT_MAX, "RCPT");
	check(smtp_server_is_utf8(o->server) || str_is_ascii(m->to),
	    "UTF-8 recipient");
	smtp_server_look_ahead(o->server, STR(""), 100, on_ahead, o);
	ask(o, 'R');
}

static void
on_data(void *arg)
{
	struct owner *o = arg;

	check(o->transaction && o->recipient, "DATA without recipients");
	ask(o, 'D');
}

static void
on_body(void *arg, struct str chunk)
{
	struct owner *o = arg;

	check(!o->closed && o->transaction && o->question == 0, "body");
	check(chunk.n > 0, "empty chunk");
	if (o->refuse == 2 && memchr(chunk.p, 'Q', chunk.n) != NULL)
		smtp_server_close(o->server, NULL, o->now);
}

static void
on_end(void *arg, enum smtp_data_fault fault)
{
	struct owner *o = arg;

	check(o->transaction, "end without transaction");
	o->fault = fault;
	ask(o, 'Z');
}

static void
on_reset(void *arg)
{
	struct owner *o = arg;

	check(!o->closed && o->transaction, "reset of nothing");
	o->transaction = o->recipient = false;
}

static void
on_close(void *arg, enum smtp_server_end why)
{
	struct owner *o = arg;

	(void)why;
	check(!o->closed, "closed twice");
	check(!o->transaction, "closed with a transaction");
	o->closed = true;
}

static const struct smtp_server_ops ops = {
    .write = on_write,
    .on_helo = on_helo,
    .on_mail = on_mail,
    .on_rcpt = on_rcpt,
    .on_data = on_data,
    .on_body = on_body,
    .on_end = on_end,
    .on_reset = on_reset,
    .on_close = on_close,
};

/* Feeds what is there, answering meanwhile; returns how much was consumed. */
static size_t
feed(struct owner *o, const char *p, size_t n)
{
	size_t done = 0;

	for (;;) {
		/* Exact size: ASan sees a read past the end. */
		char *copy = xmalloc(n - done + 1);

		memcpy(copy, p + done, n - done);
		copy = xrealloc(copy, n - done > 0 ? n - done : 1);
		done += smtp_server_feed(o->server, copy, n - done, o->now);
		free(copy);
		check((o->question != 0) == smtp_server_is_waiting(o->server),
		    "question");
		if (o->question == 0)
			return done;
		if (o->later > 1)
			o->now += 10000;
		smtp_server_run(o->server, o->now);
		answer(o);
	}
}

/* How much comes next: so many bytes, or a line, as a client that waits. */
static size_t
next_step(const struct owner *o, const char *p, size_t n)
{
	if (o->step == 0)
		return str_index((struct str){p, n - 1}, '\n') + 1;
	return n > o->step ? o->step : n;
}

static void
run_session(struct owner *o, const char *p, size_t size)
{
	size_t from = 0, to = 0;

	while (to < size && !o->closed) {
		to += next_step(o, p + to, size - to);
		from += feed(o, p + from, to - from);
		check(o->closed || to - from < LINE_MAX_BYTES, "stuck");
		o->now += o->refuse;
		smtp_server_run(o->server, o->now);
		check(smtp_server_next_due(o->server) > o->now, "due");
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_server_limits limits = {
	    .recipients_max = 4,
	    .errors_max = 30,
	    .idle_commands_max = 30,
	    .refused_max = 8,
	    .line_max = LINE_MAX_BYTES,
	    .command_timeout_ms = 500,
	    .data_timeout_ms = 300,
	    .message_timeout_ms = 2000,
	    .data_rate_min = 5,
	    .data_rate_window_ms = 700,
	    .data = {.size_max = 5000,
		.line_max = 998,
		.header_max = 3000,
		.received_max = 3},
	};
	struct owner o = {.now = 1};

	if (size < 3)
		return 0;
	o.later = data[0] % 3;
	limits.data.bare_newline = (enum smtp_bare_newline)(data[0] / 3 % 3);
	/* Half of the inputs come line by line, some whole. */
	o.step = data[1] & 1 ? 0 : data[1] == 0 ? 100000 : data[1];
	o.refuse = data[2] % 16;
	o.server = smtp_server_new(&limits, "mx.example.org", &ops, &o);
	smtp_server_greet(o.server, data[2] > 250, o.now);
	run_session(&o, (const char *)data + 3, size - 3);
	smtp_server_close(o.server, NULL, o.now);
	check(o.closed, "not closed");
	smtp_server_free(o.server);
	return 0;
}
