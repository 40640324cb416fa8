/* SPDX-License-Identifier: BSD-3-Clause */
#include "maild/metrics.h"

#include "control/metrics.h"

#include <stdio.h>
#include <string.h>

/* Why recipients pass: the parts of COUNT_PASSED_RECIPIENTS that have a counter
 * of their own. */
static const struct {
	enum counter id;
	const char *why;
} passed[] = {
    {COUNT_PASSED_KNOWN, "recent"},
    {COUNT_PASSED_FAMILIAR, "familiar"},
    {COUNT_PASSED_INBOUND, "wrote_to_sender"},
    {COUNT_PASSED_REPLIES, "reply"},
    {COUNT_PASSED_INCOMING, "incoming"},
};

/* Counters that other series hold: the sum, and what owners are asked for. */
static const enum counter elsewhere[] = {COUNT_PASSED_RECIPIENTS,
    COUNT_DELAYED_RECIPIENTS, COUNT_REFUSED_RECIPIENTS, COUNT_SENDERS,
    COUNT_FROZEN_SENDERS, COUNT_HELD_MESSAGES, COUNT_HELD_RECIPIENTS,
    COUNT_QUARANTINED_MESSAGES};

static const struct {
	enum counter id;
	const char *channel, *result;
} alerts[] = {
    {COUNT_ALERTS_SENT_MAIL, "mail", "sent"},
    {COUNT_ALERTS_FAILED_MAIL, "mail", "failed"},
    {COUNT_ALERTS_DROPPED_MAIL, "mail", "dropped"},
    {COUNT_ALERTS_SENT_WEBHOOK, "webhook", "sent"},
    {COUNT_ALERTS_FAILED_WEBHOOK, "webhook", "failed"},
    {COUNT_ALERTS_DROPPED_WEBHOOK, "webhook", "dropped"},
    {COUNT_ALERTS_SENT_COMMAND, "command", "sent"},
    {COUNT_ALERTS_FAILED_COMMAND, "command", "failed"},
    {COUNT_ALERTS_DROPPED_COMMAND, "command", "dropped"},
};

static bool
is_elsewhere(size_t id)
{
	for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++) {
		if (elsewhere[i] == (enum counter)id)
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
		if (passed[i].id == (enum counter)id)
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(alerts); i++) {
		if (alerts[i].id == (enum counter)id)
			return true;
	}
	return false;
}

static void
add_counters(struct metrics *m, const struct counters *c)
{
	char name[80];

	for (size_t i = 0; i < COUNT_MAX; i++) {
		if (is_elsewhere(i))
			continue;
		snprintf(name, sizeof(name), "weir_%s", counter_info[i].name);
		metrics_one(m, name,
		    counter_info[i].type == COUNTER_TOTAL ? METRIC_COUNTER
							  : METRIC_GAUGE,
		    counter_info[i].doc, (double)c->v[i]);
	}
}

static void
add_verdict(struct metrics *m, const char *verdict, const char *why, uint64_t n)
{
	metrics_sample(m,
	    (struct metric_label[]){
		{"verdict", verdict}, {"why", why}, {NULL, NULL}},
	    (double)n);
}

static void
add_recipients(struct metrics *m, const struct counters *c)
{
	uint64_t rest = c->v[COUNT_PASSED_RECIPIENTS];

	metrics_family(m, "weir_recipients", METRIC_COUNTER,
	    "Recipients by the throttle's verdict and its reason.");
	for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
		uint64_t n = c->v[passed[i].id];

		add_verdict(m, "pass", passed[i].why, n);
		rest -= n < rest ? n : rest;
	}
	add_verdict(m, "pass", "allowed", rest);
	add_verdict(m, "hold", "throttle", c->v[COUNT_DELAYED_RECIPIENTS]);
	add_verdict(m, "refuse", "throttle", c->v[COUNT_REFUSED_RECIPIENTS]);
}

