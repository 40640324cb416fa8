/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * HTTP without I/O: requests however they are cut, what is refused, targets,
 * answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/reader.h"
#include "http/reply.h"
#include "http/target.h"

#define HOST "Host: a.test\r\n"

static enum http_progress
feed(struct http_reader *r, struct str in, size_t step, size_t *at)
{
	enum http_progress p = HTTP_MORE;
	size_t used;

	while (*at < in.n && p != HTTP_READY && p != HTTP_REFUSED) {
		p = http_reader_feed(r, str_sub(in, *at, step), &used);
		*at += used;
	}
	return p;
}

/* The code that a text is refused with, in one piece and byte by byte; 0: it is
 * a request, 1: it is not complete. */
static unsigned
refusal(const char *text, size_t n)
{
	unsigned code[2];

	for (int i = 0; i < 2; i++) {
		struct http_reader *r = http_reader_new();
		struct str in = {text, n};
		size_t at = 0;
		enum http_progress p = feed(r, in, i == 0 ? n : 1, &at);

		code[i] = p == HTTP_REFUSED ? http_reader_refusal(r).code
			  : p == HTTP_READY ? 0
					    : 1;
		http_reader_free(r);
	}
	assert_int_equal(code[0], code[1]);
	return code[0];
}

#define REFUSAL(text) refusal("" text, sizeof(text) - 1)

static void
test_requests(void **state)
{
	static const char two[] =
	    "GET /metrics?a=b HTTP/1.1\r\n" HOST "X-Y:  z \r\n\r\n"
	    "\r\nPOST /api HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n"
	    "Connection: close\r\n\r\nhello";
	struct str in = {two, sizeof(two) - 1};

	(void)state;
	for (size_t step = 1; step <= in.n; step++) {
		struct http_reader *r = http_reader_new();
		const struct http_request *q = http_reader_request(r);
		size_t at = 0;

		assert_int_equal(feed(r, in, step, &at), HTTP_READY);
		assert_true(str_eq(q->method, STR("GET")));
		assert_true(str_eq(q->target, STR("/metrics?a=b")));
		assert_true(str_eq(q->host, STR("a.test")));
		assert_true(str_eq(*http_request_field(q, "x-y"), STR("z")));
		assert_null(http_request_field(q, "x"));
		assert_true(q->keeps_alive);
		assert_int_equal(q->body.n, 0);
		http_reader_next(r);
		assert_false(http_reader_is_inside(r));
		assert_int_equal(feed(r, in, step, &at), HTTP_READY);
		assert_int_equal(at, in.n);
		assert_true(str_eq(q->method, STR("POST")));
		assert_true(str_eq(q->body, STR("hello")));
		assert_false(q->keeps_alive);
		http_reader_free(r);
	}
}

static void
test_forms(void **state)
{
	(void)state;
	assert_int_equal(
	    REFUSAL("GET http://a.test/x HTTP/1.1\r\n" HOST "\r\n"), 0);
	assert_int_equal(
	    REFUSAL("GET http://b.test/x HTTP/1.1\r\n" HOST "\r\n"), 400);
	assert_int_equal(REFUSAL("GET / HTTP/1.0\r\n" HOST "\r\n"), 0);
	assert_int_equal(REFUSAL("DELETE /x HTTP/1.1\r\n" HOST "\r\n"), 0);
	assert_int_equal(REFUSAL("GET / HTTP/1.1\r\n" HOST), 1);
	assert_int_equal(
	    REFUSAL("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nab"),
	    1);
	/* Nobody is switched to another protocol. */
	assert_int_equal(REFUSAL("POST / HTTP/1.1\r\n" HOST
				 "Connection: Upgrade\r\nUpgrade: h2c\r\n"
				 "Content-Length: 3\r\n\r\nabc"),
	    0);
}

