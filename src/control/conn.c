/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket, which accepts up to a bound and reaps, and its
 * connections: lines in, lines out, who the peer is, and how a listing
 * advances. Everything happens in the tick, one step a time, so that a long
 * listing takes turns with mail.
 */
#include "config.h"

#include "control/site.h"

#include "os/clock.h"
#include "os/priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LAST_LINE_MAX 8192 /* room kept back for the end of an answer */
#define LINGER_MS 2000
#define WRITE_CHUNK 32768
#define ERRAND_MS 1000 /* of a listing for another daemon of the site */

static void
set_idle(struct control_conn *c, int64_t now)
{
	loop_timer_set(&c->idle, now + CONTROL_IDLE_MS);
}

static void
set_tick(struct control_conn *c, int64_t now)
{
	loop_timer_set(&c->tick, now);
}

/* The one place that decides whether somebody may give a command. */
static bool
may_run(struct control_conn *c)
{
	const struct control_command *command = c->request.command;
	const char *sender = c->request.sender;

	if (!(c->rights & command->right))
		control_fail(c, CONTROL_DENIED, "%s: permission denied for %s",
		    command->name, c->who);
	else if (c->domain != NULL && !command->in_domain)
		control_fail(c, CONTROL_DENIED,
		    "%s: not allowed for an account limited to one domain",
		    command->name);
	else if (sender != NULL && !control_sees(c, sender))
		control_fail(c, CONTROL_ABSENT, "no such sender in %s: %s",
		    c->domain, sender);
	else
		return true;
	return false;
}

static void
run(struct control_conn *c, const json_t *root, struct control_cursor from,
    int64_t now)
{
	c->cursor = from.at;
	c->from = from;
	c->began = now;
	if (may_run(c) && control_round_begin(c, root, from, now))
		c->request.command->run(c, now);
}

static void
start_request(struct control_conn *c, struct str line, int64_t now)
{
	json_t *root;
	char err[512];

	if (!control_request_read(c->control->server.grammar, line, &c->request,
		err, sizeof(err))) {
		control_fail(c, CONTROL_USAGE, "%s", err);
		return;
	}
	root = json_loadb(line.p, line.n, 0, NULL);
	run(c, root, (struct control_cursor){0}, now);
	json_decref(root);
}

/* Moves input up to the end of a line to c->in. True: a line is there. */
static bool
read_line(struct control_conn *c)
{
	struct str in = conn_input(c->conn);
	size_t n = str_index(in, '\n');
	bool whole = n < in.n;

	if (!buf_append(&c->in, in.p, n)) {
		control_fail(c, CONTROL_USAGE, "request is too long");
		conn_consume(c->conn, in.n);
		c->rights = 0;
		return false;
	}
	conn_consume(c->conn, whole ? n + 1 : n);
	return whole;
}

static void
read_input(struct control_conn *c, int64_t now)
{
	struct buf line;

	if (c->is_following || c->rights == 0) {
		/* Nothing is expected; what comes is not kept. */
		conn_consume(c->conn, conn_input(c->conn).n);
		return;
	}
	if (c->request.command != NULL || conn_input(c->conn).n == 0)
		return;
	set_idle(c, now);
	if (!read_line(c))
		return;
	line = c->in;
	buf_init(&c->in, CONTROL_REQUEST_MAX);
	if (str_trim(buf_str(&line)).n > 0)
		start_request(c, buf_str(&line), now);
	buf_clear(&line);
	if (!c->is_ended)
		set_tick(c, now); /* there may be another line */
}

/* Whoever asked waits for no longer search than that: it goes on with the next
 * question. */
static bool
is_long(const struct control_conn *c, int64_t now)
{
	return c->is_errand && c->on_step != NULL &&
	       c->request.command->reach == CONTROL_ROWS &&
	       c->cursor != c->from.at && now - c->began >= ERRAND_MS;
}

/* The next part of a listing that goes to a sink. */
static void
advance(struct control_conn *c, int64_t now)
{
	if (c->is_waiting)
		return;
	if (c->is_full || is_long(c, now)) {
		control_conn_cut(c);
	} else if (c->on_step != NULL) {
		set_tick(c, now);
		c->on_step(c, now);
	}
}

