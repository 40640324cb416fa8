/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of a connection. One read(2) a wake-up into the loop's scratch
 * buffer, and what the owner leaves goes to c->in; one write(2) a turn, from
 * the task at its end. A long run, as text is, is written where it stands
 * instead, behind what is queued: to copy it costs more than the call.
 *
 * Events are switched off late: a pause only sets a flag, and the event goes
 * when it fires in vain. So pausing for the length of a turn costs nothing.
 * Callbacks may change the state under us: look at it after each.
 */
#include "net/conn_private.h"

#include <errno.h>
#include <string.h>

/* After the peer broke the connection, what it had said before is still read:
 * often the reason. So many times at most. */
#define LAST_READS 8
#define LONG_RUN 16384 /* is written at once */

static ssize_t
plain_read(struct conn *c, void *p, size_t n)
{
	return recv(c->fd, p, n, MSG_DONTWAIT);
}

static ssize_t
plain_write(struct conn *c, const void *p, size_t n, bool more)
{
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0);

	return send(c->fd, p, n, flags);
}

const struct conn_io conn_plain = {
    .read = plain_read,
    .write = plain_write,
};

static bool
is_again(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

struct str
conn_input(const struct conn *c)
{
	return c->view.p != NULL ? c->view : buf_str(&c->in);
}

void
conn_consume(struct conn *c, size_t n)
{
	if (n > conn_input(c).n)
		panic("conn: consumes more than is there");
	if (c->secret)
		explicit_bzero((char *)conn_input(c).p, n);
	if (c->view.p != NULL) {
		c->view.p += n;
		c->view.n -= n;
		return;
	}
	buf_consume(&c->in, n);
	buf_trim(&c->in);
	conn_want_read(c);
	if (conn_has_more(c))
		loop_task_set(&c->task);
}

/* Calls the owner with what is in the scratch buffer, keeps what it leaves. */
static void
deliver(struct conn *c, size_t n, int64_t now)
{
	struct str rest;

	c->resumed = false;
	c->view = (struct str){loop_scratch(c->loop), n};
	c->ops->on_read(c->arg, now);
	rest = c->view;
	c->view = (struct str){NULL, 0};
	if (rest.n > 0 && c->state < CONN_CLOSING &&
	    !buf_append_str(&c->in, rest))
		panic("conn: input does not fit");
	conn_want_read(c);
}

/* Moves kept input to the scratch buffer; returns how much. */
static size_t
load_input(struct conn *c)
{
	size_t n = c->in.len;

	if (n > 0)
		memcpy(loop_scratch(c->loop), buf_str(&c->in).p, n);
	if (n > 0 && c->secret)
		explicit_bzero(c->in.mem, c->in.cap);
	buf_clear(&c->in);
	return n;
}

static void
deliver_kept(struct conn *c, int64_t now)
{
	size_t n = load_input(c);

	c->resumed = false;
	if (n > 0)
		deliver(c, n, now);
}

void
conn_end_reading(struct conn *c, enum conn_end why, int error)
{
	if (c->ended)
		return;
	c->ended = true;
	c->end_why = why;
	c->end_error = error;
	if (c->reading)
		event_del(&c->read_event);
	c->reading = false;
	loop_task_set(&c->task);
}

/* One read. False: there is nothing more for the moment, or ever. */
static bool
read_once(struct conn *c, int64_t now)
{
	size_t kept = c->in.len;
	char *p = loop_scratch(c->loop);
	size_t room = CONN_INPUT_MAX - kept;
	ssize_t n;

	if (c->read_max > 0 && c->read_max < room)
		room = c->read_max;
	n = c->io->read(c, p + kept, room);

	if (n < 0 && is_again(errno))
		return false;
	if (n <= 0) {
		conn_end_reading(
		    c, n == 0 ? CONN_EOF : CONN_ERROR, n == 0 ? 0 : errno);
		return false;
	}
	(void)load_input(c);
	deliver(c, kept + (size_t)n, now);
	if (conn_has_more(c))
		loop_task_set(&c->task);
	return true;
}

static void
discard_input(struct conn *c)
{
	ssize_t n = c->io->read(c, loop_scratch(c->loop), LOOP_SCRATCH);

	if (n > 0)
		c->discarded += (uint32_t)n;
	else if (n == 0 || !is_again(errno))
		conn_end_reading(c, CONN_EOF, 0);
	loop_task_set(&c->task);
}

static bool
wants_read(const struct conn *c)
{
	if (c->ended || c->fd < 0)
		return false;
	if (c->state == CONN_OPEN)
		return c->shaking || (!c->paused && c->in.len < CONN_INPUT_MAX);
	return c->state == CONN_DRAINING;
}

void
conn_want_read(struct conn *c)
{
	if (c->reading || !wants_read(c))
		return;
	if (event_add(&c->read_event, NULL) != 0)
		panic("conn: cannot watch for reading");
	c->reading = true;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	if (!wants_read(c)) {
		event_del(&c->read_event);
		c->reading = false;
	} else if (c->state == CONN_DRAINING) {
		discard_input(c);
	} else if (c->shaking) {
		conn_shake(c, loop_now(c->loop));
	} else {
		read_once(c, loop_now(c->loop));
	}
}

/* more: a long run follows. */
static bool
write_queued(struct conn *c, bool more)
{
	struct str s;
	ssize_t n;

	while (c->out.len > 0 && !c->writing && !c->shaking) {
		s = buf_str(&c->out);
		n = c->io->write(c, s.p, s.n, more);
		if (n < 0 && !is_again(errno)) {
			c->write_error = errno;
			buf_clear(&c->out);
			return false;
		}
		if (n > 0 && c->secret)
			explicit_bzero((char *)s.p, (size_t)n);
		if (n > 0)
			buf_consume(&c->out, (size_t)n);
		/* A short write means that the kernel's buffer is full. */
		if (c->out.len > 0)
			conn_want_write(c);
	}
	buf_trim(&c->out);
	if (c->full && c->out.len < c->output_low) {
		c->full = false;
		c->drained = true;
		loop_task_set(&c->task);
	}
	return true;
}

bool
conn_flow_write(struct conn *c)
{
	return write_queued(c, false);
}

static bool
may_write_at_once(const struct conn *c, size_t n)
{
	return n >= LONG_RUN && c->state == CONN_OPEN && !c->writing &&
	       !c->shaking && !c->secret;
}

/* Returns how much of it is done with. The owner hears of an error from the
 * task. */
static size_t
write_at_once(struct conn *c, const void *p, size_t n)
{
	ssize_t put;

	if (!write_queued(c, true))
		return n;
	if (c->out.len > 0)
		return 0;
	put = c->io->write(c, p, n, false);
	if (put < 0 && !is_again(errno)) {
		c->write_error = errno;
		return n;
	}
	if (put < 0)
		put = 0;
	/* A short write means that the kernel's buffer is full. */
	if ((size_t)put < n)
		conn_want_write(c);
	return (size_t)put;
}

static void
stop_writing(struct conn *c)
{
	if (c->writing)
		event_del(c->write_event);
	c->writing = false;
}

static void
finish_connecting(struct conn *c, int64_t now)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error != 0) {
		conn_end_reading(c, CONN_ERROR, error);
		return;
	}
	loop_timer_clear(&c->timer);
	conn_set_state(c, CONN_OPEN);
	conn_want_read(c);
	loop_task_set(&c->task);
	c->ops->on_connect(c->arg, now);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	stop_writing(c);
	if (c->state != CONN_CONNECTING)
		loop_task_set(&c->task);
	else if (!c->ended) /* not timed out in this turn */
		finish_connecting(c, loop_now(c->loop));
}

