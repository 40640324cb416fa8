/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections over socket pairs and loopback: what arrives, in which order,
 * what is kept, back-pressure, and that every way to close is safe.
 */
#include "config.h"

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

static void
note(struct owner *o, char c)
{
	size_t n = strlen(o->log);

	assert_false(o->inside);
	if (n + 1 < sizeof(o->log))
		o->log[n] = c;
}

static void
maybe_free(struct owner *o)
{
	if (!o->free_it)
		return;
	conn_free(o->conn);
	conn_free(o->conn);
	o->conn = NULL;
}

static void
on_connect(void *arg, int64_t now)
{
	struct owner *o = arg;

	(void)now;
	note(o, 'c');
	o->connected = true;
	maybe_free(o);
}

static void
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

static void
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

static void
on_drain(void *arg, int64_t now)
{
	struct owner *o = arg;

	(void)now;
	note(o, 'd');
	o->drained = true;
	maybe_free(o);
}

static void
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
static void
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

static void
tear_down(struct owner *o, int fd)
{
	conn_free(o->conn);
	loop_free(o->loop);
	if (fd >= 0)
		close(fd);
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

static bool
got_something(void *arg)
{
	return ((struct owner *)arg)->got_len > 0;
}

static void
test_read_and_write(void **state)
{
	struct owner o;
	char buf[64];
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	say(fd, "hello");
	assert_true(pump_until(o.loop, got_something, &o));
	assert_memory_equal(o.got, "hello", 5);
	assert_true(conn_write(o.conn, "answer", 6));
	pump_turns(o.loop, 2);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 6);
	assert_memory_equal(buf, "answer", 6);
	tear_down(&o, fd);
}

static void
test_output_of_a_turn_is_one_write(void **state)
{
	struct owner o;
	char buf[64];
	int fd;

	(void)state;
	set_up(&o, SOCK_SEQPACKET, &fd); /* keeps the writes apart */
	conn_write(o.conn, "a", 1);
	conn_write(o.conn, "b", 1);
	conn_write(o.conn, "c", 1);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), -1);
	pump_turns(o.loop, 2);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 3);
	conn_write(o.conn, "d", 1);
	conn_flush(o.conn);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 1);
	tear_down(&o, fd);
}

static bool
has_four(void *arg)
{
	return conn_input(((struct owner *)arg)->conn).n == 4;
}

static void
test_unconsumed_input_is_kept(void **state)
{
	struct owner o;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	o.keep = true;
	say(fd, "ab");
	assert_true(pump_until(o.loop, pump_is_set, &o.read));
	say(fd, "cd");
	assert_true(pump_until(o.loop, has_four, &o));
	pump_turns(o.loop, 3);
	assert_string_equal(o.log, "rr"); /* not again without more bytes */
	assert_memory_equal(conn_input(o.conn).p, "abcd", 4);
	conn_consume(o.conn, 3);
	assert_true(str_eq(conn_input(o.conn), STR("d")));
	tear_down(&o, fd);
}

static bool
is_at_cap(void *arg)
{
	return conn_input(((struct owner *)arg)->conn).n == CONN_INPUT_MAX;
}

static bool
has_more_than_cap(void *arg)
{
	return ((struct owner *)arg)->total > CONN_INPUT_MAX;
}

static void
test_input_stops_at_its_cap(void **state)
{
	char block[CONN_INPUT_MAX + 100];
	struct owner o;
	size_t reads;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	memset(block, 'x', sizeof(block));
	o.keep = true;
	assert_int_equal(send(fd, block, sizeof(block), 0), sizeof(block));
	assert_true(pump_until(o.loop, is_at_cap, &o));
	reads = strlen(o.log);
	pump_turns(o.loop, 5);
	assert_int_equal(strlen(o.log), reads);
	o.keep = false;
	take(&o);
	assert_true(pump_until(o.loop, has_more_than_cap, &o));
	assert_int_equal(o.total, sizeof(block));
	tear_down(&o, fd);
}

static void
test_pause_and_resume(void **state)
{
	struct owner o;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	conn_pause(o.conn);
	say(fd, "one");
	pump_turns(o.loop, 5);
	assert_string_equal(o.log, "");
	o.inside = true;
	conn_resume(o.conn);
	o.inside = false;
	assert_true(pump_until(o.loop, got_something, &o));
	assert_memory_equal(o.got, "one", 3);
	tear_down(&o, fd);
}

