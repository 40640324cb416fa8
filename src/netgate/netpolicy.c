/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compiles the policies of one configuration file. The set is immutable; its
 * owner replaces it as a whole and tells the gate, which then holds none of the
 * old. Errors are one line for the administrator.
 */
#include "netgate/netpolicy.h"

#include "netgate/netprofile.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_NAME "default"

struct netpolicies {
	struct netpolicy *v; /* in the order of the file */
	size_t n;
	const struct netpolicy *fallback;
};

PRINTF_LIKE(4, 5)
static bool
fail(const struct netpolicy_conf *conf, char *err, size_t cap, const char *fmt,
    ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(err, cap, "%s:%u: policy \"%s\": %s",
	    conf->place.file != NULL ? conf->place.file : "-", conf->place.line,
	    conf->name, what);
	return false;
}

bool
netpolicy_check_network(const char *text, char *err, size_t cap)
{
	struct ip_net net;

	if (ip_net_parse(str_from(text), &net))
		return true;
	snprintf(err, cap,
	    "is not a network; write it as \"192.0.2.0/24\" with no bits set "
	    "past its length");
	return false;
}

static bool
parse_ports(struct str s, struct netpolicy_allow *out)
{
	struct str low = str_cut(&s, '-');
	uint64_t a, b;

	if (!str_to_u64(low, &a) || a > UINT16_MAX)
		return false;
	b = a;
	if (s.n > 0 && (!str_to_u64(s, &b) || b > UINT16_MAX))
		return false;
	out->low = (uint16_t)a;
	out->high = (uint16_t)b;
	return a <= b;
}

bool
netpolicy_parse_allow(
    struct str text, struct netpolicy_allow *out, char *err, size_t cap)
{
	struct str rest = str_trim(text), protocol = str_cut(&rest, ' ');
	struct str net, ports;

	rest = str_trim(rest);
	net = str_cut(&rest, ' ');
	ports = str_trim(rest);
	*out = (struct netpolicy_allow){.high = UINT16_MAX};
	if (str_eq(protocol, STR("tcp")))
		out->protocol = IPPROTO_TCP;
	else if (str_eq(protocol, STR("udp")))
		out->protocol = IPPROTO_UDP;
	else if (!str_eq(protocol, STR("any")))
		goto bad;
	out->any_net = str_eq(net, STR("any"));
	if (!out->any_net && !ip_net_parse(net, &out->net))
		goto bad;
	if (ports.n == 0 || parse_ports(ports, out))
		return true;
bad:
	snprintf(err, cap,
	    "is not an entry; write \"tcp 192.0.2.0/24 443\", \"udp any 53\" "
	    "or \"any 192.0.2.1\"");
	return false;
}

static uint32_t
either(uint32_t given, uint32_t otherwise)
{
	return given != 0 ? given : otherwise;
}

static bool
add_limit(struct throttle_policy *t, const struct option_rate *rate)
{
	if (rate->count == 0)
		return true;
	if (t->limit_count == THROTTLE_LIMITS_MAX)
		return false;
	t->limits[t->limit_count++] =
	    (struct throttle_limit){rate->count, rate->window_ms};
	return true;
}

/* Numbers that nobody chose a profile for refine the paper's, as ever. */
static enum netpolicy_profile
choose_profile(const struct netpolicy_conf *conf)
{
	if (conf->profile != NETPOLICY_AUTO)
		return (enum netpolicy_profile)conf->profile;
	return conf->working_set == 0 && conf->burst == 0 &&
		       conf->interval_ms == 0 && conf->queue_max == 0 &&
		       conf->freeze_at == throttle_profile_tcp.freeze_at &&
		       conf->freeze_growth.count == 0 && conf->limit.n == 0
		   ? NETPOLICY_WORKSTATION
		   : NETPOLICY_PAPER;
}

static bool
set_throttle(const struct netpolicy_conf *conf,
    const struct netprofile *profile, struct throttle_policy *t)
{
	*t = profile->throttle;
	t->working_set = either(conf->working_set, t->working_set);
	t->burst = either(conf->burst, t->burst);
	t->initial = t->burst;
	t->freeze_at = conf->freeze_at;
	if (conf->queue_max != 0)
		t->queue_max = conf->queue_max;
	else if (t->queue_max < t->freeze_at)
		t->queue_max = t->freeze_at;
	if (conf->interval_ms != 0)
		t->interval_ms = conf->interval_ms;
	if (conf->idle_expiry_ms != 0)
		t->idle_expiry_ms = conf->idle_expiry_ms;
	t->freeze_growth = (struct throttle_limit){
	    conf->freeze_growth.count, conf->freeze_growth.window_ms};
	if (conf->limit.n > 0)
		t->limit_count = 0;
	for (size_t i = 0; i < conf->limit.n; i++) {
		if (!add_limit(t, &conf->limit.v[i]))
			return false;
	}
	return add_limit(t, &conf->no_dns_limit);
}

static void
copy_lists(const struct netpolicy_conf *conf, struct netpolicy *p)
{
	char why[128];

	p->match = xcalloc(conf->match.n + 1, sizeof(*p->match));
	for (size_t i = 0; i < conf->match.n; i++) {
		if (ip_net_parse(
			str_from(conf->match.v[i]), &p->match[p->match_count]))
			p->match_count++;
	}
	p->allow = xcalloc(conf->allow.n + 1, sizeof(*p->allow));
	for (size_t i = 0; i < conf->allow.n; i++) {
		if (netpolicy_parse_allow(str_from(conf->allow.v[i]),
			&p->allow[p->allow_count], why, sizeof(why)))
			p->allow_count++;
	}
}

