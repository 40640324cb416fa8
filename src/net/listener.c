/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listening sockets. Accepts a bounded batch per wake-up, so that a flood of
 * connections does not starve the sessions. Out of descriptors, it rests: a
 * level-triggered loop would spin on a connection that cannot be accepted.
 */
#include "config.h"

#include "net/listener.h"

#include <ctype.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_MAX 64
#define REST_MS 200
/* Whoever connects gets replies and no more: the kernel would let megabytes of
 * them pile up for one that does not read. */
#define SEND_BYTES 32768

struct listener {
	int fd;
	struct net_addr addr;
	dev_t dev; /* of the Unix socket: only ours is unlinked */
	ino_t ino;
	struct loop *loop; /* NULL: never started */
	struct event *ev;
	bool on, troubled;
	struct loop_timer rest;
	struct loop_task reap;
	void (*on_accept)(
	    void *arg, int fd, const struct net_addr *peer, int64_t now);
	void (*on_trouble)(void *arg, int error, int64_t now);
	void *arg;
};

static const char *
unix_path(const struct net_addr *addr)
{
	if (addr->ss.ss_family != AF_UNIX)
		return NULL;
	return ((const struct sockaddr_un *)&addr->ss)->sun_path;
}

static int
bind_once(int fd, const struct net_addr *addr)
{
	if (bind(fd, (const struct sockaddr *)&addr->ss, addr->len) != 0)
		return errno;
	return 0;
}