static void
test_resume_delivers_what_was_left(void **state)
{
	struct owner o;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	o.eat = 2;
	o.pause = true;
	say(fd, "abcdef");
	assert_true(pump_until(o.loop, pump_is_set, &o.read));
	assert_int_equal(o.got_len, 2);
	o.inside = true;
	conn_resume(o.conn);
	o.inside = false;
	pump_turns(o.loop, 2);
	assert_int_equal(o.got_len, 4);
	/* Without a pause as well. */
	o.pause = false;
	conn_resume(o.conn);
	pump_turns(o.loop, 2);
	assert_memory_equal(o.got, "abcdef", 6);
	assert_string_equal(o.log, "rrr");
	tear_down(&o, fd);
}

static void
test_eof_while_paused_comes_after_the_input(void **state)
{
	struct owner o;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	o.eat = 1;
	o.pause = true;
	say(fd, "ab");
	assert_true(pump_until(o.loop, pump_is_set, &o.read));
	close(fd);
	pump_turns(o.loop, 5);
	assert_string_equal(o.log, "r");
	conn_resume(o.conn); /* reads, and pauses again */
	pump_turns(o.loop, 5);
	assert_string_equal(o.log, "rr");
	assert_memory_equal(o.got, "ab", 2);
	conn_resume(o.conn);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_string_equal(o.log, "rre");
	assert_int_equal(o.why, CONN_EOF);
	tear_down(&o, -1);
}

static void
test_a_half_closed_peer_gets_its_reply(void **state)
{
	struct owner o;
	char buf[64];
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	o.on_eof = "221 bye";
	say(fd, "QUIT");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_string_equal(o.log, "re");
	pump_turns(o.loop, 2);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 7);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 0);
	tear_down(&o, fd);
}

/* Reads what is there: fails when it is not the sequence that was sent. */
static size_t
read_sequence(int fd, uint8_t *next)
{
	uint8_t buf[4096];
	size_t total = 0;
	ssize_t n, i;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		for (i = 0; i < n; i++)
			assert_int_equal(buf[i], (*next)++);
		total += (size_t)n;
	}
	return total;
}

static void
fill_sequence(uint8_t *p, size_t n, uint8_t *next)
{
	while (n-- > 0)
		*p++ = (*next)++;
}

static void
test_back_pressure(void **state)
{
	uint8_t block[1000], out = 0, in = 0;
	size_t sent = 0, got = 0;
	struct owner o;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	do {
		fill_sequence(block, sizeof(block), &out);
		sent += sizeof(block);
		if (sent % 8000 == 0)
			conn_flush(o.conn);
	} while (conn_write(o.conn, block, sizeof(block)));
	assert_true(conn_is_full(o.conn));
	pump_turns(o.loop, 3);
	assert_string_equal(o.log, "");
	while (got < sent) {
		got += read_sequence(fd, &in);
		pump_turns(o.loop, 1);
	}
	assert_string_equal(o.log, "d");
	assert_false(conn_is_full(o.conn));
	assert_int_equal(got, sent);
	tear_down(&o, fd);
}

static void
test_output_past_its_maximum_ends_it(void **state)
{
	static const char block[65536];
	struct owner o;
	int fd, i;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	o.inside = true;
	for (i = 0; i < 100; i++)
		conn_write(o.conn, block, sizeof(block));
	o.inside = false;
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_int_equal(o.why, CONN_ERROR);
	assert_int_equal(o.error, ENOBUFS);
	tear_down(&o, fd);
}

static void
test_free_in_on_read(void **state)
{
	struct owner o;
	char c;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	o.free_it = true;
	o.eat = 1;
	say(fd, "abc");
	assert_true(pump_until(o.loop, pump_is_set, &o.read));
	pump_turns(o.loop, 3);
	assert_string_equal(o.log, "r");
	assert_true(recv(fd, &c, 1, 0) <= 0 && errno != EAGAIN);
	tear_down(&o, fd);
}

static void
test_free_in_on_end(void **state)
{
	struct owner o;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	o.free_it = true;
	close(fd);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_string_equal(o.log, "e");
	tear_down(&o, -1);
}

