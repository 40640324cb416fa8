/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * status, config, reload: the daemon as a whole. What is counted comes from the
 * table of counters; gauges that others own are asked from their owners.
 */
#include "config.h"

#include "maild/control_private.h"

#include "os/clock.h"

#include <string.h>

#define CONFIG_MAX (1u << 20)

static void
add_counters(json_t *row, const struct counters *counters)
{
	for (size_t i = 0; i < COUNT_MAX; i++) {
		if (counter_info[i].name != NULL)
			json_object_set_new(row, counter_info[i].name,
			    json_integer((json_int_t)counters->v[i]));
	}
}

static void
set_number(json_t *row, const char *name, uint64_t v)
{
	json_object_set_new(row, name, json_integer((json_int_t)v));
}

static void
add_spool(json_t *row, const struct control_parts *p)
{
	struct spool_stats s;
	json_t *spool = json_object();

	spool_stats(p->spool, &s);
	set_number(row, "held_messages", s.messages);
	set_number(row, "quarantined_messages", s.quarantined);
	set_number(row, "held_recipients", s.recipients[SPOOL_HELD]);
	set_number(row, "stopped_by_freeze", s.stopped);
	set_number(spool, "messages", s.messages);
	for (size_t i = SPOOL_HELD; i <= SPOOL_SENDING; i++)
		set_number(spool, spool_state_name[i], s.recipients[i]);
	set_number(spool, "free_bytes", s.free_bytes);
	set_number(spool, "commits", s.commits);
	set_number(spool, "operations", s.operations);
	set_number(spool, "database_errors", s.database_errors);
	json_object_set_new(
	    spool, "short_of_space", json_boolean(spool_is_short(p->spool)));
	json_object_set_new(row, "spool", spool);
}

/* Those that expire soon, or did. */
static json_t *
expiring(const struct control_parts *p)
{
	json_t *list = json_array();
	int64_t now = clock_wall_ms();
	struct tls_cert cert;

	if (p->certificate == NULL)
		return list;
	for (size_t i = 0; p->certificate(p->arg, i, &cert); i++) {
		if (cert.expires_at - now >= CONTROL_CERT_SOON_MS)
			continue;
		json_array_append_new(
		    list, json_pack("{s:o, s:o, s:o, s:b}", "file",
			      control_text(cert.file), "names",
			      control_text(cert.names), "expires_at",
			      control_time(cert.expires_at), "expired",
			      cert.expires_at <= now));
	}
	return list;
}

/* In the order in which they are tried. */
static void
add_next_hops(json_t *row, const struct nexthop *n, int64_t now)
{
	struct nexthop_load load = nexthop_load(n);
	json_t *list = json_array();
	int64_t wall = clock_wall_ms();
	struct nexthop_place place;
	size_t pos = 0;

	while (nexthop_each(n, &pos, &place)) {
		json_t *one = json_pack("{s:o, s:s}", "address",
		    control_text(place.name), "state",
		    place.is_up     ? "up"
		    : place.is_down ? "down"
				    : "untried");

		if (place.is_down) {
			json_object_set_new(
			    one, "reason", control_text(place.why));
			json_object_set_new(one, "failed_at",
			    control_time(wall + (place.failed_at - now)));
			if (place.rest_until > now)
				json_object_set_new(one, "next_try",
				    control_time(
					wall + (place.rest_until - now)));
		}
		json_array_append_new(list, one);
	}
	json_object_set_new(row, "next_hops", list);
	json_object_set_new(row, "next_hop_pool",
	    json_pack("{s:I, s:I, s:I, s:I}", "open", (json_int_t)load.open,
		"idle", (json_int_t)load.idle, "max", (json_int_t)load.max,
		"waiting", (json_int_t)load.line));
}

/* Of a cluster. */
static json_t *
shared_nodes(const struct redis_link *link, int64_t now)
{
	json_t *list = json_array();
	int64_t wall = clock_wall_ms();
	struct redis_link_node node;

	for (size_t i = 0; redis_link_node(link, i, &node); i++)
		json_array_append_new(list,
		    json_pack("{s:o, s:s, s:o, s:I, s:o}", "address",
			control_text(node.at), "state",
			node.is_up ? "up" : "down", "reason",
			control_text(node.why), "slots", (json_int_t)node.slots,
			"since", control_time(wall - (now - node.since))));
	return list;
}

