/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The relay: accepts, counts sessions per client and in all, drains. What a
 * session does is in relay_session.c and beyond.
 */
#include "relay/relay_internal.h"

#include "base/hash.h"

#include "front/settle.h"

#include "os/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOG_EVERY_MS 1000

static void
free_what_is_over(struct relay *r)
{
	txn_free_all(&r->txns_over);
	private_conn_free_all(&r->private_conns_over);
	login_free_all(&r->logins_over);
}

static void
check_drained(struct relay *r)
{
	void (*fn)(void *arg) = r->on_drained;

	if (fn == NULL || !list_is_empty(&r->sessions) ||
	    !list_is_empty(&r->txns))
		return;
	r->on_drained = NULL;
	fn(r->drained_arg);
}

static void
on_reap(void *arg, int64_t now)
{
	struct relay *r = arg;

	(void)now;
	free_what_is_over(r);
	check_drained(r);
}

void
relay_reap_later(struct relay *r, struct list *over, struct list *entry)
{
	list_append(over, entry);
	loop_task_set(&r->reap);
}

struct relay *
relay_new(
    const struct relay_parts *parts, const struct relay_settings *settings)
{
	struct relay *r = xcalloc(1, sizeof(*r));

	r->parts = *parts;
	r->settings = settings;
	r->clients = share_new();
	r->envelopes = share_new();
	r->guard = auth_guard_new();
	r->proof_seed = hash_random_seed() | 1;
	r->asked = ask_guard_new();
	r->late = late_new();
	r->auth_link = auth_link_new(parts->loop, parts->log);
	auth_link_set(r->auth_link, settings->dovecot);
	list_init(&r->sessions);
	list_init(&r->txns);
	list_init(&r->settles);
	list_init(&r->txns_over);
	list_init(&r->private_conns_over);
	list_init(&r->logins_over);
	loop_task_init(&r->reap, parts->loop, on_reap, r);
	relay_stress_init(r);
	return r;
}

void
relay_reload(struct relay *r, const struct relay_settings *settings)
{
	r->settings = settings;
	auth_link_set(r->auth_link, settings->dovecot);
}

bool
relay_uses(const struct relay *r, const struct relay_settings *settings)
{
	const struct list *e;

	if (r->settings == settings)
		return true;
	list_each (e, &r->sessions) {
		const struct session *s = LIST_ITEM(e, struct session, entry);

		if (s->settings == settings)
			return true;
	}
	return false;
}

/* A silent session of its own makes room, too. */
static bool
client_may(struct relay *r, const struct share_user *u, int64_t now)
{
	return share_used_by(u) < r->settings->client_sessions_max ||
	       relay_shed_own(r, u, now);
}

bool
relay_count_client(struct session *s)
{
	struct relay *r = s->relay;
	struct ip site;
	struct share_user *u =
	    share_join(r->clients, ip_site_key(&s->client, &site));

	if (!client_may(r, u, loop_now(r->parts.loop))) {
		share_leave(r->clients, u);
		return false;
	}
	share_take(r->clients, u, 1);
	s->place = u;
	return true;
}

void
relay_uncount_client(struct session *s)
{
	struct share *clients = s->relay->clients;
	struct share_user *u = s->place;

	if (u == NULL)
		return;
	s->place = NULL;
	share_give(clients, u, 1);
	share_leave(clients, u);
}

static const struct {
	const char *name, *words;
} limits[RELAY_LIMITS] = {
    [RELAY_SESSIONS_MAX] = {"sessions_max", "too many sessions were open"},
    [RELAY_CLIENT_SESSIONS_MAX] = {"client_sessions_max",
	"too many sessions of this client were open"},
    [RELAY_ENVELOPE_MEMORY] = {"envelope_memory",
	"too many recipients were in open transactions"},
    [RELAY_HELD_MAX] = {"held_max", "the hold queue was full"},
    [RELAY_HELD_BYTES_MAX] = {"held_bytes_max", "the hold queue was full"},
    [RELAY_NEXT_HOP_CONNECTIONS] = {"next_hop_connections",
	"slow or idle while others waited for the next hop"},
    [RELAY_AUTH_FAILURES_MAX] = {"auth_failures_max", "too many failed logins"},
    [RELAY_REFUSED_MAX] = {"refused_max",
	"probed too many recipients without sending mail"},
    [RELAY_MIN_FREE] = {"min_free", "the spool is full"},
};

