/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an administrator sees and changes, and the text in which frozen hosts
 * outlive a restart: one line each,
 *
 *	<address> <frozen at, wall ms> <reason>
 */
#include "netgate/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BY_HAND "by hand: "

static const char *const protocol_names[] = {"tcp", "udp"};
static const char *const stage_names[] = {
    "credit", "throttle", "aggregate", "done"};

size_t
netgate_host_count(const struct netgate *g)
{
	return g->host_count + (g->overflow != NULL);
}

size_t
netgate_frozen_count(const struct netgate *g)
{
	return g->frozen_count;
}

size_t
netgate_held_count(const struct netgate *g)
{
	return g->held_count - g->lost_held;
}

size_t
netgate_memory(const struct netgate *g)
{
	size_t n = ((size_t)g->host_count + g->claimed_count) *
		       (sizeof(struct host) + sizeof(void *) * 4) +
		   g->held_count * sizeof(struct held) + g->extra_bytes;

	for (int i = 0; i < NETGATE_PROTOCOLS; i++)
		n += throttle_memory(g->throttle[i]);
	return n;
}

static int64_t
to_wall(int64_t mono, int64_t now, int64_t wall)
{
	return mono == INT64_MAX ? 0 : wall + (mono - now);
}

static void
add_source(struct netgate *g, struct host *h, enum netgate_protocol p,
    int64_t wall, struct netgate_host_info *out)
{
	struct throttle_source_info info;
	int64_t next;

	if (h->src[p] == NULL)
		return;
	throttle_source_info(g->throttle[p], h->src[p], g->now, &info);
	out->queue_length += info.queue_length;
	out->waiting[p] = info.queue_length;
	out->working_set += info.working_set;
	if (info.allowance < out->allowance)
		out->allowance = info.allowance;
	next = to_wall(info.next_release, g->now, wall);
	if (next != 0 && (out->next_release == 0 || next < out->next_release))
		out->next_release = next;
}

/* What others claim in its name shows in what waits; in the rest only while it
 * sent nothing itself. */
static void
add_claimed(struct netgate *g, struct host *h, int64_t wall,
    struct netgate_host_info *out)
{
	struct netgate_host_info own = *out;

	out->queue_length += h->claimed->credit_held_count;
	for (int i = 0; i < NETGATE_PROTOCOLS; i++)
		add_source(g, h->claimed, (enum netgate_protocol)i, wall, out);
	out->waiting_claimed = out->queue_length - own.queue_length;
	if (!h->is_proven) {
		out->credit = h->claimed->credit.balance;
		return;
	}
	out->allowance = own.allowance;
	out->working_set = own.working_set;
	out->next_release = own.next_release;
}

static void
describe(struct netgate *g, struct host *h, int64_t wall,
    struct netgate_host_info *out)
{
	const struct throttle_policy *t = &h->policy->throttle;

	*out = (struct netgate_host_info){
	    .frozen = h->is_frozen,
	    .proven = h->is_proven,
	    .freeze_reason = h->freeze_reason,
	    .policy = h->policy->name,
	    .queue_length = h->credit_held_count,
	    .allowance = t->paper ? t->working_set : t->burst,
	    .freeze_at = t->freeze_at,
	    .burst = t->paper ? t->working_set : t->burst,
	    .working_set_max = t->working_set,
	    .credit = h->credit.balance,
	    .last_seen = to_wall(h->last_seen, g->now, wall),
	    .frozen_at = h->is_frozen ? h->frozen_at : 0,
	    .thaw_at = to_wall(h->thaw_due, g->now, wall),
	};
	str_copy(str_from(h->text), out->source, sizeof(out->source));
	for (int i = 0; i < NETGATE_PROTOCOLS; i++)
		add_source(g, h, (enum netgate_protocol)i, wall, out);
	if (h->claimed != NULL)
		add_claimed(g, h, wall, out);
}

static struct host *
host_at(const struct netgate *g, size_t pos)
{
	if (pos < g->host_count)
		return g->hosts[pos];
	return pos == g->host_count ? g->overflow : NULL;
}

bool
netgate_host_each(struct netgate *g, size_t *pos, int64_t now, int64_t wall,
    struct netgate_host_info *out)
{
	struct host *h = host_at(g, *pos);

	if (h == NULL)
		return false;
	gate_enter(g, now);
	++*pos;
	describe(g, h, wall, out);
	return true;
}

/* "192.0.2.1", "2001:db8::1", "2001:db8::/64", "others". */
static struct host *
find_text(struct netgate *g, struct str text)
{
	struct ip ip;

	if (str_eq(text, STR("others")))
		return g->overflow;
	return ip_parse(str_cut(&text, '/'), &ip) ? host_find(g, &ip) : NULL;
}

bool
netgate_host_find(struct netgate *g, struct str text, int64_t now, int64_t wall,
    struct netgate_host_info *out)
{
	struct host *h = find_text(g, text);

	if (h == NULL)
		return false;
	gate_enter(g, now);
	describe(g, h, wall, out);
	return true;
}

