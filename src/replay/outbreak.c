/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See outbreak.h. Events lie in a heap by time and then by their number, which
 * makes the order of all that happens at one time a matter of the seed alone.
 * A host without a throttle skips the attempts that hit nothing: their number
 * is geometric. One with a throttle makes every attempt, until it is frozen.
 */
#include "replay/outbreak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_MS 1000
#define US_PER_S 1000000.0
#define STRANGER UINT32_MAX
#define NOBODY                                                        \
	(UINT64_C(1) << 32) /* destinations from here on are no hosts \
			     */
#define POINTS 400
#define LOOK_EVERY 4096 /* events between two looks at `stop` */

enum kind { ATTEMPT, OPENED };

struct event {
	int64_t at; /* us */
	uint64_t seq;
	uint32_t host;
	enum kind kind;
};

struct host {
	bool is_infected, is_throttled, is_frozen;
	/* Of contacts: the addresses that it has, and how many got mail. */
	uint32_t *order, order_count, mailed;
	struct throttle_source *source;
};

struct run {
	const struct outbreak_settings *s;
	struct outbreak_result *out;
	struct host *hosts;
	struct throttle *t;
	struct event *heap;
	size_t n, cap;
	uint64_t seq, random;
	int64_t now; /* us */
};

/* ---- chance: SplitMix64 ---- */

static uint64_t
next_random(struct run *r)
{
	uint64_t z = r->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* In (0, 1]. */
static double
chance(struct run *r)
{
	return ((double)(next_random(r) >> 11) + 1) / 9007199254740992.0;
}

static uint32_t
below(struct run *r, uint32_t n)
{
	return (uint32_t)(((next_random(r) >> 32) * n) >> 32);
}

static void
shuffle(struct run *r, uint32_t *v, uint32_t n)
{
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = below(r, i), kept = v[i - 1];

		v[i - 1] = v[j];
		v[j] = kept;
	}
}

/* ---- events ---- */

