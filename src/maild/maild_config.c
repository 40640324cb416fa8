/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loads weir.conf and checks what the options table cannot: options that depend
 * on each other, and the policies.
 */
#include "config.h"

#include "maild/maild_config.h"

#include "maild/maild_check.h"
#include "os/priv.h"
#include "os/secret_file.h"
#include "share/seal.h"
#include "smtp/address.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define SECRET_MAX 4096
#define COMMAND_LINE_MAX 2048
/* Postfix waits 5 minutes: milter_content_timeout. */
#define MILTER_ANSWER_MAX_MS 240000

/* What a check needs to complain. */
struct checking {
	struct maild_config *c;
	const char *file;
	char *err;
	size_t cap;
};

/* option: of the file's own part; NULL: none to blame. */
PRINTF_LIKE(3, 4)
static bool
fail(struct checking *k, const char *option, const char *fmt, ...)
{
	unsigned line =
	    option != NULL ? options_line(&maild_schema, k->c, option) : 0;
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

/* In words for the administrator: where, which section, what. */
PRINTF_LIKE(5, 6)
static bool
fail_section(struct checking *k, const struct option_place *place,
    const char *section, const char *name, const char *fmt, ...)
{
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(k->err, k->cap, "%s:%u: %s \"%s\": %s", k->file, place->line,
	    section, name, what);
	return false;
}

#define FAIL_LISTEN(k, l, ...) \
	fail_section(k, &(l)->place, "listen", (l)->name, __VA_ARGS__)
#define FAIL_ALERT(k, a, ...) \
	fail_section(k, &(a)->place, "alert", (a)->name, __VA_ARGS__)
#define FAIL_HTTP(k, h, ...) \
	fail_section(k, &(h)->place, "http", (h)->name, __VA_ARGS__)

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
		    "the machine's name is not a valid host name; add a line "
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
		return FAIL_LISTEN(k, l, "address: %s", why);
	/* Port 0 asks the system for a free one. */
	if (l->addr.ss.ss_family != AF_UNIX && addr_port(&l->addr) == 0)
		return true;
	for (size_t j = 0; j < i; j++) {
		const struct maild_listen *other = maild_config_listen(k->c, j);

		if (net_addr_eq(&other->addr, &l->addr))
			return FAIL_LISTEN(k, l,
			    "address: %s is already used by listen \"%s\" in "
			    "line %u; remove one of the two",
			    l->address, other->name, other->place.line);
	}
	return true;
}

/* What is put there must have a way out again. */
static bool
check_quarantine(struct checking *k, const struct maild_listen *milter)
{
	const struct maild_config *c = k->c;

	if (milter == NULL || c->milter.hold != MILTER_QUARANTINE ||
	    (c->mta.release != NULL && c->mta.discard != NULL))
		return true;
	return fail(k, NULL,
	    "milter_hold: quarantine needs a release_command and a "
	    "discard_command; for Postfix \"/usr/sbin/postsuper -H - hold\" "
	    "and \"/usr/sbin/postsuper -d - hold\"");
}

/* What is put there must be found first, and have a way out again. */
static bool
check_mta_hold(struct checking *k)
{
	const struct maild_config *c = k->c;

	if (c->mta.hold == NULL ||
	    (c->mta.release != NULL && c->mta.discard != NULL &&
		c->mta.queue != NULL))
		return true;
	return fail(k, NULL,
	    "mta_hold_command needs a queue_command, a release_command and a "
	    "discard_command; for Postfix \"/usr/sbin/postqueue -j\", "
	    "\"/usr/sbin/postsuper -H - hold\" and "
	    "\"/usr/sbin/postsuper -d - hold\"");
}

