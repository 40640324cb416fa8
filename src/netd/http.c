/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-netd's HTTP: the API over its commands, and metrics. Only over a Unix
 * socket: the process holds CAP_NET_ADMIN.
 */
#include "config.h"

#include "netd/internal.h"

#include "control/metrics.h"
#include "http/reply.h"
#include "os/clock.h"

#include <stdio.h>
#include <string.h>

#define METRICS_MAX (1u << 20)

static const char *const counter_doc[NETGATE_COUNT_MAX] = {
#define NETD_DOC(id, name, doc) [NETGATE_COUNT_##id] = doc,
    NETGATE_COUNTERS(NETD_DOC)
#undef NETD_DOC
};

/* What mail calls recipients is packets here. */
static const char *
name_counter(const char *name, char *out, size_t cap)
{
	size_t n = strlen(name), tail = strlen("recipients");

	if (n > tail && strcmp(name + n - tail, "recipients") == 0)
		snprintf(out, cap, "weir_%.*spackets", (int)(n - tail), name);
	else
		snprintf(out, cap, "weir_%s", name);
	return out;
}

static void
add_verdict(struct metrics *m, const char *verdict, const char *why, uint64_t n)
{
	metrics_sample(m,
	    (struct metric_label[]){
		{"verdict", verdict}, {"why", why}, {NULL, NULL}},
	    (double)n);
}

/* Each packet once. */
static void
add_verdicts(struct metrics *m, const uint64_t *c)
{
	uint64_t passed = c[NETGATE_COUNT_PASSED];
	uint64_t known = c[NETGATE_COUNT_KNOWN];

	metrics_family(m, "weir_decided_packets", METRIC_COUNTER,
	    "First packets of contacts by the throttle's verdict and its "
	    "reason.");
	add_verdict(m, "pass", "recent", known);
	add_verdict(m, "pass", "allowed", passed > known ? passed - known : 0);
	add_verdict(m, "hold", "allowance", c[NETGATE_COUNT_DELAYED]);
	add_verdict(m, "refuse", "throttle", c[NETGATE_COUNT_REFUSED]);
}

static bool
is_verdict(size_t id)
{
	return id == NETGATE_COUNT_PASSED || id == NETGATE_COUNT_KNOWN ||
	       id == NETGATE_COUNT_DELAYED || id == NETGATE_COUNT_REFUSED;
}

static void
add_counters(struct metrics *m, const struct netd *n)
{
	const uint64_t *counters = netgate_counters(n->gate);
	char name[80], help[160];

	add_verdicts(m, counters);
	for (size_t i = 0; i < NETGATE_COUNT_MAX; i++) {
		if (is_verdict(i))
			continue;
		snprintf(help, sizeof(help), "Count of %s.", counter_doc[i]);
		metrics_one(m,
		    name_counter(netgate_counter_name[i], name, sizeof(name)),
		    METRIC_COUNTER, help, (double)counters[i]);
	}
	metrics_one(m, "weir_malformed_packets", METRIC_COUNTER,
	    "Malformed packets.", (double)n->malformed);
	metrics_one(m, "weir_rules_restored", METRIC_COUNTER,
	    "Times that missing rules were restored.",
	    (double)n->rules_restored);
}

static void
add_hosts(struct metrics *m, const struct netd *n)
{
	uint64_t all = netgate_host_count(n->gate);
	uint64_t frozen = netgate_frozen_count(n->gate);

	metrics_family(
	    m, "weir_hosts", METRIC_GAUGE, "Hosts in memory, by state.");
	metrics_sample(m,
	    (struct metric_label[]){{"state", "frozen"}, {NULL, NULL}},
	    (double)frozen);
	metrics_sample(m,
	    (struct metric_label[]){{"state", "free"}, {NULL, NULL}},
	    (double)(all > frozen ? all - frozen : 0));
	metrics_one(m, "weir_held_packets", METRIC_GAUGE, "Waiting packets.",
	    (double)netgate_held_count(n->gate));
	metrics_one(m, "weir_memory_bytes", METRIC_GAUGE,
	    "Memory used for hosts.", (double)netgate_memory(n->gate));
}

/* Each queue that there can be, so that series do not come and go. */
static void
add_queues(struct metrics *m, const struct netd *n)
{
	const struct {
		const char *name;
		const struct nfqueue *queue;
	} queues[] = {{"queue", n->queue}, {"answers", n->answers},
	    {"contacts", n->contacts}};
	struct nfqueue_stats none = {0};

	metrics_family(m, "weir_queue_overruns", METRIC_COUNTER,
	    "Times that a netfilter queue was full.");
	for (size_t i = 0; i < ARRAY_LEN(queues); i++) {
		const struct nfqueue_stats *s =
		    queues[i].queue != NULL ? nfqueue_get_stats(queues[i].queue)
					    : &none;

		metrics_sample(m,
		    (struct metric_label[]){
			{"queue", queues[i].name}, {NULL, NULL}},
		    (double)s->overruns);
	}
}

static bool
print(const struct netd *n, bool openmetrics, struct buf *out)
{
	struct metrics m;

	metrics_begin(&m, out, openmetrics);
	metrics_family(&m, "weir_build", METRIC_INFO, "Version and mode.");
	metrics_sample(&m,
	    (struct metric_label[]){{"version", PACKAGE_VERSION},
		{"mode", n->conf->mode == NETD_OBSERVE ? "observe" : "enforce"},
		{NULL, NULL}},
	    1);
	metrics_one(&m, "weir_start_time_seconds", METRIC_GAUGE,
	    "When the daemon was started.", (double)n->started_at / 1000);
	metrics_one(&m, "weir_last_reload_timestamp_seconds", METRIC_GAUGE,
	    "When the configuration was last loaded.",
	    (double)(n->reloaded_at > 0 ? n->reloaded_at : n->started_at) /
		1000);
	metrics_one(&m, "weir_last_reload_successful", METRIC_GAUGE,
	    "1: the last load of the configuration succeeded. 0: it failed, "
	    "and the old configuration is in use.",
	    !n->reload_failed);
	add_counters(&m, n);
	add_hosts(&m, n);
	add_queues(&m, n);
	metrics_process(&m);
	return metrics_end(&m);
}

static void
on_metrics(struct web_exchange *x, int64_t now)
{
	const struct str *accept = http_request_field(web_request(x), "Accept");
	bool openmetrics = metrics_wants_open(accept);
	struct buf body;

	(void)now;
	buf_init(&body, METRICS_MAX);
	if (print(api_arg(x), openmetrics, &body)) {
		web_answer(x, 200, metrics_type(openmetrics), &body);
		return;
	}
	buf_clear(&body);
	web_refuse(x, 500, "The metrics are too large.");
}

static void
on_graph(struct web_exchange *x, int64_t now)
{
	const struct netd *n = api_arg(x);

	(void)now;
	graph_answer(n->daemon.graph, x);
}

static const struct web_route routes[] = {
    {"GET", API_PATH "/graph", CONTROL_READ, on_graph, GRAPH_DOC, NULL, 0},
    {"GET", "/metrics", WEB_METRICS, on_metrics,
	"Metrics for Prometheus, as text or, where Accept prefers it, as "
	"OpenMetrics.",
	NULL, 0},
    {0},
};

void
netd_http_start(struct netd *n)
{
	if (n->daemon.access != NULL)
		daemon_serve_http(&n->daemon, &n->conf->http,
		    &(struct api_settings){
			.daemon = "weir-netd", .routes = routes, .arg = n});
}
