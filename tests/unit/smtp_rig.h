/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An owner for the server engine in tests: answers by the addresses it is
 * asked about (no...: refused, shut...: 421, bye...: 221, odd...: nonsense), at
 * once or later, and writes down what happens. Included by one test program
 * each, after cmocka.h.
 */
#ifndef TESTS_SMTP_RIG_H
#define TESTS_SMTP_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "smtp/server.h"

#define ALL_EXT                                                    \
	(SMTP_EXT_PIPELINING | SMTP_EXT_SIZE | SMTP_EXT_8BITMIME | \
	    SMTP_EXT_SMTPUTF8 | SMTP_EXT_ENHANCED | SMTP_EXT_DSN)

enum flags {
	WHOLE = 1, /* depends on what comes in one piece: not cut */
	PLAIN = 2, /* no extensions */
	NORMALIZE = 4,
	ALLOW = 8,
	LENIENT = 1024, /* an old device */
	CHUNKING = 16,  /* BDAT is offered */
};

static const struct smtp_server_limits default_limits = {
    .recipients_max = 3,
    .errors_max = 5,
    .idle_commands_max = 6,
    .refused_max = 4,
    .local_max = 64,
    .line_max = 512,
    .command_timeout_ms = 1000,
    .data_timeout_ms = 500,
    .message_timeout_ms = 5000,
    .data_rate_min = 100,
    .data_rate_window_ms = 400,
    .data = {.size_max = 2000,
	.line_max = 300,
	.header_max = 600,
	.received_max = 3},
};

struct rig {
	struct smtp_server_limits limits;
	struct smtp_server *server;
	struct buf out, events, in;
	bool later; /* answers come after smtp_server_feed */
	bool open, plain, chunking, closed;
	bool yields; /* on each reply */
	bool looks;  /* ahead at each RCPT, two recipients far */
	char kind;
	struct smtp_reply answer;
	int64_t now;
};

static void
note(struct rig *r, const char *what, struct str detail)
{
	assert_false(r->closed);
	assert_true(buf_append_str(&r->events, str_from(what)));
	assert_true(buf_append_str(&r->events, detail));
}

static void
answer_now(struct rig *r)
{
	struct smtp_caps caps = {.ext = r->plain ? 0 : ALL_EXT, .size = 2000};

	if (r->chunking)
		caps.ext |= SMTP_EXT_CHUNKING;
	r->open = false;
	if (r->answer.code == 0 && r->kind == 'H')
		smtp_server_helo_done(r->server, &caps, r->now);
	else if (r->answer.code == 0 && r->kind == 'D')
		smtp_server_data_go(r->server, r->now);
	else
		smtp_server_reply(
		    r->server, r->answer.code == 0 ? NULL : &r->answer, r->now);
}

static void
ask(struct rig *r, char kind, struct smtp_reply answer)
{
	assert_false(r->open);
	r->open = true;
	r->kind = kind;
	r->answer = answer;
	if (!r->later)
		answer_now(r);
	/* From within a callback nothing is taken: no byte comes twice. */
	if (!r->closed)
		assert_int_equal(
		    smtp_server_feed(r->server, "QUIT\r\n", 6, r->now), 0);
}

static void
on_write(void *arg, const char *p, size_t n)
{
	struct rig *r = arg;

	assert_false(r->closed);
	assert_true(buf_append(&r->out, p, n));
	if (r->yields)
		smtp_server_yield(r->server);
}

static void
on_helo(void *arg, struct str name, bool esmtp)
{
	struct rig *r = arg;
	struct smtp_reply none = {0};

	note(r, esmtp ? "E:" : "H:", name);
	note(r, " ", STR(""));
	ask(r, 'H',
	    str_eq(name, STR("banned"))
		? smtp_reply_make(550, "5.7.1", "not you")
		: none);
}