/* Passed over they would promise what does not hold. */
static bool
check_protocol(struct checking *k, const struct maild_listen *l)
{
	const char *option = l->relay.tls != RELAY_TLS_NONE     ? "tls"
			     : l->relay.auth != RELAY_AUTH_NONE ? "auth"
			     : l->relay.auth_required ? "auth_required"
			     : l->relay.proxy         ? "proxy"
						      : NULL;

	if (l->protocol == MAILD_SMTP || option == NULL)
		return true;
	return FAIL_LISTEN(
	    k, l, "%s: is for protocol = smtp only; remove it", option);
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
		if (!check_listen(k, &l[i], i) || !check_protocol(k, &l[i]))
			return false;
		if (strncmp(l[i].address, "unix:", 5) == 0 &&
		    strcmp(l[i].address + 5, k->c->control) == 0)
			return FAIL_LISTEN(k, &l[i],
			    "address: is the path of the control socket; "
			    "choose another");
		if (l[i].protocol != MAILD_MILTER)
			continue;
		if (milter != NULL)
			return FAIL_LISTEN(k, &l[i],
			    "protocol: there is already a milter in line %u, "
			    "and libmilter supports only one; several mail "
			    "servers can share it",
			    milter->place.line);
		milter = &l[i];
	}
	return check_quarantine(k, milter) && check_mta_hold(k);
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
		struct str hop = str_from(hops->v[i]);
		struct net_addr addr;
		char why[128];

		for (size_t j = 0; j < i; j++) {
			if (strcasecmp(hops->v[i], hops->v[j]) == 0)
				return fail(k, "next_hop",
				    "\"%s\" is given twice; remove one",
				    hops->v[i]);
		}
		if (str_starts(hop, STR("lmtp:")))
			hop = str_sub(hop, sizeof("lmtp:") - 1, hop.n);
		if (!net_addr_parse(hop, &addr, why, sizeof(why)))
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
read_networks(struct checking *k, const char *option,
    const struct option_strings *texts, const struct ip_net **nets,
    size_t *count)
{
	struct ip_net *made = xcalloc(texts->n + 1, sizeof(*made));

	*nets = made;
	for (size_t i = 0; i < texts->n; i++) {
		if (!ip_net_parse(str_from(texts->v[i]), &made[i]))
			return fail(
			    k, option, "\"%s\" is not a network", texts->v[i]);
		++*count;
	}
	return true;
}

/* Where nothing is set: the users as which the mail servers of Debian ask. */
static const char *const usual_users[] = {"postfix", "smmsp"};

/* Who may use milter and policy service. A user that this machine does not have
 * is nobody: a list fits several machines. */
static bool
check_peers(struct checking *k)
{
	struct maild_config *c = k->c;
	struct maild_listen *l = c->listen.v;
	const char *const *names = (const char *const *)c->socket_users.v;
	size_t n = c->socket_users.n, count;
	gid_t gid;

	if (n == 0) {
		names = usual_users;
		n = ARRAY_LEN(usual_users);
	}
	c->socket_uids = xcalloc(n, sizeof(*c->socket_uids));
	for (size_t i = 0; i < n; i++) {
		uid_t *uid = &c->socket_uids[c->socket_uid_count];
		uint64_t number;

		if (priv_find_user(names[i], uid, &gid)) {
			c->socket_uid_count++;
		} else if (str_to_u64(str_from(names[i]), &number) &&
			   number <= UINT32_MAX) {
			*uid = (uid_t)number;
			c->socket_uid_count++;
		}
	}
	for (size_t i = 0; i < c->listen.n; i++) {
		const struct ip_net *nets;

		if (l[i].protocol == MAILD_SMTP && l[i].clients.n > 0)
			return FAIL_LISTEN(k, &l[i],
			    "clients: is for protocol = milter and policy; "
			    "remove it");
		count = 0;
		if (!read_networks(k, "clients", &l[i].clients, &nets, &count))
			return false;
		l[i].peers = (struct peer_rules){.uids = c->socket_uids,
		    .uid_count = c->socket_uid_count,
		    .nets = nets,
		    .net_count = count};
	}
	return true;
}

static bool
read_my_networks(struct checking *k)
{
	struct maild_config *c = k->c;
	struct ip_net *nets;

	if (c->my_networks.n > 0)
		return read_networks(k, "my_networks", &c->my_networks,
		    &c->relay.my_nets, &c->relay.my_net_count);
	c->relay.my_nets = nets = xcalloc(2, sizeof(*nets));
	c->relay.my_net_count = 2;
	return ip_net_parse(STR("127.0.0.0/8"), &nets[0]) &&
	       ip_net_parse(STR("::1"), &nets[1]);
}

