/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file with weir's own names and passwords.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "delivery/credentials.h"

static const char *const hops[] = {"smtp.example.com:587", "unix:/run/x"};

static struct credentials *
load(const char *text, size_t n, mode_t mode, char err[300])
{
	char path[] = "credentials-XXXXXX";
	struct credentials *c;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	err[0] = '\0';
	c = credentials_load(path, hops, ARRAY_LEN(hops), err, 300);
	unlink(path);
	return c;
}

static void
test_entries(void **state)
{
	static const char text[] = "# a comment\n\n"
				   "  any:pass:with:colons \r\n"
				   "SMTP.example.com:587 alice:secret\n"
				   "unix:/run/x bob pa#ss\n";
	char err[300];
	struct credentials *c = load(text, sizeof(text) - 1, 0600, err);
	const struct credential *found;

	(void)state;
	if (c == NULL)
		fail_msg("%s", err);
	found = credentials_find(c, hops[0]);
	assert_string_equal(found->user, "alice");
	assert_string_equal(found->password, "secret");
	found = credentials_find(c, hops[1]);
	assert_string_equal(found->user, "bob");
	assert_string_equal(found->password, "pa#ss");
	found = credentials_find(c, "other:25");
	assert_string_equal(found->user, "any");
	assert_string_equal(found->password, "pass:with:colons");
	assert_ptr_equal(credentials_ref(c), c);
	credentials_free(c);
	assert_string_equal(credentials_find(c, "other:25")->user, "any");
	credentials_free(c);
	assert_null(credentials_find(NULL, "other:25"));
	c = load("carol word", 10, 0400, err);
	assert_string_equal(credentials_find(c, hops[0])->user, "carol");
	credentials_free(c);
}

static void
test_others_may_not_read_it(void **state)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0601, 0666};
	char err[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		assert_null(load("a:b\n", 4, modes[i], err));
		assert_non_null(strstr(err, "others may read it"));
		assert_non_null(strstr(err, "credentials-"));
	}
}

static void
test_errors_tell_no_password(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *want;
	} bad[] = {
	    {"secret\n", 7, ":1:"},
	    {"a:b\nother:25 a:secret x y\n", 26, ":2:"},
	    {"other:25 a secret\n", 18, ":1:"},
	    {":secret\n", 8, ":1:"},
	    {"a:\n", 3, ":1:"},
	    {"unix:/run/x secret\n", 19, ":1:"},
	    {"# nothing\n", 10, "holds no"},
	    {"", 0, "holds no"},
	    {"a:secret\0\n", 10, "zero byte"},
	};
	char err[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (load(bad[i].text, bad[i].n, 0600, err) != NULL)
			fail_msg("taken: %s", bad[i].text);
		if (strstr(err, bad[i].want) == NULL)
			fail_msg("%s: %s", bad[i].text, err);
		assert_null(strstr(err, "secret"));
	}
	assert_null(credentials_load("/nowhere", hops, 2, err, sizeof(err)));
	assert_non_null(strstr(err, "/nowhere: cannot be read"));
	assert_null(credentials_load("/", hops, 2, err, sizeof(err)));
	assert_non_null(strstr(err, "is not a file"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_entries),
	    cmocka_unit_test(test_others_may_not_read_it),
	    cmocka_unit_test(test_errors_tell_no_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
