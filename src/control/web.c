/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection reads a request, has it answered, writes the answer, and begins
 * anew; one deadline belongs to each of these. What has ended is freed at the
 * end of the turn.
 */
#include "config.h"

#include "control/web_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const state_name[] = {
    "opening", "reading", "answering", "writing", "streaming", "ended"};

/* From which states each may be reached, as bits. */
static const unsigned may_follow[] = {
    0,
    1u << WEB_OPENING | 1u << WEB_READING | 1u << WEB_WRITING,
    1u << WEB_READING,
    1u << WEB_READING | 1u << WEB_ANSWERING,
    1u << WEB_ANSWERING,
    1u << WEB_OPENING | 1u << WEB_READING | 1u << WEB_ANSWERING |
	1u << WEB_WRITING | 1u << WEB_STREAMING,
};

void
web_set_state(struct web_exchange *x, enum web_state to, int64_t deadline)
{
	if ((may_follow[to] & 1u << x->state) == 0)
		panic(
		    "web: from %s to %s", state_name[x->state], state_name[to]);
	x->state = to;
	loop_timer_set(&x->deadline, deadline);
}

static void
on_reap(void *arg, int64_t now)
{
	struct web *w = arg;

	(void)now;
	while (!list_is_empty(&w->ended)) {
		struct web_exchange *x =
		    LIST_ITEM(w->ended.next, struct web_exchange, entry);

		list_remove(&x->entry);
		loop_timer_clear(&x->deadline);
		loop_task_clear(&x->more);
		web_clear_answer(x);
		http_reader_free(x->reader);
		http_target_clear(&x->target);
		buf_clear(&x->out);
		free(x);
	}
}

void
web_end(struct web_exchange *x, int64_t linger_ms)
{
	struct web *w = x->web;
	void (*on_gone)(void *arg) = x->on_gone;

	x->on_gone = NULL;
	if (on_gone != NULL)
		on_gone(x->gone_arg);
	web_set_state(x, WEB_ENDED, INT64_MAX);
	if (linger_ms > 0)
		conn_close(x->conn, linger_ms);
	else
		conn_free(x->conn);
	x->conn = NULL;
	share_give(w->clients, x->client, 1);
	w->count--;
	list_remove(&x->entry);
	list_append(&w->ended, &x->entry);
	loop_task_set(&w->reap);
}

/* ---- answers ---- */

static void
begin_reading(struct web_exchange *x, int64_t patience_ms, int64_t now)
{
	web_set_state(x, WEB_READING, now + patience_ms);
	x->began_at = 0;
	/* There may be another request already. */
	loop_task_set(&x->more);
}

void
web_push(struct web_exchange *x, int64_t now)
{
	while (x->out.len > 0 && !conn_is_full(x->conn)) {
		struct str s = str_sub(buf_str(&x->out), 0, WEB_WRITE_CHUNK);

		conn_write(x->conn, s.p, s.n);
		buf_consume(&x->out, s.n);
	}
	loop_timer_set(&x->deadline, now + x->web->server.idle_ms);
	if (x->out.len > 0)
		return;
	buf_trim(&x->out);
	if (x->closes || (x->has_ended && conn_input(x->conn).n == 0)) {
		web_end(x, WEB_LINGER_MS);
		return;
	}
	web_clear_answer(x);
	http_target_clear(&x->target);
	http_reader_next(x->reader);
	x->idle_since = now;
	begin_reading(x, x->web->server.idle_ms, now);
}

void *
web_arg(const struct web_exchange *x)
{
	return x->web->server.arg;
}

const struct http_request *
web_request(const struct web_exchange *x)
{
	return http_reader_request(x->reader);
}

const struct http_target *
web_target(const struct web_exchange *x)
{
	return &x->target;
}

const struct web_access *
web_access(const struct web_exchange *x)
{
	return x->access;
}

const struct web_who *
web_who(const struct web_exchange *x)
{
	return &x->who;
}

/* ---- requests ---- */

static void
answer_request(struct web_exchange *x, int64_t now)
{
	x->closes = !http_reader_request(x->reader)->keeps_alive;
	web_set_state(x, WEB_ANSWERING, INT64_MAX);
	web_answer_request(x, now);
	if (x->state == WEB_WRITING)
		web_push(x, now);
	else if (x->state == WEB_STREAMING)
		web_push_stream(x, now);
	else if (x->state == WEB_ANSWERING && !x->is_waiting)
		panic("web: a handler without an answer");
}