static bool
check_networks(struct checking *k)
{
	struct maild_config *c = k->c;

	return read_networks(k, "bare_newline_allow", &c->bare_newline_allow,
		   &c->relay.bare_newline_nets,
		   &c->relay.bare_newline_net_count) &&
	       read_networks(k, "lenient_from", &c->lenient_from,
		   &c->relay.lenient_nets, &c->relay.lenient_net_count) &&
	       read_networks(k, "xclient_from", &c->xclient_from,
		   &c->relay.xclient_nets, &c->relay.xclient_net_count) &&
	       read_networks(k, "proxy_from", &c->proxy_from,
		   &c->relay.proxy_nets, &c->relay.proxy_net_count) &&
	       read_networks(k, "trace_clients", &c->trace_clients,
		   &c->trace_nets, &c->trace_net_count) &&
	       read_my_networks(k);
}

static bool
check_listen_login(struct checking *k, const struct maild_listen *l)
{
	if (l->relay.auth == RELAY_AUTH_DOVECOT && k->c->auth_socket == NULL)
		return FAIL_LISTEN(k, l,
		    "auth: dovecot requires the option auth_socket; set it to "
		    "Dovecot's socket, as in "
		    "\"unix:/run/dovecot/auth-client\"");
	if (l->relay.auth_required && l->relay.auth == RELAY_AUTH_NONE)
		return FAIL_LISTEN(k, l,
		    "auth_required: no client could log in; set auth to pass "
		    "or dovecot");
	if (l->relay.proxy && k->c->proxy_from.n == 0)
		return FAIL_LISTEN(k, l,
		    "proxy: requires the option proxy_from; set it to the "
		    "proxies' addresses");
	return true;
}

static bool
check_login(struct checking *k)
{
	struct maild_config *c = k->c;
	char why[400];

	for (size_t i = 0; i < c->listen.n; i++) {
		if (!check_listen_login(k, maild_config_listen(c, i)))
			return false;
	}
	if (c->auth_socket != NULL && !net_addr_parse(str_from(c->auth_socket),
					  &c->auth_addr, why, sizeof(why)))
		return fail(k, "auth_socket", "%s", why);
	if (c->next_hop_auth == NULL)
		return true;
	c->hop.credentials = credentials_load(c->next_hop_auth,
	    (const char *const *)c->next_hop.v, c->next_hop.n, why,
	    sizeof(why));
	return c->hop.credentials != NULL ||
	       fail(k, "next_hop_auth", "%s", why);
}

static bool
check_numbers(struct checking *k)
{
	const struct maild_config *c = k->c;

	if (c->delivery.retry_max_ms < c->delivery.retry_min_ms)
		return fail(k, "retry_max",
		    "is shorter than retry_min; make it as long or longer");
	if (c->relay.limits.message_timeout_ms <
	    c->relay.limits.data_timeout_ms)
		return fail(k, "message_timeout",
		    "is shorter than data_timeout; make it as long or longer");
	if (c->header_max > c->relay.message_size_max)
		return fail(k, "header_max",
		    "is more than message_size; make it as much or less");
	if (c->relay.client_sessions_max > c->relay.sessions_max)
		return fail(k, "client_sessions_max",
		    "is more than sessions_max; make it as many or less");
	if (c->hop.idle_max > c->hop.connections_max)
		return fail(k, "next_hop_idle",
		    "is more than next_hop_connections; make it as many or "
		    "less");
	return true;
}

static bool
is_given(const struct checking *k, const char *option)
{
	return options_line(&maild_schema, k->c, option) != 0;
}

/* Presets are as valid as what is written: lowering sessions_max alone is no
 * mistake. */
static void
fit_presets(struct checking *k)
{
	struct maild_config *c = k->c;
	struct policy_conf *policies = c->policy.v;

	for (size_t i = 0; i < c->policy.n; i++)
		policy_conf_fill(&policies[i]);
	if (c->relay.client_sessions_max > c->relay.sessions_max &&
	    !is_given(k, "client_sessions_max"))
		c->relay.client_sessions_max = c->relay.sessions_max;
	if (c->hop.idle_max > c->hop.connections_max &&
	    !is_given(k, "next_hop_idle"))
		c->hop.idle_max = c->hop.connections_max;
	if (c->header_max > c->relay.message_size_max &&
	    !is_given(k, "header_max"))
		c->header_max = c->relay.message_size_max;
	if (c->delivery.retry_max_ms < c->delivery.retry_min_ms &&
	    !is_given(k, "retry_max"))
		c->delivery.retry_max_ms = c->delivery.retry_min_ms;
	if (c->relay.limits.data_timeout_ms >
		c->relay.limits.message_timeout_ms &&
	    !is_given(k, "data_timeout"))
		c->relay.limits.data_timeout_ms =
		    c->relay.limits.message_timeout_ms;
}

