/* SPDX-License-Identifier: BSD-3-Clause */
#include "config.h"

#include "control/web_conf.h"

#include "os/option_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IN_HTTP(field) .offset = offsetof(struct web_conf, field)

static const char *const metrics_names[] = {"open", "token", NULL};

/* ---- the options ---- */

static bool
check_address(const char *text, char *err, size_t cap)
{
	struct net_addr addr;
	char why[128];

	if (net_addr_parse(str_from(text), &addr, why, sizeof(why)))
		return true;
	return option_refuse(
	    err, cap, "is not an address to listen on: %s", why);
}

static bool
parse_mode(const char *text, unsigned *out)
{
	size_t n = strlen(text);

	*out = 0;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '7')
			return false;
		*out = *out * 8 + (unsigned)(text[i] - '0');
	}
	return n >= 3 && n <= 4 && *out <= 0777;
}

static bool
check_mode(const char *text, char *err, size_t cap)
{
	unsigned mode;

	return parse_mode(text, &mode) ||
	       option_refuse(err, cap,
		   "is not a file mode; write octal digits, as in \"0660\"");
}

/* "https://mail.example.org/weir" taken apart. */
static bool
parse_url(struct str url, bool *is_https, struct str *host, struct str *path)
{
	struct str rest = url;

	*is_https = str_istarts(url, STR("https://"));
	if (!*is_https && !str_istarts(url, STR("http://")))
		return false;
	rest = str_sub(url, *is_https ? 8 : 7, url.n);
	*host = str_sub(rest, 0, str_index(rest, '/'));
	*path = str_sub(rest, host->n, rest.n);
	if (host->n > 0 && host->p[0] != '[')
		*host = str_sub(*host, 0, str_index(*host, ':'));
	while (path->n > 0 && path->p[path->n - 1] == '/')
		path->n--;
	if (!str_is_ascii(url) || !str_is_shown(url) ||
	    str_index(url, ' ') < url.n || str_index(url, '?') < url.n ||
	    str_index(url, '#') < url.n || str_index(url, '@') < url.n)
		return false;
	for (size_t i = 0; i + 1 < path->n; i++) {
		if (path->p[i] == '/' && path->p[i + 1] == '/')
			return false;
	}
	return host->n > 0 && str_index(*path, '%') == path->n;
}

static bool
check_url(const char *text, char *err, size_t cap)
{
	struct str host, path;
	bool is_https;

	return parse_url(str_from(text), &is_https, &host, &path) ||
	       option_refuse(err, cap,
		   "is not a URL such as \"https://mail.example.org/weir\"");
}

/* What a Unix socket has too. */
static const struct option common_options[] = {
    {
	.name = "metrics",
	.type = OPTION_ENUM,
	IN_HTTP(metrics),
	.preset = "open",
	.names = metrics_names,
	.reloadable = true,
	.doc = "Access to /metrics. open: every client of this "
	       "section. token: clients with a token with the right "
	       "view, sent as a bearer token or as the password of "
	       "Basic authentication.",
    },
    {
	.name = "page",
	.type = OPTION_BOOL,
	IN_HTTP(page),
	.preset = "true",
	.reloadable = true,
	.doc = "Serve the dashboard. The API below /api/v1 is "
	       "available in either case.",
    },
    {
	.name = "url",
	.type = OPTION_STRING,
	IN_HTTP(url),
	.reloadable = true,
	.sample = "https://mail.example.org/weir",
	.check = check_url,
	.doc = "URL under which browsers reach this section through a "
	       "reverse proxy. Its host name is accepted, its path "
	       "may precede all others, and with https cookies are "
	       "sent over TLS only. The user of a Unix socket "
	       "connection then no longer counts as a login.",
    },
    {
	.name = "proxies",
	.type = OPTION_STRINGS,
	IN_HTTP(proxies),
	.reloadable = true,
	.sample = "127.0.0.1",
	.check = option_check_network,
	.doc = "Reverse proxies whose X-Forwarded-For names the "
	       "client, for the networks of a token and for failed "
	       "logins. Once this list has an entry, the client that "
	       "a proxy on a Unix socket names is trusted too.",
    },
    {0},
};

static const struct option tcp_options[] = {
    {
	.name = "address",
	.type = OPTION_STRING,
	IN_HTTP(address),
	.required = true,
	.sample = "127.0.0.1:8025",
	.check = check_address,
	.doc = "Where to listen for HTTP: \"127.0.0.1:8025\", \"[::1]:8025\" "
	       "or \"unix:/path\". Over a Unix socket root, the daemon's user "
	       "and members of control_group need no token.",
    },
    {
	.name = "socket_mode",
	.type = OPTION_STRING,
	IN_HTTP(socket_mode),
	.preset = "0660",
	.check = check_mode,
	.doc = "Permissions of a Unix socket, in octal digits.",
    },
    {
	.name = "clients",
	.type = OPTION_STRINGS,
	IN_HTTP(clients),
	.reloadable = true,
	.sample = "127.0.0.1",
	.check = option_check_network,
	.doc = "Networks from which TCP connections are accepted. Default: "
	       "this machine (127.0.0.0/8 and ::1).",
    },
    {
	.name = "hosts",
	.type = OPTION_STRINGS,
	IN_HTTP(hosts),
	.reloadable = true,
	.sample = "mail.example.org",
	.doc = "Host names that requests may use, without a port. Addresses, "
	       "localhost and the name in url are always accepted. Any other "
	       "name gets 421, unless the request carries a token, which "
	       "prevents a page of another site from reading data through a "
	       "name of its own (DNS rebinding). Not checked on a Unix socket.",
    },
    {0},
};

