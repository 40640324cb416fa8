/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool: its settings, its connections, and time. One timer sweeps all
 * connections a few times a second, for their deadlines, idle time and
 * transactions that nobody took up; so taking and giving back a connection
 * touches no timer.
 *
 * A connection is on one of three lists: busy (a hop has it), idle, dead. Dead
 * ones are freed by the task at the end of the turn, when no frame of theirs is
 * on the stack any more.
 */
#include "delivery/nexthop_private.h"

#include <stdlib.h>
#include <string.h>

#define SWEEP_MAX_MS 500
#define SWEEP_MIN_MS 10
#define RESET_AFTER_MS 1000 /* an abandoned transaction is taken back */
#define BROKEN_LOG_MS 1000

static void on_sweep(void *arg, int64_t now);
static void on_task(void *arg, int64_t now);

static void
set_settings(struct nexthop *n, const struct nexthop_settings *settings)
{
	struct credentials *old = n->settings.credentials;
	struct nexthop_tls was = n->settings.tls;

	n->settings = *settings;
	n->settings.credentials = credentials_ref(settings->credentials);
	credentials_free(old);
	n->settings.addresses = NULL;
	n->settings.hostname = NULL;
	tls_client_ref(n->settings.tls.client);
	if (settings->tls.name != NULL)
		n->settings.tls.name = xstrdup(settings->tls.name);
	tls_client_unref(was.client);
	free((char *)was.name);
}

struct nexthop *
nexthop_new(struct loop *loop, const struct nexthop_settings *settings,
    struct counters *counters, struct log *log, char *err, size_t err_cap)
{
	struct route *route = route_new(
	    settings->addresses, settings->address_count, err, err_cap);
	struct nexthop *n;

	if (route == NULL)
		return NULL;
	n = xcalloc(1, sizeof(*n));
	n->loop = loop;
	n->counters = counters;
	n->log = log;
	n->route = route;
	n->hostname = xstrdup(settings->hostname);
	n->resolver = resolver_new(loop, hop_on_resolved, n);
	set_settings(n, settings);
	for (int i = 0; i < HOP_STATES; i++)
		list_init(&n->hops[i]);
	n->closed_at = INT64_MIN / 2;
	list_init(&n->idle);
	list_init(&n->busy);
	list_init(&n->dead);
	loop_timer_init(&n->sweep, loop, on_sweep, n);
	loop_task_init(&n->task, loop, on_task, n);
	return n;
}

static struct hop_conn *
hop_conn_of(struct list *entry)
{
	return LIST_ITEM(entry, struct hop_conn, entry);
}

static void
shut_idle(struct nexthop *n, int64_t now)
{
	while (!list_is_empty(&n->idle))
		nexthop_shut(n, hop_conn_of(n->idle.prev), true, now);
}

static void
replace_route(
    struct nexthop *n, struct route *route, const char *hostname, int64_t now)
{
	struct list *entry;
	char *was = n->hostname;

	route_free(n->route);
	n->route = route;
	n->caps_known = false; /* it is another one that is asked now */
	n->limit = 0;
	n->dial_after = now;
	n->hostname = xstrdup(hostname);
	resolver_free(n->resolver);
	n->resolver = resolver_new(n->loop, hop_on_resolved, n);
	shut_idle(n, now);
	list_each (entry, &n->busy)
		hop_conn_of(entry)->retired = true;
	hop_redial_all(n, now);
	free(was);
}

bool
nexthop_reload(struct nexthop *n, const struct nexthop_settings *settings,
    char *err, size_t err_cap)
{
	int64_t now = loop_now(n->loop);
	struct route *route = route_new(
	    settings->addresses, settings->address_count, err, err_cap);
	bool same;

	if (route == NULL)
		return false;
	/* What was trusted may not be any more: those who speak TLS begin
	 * anew with each configuration. */
	same = n->settings.tls.client == NULL && settings->tls.client == NULL &&
	       route_equals(
		   n->route, settings->addresses, settings->address_count) &&
	       strcmp(n->hostname, settings->hostname) == 0;
	set_settings(n, settings);
	if (same) {
		route_free(route);
		route_forget_names(n->route);
		resolver_renew(n->resolver);
	} else {
		replace_route(n, route, settings->hostname, now);
	}
	hop_serve_line(n, now);
	return true;
}