/* A socket file that refuses connections belongs to a listener that died. */
static bool
is_stale(const struct net_addr *addr)
{
	struct stat st;
	bool stale = false;
	int fd;

	if (lstat(unix_path(addr), &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (connect(fd, (const struct sockaddr *)&addr->ss, addr->len) != 0)
		stale = errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int
bind_unix(int fd, struct listener *ln, const struct listener_options *options)
{
	const char *path = unix_path(&ln->addr);
	int error = bind_once(fd, &ln->addr);
	struct stat st;

	if (error == EADDRINUSE && is_stale(&ln->addr)) {
		if (unlink(path) != 0)
			return errno;
		error = bind_once(fd, &ln->addr);
	}
	if (error != 0)
		return error;
	/* Nobody can connect before listen, so there is no gap here. */
	if (lstat(path, &st) != 0)
		return errno;
	ln->dev = st.st_dev;
	ln->ino = st.st_ino;
	if (chmod(path, options->unix_mode) != 0)
		return errno;
	if (options->unix_gid >= 0 &&
	    lchown(path, (uid_t)-1, (gid_t)options->unix_gid) != 0)
		return errno;
	return 0;
}

static int
bind_inet(int fd, struct listener *ln)
{
	int on = 1, send_bytes = SEND_BYTES, error;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		return errno;
	if (ln->addr.ss.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
		return errno;
	/* Accepted sockets inherit both (conn.h). A Unix socket needs it not.
	 */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(
	    fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes));
	error = bind_once(fd, &ln->addr);
	if (error != 0)
		return error;
	ln->addr.len = sizeof(ln->addr.ss);
	if (getsockname(fd, (struct sockaddr *)&ln->addr.ss, &ln->addr.len))
		return errno;
	return 0;
}

static int
open_socket(struct listener *ln, const struct listener_options *options)
{
	int error;

	ln->fd = socket(ln->addr.ss.ss_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ln->fd < 0)
		return errno;
	if (unix_path(&ln->addr) != NULL)
		error = bind_unix(ln->fd, ln, options);
	else
		error = bind_inet(ln->fd, ln);
	if (error == 0 && listen(ln->fd, options->backlog) != 0)
		error = errno;
	return error;
}

static void
explain(const struct net_addr *addr, int error, char *err, size_t cap)
{
	char text[NET_ADDR_TEXT_MAX];
	char why[128];

	snprintf(why, sizeof(why), "%s", strerror(error));
	why[0] = (char)tolower((unsigned char)why[0]);
	snprintf(err, cap, "%s: %s", net_addr_format(addr, text), why);
}

struct listener *
listener_new(const struct net_addr *addr,
    const struct listener_options *options, char *err, size_t cap)
{
	struct listener *ln = xcalloc(1, sizeof(*ln));
	int error;

	ln->addr = *addr;
	error = open_socket(ln, options);
	if (error == 0)
		return ln;
	explain(addr, error, err, cap);
	listener_free(ln);
	return NULL;
}

const struct net_addr *
listener_addr(const struct listener *ln)
{
	return &ln->addr;
}

static void
set_watching(struct listener *ln, bool watching)
{
	if (!watching)
		event_del(ln->ev);
	else if (event_add(ln->ev, NULL) != 0)
		panic("listener: cannot watch");
}

/* Linux hands errors of the new connection to accept: those are no trouble of
 * ours. */
static bool
is_trouble(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS ||
	       error == ENOMEM;
}

static void
rest(struct listener *ln, int error, int64_t now)
{
	set_watching(ln, false);
	loop_timer_set(&ln->rest, now + REST_MS);
	if (ln->troubled)
		return;
	ln->troubled = true;
	ln->on_trouble(ln->arg, error, now);
}

static void
on_rest_over(void *arg, int64_t now)
{
	struct listener *ln = arg;

	(void)now;
	if (ln->on)
		set_watching(ln, true);
}

static void
on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *ln = arg;
	int64_t now = loop_now(ln->loop);
	struct net_addr peer;
	int i, peer_fd;

	(void)fd;
	(void)what;
	/* on_accept may stop or free the listener. */
	for (i = 0; i < BATCH_MAX && ln->on; i++) {
		memset(&peer.ss, 0, sizeof(peer.ss.ss_family));
		peer.len = sizeof(peer.ss);
		peer_fd = accept4(ln->fd, (struct sockaddr *)&peer.ss,
		    &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (peer_fd >= 0) {
			ln->troubled = false;
			ln->on_accept(ln->arg, peer_fd, &peer, now);
		} else if (is_trouble(errno)) {
			rest(ln, errno, now);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

static void
on_reap(void *arg, int64_t now)
{
	struct listener *ln = arg;

	(void)now;
	loop_task_clear(&ln->reap);
	free(ln);
}

void
listener_start(struct listener *ln, struct loop *l,
    void (*on_accept)(
	void *arg, int fd, const struct net_addr *peer, int64_t now),
    void (*on_trouble)(void *arg, int error, int64_t now), void *arg)
{
	if (ln->on)
		panic("listener: started twice");
	ln->on_accept = on_accept;
	ln->on_trouble = on_trouble;
	ln->arg = arg;
	if (ln->loop == NULL) {
		ln->loop = l;
		ln->ev = event_new(loop_base(l), ln->fd, EV_READ | EV_PERSIST,
		    on_acceptable, ln);
		if (ln->ev == NULL)
			panic("listener: out of memory");
		loop_timer_init(&ln->rest, l, on_rest_over, ln);
		loop_task_init(&ln->reap, l, on_reap, ln);
	}
	ln->on = true;
	set_watching(ln, true);
}

void
listener_stop(struct listener *ln)
{
	if (!ln->on)
		return;
	ln->on = false;
	set_watching(ln, false);
	loop_timer_clear(&ln->rest);
}

static void
unlink_own(const struct listener *ln)
{
	const char *path = unix_path(&ln->addr);
	struct stat st;

	if (path != NULL && ln->ino != 0 && lstat(path, &st) == 0 &&
	    st.st_dev == ln->dev && st.st_ino == ln->ino)
		(void)unlink(path);
}

void
listener_free(struct listener *ln)
{
	if (ln == NULL)
		return;
	listener_stop(ln);
	unlink_own(ln);
	if (ln->ev != NULL)
		event_free(ln->ev);
	if (ln->fd >= 0)
		close(ln->fd);
	if (ln->loop != NULL)
		loop_task_set(&ln->reap);
	else
		free(ln);
}
