/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The head is collected until its empty line, checked byte by byte, and then
 * given to libhttp-parser in one piece, so that each field comes out of it in
 * one piece. The body is counted here: what the library thinks of Upgrade and
 * the like has no part in where a request ends.
 */
#include "http/reader.h"

#include "base/buf.h"

#include <http_parser.h>
#include <stdlib.h>
#include <string.h>

enum phase { PHASE_HEAD, PHASE_BODY, PHASE_READY, PHASE_REFUSED };

struct http_reader {
	enum phase phase;
	struct buf head, body;
	size_t body_size;
	unsigned skipped; /* bytes of an empty line before the head */
	bool is_continue_due;
	struct http_request request;
	struct http_refusal refusal;
};

struct http_reader *
http_reader_new(void)
{
	struct http_reader *r = xcalloc(1, sizeof(*r));

	buf_init(&r->head, HTTP_HEAD_MAX);
	buf_init(&r->body, HTTP_BODY_MAX);
	return r;
}

void
http_reader_free(struct http_reader *r)
{
	if (r == NULL)
		return;
	buf_clear(&r->head);
	buf_clear(&r->body);
	free(r);
}

static bool
refuse(struct http_reader *r, unsigned code, const char *text)
{
	r->phase = PHASE_REFUSED;
	r->refusal = (struct http_refusal){code, text};
	return false;
}

/* ---- what the library would let pass ---- */

/* RFC 9110 5.6.2 */
static bool
is_token_char(char c)
{
	return str_is_alnum(c) ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_token_char(s.p[i]))
			return false;
	}
	return s.n > 0;
}

static bool
is_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* "GET /path HTTP/1.1": one blank between the parts, no others. */
static bool
check_request_line(struct http_reader *r, struct str line)
{
	struct str rest = line, method = str_cut(&rest, ' ');
	struct str target = str_cut(&rest, ' ');

	if (!is_token(method) || target.n == 0)
		return refuse(r, 400, "The request line is malformed.");
	for (size_t i = 0; i < target.n; i++) {
		unsigned char c = (unsigned char)target.p[i];

		if (c <= ' ' || c >= 0x7f || c == '#')
			return refuse(r, 400,
			    "The request target contains characters that must "
			    "be percent-encoded.");
	}
	r->request.is_1_0 = str_eq(rest, STR("HTTP/1.0"));
	if (!r->request.is_1_0 && !str_eq(rest, STR("HTTP/1.1")))
		return refuse(r, str_starts(rest, STR("HTTP/")) ? 505 : 400,
		    "The version must be HTTP/1.1 or HTTP/1.0.");
	return true;
}

static bool
check_field(struct http_reader *r, struct str line)
{
	struct str value = line, name = str_cut(&value, ':');

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return refuse(r, 400, "A header line is folded.");
	if (name.n == line.n || !is_token(name) || !is_text(value))
		return refuse(r, 400, "A header line is malformed.");
	if (r->request.field_count >= HTTP_FIELDS_MAX)
		return refuse(r, 431, "There are too many header lines.");
	r->request.fields[r->request.field_count++] =
	    (struct http_field){name, str_trim(value)};
	return true;
}

static size_t
count_fields(const struct http_request *q, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < q->field_count; i++)
		n += str_ieq(q->fields[i].name, str_from(name));
	return n;
}

/* Of two one would be believed here and the other elsewhere. */
static bool
check_doubled(struct http_reader *r)
{
	static const char *const single[] = {"Authorization", "Cookie",
	    "Content-Type", "Content-Length", "Origin", "Expect"};

	for (size_t i = 0; i < ARRAY_LEN(single); i++) {
		if (count_fields(&r->request, single[i]) > 1)
			return refuse(r, 400,
			    "A header field that is allowed only once is "
			    "given twice.");
	}
	if (count_fields(&r->request, "Host") != 1)
		return refuse(r, 400, "There must be exactly one Host field.");
	if (count_fields(&r->request, "Transfer-Encoding") > 0)
		return refuse(r, 411,
		    "A body must be sent with Content-Length, without "
		    "Transfer-Encoding.");
	return true;
}

