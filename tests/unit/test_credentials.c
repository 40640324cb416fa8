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
		assert_non_null(strstr(err, "can be read by others"));
		assert_non_null(strstr(err, "credentials-"));
	}
}

/* What systemd hands over is root's, and an ACL looks like a right of the
 * group's. */
static void
test_credentials_of_systemd(void **state)
{
	static const struct {
		const char *dir; /* $CREDENTIALS_DIRECTORY */
		mode_t mode;
		uid_t owner;
		bool want;
	} rows[] = {
	    {".", 0440, 0, true},
	    {"./", 0440, 0, true},
	    {NULL, 0440, 0, false},
	    {"", 0440, 0, false},
	    {"/usr", 0440, 0, false},
	    {"cred", 0440, 0, false}, /* a prefix of the name is no folder */
	    {".", 0460, 0, false},
	    {".", 0444, 0, false},
	    {".", 0441, 0, false},
	    {".", 0440, 1, false},
	};
	char err[300], base[] = "systemd-XXXXXX", here[4096];
	struct credentials *c;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_non_null(getcwd(here, sizeof(here)));
	assert_non_null(mkdtemp(base));
	assert_int_equal(chdir(base), 0);
	assert_int_equal(mkdir("cred", 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = open("credential", O_WRONLY | O_CREAT, 0600);

		assert_int_equal(write(fd, "a:b\n", 4), 4);
		assert_int_equal(fchown(fd, rows[i].owner, 0), 0);
		assert_int_equal(fchmod(fd, rows[i].mode), 0);
		close(fd);
		if (rows[i].dir == NULL)
			unsetenv("CREDENTIALS_DIRECTORY");
		else
			setenv("CREDENTIALS_DIRECTORY", rows[i].dir, 1);
		c = credentials_load(
		    "credential", hops, ARRAY_LEN(hops), err, sizeof(err));
		if ((c != NULL) != rows[i].want)
			fail_msg("row %zu: %s", i, c != NULL ? "taken" : err);
		credentials_free(c);
		/* A link from there leads out of it. */
		assert_int_equal(symlink("../credential", "cred/link"), 0);
		setenv("CREDENTIALS_DIRECTORY", "cred", 1);
		assert_true((credentials_load("cred/link", hops,
				 ARRAY_LEN(hops), err, sizeof(err)) == NULL));
		unlink("cred/link");
		unlink("credential");
	}
	unsetenv("CREDENTIALS_DIRECTORY");
	rmdir("cred");
	assert_int_equal(chdir(here), 0);
	rmdir(base);
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
	    {"# nothing\n", 10, "contains no"},
	    {"", 0, "contains no"},
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
	    cmocka_unit_test(test_credentials_of_systemd),
	    cmocka_unit_test(test_errors_tell_no_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
