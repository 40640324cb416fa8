/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How fast the protocol is without sockets: messages through the server engine,
 * bytes through decoder and encoder. Prints one line per figure; best of five
 * rounds, because the machine is shared.
 */
#include "os/clock.h"
#include "smtp/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 5

struct bench {
	struct smtp_server *server;
	struct smtp_caps caps;
	uint64_t messages, bytes;
};

static void
on_write(void *arg, const char *p, size_t n)
{
	struct bench *b = arg;

	(void)p;
	b->bytes += n;
}

static void
on_helo(void *arg, struct str name, bool esmtp)
{
	struct bench *b = arg;

	(void)name;
	(void)esmtp;
	smtp_server_helo_done(b->server, &b->caps, 0);
}

static void
on_mail(void *arg, const struct smtp_mail *mail)
{
	struct smtp_reply r = smtp_reply_make(250, "2.1.0", "ok");
	struct bench *b = arg;

	(void)mail;
	smtp_server_reply(b->server, &r, 0);
}

static void
on_rcpt(void *arg, const struct smtp_rcpt *rcpt)
{
	struct smtp_reply r = smtp_reply_make(250, "2.1.5", "ok");
	struct bench *b = arg;

	(void)rcpt;
	smtp_server_reply(b->server, &r, 0);
}

static void
on_data(void *arg)
{
	struct bench *b = arg;

	smtp_server_data_go(b->server, 0);
}

static void
on_body(void *arg, struct str chunk)
{
	struct bench *b = arg;

	b->bytes += chunk.n;
}

static void
on_end(void *arg, enum smtp_data_fault fault)
{
	struct smtp_reply r =
	    smtp_reply_make(250, "2.0.0", "queued as 0123456789AB");
	struct bench *b = arg;

	if (fault != SMTP_DATA_OK)
		panic("fault %d", (int)fault);
	b->messages++;
	smtp_server_reply(b->server, &r, 0);
}

static void
on_reset(void *arg)
{
	(void)arg;
}

static void
on_close(void *arg, enum smtp_server_end why)
{
	(void)arg;
	(void)why;
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

static const struct smtp_server_limits limits = {
    .recipients_max = 1000,
    .errors_max = 20,
    .idle_commands_max = 100,
    .refused_max = 100,
    .line_max = 2048,
    .command_timeout_ms = 300000,
    .data_timeout_ms = 300000,
    .message_timeout_ms = 3600000,
    .data_rate_min = 100,
    .data_rate_window_ms = 60000,
    .data = {.size_max = 50 << 20,
	.line_max = 8192,
	.header_max = 256 << 10,
	.received_max = 50},
};

/* A message as smtp-source and people send it: some header, lines of 72. */
static struct str
make_message(size_t size)
{
	static const char header[] =
	    "Received: from client (localhost [127.0.0.1])\r\n"
	    "\tby mx.example.org with ESMTP id 0123456789\r\n"
	    "From: <a@example.com>\r\nTo: <b@example.com>\r\n"
	    "Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n"
	    "Subject: a message\r\nMessage-Id: <1@example.com>\r\n\r\n";
	struct buf b;
	size_t n;

	buf_init(&b, size + 4096);
	if (!buf_append(&b, header, sizeof(header) - 1))
		panic("message");
	while (b.len < size) {
		char line[75];

		memset(line, 'x', sizeof(line));
		line[72] = '\r';
		line[73] = '\n';
		if (!buf_append(&b, line, 74))
			panic("message");
	}
	if (!buf_append(&b, ".\r\n", 3))
		panic("message");
	n = b.len;
	return (struct str){buf_take(&b), n};
}

static void
feed(struct bench *b, struct str s)
{
	if (smtp_server_feed(b->server, s.p, s.n, 0) != s.n)
		panic("input left");
}

/* One session per message, or one for all. */
static void
run_messages(struct bench *b, struct str message, unsigned count, bool many)
{
	for (unsigned i = 0; i < count; i++) {
		if (i == 0 || !many) {
			b->server =
			    smtp_server_new(&limits, "mx.example.org", &ops, b);
			smtp_server_greet(b->server, false, 0);
			feed(b, STR("EHLO client.example.com\r\n"));
		}
		feed(b, STR("MAIL FROM:<a@example.com> SIZE=1024\r\n"));
		feed(b, STR("RCPT TO:<b@example.com>\r\n"));
		feed(b, STR("DATA\r\n"));
		feed(b, message);
		if (i + 1 == count || !many) {
			feed(b, STR("QUIT\r\n"));
			smtp_server_free(b->server);
		}
	}
}

static void
bench_server(size_t size, unsigned count, bool many)
{
	struct bench b = {.caps = {SMTP_EXT_RELAYED, 50 << 20}};
	struct str message = make_message(size);
	int64_t best = INT64_MAX;

	for (int i = 0; i < ROUNDS; i++) {
		int64_t start = clock_mono_ns(), took;

		run_messages(&b, message, count, many);
		took = clock_mono_ns() - start;
		if (took < best)
			best = took;
	}
	printf("server  %7zu bytes, %-4s session(s): %8.2f us/message, "
	       "%9.0f messages/s\n",
	    size, many ? "one" : "many", (double)best / count / 1e3,
	    count * 1e9 / (double)best);
	free((char *)message.p);
}

static void
count_chunk(void *arg, struct str chunk)
{
	*(uint64_t *)arg += chunk.n;
}

static void
report_stream(const char *what, size_t chunk, int64_t ns, uint64_t bytes)
{
	printf("%-7s %7zu bytes a chunk: %8.0f MB/s\n", what, chunk,
	    (double)bytes * 1e3 / (double)ns);
}

static void
bench_stream(size_t chunk, bool decoder)
{
	struct str message = make_message(8 << 20);
	int64_t best = INT64_MAX;
	uint64_t sum = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int64_t start = clock_mono_ns(), took;
		struct smtp_encoder e;
		struct smtp_decoder d;

		smtp_encoder_init(&e);
		smtp_decoder_init(&d, &limits.data);
		for (size_t at = 0; at < message.n; at += chunk) {
			struct str part = str_sub(message, at, chunk);

			if (decoder)
				smtp_decode(&d, &part, count_chunk, &sum);
			else
				smtp_encode(&e, part, count_chunk, &sum);
		}
		smtp_decoder_clear(&d);
		took = clock_mono_ns() - start;
		if (took < best)
			best = took;
	}
	if (sum == 0)
		panic("nothing came out");
	report_stream(decoder ? "decoder" : "encoder", chunk, best, message.n);
	free((char *)message.p);
}

int
main(void)
{
	static const size_t chunks[] = {1024, 16384, 65536};

	bench_server(1024, 100000, false);
	bench_server(1024, 100000, true);
	bench_server(10240, 20000, true);
	bench_server(102400, 2000, true);
	for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
		bench_stream(chunks[i], true);
		bench_stream(chunks[i], false);
	}
	return 0;
}