static void
on_mail(void *arg, const struct smtp_mail *m)
{
	struct rig *r = arg;
	char text[64];

	note(r, "M:", m->from);
	snprintf(text, sizeof(text), "/%u/%d/%d/%d/%.*s ", (unsigned)m->size,
	    (int)m->body, m->utf8, (int)m->ret, STR_ARG(m->envid));
	note(r, text, STR(""));
	ask(r, 'M',
	    str_starts(m->from, STR("no"))
		? smtp_reply_make(550, "5.7.1", "bad sender")
		: smtp_reply_make(250, "2.1.0", "sender ok"));
}

static bool
note_ahead(void *arg, struct str address)
{
	note(arg, ">", address);
	return true;
}

static void
on_rcpt(void *arg, const struct smtp_rcpt *m)
{
	struct rig *r = arg;
	char text[64];

	note(r, "R:", m->to);
	snprintf(text, sizeof(text), "/%u/", m->notify);
	note(r, text, m->orcpt);
	/* Within smtp_server_feed, which knows what follows. */
	if (r->looks)
		smtp_server_look_ahead(
		    r->server, STR("RCPT TO:<not@me>\r\n"), 2, note_ahead, r);
	note(r, " ", STR(""));
	if (str_starts(m->to, STR("no")))
		ask(r, 'R', smtp_reply_make(550, "5.1.1", "unknown"));
	else if (str_starts(m->to, STR("shut")))
		ask(r, 'R', smtp_reply_make(421, "4.3.2", "going down"));
	else if (str_starts(m->to, STR("bye")))
		ask(r, 'R', smtp_reply_make(221, "2.1.5", "bye"));
	else if (str_starts(m->to, STR("odd")))
		ask(r, 'R', (struct smtp_reply){.code = 354});
	else
		ask(r, 'R', smtp_reply_make(250, "2.1.5", "recipient ok"));
}

static void
on_data(void *arg)
{
	struct rig *r = arg;
	struct smtp_reply none = {0};

	note(r, "D ", STR(""));
	if (str_starts(buf_str(&r->events), STR("E:nodata")))
		none = smtp_reply_make(451, "4.3.1", "no room");
	ask(r, 'D', none);
}

static void
on_body(void *arg, struct str chunk)
{
	note(arg, "", chunk);
}

static void
on_end(void *arg, enum smtp_data_fault fault)
{
	struct rig *r = arg;
	struct smtp_reply none = {0};
	char text[16];

	snprintf(text, sizeof(text), "<END%d> ", (int)fault);
	note(r, text, STR(""));
	ask(r, 'Z',
	    fault != SMTP_DATA_OK ? none
				  : smtp_reply_make(250, "2.0.0", "queued"));
}

static void
on_reset(void *arg)
{
	note(arg, "RESET ", STR(""));
}