static bool
check_head(struct http_reader *r)
{
	struct str rest = buf_str(&r->head), line = str_cut(&rest, '\n');

	/* Each line ends in CR LF, see take_head. */
	if (!check_request_line(r, str_sub(line, 0, line.n - 1)))
		return false;
	for (line = str_cut(&rest, '\n'); line.n > 1;
	     line = str_cut(&rest, '\n')) {
		if (!check_field(r, str_sub(line, 0, line.n - 1)))
			return false;
	}
	return check_doubled(r);
}

/* ---- what the library reads ---- */

static int
on_url(http_parser *p, const char *at, size_t n)
{
	struct http_request *q = p->data;

	q->target = (struct str){at, n};
	return 0;
}

static int
on_headers_complete(http_parser *p)
{
	struct http_request *q = p->data;

	q->keeps_alive = http_should_keep_alive(p) != 0;
	/* That is all we want to know: it reads no body. */
	http_parser_pause(p, 1);
	return 0;
}

static bool
parse_head(struct http_reader *r)
{
	http_parser_settings settings;
	http_parser p;
	struct str head = buf_str(&r->head);

	http_parser_settings_init(&settings);
	settings.on_url = on_url;
	settings.on_headers_complete = on_headers_complete;
	http_parser_init(&p, HTTP_REQUEST);
	p.data = &r->request;
	(void)http_parser_execute(&p, &settings, head.p, head.n);
	if (HTTP_PARSER_ERRNO(&p) == HPE_INVALID_METHOD)
		return refuse(r, 501, "The method is not known.");
	if (HTTP_PARSER_ERRNO(&p) != HPE_PAUSED || r->request.target.n == 0)
		return refuse(r, 400, "The request is malformed.");
	r->request.method =
	    str_from(http_method_str((enum http_method)p.method));
	return true;
}

/* RFC 9112 3.2: "/path", or "http://host/path", which is said to a proxy and
 * has to be understood by others; then the host is the Host. */
static bool
to_origin_form(struct http_reader *r)
{
	struct http_request *q = &r->request;
	struct str t = q->target, authority;
	size_t skip = str_istarts(t, STR("http://"))    ? 7
		      : str_istarts(t, STR("https://")) ? 8
							: 0;

	if (skip > 0) {
		authority = str_sub(t, skip, t.n);
		authority = str_sub(authority, 0, str_index(authority, '/'));
		if (!str_ieq(authority, q->host))
			return refuse(r, 400, "The target names another host.");
		q->target = str_sub(t, skip + authority.n, t.n);
	}
	if (q->target.n == 0 || q->target.p[0] != '/')
		return refuse(
		    r, 400, "The request target must begin with a slash.");
	return true;
}

static bool
find_body_size(struct http_reader *r)
{
	const struct str *length =
	    http_request_field(&r->request, "Content-Length");
	uint64_t n = 0;

	if (length != NULL && !str_to_u64(*length, &n))
		return refuse(r, 400, "Content-Length is not a number.");
	if (n > HTTP_BODY_MAX)
		return refuse(r, 413, "The body is longer than 64 KiB.");
	r->body_size = (size_t)n;
	return true;
}

static bool
find_expectation(struct http_reader *r)
{
	const struct str *expect = http_request_field(&r->request, "Expect");

	if (expect == NULL)
		return true;
	if (!str_ieq(*expect, STR("100-continue")))
		return refuse(r, 417, "Only 100-continue can be expected.");
	r->is_continue_due = !r->request.is_1_0 && r->body_size > 0;
	return true;
}

static bool
read_head(struct http_reader *r)
{
	if (!check_head(r) || !parse_head(r))
		return false;
	r->request.host = *http_request_field(&r->request, "Host");
	return to_origin_form(r) && find_body_size(r) && find_expectation(r);
}

/* ---- bytes ---- */

/* One empty line before a request is passed over (RFC 9112 2.2); old clients
 * send one behind a body. False: CR without LF. */
static bool
skip_empty_line(struct http_reader *r, struct str in, size_t *n)
{
	static const char line[] = "\r\n";

	*n = 0;
	while (r->head.len == 0 && r->skipped < 2 && *n < in.n &&
	       in.p[*n] == line[r->skipped]) {
		r->skipped++;
		++*n;
	}
	return r->skipped != 1 || *n == in.n;
}