static void
free_dead(struct nexthop *n)
{
	while (!list_is_empty(&n->dead)) {
		struct hop_conn *ch = hop_conn_of(n->dead.next);

		list_remove(&ch->entry);
		hop_conn_free(ch);
	}
}

void
nexthop_free(struct nexthop *n)
{
	int64_t now;

	if (n == NULL)
		return;
	now = loop_now(n->loop);
	shut_idle(n, now);
	while (!list_is_empty(&n->busy))
		nexthop_shut(n, hop_conn_of(n->busy.next), false, now);
	free_dead(n);
	for (int i = 0; i < HOP_STATES; i++) {
		while (!list_is_empty(&n->hops[i])) {
			struct list *entry = n->hops[i].next;

			list_remove(entry);
			free(LIST_ITEM(entry, struct hop, entry));
		}
	}
	resolver_free(n->resolver);
	route_free(n->route);
	loop_timer_clear(&n->sweep);
	loop_task_clear(&n->task);
	credentials_free(n->settings.credentials);
	tls_client_unref(n->settings.tls.client);
	free((char *)n->settings.tls.name);
	free(n->hostname);
	free(n);
}

bool
nexthop_each(const struct nexthop *n, size_t *pos, struct nexthop_place *out)
{
	struct route_place place;

	if (!route_each(n->route, pos, &place))
		return false;
	(void)str_copy(str_from(place.name), out->name, sizeof(out->name));
	(void)str_copy(str_from(place.why), out->why, sizeof(out->why));
	out->is_up = place.health == ROUTE_UP;
	out->is_down = place.health == ROUTE_DOWN;
	out->failed_at = place.failed_at;
	out->rest_until = place.rest_until;
	return true;
}

const char *
nexthop_look(const struct nexthop *n, size_t i, bool *is_down)
{
	return route_look(n->route, i, is_down) ? route_text(n->route, i)
						: NULL;
}

/* One of a former configuration's route has no name in this one. */
static void
count_named(struct nexthop *n, const struct hop_conn *ch, enum named_counter id)
{
	if (!ch->retired)
		counters_add_named(
		    n->counters, id, route_text(n->route, ch->target), 1);
}

struct nexthop_load
nexthop_load(const struct nexthop *n)
{
	return (struct nexthop_load){.open = n->open_count,
	    .idle = n->idle_count,
	    .max = n->settings.connections_max,
	    .line = nexthop_line(n)};
}

bool
nexthop_caps(const struct nexthop *n, struct smtp_caps *caps)
{
	*caps = n->caps;
	return n->caps_known;
}

/* Its local end. */
static bool
is_from(const struct hop_conn *ch, const struct ip *peer, uint16_t port)
{
	struct net_addr local = {.len = sizeof(local.ss)};
	struct ip ip;

	if (ch->conn == NULL ||
	    getsockname(conn_fd(ch->conn), (struct sockaddr *)&local.ss,
		&local.len) != 0)
		return false;
	ip = net_addr_ip(&local);
	return net_addr_port(&local) == port && ip_eq(&ip, peer);
}

static bool
is_own(const struct hop_conn *ch, const struct nexthop_ends *ends)
{
	struct ip ip = net_addr_ip(&ch->addr);

	return net_addr_port(&ch->addr) == ends->local_port &&
	       ip_eq(&ip, &ends->local) &&
	       is_from(ch, &ends->peer, ends->peer_port);
}

bool
nexthop_is_own(const struct nexthop *n, const struct nexthop_ends *ends)
{
	struct list *entry;

	if (ends->peer.family == IP_NONE)
		return false;
	list_each (entry, &n->busy) {
		if (is_own(hop_conn_of(entry), ends))
			return true;
	}
	return false;
}

bool
nexthop_is_from(const struct nexthop *n, const struct ip *ip, uint16_t port)
{
	struct list *entry;

	if (ip->family == IP_NONE || port == 0)
		return false;
	list_each (entry, &n->busy) {
		if (is_from(hop_conn_of(entry), ip, port))
			return true;
	}
	return false;
}

