/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of the SMTP client engine: an owner and a peer driven by steps.
 * '|' stands for CR LF:
 *	S text	the peer says it (and a CR LF)
 *	C text	exactly this was written since the last C (CR LF added)
 *	> text	the next event starts so ("RCPT#3 250 text": tag 3)
 *	else	what the owner does, see actions
 */
#ifndef TESTS_UNIT_SMTP_CLIENT_RIG_H
#define TESTS_UNIT_SMTP_CLIENT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtp/client.h"

struct owner {
	struct smtp_client *client;
	struct buf wrote, events;
	int64_t now;
	uintptr_t tag;
	bool split;
	const char *where; /* for a failure's message */
	/* Done in the next on_reply. */
	const char *in_reply;
	bool free_in_reply, free_in_fail;
};

static const struct smtp_client_timeouts timeouts = {
    .greeting_ms = 100, .command_ms = 200, .data_ms = 300, .end_ms = 400};

static inline void act(struct owner *o, const char *step);

static inline void
on_write(void *arg, const char *p, size_t n)
{
	struct owner *o = arg;

	assert_true(n > 0);
	assert_true(buf_append(&o->wrote, p, n));
}

static inline void
on_ready(void *arg, const struct smtp_caps *caps)
{
	struct owner *o = arg;

	assert_true(buf_printf(&o->events, "ready %" PRIx32 " %" PRIu64 "\n",
	    caps->ext, caps->size));
}

static inline void
note_reply(struct owner *o, const char *name, const struct smtp_reply *r)
{
	assert_true(buf_printf(&o->events, "%s %u%s%s %.*s\n", name, r->code,
	    r->enhanced[0] == '\0' ? "" : " ", r->enhanced, STR_ARG(r->text)));
}

static inline void
on_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply)
{
	static const char *const names[] = {
	    "MAIL", "RCPT", "DATA", "END", "RSET", "QUIT", "AUTH"};
	struct owner *o = arg;
	char name[32];
	const char *step = o->in_reply;

	snprintf(name, sizeof(name), "%s#%u", names[what], (unsigned)tag);
	note_reply(o, name, reply);
	o->in_reply = NULL;
	if (step != NULL)
		act(o, step);
	if (o->free_in_reply)
		smtp_client_free(o->client);
}

static inline void
on_fail(void *arg, const struct smtp_reply *reply)
{
	struct owner *o = arg;

	note_reply(o, "fail", reply);
	if (o->free_in_fail)
		smtp_client_free(o->client);
}

static const struct smtp_client_ops ops = {
    .write = on_write,
    .on_ready = on_ready,
    .on_reply = on_reply,
    .on_fail = on_fail,
};

static inline void
set_up(struct owner *o, bool split)
{
	memset(o, 0, sizeof(*o));
	buf_init(&o->wrote, 1u << 20);
	buf_init(&o->events, 1u << 20);
	o->split = split;
	o->now = 1000;
	o->where = "test";
	o->client = smtp_client_new("me.example", &timeouts, &ops, o, o->now);
}

static inline void
tear_down(struct owner *o)
{
	if (!o->free_in_reply && !o->free_in_fail)
		smtp_client_free(o->client);
	buf_clear(&o->wrote);
	buf_clear(&o->events);
}

/* '|' as CR LF. */
static inline struct str
unfold(const char *text, char *out, size_t cap, bool end)
{
	size_t n = 0;

	for (; *text != '\0'; text++) {
		assert_true(n + 4 < cap);
		if (*text == '|') {
			out[n++] = '\r';
			out[n++] = '\n';
		} else {
			out[n++] = *text;
		}
	}
	if (end) {
		out[n++] = '\r';
		out[n++] = '\n';
	}
	out[n] = '\0';
	return (struct str){out, n};
}

static inline void
feed(struct owner *o, const char *p, size_t n)
{
	size_t i;

	if (!o->split) {
		smtp_client_feed(o->client, p, n, o->now);
		return;
	}
	for (i = 0; i < n; i++)
		smtp_client_feed(o->client, p + i, 1, o->now);
}

