/* SPDX-License-Identifier: BSD-3-Clause */
#include "maild/metrics.h"

#include "control/metrics.h"
#include "os/clock.h"

static void
add_state(struct metrics *m, const char *state, uint64_t n)
{
	metrics_sample(m,
	    (struct metric_label[]){{"state", state}, {NULL, NULL}}, (double)n);
}

static void
add_senders(struct metrics *m, const struct control_parts *p)
{
	uint64_t all = gate_sender_count(p->gate);
	uint64_t frozen = gate_frozen_count(p->gate);
	uint64_t waiting = gate_waiting_count(p->gate);

	metrics_family(m, "weir_senders", METRIC_GAUGE,
	    "Senders in memory, by state: frozen; waiting, with new recipients "
	    "in their queue; free.");
	add_state(m, "frozen", frozen);
	add_state(m, "waiting", waiting);
	add_state(
	    m, "free", all > frozen + waiting ? all - frozen - waiting : 0);
	metrics_one(m, "weir_senders_near_limit", METRIC_GAUGE,
	    "Senders that reached a threshold of warn_at and have not fallen "
	    "well below it since.",
	    (double)gate_near_count(p->gate));
}

static void
add_spool(struct metrics *m, const struct control_parts *p)
{
	int64_t wall = clock_wall_ms();
	struct spool_stats s;

	spool_stats(p->spool, &s);
	metrics_one(m, "weir_spool_messages", METRIC_GAUGE,
	    "Messages in the spool.", (double)s.messages);
	metrics_one(m, "weir_spool_quarantined_messages", METRIC_GAUGE,
	    "Messages in the mail server's own hold queue.",
	    (double)s.quarantined);
	metrics_family(m, "weir_spool_recipients", METRIC_GAUGE,
	    "Recipients in the spool, by state.");
	for (size_t i = SPOOL_HELD; i <= SPOOL_SENDING; i++)
		add_state(m, spool_state_name[i], s.recipients[i]);
	metrics_one(m, "weir_spool_stopped_recipients", METRIC_GAUGE,
	    "Released recipients that wait for the end of a freeze.",
	    (double)s.stopped);
	metrics_one(m, "weir_oldest_held_seconds", METRIC_GAUGE,
	    "Age of the oldest message with a held recipient; 0 if there is "
	    "none.",
	    p->oldest_held > 0 && wall > p->oldest_held
		? (double)(wall - p->oldest_held) / 1000
		: 0);
	metrics_one(m, "weir_loading", METRIC_GAUGE,
	    "1: held mail is still being read after the start, and the gauges "
	    "count only what has been read.",
	    gate_is_loading(p->gate));
	metrics_one(m, "weir_spool_free_bytes", METRIC_GAUGE,
	    "Free space on the file system of the spool.",
	    (double)s.free_bytes);
	metrics_one(m, "weir_spool_short_of_space", METRIC_GAUGE,
	    "1: mail is refused because free space is below min_free.",
	    spool_is_short(p->spool));
	metrics_one(m, "weir_spool_commits", METRIC_COUNTER,
	    "Commits to the spool's database.", (double)s.commits);
	metrics_one(m, "weir_spool_operations", METRIC_COUNTER,
	    "Operations on the spool's database.", (double)s.operations);
	metrics_one(m, "weir_spool_database_errors", METRIC_COUNTER,
	    "Operations on the spool's database that failed.",
	    (double)s.database_errors);
}

static void
add_hops(struct metrics *m, const struct nexthop *n)
{
	const char *name;
	bool is_down;

	for (size_t i = 0; (name = nexthop_look(n, i, &is_down)) != NULL; i++)
		metrics_sample(m,
		    (struct metric_label[]){{"next_hop", name}, {NULL, NULL}},
		    !is_down);
}