static void
answer_refusal(struct web_exchange *x, int64_t now)
{
	struct http_refusal refusal = http_reader_refusal(x->reader);

	x->closes = true;
	web_set_state(x, WEB_ANSWERING, INT64_MAX);
	web_refuse(x, refusal.code, "%s", refusal.text);
	web_push(x, now);
}

static void
set_request_deadline(struct web_exchange *x, int64_t now)
{
	if (!http_reader_is_inside(x->reader))
		return;
	if (x->began_at == 0)
		x->began_at = now;
	loop_timer_set(
	    &x->deadline, x->began_at + (http_reader_has_head(x->reader)
						? x->web->server.request_ms
						: x->web->server.head_ms));
}

static void
read_requests(struct web_exchange *x, int64_t now)
{
	/* Who listens to a stream has nothing more to say. */
	if (x->state == WEB_STREAMING)
		conn_consume(x->conn, conn_input(x->conn).n);
	while (x->state == WEB_READING) {
		struct str in = conn_input(x->conn);
		size_t used;

		if (in.n == 0)
			break;
		switch (http_reader_feed(x->reader, in, &used)) {
		case HTTP_MORE:
			conn_consume(x->conn, used);
			set_request_deadline(x, now);
			break;
		case HTTP_CONTINUE:
			conn_consume(x->conn, used);
			set_request_deadline(x, now);
			(void)conn_write(
			    x->conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
			break;
		case HTTP_READY:
			conn_consume(x->conn, used);
			answer_request(x, now);
			/* The next one has its turn when others had theirs. */
			return;
		case HTTP_REFUSED:
			conn_consume(x->conn, in.n);
			answer_refusal(x, now);
			return;
		}
	}
	if (x->state == WEB_READING && x->has_ended)
		web_end(x, 0);
}

static void
on_more(void *arg, int64_t now)
{
	read_requests(arg, now);
}

/* ---- the connection ---- */

static void
on_read(void *arg, int64_t now)
{
	read_requests(arg, now);
}

static void
on_drain(void *arg, int64_t now)
{
	struct web_exchange *x = arg;

	if (x->state == WEB_WRITING)
		web_push(x, now);
	else if (x->state == WEB_STREAMING)
		web_push_stream(x, now);
}

static void
on_tls(void *arg, int64_t now)
{
	struct web_exchange *x = arg;

	begin_reading(x, x->web->server.head_ms, now);
}

static void
on_eof(void *arg, int64_t now)
{
	struct web_exchange *x = arg;

	x->has_ended = true;
	if (x->state == WEB_OPENING || x->state == WEB_STREAMING)
		web_end(x, 0);
	else
		read_requests(x, now);
}

static void
on_end(void *arg, enum conn_end why, int error, int64_t now)
{
	(void)why;
	(void)error;
	(void)now;
	web_end(arg, 0);
}

static const struct conn_ops conn_ops = {
    .on_read = on_read,
    .on_drain = on_drain,
    .on_tls = on_tls,
    .on_eof = on_eof,
    .on_end = on_end,
};

/* A request that took too long is told so; whoever said nothing, or takes
 * nothing, just loses its place. */
static void
on_deadline(void *arg, int64_t now)
{
	struct web_exchange *x = arg;

	if (x->state == WEB_STREAMING &&
	    (x->out.len == 0 || now - x->taken_at < x->web->server.idle_ms)) {
		loop_timer_set(&x->deadline, now + x->beat_ms);
		x->on_beat(x->gone_arg, now);
		return;
	}
	if (x->state != WEB_READING || !http_reader_is_inside(x->reader)) {
		web_end(x, 0);
		return;
	}
	x->closes = true;
	web_set_state(x, WEB_ANSWERING, INT64_MAX);
	web_refuse(x, 408, "The request took too long.");
	web_push(x, now);
}

static void
note_refused(struct web *w, const struct web_access *access,
    const struct net_addr *peer, const char *limit, int64_t now)
{
	char text[NET_ADDR_TEXT_MAX];

	if (now < w->refused_due)
		return;
	w->refused_due = now + 1000;
	log_write(w->server.log, LOG_EV_HTTP_REFUSE, KV(listener, access->name),
	    KV(client, net_addr_format(peer, text)), KV(limit, limit),
	    KV(open, w->count));
}

static bool
is_allowed(const struct web_access *access, const struct ip *ip)
{
	return ip->family == IP_NONE ||
	       (access->net_count == 0 && ip_is_loopback(ip)) ||
	       ip_nets_have(access->nets, access->net_count, ip);
}

/* A browser keeps its connections when it has what it wanted, and makes another
 * one without a word when it finds one closed. So the one that has idled
 * longest behind an answer goes first. False: there is none. */
static bool
shed_idle(struct web *w, const struct share_user *client)
{
	struct web_exchange *longest = NULL;

	for (struct list *e = w->conns.next; e != &w->conns; e = e->next) {
		struct web_exchange *x =
		    LIST_ITEM(e, struct web_exchange, entry);

		if (x->idle_since == 0 || x->state != WEB_READING ||
		    x->began_at != 0 || conn_input(x->conn).n > 0 ||
		    (client != NULL && x->client != client))
			continue;
		if (longest == NULL || x->idle_since < longest->idle_since)
			longest = x;
	}
	if (longest != NULL)
		web_end(longest, 0);
	return longest != NULL;
}

/* NULL: no place for this client. */
static struct share_user *
take_place(struct web *w, const struct ip *ip, const char **limit)
{
	struct ip site;
	struct share_user *u;

	*limit = "connections";
	if (w->count >= WEB_CONNECTIONS_MAX && !shed_idle(w, NULL))
		return NULL;
	u = share_join(w->clients, ip_site_key(ip, &site));
	*limit = "client_connections";
	if (share_used_by(u) < WEB_CLIENT_MAX || shed_idle(w, u)) {
		share_take(w->clients, u, 1);
		*limit = NULL;
	}
	share_leave(w->clients, u);
	return *limit == NULL ? u : NULL;
}

static void
on_accept(void *arg, int fd, const struct net_addr *peer, int64_t now)
{
	struct web_listener *bound = arg;
	struct web *w = bound->web;
	struct ip ip = net_addr_ip(peer);
	const char *limit = "clients";
	struct share_user *client = NULL;
	struct web_exchange *x;

	if (is_allowed(bound->access, &ip))
		client = take_place(w, &ip, &limit);
	if (client == NULL) {
		note_refused(w, bound->access, peer, limit, now);
		close(fd);
		return;
	}
	x = xcalloc(1, sizeof(*x));
	x->web = w;
	x->access = bound->access;
	x->peer_ip = ip;
	x->client = client;
	x->reader = http_reader_new();
	buf_init(&x->out, WEB_OUT_MAX);
	loop_timer_init(&x->deadline, w->server.loop, on_deadline, x);
	loop_task_init(&x->more, w->server.loop, on_more, x);
	list_append(&w->conns, &x->entry);
	w->count++;
	x->conn = conn_new(w->server.loop, fd, &conn_ops, x);
	if (x->access->tls == NULL)
		begin_reading(x, x->web->server.head_ms, now);
	else if (!conn_start_tls(
		     x->conn, tls_accept(x->access->tls), w->server.head_ms))
		web_end(x, 0);
}

static void
on_trouble(void *arg, int error, int64_t now)
{
	struct web_listener *bound = arg;

	(void)now;
	log_write(bound->web->server.log, LOG_EV_HTTP_ACCEPT_FAILED,
	    KV(listener, bound->access->name), KV(error, strerror(error)));
}

struct web *
web_new(const struct web_server *server)
{
	struct web *w = xcalloc(1, sizeof(*w));

	w->server = *server;
	if (server->head_ms == 0)
		w->server.head_ms = WEB_HEAD_MS;
	if (server->request_ms == 0)
		w->server.request_ms = WEB_REQUEST_MS;
	if (server->idle_ms == 0)
		w->server.idle_ms = WEB_IDLE_MS;
	list_init(&w->listeners);
	list_init(&w->conns);
	list_init(&w->ended);
	w->clients = share_new();
	loop_task_init(&w->reap, server->loop, on_reap, w);
	return w;
}

void
web_listen(
    struct web *w, struct listener *listener, const struct web_access *access)
{
	struct web_listener *bound = xcalloc(1, sizeof(*bound));

	bound->web = w;
	bound->listener = listener;
	bound->access = access;
	list_append(&w->listeners, &bound->entry);
	listener_start(listener, w->server.loop, on_accept, on_trouble, bound);
}

void
web_free(struct web *w)
{
	if (w == NULL)
		return;
	while (!list_is_empty(&w->listeners)) {
		struct web_listener *bound =
		    LIST_ITEM(w->listeners.next, struct web_listener, entry);

		list_remove(&bound->entry);
		listener_free(bound->listener);
		free(bound);
	}
	while (!list_is_empty(&w->conns))
		web_end(
		    LIST_ITEM(w->conns.next, struct web_exchange, entry), 0);
	on_reap(w, 0);
	loop_task_clear(&w->reap);
	share_free(w->clients);
	free(w);
}
