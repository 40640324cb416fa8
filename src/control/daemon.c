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

#define CONTROL_BACKLOG 16
#define CONTROL_MODE 0660

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
	d->web = web_listeners_bind(http, d->admin_gid, err, cap);
	return d->web != NULL;
}

bool
daemon_open_access(struct daemon *d, const char *dir, char *err, size_t cap)
{
	if (web_listeners_count(d->web) == 0)
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
	web_listeners_update(d->web, http);
	d->api = api_new(&s);
	web_listeners_listen(d->web, api_web(d->api), d->log);
}

void
daemon_close(struct daemon *d)
{
	api_free(d->api);
	web_listeners_free(d->web);
	if (d->control != NULL)
		control_stop(d->control);
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