static inline void
do_mail(struct owner *o, struct str from)
{
	char mem[256];
	struct smtp_mail mail = {
	    .from = unfold(from.p, mem, sizeof(mem), false)};

	smtp_client_mail(o->client, &mail, ++o->tag, o->now);
}

static inline void
do_tls_mail(struct owner *o, struct str from)
{
	struct smtp_mail mail = {.from = from, .require_tls = true};

	smtp_client_mail(o->client, &mail, ++o->tag, o->now);
}

static inline void
do_verified(struct owner *o, struct str arg)
{
	(void)arg;
	smtp_client_set_verified(o->client);
}

static inline void
do_rcpt(struct owner *o, struct str to)
{
	struct smtp_rcpt rcpt = {.to = to};

	smtp_client_rcpt(o->client, &rcpt, ++o->tag, o->now);
}

static inline void
do_data(struct owner *o, struct str arg)
{
	(void)arg;
	smtp_client_data(o->client, ++o->tag, o->now);
}

static inline void
do_body(struct owner *o, struct str text)
{
	char mem[1024];

	assert_int_equal(text.p[text.n], '\0');
	smtp_client_body(
	    o->client, unfold(text.p, mem, sizeof(mem), false), o->now);
}

static inline void
do_end(struct owner *o, struct str arg)
{
	(void)arg;
	smtp_client_end(o->client, ++o->tag, o->now);
}

/* Chunks where the peer takes them, else DATA. */
static inline void
do_bdat(struct owner *o, struct str arg)
{
	bool want = !str_eq(arg, STR("no"));

	assert_int_equal(smtp_client_bdat(o->client, o->now), want);
}

static inline void
do_big(struct owner *o, struct str size)
{
	uint64_t n;
	char *text;

	assert_true(str_to_u64(size, &n));
	text = xcalloc(n + 1, 1);
	memset(text, 'a', n);
	smtp_client_body(o->client, (struct str){text, n}, o->now);
	free(text);
}

static inline void
do_lmtp(struct owner *o, struct str arg)
{
	(void)arg;
	smtp_client_set_lmtp(o->client);
}

/* So many bytes were written, the first of them these. */
static inline void
do_expect_much(struct owner *o, struct str arg)
{
	struct str want = arg, number = str_cut(&want, ' ');
	char mem[256];
	uint64_t n;

	assert_true(str_to_u64(number, &n));
	assert_int_equal(o->wrote.len, n);
	assert_true(str_starts(
	    buf_str(&o->wrote), unfold(want.p, mem, sizeof(mem), true)));
	buf_reset(&o->wrote);
}

static inline void
do_abandon(struct owner *o, struct str arg)
{
	(void)arg;
	smtp_client_abandon(o->client, o->now);
}

static inline void
do_flush(struct owner *o, struct str arg)
{
	(void)arg;
	smtp_client_flush_reset(o->client, o->now);
}

static inline void
do_quit(struct owner *o, struct str arg)
{
	(void)arg;
	smtp_client_quit(o->client, o->now);
}

static inline void
do_auth(struct owner *o, struct str arg)
{
	struct str mech = str_cut(&arg, ' ');

	smtp_client_auth(
	    o->client, sasl_mech_find(mech), arg.n > 0, arg, ++o->tag, o->now);
}

static inline void
do_line(struct owner *o, struct str arg)
{
	smtp_client_auth_line(o->client, arg, ++o->tag, o->now);
}

static inline void
do_xclient(struct owner *o, struct str arg)
{
	struct xclient x;
	const char *why;

	assert_true(xclient_parse(arg, XCLIENT_ATTRS, &x, &why));
	assert_true(smtp_client_xclient(o->client, &x, o->now));
}

static inline void
do_lost(struct owner *o, struct str why)
{
	smtp_client_lost(o->client, why.p, o->now);
}

static inline void
do_wait(struct owner *o, struct str ms)
{
	uint64_t n;

	assert_true(str_to_u64(ms, &n));
	o->now += (int64_t)n;
	smtp_client_run(o->client, o->now);
}

