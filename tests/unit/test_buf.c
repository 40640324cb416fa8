/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The byte queue: bounds, sliding, and what it gives back.
 */
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_bounds(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_true(buf_append(&b, "12345", 5));
	assert_false(buf_append(&b, "123456", 6));
	assert_int_equal(b.len, 5);
	assert_int_equal(buf_room(&b), 5);
	assert_false(buf_printf(&b, "%d", 123456));
	assert_true(buf_printf(&b, "%d", 67890));
	assert_true(str_eq(buf_str(&b), STR("1234567890")));
	assert_false(buf_append(&b, "x", 1));
	assert_true(buf_append(&b, NULL, 0));
	assert_null(buf_reserve(&b, 1));
	assert_null(buf_reserve(&b, SIZE_MAX));
	buf_consume(&b, 1);
	assert_true(buf_append(&b, "x", 1));
	assert_true(str_eq(buf_str(&b), STR("234567890x")));
	buf_clear(&b);
	assert_int_equal(buf_room(&b), 10);
}

/* Against a plain array, through many refills and a full buffer. */
static void
test_slides(void **state)
{
	struct buf b;
	unsigned in = 0, out = 0;
	uint32_t random = 1;

	(void)state;
	buf_init(&b, 1000);
	for (int i = 0; i < 200000; i++) {
		unsigned char piece[300];
		size_t n;

		random = random * 1664525u + 1013904223u;
		n = (random >> 16) % sizeof(piece);
		for (size_t k = 0; k < n; k++)
			piece[k] = (unsigned char)((in + k) % 251);
		if (buf_append(&b, piece, n))
			in += n;
		n = (random >> 8) % (b.len + 1);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(
			    (unsigned char)buf_str(&b).p[k], (out + k) % 251);
		buf_consume(&b, n);
		out += n;
		assert_int_equal(b.len, in - out);
		assert_true(b.cap <= 2000);
	}
	buf_clear(&b);
}

static void
test_reserve(void **state)
{
	struct buf b;
	char *room;

	(void)state;
	buf_init(&b, 4);
	room = buf_reserve(&b, 4);
	assert_non_null(room);
	memcpy(room, "abc", 3);
	buf_commit(&b, 3);
	assert_true(str_eq(buf_str(&b), STR("abc")));
	assert_non_null(buf_reserve(&b, 0));
	assert_null(buf_reserve(&b, 2));
	buf_clear(&b);
}

static void
test_memory(void **state)
{
	struct buf b;
	char *text;

	(void)state;
	buf_init(&b, 100);
	assert_true(str_is_empty(buf_str(&b)));
	text = buf_take(&b);
	assert_string_equal(text, "");
	free(text);
	assert_true(buf_append_str(&b, STR("hello")));
	buf_trim(&b);
	assert_non_null(b.mem);
	buf_consume(&b, 5);
	buf_trim(&b);
	assert_null(b.mem);
	assert_true(buf_append_str(&b, STR("again")));
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_non_null(b.mem);
	assert_true(buf_append_str(&b, STR("more")));
	text = buf_take(&b);
	assert_string_equal(text, "more");
	assert_null(b.mem);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_slides),
	    cmocka_unit_test(test_reserve),
	    cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
