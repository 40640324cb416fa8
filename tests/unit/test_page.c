/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The page's files as they are in the daemons: all that they name is there, and
 * each unpacks to what lies in src/page.
 */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "page/page.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define TEXT_MAX (1 << 20)
#define GZIP_BITS (15 + 16)
#define PAGE_MAX (50 * 1024) /* all files, as they are sent */

static size_t
unpack(const struct page_file *f, char *out)
{
	z_stream z = {.next_in = (unsigned char *)(uintptr_t)f->gz,
	    .avail_in = (uInt)f->gz_size,
	    .next_out = (unsigned char *)out,
	    .avail_out = TEXT_MAX - 1};

	assert_int_equal(inflateInit2(&z, GZIP_BITS), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	inflateEnd(&z);
	out[z.total_out] = '\0';
	return z.total_out;
}

static void
test_files_are_those_of_the_tree(void **state)
{
	static char text[TEXT_MAX], source[TEXT_MAX];

	(void)state;
	for (const struct page_file *f = page_files; f->path != NULL; f++) {
		const char *name =
		    strcmp(f->path, "/") == 0 ? "/index.html" : f->path;
		char path[512];
		FILE *in;
		size_t n;

		snprintf(path, sizeof(path), WEIR_SRCDIR "/src/page%s", name);
		in = fopen(path, "rb");
		assert_non_null(in);
		n = fread(source, 1, sizeof(source), in);
		fclose(in);
		assert_int_equal(unpack(f, text), n);
		assert_memory_equal(text, source, n);
		assert_int_equal(f->etag[0], '"');
		assert_non_null(strchr(f->type, '/'));
	}
}

/* Each name between double quotes that is a file's. */
static void
look_for_names(const char *text)
{
	const char *p = text;

	while ((p = strchr(p, '"')) != NULL) {
		size_t n = strcspn(++p, "\"\n");
		char path[128];

		if (n < 4 || n > 100 ||
		    (strncmp(p + n - 3, ".js", 3) != 0 &&
			strncmp(p + n - 4, ".css", 4) != 0))
			continue;
		if (strncmp(p, "./", 2) == 0) {
			p += 2;
			n -= 2;
		}
		snprintf(path, sizeof(path), "/%.*s", (int)n, p);
		if (page_find(path) == NULL)
			fail_msg("%s is not there", path);
	}
}

static void
test_what_is_named_is_there(void **state)
{
	static char text[TEXT_MAX];
	size_t sum = 0;

	(void)state;
	for (const struct page_file *f = page_files; f->path != NULL; f++) {
		unpack(f, text);
		look_for_names(text);
		sum += f->gz_size;
	}
	assert_non_null(page_find("/"));
	assert_non_null(page_find("/main.js"));
	assert_in_range(sum, 1000, PAGE_MAX);
}

static void
test_others_are_not(void **state)
{
	(void)state;
	assert_null(page_find(""));
	assert_null(page_find("/index.html"));
	assert_null(page_find("/../page.c"));
	assert_null(page_find("main.js"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_files_are_those_of_the_tree),
	    cmocka_unit_test(test_what_is_named_is_there),
	    cmocka_unit_test(test_others_are_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