static void
test_free_in_on_drain(void **state)
{
	static const char block[CONN_OUTPUT_HIGH + 1];
	struct owner o;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	o.free_it = true;
	assert_false(conn_write(o.conn, block, sizeof(block)));
	assert_true(pump_until(o.loop, pump_is_set, &o.drained));
	assert_string_equal(o.log, "d");
	tear_down(&o, fd);
}

static void
test_no_callback_after_close(void **state)
{
	struct owner o;
	char buf[16];
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	say(fd, "abc");
	conn_write(o.conn, "bye", 3);
	conn_close(o.conn, 1000);
	conn_close(o.conn, 1000);
	o.conn = NULL;
	pump_turns(o.loop, 3);
	assert_string_equal(o.log, "");
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 3);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 0);
	tear_down(&o, fd);
}

static bool
is_reset(void *arg)
{
	/* The write side tells when the other end is gone. */
	return send(*(int *)arg, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
	       errno == EPIPE;
}

static void
test_linger_is_bounded(void **state)
{
	static const char block[900000];
	struct owner o;
	int64_t start;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	assert_false(conn_write(o.conn, block, sizeof(block)));
	conn_close(o.conn, 30);
	o.conn = NULL;
	start = loop_now(o.loop);
	assert_true(pump_until(o.loop, is_reset, &fd));
	assert_true(loop_now(o.loop) - start >= 30);
	tear_down(&o, fd);
}

static void
test_a_loop_can_end_before_the_linger(void **state)
{
	static const char block[900000];
	struct owner o;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	assert_false(conn_write(o.conn, block, sizeof(block)));
	conn_close(o.conn, 1000000);
	o.conn = NULL;
	pump_turns(o.loop, 2);
	tear_down(&o, fd); /* the leak checker has the word */
}

/* A listening socket on loopback; port in *to. */
static int
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

static void
start_connect(struct owner *o, const struct net_addr *to, int64_t timeout)
{
	memset(o, 0, sizeof(*o));
	o->loop = loop_new();
	o->inside = true;
	o->conn = conn_connect(o->loop, to, timeout, &ops, o);
	o->inside = false;
}

static void
test_connect(void **state)
{
	struct net_addr to;
	struct owner o;
	char buf[16];
	int lfd = listen_on(&to, 5), fd;

	(void)state;
	start_connect(&o, &to, 5000);
	conn_write(o.conn, "early", 5); /* goes once connected */
	assert_true(pump_until(o.loop, pump_is_set, &o.connected));
	fd = accept(lfd, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 5);
	say(fd, "220 hi");
	assert_true(pump_until(o.loop, got_something, &o));
	assert_string_equal(o.log, "cr");
	tear_down(&o, fd);
	close(lfd);
}

static void
test_free_in_on_connect(void **state)
{
	struct net_addr to;
	struct owner o;
	int lfd = listen_on(&to, 5);

	(void)state;
	start_connect(&o, &to, 5000);
	o.free_it = true;
	assert_true(pump_until(o.loop, pump_is_set, &o.connected));
	assert_string_equal(o.log, "c");
	tear_down(&o, lfd);
}

static void
test_free_while_connecting(void **state)
{
	struct net_addr to;
	struct owner o;
	int lfd = listen_on(&to, 5);

	(void)state;
	start_connect(&o, &to, 5000);
	conn_close(o.conn, 1000);
	pump_turns(o.loop, 3);
	assert_string_equal(o.log, "");
	o.conn = NULL;
	tear_down(&o, lfd);
}

static void
test_connect_refused(void **state)
{
	struct net_addr to;
	struct owner o;
	int lfd = listen_on(&to, -1);

	(void)state;
	start_connect(&o, &to, 5000);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_string_equal(o.log, "e");
	assert_int_equal(o.why, CONN_ERROR);
	assert_int_equal(o.error, ECONNREFUSED);
	tear_down(&o, lfd);
}

static void
test_connect_timeout(void **state)
{
	struct net_addr to;
	struct owner o;
	int lfd = listen_on(&to, 0), fds[4];
	size_t i;

	(void)state;
	/* A full backlog drops what comes. */
	for (i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], (struct sockaddr *)&to.ss, to.len);
	}
	start_connect(&o, &to, 30);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_string_equal(o.log, "e");
	assert_int_equal(o.why, CONN_TIMEOUT);
	assert_int_equal(o.error, ETIMEDOUT);
	for (i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	tear_down(&o, lfd);
}

