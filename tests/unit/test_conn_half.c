/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections whose peer has closed its side and listens on.
 */
#include "config.h"

#include "conn_rig.h"

#include <event2/event.h>

static const struct linger reset = {.l_onoff = 1};

static void
on_eof(void *arg, int64_t now)
{
	struct owner *o = arg;

	(void)now;
	note(o, 'h');
	o->read = true;
	maybe_free(o);
}

static const struct conn_ops half_ops = {
    .on_read = on_read,
    .on_drain = on_drain,
    .on_end = on_end,
    .on_eof = on_eof,
};

/* Over TCP, where the peer has said text and that it is all. */
static void
set_up_half(struct owner *o, int *fd, const char *text)
{
	set_up_tcp(o, fd);
	conn_set_owner(o->conn, &half_ops, o);
	say(*fd, text);
	assert_int_equal(shutdown(*fd, SHUT_WR), 0);
	while (strchr(o->log, 'h') == NULL) {
		o->read = false;
		assert_true(pump_until(o->loop, pump_is_set, &o->read));
	}
	assert_string_equal(o->log, "rh");
	assert_int_equal(o->got_len, strlen(text));
}

static void
tear_down_half(struct owner *o, int fd)
{
	tear_down(o, fd);
	assert_null(strchr(o->log, 'd'));
}

static void
test_replies_go_on(void **state)
{
	struct owner o;
	char buf[64];
	int fd;

	(void)state;
	set_up_half(&o, &fd, "NOOP");
	conn_write(o.conn, "250 ", 4);
	pump_turns(o.loop, 2);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 4);
	/* What the owner does with its input changes nothing. */
	conn_pause(o.conn);
	conn_resume(o.conn);
	conn_write(o.conn, "Ok", 2);
	pump_turns(o.loop, 2);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 2);
	assert_string_equal(o.log, "rh");
	conn_write(o.conn, "bye", 3);
	conn_close(o.conn, 5000);
	o.conn = NULL;
	pump_turns(o.loop, 2);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 3);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 0);
	tear_down_half(&o, fd);
}

static void
on_time(void *arg, int64_t now)
{
	(void)now;
	*(bool *)arg = true;
}

/* The end of the input is readable for ever: that must not wake anybody. */
static void
test_waits_quietly(void **state)
{
	struct loop_timer timer;
	bool over = false;
	struct owner o;
	int fd, turns = 0;

	(void)state;
	set_up_half(&o, &fd, "NOOP");
	loop_timer_init(&timer, o.loop, on_time, &over);
	loop_timer_set(&timer, loop_now(o.loop) + 50);
	while (!over) {
		assert_true(
		    event_base_loop(loop_base(o.loop), EVLOOP_ONCE) >= 0);
		turns++;
	}
	assert_true(turns < 10);
	loop_timer_clear(&timer);
	assert_string_equal(o.log, "rh");
	tear_down_half(&o, fd);
}

static void
reset_by_peer(int fd)
{
	assert_int_equal(
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(fd);
}

static void
test_a_reset_is_heard(void **state)
{
	struct owner o;
	int fd;

	(void)state;
	set_up_half(&o, &fd, "DATA");
	pump_turns(o.loop, 2);
	assert_false(o.ended);
	reset_by_peer(fd);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_string_equal(o.log, "rhe");
	assert_int_equal(o.why, CONN_ERROR);
	tear_down_half(&o, -1);
}

/* The same behind a reply, which has used the other event. */
static void
test_a_reset_is_heard_later(void **state)
{
	char block[4096] = {0};
	ssize_t n;
	struct owner o;
	int fd;

	(void)state;
	set_up_half(&o, &fd, "DATA");
	while (!conn_is_full(o.conn)) {
		conn_write(o.conn, block, sizeof(block));
		conn_flush(o.conn);
	}
	while (!o.drained) {
		while ((n = recv(fd, block, sizeof(block), MSG_DONTWAIT)) > 0)
			continue;
		assert_int_equal(n, -1);
		pump_turns(o.loop, 2);
	}
	assert_string_equal(o.log, "rhd");
	reset_by_peer(fd);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_string_equal(o.log, "rhde");
	tear_down(&o, -1);
}

static void
test_a_reset_under_output(void **state)
{
	char block[4096] = {0};
	struct owner o;
	int fd;

	(void)state;
	set_up_half(&o, &fd, "DATA");
	while (!conn_is_full(o.conn)) {
		conn_write(o.conn, block, sizeof(block));
		conn_flush(o.conn);
	}
	pump_turns(o.loop, 2);
	assert_false(o.ended);
	reset_by_peer(fd);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_string_equal(o.log, "rhe");
	tear_down_half(&o, -1);
}

static void
test_free_in_on_eof(void **state)
{
	struct owner o;
	int fd;

	(void)state;
	set_up_tcp(&o, &fd);
	conn_set_owner(o.conn, &half_ops, &o);
	o.free_it = true;
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_true(pump_until(o.loop, pump_is_set, &o.read));
	pump_turns(o.loop, 2);
	assert_string_equal(o.log, "h");
	tear_down_half(&o, fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_replies_go_on),
	    cmocka_unit_test(test_waits_quietly),
	    cmocka_unit_test(test_a_reset_is_heard),
	    cmocka_unit_test(test_a_reset_is_heard_later),
	    cmocka_unit_test(test_a_reset_under_output),
	    cmocka_unit_test(test_free_in_on_eof),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
