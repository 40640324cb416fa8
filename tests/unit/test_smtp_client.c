/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client engine in dialogues, each fed whole and a byte at a time.
 *
 * A dialogue is a list of steps; '|' stands for CR LF:
 *	S text	the peer says it (and a CR LF)
 *	C text	exactly this was written since the last C (CR LF added)
 *	> text	this was the next event ("RCPT 250 tag=3 text"), or starts so
 *	else	what the owner does, see actions
 * At the end nothing may be left over.
 */
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

static void act(struct owner *o, const char *step);

static void
on_write(void *arg, const char *p, size_t n)
{
	struct owner *o = arg;

	assert_true(n > 0);
	assert_true(buf_append(&o->wrote, p, n));
}

static void
on_ready(void *arg, const struct smtp_caps *caps)
{
	struct owner *o = arg;

	assert_true(buf_printf(&o->events, "ready %" PRIx32 " %" PRIu64 "\n",
	    caps->ext, caps->size));
}

static void
note_reply(struct owner *o, const char *name, const struct smtp_reply *r)
{
	assert_true(buf_printf(&o->events, "%s %u%s%s %.*s\n", name, r->code,
	    r->enhanced[0] == '\0' ? "" : " ", r->enhanced, STR_ARG(r->text)));
}

static void
on_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply)
{
	static const char *const names[] = {
	    "MAIL", "RCPT", "DATA", "END", "RSET", "QUIT"};
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

static void
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

static void
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

static void
tear_down(struct owner *o)
{
	if (!o->free_in_reply && !o->free_in_fail)
		smtp_client_free(o->client);
	buf_clear(&o->wrote);
	buf_clear(&o->events);
}

/* '|' as CR LF. */
static struct str
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

static void
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

static void
do_mail(struct owner *o, struct str from)
{
	struct smtp_mail mail = {.from = from};

	smtp_client_mail(o->client, &mail, ++o->tag, o->now);
}

static void
do_rcpt(struct owner *o, struct str to)
{
	struct smtp_rcpt rcpt = {.to = to};

	smtp_client_rcpt(o->client, &rcpt, ++o->tag, o->now);
}

static void
do_data(struct owner *o, struct str arg)
{
	(void)arg;
	smtp_client_data(o->client, ++o->tag, o->now);
}

static void
do_body(struct owner *o, struct str text)
{
	char mem[1024];

	assert_int_equal(text.p[text.n], '\0');
	smtp_client_body(
	    o->client, unfold(text.p, mem, sizeof(mem), false), o->now);
}

static void
do_end(struct owner *o, struct str arg)
{
	(void)arg;
	smtp_client_end(o->client, ++o->tag, o->now);
}

static void
do_abandon(struct owner *o, struct str arg)
{
	(void)arg;
	smtp_client_abandon(o->client, o->now);
}

static void
do_flush(struct owner *o, struct str arg)
{
	(void)arg;
	smtp_client_flush_reset(o->client, o->now);
}

static void
do_quit(struct owner *o, struct str arg)
{
	(void)arg;
	smtp_client_quit(o->client, o->now);
}

static void
do_lost(struct owner *o, struct str why)
{
	smtp_client_lost(o->client, why.p, o->now);
}

static void
do_wait(struct owner *o, struct str ms)
{
	uint64_t n;

	assert_true(str_to_u64(ms, &n));
	o->now += (int64_t)n;
	smtp_client_run(o->client, o->now);
}

static void
do_idle(struct owner *o, struct str arg)
{
	(void)arg;
	assert_true(smtp_client_is_idle(o->client));
	assert_true(smtp_client_next_due(o->client) == INT64_MAX);
}

static void
do_busy(struct owner *o, struct str arg)
{
	(void)arg;
	assert_false(smtp_client_is_idle(o->client));
}

static void
do_say(struct owner *o, struct str text)
{
	char mem[4096];
	struct str s = unfold(text.p, mem, sizeof(mem), true);

	feed(o, s.p, s.n);
}

static void
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

static void
do_expect_event(struct owner *o, struct str want)
{
	struct str all = buf_str(&o->events);
	struct str line = str_cut(&all, '\n');

	if (!str_starts(line, want))
		fail_msg("%s: event \"%.*s\" instead of \"%.*s\"", o->where,
		    STR_ARG(line), STR_ARG(want));
	buf_consume(&o->events, o->events.len - all.n);
}

static void
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
	    {"rcpt", do_rcpt},
	    {"data", do_data},
	    {"body", do_body},
	    {"end", do_end},
	    {"abandon", do_abandon},
	    {"flush", do_flush},
	    {"quit", do_quit},
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

static void
assert_nothing_left(struct owner *o)
{
	if (o->wrote.len > 0)
		fail_msg("%s: wrote more: %.*s", o->where,
		    STR_ARG(buf_str(&o->wrote)));
	if (o->events.len > 0)
		fail_msg("%s: happened: %.*s", o->where,
		    STR_ARG(buf_str(&o->events)));
}

#define STEPS_MAX 64

struct dialogue {
	const char *name;
	const char *steps[STEPS_MAX];
};

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

static const struct dialogue dialogues[] = {
    {"a message",
	{OPEN, TO_BODY, "body Hi|", "body .dot|x", "end", "C Hi|..dot|x|.",
	    "busy", "S 250 2.0.0 queued", "> END#4 250 2.0.0 queued", "idle",
	    "quit", "C QUIT", "S 221 bye", "> QUIT#0 221 bye", "lost gone",
	    "S 250 what"}},
    {"two messages on one connection",
	{OPEN, TO_BODY, "end", "C .", "S 250 one", "> END#4 250 one",
	    "mail c@x", "C MAIL FROM:<c@x>", "S 250 ok", "> MAIL#5 250",
	    "rcpt d@y", "C RCPT TO:<d@y>", "S 250 ok", "> RCPT#6 250", "data",
	    "C DATA", "S 354 go", "> DATA#7 354", "body x|", "end", "C x|.",
	    "S 452 later", "> END#8 452 later", "idle"}},
    {"a null sender", {OPEN, "mail ", "C MAIL FROM:<>", "busy"}},
    {"pipelining",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y", "rcpt c@y", "data",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|RCPT TO:<c@y>|DATA",
	    "S 250 m|250 r|550 5.1.1 no|354 go", "> MAIL#1 250 m",
	    "> RCPT#2 250 r", "> RCPT#3 550 5.1.1 no", "> DATA#4 354 go",
	    "body x|", "end", "mail d@x", "C x|.|MAIL FROM:<d@x>",
	    "S 250 done|250 ok", "> END#5 250 done", "> MAIL#6 250 ok"}},
    {"one at a time without pipelining",
	{OPEN, "mail a@x", "rcpt b@y", "rcpt c@y", "data", "C MAIL FROM:<a@x>",
	    "S 250 m", "> MAIL#1", "C RCPT TO:<b@y>", "S 250 r", "> RCPT#2",
	    "C RCPT TO:<c@y>", "S 250 s", "> RCPT#3", "C DATA", "S 354 go",
	    "> DATA#4 354 go"}},
    {"multi-line replies", {OPEN, "mail a@x", "C MAIL FROM:<a@x>",
			       "S 250-2.1.0 one|250-2.1.0 two|250 2.1.0 three",
			       "> MAIL#1 250 2.1.0 one", "> two", "> three"}},
    {"a multi-line greeting",
	{"S 220-hop|220-we do not|220 like spam", "C EHLO me.example"}},
    {"HELO where EHLO is unknown",
	{"S 220 hop", "C EHLO me.example", "S 502 what?", "C HELO me.example",
	    "S 250 hop", "> ready 0 0"}},
    {"HELO refused",
	{"S 220 hop", "C EHLO me.example", "S 500 what?", "C HELO me.example",
	    "S 500 what?", "> fail 500 what?"}},
    {"EHLO refused for good", {"S 220 hop", "C EHLO me.example",
				  "S 550 5.7.1 you?", "> fail 550 5.7.1 you?"}},
    {"greeting 5xx", {"S 554 5.3.2 no", "> fail 554 5.3.2 no"}},
    {"greeting 4xx", {"S 421 later", "> fail 421 later"}},
    {"greeting of something else", {"S 250 hi", "> fail 451 4.5.0"}},
    {"no SMTP at all", {"S HTTP/1.1 400 Bad Request", "> fail 451 4.5.0"}},
    {"an empty line", {OPEN, "S ", "> fail 451 4.5.0"}},
    {"mixed codes", {OPEN, "mail a@x", "C MAIL FROM:<a@x>", "S 250-one|550 two",
			"> fail 451 4.5.0"}},
    {"a reply to nothing", {OPEN, "S 250 early", "> fail 451 4.5.0"}},
    {"a last word while idle",
	{OPEN, "S 421 4.4.2 idle too long", "> fail 421 4.4.2 idle", "wait 1",
	    "mail a@x"}},
    {"a refusal in the middle of the text",
	{OPEN, TO_BODY, "body x|", "C x", "S 552 5.3.4 too big",
	    "> fail 552 5.3.4 too big", "body y|", "end"}},
    {"thanks before the final dot",
	{OPEN, TO_BODY, "S 250 queued", "> fail 451 4.5.0", "body x|", "end"}},
    {"421 to a command", {OPEN, ENVELOPE, "data", "C DATA", "S 421 4.3.2 bye",
			     "> DATA#3 421 4.3.2 bye", "> fail 421 4.3.2 bye"}},
    {"421 to a swallowed command",
	{OPEN_PIPELINING, "mail a@x", "C MAIL FROM:<a@x>", "abandon",
	    "S 421 bye", "> fail 421 bye"}},
    {"354 to RCPT",
	{OPEN, "mail a@x", "C MAIL FROM:<a@x>", "S 250 ok", "> MAIL#1",
	    "rcpt b@y", "C RCPT TO:<b@y>", "S 354 go", "> fail 451 4.5.0"}},
    {"250 to DATA",
	{OPEN, ENVELOPE, "data", "C DATA", "S 250 ok", "> fail 451 4.5.0"}},
    {"334 to DATA",
	{OPEN, ENVELOPE, "data", "C DATA", "S 334 ok", "> fail 451 4.5.0"}},
    {"354 to the final dot",
	{OPEN, TO_BODY, "end", "C .", "S 354 go", "> fail 451 4.5.0"}},
    {"DATA refused",
	{OPEN, ENVELOPE, "data", "C DATA", "S 451 no", "> DATA#3 451 no",
	    "busy", "mail c@x", "C RSET", "S 250 reset", "C MAIL FROM:<c@x>",
	    "S 250 ok", "> MAIL#4 250 ok"}},
    {"MAIL refused leaves nothing open",
	{OPEN, "mail a@x", "C MAIL FROM:<a@x>", "S 550 no", "> MAIL#1 550 no",
	    "idle", "mail b@x", "C MAIL FROM:<b@x>", "S 250 ok",
	    "> MAIL#2 250 ok"}},
    {"354 though all recipients were refused",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y", "data",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA", "S 250 m|550 no|354 go",
	    "> MAIL#1", "> RCPT#2 550 no", "> DATA#3 554 5.5.1", "C .", "busy",
	    "S 250 queued nothing", "idle"}},
    {"recipients of the message before do not count",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>", "S 250 m|250 r", "> MAIL#1",
	    "> RCPT#2", "abandon", "mail c@x", "rcpt d@y", "data",
	    "C RSET|MAIL FROM:<c@x>|RCPT TO:<d@y>|DATA",
	    "S 250 reset|250 m|550 no|354 go", "> MAIL#3 250 m",
	    "> RCPT#4 550 no", "> DATA#5 554 5.5.1", "C ."}},
    {"abandon is lazy",
	{OPEN, ENVELOPE, "abandon", "C ", "busy", "mail c@x", "C RSET",
	    "S 250 ok", "C MAIL FROM:<c@x>", "S 250 ok", "> MAIL#3 250"}},
    {"abandon with replies to come",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>", "abandon", "S 250 m", "mail c@x",
	    "C RSET|MAIL FROM:<c@x>", "S 250 r|250 reset|250 m",
	    "> MAIL#3 250 m"}},
    {"abandon of what was not sent",
	{OPEN, "mail a@x", "rcpt b@y", "rcpt c@y", "C MAIL FROM:<a@x>",
	    "abandon", "mail d@x", "S 250 ok", "C RSET", "S 250 ok",
	    "C MAIL FROM:<d@x>", "S 250 ok", "> MAIL#4 250"}},
    {"abandon after MAIL was refused",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>", "abandon", "S 550 no|503 no",
	    "idle", "flush", "C ", "mail c@x", "C MAIL FROM:<c@x>"}},
    {"abandon spares the message before",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y", "data",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA", "S 250 m|250 r|354 go",
	    "> MAIL#1", "> RCPT#2", "> DATA#3", "end", "mail c@x",
	    "C .|MAIL FROM:<c@x>", "abandon", "S 250 queued|250 m",
	    "> END#4 250 queued", "flush", "C RSET", "S 250 ok", "idle"}},
    {"abandon after DATA", {OPEN, ENVELOPE, "data", "C DATA", "abandon",
			       "wait 0", "> fail 451 4.3.0"}},
    {"flush of a reset",
	{OPEN, ENVELOPE, "flush", "C RSET", "flush", "C ", "S 250 ok", "idle"}},
    {"RSET refused", {OPEN, ENVELOPE, "abandon", "flush", "C RSET", "S 500 no",
			 "> fail 500 no"}},
    {"quit within a message",
	{OPEN, TO_BODY, "quit", "wait 0", "> fail 451 4.3.0"}},
    {"quit before the greeting", {"quit", "C "}},
    {"quit answered with 421", {OPEN, "quit", "C QUIT", "S 421 bye",
				   "> QUIT#0 421 bye", "> fail 421 bye"}},
    {"lost", {OPEN, "lost peer closed", "> fail 451 4.4.2 peer closed"}},
    {"lost with commands outstanding",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>", "S 250 ok", "> MAIL#1",
	    "lost gone", "> fail 451 4.4.2 gone", "lost gone"}},
    {"no greeting", {"wait 99", "wait 1",
			"> fail 451 4.4.2 timed out waiting for the "
			"reply to the connection"}},
    {"no reply to EHLO",
	{"wait 99", "S 220 hop", "C EHLO me.example", "wait 199", "wait 1",
	    "> fail 451 4.4.2 timed out waiting for the reply to EHLO"}},
    {"each reply restarts the clock",
	{OPEN_PIPELINING, "mail a@x", "rcpt b@y", "data",
	    "C MAIL FROM:<a@x>|RCPT TO:<b@y>|DATA", "wait 199", "S 250 m",
	    "> MAIL#1", "wait 199", "S 250 r", "> RCPT#2", "wait 299", "wait 1",
	    "> fail 451 4.4.2"}},
    {"a trickle does not restart the clock",
	{OPEN, "mail a@x", "C MAIL FROM:<a@x>", "wait 100", "S 250-m",
	    "wait 99", "S 250-m", "wait 1", "> fail 451 4.4.2"}},
    {"the text stops",
	{OPEN, TO_BODY, "wait 299", "body x|", "C x", "wait 299", "wait 1",
	    "> fail 451 4.4.2 timed out within the message"}},
    {"no reply to the final dot", {OPEN, TO_BODY, "end", "C .", "wait 399",
				      "wait 1", "> fail 451 4.4.2"}},
    {"control characters in a sender",
	{OPEN, "mail a@x>|DATA", "C ", "rcpt b@y", "C ", "wait 0",
	    "> fail 451 4.3.0"}},
    {"a parameter in a recipient", {OPEN, ENVELOPE, "rcpt b@y> NOTIFY=NEVER",
				       "C ", "wait 0", "> fail 451 4.3.0"}},
    {"quotes may hold blanks",
	{OPEN, "mail \"a b>\\\"\"@x", "C MAIL FROM:<\"a b>\\\"\"@x>"}},
};

