/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tries wait in a list until the service is ready; when the connection is lost
 * they all fail, since their exchanges died with it. A service that cannot be
 * reached rests for a moment; meanwhile a try fails at the end of the turn.
 */
#include "relay/auth_link.h"

#include "base/list.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_MS 5000
#define READY_MS 10000 /* for the handshake */
#define REST_MS 1000

struct auth_try {
	struct list entry;
	struct auth_link *link;
	uint32_t id;
	bool sent;
	enum sasl_mech mech;
	struct dovecot_client client;
	bool has_initial;
	struct buf initial;
	auth_try_fn *fn;
	void *arg;
};

struct auth_link {
	struct loop *loop;
	struct log *log;
	struct net_addr addr;
	bool has_addr, is_up;
	struct conn *conn; /* NULL: none */
	struct dovecot *dovecot;
	struct list tries;
	uint32_t last_id;
	unsigned mechs;
	int64_t rest_until;
	struct loop_timer timer; /* the handshake's deadline */
	struct loop_task fail;   /* tries that nobody will answer */
};

static const struct conn_ops conn_ops;
static const struct dovecot_ops dovecot_ops;

static struct auth_try *
first_try(struct auth_link *l)
{
	return list_is_empty(&l->tries)
		   ? NULL
		   : LIST_ITEM(l->tries.next, struct auth_try, entry);
}

static void
free_try(struct auth_try *t)
{
	list_remove(&t->entry);
	sasl_wipe(&t->initial);
	free(t);
}

static void
end_try(struct auth_try *t, const struct dovecot_answer *answer)
{
	auth_try_fn *fn = t->fn;
	void *arg = t->arg;

	free_try(t);
	fn(arg, answer);
}

static void
fail_all(struct auth_link *l)
{
	static const struct dovecot_answer none = {
	    .what = DOVECOT_FAIL, .temporary = true};
	struct list failed;

	/* A callback may start another. */
	list_init(&failed);
	while (!list_is_empty(&l->tries)) {
		struct list *entry = l->tries.next;

		list_remove(entry);
		list_append(&failed, entry);
	}
	while (!list_is_empty(&failed))
		end_try(LIST_ITEM(failed.next, struct auth_try, entry), &none);
}

static void
on_fail(void *arg, int64_t now)
{
	struct auth_link *l = arg;

	(void)now;
	if (l->conn == NULL)
		fail_all(l);
}

static void
drop(struct auth_link *l, const char *why, int64_t now)
{
	char addr[NET_ADDR_TEXT_MAX];

	if (l->conn == NULL)
		return;
	conn_free(l->conn);
	l->conn = NULL;
	dovecot_free(l->dovecot);
	l->dovecot = NULL;
	l->is_up = false;
	l->rest_until = now + REST_MS;
	loop_timer_set(&l->timer, INT64_MAX);
	loop_task_set(&l->fail);
	log_write(l->log, LOG_EV_AUTH_LOST,
	    KV(address, net_addr_format(&l->addr, addr)), KV(reason, why));
}

static void
send_try(struct auth_link *l, struct auth_try *t)
{
	t->sent = true;
	dovecot_auth(l->dovecot, t->id, t->mech, &t->client, t->has_initial,
	    buf_str(&t->initial));
	sasl_wipe(&t->initial);
}

static void
connect_now(struct auth_link *l, int64_t now)
{
	if (!l->has_addr || l->conn != NULL || now < l->rest_until)
		return;
	l->conn = conn_connect(l->loop, &l->addr, CONNECT_MS, &conn_ops, l);
	conn_set_secret(l->conn, true);
	loop_timer_set(&l->timer, now + READY_MS);
}

static void
on_timer(void *arg, int64_t now)
{
	drop(arg, "no handshake in time", now);
}

struct auth_link *
auth_link_new(struct loop *loop, struct log *log)
{
	struct auth_link *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->log = log;
	l->mechs = SASL_PLAIN | SASL_LOGIN;
	list_init(&l->tries);
	loop_timer_init(&l->timer, loop, on_timer, l);
	loop_task_init(&l->fail, loop, on_fail, l);
	return l;
}

void
auth_link_free(struct auth_link *l)
{
	if (l == NULL)
		return;
	while (first_try(l) != NULL)
		free_try(first_try(l));
	if (l->conn != NULL)
		conn_free(l->conn);
	dovecot_free(l->dovecot);
	loop_timer_clear(&l->timer);
	loop_task_clear(&l->fail);
	free(l);
}

