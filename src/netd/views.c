/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What weir-netd's control socket shows: status, hosts, packets that wait. Rows
 * are made a step at a time, so that a long list stops nobody.
 */
#include "config.h"

#include "netd/internal.h"

#include "os/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP 500 /* rows looked at in one step */

struct netd *
netd_of(const struct control_conn *c)
{
	return *(struct netd **)c->control->parts;
}

static void
set_number(json_t *row, const char *name, uint64_t v)
{
	json_object_set_new(row, name, json_integer((json_int_t)v));
}

/* ---- status ---- */

static void
add_queue(json_t *row, const char *name, const struct nfqueue *q)
{
	const struct nfqueue_stats *s;
	json_t *o;

	if (q == NULL)
		return;
	s = nfqueue_get_stats(q);
	o = json_object();
	set_number(o, "packets", s->packets);
	set_number(o, "verdicts", s->verdicts);
	set_number(o, "batches", s->batches);
	set_number(o, "overruns", s->overruns);
	set_number(o, "loops", s->loops);
	set_number(o, "lost", s->lost);
	set_number(o, "errors", s->errors);
	json_object_set_new(row, name, o);
}

static uint64_t
set_errors(const struct netd *n)
{
	return (n->sets != NULL ? nfset_errors(n->sets) : 0) +
	       (n->ipset != NULL ? ipset_errors(n->ipset) : 0);
}

void
netd_show_status(struct control_conn *c, int64_t now)
{
	struct netd *n = netd_of(c);
	const uint64_t *counters = netgate_counters(n->gate);
	int64_t up_ms = clock_wall_ms() - n->started_at;
	json_t *row = json_object();

	netd_look_for_lost(n, now);
	json_object_set_new(row, "version", control_text(PACKAGE_VERSION));
	json_object_set_new(row, "mode",
	    control_text(
		n->conf->mode == NETD_OBSERVE ? "observe" : "enforce"));
	set_number(row, "uptime_s", up_ms > 0 ? (uint64_t)up_ms / 1000 : 0);
	json_object_set_new(row, "started_at", control_time(n->started_at));
	for (size_t i = 0; i < NETGATE_COUNT_MAX; i++)
		set_number(row, netgate_counter_name[i], counters[i]);
	set_number(row, "malformed_packets", n->malformed);
	set_number(row, "senders", netgate_host_count(n->gate));
	set_number(row, "frozen_senders", netgate_frozen_count(n->gate));
	set_number(row, "held_messages", netgate_held_count(n->gate));
	set_number(row, "held_recipients", netgate_held_count(n->gate));
	set_number(row, "memory_bytes", netgate_memory(n->gate));
	if (n->rules[0] != '\0')
		json_object_set_new(row, "rules", control_text(n->rules));
	set_number(row, "rules_restored", n->rules_restored);
	json_object_set_new(
	    row, "fast_path", json_boolean(n->fast != RULES_FAST_NONE));
	if (n->sets != NULL || n->ipset != NULL)
		set_number(row, "set_errors", set_errors(n));
	add_queue(row, "queue", n->queue);
	add_queue(row, "answers", n->answers);
	add_queue(row, "contacts", n->contacts);
	if (control_send_only(c, row))
		control_done(c, NULL);
}

/* ---- senders, show ---- */

static json_t *
host_row(const struct netgate_host_info *h)
{
	return json_pack(
	    "{s:o, s:b, s:b, s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}",
	    "sender", control_text(h->source), "frozen", (int)h->frozen,
	    "proven", (int)h->proven, "freeze_reason",
	    control_text(h->freeze_reason), "queue_length",
	    (json_int_t)h->queue_length, "allowance", (json_int_t)h->allowance,
	    "working_set", (json_int_t)h->working_set, "policy",
	    control_text(h->policy), "last_seen", control_time(h->last_seen),
	    "frozen_at", control_time(h->frozen_at), "thaw_at",
	    control_time(h->thaw_at), "next_release",
	    control_time(h->next_release));
}

