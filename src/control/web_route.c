/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a request may reach: the host by which it was asked, where it was asked
 * from, who asks, the route, the right. One place decides each of these.
 */
#include "config.h"

#include "control/web_private.h"

#include "control/request.h"
#include "page/page.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define FILE_PATH_MAX 256

/* ---- hosts ---- */

/* "name:8025" and "[::1]:8025" without the port. */
static struct str
host_name(struct str host)
{
	size_t end = str_rindex(host, ']');

	if (end < host.n)
		return str_sub(host, 0, end + 1);
	return str_sub(host, 0, str_index(host, ':'));
}

static bool
is_our_host(const struct web_exchange *x, struct str host)
{
	struct str name = host_name(host), inner = name;
	struct ip ip;

	if (x->peer_ip.family == IP_NONE || str_ieq(name, STR("localhost")))
		return true;
	if (name.n > 2 && name.p[0] == '[')
		inner = str_sub(name, 1, name.n - 2);
	if (ip_parse(inner, &ip))
		return true;
	for (size_t i = 0; i < x->access->host_count; i++) {
		if (str_ieq(name, str_from(x->access->hosts[i])))
			return true;
	}
	return false;
}

/* ---- clients behind a reverse proxy ---- */

/* The last one that no proxy of ours is: what stands before it anybody may
 * write. */
static void
find_client(struct web_exchange *x)
{
	const struct http_request *q = http_reader_request(x->reader);
	const struct str *field = http_request_field(q, "X-Forwarded-For");
	struct str rest = field != NULL ? *field : STR("");

	x->client_ip = x->peer_ip;
	while (rest.n > 0 && (x->client_ip.family == IP_NONE ||
				 ip_nets_have(x->access->proxies,
				     x->access->proxy_count, &x->client_ip))) {
		size_t comma = str_rindex(rest, ',');
		size_t from = comma < rest.n ? comma + 1 : 0;
		struct ip ip;

		if (x->access->proxy_count == 0 ||
		    !ip_parse(str_trim(str_sub(rest, from, rest.n)), &ip))
			return;
		x->client_ip = ip;
		rest = str_sub(rest, 0, from > 0 ? comma : 0);
	}
}

const struct ip *
web_client(const struct web_exchange *x)
{
	return &x->client_ip;
}

bool
web_peer(const struct web_exchange *x, uid_t *uid, gid_t *gid)
{
	static const char *const forwarded[] = {"X-Forwarded-For",
	    "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via"};
	const struct http_request *q = http_reader_request(x->reader);
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (x->peer_ip.family != IP_NONE || x->access->proxy_count > 0 ||
	    !str_is_empty(str_from(x->access->prefix)))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(forwarded); i++) {
		if (http_request_field(q, forwarded[i]) != NULL)
			return false;
	}
	if (getsockopt(conn_fd(x->conn), SOL_SOCKET, SO_PEERCRED, &peer, &n) !=
		0 ||
	    n != sizeof(peer))
		return false;
	*uid = peer.uid;
	*gid = peer.gid;
	return true;
}

bool
web_is_secure(const struct web_exchange *x)
{
	return x->access->tls != NULL || x->access->is_https;
}

/* ---- from where ---- */

static bool
is_safe(struct str method)
{
	return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD"));
}

/* "https://host:port" of our own host. */
static bool
is_own_origin(struct str origin, struct str host)
{
	size_t skip = str_istarts(origin, STR("http://"))    ? 7
		      : str_istarts(origin, STR("https://")) ? 8
							     : 0;

	return skip > 0 && str_ieq(str_sub(origin, skip, origin.n), host);
}

/* What changes something must not come from a page of another site, whatever
 * proves who asks: a browser may have that by heart. */
static bool
is_cross_site(const struct web_exchange *x)
{
	const struct http_request *q = http_reader_request(x->reader);
	const struct str *site = http_request_field(q, "Sec-Fetch-Site");
	const struct str *origin = http_request_field(q, "Origin");

	if (is_safe(q->method))
		return false;
	if (site != NULL)
		return !str_eq(*site, STR("same-origin")) &&
		       !str_eq(*site, STR("none"));
	if (origin != NULL)
		return !is_own_origin(*origin, q->host);
	return x->who.proof == WEB_SESSION;
}

