/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answers of HTTP: heads, errors, files of the page, streams. An answer is made
 * whole before it is written; a stream is written as it comes.
 */
#include "config.h"

#include "control/web_private.h"

#include "control/control.h"
#include "os/clock.h"
#include "page/page.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX (12 + WEB_FIELDS_MAX)
#define CSP_DATA "default-src 'none'; frame-ancestors 'none'"
#define CSP_PAGE                                                      \
	"default-src 'none'; script-src 'self'; style-src 'self'; "   \
	"connect-src 'self'; img-src 'self' data:; base-uri 'none'; " \
	"form-action 'none'; frame-ancestors 'none'"

struct head {
	struct http_reply_field v[FIELDS_MAX];
	size_t n;
	char date[HTTP_DATE_MAX], size[24];
};

static void
put(struct head *h, const char *name, struct str value)
{
	if (h->n >= FIELDS_MAX)
		panic("web: more fields than there is room for");
	h->v[h->n++] = (struct http_reply_field){name, value};
}

/* What every answer has. */
static void
begin_head(struct web_exchange *x, struct head *h)
{
	h->n = 0;
	put(h, "Date", str_from(http_date(clock_wall_ms(), h->date)));
	put(h, "X-Content-Type-Options", STR("nosniff"));
	put(h, "Referrer-Policy", STR("no-referrer"));
	put(h, "Cross-Origin-Resource-Policy", STR("same-origin"));
	for (size_t i = 0; i < x->field_count; i++)
		put(h, x->fields[i].name, x->fields[i].value);
	put(h, "Connection", x->closes ? STR("close") : STR("keep-alive"));
}

static void
put_length(struct head *h, size_t length)
{
	snprintf(h->size, sizeof(h->size), "%zu", length);
	put(h, "Content-Length", str_from(h->size));
}

void
web_clear_answer(struct web_exchange *x)
{
	for (size_t i = 0; i < x->field_count; i++)
		free((char *)x->fields[i].value.p);
	x->field_count = 0;
	x->is_waiting = false;
	x->on_gone = NULL;
	x->on_beat = NULL;
	x->route = NULL;
	x->allow[0] = '\0';
}

void
web_set_field(struct web_exchange *x, const char *name, const char *value)
{
	if (x->field_count >= WEB_FIELDS_MAX)
		panic("web: too many fields");
	x->fields[x->field_count++] =
	    (struct http_reply_field){name, str_from(xstrdup(value))};
}

/* body NULL: none. The client of one that does not fit sees that it is not
 * whole. */
static void
finish(struct web_exchange *x, unsigned code, const struct head *h,
    const struct str *body)
{
	int64_t now = loop_now(x->web->server.loop);
	bool was_waiting = x->is_waiting;

	if (!http_reply_head(&x->out, code, h->v, h->n) ||
	    (body != NULL &&
		!str_eq(http_reader_request(x->reader)->method, STR("HEAD")) &&
		!buf_append_str(&x->out, *body))) {
		buf_reset(&x->out);
		x->closes = true;
	}
	x->is_waiting = false;
	x->on_gone = NULL;
	web_set_state(x, WEB_WRITING, now + x->web->server.idle_ms);
	/* A handler's caller pushes what it has left. */
	if (was_waiting)
		web_push(x, now);
}

void
web_answer(
    struct web_exchange *x, unsigned code, const char *type, struct buf *body)
{
	struct str text = buf_str(body);
	struct head h;

	begin_head(x, &h);
	put(&h, "Content-Type", str_from(type));
	put_length(&h, text.n);
	put(&h, "Cache-Control", STR("no-store"));
	put(&h, "Content-Security-Policy", STR(CSP_DATA));
	finish(x, code, &h, &text);
	buf_clear(body);
}

void
web_answer_nothing(struct web_exchange *x)
{
	struct head h;

	begin_head(x, &h);
	put(&h, "Cache-Control", STR("no-store"));
	finish(x, 204, &h, NULL);
}

