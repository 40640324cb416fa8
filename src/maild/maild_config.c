/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loads weir.conf and checks what the options table cannot: options that depend
 * on each other, and the policies. The text is read once, so that the line that
 * an error names is the line that was read.
 */
#include "config.h"

#include "maild/maild_config.h"

#include "maild/maild_check.h"
#include "os/file.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)

/* What a check needs to complain. */
struct checking {
	struct maild_config *c;
	const char *file;
	struct str text;
	char *err;
	size_t cap;
};

/* The line in which an option of the file's own part is set; 0: nowhere. */
static unsigned
find_line(struct str text, const char *option)
{
	struct str name = str_from(option);

	for (unsigned line = 1; text.n > 0; line++) {
		struct str s = str_trim(str_cut(&text, '\n'));

		if (!str_starts(s, name))
			continue;
		s = str_trim(str_sub(s, name.n, s.n));
		if (str_starts(s, STR("=")))
			return line;
	}
	return 0;
}

/* option: of the file's own part; NULL: none to blame. */
PRINTF_LIKE(3, 4)
static bool
fail(struct checking *k, const char *option, const char *fmt, ...)
{
	unsigned line = option != NULL ? find_line(k->text, option) : 0;
	char where[24] = "", what[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (line > 0)
		snprintf(where, sizeof(where), ":%u", line);
	snprintf(k->err, k->cap, "%s%s: %s%s%s", k->file, where,
	    option != NULL ? option : "", option != NULL ? ": " : "", what);
	return false;
}

PRINTF_LIKE(3, 4)
static bool
fail_listen(
    struct checking *k, const struct maild_listen *l, const char *fmt, ...)
{
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(k->err, k->cap, "%s:%u: listen \"%s\": %s", k->file,
	    l->place.line, l->name, what);
	return false;
}

static bool
check_hostname(struct checking *k)
{
	char name[256], why[200];

	if (k->c->hostname != NULL)
		return true;
	if (gethostname(name, sizeof(name)) != 0)
		name[0] = '\0';
	name[sizeof(name) - 1] = '\0';
	if (!maild_check_hostname(name, why, sizeof(why)))
		return fail(k, NULL,
		    "the machine's name is no host name; add a line "
		    "hostname = \"relay.example.org\"");
	k->c->hostname = xstrdup(name);
	return true;
}

static bool
net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
	char ta[NET_ADDR_TEXT_MAX], tb[NET_ADDR_TEXT_MAX];

	return strcmp(net_addr_format(a, ta), net_addr_format(b, tb)) == 0;
}

static uint16_t
addr_port(const struct net_addr *a)
{
	if (a->ss.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&a->ss)->sin_port);
	if (a->ss.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&a->ss)->sin6_port);
	return 0;
}

static bool
check_listen(struct checking *k, struct maild_listen *l, size_t i)
{
	char why[128];

	if (!net_addr_parse(str_from(l->address), &l->addr, why, sizeof(why)) ||
	    !maild_parse_mode(l->socket_mode, &l->mode))
		return fail_listen(k, l, "address: %s", why);
	/* Port 0 asks the system for a free one. */
	if (l->addr.ss.ss_family != AF_UNIX && addr_port(&l->addr) == 0)
		return true;
	for (size_t j = 0; j < i; j++) {
		const struct maild_listen *other = maild_config_listen(k->c, j);

		if (net_addr_eq(&other->addr, &l->addr))
			return fail_listen(k, l,
			    "address: %s is taken by listen \"%s\" in line %u; "
			    "take one of the two out",
			    l->address, other->name, other->place.line);
	}
	return true;
}

static bool
check_listens(struct checking *k)
{
	struct maild_listen *l = k->c->listen.v, *milter = NULL;

	if (k->c->listen.n == 0)
		return fail(k, NULL,
		    "there is no listen section; add one, as in listen "
		    "\"submission\" { address = \"127.0.0.1:2525\" }");
	for (size_t i = 0; i < k->c->listen.n; i++) {
		if (!check_listen(k, &l[i], i))
			return false;
		if (strncmp(l[i].address, "unix:", 5) == 0 &&
		    strcmp(l[i].address + 5, k->c->control) == 0)
			return fail_listen(k, &l[i],
			    "address: that is the control socket; choose "
			    "another path");
		if (l[i].protocol != MAILD_MILTER)
			continue;
		if (milter != NULL)
			return fail_listen(k, &l[i],
			    "protocol: there is a milter already in line %u, "
			    "and libmilter can be but one; both mail servers "
			    "may use it",
			    milter->place.line);
		milter = &l[i];
	}
	return true;
}

/* Mail would go round in a circle. */
static bool
reaches(const struct net_addr *hop, const struct net_addr *listen)
{
	struct ip to = net_addr_ip(hop), at = net_addr_ip(listen);
	struct ip any = ip_mask(&at, 0);

	if (hop->ss.ss_family == AF_UNIX || listen->ss.ss_family == AF_UNIX)
		return net_addr_eq(hop, listen);
	if (addr_port(hop) != addr_port(listen))
		return false;
	return ip_eq(&to, &at) || (ip_eq(&at, &any) && ip_is_loopback(&to));
}