static struct tls_strings
strings(const struct option_strings *s)
{
	return (struct tls_strings){(const char *const *)s->v, s->n};
}

static bool
check_client_cert(struct checking *k, const struct maild_listen *l)
{
	if (l->tls_client_cert == 0)
		return true;
	if (l->tls_client_ca == NULL && l->tls_client_account.n == 0)
		return FAIL_LISTEN(k, l,
		    "tls_client_cert: no certificate would be accepted; set "
		    "tls_client_ca or tls_client_account");
	if (l->relay.tls != RELAY_TLS_REQUIRE &&
	    l->relay.tls != RELAY_TLS_IMPLICIT)
		return FAIL_LISTEN(k, l,
		    "tls_client_cert: a client without TLS presents none; set "
		    "tls to require or implicit");
	return true;
}

static bool
check_listen_tls(struct checking *k, struct maild_listen *l)
{
	bool own = l->tls_cert.n > 0;
	struct tls_server_settings settings = {
	    .certs = strings(own ? &l->tls_cert : &k->c->tls_cert),
	    .keys = strings(own ? &l->tls_key : &k->c->tls_key),
	    .client_ca = l->tls_client_ca,
	    .client_accounts = strings(&l->tls_client_account),
	    .client_required = l->tls_client_cert != 0,
	    .min_version = 10 + l->tls_min_version,
	};
	char why[300];

	if (!check_client_cert(k, l))
		return false;
	if (l->relay.tls == RELAY_TLS_NONE)
		return true;
	if (settings.certs.n == 0)
		return FAIL_LISTEN(k, l,
		    "tls: there is no certificate; add a line tls_cert = "
		    "\"/path/to/file.pem\"");
	l->relay.tls_server = tls_server_new(&settings, why, sizeof(why));
	if (l->relay.tls_server == NULL)
		return FAIL_LISTEN(k, l, "tls: %s", why);
	return true;
}

static bool
check_hop_tls(struct checking *k)
{
	struct maild_config *c = k->c;
	struct tls_client_settings settings = {
	    .verify = c->next_hop_tls == MAILD_HOP_TLS_VERIFY,
	    .ca_file = c->next_hop_tls_ca,
	    .fingerprints = strings(&c->next_hop_tls_fingerprint),
	};
	char why[300];

	if (c->hop.tls.implicit && c->next_hop_tls < MAILD_HOP_TLS_REQUIRE)
		return fail(k, "next_hop_tls_implicit",
		    "requires next_hop_tls = require or verify");
	for (size_t i = 0; i < c->next_hop.n; i++) {
		if (settings.verify && settings.fingerprints.n == 0 &&
		    c->hop.tls.name == NULL &&
		    strncmp(c->next_hop.v[i], "unix:", 5) == 0)
			return fail(k, "next_hop_tls",
			    "a Unix socket has no name to verify; add a line "
			    "next_hop_tls_name = \"mx.example.org\"");
	}
	if (c->next_hop_tls == MAILD_HOP_TLS_NONE)
		return true;
	c->hop.tls.client = tls_client_new(&settings, why, sizeof(why));
	if (c->hop.tls.client == NULL)
		return fail(k, "next_hop_tls", "%s", why);
	return true;
}

/* Another section has the address: which one; NULL: none. */
static const char *
address_owner(struct checking *k, const struct web_conf *h, size_t i)
{
	if (h->addr.ss.ss_family != AF_UNIX && addr_port(&h->addr) == 0)
		return NULL;
	if (strncmp(h->address, "unix:", 5) == 0 &&
	    strcmp(h->address + 5, k->c->control) == 0)
		return "control";
	for (size_t j = 0; j < k->c->listen.n; j++) {
		if (net_addr_eq(&maild_config_listen(k->c, j)->addr, &h->addr))
			return maild_config_listen(k->c, j)->name;
	}
	for (size_t j = 0; j < i; j++) {
		if (net_addr_eq(&maild_config_http(k->c, j)->addr, &h->addr))
			return maild_config_http(k->c, j)->name;
	}
	return NULL;
}