void
web_refuse(struct web_exchange *x, unsigned code, const char *fmt, ...)
{
	char text[1024];
	struct buf body;
	json_t *row;
	char *dump;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	row = json_pack("{s:s, s:s, s:i, s:o}", "type", "about:blank", "title",
	    http_reason(code), "status", (int)code, "detail",
	    control_text(text));
	dump = json_dumps(row, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(row);
	buf_init(&body, 8192);
	if (dump == NULL || !buf_append_str(&body, str_from(dump)))
		buf_reset(&body);
	free(dump);
	if (code == 405)
		web_set_field(x, "Allow", x->allow);
	web_answer(x, code, "application/problem+json", &body);
}

/* ---- files ---- */

/* RFC 9110 13.1.2: a list of tags, weak ones too, or "*". */
static bool
has_tag(const struct str *field, const char *etag)
{
	struct str rest = field != NULL ? *field : STR("");

	while (rest.n > 0) {
		struct str tag = str_trim(str_cut(&rest, ','));

		if (str_starts(tag, STR("W/")))
			tag = str_sub(tag, 2, tag.n);
		if (str_eq(tag, STR("*")) || str_eq(tag, str_from(etag)))
			return true;
	}
	return false;
}

/* RFC 9110 12.5.3: without the field every coding is welcome. */
static bool
takes_gzip(const struct http_request *q)
{
	const struct str *field = http_request_field(q, "Accept-Encoding");
	struct str rest = field != NULL ? *field : STR("gzip");

	while (rest.n > 0) {
		struct str value = str_cut(&rest, ',');
		struct str name = str_trim(str_cut(&value, ';'));

		if (!str_ieq(name, STR("gzip")) && !str_eq(name, STR("*")))
			continue;
		value = str_trim(value);
		return !str_ieq(value, STR("q=0")) &&
		       !str_istarts(value, STR("q=0.0"));
	}
	return false;
}

void
web_answer_file(struct web_exchange *x, const struct page_file *file)
{
	const struct http_request *q = http_reader_request(x->reader);
	struct str body = {(const char *)file->gz, file->gz_size};
	struct head h;

	if (has_tag(http_request_field(q, "If-None-Match"), file->etag)) {
		begin_head(x, &h);
		put(&h, "ETag", str_from(file->etag));
		put(&h, "Cache-Control", STR("no-cache"));
		finish(x, 304, &h, NULL);
		return;
	}
	if (!takes_gzip(q)) {
		web_refuse(x, 406, "The page is available gzip-encoded only.");
		return;
	}
	begin_head(x, &h);
	put(&h, "Content-Type", str_from(file->type));
	put(&h, "Content-Encoding", STR("gzip"));
	put(&h, "Vary", STR("Accept-Encoding"));
	put_length(&h, body.n);
	put(&h, "ETag", str_from(file->etag));
	put(&h, "Cache-Control", STR("no-cache"));
	put(&h, "Content-Security-Policy", STR(CSP_PAGE));
	put(&h, "Cross-Origin-Opener-Policy", STR("same-origin"));
	finish(x, 200, &h, &body);
}

/* ---- what comes later ---- */

void
web_wait(struct web_exchange *x, void (*on_gone)(void *arg), void *arg)
{
	x->is_waiting = true;
	x->on_gone = on_gone;
	x->gone_arg = arg;
}

void
web_stream(struct web_exchange *x, const char *type, int64_t beat_ms,
    void (*on_beat)(void *arg, int64_t now), void (*on_gone)(void *arg),
    void *arg)
{
	int64_t now = loop_now(x->web->server.loop);
	struct head h;

	/* Its end is the connection's. */
	x->closes = true;
	begin_head(x, &h);
	put(&h, "Content-Type", str_from(type));
	put(&h, "Cache-Control", STR("no-store"));
	/* nginx would gather it. */
	put(&h, "X-Accel-Buffering", STR("no"));
	if (!http_reply_head(&x->out, 200, h.v, h.n))
		panic("web: no room for the head of a stream");
	x->on_gone = on_gone;
	x->on_beat = on_beat;
	x->gone_arg = arg;
	x->beat_ms = beat_ms;
	x->taken_at = now;
	x->is_waiting = false;
	web_set_state(x, WEB_STREAMING, now + beat_ms);
}

void
web_push_stream(struct web_exchange *x, int64_t now)
{
	while (x->out.len > 0 && !conn_is_full(x->conn)) {
		struct str s = str_sub(buf_str(&x->out), 0, WEB_WRITE_CHUNK);

		conn_write(x->conn, s.p, s.n);
		buf_consume(&x->out, s.n);
		x->taken_at = now;
	}
	buf_trim(&x->out);
}

bool
web_stream_write(struct web_exchange *x, struct str piece)
{
	if (x->state != WEB_STREAMING)
		panic("web: a piece without a stream");
	if (x->out.len + piece.n > WEB_STREAM_MAX ||
	    !buf_append_str(&x->out, piece))
		return false;
	web_push_stream(x, loop_now(x->web->server.loop));
	return true;
}

void
web_stream_end(struct web_exchange *x)
{
	x->on_gone = NULL;
	web_end(x, WEB_LINGER_MS);
}
