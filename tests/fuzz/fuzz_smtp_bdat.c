/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: BDAT (RFC 3030) held against a plain reading of it. The input is
 * a script: each step sends a command or a chunk whose octets are the input's
 * own, and may be commands in looks. Checked: no octet of a chunk is ever taken
 * for a command, every command and every chunk has one reply, and the text that
 * comes out is the octets that went in.
 */
#include "smtp/server.h"

#include "fuzz.h"
#include <stdio.h>

#define TEXT_MAX (1u << 20)
#define SENDER "me@own.example"

struct play {
	struct smtp_server *server;
	const uint8_t *p, *end;
	unsigned cut, refuse; /* behaviour */
	unsigned sent, replies;
	bool closed, transaction, in_text;
	enum smtp_data_fault fault;
	char question;
	struct buf want, got; /* text of the message in hand */
	bool bare;            /* CR or LF alone in it */
};

static void
on_write(void *arg, const char *p, size_t n)
{
	struct play *o = arg;
	struct str in = {p, n};

	while (in.n > 0)
		o->replies += str_cut(&in, '\n').p[3] == ' ';
}

static void
on_helo(void *arg, struct str name, bool esmtp)
{
	struct play *o = arg;
	struct smtp_caps caps = {.ext = SMTP_EXT_RELAYED};

	(void)esmtp;
	fuzz_check(str_eq(name, STR("own")), "HELO from a chunk");
	o->transaction = false;
	smtp_server_helo_done(o->server, &caps, 1);
}

static void
on_mail(void *arg, const struct smtp_mail *mail)
{
	struct play *o = arg;
	struct smtp_reply ok = smtp_reply_make(250, "2.1.0", "ok");

	fuzz_check(str_eq(mail->from, STR(SENDER)), "MAIL from a chunk");
	o->transaction = true;
	smtp_server_reply(o->server, &ok, 1);
}

static void
on_rcpt(void *arg, const struct smtp_rcpt *rcpt)
{
	struct play *o = arg;
	struct smtp_reply ok = smtp_reply_make(250, "2.1.5", "ok");

	fuzz_check(str_eq(rcpt->to, STR(SENDER)), "RCPT from a chunk");
	smtp_server_reply(o->server, &ok, 1);
}

static void
answer(struct play *o)
{
	struct smtp_reply ok = smtp_reply_make(250, "2.0.0", "ok");
	struct smtp_reply no = smtp_reply_make(451, "4.3.0", "no");
	char question = o->question;

	o->question = 0;
	if (question == 'D' && (o->refuse & 1) != 0) {
		smtp_server_reply(o->server, &no, 1);
	} else if (question == 'D') {
		o->in_text = true;
		smtp_server_data_go(o->server, 1);
	} else if (question == 'Z') {
		smtp_server_reply(o->server,
		    o->fault != SMTP_DATA_OK ? NULL
		    : (o->refuse & 2) != 0   ? &no
					     : &ok,
		    1);
	}
}

static void
ask(struct play *o, char question)
{
	fuzz_check(o->question == 0, "a question too many");
	o->question = question;
	if ((o->refuse & 4) == 0)
		answer(o);
}

static void
on_data(void *arg)
{
	ask(arg, 'D');
}

static void
on_body(void *arg, struct str chunk)
{
	struct play *o = arg;

	fuzz_check(o->in_text, "text out of place");
	fuzz_check(buf_append_str(&o->got, chunk), "more text than was sent");
}

/* On each fault the text counts no more; without one nothing is lost. */
static void
on_end(void *arg, enum smtp_data_fault fault)
{
	struct play *o = arg;

	fuzz_check(fault == SMTP_DATA_OK || fault == SMTP_DATA_BARE_NEWLINE,
	    "a fault without a limit");
	fuzz_check((fault == SMTP_DATA_OK) == !o->bare, "bare newline");
	if (fault == SMTP_DATA_OK)
		fuzz_check(str_eq(buf_str(&o->got), buf_str(&o->want)),
		    "the text changed");
	o->fault = fault;
	o->in_text = o->transaction = false;
	ask(o, 'Z');
}