void
relay_report_limit(struct relay *r, enum relay_limit limit, const char *source,
    const struct ip *client, int64_t now)
{
	struct relay_limit_report *reported = &r->reported[limit];
	char text[IP_TEXT_MAX];

	ip_format(client, text);
	events_add_option(r->parts.events, clock_wall_ms(),
	    source != NULL ? EVENT_REFUSE : EVENT_LIMIT, limits[limit].name,
	    source != NULL ? source : text, "", "%s", limits[limit].words);
	if (now < reported->next) {
		reported->kept_back++;
		return;
	}
	log_write(r->parts.log, LOG_EV_SMTP_REFUSE, KV(client, text),
	    KV(limit, limits[limit].name), KV(open, r->session_count),
	    KV(unlogged, reported->kept_back));
	*reported = (struct relay_limit_report){.next = now + LOG_EVERY_MS};
}

static void
relay_turn_away(struct relay *r, int fd, const struct ip *ip,
    enum relay_limit limit, uint64_t open, int64_t now)
{
	char line[160];
	int len =
	    r->draining
		? snprintf(line, sizeof(line),
		      "421 4.3.2 Service is shutting down, try again "
		      "later\r\n")
		: snprintf(line, sizeof(line),
		      "421 4.7.0 Too many connections%s: %" PRIu64
		      " are open, try again in a minute\r\n",
		      limit == RELAY_CLIENT_SESSIONS_MAX ? " from your address"
							 : "",
		      open);
	ssize_t n;

	counters_add(r->parts.counters, COUNT_SESSIONS_REFUSED, 1);
	relay_report_limit(r, limit, NULL, ip, now);
	/* A fresh socket takes one line or the client does without. */
	n = write(fd, line, (size_t)len);
	(void)n;
	close(fd);
}

void
relay_accept(struct relay *r, int fd, const struct net_addr *peer,
    const struct relay_listen *listen, int64_t now)
{
	struct ip ip = net_addr_ip(peer), site;
	/* Behind a proxy the client is known only when its header has come. */
	const struct share_user *u =
	    listen->proxy ? NULL
			  : share_find(r->clients, ip_site_key(&ip, &site));
	uint64_t has = share_used_by(u);
	struct session *s;

	if (!r->draining && !client_may(r, u, now)) {
		relay_turn_away(
		    r, fd, &ip, RELAY_CLIENT_SESSIONS_MAX, has, now);
		return;
	}
	if (r->draining || (r->session_count >= r->settings->sessions_max &&
			       !relay_shed(r, has, now))) {
		relay_turn_away(
		    r, fd, &ip, RELAY_SESSIONS_MAX, r->session_count, now);
		return;
	}
	r->session_count++;
	if (r->session_count > r->session_peak)
		r->session_peak = r->session_count;
	counters_add(r->parts.counters, COUNT_SESSIONS, 1);
	counters_set(r->parts.counters, COUNT_SESSIONS_OPEN, r->session_count);
	s = session_new(r, fd, peer, listen);
	s->active_at = now;
	list_append(&r->sessions, &s->entry);
	if (session_await_proxy(s, now))
		return;
	(void)session_set_client(s, &ip, s->client_port);
	session_start(s, now);
}

void
relay_session_ended(struct relay *r, struct session *s)
{
	list_remove(&s->entry);
	relay_uncount_client(s);
	r->session_count--;
	counters_set(r->parts.counters, COUNT_SESSIONS_OPEN, r->session_count);
	loop_task_set(&r->reap); /* it was perhaps the last */
}

uint32_t
relay_take_peak(struct relay *r)
{
	uint32_t peak = r->session_peak;

	r->session_peak = r->session_count;
	return peak;
}

void
relay_drain(struct relay *r, void (*fn)(void *arg), void *arg)
{
	int64_t now = loop_now(r->parts.loop);
	struct smtp_reply bye = smtp_reply_make(
	    421, "4.3.2", "Service is shutting down, try again later");
	struct list *e, *next;

	r->draining = true;
	r->on_drained = fn;
	r->drained_arg = arg;
	list_each_safe (e, next, &r->sessions) {
		struct session *s = LIST_ITEM(e, struct session, entry);

		session_late_run(s, now);
		if (s->txn == NULL)
			session_close(s, &bye, now);
	}
	check_drained(r);
}

void
relay_free(struct relay *r)
{
	struct list *e, *next;

	if (r == NULL)
		return;
	r->on_drained = NULL;
	list_each_safe (e, next, &r->sessions) {
		struct session *s = LIST_ITEM(e, struct session, entry);
		struct conn *c = s->conn;

		session_end(s);
		conn_free(c);
	}
	list_each_safe (e, next, &r->txns) {
		txn_abort(
		    LIST_ITEM(e, struct txn, entry), loop_now(r->parts.loop));
	}
	free_what_is_over(r);
	loop_task_clear(&r->reap);
	loop_timer_clear(&r->stress);
	settle_free_all(&r->settles);
	share_free(r->clients);
	share_free(r->envelopes);
	auth_guard_free(r->guard);
	ask_guard_free(r->asked);
	late_free(r->late);
	auth_link_free(r->auth_link);
	free(r);
}