bool
netgate_held_each(
    const struct netgate *g, size_t *pos, struct netgate_held_info *out)
{
	const struct held *held = NULL;

	while (*pos < g->slot_count && (held == NULL || held->a.is_lost))
		held = g->slots[(*pos)++];
	if (held != NULL && held->a.is_lost)
		held = NULL;
	if (held == NULL)
		return false;
	*out = (struct netgate_held_info){
	    .id = held->ticket,
	    .protocol = protocol_names[held->a.protocol],
	    .stage = stage_names[held->a.stage],
	    .sport = held->a.sport,
	    .dport = held->a.dport,
	    .queued_at = held->queued_at,
	};
	str_copy(
	    str_from(held->a.host->text), out->source, sizeof(out->source));
	ip_format(&held->a.dst, out->dst);
	return true;
}

bool
netgate_freeze(struct netgate *g, struct str text, const char *note,
    int64_t now, int64_t wall)
{
	char reason[sizeof(BY_HAND) + NETGATE_NOTE_MAX];
	struct host *h = find_text(g, text);
	struct ip ip;

	gate_enter(g, now);
	g->wall = wall;
	/* Not the place that those beyond the bound share. */
	if (h == NULL && (!ip_parse(str_cut(&text, '/'), &ip) ||
			     g->host_count >= g->settings.hosts_max))
		return false;
	if (h == NULL)
		h = host_get(g, &ip);
	snprintf(reason, sizeof(reason), "%s%s",
	    note != NULL ? BY_HAND : "by hand", note != NULL ? note : "");
	freeze_host(g, h, reason);
	return true;
}

bool
netgate_thaw(struct netgate *g, struct str text, enum netgate_thaw what,
    const char *who, int64_t now, uint64_t *n)
{
	struct host *h = find_text(g, text);

	*n = 0;
	if (h == NULL)
		return false;
	gate_enter(g, now);
	/* A frozen host has nothing waiting; one that is not may have. */
	if (what != NETGATE_THAW_KEEP)
		*n = freeze_flush(g, h,
		    what == NETGATE_THAW_RELEASE ? FLUSH_RELEASE : FLUSH_DROP);
	thaw_host(g, h, who);
	return true;
}

static uint64_t
end_selected(struct netgate *g, const struct netgate_select *s, int64_t now,
    enum flush how)
{
	struct host *h;
	uint64_t n = 0;

	gate_enter(g, now);
	for (size_t i = 0; i < s->id_count; i++) {
		struct held *held = held_find(g, s->ids[i]);

		if (held == NULL)
			continue;
		freeze_unqueue(g, held);
		freeze_end(g, held, how);
		n++;
	}
	if (s->source.n > 0 && (h = find_text(g, s->source)) != NULL)
		n += freeze_flush(g, h, how);
	for (size_t i = 0; s->all && host_at(g, i) != NULL; i++)
		n += freeze_flush(g, host_at(g, i), how);
	return n;
}

uint64_t
netgate_release(
    struct netgate *g, const struct netgate_select *select, int64_t now)
{
	return end_selected(g, select, now, FLUSH_RELEASE);
}

uint64_t
netgate_discard(
    struct netgate *g, const struct netgate_select *select, int64_t now)
{
	return end_selected(g, select, now, FLUSH_DROP);
}

/* ---- frozen hosts ---- */

bool
netgate_save(const struct netgate *g, struct buf *out)
{
	struct list *e;

	list_each (e, &g->frozen_hosts) {
		const struct host *h = LIST_ITEM(e, struct host, frozen_entry);
		char text[IP_TEXT_MAX];

		if (h->ip.family == IP_NONE)
			continue;
		if (!buf_printf(out, "%s %" PRId64 " %s\n",
			ip_format(&h->ip, text), h->frozen_at,
			h->freeze_reason))
			return false;
	}
	return true;
}

/* Ours, or what an administrator wrote. */
static const char *
known_reason(struct str text, char out[sizeof(BY_HAND) + NETGATE_NOTE_MAX])
{
	static const char *const known[] = {
	    "queue length", "queue growth", "decoy"};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (str_eq(text, str_from(known[i])))
			return known[i];
	}
	if (!str_starts(text, STR(BY_HAND)) || !str_is_shown(text) ||
	    text.n >= sizeof(BY_HAND) + NETGATE_NOTE_MAX)
		return "by hand";
	str_copy(text, out, sizeof(BY_HAND) + NETGATE_NOTE_MAX);
	return out;
}

static bool
load_line(struct netgate *g, struct str line)
{
	struct str address = str_cut(&line, ' '), at = str_cut(&line, ' ');
	char reason[sizeof(BY_HAND) + NETGATE_NOTE_MAX];
	struct host *h;
	struct ip ip;
	uint64_t wall;

	if (!ip_parse(address, &ip) || ip.family == IP_NONE ||
	    !str_to_u64(at, &wall) || wall > (uint64_t)1 << 60 ||
	    g->host_count >= g->settings.hosts_max)
		return false;
	h = host_get(g, &ip);
	if (h->is_frozen || h == g->overflow)
		return false;
	freeze_restore(g, h, known_reason(line, reason), (int64_t)wall);
	return true;
}

size_t
netgate_load(
    struct netgate *g, struct str text, int64_t now, int64_t wall, size_t *bad)
{
	size_t n = 0;

	g->now = now;
	g->wall = wall;
	*bad = 0;
	while (text.n > 0) {
		struct str line = str_trim(str_cut(&text, '\n'));

		if (line.n == 0)
			continue;
		if (load_line(g, line))
			n++;
		else
			++*bad;
	}
	return n;
}