/* How many bytes of `in` the head takes; *is_whole: its end is among them.
 * False: they hold what no head may hold. */
static bool
scan_head(const struct http_reader *r, struct str in, size_t *n, bool *is_whole)
{
	struct str had = buf_str(&r->head);
	char last = had.n > 0 ? had.p[had.n - 1] : '\0';
	size_t lines = had.n - (last == '\r');
	/* Ends of lines in a row, before the bytes at hand. */
	unsigned ends = lines > 0 && had.p[lines - 1] == '\n';

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (c == '\0' || (c == '\n') != (last == '\r'))
			return false;
		if (c == '\n') {
			if (++ends == 2) {
				*n = i + 1;
				*is_whole = true;
				return true;
			}
		} else if (c != '\r') {
			ends = 0;
		}
		last = c;
	}
	*n = in.n;
	*is_whole = false;
	return true;
}

/* True: the head is whole and good. */
static bool
take_head(struct http_reader *r, struct str in, size_t *used)
{
	size_t skip, n;
	struct str rest;
	bool is_whole;

	if (!skip_empty_line(r, in, &skip))
		return refuse(r, 400, "Lines have to end in CR LF.");
	rest = str_sub(in, skip, buf_room(&r->head));
	if (!scan_head(r, rest, &n, &is_whole))
		return refuse(r, 400, "Lines have to end in CR LF.");
	*used = skip + n;
	if (!buf_append(&r->head, rest.p, n))
		panic("http: a head of more than its room");
	if (!is_whole && buf_room(&r->head) == 0)
		return refuse(r, 431, "The header is longer than 16 KiB.");
	if (!is_whole || !read_head(r))
		return false;
	r->phase = r->body_size > 0 ? PHASE_BODY : PHASE_READY;
	return true;
}

static void
take_body(struct http_reader *r, struct str in, size_t *used)
{
	struct str part = str_sub(in, *used, r->body_size - r->body.len);

	if (!buf_append_str(&r->body, part))
		panic("http: a body of %zu bytes", r->body_size);
	*used += part.n;
	if (r->body.len < r->body_size)
		return;
	r->request.body = buf_str(&r->body);
	r->phase = PHASE_READY;
}

enum http_progress
http_reader_feed(struct http_reader *r, struct str in, size_t *used)
{
	*used = 0;
	if (r->phase == PHASE_HEAD)
		(void)take_head(r, in, used);
	if (r->phase == PHASE_BODY)
		take_body(r, in, used);
	switch (r->phase) {
	case PHASE_READY:
		return HTTP_READY;
	case PHASE_REFUSED:
		return HTTP_REFUSED;
	case PHASE_BODY:
		if (r->is_continue_due) {
			r->is_continue_due = false;
			return HTTP_CONTINUE;
		}
		break;
	case PHASE_HEAD:
		break;
	}
	return HTTP_MORE;
}

bool
http_reader_is_inside(const struct http_reader *r)
{
	return r->phase == PHASE_BODY ||
	       (r->phase == PHASE_HEAD && r->head.len > 0);
}

bool
http_reader_has_head(const struct http_reader *r)
{
	return r->phase == PHASE_BODY || r->phase == PHASE_READY;
}

const struct http_request *
http_reader_request(const struct http_reader *r)
{
	return &r->request;
}

struct http_refusal
http_reader_refusal(const struct http_reader *r)
{
	return r->refusal;
}

void
http_reader_next(struct http_reader *r)
{
	if (r->phase != PHASE_READY)
		panic("http: the next request before this one");
	r->phase = PHASE_HEAD;
	buf_reset(&r->head);
	buf_reset(&r->body);
	/* An idle connection keeps no memory. */
	buf_trim(&r->head);
	buf_trim(&r->body);
	r->body_size = 0;
	r->skipped = 0;
	r->is_continue_due = false;
	r->request = (struct http_request){.field_count = 0};
}

const struct str *
http_request_field(const struct http_request *q, const char *name)
{
	for (size_t i = 0; i < q->field_count; i++) {
		if (str_ieq(q->fields[i].name, str_from(name)))
			return &q->fields[i].value;
	}
	return NULL;
}