static void
test_connect_to_no_unix_socket(void **state)
{
	struct net_addr to;
	struct owner o;
	char err[128];

	(void)state;
	assert_true(net_addr_parse(
	    STR("unix:/nonexistent/weir.sock"), &to, err, sizeof(err)));
	start_connect(&o, &to, 1000);
	o.free_it = true;
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_int_equal(o.error, ENOENT);
	tear_down(&o, -1);
}

/* A connection over TCP, the raw peer in *fd. */
static void
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

static void
test_last_words_before_a_reset(void **state)
{
	static const struct linger reset = {.l_onoff = 1};
	struct owner o;
	int fd;

	(void)state;
	set_up_tcp(&o, &fd);
	say(fd, "421 go");
	conn_flush(o.conn);
	/* The reset overtakes our wish to read: the write meets it. */
	assert_int_equal(
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(fd);
	conn_write(o.conn, "NOOP", 4);
	conn_flush(o.conn);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_string_equal(o.log, "re");
	assert_memory_equal(o.got, "421 go", 6);
	assert_int_equal(o.why, CONN_ERROR);
	tear_down(&o, -1);
}

static void
test_a_broken_paused_connection_ends(void **state)
{
	static const struct linger reset = {.l_onoff = 1};
	struct owner o;
	int fd;

	(void)state;
	set_up_tcp(&o, &fd);
	conn_pause(o.conn);
	assert_int_equal(
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(fd);
	conn_write(o.conn, "NOOP", 4);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_int_equal(o.why, CONN_ERROR);
	tear_down(&o, -1);
}

struct talker {
	int fd;
	size_t sent;
	char got[64];
	size_t got_len;
	int error; /* of the end: 0 EOF */
};

/* Sends without end and sees what it gets before the end. */
static bool
talks_until_end(void *arg)
{
	static const char block[8192];
	struct talker *t = arg;
	ssize_t n;

	if (t->sent < 500000) {
		n = send(t->fd, block, sizeof(block), MSG_NOSIGNAL);
		t->sent += n > 0 ? (size_t)n : 0;
		return false;
	}
	n = recv(t->fd, t->got + t->got_len, sizeof(t->got) - t->got_len, 0);
	if (n > 0)
		t->got_len += (size_t)n;
	if (n < 0 && errno != EAGAIN)
		t->error = errno;
	return n == 0 || t->error != 0;
}

static bool
talks(void *arg)
{
	struct talker *t = arg;

	if (t->fd < 0)
		return true;
	if (!talks_until_end(t))
		return false;
	close(t->fd);
	t->fd = -1;
	return true;
}

static void
test_the_last_reply_reaches_a_peer_that_talks_on(void **state)
{
	struct talker t = {0};
	struct owner o;

	(void)state;
	set_up_tcp(&o, &t.fd);
	o.last = "554 no";
	assert_true(pump_until(o.loop, talks, &t));
	assert_int_equal(t.error, 0);
	assert_int_equal(t.got_len, 6);
	assert_memory_equal(t.got, "554 no", 6);
	tear_down(&o, -1);
}

/* A sender that keeps its connection full and a receiver on one loop. */
struct pipe_end {
	struct conn *conn;
	uint64_t left, got;
	uint64_t sum;
	uint8_t next;
	bool over;
	int calls;
};

static void
pipe_send(struct pipe_end *p)
{
	uint8_t block[777];
	size_t n;

	while (p->left > 0) {
		n = p->left < sizeof(block) ? (size_t)p->left : sizeof(block);
		fill_sequence(block, n, &p->next);
		p->left -= n;
		if (!conn_write(p->conn, block, n))
			return;
	}
	conn_close(p->conn, 5000);
	p->over = true;
}

static void
on_pipe_drain(void *arg, int64_t now)
{
	(void)now;
	pipe_send(arg);
}

static void
on_pipe_read(void *arg, int64_t now)
{
	struct pipe_end *p = arg;
	struct str in = conn_input(p->conn);
	size_t i, n = in.n;

	(void)now;
	/* Now and then it leaves some, or rests. */
	if (++p->calls % 3 == 0)
		n /= 2;
	for (i = 0; i < n; i++)
		assert_int_equal((uint8_t)in.p[i], p->next++);
	p->got += n;
	conn_consume(p->conn, n);
	if (p->calls % 5 == 0)
		conn_pause(p->conn);
	if (n < in.n || p->calls % 5 == 0)
		conn_resume(p->conn);
}

static void
on_pipe_end(void *arg, enum conn_end why, int error, int64_t now)
{
	struct pipe_end *p = arg;

	(void)now;
	assert_int_equal(why, CONN_EOF);
	assert_int_equal(error, 0);
	p->over = true;
	conn_free(p->conn);
}

static const struct conn_ops pipe_ops = {
    .on_read = on_pipe_read,
    .on_drain = on_pipe_drain,
    .on_end = on_pipe_end,
};

static void
test_big_transfer(void **state)
{
	struct pipe_end from = {.left = 5000000}, to = {0};
	struct owner o;
	int fd;

	(void)state;
	set_up_tcp(&o, &fd);
	from.conn = o.conn;
	conn_set_owner(o.conn, &pipe_ops, &from);
	to.conn = conn_new(o.loop, fd, &pipe_ops, &to);
	pipe_send(&from);
	assert_true(pump_until(o.loop, pump_is_set, &to.over));
	assert_true(from.over);
	assert_int_equal(to.got, 5000000);
	assert_string_equal(o.log, "");
	loop_free(o.loop);
}

static void
test_a_new_owner_gets_the_rest(void **state)
{
	struct owner o, second;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	o.eat = 1;
	say(fd, "abc");
	assert_true(pump_until(o.loop, pump_is_set, &o.read));
	memset(&second, 0, sizeof(second));
	second.conn = o.conn;
	conn_set_owner(o.conn, &ops, &second);
	conn_resume(o.conn);
	assert_true(pump_until(o.loop, pump_is_set, &second.read));
	assert_memory_equal(second.got, "bc", 2);
	tear_down(&o, fd);
}

/* libevent learns of both ends of the descriptor's life at once. */
static void
test_a_descriptor_that_is_closed_and_reused_in_one_turn(void **state)
{
	struct owner o;
	int fds[2], fd, was;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	pump_turns(o.loop, 2);
	was = conn_fd(o.conn);
	conn_free(o.conn);
	close(fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(fds[0], was);
	o.conn = conn_new(o.loop, fds[0], &ops, &o);
	pump_turns(o.loop, 2);
	say(fds[1], "hello");
	assert_true(pump_until(o.loop, got_something, &o));
	assert_string_equal(o.log, "r");
	tear_down(&o, fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_read_and_write),
	    cmocka_unit_test(test_output_of_a_turn_is_one_write),
	    cmocka_unit_test(test_unconsumed_input_is_kept),
	    cmocka_unit_test(test_input_stops_at_its_cap),
	    cmocka_unit_test(test_pause_and_resume),
	    cmocka_unit_test(test_resume_delivers_what_was_left),
	    cmocka_unit_test(test_eof_while_paused_comes_after_the_input),
	    cmocka_unit_test(test_a_half_closed_peer_gets_its_reply),
	    cmocka_unit_test(test_back_pressure),
	    cmocka_unit_test(test_output_past_its_maximum_ends_it),
	    cmocka_unit_test(test_free_in_on_read),
	    cmocka_unit_test(test_free_in_on_end),
	    cmocka_unit_test(test_free_in_on_drain),
	    cmocka_unit_test(test_no_callback_after_close),
	    cmocka_unit_test(test_linger_is_bounded),
	    cmocka_unit_test(test_a_loop_can_end_before_the_linger),
	    cmocka_unit_test(test_connect),
	    cmocka_unit_test(test_free_in_on_connect),
	    cmocka_unit_test(test_free_while_connecting),
	    cmocka_unit_test(test_connect_refused),
	    cmocka_unit_test(test_connect_timeout),
	    cmocka_unit_test(test_connect_to_no_unix_socket),
	    cmocka_unit_test(test_last_words_before_a_reset),
	    cmocka_unit_test(test_a_broken_paused_connection_ends),
	    cmocka_unit_test(test_the_last_reply_reaches_a_peer_that_talks_on),
	    cmocka_unit_test(test_big_transfer),
	    cmocka_unit_test(test_a_new_owner_gets_the_rest),
	    cmocka_unit_test(
		test_a_descriptor_that_is_closed_and_reused_in_one_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