static bool
check_http(struct checking *k, struct web_conf *h, size_t i)
{
	const char *owner;
	char why[400];

	if (!web_conf_check(h, false, why, sizeof(why)))
		return FAIL_HTTP(k, h, "%s", why);
	owner = address_owner(k, h, i);
	if (owner != NULL)
		return FAIL_HTTP(k, h,
		    "address: %s is already used by \"%s\"; choose another",
		    h->address, owner);
	return true;
}

static bool
check_https(struct checking *k)
{
	struct web_conf *h = k->c->http.v;

	for (size_t i = 0; i < k->c->http.n; i++) {
		if (!check_http(k, &h[i], i))
			return false;
	}
	return true;
}

static bool
check_tls(struct checking *k)
{
	struct maild_listen *l = k->c->listen.v;

	for (size_t i = 0; i < k->c->listen.n; i++) {
		if (!check_listen_tls(k, &l[i]))
			return false;
	}
	return check_hop_tls(k);
}

static bool
read_locals(struct checking *k, const char *option,
    const struct option_strings *list,
    bool (*add)(struct locals *l, struct str entry, char *err, size_t cap))
{
	char why[300];

	for (size_t i = 0; i < list->n; i++) {
		if (!add(k->c->gate.locals, str_from(list->v[i]), why,
			sizeof(why)))
			return fail(
			    k, option, "\"%.80s\": %s", list->v[i], why);
	}
	return true;
}

/* Whose mail comes in, where a policy is to learn from it. */
static bool
check_inbound(struct checking *k)
{
	struct maild_config *c = k->c;
	const struct policy_conf *policies = c->policy.v;

	for (size_t i = 0; c->local_domains.n == 0 && c->inbound_users.n == 0 &&
			   i < c->policy.n;
	     i++) {
		if (policies[i].learn_inbound)
			return fail_section(k, &policies[i].place, "policy",
			    policies[i].name,
			    "learn_inbound: requires the option local_domains; "
			    "set it to the domains of your own users, as in "
			    "{\"example.org\"}");
	}
	c->gate.locals =
	    locals_new((enum locals_source)c->inbound_source, smtp_address_key);
	for (size_t i = 0; i < c->relay.my_net_count; i++)
		locals_add_network(c->gate.locals, &c->relay.my_nets[i]);
	locals_clear_internal(c->gate.locals);
	return read_locals(
		   k, "local_domains", &c->local_domains, locals_add_domain) &&
	       read_locals(k, "internal_domains", &c->internal_domains,
		   locals_add_internal) &&
	       read_locals(
		   k, "inbound_users", &c->inbound_users, locals_add_user);
}

static bool
read_senders(struct checking *k, const char *option,
    const struct option_strings *list,
    bool (*add)(struct policies *p, struct str entry, char *err, size_t cap))
{
	char why[300];

	for (size_t i = 0; i < list->n; i++) {
		if (!add(k->c->gate.policies, str_from(list->v[i]), why,
			sizeof(why)))
			return fail(
			    k, option, "\"%.80s\": %s", list->v[i], why);
	}
	return true;
}

static bool
check_signals(struct checking *k)
{
	return read_senders(
		   k, "never_freeze", &k->c->never_freeze, policies_spare) &&
	       read_senders(k, "decoys", &k->c->decoys, policies_add_decoy);
}

/* What a file holds, without the line end behind it. NULL: why is told. */
static char *
read_secret(struct checking *k, const char *option, const char *path,
    bool one_line, size_t *n)
{
	struct buf content;
	char why[300], *text;

	buf_init(&content, SECRET_MAX);
	if (!secret_file_read(path, &content, why, sizeof(why))) {
		(void)!fail(k, option, "%s", why);
		return NULL;
	}
	*n = content.len;
	if (one_line)
		*n = str_index(buf_str(&content), '\n');
	else if (*n > 0 && buf_str(&content).p[*n - 1] == '\n')
		--*n;
	text = str_dup(str_sub(buf_str(&content), 0, *n));
	secret_file_wipe(&content);
	return text;
}

