/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See daemon.h.
 */
#include "control/daemon.h"

#include "config.h"
#include "os/priv.h"
#include "os/systemd.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTROL_BACKLOG 16
#define CONTROL_MODE 0660

/* ---- listeners of the http sections ---- */

struct bound_listener {
	char *name;
	struct listener *listener; /* NULL: the web has it */
	struct web_access access;
};

struct web_listeners {
	struct bound_listener *v;
	size_t n;
};

static const struct web_conf *
conf_at(const struct option_array *http, size_t i)
{
	return (const struct web_conf *)http->v + i;
}

/* Takes NULL. */
static void
free_http(struct web_listeners *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n; i++) {
		if (d->v[i].listener != NULL)
			listener_free(d->v[i].listener);
		tls_server_unref(d->v[i].access.tls);
		free(d->v[i].name);
	}
	free(d->v);
	free(d);
}

/* No section: an empty one. NULL: why in err. */
static struct web_listeners *
bind_http(const struct option_array *http, int gid, char *err, size_t cap)
{
	struct web_listeners *d = xcalloc(1, sizeof(*d));

	d->v = xcalloc(http->n + 1, sizeof(*d->v));
	for (size_t i = 0; i < http->n; i++) {
		const struct web_conf *h = conf_at(http, i);
		struct listener_options options = {
		    .backlog = 64, .unix_mode = h->mode, .unix_gid = gid};
		struct bound_listener *bound = &d->v[d->n];
		char why[512];

		bound->listener =
		    listener_new(&h->addr, &options, why, sizeof(why));
		if (bound->listener == NULL) {
			snprintf(err, cap, "%s:%u: http \"%s\": %s",
			    h->place.file, h->place.line, h->name, why);
			free_http(d);
			return NULL;
		}
		bound->name = xstrdup(h->name);
		d->n++;
	}
	return d;
}

static const struct web_conf *
find_conf(const struct option_array *http, const char *name)
{
	for (size_t i = 0; i < http->n; i++) {
		if (strcmp(conf_at(http, i)->name, name) == 0)
			return conf_at(http, i);
	}
	return NULL;
}

static void
update(struct bound_listener *bound, const struct web_conf *h)
{
	struct tls_server *was = bound->access.tls;

	if (h == NULL) {
		bound->access = (struct web_access){
		    .name = bound->name, .tls = was, .is_closed = true};
		return;
	}
	bound->access = (struct web_access){
	    .name = bound->name,
	    .tls = tls_server_ref(h->tls_server),
	    .nets = h->nets,
	    .net_count = h->net_count,
	    .hosts = h->host_names,
	    .host_count = h->host_count,
	    .rights = h->metrics == WEB_METRICS_OPEN ? WEB_METRICS : 0,
	    .has_page = h->page,
	    .prefix = h->prefix,
	    .is_https = h->is_https,
	    .proxies = h->proxy_nets,
	    .proxy_count = h->proxy_count,
	};
	tls_server_unref(was);
}

static void
listen_http(struct web_listeners *d, struct web *web, struct log *log)
{
	for (size_t i = 0; i < d->n; i++) {
		struct bound_listener *bound = &d->v[i];
		char addr[NET_ADDR_TEXT_MAX];

		log_write(log, LOG_EV_HTTP_LISTEN,
		    KV(address,
			net_addr_format(listener_addr(bound->listener), addr)),
		    KV(listener, bound->name));
		web_listen(web, bound->listener, &bound->access);
		bound->listener = NULL;
	}
}

void
daemon_update_http(struct daemon *d, const struct option_array *http)
{
	for (size_t i = 0; i < d->web->n; i++)
		update(&d->web->v[i], find_conf(http, d->web->v[i].name));
}

/* ---- the daemon ---- */

bool
daemon_bind(struct daemon *d, const char *control, const char *group,
    const struct option_array *http, char *err, size_t cap)
{
	struct listener_options options = {.backlog = CONTROL_BACKLOG,
	    .unix_mode = CONTROL_MODE,
	    .unix_gid = -1};
	char why[512], text[1024];
	struct net_addr addr;
	gid_t gid;

	if (group != NULL && priv_find_group(group, &gid))
		options.unix_gid = (int)gid;
	d->admin_gid = options.unix_gid;
	snprintf(text, sizeof(text), "unix:%s", control);
	if (net_addr_parse(str_from(text), &addr, why, sizeof(why)))
		d->listener = listener_new(&addr, &options, why, sizeof(why));
	if (d->listener == NULL) {
		snprintf(err, cap, "control: %s", why);
		return false;
	}
	d->web = bind_http(http, d->admin_gid, err, cap);
	return d->web != NULL;
}

bool
daemon_open_access(struct daemon *d, const char *dir, char *err, size_t cap)
{
	if (d->web->n == 0)
		return true;
	d->access = access_store_open(d->loop, d->log, dir, err, cap);
	return d->access != NULL;
}

void
daemon_serve_http(struct daemon *d, const struct option_array *http,
    const struct api_settings *settings)
{
	struct api_settings s = *settings;

	s.loop = d->loop;
	s.log = d->log;
	s.events = d->events;
	s.control = d->control;
	s.store = d->access;
	s.version = PACKAGE_VERSION;
	daemon_update_http(d, http);
	d->api = api_new(&s);
	listen_http(d->web, api_web(d->api), d->log);
}

void
daemon_close(struct daemon *d)
{
	api_free(d->api);
	free_http(d->web);
	control_stop(d->control);
	d->control = NULL;
	access_store_free(d->access);
	graph_free(d->graph);
	if (d->listener != NULL)
		listener_free(d->listener);
}

/* ---- signals and the watchdog ---- */

static void
on_hup(void *arg, int64_t now)
{
	struct daemon *d = arg;
	char err[512];

	(void)now;
	systemd_notify("RELOADING=1");
	(void)d->ops->reload(d->arg, err, sizeof(err));
	systemd_notify("READY=1");
}

static void
on_term(void *arg, int64_t now)
{
	struct daemon *d = arg;

	if (d->is_stopping) { /* asked twice: at once */
		loop_stop(d->loop);
		return;
	}
	d->is_stopping = true;
	systemd_notify("STOPPING=1");
	d->ops->stop(d->arg, now);
}

static void
on_watchdog(void *arg, int64_t now)
{
	struct daemon *d = arg;

	systemd_notify("WATCHDOG=1");
	loop_timer_set(&d->watchdog, now + systemd_watchdog_ms() / 2);
}

void
daemon_run_init(struct daemon *d)
{
	loop_timer_init(&d->watchdog, d->loop, on_watchdog, d);
	d->hup = loop_signal_new(d->loop, SIGHUP, on_hup, d);
	d->term = loop_signal_new(d->loop, SIGTERM, on_term, d);
	d->intr = loop_signal_new(d->loop, SIGINT, on_term, d);
	if (systemd_watchdog_ms() > 0)
		on_watchdog(d, loop_now(d->loop));
}

void
daemon_run_clear(struct daemon *d)
{
	if (d->hup == NULL)
		return;
	loop_timer_clear(&d->watchdog);
	loop_signal_free(d->hup);
	loop_signal_free(d->term);
	loop_signal_free(d->intr);
}
