/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decoder and encoder: every stream is given whole, cut at every byte, and byte
 * by byte, with the same result; and every short stream over the bytes that
 * matter is held against a second, simple-minded decoder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "smtp/data.h"

struct result {
	struct buf text;
	bool ended;
	enum smtp_data_fault fault;
	uint64_t size;
	size_t taken;
	char subject[SMTP_SUBJECT_MAX + 1];
	unsigned chunks;
};

static void
on_chunk(void *arg, struct str chunk)
{
	struct result *r = arg;

	assert_true(chunk.n > 0);
	assert_true(buf_append_str(&r->text, chunk));
	r->chunks++;
}

/* cut: that many bytes first, then the rest; SIZE_MAX: byte by byte. */
static void
decode(const struct smtp_data_limits *limits, struct str in, size_t cut,
    struct result *r)
{
	struct smtp_decoder d;

	*r = (struct result){.fault = SMTP_DATA_OK};
	buf_init(&r->text, 1 << 20);
	smtp_decoder_init(&d, limits);
	while (r->taken < in.n && !r->ended) {
		size_t n = cut == SIZE_MAX  ? 1
			   : r->taken < cut ? cut - r->taken
					    : in.n;
		struct str part = str_sub(in, r->taken, n);
		/* Exact size, so that ASan sees a read past the end. */
		char *mem = xmalloc(part.n);
		struct str copy = {mem, part.n};

		memcpy(mem, part.p, part.n);
		r->ended = smtp_decode(&d, &copy, on_chunk, r);
		r->taken += part.n - copy.n;
		assert_true(r->ended || copy.n == 0);
		free(mem);
	}
	r->fault = d.fault;
	r->size = d.size;
	str_copy(buf_str(&d.subject), r->subject, sizeof(r->subject));
	smtp_decoder_clear(&d);
}

static void
check_same(const struct result *a, const struct result *b)
{
	assert_int_equal(a->ended, b->ended);
	assert_int_equal(a->fault, b->fault);
	assert_int_equal(a->taken, b->taken);
	assert_string_equal(a->subject, b->subject);
	if (a->fault != SMTP_DATA_OK)
		return;
	assert_int_equal(a->size, b->size);
	assert_true(str_eq(buf_str(&a->text), buf_str(&b->text)));
}

static void
decode_all_ways(
    const struct smtp_data_limits *limits, struct str in, struct result *r)
{
	struct result other;

	decode(limits, in, 0, r);
	decode(limits, in, SIZE_MAX, &other);
	check_same(r, &other);
	buf_clear(&other.text);
	for (size_t cut = 1; cut < in.n; cut++) {
		decode(limits, in, cut, &other);
		check_same(r, &other);
		buf_clear(&other.text);
	}
}

struct stream {
	struct str in;
	struct str reject, normalize; /* text; p NULL: a bare newline */
	size_t left;                  /* bytes after the end */
};

#define BAD             \
	{               \
		NULL, 0 \
	}
#define IN(s) STR(s "\r\n.\r\nREST")

static const struct stream streams[] = {
    {STR(".\r\nX"), STR(""), STR(""), 1},
    {IN(""), STR("\r\n"), STR("\r\n"), 4},
    {IN("a"), STR("a\r\n"), STR("a\r\n"), 4},
    {IN("..a\r\n.b\r\n..\r\n..."), STR(".a\r\nb\r\n.\r\n..\r\n"),
	STR(".a\r\nb\r\n.\r\n..\r\n"), 4},
    {IN("a\r\n. "), STR("a\r\n \r\n"), STR("a\r\n \r\n"), 4},
    /* Smuggling: none of these ends the message. */
    {IN("a\n.\nb"), BAD, STR("a\r\n.\r\nb\r\n"), 4},
    {IN("a\n.\r\nb"), BAD, STR("a\r\n.\r\nb\r\n"), 4},
    {IN("a\r.\rb"), BAD, STR("a\r\n.\r\nb\r\n"), 4},
    {IN("a\r.\r\nb"), BAD, STR("a\r\n.\r\nb\r\n"), 4},
    {IN("a\r\n.\nb"), BAD, STR("a\r\n\r\nb\r\n"), 4},
    {IN("a\r\n.\rb"), BAD, STR("a\r\n\r\nb\r\n"), 4},
    {IN("a\r\n\0.\r\nb"), STR("a\r\n\0.\r\nb\r\n"), STR("a\r\n\0.\r\nb\r\n"),
	4},
    {IN("a\r\n.\0\r\nb"), STR("a\r\n\0\r\nb\r\n"), STR("a\r\n\0\r\nb\r\n"), 4},
    {IN("a\r\0\n.\r\nb"), BAD, STR("a\r\n\0\r\n.\r\nb\r\n"), 4},
    {IN("a\r\r\nb"), BAD, STR("a\r\n\r\nb\r\n"), 4},
    {IN("a\n\r\n.\rb"), BAD, STR("a\r\n\r\n\r\nb\r\n"), 4},
    {STR("a\r\n.\r\r\n.\r\nR"), BAD, STR("a\r\n\r\n\r\n"), 1},
    {STR("\n.\r\n\r\n.\r\nR"), BAD, STR("\r\n.\r\n\r\n"), 1},
    /* CR LF . CR LF is the end, whatever stands before it. */
    {STR("a\r\r\n.\r\nR"), BAD, STR("a\r\n\r\n"), 1},
    {STR("a\n\r\n.\r\n.\r\n"), BAD, STR("a\r\n\r\n"), 3},
};

