/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * HTTP in the mail daemon: its listeners, and which routes there are beside the
 * API's.
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

static const struct web_route routes[] = {
    {"POST", API_PATH "/decide", CONTROL_CHANGE, decide_post,
	"May a source reach these destinations? Takes from its allowance, or a "
	"place in its queue; {\"source\", \"application\", \"destinations\", "
	"\"policy\", \"client\", \"commit\": \"now\" or \"later\"}, or a "
	"\"batch\" of "
	"these.",
	NULL, API_BODY},
    {"POST", API_PATH "/check", CONTROL_READ, decide_post_check,
	"The same, and takes nothing.", NULL, API_BODY},
    {"POST", API_PATH "/decisions/{decision}/commit", CONTROL_CHANGE,
	decide_post_commit,
	"What a decision with \"commit\": \"later\" has reserved is spent.",
	NULL, 0},
    {"POST", API_PATH "/decisions/{decision}/cancel", CONTROL_CHANGE,
	decide_post_cancel, "It is given back.", NULL, API_REMOVED},
    {"GET", API_PATH "/tickets/{ticket}", CONTROL_READ, decide_get_ticket,
	"A destination that waits for its turn.", NULL, 0},
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
