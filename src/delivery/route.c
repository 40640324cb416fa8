/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A target is what the configuration names; its endpoints are the addresses
 * behind it: one for a numeric or Unix address, up to ROUTE_ENDPOINTS_MAX for a
 * name. Endpoints are found again by their address, so that nothing points into
 * a table which the next DNS answer or a reload replaces.
 */
#include "delivery/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_MAX 200
/* evdns does not tell a record's time to live. */
#define NAME_FRESH_MS 60000
#define NAME_AGAIN_MS 10000 /* after no answer, with older addresses */

static const struct str LMTP = STR("lmtp:");

struct endpoint {
	struct net_addr addr;
	int64_t rest_until, rest_ms;
	bool is_up, is_down; /* neither: not tried yet */
};

struct target {
	char *text;
	char *host; /* NULL: numeric or Unix */
	uint16_t port;
	bool lmtp, resolving;
	int64_t fresh_until; /* names; INT64_MAX for others */
	int64_t rest_until;  /* of a name that does not resolve */
	int64_t rest_ms;
	char why[REASON_MAX]; /* the last failure of any of it */
	struct endpoint endpoints[ROUTE_ENDPOINTS_MAX];
	size_t count;
};

struct route {
	size_t count;
	struct target targets[ROUTE_TARGETS_MAX];
};

/* Letters, digits, '-', '.', '_': what a resolver may be asked for. */
static bool
is_host_name(struct str s)
{
	bool letter = false;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!alpha && !(c >= '0' && c <= '9') && c != '-' && c != '.' &&
		    c != '_')
			return false;
		letter = letter || alpha;
	}
	/* Without a letter it is a numeric address gone wrong. */
	return letter && s.n <= 253 && s.p[0] != '.' && s.p[0] != '-';
}

bool
route_is_lmtp(const char *name)
{
	return str_starts(str_from(name), LMTP);
}

static bool
init_target(struct target *t, const char *text, char *err, size_t err_cap)
{
	struct str s = str_from(text), host;
	char why[160];

	t->text = xstrdup(text);
	t->lmtp = route_is_lmtp(text);
	if (t->lmtp)
		s = str_sub(s, LMTP.n, s.n);
	if (net_addr_parse(s, &t->endpoints[0].addr, why, sizeof(why))) {
		t->count = 1;
		t->fresh_until = INT64_MAX;
		return true;
	}
	if (net_addr_split(s, &host, &t->port) && is_host_name(host)) {
		t->host = str_dup(host);
		t->fresh_until = INT64_MIN;
		return true;
	}
	snprintf(err, err_cap, "next hop \"%.200s\": %s", text, why);
	return false;
}

struct route *
route_new(const char *const *addresses, size_t count, char *err, size_t err_cap)
{
	struct route *r;

	if (count == 0 || count > ROUTE_TARGETS_MAX) {
		snprintf(err, err_cap, "next hop: 1 to %d addresses, not %zu",
		    ROUTE_TARGETS_MAX, count);
		return NULL;
	}
	r = xcalloc(1, sizeof(*r));
	for (; r->count < count; r->count++) {
		if (!init_target(&r->targets[r->count], addresses[r->count],
			err, err_cap)) {
			r->count++;
			route_free(r);
			return NULL;
		}
	}
	return r;
}

void
route_free(struct route *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->count; i++) {
		free(r->targets[i].text);
		free(r->targets[i].host);
	}
	free(r);
}

bool
route_equals(const struct route *r, const char *const *addresses, size_t count)
{
	if (r->count != count)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(r->targets[i].text, addresses[i]) != 0)
			return false;
	}
	return true;
}

static void
name_endpoint(const struct target *t, const struct net_addr *addr,
    char out[ROUTE_NAME_MAX])
{
	char text[IP_TEXT_MAX];
	struct ip ip;

	if (t->host == NULL) {
		str_copy(str_from(t->text), out, ROUTE_NAME_MAX);
		return;
	}
	ip = net_addr_ip(addr);
	ip_format(&ip, text);
	snprintf(out, ROUTE_NAME_MAX, "%s%s[%s]:%u", t->lmtp ? LMTP.p : "",
	    t->host, text, (unsigned)t->port);
}

