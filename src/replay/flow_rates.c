/* SPDX-License-Identifier: BSD-3-Clause */
/* See flow_rates.h. */
#include "replay/flow_rates.h"

#include "packet/dns.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX 65535
#define SHARE 0.999
#define DNS_PORT 53
#define SECOND INT64_C(1000)

const int64_t flow_rates_window_ms[FLOW_RATES_WINDOWS] = {
    SECOND, 5 * SECOND, 60 * SECOND};

/* How often a window had so many. */
struct histogram {
	uint64_t *v;
	uint64_t n;
};

struct counting {
	const struct flows *f;
	int64_t window_ms;
	struct map *seen;  /* host and destination: the last window, from 1 */
	struct map *named; /* the same: until when, ms; NULL: all count */
	uint32_t *count;   /* by host: in its window */
	int64_t *window;
	struct histogram hosts, together;
	uint32_t together_count;
	int64_t together_window;
};

static struct str
pair_key(const uint32_t pair[2])
{
	return (struct str){(const char *)pair, 2 * sizeof(*pair)};
}

static void
note(struct histogram *h, uint32_t count)
{
	h->v[count < COUNT_MAX ? count : COUNT_MAX]++;
	h->n++;
}

/* The least that so many windows do not pass; those in which nothing was
 * contacted are windows, too. */
static uint32_t
percentile(const struct histogram *h, uint64_t windows)
{
	uint64_t zeros = windows > h->n ? windows - h->n : 0;
	double below = (double)zeros, all = below + (double)h->n;
	uint32_t count = 0;

	while (below < SHARE * all && count < COUNT_MAX)
		below += (double)h->v[++count];
	return count;
}

/* ---- who is known ---- */

struct learning {
	struct counting *c;
	uint32_t host;
	int64_t now;
};

static bool
number_of(const struct flows *f, const struct ip *ip, uint32_t *out)
{
	char text[IP_TEXT_MAX];
	uintptr_t number;

	if (f->words == NULL)
		return false;
	number = (uintptr_t)map_find(f->words, str_from(ip_format(ip, text)));
	*out = (uint32_t)number - 1;
	return number > 0;
}

static void
remember(struct counting *c, uint32_t host, uint32_t to, int64_t until)
{
	uint32_t pair[2] = {host, to};

	map_set(c->named, pair_key(pair), (void *)(uintptr_t)(until + 1));
}

static void
on_address(void *arg, const struct ip *ip, uint32_t ttl)
{
	struct learning *l = arg;
	uint32_t to;

	if (number_of(l->c->f, ip, &to))
		remember(l->c, l->host, to, l->now + ttl * SECOND);
}

static void
learn(struct counting *c, const struct flow *flow)
{
	struct learning l = {.c = c, .now = flow->at};
	struct str bytes = flows_packet(c->f, flow);
	struct packet p;
	uint32_t from;

	if (packet_parse(bytes.p, bytes.n, &p) != PACKET_OK ||
	    !number_of(c->f, &p.dst, &l.host))
		return;
	if (flow->kind == FLOW_CONTACT && number_of(c->f, &p.src, &from))
		remember(c, l.host, from, INT64_MAX - 1);
	else if (p.protocol == IPPROTO_UDP && p.sport == DNS_PORT)
		dns_answer_each(p.payload, 1, on_address, &l);
}

static bool
is_named(const struct counting *c, const struct flow *flow)
{
	uint32_t pair[2] = {flow->src, flow->dst};
	uintptr_t until;

	if (c->named == NULL)
		return false;
	until = (uintptr_t)map_find(c->named, pair_key(pair));
	return until > 0 && (int64_t)until - 1 >= flow->at;
}

/* ---- windows ---- */

static void
contact(struct counting *c, const struct flow *flow)
{
	int64_t window = flow->at / c->window_ms + 1;
	uint32_t pair[2] = {flow->src, flow->dst};
	uintptr_t last = (uintptr_t)map_set(
	    c->seen, pair_key(pair), (void *)(uintptr_t)window);

	if ((int64_t)last == window)
		return;
	if (c->window[flow->src] != window && c->window[flow->src] != 0)
		note(&c->hosts, c->count[flow->src]);
	if (c->window[flow->src] != window)
		c->count[flow->src] = 0;
	c->window[flow->src] = window;
	c->count[flow->src]++;
	if (c->together_window != window && c->together_window != 0)
		note(&c->together, c->together_count);
	if (c->together_window != window)
		c->together_count = 0;
	c->together_window = window;
	c->together_count++;
}

static void
end(struct counting *c, uint32_t *host, uint32_t *together)
{
	uint64_t windows = (uint64_t)(flows_length(c->f) / c->window_ms) + 1;
	uint64_t hosts = 0;

	for (uint32_t i = 0; i < flows_address_count(c->f); i++) {
		if (c->window[i] == 0)
			continue;
		note(&c->hosts, c->count[i]);
		hosts++;
	}
	if (c->together_window != 0)
		note(&c->together, c->together_count);
	*host = percentile(&c->hosts, windows * hosts);
	*together = percentile(&c->together, windows);
}

static void
make(const struct flows *f, size_t w, bool all, struct flow_rates *out)
{
	size_t n = flows_address_count(f) + 1;
	struct counting c = {
	    .f = f,
	    .window_ms = flow_rates_window_ms[w],
	    .seen = map_new(),
	    .named = all ? NULL : map_new(),
	};

	c.count = xcalloc(n, sizeof(*c.count));
	c.window = xcalloc(n, sizeof(*c.window));
	c.hosts.v = xcalloc(COUNT_MAX + 1, sizeof(*c.hosts.v));
	c.together.v = xcalloc(COUNT_MAX + 1, sizeof(*c.together.v));
	for (uint32_t i = 0; i < f->count; i++) {
		const struct flow *flow = &f->v[i];

		if (flow->kind == FLOW_OPEN && !is_named(&c, flow))
			contact(&c, flow);
		else if (flow->kind != FLOW_OPEN && !all)
			learn(&c, flow);
	}
	end(&c, &out->host[w], &out->together[w]);
	map_free(c.seen, NULL);
	if (c.named != NULL)
		map_free(c.named, NULL);
	free(c.count);
	free(c.window);
	free(c.hosts.v);
	free(c.together.v);
}

void
flow_rates_make(
    const struct flows *f, struct flow_rates *all, struct flow_rates *unnamed)
{
	for (size_t w = 0; w < FLOW_RATES_WINDOWS; w++) {
		make(f, w, true, all);
		make(f, w, false, unnamed);
	}
}
