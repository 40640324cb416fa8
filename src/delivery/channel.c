/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Glue: bytes from the connection to the protocol engine and back. Its user may
 * close it in any callback; the engine is then still on the stack, so it stays
 * until channel_free, and what it still says goes nowhere.
 */
#include "delivery/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUIT_LINGER_MS 1000

static void
fail(struct channel *ch, enum channel_fault fault,
    const struct smtp_reply *reply, int64_t now)
{
	if (ch->state != CHANNEL_DEAD)
		ch->ops->on_fail(ch, fault, reply, now);
}

static void
on_client_write(void *arg, const char *p, size_t n)
{
	struct channel *ch = arg;

	if (ch->conn != NULL)
		(void)conn_write(ch->conn, p, n);
}

static void
on_client_ready(void *arg, const struct smtp_caps *caps)
{
	struct channel *ch = arg;

	(void)caps;
	if (ch->state == CHANNEL_DEAD)
		return;
	ch->state = CHANNEL_READY;
	ch->ops->on_ready(ch, loop_now(ch->loop));
}

static void
on_client_reply(void *arg, enum smtp_client_what what, uintptr_t tag,
    const struct smtp_reply *reply)
{
	struct channel *ch = arg;

	if (ch->state == CHANNEL_DEAD)
		return;
	if (what == SMTP_CLIENT_END)
		ch->messages++;
	ch->ops->on_reply(ch, what, tag, reply, loop_now(ch->loop));
}

static void
on_client_fail(void *arg, const struct smtp_reply *reply)
{
	struct channel *ch = arg;
	enum channel_fault fault = CHANNEL_BROKEN;

	if (ch->in_deadline)
		fault = CHANNEL_TIMEOUT;
	else if (ch->state != CHANNEL_READY)
		fault = CHANNEL_REFUSED;
	fail(ch, fault, reply, loop_now(ch->loop));
}

static const struct smtp_client_ops client_ops = {
    .write = on_client_write,
    .on_ready = on_client_ready,
    .on_reply = on_client_reply,
    .on_fail = on_client_fail,
};

static void
on_conn_connect(void *arg, int64_t now)
{
	struct channel *ch = arg;

	ch->state = CHANNEL_GREETING;
	ch->client =
	    smtp_client_new(ch->hostname, ch->timeouts, &client_ops, ch, now);
	if (route_is_lmtp(ch->name))
		smtp_client_set_lmtp(ch->client);
}

static void
on_conn_read(void *arg, int64_t now)
{
	struct channel *ch = arg;
	struct str in = conn_input(ch->conn);

	smtp_client_feed(ch->client, in.p, in.n, now);
	if (ch->conn != NULL)
		conn_consume(ch->conn, in.n);
}

static void
on_conn_drain(void *arg, int64_t now)
{
	struct channel *ch = arg;

	ch->ops->on_drain(ch, now);
}

static void
on_conn_end(void *arg, enum conn_end why, int error, int64_t now)
{
	struct channel *ch = arg;
	const char *text = why == CONN_EOF ? "connection closed by the peer"
			   : why == CONN_TIMEOUT ? "connection timed out"
						 : strerror(error);
	struct smtp_reply reply = smtp_reply_make(451, "4.4.2", text);

	if (ch->state == CHANNEL_CONNECTING) {
		fail(ch, CHANNEL_CONNECT, &reply, now);
		return;
	}
	smtp_client_lost(ch->client, text, now);
	/* Nothing was under way that the engine had to report. */
	fail(ch, CHANNEL_BROKEN, &reply, now);
}

static const struct conn_ops conn_ops = {
    .on_connect = on_conn_connect,
    .on_read = on_conn_read,
    .on_drain = on_conn_drain,
    .on_end = on_conn_end,
};

struct channel *
channel_new(const struct channel_settings *settings,
    const struct route_choice *to, const struct channel_ops *ops, void *pool)
{
	struct channel *ch = xcalloc(1, sizeof(*ch));

	list_init(&ch->entry);
	ch->ops = ops;
	ch->pool = pool;
	ch->loop = settings->loop;
	ch->hostname = settings->hostname;
	ch->timeouts = settings->timeouts;
	ch->addr = to->addr;
	str_copy(str_from(to->name), ch->name, sizeof(ch->name));
	ch->conn = conn_connect(settings->loop, &to->addr,
	    settings->connect_timeout_ms, &conn_ops, ch);
	return ch;
}

bool
channel_is_doomed(const struct channel *ch)
{
	return smtp_client_next_due(ch->client) == 0;
}

void
channel_run(struct channel *ch, int64_t now)
{
	if (ch->client == NULL || smtp_client_next_due(ch->client) > now)
		return;
	ch->in_deadline = true;
	smtp_client_run(ch->client, now);
	ch->in_deadline = false;
}

void
channel_close(struct channel *ch, bool politely, int64_t now)
{
	if (ch->state == CHANNEL_DEAD)
		return;
	if (politely && ch->state == CHANNEL_READY) {
		smtp_client_quit(ch->client, now);
		conn_close(ch->conn, QUIT_LINGER_MS);
	} else {
		conn_free(ch->conn);
	}
	ch->conn = NULL;
	ch->state = CHANNEL_DEAD;
}

void
channel_free(struct channel *ch)
{
	if (ch == NULL)
		return;
	if (ch->conn != NULL)
		conn_free(ch->conn);
	smtp_client_free(ch->client);
	free(ch);
}
