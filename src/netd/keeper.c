/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The keeper's side is sequential: install, answer, then look at the rules from
 * time to time until a message (a clean end) or the end of the socket (the
 * daemon died), and remove.
 *
 * The stand-by waits at a pipe that only the keeper writes to. When that ends
 * without a word the keeper was killed: the stand-by, which has the same lock
 * and the same socket, is the keeper then, and makes a stand-by of its own.
 */
#include "netd/keeper.h"

#include "netd/rules_lock.h"
#include "os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEEPER_FD 3
#define REPORT_AGAIN_MS 60000 /* of rules that cannot be put back */

struct keeper {
	pid_t pid;
	int fd;
	struct loop_watch *watch;
	void (*on_news)(void *arg, const struct keeper_report *report);
	void *arg;
	bool is_gone;
};

/* The keeper's own side. */
struct duty {
	const struct netd_config *c;
	struct rules_lock lock;
	struct apply_watch watch;
	int fd;           /* to the daemon */
	int link;         /* to the stand-by; -1: none */
	pid_t standby;    /* 0: none */
	int64_t reported; /* when it was last said that rules are missing */
};

static bool
report(const struct duty *d, const struct keeper_report *r)
{
	return send(d->fd, r, sizeof(*r), MSG_NOSIGNAL) == (ssize_t)sizeof(*r);
}

/* ---- the stand-by ---- */

/* Comes back as the keeper, or not at all. */
static void
stand_by(struct duty *d, int link)
{
	char byte;
	ssize_t n;

	do
		n = read(link, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	close(link);
	report(d, &(struct keeper_report){.news = KEEPER_REPLACED});
}

/* Called by a keeper without a stand-by. */
static void
make_standby(struct duty *d)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return;
	pid = fork();
	if (pid == 0) {
		close(ends[1]);
		d->standby = 0;
		d->link = -1;
		stand_by(d, ends[0]);
		make_standby(d);
		return;
	}
	close(ends[0]);
	if (pid < 0) {
		close(ends[1]);
		return;
	}
	d->standby = pid;
	d->link = ends[1];
}

static void
end_standby(struct duty *d)
{
	if (d->link < 0)
		return;
	if (write(d->link, "q", 1) != 1)
		errno = 0;
	close(d->link);
	d->link = -1;
	while (waitpid(d->standby, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* Another for one that was killed. */
static void
check_standby(struct duty *d)
{
	if (d->standby > 0 && waitpid(d->standby, NULL, WNOHANG) != d->standby)
		return;
	if (d->link >= 0)
		close(d->link);
	d->link = -1;
	d->standby = 0;
	make_standby(d);
}

/* ---- the keeper ---- */

static void
look(struct duty *d)
{
	struct keeper_report r = {.news = KEEPER_RESTORED};
	int64_t now = clock_mono_ms();

	if (apply_look(&d->watch, now))
		return;
	r.ok = apply_install(d->c, &r.result);
	apply_watch_begin(&d->watch, d->c, &r.result);
	if (!r.ok) {
		r.news = KEEPER_MISSING;
		if (d->reported != 0 && now - d->reported < REPORT_AGAIN_MS)
			return;
		d->reported = now;
	}
	report(d, &r);
}

/* False: the daemon has died. */
static bool
wait_for_end(struct duty *d)
{
	int wait = d->c->rules_watch_ms > 0 ? (int)d->c->rules_watch_ms : -1;
	struct pollfd p[2];
	char byte;
	ssize_t n;

	for (;;) {
		/* A pipe whose reader has gone is an error at once. */
		p[0] = (struct pollfd){.fd = d->fd, .events = POLLIN};
		p[1] = (struct pollfd){.fd = d->link};
		if (poll(p, 2, wait) < 0)
			continue;
		if (p[0].revents != 0) {
			do
				n = recv(d->fd, &byte, 1, 0);
			while (n < 0 && errno == EINTR);
			return n == 1;
		}
		if (p[1].revents != 0)
			check_standby(d);
		else if (wait > 0)
			look(d);
	}
}

NORETURN static void
keep(const struct netd_config *c, int fd)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	struct duty d = {.c = c, .fd = KEEPER_FD, .link = -1};
	struct keeper_report first = {.ok = false};
	bool reported, is_clean;

	/* The daemon's sockets must end with the daemon. */
	if (fd != KEEPER_FD && dup2(fd, KEEPER_FD) < 0)
		_exit(1);
	if (close_range(KEEPER_FD + 1, ~0U, 0) != 0 ||
	    fcntl(KEEPER_FD, F_SETFD, FD_CLOEXEC) != 0)
		_exit(1);
	/* A signal to the whole group is for the daemon. */
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	/* A daemon that was killed may still have its rules taken away. */
	first.ok = rules_lock_take(&d.lock, c->state, c->user,
		       first.result.text, sizeof(first.result.text)) &&
		   apply_install(c, &first.result);
	if (first.ok)
		apply_watch_begin(&d.watch, c, &first.result);
	reported = report(&d, &first);
	if (!first.ok)
		_exit(1);
	make_standby(&d);
	/* It may have died while the rules were being made. */
	is_clean = reported && wait_for_end(&d);
	end_standby(&d);
	if (is_clean || c->fail == NETD_FAIL_OPEN)
		(void)apply_remove();
	rules_lock_release(&d.lock);
	_exit(0);
}

/* ---- the daemon's side ---- */

static void
end_watch(struct keeper *k)
{
	if (k->watch != NULL)
		loop_watch_free(k->watch);
	k->watch = NULL;
}

static void
reap(struct keeper *k)
{
	int status;

	end_watch(k);
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
	struct keeper_report first = {0};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0 ||
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
	if (read(k->fd, &first, sizeof(first)) != (ssize_t)sizeof(first) ||
	    !first.ok) {
		first.result.text[sizeof(first.result.text) - 1] = '\0';
		snprintf(err, cap, "rules: %s", first.result.text);
		reap(k);
		return NULL;
	}
	*result = first.result;
	return k;
}

static void
on_readable(void *arg, int64_t now)
{
	struct keeper *k = arg;
	struct keeper_report r;
	ssize_t n = recv(k->fd, &r, sizeof(r), MSG_DONTWAIT);

	(void)now;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != (ssize_t)sizeof(r)) {
		k->is_gone = true;
		end_watch(k);
		r = (struct keeper_report){.news = KEEPER_GONE};
	}
	r.result.text[sizeof(r.result.text) - 1] = '\0';
	k->on_news(k->arg, &r);
}

void
keeper_watch(struct keeper *k, struct loop *loop,
    void (*on_news)(void *arg, const struct keeper_report *report), void *arg)
{
	k->on_news = on_news;
	k->arg = arg;
	k->watch = loop_watch_new(loop, k->fd, on_readable, k);
}

bool
keeper_stop(struct keeper *k)
{
	struct keeper_report r;
	bool reported;

	if (k == NULL)
		return true;
	reported = !k->is_gone && send(k->fd, "q", 1, MSG_NOSIGNAL) == 1;
	/* Until the last of the two has gone. */
	while (
	    reported && (recv(k->fd, &r, sizeof(r), 0) > 0 || errno == EINTR))
		errno = 0;
	reap(k);
	return reported;
}