/* Of a peer that has closed its side nothing is read any more, and yet a reset
 * is to be heard of: SO_ERROR has it, recv(2) goes on to tell the end. */
static void
on_half_edge(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 ||
	    error == 0)
		return;
	c->write_error = error;
	loop_task_set(&c->task);
}

/* By its edge, as the end of the input stays readable for ever. Not beside the
 * write event: libevent has one kind for a descriptor, and a write tells as
 * well. */
static void
watch_half(struct conn *c)
{
	if (!c->half || c->state != CONN_OPEN || c->reading || c->writing)
		return;
	if (event_assign(&c->read_event, loop_base(c->loop), c->fd,
		EV_READ | EV_ET | EV_PERSIST, on_half_edge, c) != 0 ||
	    event_add(&c->read_event, NULL) != 0)
		panic("conn: cannot watch for a reset");
	c->reading = true;
}

void
conn_want_write(struct conn *c)
{
	if (c->writing)
		return;
	if (c->half && c->reading) {
		event_del(&c->read_event);
		c->reading = false;
	}
	if (c->write_event == NULL) {
		c->write_event = event_new(loop_base(c->loop), c->fd,
		    EV_WRITE | EV_PERSIST, on_writable, c);
		if (c->write_event == NULL)
			panic("conn: out of memory");
	}
	if (event_add(c->write_event, NULL) != 0)
		panic("conn: cannot watch for writing");
	c->writing = true;
}

