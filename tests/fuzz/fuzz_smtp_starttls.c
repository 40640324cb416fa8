/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: STARTTLS in both engines (RFC 3207). The input is what the peer
 * sends, cut as its second byte says; when an engine asks for the handshake, it
 * is told "TLS is up", at once or after bytes that came too early. Checked: an
 * engine asks only when nothing came behind the line that leads to TLS, bytes
 * from before never go on, and from then on it is like one that was made anew:
 * the same input has the same callbacks and the same output.
 */
#include "smtp/client.h"
#include "smtp/server.h"

#include "fuzz.h"

#define SEEN_MAX (1u << 20)
#define NOW 1000

/* An engine and what its owner saw of it. */
struct side {
	struct smtp_server *server;
	struct smtp_client *client;
	struct buf seen;
	bool asked, up, closed, keeps;
};

static void
note(struct side *o, const char *what, struct str s)
{
	if (o->keeps)
		fuzz_check(buf_printf(&o->seen, "[%s]", what) &&
			       buf_append_str(&o->seen, s),
		    "seen");
}

static void
on_write(void *arg, const char *p, size_t n)
{
	note(arg, "write", (struct str){p, n});
}

static void
on_starttls(void *arg)
{
	struct side *o = arg;

	fuzz_check(!o->asked && !o->up && !o->closed, "asked out of place");
	o->asked = true;
}

/* ---- server ---- */

static void
on_helo(void *arg, struct str name, bool esmtp)
{
	struct side *o = arg;
	struct smtp_caps caps = {.ext = SMTP_EXT_RELAYED};

	note(o, esmtp ? "ehlo" : "helo", name);
	smtp_server_helo_done(o->server, &caps, NOW);
}

static void
say_ok(struct side *o)
{
	struct smtp_reply ok = smtp_reply_make(250, "2.0.0", "ok");

	smtp_server_reply(o->server, &ok, NOW);
}

static void
on_mail(void *arg, const struct smtp_mail *mail)
{
	note(arg, "mail", mail->from);
	say_ok(arg);
}

static void
on_rcpt(void *arg, const struct smtp_rcpt *rcpt)
{
	note(arg, "rcpt", rcpt->to);
	say_ok(arg);
}

static void
on_data(void *arg)
{
	struct side *o = arg;

	note(o, "data", STR(""));
	smtp_server_data_go(o->server, NOW);
}

static void
on_body(void *arg, struct str chunk)
{
	note(arg, "body", chunk);
}

static void
on_end(void *arg, enum smtp_data_fault fault)
{
	struct side *o = arg;

	note(o, fault == SMTP_DATA_OK ? "end" : "fault", STR(""));
	if (fault == SMTP_DATA_OK)
		say_ok(o);
	else
		smtp_server_reply(o->server, NULL, NOW);
}

static void
on_reset(void *arg)
{
	note(arg, "reset", STR(""));
}

static void
on_close(void *arg, enum smtp_server_end why)
{
	struct side *o = arg;

	note(o, why == SMTP_SERVER_PROTOCOL ? "protocol" : "close", STR(""));
	o->closed = true;
}

static const struct smtp_server_ops server_ops = {
    .write = on_write,
    .on_helo = on_helo,
    .on_mail = on_mail,
    .on_rcpt = on_rcpt,
    .on_data = on_data,
    .on_body = on_body,
    .on_end = on_end,
    .on_starttls = on_starttls,
    .on_reset = on_reset,
    .on_close = on_close,
};

static void
server_open(struct side *o, enum smtp_server_tls tls)
{
	static const struct smtp_server_limits limits = {.line_max = 512};

	*o = (struct side){0};
	buf_init(&o->seen, SEEN_MAX);
	o->server = smtp_server_new(&limits, "mx.example.org", &server_ops, o);
	smtp_server_set_tls(o->server, tls);
	smtp_server_greet(o->server, false, NOW);
}

/* Returns how much was taken. */
static size_t
server_feed(struct side *o, const char *p, size_t n)
{
	char *copy = fuzz_copy(p, n);
	size_t done = smtp_server_feed(o->server, copy, n, NOW);

	free(copy);
	return done;
}

/* Line by line from here on, so that neither engine sees more than the other
 * of what is pipelined. */
static void
server_go_on(struct side *o, const char *p, size_t n)
{
	size_t from = 0, to = 0;

	while (to < n && !o->closed && !o->asked) {
		to += str_index((struct str){p + to, n - to - 1}, '\n') + 1;
		from += server_feed(o, p + from, to - from);
	}
}

static void
server_is_new(struct side *o, const char *p, size_t n)
{
	struct side fresh;

	fuzz_check(smtp_server_helo(o->server).n == 0, "HELO is remembered");
	fuzz_check(!smtp_server_is_esmtp(o->server), "ESMTP is remembered");
	fuzz_check(!smtp_server_is_waiting(o->server), "a question is open");
	server_open(&fresh, SMTP_SERVER_TLS_ACTIVE);
	fresh.keeps = o->keeps = true;
	server_go_on(o, p, n);
	server_go_on(&fresh, p, n);
	fuzz_check(!o->asked && !fresh.asked, "TLS within TLS");
	fuzz_check(str_eq(buf_str(&o->seen), buf_str(&fresh.seen)),
	    "what was said in plain is remembered");
	smtp_server_free(fresh.server);
	buf_clear(&fresh.seen);
}