static void
add_way_out(struct metrics *m, const struct control_parts *p)
{
	struct smtp_caps caps;

	metrics_one(m, "weir_delivering_messages", METRIC_GAUGE,
	    "Messages being delivered now.",
	    (double)delivery_active(p->delivery));
	metrics_one(m, "weir_next_hop_reached", METRIC_GAUGE,
	    "1: the next hop has been reached since the start.",
	    nexthop_caps(p->nexthop, &caps));
	metrics_family(m, "weir_next_hop_up", METRIC_GAUGE,
	    "0: none of the next hop's addresses could be reached at the last "
	    "attempt.");
	add_hops(m, p->nexthop);
	if (p->rest_hop != NULL && p->rest_hop != p->nexthop)
		add_hops(m, p->rest_hop);
	metrics_one(m, "weir_next_hop_problem", METRIC_GAUGE,
	    "1: released mail waits because of a problem of the next hop.",
	    delivery_problem(p->delivery) != NULL &&
		delivery_problem(p->delivery)[0] != '\0');
}

static void
add_shared_nodes(struct metrics *m, const struct redis_link *link)
{
	struct redis_link_node node;

	if (!redis_link_node(link, 0, &node))
		return;
	metrics_family(m, "weir_shared_node_up", METRIC_GAUGE,
	    "0: this server of the shared cluster does not answer.");
	for (size_t i = 0; redis_link_node(link, i, &node); i++)
		metrics_sample(m,
		    (struct metric_label[]){{"node", node.at}, {NULL, NULL}},
		    node.is_up);
}

static void
add_shared(struct metrics *m, const struct control_parts *p)
{
	struct freezes_info s;
	bool has = p->shared != NULL && p->shared(p->arg, &s);

	metrics_one(m, "weir_shared_up", METRIC_GAUGE,
	    "0: the shared server does not answer. 1: it does, or no shared "
	    "server is configured.",
	    !has || s.is_up);
	if (!has)
		return;
	add_shared_nodes(m, s.link);
	metrics_one(m, "weir_shared_waiting", METRIC_GAUGE,
	    "Freezes and thaws not yet sent to the shared server.",
	    (double)s.waiting);
	metrics_family(m, "weir_shared_changes", METRIC_COUNTER,
	    "Freezes and thaws sent to other relays, and received from them.");
	metrics_sample(m,
	    (struct metric_label[]){{"direction", "sent"}, {NULL, NULL}},
	    (double)s.sent);
	metrics_sample(m,
	    (struct metric_label[]){{"direction", "received"}, {NULL, NULL}},
	    (double)s.received);
}

static void
add_certificates(struct metrics *m, const struct control_parts *p)
{
	struct tls_cert cert;

	metrics_family(m, "weir_certificate_expiry_timestamp_seconds",
	    METRIC_GAUGE, "When a TLS certificate in use expires.");
	if (p->certificate == NULL)
		return;
	for (size_t i = 0; p->certificate(p->arg, i, &cert); i++) {
		char names[TLS_NAMES_MAX * 4], file[1024];

		metrics_sample(m,
		    (struct metric_label[]){
			{"file", str_escape(
				     str_from(cert.file), file, sizeof(file))},
			{"names", str_escape(str_from(cert.names), names,
				      sizeof(names))},
			{NULL, NULL}},
		    (double)cert.expires_at / 1000);
	}
}

bool
front_metrics(const struct control_parts *p, bool openmetrics, struct buf *out)
{
	struct metrics m;

	metrics_begin(&m, out, openmetrics);
	metrics_family(&m, "weir_build", METRIC_INFO, "Version and mode.");
	metrics_sample(&m,
	    (struct metric_label[]){{"version", p->version},
		{"mode", p->mode(p->arg)}, {NULL, NULL}},
	    1);
	metrics_one(&m, "weir_start_time_seconds", METRIC_GAUGE,
	    "When the daemon was started.", (double)p->started_at / 1000);
	metrics_one(&m, "weir_last_reload_timestamp_seconds", METRIC_GAUGE,
	    "When the configuration was last loaded.",
	    (double)(p->reloaded_at > 0 ? p->reloaded_at : p->started_at) /
		1000);
	metrics_one(&m, "weir_last_reload_successful", METRIC_GAUGE,
	    "1: the last load of the configuration succeeded. 0: it failed, "
	    "and the old configuration is in use.",
	    !p->reload_failed);
	metrics_counters(&m, p->counters);
	add_senders(&m, p);
	add_spool(&m, p);
	add_way_out(&m, p);
	add_shared(&m, p);
	add_certificates(&m, p);
	metrics_process(&m);
	return metrics_end(&m);
}