void
auth_link_set(struct auth_link *l, const struct net_addr *addr)
{
	l->has_addr = addr != NULL;
	if (addr != NULL)
		l->addr = *addr;
	connect_now(l, loop_now(l->loop));
}

unsigned
auth_link_mechs(const struct auth_link *l)
{
	return l->mechs;
}

struct auth_try *
auth_link_start(struct auth_link *l, enum sasl_mech mech,
    const struct dovecot_client *client, bool has_initial, struct str initial,
    auth_try_fn *fn, void *arg)
{
	struct auth_try *t = xcalloc(1, sizeof(*t));

	t->link = l;
	t->id = ++l->last_id;
	t->mech = mech;
	t->client = *client;
	t->has_initial = has_initial;
	t->fn = fn;
	t->arg = arg;
	list_init(&t->entry);
	list_append(&l->tries, &t->entry);
	buf_init(&t->initial, SASL_LINE_MAX);
	if (initial.n > 0 && !buf_append_str(&t->initial, initial))
		panic("auth: an initial response does not fit");
	connect_now(l, loop_now(l->loop));
	if (l->is_up)
		send_try(l, t);
	else if (l->conn == NULL)
		loop_task_set(&l->fail);
	return t;
}

void
auth_try_continue(struct auth_try *t, struct str response)
{
	if (t->link->is_up)
		dovecot_continue(t->link->dovecot, t->id, response);
}

void
auth_try_cancel(struct auth_try *t)
{
	if (t->sent && t->link->is_up)
		dovecot_cancel(t->link->dovecot, t->id);
	free_try(t);
}

/* ---- what the service says ---- */

static void
on_write(void *arg, const char *p, size_t n)
{
	struct auth_link *l = arg;

	if (l->conn != NULL)
		(void)conn_write(l->conn, p, n);
}

static void
on_ready(void *arg, unsigned mechs)
{
	struct auth_link *l = arg;
	char addr[NET_ADDR_TEXT_MAX], names[64];

	l->is_up = true;
	l->mechs = mechs;
	loop_timer_set(&l->timer, INT64_MAX);
	log_write(l->log, LOG_EV_AUTH_CONNECT,
	    KV(address, net_addr_format(&l->addr, addr)),
	    KV(mechanisms, sasl_mechs_format(mechs, names, sizeof(names))));
	for (struct list *e = l->tries.next; e != &l->tries; e = e->next) {
		struct auth_try *t = LIST_ITEM(e, struct auth_try, entry);

		if (!t->sent)
			send_try(l, t);
	}
}

static struct auth_try *
find_try(struct auth_link *l, uint32_t id)
{
	struct list *e;

	list_each (e, &l->tries) {
		struct auth_try *t = LIST_ITEM(e, struct auth_try, entry);

		if (t->id == id && t->sent)
			return t;
	}
	return NULL; /* it was cancelled */
}

static void
on_answer(void *arg, const struct dovecot_answer *answer)
{
	struct auth_try *t = find_try(arg, answer->id);

	if (t == NULL)
		return;
	if (answer->what == DOVECOT_CONTINUE)
		t->fn(t->arg, answer);
	else
		end_try(t, answer);
}

static const struct dovecot_ops dovecot_ops = {
    .write = on_write,
    .on_ready = on_ready,
    .on_answer = on_answer,
};

static void
on_conn_connect(void *arg, int64_t now)
{
	struct auth_link *l = arg;

	(void)now;
	l->dovecot = dovecot_new(&dovecot_ops, l, (uint32_t)getpid());
}

static void
on_conn_read(void *arg, int64_t now)
{
	struct auth_link *l = arg;
	struct str in = conn_input(l->conn);
	bool ok = dovecot_feed(l->dovecot, in.p, in.n);

	conn_consume(l->conn, in.n);
	if (!ok)
		drop(l, "this is not Dovecot's authentication service", now);
}

static void
on_conn_drain(void *arg, int64_t now)
{
	(void)arg;
	(void)now;
}

static void
on_conn_end(void *arg, enum conn_end why, int error, int64_t now)
{
	drop(arg,
	    why == CONN_EOF       ? "closed by the service"
	    : why == CONN_TIMEOUT ? "connection timed out"
				  : strerror(error),
	    now);
}

static const struct conn_ops conn_ops = {
    .on_connect = on_conn_connect,
    .on_read = on_conn_read,
    .on_drain = on_conn_drain,
    .on_end = on_conn_end,
};
