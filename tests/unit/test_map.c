/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The map against a plain array of flags, and removal while it is walked.
 */
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define KEYS 5000

static struct str
key_of(unsigned i, char out[16])
{
	return (struct str){out, (size_t)snprintf(out, 16, "key%u", i)};
}

static void
test_basic(void **state)
{
	struct map *m = map_new();
	int one = 1, two = 2;

	(void)state;
	assert_null(map_find(m, STR("")));
	assert_null(map_set(m, STR(""), &one));
	assert_null(map_set(m, STR("a\0b"), &two));
	assert_null(map_find(m, STR("a")));
	assert_ptr_equal(map_find(m, STR("a\0b")), &two);
	assert_ptr_equal(map_set(m, STR("a\0b"), &one), &two);
	assert_int_equal(map_count(m), 2);
	assert_ptr_equal(map_remove(m, STR("")), &one);
	assert_null(map_remove(m, STR("")));
	assert_int_equal(map_count(m), 1);
	map_free(m, NULL);
	map_free(NULL, NULL);
}

/* Keys are copied. */
static void
test_key_copied(void **state)
{
	struct map *m = map_new();
	char key[] = "abc";

	(void)state;
	map_set(m, str_from(key), key);
	memset(key, 'q', 3);
	assert_non_null(map_find(m, STR("abc")));
	assert_null(map_find(m, STR("qqq")));
	map_free(m, NULL);
}

static void
test_against_model(void **state)
{
	struct map *m = map_new();
	static unsigned char is_in[KEYS];
	uint32_t random = 42;
	size_t count = 0;
	char text[16];

	(void)state;
	for (int i = 0; i < 200000; i++) {
		unsigned k;
		struct str key;

		random = random * 1664525u + 1013904223u;
		k = (random >> 8) % KEYS;
		key = key_of(k, text);
		if (random >> 31) {
			assert_ptr_equal(map_set(m, key, &is_in[k]),
			    is_in[k] ? &is_in[k] : NULL);
			count += !is_in[k];
			is_in[k] = 1;
		} else {
			assert_ptr_equal(
			    map_remove(m, key), is_in[k] ? &is_in[k] : NULL);
			count -= is_in[k];
			is_in[k] = 0;
		}
		assert_int_equal(map_count(m), count);
	}
	for (unsigned k = 0; k < KEYS; k++)
		assert_ptr_equal(
		    map_find(m, key_of(k, text)), is_in[k] ? &is_in[k] : NULL);
	map_free(m, NULL);
}

/* Every entry is seen once, whichever are removed on the way. */
static void
test_each_removes(void **state)
{
	struct map *m = map_new();
	static int seen[KEYS];
	size_t pos = 0, walked = 0;
	struct str key;
	void *value;
	char text[16];

	(void)state;
	assert_false(map_each(m, &pos, &key, &value));
	for (unsigned k = 0; k < KEYS; k++)
		map_set(m, key_of(k, text), &seen[k]);
	for (pos = 0; map_each(m, &pos, &key, &value); walked++) {
		int *mark = value;

		assert_true(str_eq(key, key_of((unsigned)(mark - seen), text)));
		(*mark)++;
		if ((mark - seen) % 3 != 0)
			assert_ptr_equal(map_remove(m, key), value);
	}
	assert_false(map_each(m, &pos, &key, &value));
	assert_int_equal(walked, KEYS);
	for (unsigned k = 0; k < KEYS; k++) {
		assert_int_equal(seen[k], 1);
		assert_int_equal(
		    map_find(m, key_of(k, text)) != NULL, k % 3 == 0);
	}
	map_free(m, NULL);
}

static void
test_free_values(void **state)
{
	struct map *m = map_new();

	(void)state;
	map_set(m, STR("a"), xstrdup("1"));
	map_set(m, STR("b"), xstrdup("2"));
	map_free(m, free); /* the sanitizer would tell */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_basic),
	    cmocka_unit_test(test_key_copied),
	    cmocka_unit_test(test_against_model),
	    cmocka_unit_test(test_each_removes),
	    cmocka_unit_test(test_free_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
