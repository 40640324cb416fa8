/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The keeper's side is sequential: install, answer, wait for a byte (a clean
 * end) or for the end of the pipe (the daemon died), remove.
 */
#include "netd/keeper.h"

#include "netd/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEEPER_FD 3
#define LOCK_TRIES 100
#define LOCK_WAIT_US 50000

struct keeper {
	pid_t pid;
	int fd;
};

/* What the child answers. */
struct answer {
	bool ok;
	struct apply_result result;
};

/*
 * One keeper works in a network namespace, since chains, table and sets have
 * one name: that of a daemon which was killed may still be taking its rules
 * away when the next one begins. The lock's name is the namespace's own, and
 * ends with the process.
 */
static bool
lock_rules(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(
	    name.sun_path + 1, sizeof(name.sun_path) - 1, "weir-netd/keeper");
	socklen_t len =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (bind(fd, (struct sockaddr *)&name, len) == 0)
			return true; /* held until the end */
		usleep(LOCK_WAIT_US);
	}
	return false;
}

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
	if (lock_rules())
		a.ok = apply_install(c, &a.result);
	else
		snprintf(a.result.text, sizeof(a.result.text),
		    "another weir-netd has its rules in this network "
		    "namespace; stop it first");
	told = write(fd, &a, sizeof(a)) == (ssize_t)sizeof(a);
	if (!a.ok)
		_exit(1);
	/* It may have died while the rules were being made. */
	is_clean = told && wait_for_end(fd);
	if (is_clean || c->fail == NETD_FAIL_OPEN)
		apply_remove();
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
