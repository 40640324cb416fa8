/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * HTTP in the mail daemon: which routes there are beside the API's, and what
 * its graphs show.
 */
#include "config.h"

#include "maild/maild_internal.h"

#include "control/api.h"
#include "control/metrics.h"
#include "maild/control_request.h"
#include "maild/decide.h"
#include "maild/metrics.h"

#define METRICS_MAX (4u << 20)

static void
on_metrics(struct web_exchange *x, int64_t now)
{
	const struct maild *m = api_arg(x);
	bool openmetrics =
	    metrics_wants_open(http_request_field(web_request(x), "Accept"));
	struct buf body;

	(void)now;
	buf_init(&body, METRICS_MAX);
	if (!front_metrics(&m->parts, openmetrics, &body)) {
		buf_clear(&body);
		web_refuse(x, 500, "The metrics are too large.");
		return;
	}
	web_answer(x, 200, metrics_type(openmetrics), &body);
}

static void
on_graph(struct web_exchange *x, int64_t now)
{
	const struct maild *m = api_arg(x);

	(void)now;
	graph_answer(m->daemon.graph, x);
}

/* ---- the graphs ---- */

/* Gauges first, then the totals of the table below, in its order. */
static const struct trend_series series[] = {
    {"held_recipients", "Recipients held", true},
    {"held_messages", "Messages in the spool", true},
    {"frozen_senders", "Senders frozen", true},
    {"messages", "Messages accepted", false},
    {"passed_recipients", "Recipients passed", false},
    {"delayed_recipients", "Recipients held", false},
    {"released_recipients", "Recipients released", false},
    {"discarded_recipients", "Recipients discarded", false},
    {"refused_recipients", "Recipients refused", false},
    {"delivered_recipients", "Recipients delivered", false},
    {"deferred_recipients", "Deferred attempts", false},
    {"bounces", "Bounces", false},
    {"freezes", "Freezes", false},
    {0},
};

static const enum counter totals[] = {
    COUNT_MESSAGES,
    COUNT_PASSED_RECIPIENTS,
    COUNT_DELAYED_RECIPIENTS,
    COUNT_RELEASED_RECIPIENTS,
    COUNT_DISCARDED_RECIPIENTS,
    COUNT_REFUSED_RECIPIENTS,
    COUNT_DELIVERED_RECIPIENTS,
    COUNT_DEFERRED_RECIPIENTS,
    COUNT_BOUNCES,
    COUNT_FREEZES,
};

static void
look(void *arg, uint64_t *values)
{
	const struct maild *m = arg;
	struct spool_stats spool;

	spool_stats(m->spool, &spool);
	*values++ = spool.recipients[SPOOL_HELD];
	*values++ = spool.messages;
	*values++ = gate_frozen_count(m->gate);
	for (size_t i = 0; i < ARRAY_LEN(totals); i++)
		*values++ = m->counters.v[totals[i]];
}

struct graph *
maild_graph_new(struct maild *m)
{
	_Static_assert(ARRAY_LEN(series) == ARRAY_LEN(totals) + 4,
	    "a series for each value");
	return graph_new(&(struct graph_source){
	    .loop = m->loop, .series = series, .look = look, .arg = m});
}

/* ---- the routes ---- */

static const struct web_route routes[] = {
    {"POST", API_PATH "/decide", CONTROL_CHANGE, decide_post,
	"May a source reach these destinations? Uses up its allowance, or "
	"takes a place in its queue; {\"source\", \"application\", "
	"\"destinations\", \"policy\", \"client\", \"commit\": \"now\" or "
	"\"later\"}, or a \"batch\" of these.",
	NULL, API_BODY},
    {"POST", API_PATH "/check", CONTROL_READ, decide_post_check,
	"The same, but nothing is used up.", NULL, API_BODY},
    {"POST", API_PATH "/decisions/{decision}/commit", CONTROL_CHANGE,
	decide_post_commit,
	"Commits what a decision with \"commit\": \"later\" has reserved.",
	NULL, 0},
    {"POST", API_PATH "/decisions/{decision}/cancel", CONTROL_CHANGE,
	decide_post_cancel, "Cancels it.", NULL, API_REMOVED},
    {"GET", API_PATH "/tickets/{ticket}", CONTROL_READ, decide_get_ticket,
	"The state of a waiting destination.", NULL, 0},
    {"GET", API_PATH "/graph", CONTROL_READ, on_graph, GRAPH_DOC, NULL, 0},
    {"GET", "/metrics", WEB_METRICS, on_metrics,
	"Metrics for Prometheus, as text or, where Accept prefers it, as "
	"OpenMetrics.",
	NULL, 0},
    {0},
};

void
maild_http_start(struct maild *m)
{
	if (m->daemon.access == NULL)
		return;
	m->decider = decide_new(&(struct decide_settings){.loop = m->loop,
	    .gate = m->gate,
	    .events = m->events,
	    .log = m->log,
	    .dir = m->gen->conf->spool.dir,
	    .on_turn = maild_alert_turn,
	    .arg = m});
	daemon_serve_http(&m->daemon, &m->gen->conf->http,
	    &(struct api_settings){.daemon = "weir-maild",
		.page_dir = m->page_dir,
		.routes = routes,
		.arg = m});
}
