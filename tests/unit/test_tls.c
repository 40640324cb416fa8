/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TLS between two connections on one loop: handshakes, bytes both ways, ends.
 */
#include "config.h"

#include "tls_rig.h"

static void
test_words_go_through(void **state)
{
	struct rig *r = *state;

	start_good(r);
	assert_true(conn_tls_info(r->c.conn).verified);
	assert_string_equal(conn_tls_info(r->s.conn).version, "TLSv1.3");
	assert_string_equal(conn_tls_info(r->s.conn).sni, "relay.test");
	assert_null(conn_tls_info(r->s.conn).user);
	conn_write(r->s.conn, "220 hello\r\n", 11);
	assert_true(pump_until(r->loop, has_got, &r->c));
	assert_true(str_eq(buf_str(&r->c.got), STR("220 hello\r\n")));
	conn_write(r->c.conn, "EHLO\r\n", 6);
	assert_true(pump_until(r->loop, has_got, &r->s));
	close_pair(r);
}

/* What is written before the handshake goes in plain, after it under TLS. */
static void
test_written_meanwhile(void **state)
{
	struct rig *r = *state;
	char raw[64];
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	open_side(r, &r->s, fds[0]);
	conn_write(r->s.conn, "220 go\r\n", 8);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	conn_write(r->s.conn, "SECRET", 6);
	pump_turns(r->loop, 5);
	assert_int_equal(recv(fds[1], raw, sizeof(raw), 0), 8);
	assert_memory_equal(raw, "220 go\r\n", 8);
	open_side(r, &r->c, fds[1]);
	assert_true(conn_start_tls(
	    r->c.conn, tls_connect(r->client, "relay.test", "here:25"), 5000));
	assert_true(pump_until(r->loop, has_got, &r->c));
	assert_true(str_eq(buf_str(&r->c.got), STR("SECRET")));
	close_pair(r);
}

static bool
is_all(void *arg)
{
	return ((struct side *)arg)->total >= 900000;
}

/* More than the socket, the records and the input buffer hold; eaten slowly,
 * paused in between. */
static void
test_much(void **state)
{
	struct rig *r = *state;
	char *text = xmalloc(900000);

	memset(text, 'x', 900000);
	start_good(r);
	r->c.eat = 777;
	conn_pause(r->c.conn);
	assert_false(conn_write(r->s.conn, text, 900000));
	pump_turns(r->loop, 20);
	assert_int_equal(r->c.total, 0);
	conn_resume(r->c.conn);
	/* Unconsumed input is delivered again by conn_resume alone. */
	for (int i = 0; i < 5000 && r->c.total < 900000; i++) {
		conn_resume(r->c.conn);
		pump_turns(r->loop, 1);
	}
	assert_int_equal(r->c.total, 900000);
	assert_true(r->s.drained);
	r->c.total = r->c.eat = 0;
	assert_false(conn_write(r->s.conn, text, 900000));
	assert_true(pump_until(r->loop, is_all, &r->c));
	close_pair(r);
	free(text);
}

/* The reader keeps all that it can, then takes it at once. */
static void
test_full_input(void **state)
{
	struct rig *r = *state;
	char *text = xmalloc(300000);

	memset(text, 'y', 300000);
	start_good(r);
	r->c.keep = true;
	conn_write(r->s.conn, text, 300000);
	pump_turns(r->loop, 50);
	assert_int_equal(conn_input(r->c.conn).n, CONN_INPUT_MAX);
	r->c.keep = false;
	conn_resume(r->c.conn);
	for (int i = 0; i < 2000 && r->c.total < 300000; i++)
		pump_turns(r->loop, 1);
	assert_int_equal(r->c.total, 300000);
	close_pair(r);
	free(text);
}

/* Bytes that came in plain make it fail (CVE-2011-0411). */
static void
test_buffered_bytes(void **state)
{
	struct rig *r = *state;

	open_pair(r);
	r->s.keep = true;
	conn_write(r->c.conn, "EHLO evil\r\n", 11);
	pump_turns(r->loop, 5);
	assert_int_equal(conn_input(r->s.conn).n, 11);
	assert_false(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	close_pair(r);
}

/* Bytes in the kernel are read as TLS, and are none. */
static void
test_plain_bytes_later(void **state)
{
	struct rig *r = *state;

	open_pair(r);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	conn_write(r->c.conn, "EHLO evil\r\n", 11);
	assert_true(pump_until(r->loop, pump_is_set, &r->s.ended));
	assert_int_equal(r->s.why, CONN_ERROR);
	assert_int_equal(r->s.error, EPROTO);
	assert_true(r->s.words[0] != '\0');
	assert_false(r->s.shaken);
	close_pair(r);
}

static void
test_deadline(void **state)
{
	struct rig *r = *state;

	open_pair(r);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 30));
	conn_pause(r->s.conn);
	assert_true(pump_until(r->loop, pump_is_set, &r->s.ended));
	assert_int_equal(r->s.why, CONN_TIMEOUT);
	close_pair(r);
}

static void
test_peer_closes(void **state)
{
	struct rig *r = *state;

	open_pair(r);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	conn_free(r->c.conn);
	r->c.conn = NULL;
	assert_true(pump_until(r->loop, pump_is_set, &r->s.ended));
	assert_string_equal(r->s.words, "the peer closed the connection");
	close_pair(r);
}

/* conn_close within a handshake says nothing in plain. */
static void
test_close_within(void **state)
{
	struct rig *r = *state;
	int fds[2];
	char raw[64];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	open_side(r, &r->s, fds[0]);
	assert_true(conn_start_tls(r->s.conn, tls_accept(r->server), 5000));
	conn_write(r->s.conn, "421 bye\r\n", 9);
	conn_close(r->s.conn, 1000);
	pump_turns(r->loop, 3);
	assert_int_equal(recv(fds[1], raw, sizeof(raw), 0), 0);
	close(fds[1]);
	buf_clear(&r->s.got);
}

static void
test_last_words(void **state)
{
	struct rig *r = *state;

	start_good(r);
	conn_write(r->s.conn, "221 bye\r\n", 9);
	conn_close(r->s.conn, 1000);
	r->s.conn = NULL;
	assert_true(pump_until(r->loop, pump_is_set, &r->c.ended));
	assert_int_equal(r->c.why, CONN_EOF);
	assert_true(str_eq(buf_str(&r->c.got), STR("221 bye\r\n")));
	close_pair(r);
}

static void
test_peek(void **state)
{
	struct rig *r = *state;

	start_good(r);
	conn_pause(r->s.conn);
	assert_false(conn_peek(r->s.conn));
	conn_write(r->c.conn, "EHLO\r\n", 6);
	pump_turns(r->loop, 5);
	assert_true(conn_peek(r->s.conn));
	conn_resume(r->s.conn);
	assert_true(pump_until(r->loop, has_got, &r->s));
	close_pair(r);
	open_pair(r);
	assert_false(conn_peek(r->s.conn));
	conn_pause(r->s.conn);
	conn_write(r->c.conn, "x", 1);
	pump_turns(r->loop, 5);
	assert_true(conn_peek(r->s.conn));
	close_pair(r);
}

int
main(void)
{
#define RIG(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    RIG(test_words_go_through),
	    RIG(test_written_meanwhile),
	    RIG(test_much),
	    RIG(test_full_input),
	    RIG(test_buffered_bytes),
	    RIG(test_plain_bytes_later),
	    RIG(test_deadline),
	    RIG(test_peer_closes),
	    RIG(test_close_within),
	    RIG(test_last_words),
	    RIG(test_peek),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
