/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client engine against a peer and an owner that the fuzzer plays. Each
 * step is a byte that picks an action and, for some, a length byte with so
 * many bytes of text. The owner keeps to the contract; the checks are that the
 * engine does: no callback after the last, replies in the order of commands,
 * reply classes as promised, and only whole lines in what is written.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "smtp/client.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

struct owner {
	struct smtp_client *client;
	const uint8_t *p, *end;
	int64_t now;
	uintptr_t next_tag, last_tag;
	bool ready, failed, quit, body, data_waits;
	bool in_command; /* no callback may come */
	char last;       /* written */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void act(struct owner *o);

static void
on_write(void *arg, const char *p, size_t n)
{
	struct owner *o = arg;

	CHECK(n > 0 && !o->failed);
	for (size_t i = 0; i < n; i++) {
		CHECK((o->last == '\r') == (p[i] == '\n'));
		o->last = p[i];
	}
}

static void
on_ready(void *arg, const struct smtp_caps *caps)
{
	struct owner *o = arg;

	CHECK(!o->ready && !o->failed && !o->in_command);
	CHECK(caps == smtp_client_caps(o->client));
	o->ready = true;
	act(o);
}

static void
on_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply)
{
	struct owner *o = arg;

	CHECK(o->ready && !o->failed && !o->quit && !o->in_command);
	CHECK(reply->code >= 200 && reply->code <= 599);
	CHECK(reply->code / 100 != 3 ||
	      (what == SMTP_CLIENT_DATA && reply->code == 354));
	CHECK(reply->code / 100 != 2 || what != SMTP_CLIENT_DATA);
	CHECK(reply->text.n <= SMTP_REPLY_TEXT_MAX);
	if (what != SMTP_CLIENT_QUIT) {
		CHECK(tag > o->last_tag && tag < o->next_tag);
		o->last_tag = tag;
	}
	if (what == SMTP_CLIENT_QUIT)
		o->quit = true;
	if (what == SMTP_CLIENT_DATA) {
		o->data_waits = false;
		o->body = reply->code == 354;
	}
	act(o);
}

static void
on_fail(void *arg, const struct smtp_reply *reply)
{
	struct owner *o = arg;

	CHECK(!o->failed && !o->in_command);
	CHECK(reply->code >= 400 || reply->code < 300);
	o->failed = true;
}

static const struct smtp_client_ops ops = {
    .write = on_write,
    .on_ready = on_ready,
    .on_reply = on_reply,
    .on_fail = on_fail,
};

static uint8_t
take_byte(struct owner *o)
{
	return o->p < o->end ? *o->p++ : 0;
}

static struct str
take_text(struct owner *o)
{
	size_t n = take_byte(o);
	struct str s;

	if (n > (size_t)(o->end - o->p))
		n = (size_t)(o->end - o->p);
	s = (struct str){(const char *)o->p, n};
	o->p += n;
	return s;
}

static void
do_mail(struct owner *o)
{
	uint8_t bits = take_byte(o);
	struct smtp_mail mail = {
	    .size = bits,
	    .body = (enum smtp_body)(bits % 3),
	    .utf8 = (bits & 4) != 0,
	    .ret = (enum smtp_ret)((bits >> 3) % 3),
	};

	mail.from = take_text(o);
	if ((bits & 32) != 0)
		mail.envid = take_text(o);
	smtp_client_mail(o->client, &mail, o->next_tag++, o->now);
}

static void
do_rcpt(struct owner *o)
{
	uint8_t bits = take_byte(o);
	struct smtp_rcpt rcpt = {.notify = bits & 15};

	rcpt.to = take_text(o);
	if ((bits & 32) != 0)
		rcpt.orcpt = take_text(o);
	smtp_client_rcpt(o->client, &rcpt, o->next_tag++, o->now);
}

static void
do_data(struct owner *o)
{
	o->data_waits = true;
	smtp_client_data(o->client, o->next_tag++, o->now);
}

static void
do_end(struct owner *o)
{
	o->body = false;
	smtp_client_end(o->client, o->next_tag++, o->now);
}

/* One action of the owner; from within a callback as well. */
static void
act(struct owner *o)
{
	uint8_t what = take_byte(o) % 12;
	bool was = o->in_command;

	o->in_command = true;
	if (what == 0 && o->ready && !o->body && !o->data_waits)
		do_mail(o);
	else if (what == 1 && o->ready && !o->body && !o->data_waits)
		do_rcpt(o);
	else if (what == 2 && o->ready && !o->body && !o->data_waits)
		do_data(o);
	else if (what == 3 && o->body)
		smtp_client_body(o->client, take_text(o), o->now);
	else if (what == 4 && o->body)
		do_end(o);
	else if (what == 5 && o->ready)
		smtp_client_abandon(o->client, o->now);
	else if (what == 6)
		smtp_client_flush_reset(o->client, o->now);
	else if (what == 7)
		smtp_client_quit(o->client, o->now);
	else if (what == 8 && o->ready && !o->body && !o->data_waits)
		o->body = smtp_client_bdat(o->client, o->now);
	o->in_command = was;
}

static void
step(struct owner *o)
{
	uint8_t what = take_byte(o);
	struct str text;
	char *copy;

	if (what < 128) {
		/* On the heap, so that one byte too far is seen. */
		text = take_text(o);
		copy = xmalloc(text.n + 1);
		memcpy(copy, text.p, text.n);
		copy = xrealloc(copy, text.n > 0 ? text.n : 1);
		smtp_client_feed(o->client, copy, text.n, o->now);
		free(copy);
	} else if (what < 240) {
		act(o);
	} else if (what < 250) {
		o->now += what;
		smtp_client_run(o->client, o->now);
	} else {
		smtp_client_lost(o->client, "lost", o->now);
		CHECK(o->failed || o->quit);
	}
	if (o->failed)
		CHECK(smtp_client_next_due(o->client) == INT64_MAX &&
		      !smtp_client_is_idle(o->client));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct smtp_client_timeouts timeouts = {
	    1000, 1000, 1000, 1000};
	struct owner o = {.p = data, .end = data + size, .next_tag = 1};

	o.client = smtp_client_new("me.example", &timeouts, &ops, &o, o.now);
	while (o.p < o.end)
		step(&o);
	smtp_client_free(o.client);
	return 0;
}