/* path NULL: there is none. */
static bool
read_shared_password(
    struct checking *k, const char *option, const char *path, char **out)
{
	size_t n;

	if (path == NULL)
		return true;
	*out = read_secret(k, option, path, true, &n);
	if (*out == NULL)
		return false;
	return n > 0 || fail(k, option, "%s: its first line is empty", path);
}

static bool
read_shared_secrets(struct checking *k)
{
	struct maild_config *c = k->c;

	if (c->shared_secret_file == NULL)
		return fail(k, "shared",
		    "requires the option shared_secret_file; create one with: "
		    "head -c 32 /dev/urandom | base64 > FILE, and copy it to "
		    "all relays");
	c->shared_secret = read_secret(k, "shared_secret_file",
	    c->shared_secret_file, false, &c->shared_secret_size);
	if (c->shared_secret == NULL)
		return false;
	if (c->shared_secret_size < SEAL_SECRET_MIN)
		return fail(k, "shared_secret_file",
		    "%s: contains less than %d bytes; create one with: head -c "
		    "32 /dev/urandom | base64 > FILE",
		    c->shared_secret_file, SEAL_SECRET_MIN);
	return read_shared_password(k, "shared_password_file",
		   c->shared_password_file, &c->shared_password) &&
	       read_shared_password(k, "shared_sentinel_password_file",
		   c->shared_sentinel_password_file,
		   &c->shared_sentinel_password);
}

static bool
check_shared(struct checking *k)
{
	struct maild_config *c = k->c;
	struct tls_client_settings tls = {
	    .verify = true, .ca_file = c->shared_tls_ca};
	char why[300];

	if (c->shared == NULL)
		return true;
	if (!redis_url_parse(c->shared, &c->shared_url, why, sizeof(why)))
		return fail(k, "shared", "%s", why);
	if (c->shared_user != NULL && c->shared_password_file == NULL)
		return fail(k, "shared_user",
		    "requires the option shared_password_file");
	if (c->shared_sentinel_password_file != NULL &&
	    c->shared_url.kind != REDIS_SENTINEL)
		return fail(k, "shared_sentinel_password_file",
		    "requires sentinels in the option shared; write "
		    "redis+sentinel://HOST:PORT,HOST:PORT/MASTER");
	if (!read_shared_secrets(k))
		return false;
	if (!c->shared_url.is_tls)
		return true;
	c->shared_tls = tls_client_new(&tls, why, sizeof(why));
	return c->shared_tls != NULL || fail(k, "shared", "%s", why);
}

static bool
check_alerts(struct checking *k)
{
	struct alert_conf *v = k->c->alert.v;
	char why[400];

	for (size_t i = 0; i < k->c->alert.n; i++) {
		if (v[i].name[0] == '[' || strlen(v[i].name) > 64)
			return FAIL_ALERT(k, &v[i],
			    "the name must have 1 to 64 bytes and not start "
			    "with [");
		if (!alert_conf_check(&v[i], why, sizeof(why)))
			return FAIL_ALERT(k, &v[i], "%s", why);
	}
	return k->c->alert.n <= ALERT_CONF_MAX ||
	       fail(k, NULL, "more than %d alert sections", ALERT_CONF_MAX);
}

