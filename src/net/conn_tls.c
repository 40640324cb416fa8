/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection's way from plain to TLS. While the handshake is under way the
 * owner's output waits and its pauses do not count; it hears of the outcome
 * alone.
 */
#include "net/conn_private.h"

#include <errno.h>
#include <sys/socket.h>

static ssize_t
on_io_read(struct conn *c, void *p, size_t n)
{
	return tls_read(c->tls, p, n);
}

static ssize_t
on_io_write(struct conn *c, const void *p, size_t n, bool more)
{
	(void)more;
	return tls_write(c->tls, p, n);
}

const struct conn_io conn_tls = {
    .read = on_io_read,
    .write = on_io_write,
};

bool
conn_start_tls(struct conn *c, struct tls *t, int64_t timeout_ms)
{
	bool ok = c->state == CONN_OPEN && c->tls == NULL && !c->ended &&
		  conn_input(c).n == 0;

	/* The 220 of STARTTLS is small: a peer that does not take it at once
	 * has sent us much more than it was allowed to. */
	ok = ok && conn_flow_write(c) && c->out.len == 0;
	if (!ok) {
		tls_free(t);
		return false;
	}
	c->tls = t;
	c->io = &conn_tls;
	c->shaking = true;
	c->resumed = false;
	tls_set_fd(t, c->fd);
	loop_timer_set(&c->timer, loop_now(c->loop) + timeout_ms);
	conn_want_read(c);
	loop_task_set(&c->task);
	return true;
}

static void
end_shaking(struct conn *c, int64_t now)
{
	c->shaking = false;
	loop_timer_set(&c->timer, INT64_MAX);
	/* Text may have come with the end of the handshake. */
	loop_task_set(&c->task);
	conn_want_read(c);
	c->ops->on_tls(c->arg, now);
}

void
conn_shake(struct conn *c, int64_t now)
{
	switch (tls_handshake(c->tls)) {
	case TLS_DONE:
		end_shaking(c, now);
		break;
	case TLS_WANT_READ:
		conn_want_read(c);
		break;
	case TLS_WANT_WRITE:
		conn_want_write(c);
		break;
	case TLS_FAILED:
		conn_end_reading(c, CONN_ERROR, EPROTO);
		break;
	}
}

bool
conn_has_more(const struct conn *c)
{
	return c->tls != NULL && !c->shaking && tls_has_more(c->tls);
}

bool
conn_is_tls(const struct conn *c)
{
	return c->tls != NULL && !c->shaking;
}

bool
conn_is_shaking(const struct conn *c)
{
	return c->shaking;
}

struct tls_info
conn_tls_info(const struct conn *c)
{
	return tls_info(c->tls);
}

const char *
conn_tls_error(const struct conn *c)
{
	return c->tls != NULL ? tls_error(c->tls) : "";
}

bool
conn_peek(const struct conn *c)
{
	char byte;

	if (conn_input(c).n > 0)
		return true;
	if (c->tls != NULL)
		return tls_peek(c->tls);
	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}
