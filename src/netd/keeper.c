/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The keeper's side is sequential: install, answer, wait for a byte (a clean
 * end) or for the end of the pipe (the daemon died), remove.
 */
#include "netd/keeper.h"

#include "netd/apply.h"
#include "netd/rules_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEEPER_FD 3

struct keeper {
	pid_t pid;
	int fd;
};

/* What the child answers. */
struct answer {
	bool ok;
	struct apply_result result;
};

/* False: the daemon has died. */
static bool
wait_for_end(int fd)
{
	char byte;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	return n == 1;
}

NORETURN static void
keep(const struct netd_config *c, int fd)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	struct rules_lock lock;
	bool told, is_clean;
	struct answer a;

	/* The daemon's sockets must end with the daemon. */
	if (fd != KEEPER_FD) {
		if (dup2(fd, KEEPER_FD) < 0)
			_exit(1);
		fd = KEEPER_FD;
	}
	if (close_range(KEEPER_FD + 1, ~0U, 0) != 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		_exit(1);
	/* A signal to the whole group is for the daemon. */
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	memset(&a, 0, sizeof(a));
	/* A daemon that was killed may still have its rules taken away. */
	a.ok = rules_lock_take(&lock, c->state, c->user, a.result.text,
		   sizeof(a.result.text)) &&
	       apply_install(c, &a.result);
	told = write(fd, &a, sizeof(a)) == (ssize_t)sizeof(a);
	if (!a.ok)
		_exit(1);
	/* It may have died while the rules were being made. */
	is_clean = told && wait_for_end(fd);
	if (is_clean || c->fail == NETD_FAIL_OPEN)
		(void)apply_remove();
	rules_lock_release(&lock);
	_exit(0);
}

/* ---- the daemon's side ---- */

static void
reap(struct keeper *k)
{
	int status;

	close(k->fd);
	while (waitpid(k->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	free(k);
}

struct keeper *
keeper_start(const struct netd_config *conf, struct apply_result *result,
    char *err, size_t cap)
{
	struct keeper *k = xcalloc(1, sizeof(*k));
	struct answer a = {0};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
	    (k->pid = fork()) < 0) {
		snprintf(err, cap, "rules: %s", strerror(errno));
		free(k);
		return NULL;
	}
	if (k->pid == 0) {
		close(pair[0]);
		keep(conf, pair[1]);
	}
	close(pair[1]);
	k->fd = pair[0];
	if (read(k->fd, &a, sizeof(a)) != (ssize_t)sizeof(a) || !a.ok) {
		a.result.text[sizeof(a.result.text) - 1] = '\0';
		snprintf(err, cap, "rules: %s", a.result.text);
		reap(k);
		return NULL;
	}
	*result = a.result;
	return k;
}

void
keeper_stop(struct keeper *k)
{
	if (k == NULL)
		return;
	/* If it has gone, there is nobody to tell. */
	if (send(k->fd, "q", 1, MSG_NOSIGNAL) < 0)
		errno = 0;
	reap(k);
}