static void
on_close(void *arg, enum smtp_server_end why)
{
	static const char *const names[] = {
	    "QUIT", "TIMEOUT", "SLOW", "ERRORS", "PROTOCOL", "CLOSED"};
	struct rig *r = arg;

	note(r, "CLOSE:", str_from(names[why]));
	r->closed = true;
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

static void
rig_init(struct rig *r, unsigned flags, bool later)
{
	*r = (struct rig){.limits = default_limits,
	    .later = later,
	    .plain = (flags & PLAIN) != 0,
	    .chunking = (flags & CHUNKING) != 0,
	    .now = 1000};
	if (flags & NORMALIZE)
		r->limits.data.bare_newline = SMTP_BARE_NORMALIZE;
	if (flags & ALLOW)
		r->limits.data.bare_newline = SMTP_BARE_ALLOW;
	if (flags & LENIENT) {
		r->limits.lenient = true;
		r->limits.data.bare_newline = SMTP_BARE_ENDS;
	}
	buf_init(&r->out, 1 << 20);
	buf_init(&r->events, 1 << 20);
	buf_init(&r->in, 1 << 20);
	r->server = smtp_server_new(&r->limits, "mx.example.org", &ops, r);
	smtp_server_greet(r->server, false, r->now);
	assert_true(
	    str_eq(buf_str(&r->out), STR("220 mx.example.org ESMTP\r\n")));
	buf_reset(&r->out);
}

static void
rig_clear(struct rig *r)
{
	smtp_server_free(r->server);
	buf_clear(&r->out);
	buf_clear(&r->events);
	buf_clear(&r->in);
}

static void
feed(struct rig *r, struct str s)
{
	assert_true(buf_append_str(&r->in, s));
	do {
		struct str in = buf_str(&r->in);

		if (r->open)
			answer_now(r);
		/* A copy of exact size, so that ASan sees a read past it. */
		char *copy = xmalloc(in.n + 1);

		memcpy(copy, in.p, in.n);
		copy = xrealloc(copy, in.n > 0 ? in.n : 1);
		buf_consume(
		    &r->in, smtp_server_feed(r->server, copy, in.n, r->now));
		free(copy);
		assert_int_equal(r->open, smtp_server_is_waiting(r->server));
	} while (r->open);
}

/* What was written, with CR LF as LF; anything bare fails. */
static void
check_out(const struct rig *r, const char *name, const char *want)
{
	struct str out = buf_str(&r->out);
	char *got = xcalloc(out.n + 1, 1);
	size_t n = 0;

	for (size_t i = 0; i < out.n; i++) {
		if (out.p[i] == '\r') {
			assert_true(i + 1 < out.n && out.p[i + 1] == '\n');
			continue;
		}
		assert_true(out.p[i] != '\n' || out.p[i - 1] == '\r');
		got[n++] = out.p[i];
	}
	if (strcmp(got, want) != 0)
		fail_msg("%s:\n--- got\n%s--- want\n%s", name, got, want);
	free(got);
}

static void
check_events(const struct rig *r, const char *name, const char *want)
{
	struct str got = buf_str(&r->events);

	if (want != NULL && !str_eq(got, str_from(want)))
		fail_msg("%s:\n--- got\n%.*s\n--- want\n%s\n", name,
		    STR_ARG(got), want);
}

struct dialogue {
	const char *name;
	unsigned flags;
	const char *in; /* '|': the client waits for the reply here */
	const char *out;
	const char *events; /* NULL: not looked at */
};

/* cut: feed that many bytes, then the rest; 0: whole; SIZE_MAX: one by one. */
static void
run_once(const struct dialogue *d, size_t cut, bool later)
{
	struct str rest = str_from(d->in);
	struct rig r;
	size_t seen = 0;

	rig_init(&r, d->flags, later);
	while (rest.n > 0) {
		struct str group = str_cut(&rest, '|');

		while (group.n > 0) {
			size_t n = cut == SIZE_MAX ? 1
				   : cut > seen && cut - seen < group.n
				       ? cut - seen
				       : group.n;

			feed(&r, str_sub(group, 0, n));
			group = str_sub(group, n, group.n);
			seen += n;
		}
	}
	check_out(&r, d->name, d->out);
	check_events(&r, d->name, d->events);
	rig_clear(&r);
}

static inline void
run_dialogue(const struct dialogue *d)
{
	size_t total = strlen(d->in);

	for (int later = 0; later < 2; later++) {
		run_once(d, 0, later);
		if (d->flags & WHOLE)
			continue;
		run_once(d, SIZE_MAX, later);
		for (size_t cut = 1; cut < total; cut++)
			run_once(d, cut, later);
	}
}

#define HI "EHLO c\r\n|"
#define HI_OUT                                                \
	"250-mx.example.org\n250-PIPELINING\n250-SIZE 2000\n" \
	"250-ENHANCEDSTATUSCODES\n250-8BITMIME\n250-DSN\n250 SMTPUTF8\n"
#define OPEN HI "MAIL FROM:<a@x.org>\r\nRCPT TO:<b@y.org>\r\n"
#define OPEN_OUT HI_OUT "250 2.1.0 sender ok\n250 2.1.5 recipient ok\n"
#define OPEN_EVENTS "E:c M:a@x.org/0/0/0/0/ R:b@y.org/0/ "
#define GO "354 end data with <CR><LF>.<CR><LF>\n"
#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A256 A64 A64 A64 A64

#endif
