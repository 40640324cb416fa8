/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What can be run, and the words for what cannot.
 */
#include "os/program.h"

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

static char why[PROGRAM_WHY_MAX];

static void
make(char path[64], const char *text, mode_t mode)
{
	int fd;

	snprintf(path, 64, "/tmp/weir-program-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void
test_what_can_be_run(void **state)
{
	char path[64];

	(void)state;
	assert_true(program_can_run("/bin/sh", why, sizeof(why)));
	make(path, "#! /bin/sh -eu\nexit 0\n", 0755);
	assert_true(program_can_run(path, why, sizeof(why)));
	unlink(path);
	make(path, "#!/bin/sh", 0755);
	assert_true(program_can_run(path, why, sizeof(why)));
	unlink(path);
}

static void
test_what_cannot(void **state)
{
	char path[64];

	(void)state;
	assert_false(program_can_run("/nowhere/x", why, sizeof(why)));
	assert_string_equal(why, "No such file or directory");
	assert_false(program_can_run("/etc", why, sizeof(why)));
	assert_string_equal(why, "it is no file");
	assert_false(program_can_run("/etc/passwd/x", why, sizeof(why)));
	assert_string_equal(why, "Not a directory");
	make(path, "#!/bin/sh\n", 0644);
	assert_false(program_can_run(path, why, sizeof(why)));
	assert_string_equal(why, "it is not executable");
	unlink(path);
	make(path, "#!\t/no/such/perl -w\n", 0755);
	assert_false(program_can_run(path, why, sizeof(why)));
	assert_string_equal(why,
	    "its first line names /no/such/perl: No such file or directory");
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_can_be_run),
	    cmocka_unit_test(test_what_cannot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