/* What two parsers could read in two ways, and what is too much. */
static void
test_refused(void **state)
{
	(void)state;
	assert_int_equal(REFUSAL("GET / HTTP/1.1\r\n\r\n"), 400);
	assert_int_equal(REFUSAL("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), 400);
	assert_int_equal(REFUSAL("GET / HTTP/1.1\n" HOST "\r\n"), 400);
	assert_int_equal(REFUSAL("GET / HTTP/1.1\r\n" HOST "A: b\n\r\n"), 400);
	assert_int_equal(
	    REFUSAL("GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n"), 400);
	assert_int_equal(
	    REFUSAL("GET / HTTP/1.1\r\n" HOST "A: b\r\r\n\r\n"), 400);
	assert_int_equal(
	    REFUSAL("GET / HTTP/1.1\r\n" HOST "A: b\0c\r\n\r\n"), 400);
	assert_int_equal(
	    REFUSAL("GET / HTTP/1.1\r\n" HOST "A: b\x01\r\n\r\n"), 400);
	assert_int_equal(
	    REFUSAL("GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n"), 400);
	assert_int_equal(
	    REFUSAL("GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n"), 400);
	assert_int_equal(REFUSAL("GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n"), 400);
	assert_int_equal(REFUSAL("GET / HTTP/1.1\r\n" HOST "A\r\n\r\n"), 400);
	assert_int_equal(REFUSAL("GET  / HTTP/1.1\r\n" HOST "\r\n"), 400);
	assert_int_equal(REFUSAL("GET / x HTTP/1.1\r\n" HOST "\r\n"), 400);
	assert_int_equal(REFUSAL("GET /\x80 HTTP/1.1\r\n" HOST "\r\n"), 400);
	assert_int_equal(REFUSAL("GET /a#b HTTP/1.1\r\n" HOST "\r\n"), 400);
	assert_int_equal(REFUSAL("GET a HTTP/1.1\r\n" HOST "\r\n"), 400);
	assert_int_equal(REFUSAL("GET /\r\n" HOST "\r\n"), 400);
	assert_int_equal(REFUSAL("GET / HTTP/2.0\r\n" HOST "\r\n"), 505);
	assert_int_equal(REFUSAL("GET / HTTP/1.2\r\n" HOST "\r\n"), 505);
	assert_int_equal(REFUSAL("BREW / HTTP/1.1\r\n" HOST "\r\n"), 501);
	assert_int_equal(
	    REFUSAL("CONNECT a.test:25 HTTP/1.1\r\n" HOST "\r\n"), 400);
	assert_int_equal(REFUSAL("POST / HTTP/1.1\r\n" HOST
				 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	    411);
	assert_int_equal(REFUSAL("POST / HTTP/1.1\r\n" HOST
				 "Content-Length: 3\r\nContent-Length: 3\r\n"
				 "\r\nabc"),
	    400);
	assert_int_equal(
	    REFUSAL("POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\nabc"),
	    400);
	assert_int_equal(REFUSAL("POST / HTTP/1.1\r\n" HOST
				 "Content-Length: 3, 3\r\n\r\nabc"),
	    400);
	assert_int_equal(
	    REFUSAL("POST / HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\n"),
	    413);
	assert_int_equal(
	    REFUSAL("POST / HTTP/1.1\r\n" HOST
		    "Content-Length: 18446744073709551617\r\n\r\n"),
	    400);
	assert_int_equal(
	    REFUSAL("GET / HTTP/1.1\r\n" HOST
		    "Authorization: a\r\nauthorization: b\r\n\r\n"),
	    400);
	assert_int_equal(
	    REFUSAL("GET / HTTP/1.1\r\n" HOST "Cookie: a\r\nCookie: b\r\n\r\n"),
	    400);
	assert_int_equal(
	    REFUSAL("GET / HTTP/1.1\r\n" HOST "Expect: gold\r\n\r\n"), 417);
	assert_int_equal(REFUSAL("\x16\x03\x01\x02"), 1);
	assert_int_equal(REFUSAL("\x16\x03\x01\n"), 400);
}

/* Behind the n bytes that are there; how many there are then. */
static size_t
add(char *text, size_t n, const char *more)
{
	size_t len = strlen(more);

	memcpy(text + n, more, len);
	return n + len;
}

static void
test_bounds(void **state)
{
	char *text = xcalloc(1, HTTP_HEAD_MAX + 100);
	size_t n = add(text, 0, "GET / HTTP/1.1\r\n" HOST);

	(void)state;
	for (unsigned i = 1; i < HTTP_FIELDS_MAX; i++)
		n = add(text, n, "A: b\r\n");
	assert_int_equal(refusal(text, add(text, n, "\r\n")), 0);
	assert_int_equal(refusal(text, add(text, n, "A: b\r\n\r\n")), 431);
	n = add(text, 0, "GET / HTTP/1.1\r\n" HOST "A: ");
	memset(text + n, 'a', HTTP_HEAD_MAX - n);
	(void)add(text, HTTP_HEAD_MAX - 4, "\r\n\r\n");
	assert_int_equal(refusal(text, HTTP_HEAD_MAX), 0);
	(void)add(text, HTTP_HEAD_MAX - 4, "aaa\r\n\r\n");
	assert_int_equal(refusal(text, HTTP_HEAD_MAX + 3), 431);
	free(text);
}

static void
test_continue(void **state)
{
	static const char text[] =
	    "POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n"
	    "Content-Length: 2\r\n\r\n";
	struct http_reader *r = http_reader_new();
	size_t used;

	(void)state;
	assert_int_equal(
	    http_reader_feed(r, str_from(text), &used), HTTP_CONTINUE);
	assert_int_equal(used, sizeof(text) - 1);
	assert_true(http_reader_has_head(r));
	assert_int_equal(http_reader_feed(r, STR("a"), &used), HTTP_MORE);
	assert_int_equal(http_reader_feed(r, STR("bc"), &used), HTTP_READY);
	assert_int_equal(used, 1);
	assert_true(str_eq(http_reader_request(r)->body, STR("ab")));
	http_reader_free(r);
}

/* ---- targets ---- */

static bool
is_target(const char *text, struct http_target *t)
{
	const char *why = NULL;
	bool ok = http_target_parse(str_from(text), t, &why);

	assert_true(ok == (why == NULL));
	return ok;
}

static void
test_target(void **state)
{
	static const char *const bad[] = {"", "a", "//", "/a//b", "/a//", "/..",
	    "/a/../b", "/%2e%2e/b", "/.", "/a%", "/a%2", "/a%zz", "/a%00",
	    "/a%0a", "/a\\b", "/a?b=\\", "/%ff", "/a?b=%", "/a?b=%0d"};
	struct http_target t;

	(void)state;
	assert_true(is_target("/", &t));
	assert_int_equal(t.segment_count, 0);
	http_target_clear(&t);
	assert_true(is_target(
	    "/api/v1/senders/a%2fb%40c+d/?frozen=1&name=%C3%A4+b&&x&x", &t));
	assert_int_equal(t.segment_count, 4);
	assert_true(t.is_folder);
	assert_string_equal(t.segments[3].p, "a/b@c+d");
	assert_string_equal(http_target_parameter(&t, "frozen")->p, "1");
	assert_string_equal(http_target_parameter(&t, "name")->p, "\xc3\xa4 b");
	assert_null(http_target_parameter(&t, "x"));
	http_target_clear(&t);
	assert_true(is_target("/a%5cb?c=%5c", &t));
	assert_int_equal(t.segment_count, 1);
	assert_string_equal(t.segments[0].p, "a\\b");
	assert_string_equal(http_target_parameter(&t, "c")->p, "\\");
	assert_null(http_target_parameter(&t, "y"));
	http_target_clear(&t);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(is_target(bad[i], &t));
		http_target_clear(&t);
	}
}

static void
test_target_bounds(void **state)
{
	char text[HTTP_TARGET_MAX + 8];
	struct http_target t;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < HTTP_SEGMENTS_MAX; i++)
		n += (size_t)sprintf(text + n, "/a");
	assert_true(is_target(text, &t));
	http_target_clear(&t);
	sprintf(text + n, "/a");
	assert_false(is_target(text, &t));
	http_target_clear(&t);
	n = (size_t)sprintf(text, "/?");
	for (int i = 0; i < HTTP_PARAMETERS_MAX; i++)
		n += (size_t)sprintf(text + n, "a&");
	assert_true(is_target(text, &t));
	assert_int_equal(t.parameter_count, HTTP_PARAMETERS_MAX);
	http_target_clear(&t);
	sprintf(text + n, "a");
	assert_false(is_target(text, &t));
	http_target_clear(&t);
	memset(text, 'a', sizeof(text) - 1);
	text[0] = '/';
	text[sizeof(text) - 1] = '\0';
	assert_false(is_target(text, &t));
	http_target_clear(&t);
}

/* ---- answers ---- */

static void
test_reply(void **state)
{
	const struct http_reply_field fields[] = {
	    {"Content-Type", STR("text/plain")},
	    {"Location", STR("/a\r\nSet-Cookie: b")}};
	char date[HTTP_DATE_MAX];
	struct buf out;

	(void)state;
	buf_init(&out, 300);
	assert_true(http_reply_head(&out, 404, fields, 2));
	assert_true(str_eq(buf_str(&out),
	    STR("HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n"
		"Location: /a  Set-Cookie: b\r\n\r\n")));
	buf_clear(&out);
	buf_init(&out, 30);
	assert_false(http_reply_head(&out, 404, fields, 2));
	buf_clear(&out);
	assert_string_equal(
	    http_reason(431), "Request Header Fields Too Large");
	assert_string_equal(http_reason(799), "Unknown");
	assert_string_equal(
	    http_date(784111777000, date), "Sun, 06 Nov 1994 08:49:37 GMT");
	assert_string_equal(
	    http_date(INT64_MAX, date), "Thu, 01 Jan 1970 00:00:00 GMT");
}

static unsigned
accepts(const char *accept, const char *type)
{
	struct str s = str_from(accept);

	return http_accepts(&s, type);
}

static void
test_accept(void **state)
{
	static const char prometheus[] =
	    "application/openmetrics-text;version=1.0.0;q=0.5,"
	    "text/plain;version=0.0.4;q=0.4,*/*;q=0.1";

	(void)state;
	assert_int_equal(http_accepts(NULL, "text/plain"), 1000);
	assert_int_equal(accepts("text/html", "text/plain"), 0);
	assert_int_equal(accepts("text/*;q=0.25", "text/plain"), 250);
	assert_int_equal(accepts("*/*, text/plain;q=0", "text/plain"), 0);
	assert_int_equal(
	    accepts(prometheus, "application/openmetrics-text"), 500);
	assert_int_equal(accepts(prometheus, "text/plain"), 400);
	assert_int_equal(accepts(prometheus, "text/html"), 100);
	assert_int_equal(accepts("text/plain;q=2", "text/plain"), 0);
	assert_int_equal(accepts("text/plain;q=1.5", "text/plain"), 0);
	assert_int_equal(accepts("text/plain;q=0.12345", "text/plain"), 0);
}

static void
test_cookie(void **state)
{
	struct str s = STR("a=1; weir=x=y; b=2; c=3; c=4");

	(void)state;
	assert_true(str_eq(http_cookie(&s, "weir"), STR("x=y")));
	assert_true(str_eq(http_cookie(&s, "b"), STR("2")));
	assert_true(str_is_empty(http_cookie(&s, "c")));
	assert_true(str_is_empty(http_cookie(&s, "d")));
	assert_true(str_is_empty(http_cookie(NULL, "a")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_requests),
	    cmocka_unit_test(test_forms),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_continue),
	    cmocka_unit_test(test_target),
	    cmocka_unit_test(test_target_bounds),
	    cmocka_unit_test(test_reply),
	    cmocka_unit_test(test_accept),
	    cmocka_unit_test(test_cookie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
