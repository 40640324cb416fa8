/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of connections: an owner that writes down what happened, over a
 * socket pair or loopback whose other end the test plays. Included after
 * config.h.
 */
#ifndef TESTS_UNIT_CONN_RIG_H
#define TESTS_UNIT_CONN_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/conn.h"
#include "pump.h"

/* The owner of a connection under test; what happened is spelled in log:
 * (c)onnect, (r)ead, (d)rain, (e)nd. */
struct owner {
	struct loop *loop;
	struct conn *conn;
	char log[64];
	char got[256];
	size_t got_len;
	uint64_t total;
	bool keep;          /* consumes nothing */
	size_t eat;         /* so much at most per call, 0: all */
	bool pause;         /* pauses at each read */
	bool inside;        /* the test is in a call of the conn API */
	bool free_it;       /* conn_free in every callback */
	const char *last;   /* said in on_read, then conn_close */
	const char *on_eof; /* said in on_end, then conn_close */
	enum conn_end why;
	int error;
	bool ended, drained, read, connected;
};

static inline void
note(struct owner *o, char c)
{
	size_t n = strlen(o->log);

	assert_false(o->inside);
	if (n + 1 < sizeof(o->log))
		o->log[n] = c;
}

static inline void
maybe_free(struct owner *o)
{
	if (!o->free_it)
		return;
	conn_free(o->conn);
	conn_free(o->conn);
	o->conn = NULL;
}

static inline void
on_connect(void *arg, int64_t now)
{
	struct owner *o = arg;

	(void)now;
	note(o, 'c');
	o->connected = true;
	maybe_free(o);
}

static inline void
take(struct owner *o)
{
	struct str in = conn_input(o->conn);
	size_t n = o->eat != 0 && in.n > o->eat ? o->eat : in.n;

	if (o->got_len + n <= sizeof(o->got)) {
		memcpy(o->got + o->got_len, in.p, n);
		o->got_len += n;
	}
	o->total += n;
	conn_consume(o->conn, n);
}

static inline void
on_read(void *arg, int64_t now)
{
	struct owner *o = arg;

	(void)now;
	note(o, 'r');
	o->read = true;
	if (!o->keep)
		take(o);
	if (o->pause)
		conn_pause(o->conn);
	if (o->last != NULL) {
		conn_write(o->conn, o->last, strlen(o->last));
		conn_close(o->conn, 5000);
		o->conn = NULL;
		return;
	}
	maybe_free(o);
}

static inline void
on_drain(void *arg, int64_t now)
{
	struct owner *o = arg;

	(void)now;
	note(o, 'd');
	o->drained = true;
	maybe_free(o);
}

static inline void
on_end(void *arg, enum conn_end why, int error, int64_t now)
{
	struct owner *o = arg;

	(void)now;
	note(o, 'e');
	o->ended = true;
	o->why = why;
	o->error = error;
	if (o->on_eof != NULL) {
		conn_write(o->conn, o->on_eof, strlen(o->on_eof));
		conn_close(o->conn, 5000);
		o->conn = NULL;
	}
	maybe_free(o);
}

static const struct conn_ops ops = {
    .on_connect = on_connect,
    .on_read = on_read,
    .on_drain = on_drain,
    .on_end = on_end,
};

/* A connection on one end of a socket pair, the raw other end in *fd. */
static inline void
set_up(struct owner *o, int type, int *fd)
{
	int fds[2];

	memset(o, 0, sizeof(*o));
	o->loop = loop_new();
	assert_int_equal(socketpair(AF_UNIX, type, 0, fds), 0);
	*fd = fds[1];
	assert_int_equal(fcntl(*fd, F_SETFL, O_NONBLOCK), 0);
	o->conn = conn_new(o->loop, fds[0], &ops, o);
	assert_int_equal(conn_fd(o->conn), fds[0]);
}

static inline void
tear_down(struct owner *o, int fd)
{
	conn_free(o->conn);
	loop_free(o->loop);
	if (fd >= 0)
		close(fd);
}

static inline void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

static inline bool
got_something(void *arg)
{
	return ((struct owner *)arg)->got_len > 0;
}

/* A listening socket on loopback; port in *to. */
static inline int
listen_on(struct net_addr *to, int backlog)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char err[128];

	assert_true(fd >= 0);
	assert_true(net_addr_parse(STR("127.0.0.1:0"), to, err, sizeof(err)));
	assert_int_equal(bind(fd, (struct sockaddr *)&to->ss, to->len), 0);
	assert_int_equal(
	    getsockname(fd, (struct sockaddr *)&to->ss, &to->len), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static inline void
start_connect(struct owner *o, const struct net_addr *to, int64_t timeout)
{
	memset(o, 0, sizeof(*o));
	o->loop = loop_new();
	o->inside = true;
	o->conn = conn_connect(o->loop, to, timeout, &ops, o);
	o->inside = false;
}

/* A connection over TCP, the raw peer in *fd. */
static inline void
set_up_tcp(struct owner *o, int *fd)
{
	struct net_addr to;
	int lfd = listen_on(&to, 5);

	start_connect(o, &to, 5000);
	assert_true(pump_until(o->loop, pump_is_set, &o->connected));
	*fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK);
	assert_true(*fd >= 0);
	close(lfd);
	memset(o->log, 0, sizeof(o->log));
}

#endif
