/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of a connection: what arrives, in which order, what is kept, and
 * back-pressure. Its life is in test_conn_life.c.
 */
#include "config.h"

#include "conn_rig.h"

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

struct resumer {
	struct owner *o;
	struct loop_watch *watch;
};

static void
on_resumer(void *arg, int64_t now)
{
	struct resumer *r = arg;

	(void)now;
	conn_resume(r->o->conn);
	loop_watch_free(r->watch);
}

/* The end is seen in the turn in which kept input is delivered first. */
static void
test_eof_in_the_turn_of_a_resume(void **state)
{
	struct resumer r;
	struct owner o;
	int fd, fds[2];

	(void)state;
	set_up(&o, SOCK_STREAM, &fd);
	assert_int_equal(pipe(fds), 0);
	o.keep = true;
	say(fd, "ab");
	assert_true(pump_until(o.loop, pump_is_set, &o.read));
	pump_turns(o.loop, 3);
	conn_pause(o.conn);
	r.o = &o;
	r.watch = loop_watch_new(o.loop, fds[0], on_resumer, &r);
	o.pause = true;
	pump_turns(o.loop, 3);
	assert_int_equal(write(fds[1], "x", 1), 1); /* first in line */
	close(fd);
	pump_turns(o.loop, 5);
	assert_string_equal(o.log, "rr");
	conn_resume(o.conn);
	pump_turns(o.loop, 3);
	assert_string_equal(o.log, "rrr");
	o.keep = o.pause = false;
	conn_resume(o.conn);
	assert_true(pump_until(o.loop, pump_is_set, &o.ended));
	assert_string_equal(o.log, "rrrre");
	assert_int_equal(o.got_len, 2);
	close(fds[0]);
	close(fds[1]);
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
test_a_long_run_goes_at_once_in_its_place(void **state)
{
	static uint8_t block[20004], got[20004];
	uint8_t next = 0, in = 0;
	struct owner o;
	char buf[8];
	int fd;

	(void)state;
	set_up_tcp(&o, &fd);
	fill_sequence(block, sizeof(block), &next);
	o.inside = true;
	conn_write(o.conn, block, 4);
	assert_int_equal(recv(fd, buf, 1, MSG_DONTWAIT), -1);
	conn_write(o.conn, block + 4, sizeof(block) - 4);
	conn_write(o.conn, "tail", 4);
	o.inside = false;
	assert_int_equal(recv(fd, got, sizeof(got), MSG_WAITALL), sizeof(got));
	for (size_t i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], in++);
	assert_int_equal(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), -1);
	pump_turns(o.loop, 2);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 4);
	assert_memory_equal(buf, "tail", 4);
	tear_down(&o, fd);
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
	uint8_t block[40000];
	size_t n;

	while (p->left > 0) {
		/* Long and short runs in turn. */
		n = p->left % 3 == 0 ? sizeof(block) : 777;
		n = p->left < n ? (size_t)p->left : n;
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_read_and_write),
	    cmocka_unit_test(test_output_of_a_turn_is_one_write),
	    cmocka_unit_test(test_a_long_run_goes_at_once_in_its_place),
	    cmocka_unit_test(test_unconsumed_input_is_kept),
	    cmocka_unit_test(test_input_stops_at_its_cap),
	    cmocka_unit_test(test_pause_and_resume),
	    cmocka_unit_test(test_resume_delivers_what_was_left),
	    cmocka_unit_test(test_eof_while_paused_comes_after_the_input),
	    cmocka_unit_test(test_eof_in_the_turn_of_a_resume),
	    cmocka_unit_test(test_a_half_closed_peer_gets_its_reply),
	    cmocka_unit_test(test_back_pressure),
	    cmocka_unit_test(test_output_past_its_maximum_ends_it),
	    cmocka_unit_test(test_big_transfer),
	    cmocka_unit_test(test_a_new_owner_gets_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