static void
test_streams(void **state)
{
	struct smtp_data_limits reject = {.bare_newline = SMTP_BARE_REJECT};
	struct smtp_data_limits rest[] = {
	    {.bare_newline = SMTP_BARE_NORMALIZE},
	    {.bare_newline = SMTP_BARE_ALLOW},
	};
	struct result r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		const struct stream *s = &streams[i];

		decode_all_ways(&reject, s->in, &r);
		assert_true(r.ended);
		assert_int_equal(s->in.n - r.taken, s->left);
		assert_int_equal(r.fault, s->reject.p != NULL
					      ? SMTP_DATA_OK
					      : SMTP_DATA_BARE_NEWLINE);
		if (s->reject.p != NULL)
			assert_true(str_eq(buf_str(&r.text), s->reject));
		buf_clear(&r.text);
		for (size_t k = 0; k < ARRAY_LEN(rest); k++) {
			decode_all_ways(&rest[k], s->in, &r);
			assert_int_equal(s->in.n - r.taken, s->left);
			assert_true(str_eq(buf_str(&r.text), s->normalize));
			assert_int_equal(r.size, s->normalize.n);
			buf_clear(&r.text);
		}
	}
}

/* Second opinion: the whole stream at once, by searching and replacing. */
static size_t
reference(struct str in, char *out, bool *ended, bool *bare, size_t *taken)
{
	size_t n = 0, i = 0;
	bool start = true;

	*ended = *bare = false;
	while (i < in.n) {
		if (start && str_starts(str_sub(in, i, 3), STR(".\r\n"))) {
			*ended = true;
			i += 3;
			break;
		}
		if (start && in.p[i] == '.') {
			start = false;
			i++;
		} else if (str_starts(str_sub(in, i, 2), STR("\r\n"))) {
			out[n++] = '\r';
			out[n++] = '\n';
			start = true;
			i += 2;
		} else if (in.p[i] == '\r' || in.p[i] == '\n') {
			if (i + 1 == in.n && in.p[i] == '\r') {
				i++;
				break; /* undecided */
			}
			out[n++] = '\r';
			out[n++] = '\n';
			*bare = true;
			start = false;
			i++;
		} else {
			out[n++] = in.p[i++];
			start = false;
		}
	}
	*taken = i;
	return n;
}

static void
check_exhaustive(struct str in)
{
	struct smtp_data_limits normalize = {
	    .bare_newline = SMTP_BARE_NORMALIZE};
	struct smtp_data_limits reject = {.bare_newline = SMTP_BARE_REJECT};
	char want[64];
	bool ended, bare;
	size_t taken, n = reference(in, want, &ended, &bare, &taken);
	struct result r;

	for (int way = 0; way < 3; way++) {
		size_t cut = way == 0 ? 0 : way == 1 ? SIZE_MAX : in.n / 2;

		decode(&normalize, in, cut, &r);
		assert_int_equal(r.ended, ended);
		assert_int_equal(r.taken, taken);
		assert_true(str_eq(buf_str(&r.text), (struct str){want, n}));
		buf_clear(&r.text);
		decode(&reject, in, cut, &r);
		assert_int_equal(r.ended, ended);
		assert_int_equal(r.taken, taken);
		assert_int_equal(r.fault == SMTP_DATA_BARE_NEWLINE, bare);
		buf_clear(&r.text);
	}
}