bool
nexthop_has_choice(const struct nexthop *n)
{
	return n->settings.address_count > 1;
}

uint32_t
nexthop_line(const struct nexthop *n)
{
	const struct list *entry;
	uint32_t count = 0;

	list_each (entry, &n->hops[HOP_WAITING])
		count++;
	return count;
}

/* ---- connections ---- */

/* A quarter of the shortest time that is to be kept. */
static int64_t
sweep_ms(const struct nexthop *n)
{
	const struct smtp_client_timeouts *t = &n->settings.timeouts;
	const int64_t spans[] = {t->greeting_ms, t->command_ms, t->data_ms,
	    t->end_ms, n->settings.idle_timeout_ms,
	    n->settings.connect_timeout_ms};
	int64_t least = 4 * SWEEP_MAX_MS;

	for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
		if (spans[i] < least)
			least = spans[i];
	}
	return least / 4 < SWEEP_MIN_MS ? SWEEP_MIN_MS : least / 4;
}

/* RFC 5321 wants five minutes for a greeting, which a server that is busy may
 * need. While another address is there to be tried that is no reason to keep
 * everybody waiting. */
static int64_t
greeting_ms(const struct nexthop *n, const struct hop *h)
{
	return route_has_other(n->route, &h->cursor, loop_now(n->loop))
		   ? n->settings.connect_timeout_ms
		   : 0;
}

struct hop_conn *
nexthop_open(
    struct nexthop *n, const struct route_choice *to, bool plain, struct hop *h)
{
	const struct nexthop_tls *tls = &n->settings.tls;
	const struct hop_conn_settings settings = {
	    .tls = {.client = plain ? NULL : tls->client,
		.required = tls->required,
		.implicit = tls->implicit,
		.name = tls->name,
		.timeout_ms = tls->timeout_ms},
	    .loop = n->loop,
	    .hostname = n->hostname,
	    .connect_timeout_ms = n->settings.connect_timeout_ms,
	    .greeting_ms = greeting_ms(n, h),
	    .timeouts = &n->settings.timeouts,
	    .credentials = h->is_private ? NULL : n->settings.credentials,
	    .next_hop = route_text(n->route, to->target),
	    .login_in_clear = n->settings.login_in_clear,
	};
	struct hop_conn *ch = hop_conn_new(&settings, to, &pool_conn_ops, n);

	ch->hop = h;
	ch->is_private = h->is_private;
	n->private_count += ch->is_private;
	list_append(&n->busy, &ch->entry);
	n->open_count++;
	nexthop_watch_line(n, loop_now(n->loop));
	return ch;
}

void
nexthop_watch_line(struct nexthop *n, int64_t now)
{
	if (n->sweep.due == INT64_MAX)
		loop_timer_set(&n->sweep, now + sweep_ms(n));
}

void
nexthop_shut(struct nexthop *n, struct hop_conn *ch, bool politely, int64_t now)
{
	if (ch->state == HOP_CONN_DEAD)
		return;
	if (ch->hop == NULL)
		n->idle_count--;
	if (ch->state == HOP_CONN_READY)
		n->closed_at = now;
	n->open_count--;
	n->private_count -= ch->is_private;
	ch->hop = NULL;
	list_remove(&ch->entry);
	list_append(&n->dead, &ch->entry);
	hop_conn_close(ch, politely, now);
	loop_task_set(&n->task);
}

void
nexthop_attach(struct nexthop *n, struct hop_conn *ch, struct hop *h)
{
	list_remove(&ch->entry);
	list_append(&n->busy, &ch->entry);
	n->idle_count--;
	ch->hop = h;
	ch->open = ch->heard = false;
}

void
nexthop_detach(struct nexthop *n, struct hop_conn *ch, int64_t now)
{
	list_remove(&ch->entry);
	list_insert(&n->idle, &ch->entry);
	n->idle_count++;
	ch->hop = NULL;
	ch->open = !smtp_client_is_idle(ch->client);
	ch->resets += ch->open;
	ch->idle_since = now;
}

