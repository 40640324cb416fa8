/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The limit of descriptors: raised where it may be, never lowered, and what is
 * told is what the system says. In a child, since the limits of a process stay.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/process.h"

/* Whether a process with these limits gets from want to got. */
static bool
gets(rlim_t soft, rlim_t hard, uint64_t want, uint64_t got)
{
	struct rlimit limits = {soft, hard};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		/* Without root's right to raise the hard limit. */
		if (setrlimit(RLIMIT_NOFILE, &limits) != 0 ||
		    (geteuid() == 0 && setuid(65534) != 0))
			_exit(2);
		if (process_raise_files(want) != got)
			_exit(1);
		if (getrlimit(RLIMIT_NOFILE, &limits) != 0)
			_exit(2);
		_exit(limits.rlim_cur == got ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 2);
	return WEXITSTATUS(status) == 0;
}

static void
test_raise(void **state)
{
	(void)state;
	assert_true(gets(100, 200, 150, 150));
	assert_true(gets(100, 200, 200, 200));
	assert_true(gets(100, 200, 300, 200));
	assert_true(gets(100, 100, 300, 100));
	assert_true(gets(100, 200, 50, 100));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_raise)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