/* ---- routes ---- */

static bool
is_place(struct str part)
{
	return part.n > 2 && part.p[0] == '{' && part.p[part.n - 1] == '}';
}

/* How many parts of the target's path are the proxy's, which may have cut them
 * off itself. */
static size_t
prefix_length(const struct web_exchange *x)
{
	struct str rest = str_from(x->access->prefix);
	size_t n = 0;

	str_cut(&rest, '/');
	while (rest.n > 0) {
		struct str part = str_cut(&rest, '/');

		if (n >= x->target.segment_count ||
		    !str_eq(part, x->target.segments[n]))
			return 0;
		n++;
	}
	return n;
}

static bool
is_path(const struct web_exchange *x, const char *path, size_t skip)
{
	const struct http_target *t = &x->target;
	struct str rest = str_from(path);

	str_cut(&rest, '/');
	for (size_t i = skip; i < t->segment_count; i++) {
		struct str part = str_cut(&rest, '/');

		if (part.n == 0 ||
		    (!is_place(part) && !str_eq(t->segments[i], part)))
			return false;
	}
	return str_is_empty(rest) && !t->is_folder;
}

static bool
is_method(const struct http_request *q, const char *method)
{
	return str_eq(q->method, str_from(method)) ||
	       (str_eq(q->method, STR("HEAD")) && strcmp(method, "GET") == 0);
}

