/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket: accepts, up to a bound, and reaps.
 */
#include "control/site.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
			control_conn_free(c);
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
	c = control_conn_new(control, fd, now);
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
		control_conn_free(
		    LIST_ITEM(conns->next, struct control_conn, entry));
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