/* Or nobody finds out why clients are not offered it. */
static void
warn_of_clear(struct nexthop *n, const struct hop_conn *ch)
{
	unsigned mechs = smtp_client_caps(ch->client)->auth;
	char list[128];

	if (mechs == 0 || hop_conn_is_safe(ch))
		return;
	log_write(n->log, LOG_EV_NEXT_HOP_NO_AUTH, KV(next_hop, ch->name),
	    KV(mechanisms, sasl_mechs_format(mechs, list, sizeof(list))),
	    KV(reason, "passwords are not sent there in clear text; see "
		       "next_hop_tls and next_hop_auth_in_clear"));
}

void
nexthop_note_up(struct nexthop *n, struct hop_conn *ch)
{
	bool is_news = route_set_up(n->route, &ch->addr);
	enum log_event_id event =
	    is_news ? LOG_EV_NEXT_HOP_CONNECT : LOG_EV_NEXT_HOP_CONNECT_AGAIN;
	struct tls_info tls = {.version = "none", .cipher = "none"};

	counters_add(n->counters, COUNT_NEXT_HOP_CONNECTIONS, 1);
	count_named(n, ch, NAMED_HOP_CONNECTED);
	if (is_news)
		warn_of_clear(n, ch);
	if (!log_has(n->log, event))
		return;
	if (conn_is_tls(ch->conn))
		tls = conn_tls_info(ch->conn);
	log_write(n->log, event, KV(next_hop, ch->name), KV(tls, tls.version),
	    KV(cipher, tls.cipher), KV(verified, tls.verified),
	    KV(resumed, tls.resumed));
}

void
nexthop_note_fault(struct nexthop *n, struct hop_conn *ch,
    enum hop_conn_fault fault, const char *reason, int64_t now)
{
	enum log_event_id event = LOG_EV_NEXT_HOP_FAILED_AGAIN;

	counters_add(n->counters, COUNT_NEXT_HOP_FAILURES, 1);
	count_named(n, ch, NAMED_HOP_FAILED);
	if (fault != HOP_CONN_BROKEN) {
		event = route_set_down(
			    n->route, &ch->addr, now, n->settings.rest_ms)
			    ? LOG_EV_NEXT_HOP_REST
			    : LOG_EV_NEXT_HOP_REST_AGAIN;
		route_set_reason(n->route, &ch->addr, reason);
	} else if (now >= n->broken_log_next) {
		event = LOG_EV_NEXT_HOP_FAILED;
		n->broken_log_next = now + BROKEN_LOG_MS;
	}
	log_write(n->log, event, KV(next_hop, ch->name), KV(reason, reason));
}

/* ---- time ---- */

static void
sweep_idle(struct nexthop *n, int64_t now)
{
	struct list *entry, *next;

	list_each_safe (entry, next, &n->idle) {
		struct hop_conn *ch = hop_conn_of(entry);
		int64_t idle = now - ch->idle_since;

		if (idle >= n->settings.idle_timeout_ms) {
			nexthop_shut(n, ch, true, now);
		} else if (ch->open && idle >= RESET_AFTER_MS) {
			ch->open = false;
			smtp_client_flush_reset(ch->client, now);
		}
	}
}

/* Owners that are told of a failure may change any list: so each round takes
 * the first that this sweep has not had, and moves it to the end. */
static void
sweep_deadlines(struct nexthop *n, struct list *head, int64_t now)
{
	while (!list_is_empty(head) &&
	       hop_conn_of(head->next)->swept != n->sweeps) {
		struct hop_conn *ch = hop_conn_of(head->next);

		ch->swept = n->sweeps;
		list_remove(&ch->entry);
		list_append(head, &ch->entry);
		hop_conn_run(ch, now);
	}
}

static void
on_sweep(void *arg, int64_t now)
{
	struct nexthop *n = arg;

	n->sweeps++;
	sweep_idle(n, now);
	sweep_deadlines(n, &n->idle, now);
	sweep_deadlines(n, &n->busy, now);
	hop_run_dials(n, now);
	if (n->open_count > 0 || !list_is_empty(&n->hops[HOP_WAITING]))
		loop_timer_set(&n->sweep, now + sweep_ms(n));
}

static void
on_task(void *arg, int64_t now)
{
	struct nexthop *n = arg;

	free_dead(n);
	hop_notify(n, now);
}
