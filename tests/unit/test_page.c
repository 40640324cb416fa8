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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define TEXT_MAX (1 << 20)
#define GZIP_BITS (15 + 16)
#define PAGE_MAX (50 * 1024) /* all files, as they are sent */

static int
make(void **state)
{
	*state = page_new(NULL);
	return 0;
}

static int
drop(void **state)
{
	page_free(*state);
	return 0;
}

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
look_for_names(struct page *page, const char *text)
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
		if (page_find(page, path) == NULL)
			fail_msg("%s is not there", path);
	}
}

static void
test_what_is_named_is_there(void **state)
{
	static char text[TEXT_MAX];
	struct page *page = *state;
	size_t sum = 0;

	for (const struct page_file *f = page_files; f->path != NULL; f++) {
		unpack(f, text);
		look_for_names(page, text);
		sum += f->gz_size;
	}
	assert_non_null(page_find(page, "/"));
	assert_non_null(page_find(page, "/main.js"));
	assert_in_range(sum, 1000, PAGE_MAX);
}

static void
test_others_are_not(void **state)
{
	struct page *page = *state;

	assert_null(page_find(page, ""));
	assert_null(page_find(page, "/index.html"));
	assert_null(page_find(page, "/../page.c"));
	assert_null(page_find(page, "main.js"));
}

/* What changes there is served; what is not there, or too large, is not. */
static void
test_from_a_folder(void **state)
{
	static char text[TEXT_MAX];
	char dir[] = "/tmp/weir-page-XXXXXX", path[64], was[32];
	const struct page_file *f;
	struct page *page;
	FILE *out;

	(void)state;
	assert_non_null(mkdtemp(dir));
	page = page_new(dir);
	assert_null(page_find(page, "/main.js"));
	snprintf(path, sizeof(path), "%s/main.js", dir);
	out = fopen(path, "w");
	fputs("one", out);
	fclose(out);
	f = page_find(page, "/main.js");
	assert_int_equal(unpack(f, text), 3);
	assert_string_equal(text, "one");
	snprintf(was, sizeof(was), "%s", f->etag);
	out = fopen(path, "w");
	fputs("other", out);
	fclose(out);
	f = page_find(page, "/main.js");
	assert_int_equal(unpack(f, text), 5);
	assert_string_not_equal(f->etag, was);
	assert_null(page_find(page, "/"));
	assert_null(page_find(page, "/../main.js"));
	assert_int_equal(truncate(path, 1 << 20), 0);
	assert_null(page_find(page, "/main.js"));
	page_free(page);
	unlink(path);
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_files_are_those_of_the_tree),
	    cmocka_unit_test_setup_teardown(
		test_what_is_named_is_there, make, drop),
	    cmocka_unit_test_setup_teardown(test_others_are_not, make, drop),
	    cmocka_unit_test(test_from_a_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