static bool
check_next_hops(struct checking *k)
{
	const struct option_strings *hops = &k->c->next_hop;

	for (size_t i = 0; i < hops->n; i++) {
		struct net_addr addr;
		char why[128];

		for (size_t j = 0; j < i; j++) {
			if (strcasecmp(hops->v[i], hops->v[j]) == 0)
				return fail(k, "next_hop",
				    "\"%s\" is there twice; take one out",
				    hops->v[i]);
		}
		if (!net_addr_parse(
			str_from(hops->v[i]), &addr, why, sizeof(why)))
			continue; /* a name */
		for (size_t j = 0; j < k->c->listen.n; j++) {
			if (reaches(&addr, &maild_config_listen(k->c, j)->addr))
				return fail(k, "next_hop",
				    "\"%s\" is weir's own listen \"%s\"; name "
				    "the server behind weir",
				    hops->v[i],
				    maild_config_listen(k->c, j)->name);
		}
	}
	return true;
}

static bool
check_networks(struct checking *k)
{
	const struct option_strings *nets = &k->c->bare_newline_allow;

	k->c->bare_newline_nets =
	    xcalloc(nets->n + 1, sizeof(*k->c->bare_newline_nets));
	for (size_t i = 0; i < nets->n; i++) {
		if (!ip_net_parse(
			str_from(nets->v[i]), &k->c->bare_newline_nets[i]))
			return fail(k, "bare_newline_allow",
			    "\"%s\" is not a network", nets->v[i]);
		k->c->bare_newline_net_count++;
	}
	return true;
}

static bool
check_numbers(struct checking *k)
{
	const struct maild_config *c = k->c;

	if (c->retry_max_ms < c->retry_min_ms)
		return fail(k, "retry_max",
		    "is shorter than retry_min; make it as long or longer");
	if (c->message_timeout_ms < c->data_timeout_ms)
		return fail(k, "message_timeout",
		    "is shorter than data_timeout; make it as long or longer");
	if (c->header_max > c->message_size)
		return fail(k, "header_max",
		    "is more than message_size; make it as much or less");
	if (c->client_sessions_max > c->sessions_max)
		return fail(k, "client_sessions_max",
		    "is more than sessions_max; make it as many or less");
	if (c->next_hop_idle > c->next_hop_connections)
		return fail(k, "next_hop_idle",
		    "is more than next_hop_connections; make it as many or "
		    "less");
	return true;
}

/* Presets are as valid as what is written: lowering sessions_max alone is no
 * mistake. */
static void
fit_presets(struct checking *k)
{
	struct maild_config *c = k->c;

	if (c->client_sessions_max > c->sessions_max &&
	    find_line(k->text, "client_sessions_max") == 0)
		c->client_sessions_max = c->sessions_max;
	if (c->next_hop_idle > c->next_hop_connections &&
	    find_line(k->text, "next_hop_idle") == 0)
		c->next_hop_idle = c->next_hop_connections;
	if (c->header_max > c->message_size &&
	    find_line(k->text, "header_max") == 0)
		c->header_max = c->message_size;
	if (c->retry_max_ms < c->retry_min_ms &&
	    find_line(k->text, "retry_max") == 0)
		c->retry_max_ms = c->retry_min_ms;
	if (c->data_timeout_ms > c->message_timeout_ms &&
	    find_line(k->text, "data_timeout") == 0)
		c->data_timeout_ms = c->message_timeout_ms;
}

static bool
check_all(struct checking *k)
{
	fit_presets(k);
	if (!check_hostname(k) || !check_listens(k) || !check_next_hops(k) ||
	    !check_networks(k) || !check_numbers(k))
		return false;
	k->c->policies =
	    policies_new(k->c->policy.v, k->c->policy.n, k->err, k->cap);
	return k->c->policies != NULL;
}

struct maild_config *
maild_config_parse(const char *file, const char *text, char *err, size_t cap)
{
	struct checking k = {
	    .file = file, .text = str_from(text), .err = err, .cap = cap};

	k.c = options_load(&maild_schema, file, text, err, cap);
	if (k.c == NULL || check_all(&k))
		return k.c;
	maild_config_free(k.c);
	return NULL;
}

struct maild_config *
maild_config_load(const char *file, char *err, size_t cap)
{
	struct maild_config *c = NULL;
	struct buf content;
	size_t n;
	char *text;
	int error;

	buf_init(&content, FILE_MAX);
	error = file_read(file, FILE_MAX, &content);
	n = content.len;
	text = buf_take(&content);
	if (error == EFBIG)
		snprintf(err, cap,
		    "%s: larger than 1 MiB; this is not a configuration file",
		    file);
	else if (error != 0)
		snprintf(err, cap,
		    "%s: cannot be read: %s; check the path and who may read "
		    "it",
		    file, strerror(error));
	else if (strlen(text) != n)
		snprintf(err, cap,
		    "%s: holds a zero byte; this is not a configuration file",
		    file);
	else
		c = maild_config_parse(file, text, err, cap);
	free(text);
	return c;
}

void
maild_config_free(struct maild_config *c)
{
	if (c == NULL)
		return;
	if (c->policies != NULL)
		policies_free(c->policies);
	free(c->bare_newline_nets);
	options_free(&maild_schema, c);
}