static void
on_tick(void *arg, int64_t now)
{
	struct control_conn *c = arg;
	size_t was;

	if (c->sink != NULL) {
		advance(c, now);
		return;
	}
	/* Hands waiting output on as the client takes it. */
	was = c->out.len;
	while (c->out.len > 0 && !conn_is_full(c->conn)) {
		struct str s = str_sub(buf_str(&c->out), 0, WRITE_CHUNK);

		conn_write(c->conn, s.p, s.n);
		buf_consume(&c->out, s.n);
	}
	buf_trim(&c->out);
	if (c->out.len != was)
		set_idle(c, now);
	if (c->out.len > 0 || c->is_waiting)
		return;
	if (c->rights == 0) {
		conn_close(c->conn, LINGER_MS);
		c->conn = NULL;
		control_conn_end(c);
	} else if (c->on_step != NULL) {
		set_tick(c, now);
		c->on_step(c, now);
	} else {
		read_input(c, now);
	}
}

static void
on_read(void *arg, int64_t now)
{
	read_input(arg, now);
}

static void
on_drain(void *arg, int64_t now)
{
	struct control_conn *c = arg;

	set_idle(c, now);
	set_tick(c, now);
}

static void
on_end(void *arg, enum conn_end why, int error, int64_t now)
{
	(void)why;
	(void)error;
	(void)now;
	control_conn_end(arg);
}

static const struct conn_ops conn_ops = {
    .on_read = on_read,
    .on_drain = on_drain,
    .on_end = on_end,
};

static void
on_idle(void *arg, int64_t now)
{
	struct control_conn *c = arg;

	if (c->is_waiting ||
	    (c->is_following && c->out.len == 0 && !conn_is_full(c->conn)))
		set_idle(c, now);
	else
		control_conn_end(c);
}

/* Root, the daemon's own user, and members of the group. */
unsigned
control_peer_rights(const struct control *control, uid_t uid, gid_t gid)
{
	if (uid == 0 || uid == geteuid())
		return CONTROL_RIGHTS;
	if (control->admin_gid >= 0 &&
	    priv_user_in_group(uid, gid, (gid_t)control->admin_gid))
		return CONTROL_RIGHTS;
	return 0;
}

static void
greet(struct control_conn *c, int fd)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);
	char name[64];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0 ||
	    n != sizeof(peer)) {
		control_fail(c, CONTROL_DENIED, "permission denied");
		return;
	}
	snprintf(c->who, sizeof(c->who), "%s (uid %lu)",
	    priv_user_name(peer.uid, name, sizeof(name)),
	    (unsigned long)peer.uid);
	c->rights = control_peer_rights(c->control, peer.uid, peer.gid);
	if (c->rights != 0)
		return;
	log_write(
	    c->control->server.log, LOG_EV_CONTROL_DENIED, KV(by, c->who));
	control_fail(c, CONTROL_DENIED,
	    "permission denied for %s: only root, the daemon's user and "
	    "members of control_group may give commands",
	    c->who);
}

static struct control_conn *
make(struct control *control)
{
	struct control_conn *c = xcalloc(1, sizeof(*c));
	struct loop *loop = control->server.loop;

	c->control = control;
	list_init(&c->entry);
	list_init(&c->follower.entry);
	buf_init(&c->in, CONTROL_REQUEST_MAX);
	buf_init(&c->out, CONTROL_OUT_MAX + LAST_LINE_MAX);
	loop_timer_init(&c->tick, loop, on_tick, c);
	loop_timer_init(&c->idle, loop, on_idle, c);
	control_trace_init(c);
	return c;
}

struct control_conn *
control_ask(struct control *control, const struct control_asker *asker,
    json_t *request, struct control_cursor cursor,
    const struct control_sink *sink, void *arg, int64_t now)
{
	struct control_conn *c = make(control);
	char err[512];
	bool ok;

	list_append(&control->conns, &c->entry);
	if (asker->conn != NULL)
		*asker->conn = c;
	c->is_errand = asker->is_errand;
	c->sink = sink;
	c->sink_arg = arg;
	c->rights = asker->rights;
	if (asker->domain != NULL)
		c->domain = xstrdup(asker->domain);
	(void)str_copy(str_from(asker->who), c->who, sizeof(c->who));
	ok = control_request_take(
	    control->server.grammar, request, &c->request, err, sizeof(err));
	if (!ok)
		control_fail(c, CONTROL_USAGE, "%s", err);
	else
		run(c, request, cursor, now);
	json_decref(request);
	/* What has no room the first time is cut off in the tick. */
	if (!c->is_ended && !c->is_waiting)
		set_tick(c, now);
	return c;
}