static bool
compile(const struct netpolicy_conf *conf, struct netpolicy *p, char *err,
    size_t cap)
{
	struct netprofile profile = netprofile_get(choose_profile(conf));
	const char *error;

	if (profile.throttle.paper && conf->burst != 0)
		return fail(conf, err, cap,
		    "burst: the paper's throttle has none; write profile = "
		    "workstation, server or gateway");
	if (!set_throttle(conf, &profile, &p->throttle))
		return fail(conf, err, cap,
		    "no_dns_limit: limit already has four windows; remove one");
	error = throttle_policy_error(&p->throttle);
	if (error != NULL)
		return fail(conf, err, cap, "%s", error);
	p->dns_known = conf->dns_known == NETPOLICY_DNS_AUTO
			   ? profile.dns_known && !conf->exempt
			   : conf->dns_known % 2 == NETPOLICY_DNS_TRUE;
	if (conf->no_dns_limit.count > 0 && !p->dns_known)
		return fail(
		    conf, err, cap, "no_dns_limit needs dns_known = true");
	if (conf->match.n == 0 && strcmp(conf->name, DEFAULT_NAME) != 0)
		return fail(conf, err, cap,
		    "it has no match and would never be used; add match, or "
		    "name it \"" DEFAULT_NAME "\"");
	p->unfrozen = p->throttle;
	p->unfrozen.freeze_at = 0;
	p->unfrozen.freeze_growth.count = 0;
	p->name = xstrdup(conf->name);
	p->exempt = conf->exempt;
	p->count_retries = conf->count_retries;
	p->when_frozen = (enum netpolicy_frozen)conf->when_frozen;
	p->credit = (enum netpolicy_credit)conf->credit;
	p->thaw_after_ms = conf->thaw_after_ms;
	p->inbound_known_ms = conf->inbound_known_ms;
	copy_lists(conf, p);
	return true;
}

static bool
is_taken(const struct netpolicies *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++) {
		if (strcmp(set->v[i].name, name) == 0)
			return true;
	}
	return false;
}

static bool
add(struct netpolicies *set, const struct netpolicy_conf *conf, char *err,
    size_t cap)
{
	struct netpolicy *p = &set->v[set->n];

	if (is_taken(set, conf->name))
		return fail(
		    conf, err, cap, "duplicate policy name; give each its own");
	if (!compile(conf, p, err, cap))
		return false;
	set->n++;
	if (strcmp(p->name, DEFAULT_NAME) == 0)
		set->fallback = p;
	return true;
}

struct netpolicies *
netpolicies_new(
    const struct netpolicy_conf *confs, size_t n, char *err, size_t err_cap)
{
	struct netpolicies *set = xcalloc(1, sizeof(*set));
	char name[] = DEFAULT_NAME;
	struct netpolicy_conf builtin = {
	    .name = name, .freeze_at = throttle_profile_tcp.freeze_at};
	bool ok = true;

	set->v = xcalloc(n + 1, sizeof(*set->v));
	for (size_t i = 0; ok && i < n; i++)
		ok = add(set, &confs[i], err, err_cap);
	if (ok && set->fallback == NULL)
		ok = add(set, &builtin, err, err_cap);
	if (ok)
		return set;
	netpolicies_free(set);
	return NULL;
}

void
netpolicies_free(struct netpolicies *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; i < set->n; i++) {
		free(set->v[i].name);
		free(set->v[i].match);
		free(set->v[i].allow);
	}
	free(set->v);
	free(set);
}

const struct netpolicy *
netpolicies_select(const struct netpolicies *set, const struct ip *source)
{
	for (size_t i = 0; i < set->n; i++) {
		for (size_t j = 0; j < set->v[i].match_count; j++) {
			if (ip_net_has(&set->v[i].match[j], source))
				return &set->v[i];
		}
	}
	return set->fallback;
}

bool
netpolicies_want_dns(const struct netpolicies *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->v[i].dns_known)
			return true;
	}
	return false;
}

bool
netpolicies_want_inbound(const struct netpolicies *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->v[i].inbound_known_ms > 0)
			return true;
	}
	return false;
}

bool
netpolicies_want_outcome(const struct netpolicies *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->v[i].credit != NETPOLICY_CREDIT_OFF)
			return true;
	}
	return false;
}

bool
netpolicies_want_reject(const struct netpolicies *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->v[i].when_frozen == NETPOLICY_REJECT)
			return true;
	}
	return false;
}

bool
netpolicy_allows(const struct netpolicy *p, uint8_t protocol,
    const struct ip *dst, uint16_t dport)
{
	for (size_t i = 0; i < p->allow_count; i++) {
		const struct netpolicy_allow *a = &p->allow[i];

		if ((a->protocol == 0 || a->protocol == protocol) &&
		    (a->any_net || ip_net_has(&a->net, dst)) &&
		    dport >= a->low && dport <= a->high)
			return true;
	}
	return p->allow_count == 0;
}