static void
run_server(uint8_t how, size_t step, const char *p, size_t n)
{
	struct side o;
	size_t from = 0, to = 0;

	server_open(
	    &o, how & 2 ? SMTP_SERVER_TLS_REQUIRE : SMTP_SERVER_TLS_OFFER);
	while (to < n && !o.closed && !o.asked) {
		to = n - to > step ? to + step : n;
		from += server_feed(&o, p + from, to - from);
	}
	fuzz_check(!o.asked || from == to, "asked with bytes behind");
	if (o.asked && !o.closed) {
		bool early = (how & 4) != 0 && to < n;

		if (early)
			fuzz_check(server_feed(&o, p + to, n - to) == 0,
			    "taken within the handshake");
		o.asked = false;
		o.up = true;
		smtp_server_tls_done(o.server, NOW);
		fuzz_check(
		    o.closed == early, "bytes from before the handshake");
		if (!early)
			server_is_new(&o, p + to, n - to);
	}
	smtp_server_close(o.server, NULL, NOW);
	smtp_server_free(o.server);
	buf_clear(&o.seen);
}

/* ---- client ---- */

static void
on_ready(void *arg, const struct smtp_caps *caps)
{
	struct side *o = arg;

	note(o, "ready", STR(""));
	note(o, "caps",
	    (struct str){(const char *)&caps->ext, sizeof(caps->ext)});
	note(o, "size",
	    (struct str){(const char *)&caps->size, sizeof(caps->size)});
	smtp_client_mail(o->client,
	    &(struct smtp_mail){
		.from = STR("a@example.org"), .ret = SMTP_RET_HDRS, .size = 7},
	    1, NOW);
}

static void
on_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply)
{
	(void)what;
	(void)tag;
	note(arg, "reply", reply->text);
}

static void
on_fail(void *arg, const struct smtp_reply *reply)
{
	struct side *o = arg;

	note(o, "fail", reply->text);
	o->closed = true;
}

static const struct smtp_client_ops client_ops = {
    .write = on_write,
    .on_ready = on_ready,
    .on_starttls = on_starttls,
    .on_reply = on_reply,
    .on_fail = on_fail,
};

static void
client_open(struct side *o, enum smtp_client_tls tls)
{
	static const struct smtp_client_timeouts timeouts = {1, 1, 1, 1};

	*o = (struct side){0};
	buf_init(&o->seen, SEEN_MAX);
	o->client =
	    smtp_client_new("me.example", &timeouts, &client_ops, o, NOW);
	smtp_client_set_tls(o->client, tls);
}

static void
client_feed(struct side *o, const char *p, size_t n)
{
	char *copy = fuzz_copy(p, n);

	if (!o->closed)
		smtp_client_feed(o->client, copy, n, NOW);
	free(copy);
}

static void
client_is_new(struct side *o, const char *p, size_t n)
{
	struct side fresh;

	fuzz_check(
	    smtp_client_caps(o->client)->ext == 0, "extensions remembered");
	client_open(&fresh, SMTP_CLIENT_TLS_NONE);
	client_feed(&fresh, "220 hi\r\n", 8);
	fresh.keeps = o->keeps = true;
	client_feed(o, p, n);
	client_feed(&fresh, p, n);
	fuzz_check(!o->asked && !fresh.asked, "TLS within TLS");
	fuzz_check(str_eq(buf_str(&o->seen), buf_str(&fresh.seen)),
	    "what was said in plain is remembered");
	smtp_client_free(fresh.client);
	buf_clear(&fresh.seen);
}

static void
run_client(uint8_t how, size_t step, const char *p, size_t n)
{
	struct side o;
	size_t to = 0;

	client_open(
	    &o, how & 2 ? SMTP_CLIENT_TLS_REQUIRE : SMTP_CLIENT_TLS_MAY);
	while (to < n && !o.closed && !o.asked) {
		size_t more = n - to > step ? step : n - to;

		client_feed(&o, p + to, more);
		to += more;
	}
	fuzz_check(!o.asked || p[to - 1] == '\n', "asked with bytes behind");
	if (o.asked) {
		bool early = (how & 4) != 0 && to < n;

		fuzz_check(!o.closed, "asked and failed");
		if (early)
			client_feed(&o, p + to, n - to);
		o.asked = false;
		o.up = true;
		fuzz_check(
		    o.closed == early, "bytes from before the handshake");
		smtp_client_tls_done(o.client, NOW);
		if (!early)
			client_is_new(&o, p + to, n - to);
	}
	smtp_client_free(o.client);
	buf_clear(&o.seen);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step;

	if (size < 2)
		return 0;
	step = data[1] == 0 ? size : data[1];
	if (data[0] & 1)
		run_client(data[0], step, (const char *)data + 2, size - 2);
	else
		run_server(data[0], step, (const char *)data + 2, size - 2);
	return 0;
}
