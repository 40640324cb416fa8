/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deadlines of the server engine. A command has one for its whole line, which
 * no trickle of bytes moves; DATA has three: between bytes, for the whole
 * message, and a least amount per window. The time that the owner takes is
 * never the client's: all of them stand still meanwhile.
 */
#include "smtp/server_impl.h"

#define NEVER INT64_MAX
#define AUTH_WAIT_MS 60000

static int64_t
after(int64_t now, int64_t ms)
{
	return ms <= 0 || now > NEVER - ms ? NEVER : now + ms; /* 0: none */
}

static void
shift(int64_t *due, int64_t by)
{
	if (*due != NEVER)
		*due += by;
}

void
smtp_server_set_now(struct smtp_server *s, int64_t now)
{
	if (now > s->now)
		s->now = now;
}

void
smtp_server_time_changed(struct smtp_server *s)
{
	bool stop = s->paused || s->question != SMTP_ASK_NOTHING;
	int64_t stood;

	if (stop == (s->stopped_at != INT64_MIN))
		return;
	if (stop) {
		s->stopped_at = s->now;
		return;
	}
	stood = s->now - s->stopped_at;
	s->stopped_at = INT64_MIN;
	shift(&s->command_due, stood);
	shift(&s->gap_due, stood);
	shift(&s->message_due, stood);
	shift(&s->window_due, stood);
}

void
smtp_server_await_nothing(struct smtp_server *s)
{
	s->command_due = s->gap_due = s->message_due = s->window_due = NEVER;
}

/* While the deadlines stand still, a new one counts from where they stand. */
static int64_t
client_now(const struct smtp_server *s)
{
	return s->stopped_at != INT64_MIN ? s->stopped_at : s->now;
}

void
smtp_server_await_command(struct smtp_server *s)
{
	int64_t message_due = s->message_due;
	int64_t ms = s->limits->command_timeout_ms;

	/* A login may hold a connection to the next hop open. */
	if (s->auth_open && (ms <= 0 || ms > AUTH_WAIT_MS))
		ms = AUTH_WAIT_MS;
	smtp_server_await_nothing(s);
	s->command_due = after(client_now(s), ms);
	/* Between two chunks: pauses make no message live longer. */
	if (s->phase == SMTP_PHASE_CHUNKS)
		s->message_due = message_due;
}

static void
open_window(struct smtp_server *s)
{
	s->window_bytes = 0;
	s->window_due =
	    s->limits->data_rate_min == 0
		? NEVER
		: after(client_now(s), s->limits->data_rate_window_ms);
}

void
smtp_server_await_data(struct smtp_server *s)
{
	int64_t message_due = s->message_due;

	smtp_server_await_nothing(s);
	s->gap_due = after(client_now(s), s->limits->data_timeout_ms);
	s->message_due = after(client_now(s), s->limits->message_timeout_ms);
	if (s->phase == SMTP_PHASE_CHUNKS && message_due != NEVER)
		s->message_due = message_due;
	open_window(s);
}

void
smtp_server_data_came(struct smtp_server *s, size_t n)
{
	s->window_bytes += n;
	s->gap_due = after(client_now(s), s->limits->data_timeout_ms);
}

/* Bytes that a window must bring; the rate is the owner's and may be large. */
static uint64_t
window_least(const struct smtp_server_limits *l)
{
	uint64_t window_ms = (uint64_t)l->data_rate_window_ms;

	if (l->data_rate_min > UINT64_MAX / window_ms)
		return UINT64_MAX / 1000;
	return l->data_rate_min * window_ms / 1000;
}

int64_t
smtp_server_next_due(const struct smtp_server *s)
{
	int64_t due = s->command_due;

	if (s->stopped_at != INT64_MIN || s->phase == SMTP_PHASE_CLOSED)
		return NEVER;
	if (s->gap_due < due)
		due = s->gap_due;
	if (s->message_due < due)
		due = s->message_due;
	if (s->window_due < due)
		due = s->window_due;
	return due;
}

void
smtp_server_run(struct smtp_server *s, int64_t now)
{
	smtp_server_set_now(s, now);
	if (s->phase == SMTP_PHASE_CLOSED || smtp_server_next_due(s) > s->now)
		return;
	if (s->command_due <= s->now) {
		smtp_server_end(s, SMTP_SERVER_TIMEOUT, 421, "4.4.2",
		    "timeout: no command, closing the connection");
	} else if (s->gap_due <= s->now) {
		smtp_server_end(s, SMTP_SERVER_TIMEOUT, 421, "4.4.2",
		    "timeout: no data, closing the connection");
	} else if (s->message_due <= s->now) {
		smtp_server_end(s, SMTP_SERVER_TIMEOUT, 421, "4.4.2",
		    "timeout: the message took too long");
	} else if (s->window_bytes < window_least(s->limits)) {
		smtp_server_end(s, SMTP_SERVER_TOO_SLOW, 421, "4.4.2",
		    "data rate too low, closing the connection");
	} else {
		open_window(s);
	}
}

void
smtp_server_pause(struct smtp_server *s, bool paused, int64_t now)
{
	smtp_server_set_now(s, now);
	s->paused = paused;
	smtp_server_time_changed(s);
}
