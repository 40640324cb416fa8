/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What weirctl says to somebody without rights: tried by a child that has none,
 * at real sockets. Needs root, as the owners of sockets are to be others.
 */
#include "ctl/reach.h"
#include "os/priv.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct place {
	char dir[64];
	struct sockaddr_un at;
	int fd;
	char words[REACH_MAX];
};

static int
setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/weir-reach-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(chmod(p->dir, 0755), 0);
	p->at.sun_family = AF_UNIX;
	snprintf(p->at.sun_path, sizeof(p->at.sun_path), "%s/s", p->dir);
	p->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(
	    bind(p->fd, (struct sockaddr *)&p->at, sizeof(p->at)), 0);
	assert_int_equal(listen(p->fd, 5), 0);
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct place *p = *state;

	close(p->fd);
	unlink(p->at.sun_path);
	rmdir(p->dir);
	free(p);
	return 0;
}

/* As uid with gid and no other group: connects, and says what weirctl would. */
static void
ask_as(struct place *p, uid_t uid, gid_t gid)
{
	int pipes[2], status;
	size_t got = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		if (setgroups(0, NULL) != 0 || setgid(gid) != 0 ||
		    setuid(uid) != 0 ||
		    connect(fd, (struct sockaddr *)&p->at, sizeof(p->at)) == 0)
			_exit(1);
		reach_words(p->at.sun_path, errno, p->words, sizeof(p->words));
		n = write(pipes[1], p->words, strlen(p->words));
		_exit(n < 0);
	}
	close(pipes[1]);
	memset(p->words, 0, sizeof(p->words));
	while ((n = read(
		    pipes[0], p->words + got, sizeof(p->words) - 1 - got)) > 0)
		got += (size_t)n;
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
test_who_has_no_rights(void **state)
{
	struct place *p = *state;
	gid_t group, own;
	uid_t nobody, owner;

	if (geteuid() != 0)
		skip();
	assert_true(priv_find_user("nobody", &nobody, &own));
	assert_true(priv_find_group("adm", &group));
	assert_true(priv_find_user("daemon", &owner, &own));
	assert_int_equal(chmod(p->at.sun_path, 0660), 0);
	/* The group of control_group. */
	assert_int_equal(chown(p->at.sun_path, owner, group), 0);
	ask_as(p, nobody, 65534);
	assert_non_null(
	    strstr(p->words, "only root, daemon and members of the group adm "
			     "may use it. Run as root: "
			     "adduser nobody adm, then log in again"));
	assert_non_null(strstr(p->words, p->at.sun_path));
	/* The daemon's own: nobody is to join that. */
	assert_int_equal(chown(p->at.sun_path, owner, own), 0);
	ask_as(p, nobody, 65534);
	assert_non_null(strstr(p->words, "control_group = \"weir-admin\""));
	assert_null(strstr(p->words, "adduser nobody daemon"));
	/* A member whose session is older: daemon's own group, by passwd. */
	assert_int_equal(chown(p->at.sun_path, nobody, own), 0);
	ask_as(p, owner, 65534);
	assert_non_null(strstr(p->words, "Log in again"));
	/* Not even the directory. */
	assert_int_equal(chmod(p->dir, 0700), 0);
	ask_as(p, nobody, 65534);
	assert_non_null(strstr(p->words, "no access to its directory"));
}

static void
test_nobody_there(void **state)
{
	char words[REACH_MAX];

	(void)state;
	reach_words("/nowhere/s", ENOENT, words, sizeof(words));
	assert_string_equal(
	    words, "no daemon at /nowhere/s: No such file or directory");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_who_has_no_rights, setup, teardown),
	    cmocka_unit_test(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
