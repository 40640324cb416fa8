/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking up users and groups, and giving up root where there is root to give
 * up: in a child, so that the other tests keep it.
 */
#include "os/priv.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_find(void **state)
{
	uid_t uid = 1;
	gid_t gid = 1;
	char name[32];

	(void)state;
	assert_true(priv_find_user("root", &uid, &gid));
	assert_int_equal(uid, 0);
	assert_int_equal(gid, 0);
	gid = 1;
	assert_true(priv_find_group("root", &gid));
	assert_int_equal(gid, 0);
	assert_false(priv_find_user("no such user", &uid, &gid));
	assert_false(priv_find_group("no such group", &gid));
	assert_string_equal(priv_user_name(0, name, sizeof(name)), "root");
	assert_string_equal(
	    priv_user_name(4000000000u, name, sizeof(name)), "4000000000");
}

static void
test_group(void **state)
{
	(void)state;
	assert_true(priv_user_in_group(0, 0, 0));
	/* By the primary group alone, the user being unknown. */
	assert_true(priv_user_in_group(4000000000u, 7, 7));
	assert_false(priv_user_in_group(4000000000u, 7, 8));
	assert_false(priv_user_in_group(0, 0, 3999999999u));
}

/* Runs in the child: 0 when all is gone. */
static int
drop(void)
{
	gid_t groups[64] = {0}, gid;
	uid_t uid;
	int n;

	if (!priv_find_user("nobody", &uid, &gid))
		return 2;
	/* A group of root's that must go as well. */
	if (setgroups(1, groups) != 0 || priv_drop("nobody") != 0)
		return 3;
	if (getuid() != uid || geteuid() != uid || getegid() != gid)
		return 4;
	n = getgroups(64, groups);
	for (int i = 0; i < n; i++) {
		if (groups[i] == 0)
			return 5;
	}
	if (setuid(0) == 0 || setgid(0) == 0)
		return 6;
	/* Once more is fine, as somebody else is not. */
	if (priv_drop("nobody") != 0 || priv_drop("root") != EPERM)
		return 7;
	return 0;
}

static void
test_drop(void **state)
{
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(priv_drop("no such user"), ENOENT);
	if (geteuid() != 0) {
		assert_int_equal(priv_drop("root"), EPERM);
		skip();
	}
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(drop());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_group),
	    cmocka_unit_test(test_drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
