/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * HTTP in the mail daemon: its listeners, which routes there are, and what a
 * reload changes. A listener whose section a reload took away gives nobody any
 * right until the next start.
 */
#include "maild/maild_internal.h"

#include "control/web.h"
#include "http/reply.h"
#include "maild/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_MAX (4u << 20)

struct maild_http_door {
	char *name;
	struct listener *listener; /* NULL: the web has it */
	struct web_access access;
};

/* ---- routes ---- */

static void
on_metrics(struct web_exchange *x, int64_t now)
{
	const struct maild *m = web_arg(x);
	const struct str *accept = http_request_field(web_request(x), "Accept");
	bool openmetrics =
	    http_accepts(accept, "application/openmetrics-text") >
		http_accepts(accept, "text/plain") &&
	    accept != NULL;
	struct buf body;

	(void)now;
	buf_init(&body, METRICS_MAX);
	if (!front_metrics(&m->parts, openmetrics, &body)) {
		buf_clear(&body);
		web_refuse(x, 500, "The metrics are too large.");
		return;
	}
	web_answer(x, 200,
	    openmetrics ? "application/openmetrics-text; version=1.0.0; "
			  "charset=utf-8"
			: "text/plain; version=0.0.4; charset=utf-8",
	    &body);
}

static const struct web_route routes[] = {
    {"GET", "/metrics", WEB_METRICS, on_metrics,
	"Metrics for Prometheus, as text or, where Accept prefers it, as "
	"OpenMetrics."},
    {0},
};

/* ---- listeners ---- */

int
maild_http_bind(struct maild *m, char *err, size_t cap)
{
	const struct maild_config *conf = m->gen->conf;

	m->http_doors = xcalloc(conf->http.n, sizeof(*m->http_doors));
	for (size_t i = 0; i < conf->http.n; i++) {
		const struct maild_http *h = maild_config_http(conf, i);
		struct listener_options options = {
		    .backlog = 64, .unix_mode = h->mode, .unix_gid = -1};
		char why[512];

		m->http_doors[i].listener =
		    listener_new(&h->addr, &options, why, sizeof(why));
		if (m->http_doors[i].listener == NULL) {
			snprintf(err, cap, "%s:%u: http \"%s\": %s",
			    h->place.file, h->place.line, h->name, why);
			return -1;
		}
		m->http_doors[i].name = xstrdup(h->name);
		m->http_door_count++;
	}
	return 0;
}

static const struct maild_http *
find_http(const struct maild_config *conf, const char *name)
{
	for (size_t i = 0; i < conf->http.n; i++) {
		if (strcmp(maild_config_http(conf, i)->name, name) == 0)
			return maild_config_http(conf, i);
	}
	return NULL;
}

void
maild_http_update(struct maild *m)
{
	for (size_t i = 0; i < m->http_door_count; i++) {
		struct maild_http_door *door = &m->http_doors[i];
		const struct maild_http *h =
		    find_http(m->gen->conf, door->name);
		struct tls_server *was = door->access.tls;

		if (h == NULL) {
			door->access =
			    (struct web_access){.name = door->name, .tls = was};
			continue;
		}
		door->access = (struct web_access){
		    .name = door->name,
		    .tls = tls_server_ref(h->tls_server),
		    .nets = h->nets,
		    .net_count = h->net_count,
		    .hosts = (const char *const *)h->hosts.v,
		    .host_count = h->hosts.n,
		    .rights = WEB_METRICS,
		};
		tls_server_unref(was);
	}
}

void
maild_http_start(struct maild *m)
{
	if (m->http_door_count == 0)
		return;
	maild_http_update(m);
	m->web = web_new(&(struct web_server){
	    .loop = m->loop, .log = m->log, .routes = routes, .arg = m});
	for (size_t i = 0; i < m->http_door_count; i++) {
		char addr[NET_ADDR_TEXT_MAX];

		log_event(m->log, LOG_LEVEL_INFO, "maild", "listen",
		    "address=%s http=%s",
		    net_addr_format(
			listener_addr(m->http_doors[i].listener), addr),
		    m->http_doors[i].name);
		web_listen(m->web, m->http_doors[i].listener,
		    &m->http_doors[i].access);
		m->http_doors[i].listener = NULL;
	}
}

void
maild_http_stop(struct maild *m)
{
	web_free(m->web);
	for (size_t i = 0; i < m->http_door_count; i++) {
		if (m->http_doors[i].listener != NULL)
			listener_free(m->http_doors[i].listener);
		tls_server_unref(m->http_doors[i].access.tls);
		free(m->http_doors[i].name);
	}
	free(m->http_doors);
}