static void
add_alerts(struct metrics *m, const struct counters *c)
{
	metrics_family(m, "weir_alerts", METRIC_COUNTER,
	    "Messages of alert sections: taken, tries that failed, given up.");
	for (size_t i = 0; i < ARRAY_LEN(alerts); i++)
		metrics_sample(m,
		    (struct metric_label[]){{"channel", alerts[i].channel},
			{"result", alerts[i].result}, {NULL, NULL}},
		    (double)c->v[alerts[i].id]);
}

static void
add_senders(struct metrics *m, const struct control_parts *p)
{
	uint64_t all = gate_sender_count(p->gate);
	uint64_t frozen = gate_frozen_count(p->gate);

	metrics_family(
	    m, "weir_senders", METRIC_GAUGE, "Senders in memory, by state.");
	metrics_sample(m,
	    (struct metric_label[]){{"state", "frozen"}, {NULL, NULL}},
	    (double)frozen);
	metrics_sample(m,
	    (struct metric_label[]){{"state", "free"}, {NULL, NULL}},
	    (double)(all > frozen ? all - frozen : 0));
}

static void
add_spool(struct metrics *m, const struct control_parts *p)
{
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
		metrics_sample(m,
		    (struct metric_label[]){
			{"state", spool_state_name[i]}, {NULL, NULL}},
		    (double)s.recipients[i]);
	metrics_one(m, "weir_spool_stopped_recipients", METRIC_GAUGE,
	    "Recipients that were let go and wait for the end of a freeze.",
	    (double)s.stopped);
	metrics_one(m, "weir_spool_free_bytes", METRIC_GAUGE,
	    "Free space where the spool lies.", (double)s.free_bytes);
	metrics_one(m, "weir_spool_short_of_space", METRIC_GAUGE,
	    "1: no mail is taken, since free space is below min_free.",
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
add_way_out(struct metrics *m, const struct control_parts *p)
{
	struct smtp_caps caps;

	metrics_one(m, "weir_delivering_messages", METRIC_GAUGE,
	    "Messages being delivered now.",
	    (double)delivery_active(p->delivery));
	metrics_one(m, "weir_next_hop_reached", METRIC_GAUGE,
	    "1: the next hop has been reached since the start.",
	    nexthop_caps(p->nexthop, &caps));
	metrics_one(m, "weir_next_hop_problem", METRIC_GAUGE,
	    "1: released mail waits, since the next hop has a problem.",
	    delivery_problem(p->delivery) != NULL &&
		delivery_problem(p->delivery)[0] != '\0');
}

static void
add_shared(struct metrics *m, const struct control_parts *p)
{
	struct freezes_info s;
	bool has = p->shared != NULL && p->shared(p->arg, &s);

	metrics_one(m, "weir_shared_up", METRIC_GAUGE,
	    "0: the shared server does not answer. 1: it does, or the relay "
	    "stands alone.",
	    !has || s.is_up);
	if (!has)
		return;
	metrics_one(m, "weir_shared_waiting", METRIC_GAUGE,
	    "Freezes and thaws that the shared server has not heard of.",
	    (double)s.waiting);
	metrics_family(m, "weir_shared_changes", METRIC_COUNTER,
	    "Freezes and thaws told to other relays, and heard from them.");
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
	    "When the configuration was read last.",
	    (double)(p->reloaded_at > 0 ? p->reloaded_at : p->started_at) /
		1000);
	metrics_one(&m, "weir_last_reload_successful", METRIC_GAUGE,
	    "1: the configuration in force is the file's of that time.",
	    !p->reload_failed);
	add_recipients(&m, p->counters);
	add_alerts(&m, p->counters);
	add_senders(&m, p);
	add_counters(&m, p->counters);
	add_spool(&m, p);
	add_way_out(&m, p);
	add_shared(&m, p);
	add_certificates(&m, p);
	metrics_process(&m);
	return metrics_end(&m);
}