/* What no option says by itself. */
static void
fill_settings(struct maild_config *c)
{
	c->gate.observe = c->mode == MAILD_OBSERVE;
	c->gate.recipient_key = smtp_address_key;
	c->relay.hostname = c->hostname;
	c->relay.dovecot = c->auth_socket != NULL ? &c->auth_addr : NULL;
	c->relay.limits.line_max = COMMAND_LINE_MAX;
	c->relay.limits.data.size_max = c->relay.message_size_max;
	c->relay.limits.data.line_max = (uint32_t)c->line_max;
	c->relay.limits.data.header_max = (uint32_t)c->header_max;
	c->hop.tls.required = c->next_hop_tls >= MAILD_HOP_TLS_REQUIRE;
	c->hop.addresses = (const char *const *)c->next_hop.v;
	c->hop.address_count = c->next_hop.n;
	c->hop.hostname = c->hostname;
	c->hop.timeouts.greeting_ms = c->hop.timeouts.command_ms;
	c->hop.uses_unknown_max = 10; /* see delivery/hop_uses.c */
	c->delivery.hostname = c->hostname;
	c->milter.hostname = c->hostname;
	c->milter.header_max = (uint32_t)c->header_max;
	c->milter.answer_timeout_ms =
	    c->relay.answer_timeout_ms < MILTER_ANSWER_MAX_MS
		? c->relay.answer_timeout_ms
		: MILTER_ANSWER_MAX_MS;
	for (size_t i = 0; i < c->listen.n; i++) {
		struct maild_listen *l = (struct maild_listen *)c->listen.v + i;

		l->relay.tls_timeout_ms = c->hop.tls.timeout_ms;
		if (l->protocol == MAILD_MILTER)
			c->milter.hide_client = l->relay.hide_client;
	}
}

static bool
check_all(struct checking *k)
{
	fit_presets(k);
	if (!check_hostname(k) || !check_listens(k) || !check_next_hops(k) ||
	    !check_networks(k) || !check_peers(k) || !check_numbers(k) ||
	    !check_tls(k) || !check_https(k) || !check_login(k) ||
	    !check_alerts(k) || !check_shared(k))
		return false;
	k->c->gate.policies =
	    policies_new(k->c->policy.v, k->c->policy.n, k->err, k->cap);
	if (k->c->gate.policies == NULL || !check_signals(k) ||
	    !check_inbound(k))
		return false;
	k->c->gate.scopes =
	    scope_rules_new(k->c->scope.v, k->c->scope.n, k->err, k->cap);
	if (k->c->gate.scopes == NULL)
		return false;
	fill_settings(k->c);
	return true;
}

struct maild_config *
maild_config_parse(const char *file, const char *text, char *err, size_t cap)
{
	struct checking k = {.file = file, .err = err, .cap = cap};

	k.c = options_load(&maild_schema, file, text, err, cap);
	if (k.c == NULL)
		return NULL;
	k.c->file = file;
	if (check_all(&k))
		return k.c;
	maild_config_free(k.c);
	return NULL;
}

struct maild_config *
maild_config_load(const char *file, char *err, size_t cap)
{
	return maild_config_parse(file, NULL, err, cap);
}

void
maild_config_free(struct maild_config *c)
{
	struct maild_listen *l;

	if (c == NULL)
		return;
	l = c->listen.v;
	for (size_t i = 0; i < c->listen.n; i++) {
		tls_server_unref(l[i].relay.tls_server);
		free((struct ip_net *)l[i].peers.nets);
	}
	for (size_t i = 0; i < c->http.n; i++)
		web_conf_clear((struct web_conf *)c->http.v + i);
	for (size_t i = 0; i < c->alert.n; i++)
		alert_conf_clear((struct alert_conf *)c->alert.v + i);
	free(c->socket_uids);
	tls_client_unref(c->hop.tls.client);
	tls_client_unref(c->shared_tls);
	if (c->shared_secret != NULL)
		explicit_bzero(c->shared_secret, c->shared_secret_size);
	if (c->shared_password != NULL)
		explicit_bzero(c->shared_password, strlen(c->shared_password));
	if (c->shared_sentinel_password != NULL)
		explicit_bzero(c->shared_sentinel_password,
		    strlen(c->shared_sentinel_password));
	free(c->shared_sentinel_password);
	free(c->shared_secret);
	free(c->shared_password);
	if (c->gate.policies != NULL)
		policies_free(c->gate.policies);
	locals_free(c->gate.locals);
	scope_rules_free(c->gate.scopes);
	free((struct ip_net *)c->relay.bare_newline_nets);
	free((struct ip_net *)c->relay.lenient_nets);
	free((struct ip_net *)c->relay.xclient_nets);
	free((struct ip_net *)c->relay.proxy_nets);
	free((struct ip_net *)c->trace_nets);
	free((struct ip_net *)c->relay.my_nets);
	credentials_free(c->hop.credentials);
	options_free(&maild_schema, c);
}