static void
test_exhaustive(void **state)
{
	static const char alphabet[] = {'\r', '\n', '.', 'a'};
	char in[9];

	(void)state;
	for (size_t n = 1; n <= sizeof(in); n++) {
		for (unsigned code = 0; code < 1u << (2 * n); code++) {
			for (size_t i = 0; i < n; i++)
				in[i] = alphabet[(code >> (2 * i)) & 3];
			check_exhaustive((struct str){in, n});
		}
	}
}

struct limited {
	struct smtp_data_limits limits;
	struct str in;
	enum smtp_data_fault fault;
};

#define R "Received: x\r\n"
static const struct limited limited[] = {
    {{.size_max = 5}, STR("\r\nabc\r\n.\r\n"), SMTP_DATA_TOO_BIG},
    {{.size_max = 7}, STR("\r\nabc\r\n.\r\n"), SMTP_DATA_OK},
    {{.size_max = 6}, STR("\r\nabc\r\n.\r\n"), SMTP_DATA_TOO_BIG},
    {{.line_max = 3}, STR("\r\nabcd\r\n.\r\n"), SMTP_DATA_LINE_TOO_LONG},
    {{.line_max = 3}, STR("\r\nabc\r\n....\r\n.\r\n"), SMTP_DATA_OK},
    {{.line_max = 3, .size_max = 4}, STR("\r\nabcd\r\n.\r\n"),
	SMTP_DATA_TOO_BIG},
    {{.line_max = 3, .size_max = 5}, STR("\r\nabcd\r\n.\r\n"),
	SMTP_DATA_TOO_BIG},
    {{.line_max = 3, .size_max = 6}, STR("\r\nabcd\r\n.\r\n"),
	SMTP_DATA_LINE_TOO_LONG},
    {{.line_max = 3}, STR("a\nbcde\r\n.\r\n"), SMTP_DATA_BARE_NEWLINE},
    {{.line_max = 3}, STR("abcd\ne\r\n.\r\n"), SMTP_DATA_LINE_TOO_LONG},
    {{.header_max = 6}, STR("a: b\r\n\r\n.\r\n"), SMTP_DATA_HEADER_TOO_BIG},
    {{.header_max = 8}, STR("a: b\r\n\r\nlong body\r\n.\r\n"), SMTP_DATA_OK},
    {{.header_max = 12}, STR("no header but text\r\nb\r\n.\r\n"), SMTP_DATA_OK},
    {{.received_max = 2}, STR(R R "\r\n.\r\n"), SMTP_DATA_OK},
    {{.received_max = 2}, STR(R R R "\r\n.\r\n"), SMTP_DATA_LOOP},
    {{.received_max = 2}, STR("rEceived :x\r\n" R R "\r\n.\r\n"),
	SMTP_DATA_LOOP},
    {{.received_max = 2}, STR(R R "\r\n" R "\r\n.\r\n"), SMTP_DATA_OK},
    {{.received_max = 2}, STR(R R "X: y\r\n " R "\r\n.\r\n"), SMTP_DATA_OK},
    {{.received_max = 2}, STR(R R "Receivedx: y\r\n\r\n.\r\n"), SMTP_DATA_OK},
};

static void
test_limits(void **state)
{
	struct result r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(limited); i++) {
		decode_all_ways(&limited[i].limits, limited[i].in, &r);
		assert_true(r.ended);
		assert_int_equal(r.taken, limited[i].in.n);
		if (r.fault != limited[i].fault)
			fail_msg("%.*s: fault %d", STR_ARG(limited[i].in),
			    (int)r.fault);
		buf_clear(&r.text);
	}
}

#define LONG50 "aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa "
static const struct {
	struct str in;
	const char *subject;
} subjects[] = {
    {STR("Subject: hi there\r\n\r\n.\r\n"), "hi there"},
    {STR("A: b\r\nsubject:\r\n folded\r\n\tagain\r\nC: d\r\n\r\n.\r\n"),
	"folded\tagain"},
    {STR("Subject: one\r\nSubject: two\r\n\r\n.\r\n"), "one"},
    {STR("A: b\r\n\r\nSubject: body\r\n.\r\n"), ""},
    {STR("Subjects: x\r\n\r\n.\r\n"), ""},
    {STR("text\r\nSubject: x\r\n\r\n.\r\n"), ""},
    {STR("Subject: " LONG50 LONG50 LONG50 "\r\n " LONG50 LONG50 LONG50
	 "\r\n\r\n.\r\n"),
	LONG50 LONG50 LONG50 " " LONG50 LONG50 "aaaaa"},
};