static const struct option tls_options[] = {
    {
	.name = "tls_cert",
	.type = OPTION_STRINGS,
	IN_HTTP(tls_cert),
	.reloadable = true,
	.check = option_check_path,
	.doc = "PEM files with certificate and chain. If set, TLS is spoken "
	       "from the first byte; otherwise plain HTTP.",
    },
    {
	.name = "tls_key",
	.type = OPTION_STRINGS,
	IN_HTTP(tls_key),
	.reloadable = true,
	.check = option_check_path,
	.doc = "Keys of tls_cert. If not set, the keys are read from the same "
	       "files.",
    },
    {0},
};

static const struct option unix_options[] = {
    {
	.name = "address",
	.type = OPTION_STRING,
	IN_HTTP(address),
	.sample = "unix:/run/weir/netd-http.sock",
	.check = check_address,
	.doc = "Where to listen for HTTP: \"unix:/path\". Root, the daemon's "
	       "user and members of control_group need no token.",
    },
    {
	.name = "socket_mode",
	.type = OPTION_STRING,
	IN_HTTP(socket_mode),
	.preset = "0660",
	.check = check_mode,
	.doc = "Permissions of a Unix socket, in octal digits.",
    },
    {0},
};

const struct option *const web_conf_tables[] = {
    tcp_options, common_options, tls_options, NULL};
const struct option *const web_conf_unix_tables[] = {
    unix_options, common_options, NULL};

/* ---- the check ---- */

static void
read_nets(const struct option_strings *list, struct ip_net **out, size_t *n)
{
	*out = xcalloc(list->n + 1, sizeof(**out));
	*n = 0;
	for (size_t i = 0; i < list->n; i++) {
		/* Checked by the table. */
		if (ip_net_parse(str_from(list->v[i]), &(*out)[*n]))
			++*n;
	}
}

static void
read_url(struct web_conf *h)
{
	struct str host = STR(""), path = STR("");

	if (h->url != NULL &&
	    !parse_url(str_from(h->url), &h->is_https, &host, &path))
		panic("http: %s was checked", h->url);
	h->prefix = str_dup(path);
	h->url_host = str_dup(host);
	h->host_names = xcalloc(h->hosts.n + 1, sizeof(*h->host_names));
	for (size_t i = 0; i < h->hosts.n; i++)
		h->host_names[h->host_count++] = h->hosts.v[i];
	if (host.n > 0)
		h->host_names[h->host_count++] = h->url_host;
}

static const char **
strings(const struct option_strings *list)
{
	return (const char **)list->v;
}

static bool
make_tls(struct web_conf *h, char *err, size_t cap)
{
	struct tls_server_settings tls = {
	    .certs = {strings(&h->tls_cert), h->tls_cert.n},
	    .keys = {strings(&h->tls_key), h->tls_key.n}};
	char why[300];

	if (h->tls_cert.n == 0)
		return h->tls_key.n == 0 ||
		       option_refuse(err, cap,
			   "tls_key: requires tls_cert; set the certificate");
	h->tls_server = tls_server_new(&tls, why, sizeof(why));
	return h->tls_server != NULL ||
	       option_refuse(err, cap, "tls_cert: %s", why);
}

bool
web_conf_check(struct web_conf *h, bool unix_only, char *err, size_t cap)
{
	char why[300];

	if (h->address == NULL)
		return option_refuse(err, cap, "address: is missing");
	if (!net_addr_parse(str_from(h->address), &h->addr, why, sizeof(why)))
		return option_refuse(err, cap, "address: %s", why);
	if (!parse_mode(h->socket_mode, &h->mode))
		return option_refuse(
		    err, cap, "socket_mode: is not a file mode");
	if (unix_only && h->addr.ss.ss_family != AF_UNIX)
		return option_refuse(err, cap,
		    "address: must be a Unix socket here (\"unix:/path\"); put "
		    "a reverse proxy in front of it");
	read_nets(&h->clients, &h->nets, &h->net_count);
	read_nets(&h->proxies, &h->proxy_nets, &h->proxy_count);
	read_url(h);
	return make_tls(h, err, cap);
}

void
web_conf_clear(struct web_conf *h)
{
	tls_server_unref(h->tls_server);
	free(h->nets);
	free(h->proxy_nets);
	free(h->prefix);
	free(h->url_host);
	free(h->host_names);
}