void
control_conn_end(struct control_conn *c)
{
	if (c->is_ended)
		return;
	c->is_ended = true;
	control_round_free(c);
	events_unfollow(&c->follower);
	tap_unfollow(&c->tap);
	loop_timer_clear(&c->until);
	loop_timer_clear(&c->tick);
	loop_timer_clear(&c->idle);
	if (c->conn != NULL)
		conn_free(c->conn);
	c->conn = NULL;
	list_remove(&c->entry);
	list_append(&c->control->ended, &c->entry);
	loop_task_set(&c->control->reap);
}

static void
free_conn(struct control_conn *c)
{
	control_conn_end(c);
	list_remove(&c->entry);
	if (c->place != NULL)
		places_give(c->control->places, c->place);
	free(c->domain);
	control_request_clear(&c->request);
	json_decref(c->kept);
	json_decref(c->found);
	buf_clear(&c->in);
	buf_clear(&c->out);
	free(c);
}

/* ---- the socket ---- */

/* What may be freed: nothing calls back any more. */
static void
on_reap(void *arg, int64_t now)
{
	struct control *control = arg;
	struct list *e, *tmp;

	(void)now;
	list_each_safe (e, tmp, &control->ended) {
		struct control_conn *c =
		    LIST_ITEM(e, struct control_conn, entry);

		if (!c->is_waiting)
			free_conn(c);
	}
}

static void
refuse(struct control *control, int fd, struct str who, int64_t now)
{
	static const char busy[] =
	    "{\"error\":\"too many control connections\",\"status\":1}\n";

	/* A new socket has room for a line; if not, its end says enough. */
	if (send(fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		errno = 0;
	close(fd);
	if (peer_is_news(&control->full_due, now))
		log_write(control->server.log, LOG_EV_CONTROL_REFUSE,
		    KV(limit, "control_connections_max"), KV(by, who),
		    KV(open, places_used(control->places)));
}

static void
on_accept(void *arg, int fd, const struct net_addr *peer, int64_t now)
{
	struct control *control = arg;
	char key[PLACE_KEY_MAX];
	struct share_user *place;
	struct control_conn *c;
	struct peer user;
	struct str who;

	(void)peer;
	peer_find(fd, &user);
	who = places_peer_key(&user, key);
	place =
	    places_take(control->places, who, control->server.connections_max);
	if (place == NULL) {
		refuse(control, fd, who, now);
		return;
	}
	c = make(control);
	c->conn = conn_new(control->server.loop, fd, &conn_ops, c);
	set_idle(c, now);
	greet(c, fd);
	c->place = place;
	list_append(&control->conns, &c->entry);
}

static void
on_trouble(void *arg, int error, int64_t now)
{
	struct control *control = arg;

	(void)now;
	log_write(control->server.log, LOG_EV_CONTROL_ACCEPT_FAILED,
	    KV(error, strerror(error)));
}

struct control *
control_start(const struct control_server *server, const void *parts,
    size_t parts_size, struct listener *listener, int admin_gid)
{
	struct control *control = xcalloc(1, sizeof(*control));

	control->server = *server;
	if (server->connections_max == 0)
		control->server.connections_max = CONTROL_CONNS_MAX;
	control->parts = xmalloc(parts_size);
	memcpy(control->parts, parts, parts_size);
	control->listener = listener;
	control->places = places_new();
	control->admin_gid = admin_gid;
	list_init(&control->conns);
	list_init(&control->ended);
	list_init(&control->errands);
	loop_task_init(&control->reap, server->loop, on_reap, control);
	listener_start(listener, server->loop, on_accept, on_trouble, control);
	return control;
}

static void
free_all(struct list *conns)
{
	while (!list_is_empty(conns))
		free_conn(LIST_ITEM(conns->next, struct control_conn, entry));
}

void
control_stop(struct control *control)
{
	if (control == NULL)
		return;
	listener_free(control->listener);
	free_all(&control->conns);
	free_all(&control->ended);
	control_errands_free(control);
	loop_task_clear(&control->reap);
	free(control->parts);
	places_free(control->places);
	free(control);
}