static void
name_host(const struct target *t, const struct net_addr *addr,
    char out[ROUTE_HOST_MAX])
{
	char text[IP_TEXT_MAX];
	struct ip ip = net_addr_ip(addr);

	out[0] = '\0';
	if (t->host != NULL)
		str_copy(str_from(t->host), out, ROUTE_HOST_MAX);
	else if (ip.family != IP_NONE)
		str_copy(str_from(ip_format(&ip, text)), out, ROUTE_HOST_MAX);
}

static enum route_step
next_of_target(struct target *t, uint16_t *tried, int64_t now, bool resting_too,
    struct route_choice *out)
{
	if (*tried == UINT16_MAX)
		return ROUTE_NONE;
	if (t->fresh_until <= now && *tried == 0) {
		if (t->rest_until > now && !resting_too)
			return ROUTE_NONE;
		return ROUTE_RESOLVE;
	}
	for (size_t j = 0; j < t->count; j++) {
		struct endpoint *e = &t->endpoints[j];

		if ((*tried >> j & 1) != 0 ||
		    (e->rest_until > now && !resting_too))
			continue;
		*tried |= (uint16_t)(1u << j);
		if (e->is_down && !resting_too)
			e->rest_until = now + e->rest_ms;
		out->addr = e->addr;
		name_endpoint(t, &e->addr, out->name);
		name_host(t, &e->addr, out->host);
		return ROUTE_CONNECT;
	}
	return ROUTE_NONE;
}

enum route_step
route_next(struct route *r, struct route_cursor *cursor, int64_t now,
    struct route_choice *out)
{
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < r->count; i++) {
			enum route_step step = next_of_target(&r->targets[i],
			    &cursor->tried[i], now, pass == 1, out);

			out->target = i;
			if (step != ROUTE_NONE)
				return step;
		}
	}
	return ROUTE_NONE;
}

static bool
target_has_other(const struct target *t, uint16_t tried, int64_t now)
{
	if (t->count == 0)
		return tried == 0 && t->rest_until <= now;
	for (size_t j = 0; j < t->count; j++) {
		if ((tried >> j & 1) == 0 && t->endpoints[j].rest_until <= now)
			return true;
	}
	return false;
}

bool
route_has_other(
    const struct route *r, const struct route_cursor *cursor, int64_t now)
{
	for (size_t i = 0; i < r->count; i++) {
		if (target_has_other(&r->targets[i], cursor->tried[i], now))
			return true;
	}
	return false;
}

void
route_skip(struct route_cursor *cursor, size_t target)
{
	cursor->tried[target] = UINT16_MAX;
}

const char *
route_text(const struct route *r, size_t target)
{
	return r->targets[target].text;
}

const char *
route_host(const struct route *r, size_t target, uint16_t *port)
{
	*port = r->targets[target].port;
	return r->targets[target].host;
}

bool
route_begin_resolve(struct route *r, size_t target)
{
	bool first = !r->targets[target].resolving;

	r->targets[target].resolving = true;
	return first;
}

static bool
same_addr(const struct net_addr *a, const struct net_addr *b)
{
	return a->len == b->len && memcmp(&a->ss, &b->ss, a->len) == 0;
}

static struct endpoint *
find_endpoint(struct target *t, const struct net_addr *addr)
{
	for (size_t j = 0; j < t->count; j++) {
		if (same_addr(&t->endpoints[j].addr, addr))
			return &t->endpoints[j];
	}
	return NULL;
}

/* What is known of an address outlives the next answer that has it. */
static void
set_endpoints(struct target *t, const struct net_addr *addrs, size_t n)
{
	struct endpoint now[ROUTE_ENDPOINTS_MAX] = {0};

	if (n > ROUTE_ENDPOINTS_MAX)
		n = ROUTE_ENDPOINTS_MAX;
	for (size_t i = 0; i < n; i++) {
		const struct endpoint *was = find_endpoint(t, &addrs[i]);

		now[i] =
		    was != NULL ? *was : (struct endpoint){.addr = addrs[i]};
	}
	memcpy(t->endpoints, now, n * sizeof(now[0]));
	t->count = n;
}