static inline void
do_idle(struct owner *o, struct str arg)
{
	(void)arg;
	assert_true(smtp_client_is_idle(o->client));
	assert_true(smtp_client_next_due(o->client) == INT64_MAX);
}

static inline void
do_busy(struct owner *o, struct str arg)
{
	(void)arg;
	assert_false(smtp_client_is_idle(o->client));
}

static inline void
do_say(struct owner *o, struct str text)
{
	char mem[4096];
	struct str s = unfold(text.p, mem, sizeof(mem), true);

	feed(o, s.p, s.n);
}

static inline void
do_expect_wrote(struct owner *o, struct str text)
{
	char mem[4096];
	struct str want = unfold(text.p, mem, sizeof(mem), text.n > 0);
	struct str got = buf_str(&o->wrote);

	if (!str_eq(want, got))
		fail_msg("%s: wrote \"%.*s\" instead of \"%.*s\"", o->where,
		    STR_ARG(got), STR_ARG(want));
	buf_reset(&o->wrote);
}

static inline void
do_expect_event(struct owner *o, struct str want)
{
	struct str all = buf_str(&o->events);
	struct str line = str_cut(&all, '\n');

	if (!str_starts(line, want))
		fail_msg("%s: event \"%.*s\" instead of \"%.*s\"", o->where,
		    STR_ARG(line), STR_ARG(want));
	buf_consume(&o->events, o->events.len - all.n);
}

static inline void
act(struct owner *o, const char *step)
{
	static const struct {
		const char *name;
		void (*fn)(struct owner *o, struct str arg);
	} actions[] = {
	    {"S", do_say},
	    {"C", do_expect_wrote},
	    {">", do_expect_event},
	    {"mail", do_mail},
	    {"tls_mail", do_tls_mail},
	    {"verified", do_verified},
	    {"rcpt", do_rcpt},
	    {"data", do_data},
	    {"body", do_body},
	    {"end", do_end},
	    {"bdat", do_bdat},
	    {"big", do_big},
	    {"lmtp", do_lmtp},
	    {"much", do_expect_much},
	    {"abandon", do_abandon},
	    {"flush", do_flush},
	    {"quit", do_quit},
	    {"auth", do_auth},
	    {"line", do_line},
	    {"xclient", do_xclient},
	    {"lost", do_lost},
	    {"wait", do_wait},
	    {"idle", do_idle},
	    {"busy", do_busy},
	};
	struct str rest = str_from(step);
	struct str name = str_cut(&rest, ' ');
	size_t i;

	for (i = 0; i < ARRAY_LEN(actions); i++) {
		if (str_eq(name, str_from(actions[i].name))) {
			actions[i].fn(o, rest);
			return;
		}
	}
	fail_msg("no such step: %s", step);
}

static inline void
assert_nothing_left(struct owner *o)
{
	if (o->wrote.len > 0)
		fail_msg("%s: wrote more: %.*s", o->where,
		    STR_ARG(buf_str(&o->wrote)));
	if (o->events.len > 0)
		fail_msg("%s: happened: %.*s", o->where,
		    STR_ARG(buf_str(&o->events)));
}

/* What most dialogues start with. */
#define OPEN                                                                \
	"S 220 hop ESMTP", "C EHLO me.example", "S 250 hop", "> ready 0 0", \
	    "idle"
#define OPEN_PIPELINING                         \
	"S 220 hop ESMTP", "C EHLO me.example", \
	    "S 250-hop|250-PIPELINING|250 SIZE 1000", "> ready 3 1000", "idle"
#define ENVELOPE                                                        \
	"mail a@x", "C MAIL FROM:<a@x>", "S 250 ok", "> MAIL#1 250 ok", \
	    "rcpt b@y", "C RCPT TO:<b@y>", "S 250 ok", "> RCPT#2 250 ok"
#define TO_BODY ENVELOPE, "data", "C DATA", "S 354 go", "> DATA#3 354 go"

#endif