static void
run_dialogue(const struct dialogue *d, bool split)
{
	struct owner o;
	size_t i;

	set_up(&o, split);
	o.where = d->name;
	for (i = 0; i < STEPS_MAX && d->steps[i] != NULL; i++) {
		act(&o, d->steps[i]);
	}
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_dialogues(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(dialogues); i++)
		run_dialogue(&dialogues[i], false);
}

static void
test_dialogues_a_byte_at_a_time(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(dialogues); i++)
		run_dialogue(&dialogues[i], true);
}

static void
test_an_endless_line(void **state)
{
	char block[1000];
	struct owner o;
	int i;

	(void)state;
	set_up(&o, false);
	memset(block, 'x', sizeof(block));
	memcpy(block, "220 ", 4);
	for (i = 0; i < 100; i++)
		feed(&o, block, sizeof(block));
	act(&o, "> fail 451 4.5.0");
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_an_endless_reply(void **state)
{
	struct owner o;
	int i;

	(void)state;
	set_up(&o, false);
	for (i = 0; i < 1000; i++)
		act(&o, "S 220-still talking");
	act(&o, "> fail 451 4.5.0");
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_nul_in_a_reply(void **state)
{
	struct owner o;

	(void)state;
	set_up(&o, false);
	feed(&o, "220 a\0b\r\n", 9);
	act(&o, "> fail 451 4.5.0");
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
run_steps(struct owner *o, const char *const *steps)
{
	for (; *steps != NULL; steps++)
		act(o, *steps);
}

/* The reply to the final dot lies in the input before the dot was written. */
static void
test_a_reply_sent_ahead_is_no_reply(void **state)
{
	static const char *const before[] = {
	    OPEN, ENVELOPE, "data", "C DATA", NULL};
	struct owner o;

	(void)state;
	set_up(&o, false);
	run_steps(&o, before);
	o.in_reply = "end";
	act(&o, "S 354 go|250 queued");
	act(&o, "> DATA#3 354 go");
	act(&o, "C .");
	act(&o, "> fail 451 4.5.0");
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_commands_from_within_a_reply(void **state)
{
	static const char *const before[] = {
	    OPEN_PIPELINING, "mail a@x", "C MAIL FROM:<a@x>", NULL};
	static const char *const after[] = {
	    "> MAIL#1 250 ok", "C RSET", "S 250 ok", "idle", NULL};
	struct owner o;

	(void)state;
	set_up(&o, false);
	run_steps(&o, before);
	o.in_reply = "flush";
	act(&o, "S 250 ok");
	run_steps(&o, after);
	assert_nothing_left(&o);
	tear_down(&o);
}

/* After a 421 nothing more is sent, and it is no bug of the owner's. */
static void
test_commands_from_within_a_421(void **state)
{
	static const char *const before[] = {
	    OPEN, ENVELOPE, "data", "C DATA", NULL};
	struct owner o;

	(void)state;
	set_up(&o, false);
	run_steps(&o, before);
	o.in_reply = "mail c@x";
	act(&o, "S 421 bye");
	act(&o, "> DATA#3 421 bye");
	act(&o, "> fail 421 bye");
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_freed_in_its_callbacks(void **state)
{
	static const char *const before[] = {OPEN_PIPELINING, "mail a@x",
	    "rcpt b@y", "C MAIL FROM:<a@x>|RCPT TO:<b@y>", NULL};
	struct owner o;

	(void)state;
	set_up(&o, false);
	run_steps(&o, before);
	o.free_in_reply = true;
	act(&o, "S 250 m|250 r|250 x");
	act(&o, "> MAIL#1 250 m");
	assert_nothing_left(&o);
	tear_down(&o);
	set_up(&o, false);
	o.free_in_fail = true;
	act(&o, "S 554 no|554 no");
	act(&o, "> fail 554 no");
	assert_nothing_left(&o);
	tear_down(&o);
}

static void
test_many_recipients(void **state)
{
	struct owner o;
	unsigned i, pipelining;
	char want[32];

	(void)state;
	for (pipelining = 0; pipelining < 2; pipelining++) {
		set_up(&o, false);
		act(&o, "S 220 hop");
		act(&o, pipelining ? "S 250-hop|250 PIPELINING" : "S 250 hop");
		act(&o, "> ready");
		act(&o, "mail a@x");
		for (i = 0; i < 5000; i++)
			act(&o, "rcpt b@y");
		act(&o, "S 250 ok");
		act(&o, "> MAIL#1");
		for (i = 0; i < 5000; i++) {
			act(&o, "S 250 ok");
			snprintf(want, sizeof(want), "> RCPT#%u 250", i + 2);
			act(&o, want);
		}
		act(&o, "abandon");
		buf_reset(&o.wrote);
		assert_nothing_left(&o);
		tear_down(&o);
	}
}

/* Past the caps the connection fails, later, and nothing else. */
static void
test_too_many_commands(void **state)
{
	struct owner o;
	unsigned i;

	(void)state;
	set_up(&o, false);
	act(&o, "S 220 hop");
	act(&o, "S 250 hop");
	act(&o, "> ready");
	act(&o, "mail a@x");
	for (i = 0; i < 20000; i++)
		act(&o, "rcpt b@y");
	assert_int_equal(o.events.len, 0);
	act(&o, "wait 0");
	act(&o, "> fail 451 4.3.0 too many commands");
	tear_down(&o);
}

static void
open_with(struct owner *o, const char *ehlo)
{
	set_up(o, false);
	act(o, "S 220 hop");
	act(o, ehlo);
	buf_reset(&o->wrote);
	buf_reset(&o->events);
}

static void
test_parameters(void **state)
{
	struct smtp_mail mail = {
	    .from = STR("a@x"),
	    .size = 1234,
	    .body = SMTP_BODY_8BITMIME,
	    .utf8 = true,
	    .ret = SMTP_RET_HDRS,
	    .envid = STR("QQ+2B"),
	};
	struct smtp_rcpt rcpt = {
	    .to = STR("b@y"),
	    .notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY,
	    .orcpt = STR("rfc822;b@y"),
	};
	struct owner o;

	(void)state;
	open_with(&o,
	    "S 250-hop|250-PIPELINING|250-SIZE|250-8BITMIME|250-SMTPUTF8|"
	    "250 DSN");
	smtp_client_mail(o.client, &mail, 1, o.now);
	act(&o, "C MAIL FROM:<a@x> SIZE=1234 BODY=8BITMIME SMTPUTF8 RET=HDRS "
		"ENVID=QQ+2B");
	smtp_client_rcpt(o.client, &rcpt, 2, o.now);
	act(&o, "C RCPT TO:<b@y> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@y");
	rcpt.notify = SMTP_NOTIFY_NEVER;
	rcpt.orcpt = STR("");
	smtp_client_rcpt(o.client, &rcpt, 2, o.now);
	act(&o, "C RCPT TO:<b@y> NOTIFY=NEVER");
	tear_down(&o);
}

static void
test_parameters_that_the_peer_does_not_know(void **state)
{
	struct smtp_mail mail = {
	    .from = STR("a@x"),
	    .size = 1234,
	    .body = SMTP_BODY_7BIT,
	    .ret = SMTP_RET_FULL,
	    .envid = STR("QQ"),
	};
	struct smtp_rcpt rcpt = {
	    .to = STR("b@y"),
	    .notify = SMTP_NOTIFY_FAILURE,
	    .orcpt = STR("rfc822;b@y"),
	};
	struct owner o;

	(void)state;
	open_with(&o, "S 250-hop|250 PIPELINING");
	smtp_client_mail(o.client, &mail, 1, o.now);
	act(&o, "C MAIL FROM:<a@x>");
	smtp_client_rcpt(o.client, &rcpt, 2, o.now);
	act(&o, "C RCPT TO:<b@y>");
	tear_down(&o);
	/* What the content needs is said all the same: refused, not mangled. */
	mail.body = SMTP_BODY_8BITMIME;
	mail.utf8 = true;
	open_with(&o, "S 250 hop");
	smtp_client_mail(o.client, &mail, 1, o.now);
	act(&o, "C MAIL FROM:<a@x> BODY=8BITMIME SMTPUTF8");
	tear_down(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dialogues),
	    cmocka_unit_test(test_dialogues_a_byte_at_a_time),
	    cmocka_unit_test(test_an_endless_line),
	    cmocka_unit_test(test_an_endless_reply),
	    cmocka_unit_test(test_nul_in_a_reply),
	    cmocka_unit_test(test_a_reply_sent_ahead_is_no_reply),
	    cmocka_unit_test(test_commands_from_within_a_reply),
	    cmocka_unit_test(test_commands_from_within_a_421),
	    cmocka_unit_test(test_freed_in_its_callbacks),
	    cmocka_unit_test(test_many_recipients),
	    cmocka_unit_test(test_too_many_commands),
	    cmocka_unit_test(test_parameters),
	    cmocka_unit_test(test_parameters_that_the_peer_does_not_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
