/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a connection: made or connected, handed over, closed, freed.
 * Its bytes are in conn_flow.c.
 *
 * conn_close and conn_free take the owner away at once, so that no callback
 * can follow; the struct itself goes in the task at the end of the turn, after
 * every frame that may still hold it has returned.
 */
#include "net/conn_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

/* A peer that does not close after us gets this long, and may send this much
 * that is thrown away. */
#define DRAIN_MS 1000
#define DRAIN_BYTES (1u << 20)

static void on_turn_end(void *arg, int64_t now);
static void on_timer(void *arg, int64_t now);
static void on_loop_free(void *arg, int64_t now);

/*
 * CONNECTING -> OPEN -> ENDED -> CLOSING -> DRAINING -> DEAD, steps may be
 * left out, never taken back.
 */
void
conn_set_state(struct conn *c, enum conn_state state)
{
	if (state <= c->state)
		panic("conn: state %d after %d", state, c->state);
	c->state = state;
}

static struct conn *
make_conn(struct loop *l, int fd, const struct conn_ops *ops, void *arg)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->io = &conn_plain;
	c->ops = ops;
	c->arg = arg;
	c->fd = fd;
	c->state = CONN_CONNECTING;
	buf_init(&c->in, CONN_INPUT_MAX);
	buf_init(&c->out, CONN_OUTPUT_MAX);
	c->output_high = CONN_OUTPUT_HIGH;
	c->output_low = CONN_OUTPUT_LOW;
	loop_timer_init(&c->timer, l, on_timer, c);
	loop_task_init(&c->task, l, on_turn_end, c);
	loop_task_init(&c->at_free, l, on_loop_free, c);
	conn_flow_init(c);
	return c;
}

static void
set_nodelay(int fd)
{
	int on = 1;

	/* Fails on a Unix socket, which needs it not. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

struct conn *
conn_new(struct loop *l, int fd, const struct conn_ops *ops, void *arg)
{
	struct conn *c = make_conn(l, fd, ops, arg);

	conn_set_state(c, CONN_OPEN);
	conn_want_read(c);
	return c;
}

static void
end_connecting(struct conn *c, enum conn_end why, int error)
{
	c->ended = true;
	c->end_why = why;
	c->end_error = error;
	loop_task_set(&c->task);
}

struct conn *
conn_connect(struct loop *l, const struct net_addr *to, int64_t timeout_ms,
    const struct conn_ops *ops, void *arg)
{
	int fd = socket(
	    to->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = fd < 0 ? errno : 0;
	struct conn *c = make_conn(l, fd, ops, arg);

	if (error == 0) {
		set_nodelay(fd);
		if (connect(fd, (const struct sockaddr *)&to->ss, to->len) != 0)
			error = errno;
	}
	/* EINTR: it goes on by itself. A Unix socket's EAGAIN is a full
	 * backlog, it does not go on. */
	if (error == 0 || error == EINPROGRESS || error == EINTR) {
		conn_want_write(c);
		loop_timer_set(&c->timer, loop_now(l) + timeout_ms);
	} else {
		end_connecting(c, CONN_ERROR, error);
	}
	return c;
}

void
conn_set_owner(struct conn *c, const struct conn_ops *ops, void *arg)
{
	c->ops = ops;
	c->arg = arg;
}

void
conn_set_read_max(struct conn *c, size_t max)
{
	c->read_max = max;
}

void
conn_set_output_high(struct conn *c, uint32_t high)
{
	c->output_high = high;
	c->output_low = high / 4;
}

void
conn_set_secret(struct conn *c, bool secret)
{
	c->secret = secret;
}

int
conn_fd(const struct conn *c)
{
	return c->fd;
}

static void
destroy(struct conn *c)
{
	conn_flow_stop(c);
	loop_timer_clear(&c->timer);
	loop_task_clear(&c->task);
	loop_task_clear(&c->at_free);
	buf_clear(&c->in);
	buf_clear(&c->out);
	tls_free(c->tls);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

void
conn_free(struct conn *c)
{
	if (c == NULL || c->state == CONN_DEAD)
		return;
	conn_set_state(c, CONN_DEAD);
	conn_flow_stop(c);
	loop_timer_clear(&c->timer);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	loop_task_set(&c->task);
}

void
conn_close(struct conn *c, int64_t linger_ms)
{
	bool useless;

	if (c == NULL || c->state >= CONN_CLOSING)
		return;
	useless = c->fd < 0 || c->state == CONN_CONNECTING || c->shaking ||
		  c->write_error != 0 || (c->ended && c->end_why != CONN_EOF);
	if (useless) {
		conn_free(c);
		return;
	}
	conn_set_state(c, CONN_CLOSING);
	c->ops = NULL;
	c->arg = NULL;
	buf_clear(&c->in);
	loop_timer_set(&c->timer, loop_now(c->loop) + linger_ms);
	loop_task_set(&c->task);
	loop_task_set_at_free(&c->at_free);
}

void
conn_finish(struct conn *c, int64_t linger_ms)
{
	if (c != NULL)
		c->said_all = true;
	conn_close(c, linger_ms);
}

/*
 * The output is written. To close a TCP socket while the peer still sends
 * makes the kernel reset the connection, and the reset can overtake our last
 * reply: so tell the peer that we are done, and wait for its own end.
 */
static void
start_draining(struct conn *c, int64_t now)
{
	int64_t due = now + DRAIN_MS;

	if (c->tls != NULL && (!c->ended || c->half))
		tls_shutdown(c->tls);
	if (c->ended || c->said_all || shutdown(c->fd, SHUT_WR) != 0) {
		conn_free(c);
		return;
	}
	conn_set_state(c, CONN_DRAINING);
	if (due < c->timer.due)
		loop_timer_set(&c->timer, due);
	conn_want_read(c);
}

static void
go_on_closing(struct conn *c, int64_t now)
{
	if (!conn_flow_write(c) || c->discarded > DRAIN_BYTES)
		conn_free(c);
	else if (c->out.len == 0)
		start_draining(c, now);
}

static void
on_turn_end(void *arg, int64_t now)
{
	struct conn *c = arg;

	switch (c->state) {
	case CONN_CONNECTING:
	case CONN_OPEN:
		conn_flow_turn(c, now);
		break;
	case CONN_ENDED:
		break;
	case CONN_CLOSING:
		go_on_closing(c, now);
		break;
	case CONN_DRAINING:
		if (c->ended || c->discarded > DRAIN_BYTES)
			conn_free(c);
		break;
	case CONN_DEAD:
		destroy(c);
		break;
	}
}

static void
on_timer(void *arg, int64_t now)
{
	struct conn *c = arg;

	(void)now;
	if (c->state == CONN_CONNECTING)
		end_connecting(c, CONN_TIMEOUT, ETIMEDOUT);
	else if (c->state >= CONN_CLOSING)
		conn_free(c);
	else if (c->shaking)
		conn_end_reading(c, CONN_TIMEOUT, ETIMEDOUT);
}

/* A connection that was still closing by itself when the loop ended. */
static void
on_loop_free(void *arg, int64_t now)
{
	(void)now;
	destroy(arg);
}