static void
test_subject(void **state)
{
	struct smtp_data_limits limits = {0};
	struct result r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
		decode_all_ways(&limits, subjects[i].in, &r);
		assert_string_equal(r.subject, subjects[i].subject);
		buf_clear(&r.text);
	}
}

static void
test_runs_are_not_cut(void **state)
{
	struct smtp_data_limits limits = {.line_max = 998};
	struct buf in;
	struct result r;

	(void)state;
	buf_init(&in, 1 << 20);
	for (int i = 0; i < 1000; i++)
		assert_true(buf_append_str(&in, STR("a line of text\r\n")));
	assert_true(buf_append_str(&in, STR(".\r\n")));
	decode(&limits, buf_str(&in), 0, &r);
	assert_true(r.ended);
	assert_int_equal(r.chunks, 1);
	buf_clear(&r.text);
	buf_clear(&in);
}

static void
encode(struct str in, size_t cut, struct result *r)
{
	struct smtp_encoder e;

	*r = (struct result){.fault = SMTP_DATA_OK};
	buf_init(&r->text, 1 << 20);
	smtp_encoder_init(&e);
	for (size_t at = 0; at < in.n;) {
		size_t n = cut == SIZE_MAX ? 1 : at < cut ? cut - at : in.n;
		struct str part = str_sub(in, at, n);

		smtp_encode(&e, part, on_chunk, r);
		at += part.n;
	}
	smtp_encode_end(&e, on_chunk, r);
}

static const struct {
	struct str in, out;
} encoded[] = {
    {STR(""), STR(".\r\n")},
    {STR("a"), STR("a\r\n.\r\n")},
    {STR("a\r\n"), STR("a\r\n.\r\n")},
    {STR(".\r\n..\r\n.a.\r\n"), STR("..\r\n...\r\n..a.\r\n.\r\n")},
    {STR("a\n.\n"), STR("a\r\n..\r\n.\r\n")},
    {STR("a\r.\r"), STR("a\r\n..\r\n.\r\n")},
    {STR("\r"), STR("\r\n.\r\n")},
    {STR("a\r\r\n\n\r.b"), STR("a\r\n\r\n\r\n\r\n..b\r\n.\r\n")},
    {STR("a\0.\r\n\0."), STR("a\0.\r\n\0.\r\n.\r\n")},
};

static void
test_encoder(void **state)
{
	struct result r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(encoded); i++) {
		for (size_t cut = 0; cut <= encoded[i].in.n; cut++) {
			encode(encoded[i].in,
			    cut == encoded[i].in.n ? SIZE_MAX : cut, &r);
			assert_true(str_eq(buf_str(&r.text), encoded[i].out));
			buf_clear(&r.text);
		}
	}
}

/* Whatever goes into the encoder, the decoder finds one clean message in what
 * comes out, and encoding that again changes nothing. */
static void
test_round_trip(void **state)
{
	static const char alphabet[] = {'\r', '\n', '.', 'a'};
	struct smtp_data_limits limits = {.bare_newline = SMTP_BARE_REJECT};
	struct result wire, text, again;
	char in[7];

	(void)state;
	for (unsigned code = 0; code < 1u << (2 * sizeof(in)); code++) {
		for (size_t i = 0; i < sizeof(in); i++)
			in[i] = alphabet[(code >> (2 * i)) & 3];
		encode((struct str){in, sizeof(in)}, code % 7, &wire);
		decode(&limits, buf_str(&wire.text), code % 5, &text);
		assert_true(text.ended);
		assert_int_equal(text.fault, SMTP_DATA_OK);
		assert_int_equal(text.taken, wire.text.len);
		encode(buf_str(&text.text), 0, &again);
		assert_true(str_eq(buf_str(&wire.text), buf_str(&again.text)));
		buf_clear(&wire.text);
		buf_clear(&text.text);
		buf_clear(&again.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_streams),
	    cmocka_unit_test(test_exhaustive),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_subject),
	    cmocka_unit_test(test_runs_are_not_cut),
	    cmocka_unit_test(test_encoder),
	    cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