static bool
is_wanted(const struct control_request *r, const struct netgate_host_info *h)
{
	if ((r->frozen && !h->frozen) ||
	    (r->term != NULL && strstr(h->source, r->term) == NULL))
		return false;
	return !r->busy || h->frozen || h->queue_length > 0;
}

static void
step_senders(struct control_conn *c, int64_t now)
{
	struct netd *n = netd_of(c);
	int64_t wall = clock_wall_ms();
	struct netgate_host_info h;

	for (int i = 0; i < STEP; i++) {
		size_t at = (size_t)c->cursor;

		if (!netgate_host_each(n->gate, &at, now, wall, &h)) {
			control_done(c, NULL);
			return;
		}
		if (is_wanted(&c->request, &h) &&
		    !control_send(c, "row", host_row(&h)))
			return; /* again when there is room */
		c->cursor = at;
	}
}

void
netd_show_senders(struct control_conn *c, int64_t now)
{
	c->on_step = step_senders;
	step_senders(c, now);
}

void
netd_no_such_host(struct control_conn *c)
{
	control_fail(
	    c, CONTROL_ABSENT, "no such sender: %s", c->request.sender);
}

void
netd_show_sender(struct control_conn *c, int64_t now)
{
	struct netgate_host_info h;
	json_t *row;

	if (!netgate_host_find(netd_of(c)->gate, str_from(c->request.sender),
		now, clock_wall_ms(), &h)) {
		netd_no_such_host(c);
		return;
	}
	row = host_row(&h);
	set_number(row, "freeze_at", h.freeze_at);
	set_number(row, "burst", h.burst);
	set_number(row, "working_set_max", h.working_set_max);
	set_number(row, "waiting_tcp", h.waiting[NETGATE_TCP]);
	set_number(row, "waiting_udp", h.waiting[NETGATE_UDP]);
	set_number(row, "waiting_unproven", h.waiting_claimed);
	set_number(row, "credit", h.credit);
	if (control_send_only(c, row))
		control_done(c, NULL);
}

/* ---- queue ---- */

static json_t *
held_row(const struct netgate_held_info *h)
{
	char id[24], address[IP_TEXT_MAX + 16];

	snprintf(id, sizeof(id), "%" PRIu64, h->id);
	snprintf(address, sizeof(address),
	    strchr(h->dst, ':') != NULL ? "[%s]:%u" : "%s:%u", h->dst,
	    h->dport);
	return json_pack("{s:s, s:o, s:s, s:[{s:s, s:s}], s:I, s:o, s:s}", "id",
	    id, "sender", control_text(h->source), "from", h->source,
	    "recipients", "address", address, "state", h->stage, "size",
	    (json_int_t)0, "queued_at", control_time(h->queued_at), "subject",
	    h->protocol);
}

static void
step_queue(struct control_conn *c, int64_t now)
{
	struct netd *n = netd_of(c);
	struct netgate_held_info h;

	(void)now;
	for (int i = 0; i < STEP; i++) {
		size_t at = (size_t)c->cursor;

		if (!netgate_held_each(n->gate, &at, &h)) {
			control_done(c, NULL);
			return;
		}
		if ((c->request.sender == NULL ||
			strcmp(c->request.sender, h.source) == 0) &&
		    !control_send(c, "row", held_row(&h)))
			return;
		c->cursor = at;
	}
}

void
netd_show_queue(struct control_conn *c, int64_t now)
{
	struct netgate_host_info h;

	if (c->request.sender != NULL) {
		if (!netgate_host_find(netd_of(c)->gate,
			str_from(c->request.sender), now, 0, &h)) {
			netd_no_such_host(c);
			return;
		}
		/* As the gate writes it. */
		free(c->request.sender);
		c->request.sender = xstrdup(h.source);
	}
	c->on_step = step_queue;
	step_queue(c, now);
}