void
conn_flow_init(struct conn *c)
{
	if (event_assign(&c->read_event, loop_base(c->loop), c->fd,
		EV_READ | EV_PERSIST, on_readable, c) != 0)
		panic("conn: event_assign");
}

void
conn_flow_stop(struct conn *c)
{
	if (c->reading)
		event_del(&c->read_event);
	c->reading = false;
	stop_writing(c);
	if (c->write_event != NULL)
		event_free(c->write_event);
	c->write_event = NULL;
}

bool
conn_write(struct conn *c, const void *p, size_t n)
{
	size_t done = 0;

	if (c->state >= CONN_CLOSING || c->write_error != 0 || n == 0)
		return !c->full;
	if (may_write_at_once(c, n))
		done = write_at_once(c, p, n);
	if (!buf_append(&c->out, (const char *)p + done, n - done)) {
		c->write_error = ENOBUFS;
		buf_clear(&c->out);
	}
	if (c->out.len > c->output_high)
		c->full = true;
	if (c->state == CONN_OPEN || c->write_error != 0)
		loop_task_set(&c->task);
	return !c->full;
}

bool
conn_is_full(const struct conn *c)
{
	return c->full;
}

void
conn_flush(struct conn *c)
{
	if (c->state != CONN_OPEN || c->write_error != 0)
		return;
	/* The owner is told from the task, never from within. */
	if (!conn_flow_write(c))
		loop_task_set(&c->task);
}

void
conn_pause(struct conn *c)
{
	c->paused = true;
	c->resumed = false;
}

void
conn_resume(struct conn *c)
{
	if (c->state > CONN_OPEN)
		return;
	c->paused = false;
	if (c->state != CONN_OPEN)
		return;
	c->resumed = true;
	conn_want_read(c);
	loop_task_set(&c->task);
}

/* The output broke: the input's last words first, then the end. */
static void
end_broken(struct conn *c, int64_t now)
{
	int i = 0;

	stop_writing(c);
	while (i++ < LAST_READS && c->state == CONN_OPEN && wants_read(c) &&
	       read_once(c, now))
		continue;
	c->paused = false;
	if (c->ended && c->end_why != CONN_EOF)
		return;
	c->ended = true;
	c->end_why = CONN_ERROR;
	c->end_error = c->write_error;
}

static bool
may_be_half(const struct conn *c)
{
	return c->state == CONN_OPEN && c->end_why == CONN_EOF && !c->shaking &&
	       c->ops->on_eof != NULL;
}

static void
report_end(struct conn *c, int64_t now)
{
	if (!c->ended || (c->half && c->end_why == CONN_EOF))
		return;
	if (may_be_half(c)) {
		c->half = true;
		c->ops->on_eof(c->arg, now);
		return;
	}
	conn_set_state(c, CONN_ENDED);
	conn_flow_stop(c);
	loop_timer_clear(&c->timer);
	c->ops->on_end(c->arg, c->end_why, c->end_error, now);
}

void
conn_flow_turn(struct conn *c, int64_t now)
{
	bool dead = c->ended && c->end_why != CONN_EOF;

	if (c->state == CONN_OPEN && c->shaking && !dead)
		conn_shake(c, now);
	if (c->state == CONN_OPEN && c->drained) {
		c->drained = false;
		if (!c->full)
			c->ops->on_drain(c->arg, now);
	}
	if (c->state == CONN_OPEN && c->resumed)
		deliver_kept(c, now);
	if (c->state == CONN_OPEN && conn_has_more(c) && wants_read(c))
		(void)read_once(c, now);
	if (c->state == CONN_OPEN && c->write_error == 0 && !dead)
		(void)conn_flow_write(c);
	if (c->state <= CONN_OPEN && c->write_error != 0)
		end_broken(c, now);
	/* A pause holds back the end of what is read, nothing else. */
	if (c->state == CONN_CONNECTING ||
	    (c->state == CONN_OPEN &&
		(c->shaking || (!c->paused && !c->resumed))))
		report_end(c, now);
	watch_half(c);
}
