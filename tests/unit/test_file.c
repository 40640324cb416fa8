/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files: whole reads and writes, limits, and errors as values.
 */
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A directory of our own that the test works in. */
static int
enter_dir(void **state)
{
	char path[] = "/tmp/weir-test-file-XXXXXX";

	if (mkdtemp(path) == NULL || chdir(path) != 0)
		return -1;
	*state = xstrdup(path);
	return 0;
}

static int
leave_dir(void **state)
{
	unlink("a");
	unlink("b");
	rmdir("d");
	if (chdir("/") != 0 || rmdir(*state) != 0)
		return -1;
	free(*state);
	return 0;
}

static void
write_file(const char *path, size_t n)
{
	char *content = xcalloc(1, n);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	memset(content, 'x', n);
	assert_int_equal(file_write_all(fd, content, n), 0);
	assert_int_equal(file_sync(fd), 0);
	close(fd);
	free(content);
}

static void
test_read(void **state)
{
	struct buf out;

	(void)state;
	write_file("a", 200000);
	buf_init(&out, SIZE_MAX / 4);
	assert_int_equal(file_read("a", 200000, &out), 0);
	assert_int_equal(out.len, 200000);
	buf_reset(&out);
	assert_int_equal(file_read("a", 199999, &out), EFBIG);
	buf_clear(&out);
	/* The buffer's own maximum counts as well. */
	buf_init(&out, 199999);
	assert_int_equal(file_read("a", 1000000, &out), EFBIG);
	buf_clear(&out);
	buf_init(&out, 200000);
	assert_int_equal(file_read("a", 1000000, &out), 0);
	buf_clear(&out);
	write_file("a", 0);
	buf_init(&out, 10);
	assert_int_equal(file_read("a", 0, &out), 0);
	assert_int_equal(out.len, 0);
	assert_int_equal(file_read("missing", 10, &out), ENOENT);
	assert_int_equal(file_read(".", 10, &out), EISDIR);
	buf_clear(&out);
}

static void
test_rename(void **state)
{
	char to[128];
	struct stat st;

	(void)state;
	write_file("a", 3);
	assert_int_equal(file_rename_sync("a", "b"), 0);
	snprintf(to, sizeof(to), "%s/a", (const char *)*state);
	assert_int_equal(file_rename_sync("b", to), 0);
	assert_int_equal(stat("a", &st), 0);
	assert_int_equal(st.st_size, 3);
	assert_int_equal(file_rename_sync("missing", "b"), ENOENT);
	assert_int_equal(file_sync_dir("a"), ENOTDIR);
	assert_int_equal(file_sync_dir("."), 0);
}

static void
test_make_dir(void **state)
{
	struct stat st;

	(void)state;
	write_file("a", 1);
	assert_int_equal(file_make_dir("d", 0700), 0);
	assert_int_equal(file_make_dir("d", 0700), 0);
	assert_int_equal(stat("d", &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(file_make_dir("a", 0700), ENOTDIR);
	assert_int_equal(file_make_dir("missing/d", 0700), ENOENT);
}

static void
test_write_errors(void **state)
{
	int fd = open("/dev/full", O_WRONLY);
	uint64_t bytes = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, "x", 1), ENOSPC);
	close(fd);
	assert_int_equal(file_write_all(-1, "x", 1), EBADF);
	assert_int_equal(file_sync(-1), EBADF);
	assert_int_equal(file_free_space(".", &bytes), 0);
	assert_true(bytes > 0);
	assert_int_equal(file_free_space("missing", &bytes), ENOENT);
}

static void
test_replace(void **state)
{
	struct stat st;
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	assert_int_equal(file_replace("r.new", "r", "one", 3), 0);
	assert_int_equal(file_replace("r.new", "r", "2", 1), 0);
	assert_int_equal(file_read("r", 100, &out), 0);
	assert_true(str_eq(buf_str(&out), STR("2")));
	buf_clear(&out);
	assert_int_equal(stat("r", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat("r.new", &st), -1);
	assert_int_equal(file_replace("no/r.new", "r", "3", 1), ENOENT);
	assert_int_equal(unlink("r"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_read),
	    cmocka_unit_test(test_rename),
	    cmocka_unit_test(test_replace),
	    cmocka_unit_test(test_make_dir),
	    cmocka_unit_test(test_write_errors),
	};

	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
