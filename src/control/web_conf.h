/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An http section of a configuration, for each daemon: its options, their
 * check, and the listeners that belong to it. A listener whose section a reload
 * took away gives nobody any right until the next start.
 */
#ifndef CONTROL_WEB_CONF_H
#define CONTROL_WEB_CONF_H

#include "control/web.h"
#include "os/options.h"

enum web_metrics { WEB_METRICS_OPEN, WEB_METRICS_TOKEN };

struct web_conf {
	char *name;
	struct option_place place;
	char *address, *socket_mode; /* as written */
	struct net_addr addr;
	unsigned mode;
	struct option_strings clients, hosts, tls_cert, tls_key, proxies;
	int metrics; /* enum web_metrics */
	bool page;
	char *url; /* by which browsers reach it; NULL: the address */

	/* Made by web_conf_check. */
	struct ip_net *nets, *proxy_nets;
	size_t net_count, proxy_count;
	struct tls_server *tls_server; /* NULL: plain */
	char *prefix;                  /* of url: "/weir", "" */
	bool is_https;                 /* the same */
	const char **host_names;       /* hosts, and that of url */
	size_t host_count;
	char *url_host;
};

extern const struct option *const web_conf_tables[];
/* Of a daemon that listens on Unix sockets alone; none is required. */
extern const struct option *const web_conf_unix_tables[];

/* unix_only: the daemon has rights that no network may reach. False: why, in
 * err, beginning with the option's name. */
MUST_CHECK bool web_conf_check(
    struct web_conf *h, bool unix_only, char *err, size_t cap);
void web_conf_clear(struct web_conf *h); /* what web_conf_check made */

/* ---- listeners ---- */

struct web_listeners;

/* http: an array of struct web_conf; the file's name is in their places. gid:
 * whose a Unix socket is; -1: the daemon's. NULL: why in err. No section: an
 * empty one. */
struct web_listeners *web_listeners_bind(
    const struct option_array *http, int gid, char *err, size_t cap);
size_t web_listeners_count(const struct web_listeners *d);
/* What the configuration says now; http is borrowed until the next call. */
void web_listeners_update(
    struct web_listeners *d, const struct option_array *http);
/* Serves them. part: "maild", for the log. */
void web_listeners_listen(
    struct web_listeners *d, struct web *web, struct log *log);
void web_listeners_free(
    struct web_listeners *d); /* after the web; takes NULL */

#endif
