/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An http section of a configuration, for each daemon: its options and their
 * check.
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

#endif
