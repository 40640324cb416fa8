/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fast way over clean lines against a slow one, and the decoder and the
 * encoder on texts that are long enough to take it, cut anywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "smtp/clean.h"
#include "smtp/data.h"

#define TEXT_MAX 600
#define ROUNDS 200000

static uint64_t
next_random(uint64_t *x)
{
	*x = *x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *x >> 33;
}

/* Mostly clean lines, and a few bytes that are not. */
static size_t
make_text(char *out, uint64_t *seed)
{
	static const char odd[] = "\r\n.\r\n.a";
	size_t n = next_random(seed) % TEXT_MAX;
	size_t line = 20 + next_random(seed) % 200;

	for (size_t i = 0; i < n; i++)
		out[i] = i % line == line - 2   ? '\r'
			 : i % line == line - 1 ? '\n'
						: 'x';
	for (uint64_t k = next_random(seed) % 3; n > 0 && k > 0; k--)
		out[next_random(seed) % n] = odd[next_random(seed) % 7];
	return n;
}

/* The longest run of clean lines. */
static size_t
slow_clean(const char *p, size_t n)
{
	size_t good = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '.' && i == good)
			return good;
		if (p[i] == '\r' && (i + 1 == n || p[i + 1] != '\n'))
			return good;
		if (p[i] == '\n' && (i == 0 || p[i - 1] != '\r'))
			return good;
		if (p[i] == '\n')
			good = i + 1;
	}
	return good;
}

static void
test_never_too_much(void **state)
{
	char text[TEXT_MAX];
	uint64_t seed = 1;
	size_t far = 0;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		size_t n = make_text(text, &seed);
		size_t most = slow_clean(text, n);
		size_t fast = smtp_clean_lines((struct str){text, n});

		assert_true(fast <= most);
		assert_true(fast == 0 || text[fast - 1] == '\n');
		far += fast;
	}
	assert_true(far > ROUNDS * 50); /* the fast way was taken */
}

static void
on_chunk(void *arg, struct str chunk)
{
	assert_true(buf_append_str(arg, chunk));
}

struct outcome {
	struct buf text, wire;
	struct buf relayed; /* each chunk of the text as it came, encoded */
	struct smtp_encoder relay;
	bool ended;
	enum smtp_data_fault fault;
	uint64_t size;
	size_t taken;
};

static void
on_decoded(void *arg, struct str chunk)
{
	struct outcome *o = arg;

	on_chunk(&o->text, chunk);
	smtp_encode_decoded(&o->relay, chunk, on_chunk, &o->relayed);
}

static void
run(struct outcome *o, struct str in, size_t step,
    const struct smtp_data_limits *limits)
{
	struct smtp_decoder d;
	struct smtp_encoder e;

	*o = (struct outcome){0};
	buf_init(&o->text, 1 << 16);
	buf_init(&o->wire, 1 << 16);
	buf_init(&o->relayed, 1 << 16);
	smtp_encoder_init(&o->relay);
	smtp_decoder_init(&d, limits);
	while (o->taken < in.n && !o->ended) {
		struct str part = str_sub(in, o->taken, step);
		size_t n = part.n;

		o->ended = smtp_decode(&d, &part, on_decoded, o);
		o->taken += n - part.n;
	}
	smtp_encode_end(&o->relay, on_chunk, &o->relayed);
	o->fault = d.fault;
	o->size = d.size;
	smtp_decoder_clear(&d);
	smtp_encoder_init(&e);
	for (size_t at = 0; at < in.n; at += step)
		smtp_encode(&e, str_sub(in, at, step), on_chunk, &o->wire);
	smtp_encode_end(&e, on_chunk, &o->wire);
}

static void
assert_same(struct buf *a, struct buf *b)
{
	assert_int_equal(a->len, b->len);
	assert_memory_equal(buf_str(a).p, buf_str(b).p, a->len);
	buf_clear(a);
	buf_clear(b);
}

/* Not to search what the decoder let through changes nothing. */
static void
assert_relayed(struct outcome *o)
{
	struct smtp_encoder e;
	struct buf wire;

	buf_init(&wire, 1 << 16);
	smtp_encoder_init(&e);
	smtp_encode(&e, buf_str(&o->text), on_chunk, &wire);
	smtp_encode_end(&e, on_chunk, &wire);
	assert_same(&wire, &o->relayed);
}

static void
test_cuts_make_no_difference(void **state)
{
	const struct smtp_data_limits some[] = {
	    {.line_max = 1000, .bare_newline = SMTP_BARE_NORMALIZE},
	    {.line_max = 512, .size_max = 400},
	    {.size_max = 300, .bare_newline = SMTP_BARE_NORMALIZE},
	    {.header_max = 200},
	};
	char text[TEXT_MAX + 8] = "a: b\r\n\r\n";
	uint64_t seed = 2;

	(void)state;
	for (int i = 0; i < ROUNDS / 20; i++) {
		const struct smtp_data_limits *l = &some[i % 4];
		size_t n = 8 + make_text(text + 8, &seed);
		struct outcome whole, bytes;

		run(&whole, (struct str){text, n}, n, l);
		run(&bytes, (struct str){text, n}, 1, l);
		assert_relayed(&whole);
		assert_relayed(&bytes);
		assert_int_equal(whole.ended, bytes.ended);
		assert_int_equal(whole.fault, bytes.fault);
		assert_int_equal(whole.taken, bytes.taken);
		if (whole.fault == SMTP_DATA_OK) {
			assert_int_equal(whole.size, bytes.size);
			assert_same(&whole.text, &bytes.text);
		}
		/* What was handed over before a fault goes nowhere. */
		buf_clear(&whole.text);
		buf_clear(&bytes.text);
		assert_same(&whole.wire, &bytes.wire);
	}
}

static void
test_rest_of_a_chunk(void **state)
{
	static const struct str chunk = STR("\r\na.b\r\nc\r\n");

	(void)state;
	/* Its start goes another way, as smtp_opening's does. */
	for (size_t at = 0; at <= chunk.n; at++) {
		struct outcome whole = {0}, cut = {0};

		buf_init(&whole.relayed, 100);
		buf_init(&cut.relayed, 100);
		smtp_encoder_init(&whole.relay);
		smtp_encoder_init(&cut.relay);
		smtp_encode(&whole.relay, chunk, on_chunk, &whole.relayed);
		smtp_encode(
		    &cut.relay, str_sub(chunk, 0, at), on_chunk, &cut.relayed);
		smtp_encode_decoded(&cut.relay, str_sub(chunk, at, chunk.n),
		    on_chunk, &cut.relayed);
		assert_same(&whole.relayed, &cut.relayed);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_never_too_much),
	    cmocka_unit_test(test_cuts_make_no_difference),
	    cmocka_unit_test(test_rest_of_a_chunk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