bool
route_end_resolve(struct route *r, size_t target, const struct net_addr *addrs,
    size_t n, int64_t now, int64_t rest_ms)
{
	struct target *t = &r->targets[target];

	t->resolving = false;
	if (n > 0) {
		set_endpoints(t, addrs, n);
		t->fresh_until = now + NAME_FRESH_MS;
	} else if (t->count > 0) {
		t->fresh_until = now + NAME_AGAIN_MS;
	} else {
		t->rest_until = now + rest_ms;
		t->rest_ms = rest_ms;
	}
	return t->count > 0;
}

void
route_forget_names(struct route *r)
{
	for (size_t i = 0; i < r->count; i++) {
		if (r->targets[i].host == NULL)
			continue;
		r->targets[i].fresh_until = INT64_MIN;
		r->targets[i].rest_until = 0;
	}
}

static struct endpoint *
find(struct route *r, const struct net_addr *addr)
{
	for (size_t i = 0; i < r->count; i++) {
		struct endpoint *e = find_endpoint(&r->targets[i], addr);

		if (e != NULL)
			return e;
	}
	return NULL;
}

bool
route_set_up(struct route *r, const struct net_addr *addr)
{
	struct endpoint *e = find(r, addr);
	bool news;

	if (e == NULL)
		return false;
	news = !e->is_up;
	e->is_up = true;
	e->is_down = false;
	e->rest_until = 0;
	return news;
}

bool
route_set_down(
    struct route *r, const struct net_addr *addr, int64_t now, int64_t rest_ms)
{
	struct endpoint *e = find(r, addr);
	bool news;

	if (e == NULL)
		return false;
	news = !e->is_down;
	e->is_up = false;
	e->is_down = true;
	e->rest_ms = rest_ms;
	e->rest_until = now + rest_ms;
	return news;
}

void
route_set_target_reason(struct route *r, size_t target, const char *why)
{
	str_copy(str_from(why), r->targets[target].why, REASON_MAX);
}

void
route_set_reason(struct route *r, const struct net_addr *addr, const char *why)
{
	for (size_t i = 0; i < r->count; i++) {
		if (find_endpoint(&r->targets[i], addr) != NULL)
			route_set_target_reason(r, i, why);
	}
}

/* at: an endpoint, or past the last the name itself where it has none. */
static bool
fill_place(const struct target *t, size_t at, struct route_place *out)
{
	const struct endpoint *e = &t->endpoints[at];

	if (at < t->count) {
		name_endpoint(t, &e->addr, out->name);
		out->health = e->is_down ? ROUTE_DOWN
			      : e->is_up ? ROUTE_UP
					 : ROUTE_UNTRIED;
		out->rest_until = e->rest_until;
		out->failed_at = e->rest_until - e->rest_ms;
	} else if (at == 0) {
		(void)str_copy(str_from(t->text), out->name, sizeof(out->name));
		out->health = t->rest_until > 0 ? ROUTE_DOWN : ROUTE_UNTRIED;
		out->rest_until = t->rest_until;
		out->failed_at = t->rest_until - t->rest_ms;
	} else {
		return false;
	}
	out->why = out->health == ROUTE_DOWN ? t->why : "";
	return true;
}

bool
route_each(const struct route *r, size_t *pos, struct route_place *out)
{
	while (*pos < r->count * ROUTE_ENDPOINTS_MAX) {
		const struct target *t =
		    &r->targets[*pos / ROUTE_ENDPOINTS_MAX];
		size_t at = (*pos)++ % ROUTE_ENDPOINTS_MAX;

		if (fill_place(t, at, out))
			return true;
	}
	return false;
}

bool
route_look(const struct route *r, size_t target, bool *is_down)
{
	const struct target *t;
	size_t down = 0;

	if (target >= r->count)
		return false;
	t = &r->targets[target];
	for (size_t i = 0; i < t->count; i++)
		down += t->endpoints[i].is_down;
	*is_down = t->count > 0 ? down == t->count : t->rest_until > 0;
	return true;
}