static void
allow(struct web_exchange *x, const char *method)
{
	size_t n = strlen(x->allow);

	snprintf(x->allow + n, sizeof(x->allow) - n, "%s%s%s",
	    n > 0 ? ", " : "", method,
	    strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

/* A route without a place for a name goes first: "/queue/release" is no
 * "/queue/{id}". */
static const struct web_route *
find_route(struct web_exchange *x, size_t skip)
{
	const struct http_request *q = http_reader_request(x->reader);
	const struct web_route *r = x->web->server.routes, *found = NULL;
	bool is_exact = false;

	for (; r->path != NULL; r++) {
		bool exact = strchr(r->path, '{') == NULL;

		if (!is_path(x, r->path, skip))
			continue;
		if (exact && !is_exact) {
			is_exact = true;
			found = NULL;
			x->allow[0] = '\0';
		}
		if (exact != is_exact)
			continue;
		allow(x, r->method);
		if (found == NULL && is_method(q, r->method))
			found = r;
	}
	return found;
}

const struct web_route *
web_route(const struct web_exchange *x)
{
	return x->route;
}

bool
web_path_part(
    const struct web_exchange *x, size_t i, struct str *name, struct str *value)
{
	struct str rest = str_from(x->route->path);
	size_t parts = 0, at;

	for (const char *p = x->route->path; *p != '\0'; p++)
		parts += *p == '/';
	if (parts > x->target.segment_count)
		panic("web: a path with fewer parts than its route");
	at = x->target.segment_count - parts;
	str_cut(&rest, '/');
	for (; rest.n > 0; at++) {
		struct str part = str_cut(&rest, '/');

		if (!is_place(part) || i-- > 0)
			continue;
		*name = str_sub(part, 1, part.n - 2);
		*value = x->target.segments[at];
		return true;
	}
	return false;
}

/* ---- files ---- */

/* The page's own folder ends in a slash, and nothing else does. */
static const struct page_file *
find_file(const struct web_exchange *x, size_t skip)
{
	const struct http_target *t = &x->target;
	char path[FILE_PATH_MAX] = "/";
	size_t n = 0;

	if (x->web->server.find_file == NULL || !x->access->has_page ||
	    !is_safe(http_reader_request(x->reader)->method) ||
	    (t->is_folder && t->segment_count > skip))
		return NULL;
	for (size_t i = skip; i < t->segment_count; i++) {
		int k;

		/* One that was encoded is no separator. */
		if (str_index(t->segments[i], '/') < t->segments[i].n)
			return NULL;
		k = snprintf(path + n, sizeof(path) - n, "/%.*s",
		    STR_ARG(t->segments[i]));

		if (k < 0 || n + (size_t)k >= sizeof(path))
			return NULL;
		n += (size_t)k;
	}
	return x->web->server.find_file(x->web->server.arg, path);
}

/* ---- rights ---- */

static const char *
right_name(unsigned right)
{
	return right == CONTROL_READ     ? "view"
	       : right == CONTROL_CHANGE ? "operate"
	       : right == CONTROL_ADMIN  ? "admin"
					 : "metrics";
}

/* A browser shows a box of its own for Basic; the page has a better one. */
static void
refuse_nobody(struct web_exchange *x)
{
	const struct http_request *q = http_reader_request(x->reader);
	char seconds[24];

	if (x->who.proof == WEB_BLOCKED) {
		snprintf(seconds, sizeof(seconds), "%lld",
		    (long long)(x->who.retry_ms + 999) / 1000);
		web_set_field(x, "Retry-After", seconds);
		web_refuse(x, 429,
		    "Too many failed logins from this address; try again in "
		    "%s s.",
		    seconds);
		return;
	}
	web_set_field(x, "WWW-Authenticate",
	    http_request_field(q, "Sec-Fetch-Site") != NULL
		? "Bearer realm=\"weir\""
		: "Basic realm=\"weir\", charset=\"UTF-8\"");
	web_refuse(x, 401, "%s",
	    x->who.proof == WEB_DENIED
		? "The token is invalid here or has expired."
		: "This needs a token (weirctl token new) or a login.");
}

static bool
may(struct web_exchange *x, unsigned right)
{
	if (right == WEB_ANYBODY || (x->access->rights & right) != 0)
		return true;
	if (x->who.proof == WEB_NOBODY || x->who.proof == WEB_DENIED ||
	    x->who.proof == WEB_BLOCKED)
		return false;
	/* Who sees everything may see the sums. */
	if (right == WEB_METRICS)
		return (x->who.rights & CONTROL_READ) != 0 &&
		       x->who.domain[0] == '\0';
	return right == WEB_LOGIN || (x->who.rights & right) != 0;
}

static bool
is_known(const struct web_exchange *x)
{
	return x->who.proof == WEB_PEER || x->who.proof == WEB_TOKEN ||
	       x->who.proof == WEB_SESSION;
}

static void
run_route(struct web_exchange *x, int64_t now)
{
	unsigned right = x->route->right;

	if (may(x, right))
		x->route->run(x, now);
	else if (x->web->server.identify == NULL)
		web_refuse(x, 403,
		    "The http section \"%s\" does not grant this right.",
		    x->access->name);
	else if (!is_known(x))
		refuse_nobody(x);
	else
		web_refuse(x, 403,
		    "This needs the right \"%s\", which %s does not have.",
		    right_name(right), x->who.name);
}

static void
route(struct web_exchange *x, int64_t now)
{
	const struct http_request *q = http_reader_request(x->reader);
	const struct page_file *file;
	size_t skip = prefix_length(x);

	x->route = find_route(x, skip);
	if (x->route != NULL)
		run_route(x, now);
	else if (x->allow[0] != '\0')
		web_refuse(x, 405, "This path does not support %.*s.",
		    STR_ARG(q->method));
	else if ((file = find_file(x, skip)) != NULL)
		web_answer_file(x, file);
	else
		web_refuse(x, 404, "Nothing at this path.");
}

void
web_answer_request(struct web_exchange *x, int64_t now)
{
	const struct http_request *q = http_reader_request(x->reader);
	const char *why;

	x->who = (struct web_who){.proof = WEB_NOBODY};
	if (x->access->is_closed) {
		web_refuse(x, 403,
		    "The http section \"%s\" is no longer in the "
		    "configuration.",
		    x->access->name);
		return;
	}
	find_client(x);
	if (x->web->server.identify != NULL)
		x->web->server.identify(x, &x->who, now);
	if (!is_our_host(x, q->host) && x->who.proof != WEB_TOKEN)
		web_refuse(x, 421,
		    "Unknown host name; list it in hosts of the http section "
		    "\"%s\".",
		    x->access->name);
	else if (is_cross_site(x))
		web_refuse(x, 403,
		    "Requests from pages of other sites may not change "
		    "anything.");
	else if (!http_target_parse(q->target, &x->target, &why))
		web_refuse(x, 400, "%s", why);
	else
		route(x, now);
}