static void
on_reset(void *arg)
{
	struct play *o = arg;

	o->transaction = o->in_text = false;
}

static void
on_close(void *arg, enum smtp_server_end why)
{
	struct play *o = arg;

	fuzz_check(
	    why == SMTP_SERVER_CLOSED || why == SMTP_SERVER_QUIT, "closed");
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

/* All of it, cut as the input says; questions are answered on the way. */
static void
send_bytes(struct play *o, const char *p, size_t n)
{
	size_t from = 0, to = 0;

	while (to < n) {
		to = n - to > o->cut ? to + o->cut : n;
		for (;;) {
			char *copy = fuzz_copy(p + from, to - from);

			from += smtp_server_feed(o->server, copy, to - from, 1);
			free(copy);
			if (o->question == 0)
				break;
			answer(o);
		}
	}
	fuzz_check(from == n, "octets left over");
}

static void
send_line(struct play *o, const char *line)
{
	o->sent++;
	send_bytes(o, line, strlen(line));
	fuzz_check(o->closed || o->replies == o->sent, "replies and commands");
}

static bool
has_bare(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n'))
			return true;
		if (s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r'))
			return true;
	}
	return false;
}

/* The message so far, as it has to come out; a CR at the end may yet have its
 * LF in the next chunk. */
static void
expect_text(struct play *o, struct str text, bool last)
{
	struct str all;

	if (!o->in_text && o->transaction) {
		buf_clear(&o->want);
		buf_clear(&o->got);
		o->bare = false;
	}
	fuzz_check(buf_append_str(&o->want, text), "input too long");
	all = buf_str(&o->want);
	if (!last && all.n > 0 && all.p[all.n - 1] == '\r')
		all.n--;
	o->bare |= has_bare(all);
}

static void
send_chunk(struct play *o, bool last)
{
	size_t n = o->p < o->end ? *o->p++ : 0;
	struct str text;
	char line[64];

	if (n > (size_t)(o->end - o->p))
		n = (size_t)(o->end - o->p);
	text = (struct str){(const char *)o->p, n};
	o->p += n;
	expect_text(o, text, last);
	o->sent++;
	snprintf(line, sizeof(line), "BDAT %zu%s\r\n", n, last ? " LAST" : "");
	send_bytes(o, line, strlen(line));
	fuzz_check(
	    n == 0 || o->replies + 1 == o->sent, "a reply before the text");
	send_bytes(o, text.p, n);
	fuzz_check(o->closed || o->replies == o->sent, "replies and chunks");
}

static void
step(struct play *o)
{
	uint8_t what = *o->p++;

	switch (what % 8) {
	case 0:
	case 1:
	case 2:
		send_chunk(o, false);
		break;
	case 3:
		send_chunk(o, true);
		break;
	case 4:
		send_line(o, "MAIL FROM:<" SENDER ">\r\n");
		break;
	case 5:
		send_line(o, "RCPT TO:<" SENDER ">\r\n");
		break;
	case 6:
		send_line(o, what & 8 ? "RSET\r\n" : "NOOP\r\n");
		break;
	default:
		/* Never DATA with its 354, whose text would follow. */
		if (what & 8)
			send_line(o, "EHLO own\r\n");
		else
			o->refuse = what >> 4;
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct smtp_server_limits limits = {.line_max = 512};
	struct play o = {.p = data, .end = data + size};

	if (size < 2)
		return 0;
	o.cut = o.p[0] == 0 ? 100000 : o.p[0];
	o.refuse = o.p[1] % 8;
	o.p += 2;
	buf_init(&o.want, TEXT_MAX);
	buf_init(&o.got, TEXT_MAX);
	o.server = smtp_server_new(&limits, "mx.example.org", &ops, &o);
	o.sent = 1;
	smtp_server_greet(o.server, false, 1);
	send_line(&o, "EHLO own\r\n");
	while (o.p < o.end && !o.closed)
		step(&o);
	fuzz_check(!o.closed, "closed by itself");
	smtp_server_close(o.server, NULL, 1);
	smtp_server_free(o.server);
	buf_clear(&o.want);
	buf_clear(&o.got);
	return 0;
}
