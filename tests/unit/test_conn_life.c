/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a connection: connecting, and that every way to close or free
 * it is safe and loses nothing that was to be kept.
 */
#include "config.h"

#include "conn_rig.h"

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
	static const char block[1000]; /* short: waits for the turn's end */
	struct owner o;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	o.free_it = true;
	while (conn_write(o.conn, block, sizeof(block)))
		continue;
	assert_true(pump_until(o.loop, pump_is_set, &o.drained));
	assert_string_equal(o.log, "d");
	tear_down(&o, fd);
}

static void
test_output_high(void **state)
{
	static const char block[1000];
	struct owner o;
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	conn_set_output_high(o.conn, 1000);
	assert_true(conn_write(o.conn, block, 1000));
	assert_false(conn_write(o.conn, block, 1));
	assert_true(conn_is_full(o.conn));
	assert_true(pump_until(o.loop, pump_is_set, &o.drained));
	assert_false(conn_is_full(o.conn));
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

/* After a QUIT the socket goes at once, its last word first. */
static void
test_finish_waits_for_nobody(void **state)
{
	struct owner o;
	char buf[16];
	int fd;

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	conn_write(o.conn, "221", 3);
	conn_finish(o.conn, 1000);
	o.conn = NULL;
	pump_turns(o.loop, 3);
	assert_true(is_reset(&fd));
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 3);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 0);
	tear_down(&o, fd);
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
test_a_pause_does_not_hide_a_failed_connect(void **state)
{
	struct net_addr to;
	struct owner o;
	int lfd = listen_on(&to, -1);

	(void)state;
	start_connect(&o, &to, 5000);
	conn_pause(o.conn);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_int_equal(o.error, ECONNREFUSED);
	conn_free(o.conn);
	loop_free(o.loop);
	start_connect(&o, &to, 5000);
	conn_pause(o.conn);
	conn_resume(o.conn);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_string_equal(o.log, "e");
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
	    cmocka_unit_test(test_free_in_on_read),
	    cmocka_unit_test(test_free_in_on_end),
	    cmocka_unit_test(test_free_in_on_drain),
	    cmocka_unit_test(test_output_high),
	    cmocka_unit_test(test_no_callback_after_close),
	    cmocka_unit_test(test_finish_waits_for_nobody),
	    cmocka_unit_test(test_linger_is_bounded),
	    cmocka_unit_test(test_a_loop_can_end_before_the_linger),
	    cmocka_unit_test(test_connect),
	    cmocka_unit_test(test_free_in_on_connect),
	    cmocka_unit_test(test_free_while_connecting),
	    cmocka_unit_test(test_connect_refused),
	    cmocka_unit_test(test_a_pause_does_not_hide_a_failed_connect),
	    cmocka_unit_test(test_connect_timeout),
	    cmocka_unit_test(test_connect_to_no_unix_socket),
	    cmocka_unit_test(test_last_words_before_a_reset),
	    cmocka_unit_test(test_a_broken_paused_connection_ends),
	    cmocka_unit_test(test_the_last_reply_reaches_a_peer_that_talks_on),
	    cmocka_unit_test(
		test_a_descriptor_that_is_closed_and_reused_in_one_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