static bool
is_before(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void
put(struct run *r, int64_t at, uint32_t host, enum kind kind)
{
	struct event e = {at, r->seq++, host, kind};
	size_t i = r->n++;

	if (r->n > r->cap) {
		r->cap = r->cap > 0 ? 2 * r->cap : 1024;
		r->heap = xrealloc(r->heap, r->cap * sizeof(*r->heap));
	}
	while (i > 0 && is_before(&e, &r->heap[(i - 1) / 2])) {
		r->heap[i] = r->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	r->heap[i] = e;
}

static struct event
take(struct run *r)
{
	struct event first = r->heap[0], last = r->heap[--r->n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < r->n) {
		child += child + 1 < r->n &&
			 is_before(&r->heap[child + 1], &r->heap[child]);
		if (!is_before(&r->heap[child], &last))
			break;
		r->heap[i] = r->heap[child];
		i = child;
	}
	r->heap[i] = last;
	return first;
}

/* ---- infection ---- */

static void
add_point(struct run *r)
{
	struct outbreak_result *out = r->out;

	if (out->n == out->cap) {
		out->cap = out->cap > 0 ? 2 * out->cap : 64;
		out->points =
		    xrealloc(out->points, out->cap * sizeof(*out->points));
	}
	out->points[out->n++] =
	    (struct outbreak_point){(double)r->now / US_PER_S, out->ever};
}

/* How many attempts it takes, the last of which hits. */
static int64_t
attempts_to_hit(struct run *r)
{
	if (r->s->spread == OUTBREAK_CONTACTS || r->s->density >= 1)
		return 1;
	return 1 + (int64_t)(log(chance(r)) / log1p(-r->s->density));
}

static void
plan_attempt(struct run *r, uint32_t h)
{
	int64_t n = r->hosts[h].is_throttled ? 1 : attempts_to_hit(r);

	put(r, r->now + n * (int64_t)(US_PER_S / r->s->rate), h, ATTEMPT);
}

/* The addresses that a worm finds with its user: contacts and strangers, once
 * each in any order. */
static void
find_addresses(struct run *r, uint32_t h)
{
	const struct outbreak_graph *g = r->s->graph;
	struct host *host = &r->hosts[h];
	uint32_t n = g->first[h + 1] - g->first[h];

	host->order_count = (uint32_t)(n / r->s->density);
	host->order = xcalloc(host->order_count + 1, sizeof(*host->order));
	for (uint32_t i = 0; i < host->order_count; i++)
		host->order[i] = i < n ? g->to[g->first[h] + i] : STRANGER;
	shuffle(r, host->order, host->order_count);
}

static void
infect(struct run *r, uint32_t h)
{
	struct host *host = &r->hosts[h];

	if (host->is_infected)
		return;
	host->is_infected = true;
	r->out->ever++;
	r->out->throttled += host->is_throttled;
	if (r->out->ever % (r->s->hosts / POINTS + 1) == 0 ||
	    r->out->ever == r->s->hosts)
		add_point(r);
	if (r->s->spread == OUTBREAK_CONTACTS)
		find_addresses(r, h);
	plan_attempt(r, h);
}

/* A contact that came through. */
static void
reach(struct run *r, uint64_t destination)
{
	if (destination >= NOBODY) {
		r->out->outside++;
		return;
	}
	if (r->s->spread != OUTBREAK_CONTACTS)
		infect(r, (uint32_t)destination);
	else if (chance(r) <= r->s->open_share)
		put(r,
		    r->now +
			(int64_t)(-log(chance(r)) * r->s->open_s * US_PER_S),
		    (uint32_t)destination, OPENED);
}

/* ---- whom it tries ---- */

static uint32_t
somebody(struct run *r, uint32_t h)
{
	const struct outbreak_settings *s = r->s;
	uint32_t first, n;

	if (s->spread == OUTBREAK_RANDOM || chance(r) > s->local_share)
		return below(r, s->hosts);
	first = h - h % s->network;
	n = s->hosts - first;
	return first + below(r, n < s->network ? n : s->network);
}

static uint64_t
stranger(struct run *r)
{
	return NOBODY | (next_random(r) >> 8);
}

static uint64_t
next_destination(struct run *r, uint32_t h)
{
	if (r->s->spread == OUTBREAK_CONTACTS) {
		struct host *host = &r->hosts[h];
		uint32_t next = host->order[host->mailed++];

		return next == STRANGER ? stranger(r) : next;
	}
	/* Without a throttle only those that hit are tried. */
	if (!r->hosts[h].is_throttled || chance(r) <= r->s->density)
		return somebody(r, h);
	return stranger(r);
}

/* ---- the throttle ---- */

static void
on_release(void *arg, struct throttle_source *src, uint64_t destination,
    uint64_t ticket)
{
	struct run *r = arg;

	(void)src;
	(void)ticket;
	r->out->throttled_out++;
	reach(r, destination);
}

static void
on_freeze(
    void *arg, struct throttle_source *src, enum throttle_freeze_reason reason)
{
	struct run *r = arg;
	struct host *host = throttle_source_user(src);

	(void)reason;
	host->is_frozen = true;
	r->out->frozen++;
}

static const struct throttle_callbacks callbacks = {
    .on_release = on_release,
    .on_freeze = on_freeze,
};

static void
teach(struct run *r, uint32_t h, struct throttle_source *src)
{
	const struct outbreak_graph *g = r->s->graph;
	uint32_t n;

	if (r->s->spread != OUTBREAK_CONTACTS)
		return;
	n = g->first[h + 1] - g->first[h];
	if (n > r->s->policy->working_set)
		n = r->s->policy->working_set;
	/* The latest is to be the last that gives way. */
	while (n > 0)
		throttle_learn(
		    r->t, src, g->to[g->first[h] + --n], r->now / US_PER_MS);
}

static struct throttle_source *
source_of(struct run *r, uint32_t h)
{
	struct host *host = &r->hosts[h];

	if (host->source == NULL) {
		host->source = throttle_get(
		    r->t, &h, sizeof(h), r->s->policy, r->now / US_PER_MS);
		throttle_source_set_user(host->source, host);
		teach(r, h, host->source);
	}
	return host->source;
}

static void
ask(struct run *r, uint32_t h, uint64_t destination)
{
	struct throttle_reservation v;

	r->out->attempts++;
	throttle_request(
	    r->t, source_of(r, h), destination, 0, r->now / US_PER_MS, &v);
	if (v.verdict != THROTTLE_PASS)
		return;
	r->out->throttled_out++;
	reach(r, destination);
}

/* ---- the run ---- */

static bool
is_spent(const struct run *r, const struct host *host)
{
	return r->s->spread == OUTBREAK_CONTACTS &&
	       host->mailed == host->order_count;
}

static void
attempt(struct run *r, uint32_t h)
{
	struct host *host = &r->hosts[h];
	uint64_t destination;

	if (host->is_frozen || is_spent(r, host))
		return;
	destination = next_destination(r, h);
	if (host->is_throttled)
		ask(r, h, destination);
	else
		reach(r, destination);
	if (!host->is_frozen)
		plan_attempt(r, h);
}

/* The next thing that happens. False: nothing does until the end. */
static bool
step(struct run *r, int64_t end)
{
	int64_t due = throttle_next_due(r->t), at = INT64_MAX;
	struct event e;

	due = due < INT64_MAX / US_PER_MS ? due * US_PER_MS : INT64_MAX;
	if (r->n > 0)
		at = r->heap[0].at;
	if ((due < at ? due : at) > end)
		return false;
	if (due <= at) {
		r->now = due > r->now ? due : r->now;
		throttle_run(r->t, r->now / US_PER_MS, 0);
		return true;
	}
	e = take(r);
	r->now = e.at > r->now ? e.at : r->now;
	if (e.kind == OPENED)
		infect(r, e.host);
	else
		attempt(r, e.host);
	return true;
}

static void
begin(struct run *r)
{
	const struct outbreak_settings *s = r->s;
	uint32_t *order = xcalloc(s->hosts + 1, sizeof(*order));
	uint32_t throttled = (uint32_t)((uint64_t)s->hosts * s->deployed / 100);

	for (uint32_t i = 0; i < s->hosts; i++)
		order[i] = i;
	shuffle(r, order, s->hosts);
	for (uint32_t i = 0; i < throttled; i++)
		r->hosts[order[i]].is_throttled = true;
	shuffle(r, order, s->hosts);
	for (uint32_t i = 0; i < s->first && i < s->hosts; i++)
		infect(r, order[i]);
	free(order);
}

bool
outbreak_run(
    const struct outbreak_settings *settings, struct outbreak_result *out)
{
	struct run r = {.s = settings, .out = out, .random = settings->seed};
	int64_t end = settings->until_ms * US_PER_MS;
	bool is_stopped = false;

	*out = (struct outbreak_result){0};
	r.hosts = xcalloc(settings->hosts + 1, sizeof(*r.hosts));
	r.t = throttle_new(settings->seed, settings->hosts, &callbacks, &r);
	begin(&r);
	add_point(&r);
	for (uint64_t i = 0; out->ever < settings->hosts; i++) {
		if (!step(&r, end))
			break;
		if (i % LOOK_EVERY == 0 && settings->stop != NULL)
			is_stopped = *settings->stop;
		if (is_stopped)
			break;
	}
	add_point(&r);
	throttle_free(r.t);
	for (uint32_t i = 0; i < settings->hosts; i++)
		free(r.hosts[i].order);
	free(r.hosts);
	free(r.heap);
	return !is_stopped;
}

void
outbreak_clear(struct outbreak_result *r)
{
	free(r->points);
	*r = (struct outbreak_result){0};
}

double
outbreak_time(const struct outbreak_result *r, double hosts)
{
	for (size_t i = 0; i < r->n; i++) {
		if (r->points[i].ever >= hosts)
			return r->points[i].t;
	}
	return INFINITY;
}