static void
add_shared(json_t *row, const struct control_parts *p, int64_t now)
{
	struct redis_link_node node;
	struct control_relays relays = {0};
	struct freezes_info s;

	if (p->shared == NULL || !p->shared(p->arg, &s))
		return;
	if (p->relays != NULL)
		(void)p->relays(p->arg, &relays);
	json_object_set_new(row, "shared",
	    json_pack("{s:b, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:I, s:I, "
		      "s:b}",
		"up", (int)s.is_up, "since", control_time(s.since), "problem",
		control_text(s.is_up ? "" : s.why), "frozen",
		(json_int_t)s.frozen, "waiting", (json_int_t)s.waiting, "sent",
		(json_int_t)s.sent, "received", (json_int_t)s.received, "relay",
		control_text(relays.name), "other_relays",
		(json_int_t)relays.others, "relays_down",
		(json_int_t)relays.down, "same_name", (int)relays.has_twin));
	if (redis_link_node(s.link, 0, &node))
		json_object_set_new(
		    row, "shared_nodes", shared_nodes(s.link, now));
}

void
control_status(struct control_conn *c, int64_t now)
{
	const struct control_parts *p = control_parts(c);
	struct smtp_caps caps;
	json_t *row = json_object();
	int64_t up_ms = clock_wall_ms() - p->started_at;

	json_object_set_new(row, "version", control_text(p->version));
	json_object_set_new(row, "mode", control_text(p->mode(p->arg)));
	set_number(row, "uptime_s", up_ms > 0 ? (uint64_t)up_ms / 1000 : 0);
	json_object_set_new(row, "started_at", control_time(p->started_at));
	add_counters(row, p->counters);
	set_number(row, "senders", gate_sender_count(p->gate));
	set_number(row, "frozen_senders", gate_frozen_count(p->gate));
	add_spool(row, p);
	json_object_set_new(
	    row, "loading", json_boolean(gate_is_loading(p->gate)));
	set_number(row, "delivering_messages", delivery_active(p->delivery));
	json_object_set_new(row, "next_hop_reached",
	    json_boolean(nexthop_caps(p->nexthop, &caps)));
	json_object_set_new(row, "next_hop_problem",
	    control_text(delivery_problem(p->delivery)));
	add_next_hops(row, p->nexthop, now);
	json_object_set_new(row, "expiring_certificates", expiring(p));
	add_shared(row, p, now);
	if (control_send_only(c, row))
		control_done(c, NULL);
}

void
control_config(struct control_conn *c, int64_t now)
{
	const struct control_parts *p = control_parts(c);
	struct buf out;
	char *text;

	(void)now;
	buf_init(&out, CONFIG_MAX);
	if (!p->show_config(p->arg, &out)) {
		buf_clear(&out);
		control_fail(c, CONTROL_FAILED,
		    "the configuration is too large to show");
		return;
	}
	text = buf_take(&out);
	control_send_lines(c, text);
	free(text);
}

static void
on_audited(void *arg, int error)
{
	struct control_conn *c = arg;

	if (!control_resume(c))
		return;
	if (error != 0) {
		control_fail_errno(c, error);
		return;
	}
	control_log_change(c, 0);
	control_done(c, NULL);
}

void
control_reload(struct control_conn *c, int64_t now)
{
	const struct control_parts *p = control_parts(c);
	struct spool_audit audit = {.at = clock_wall_ms(),
	    .who = c->who,
	    .action = "reload",
	    .target = "",
	    .detail = ""};
	char err[1024] = "";

	(void)now;
	if (!p->reload(p->arg, err, sizeof(err))) {
		control_fail(
		    c, CONTROL_FAILED, "the old configuration stays: %s", err);
		return;
	}
	if (err[0] != '\0' && !control_send_only(c, json_pack("{s:o}", "note",
							control_text(err))))
		return;
	control_wait(c);
	spool_audit_add(p->spool, &audit, on_audited, c);
}
