/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets that wait in the kernel. A ticket names a place and the generation of
 * what lies in it, so that one which outlived its packet finds nothing.
 */
#include "netgate/internal.h"

#include <stdlib.h>
#include <string.h>

#define FLOW_KEY (2 * HOST_KEY + 9)
#define MORE_SHARE 2 /* one in so many places is for further packets */

/* A SYN has a number of its own, so that another one is no copy. */
static struct str
flow_key(const struct attempt *a, char out[FLOW_KEY])
{
	char *p = out;

	*p++ = (char)a->src.family;
	memcpy(p, a->src.bytes, 16);
	p += 16;
	*p++ = (char)a->dst.family;
	memcpy(p, a->dst.bytes, 16);
	p += 16;
	memcpy(p, &a->sport, 2);
	memcpy(p + 2, &a->dport, 2);
	memcpy(p + 4, &a->tcp_seq, 4);
	p[8] = (char)a->protocol;
	return (struct str){out, FLOW_KEY};
}

struct held *
held_find_flow(const struct netgate *g, const struct attempt *a)
{
	char key[FLOW_KEY];

	return g->held_count > 0 ? map_find(g->flows, flow_key(a, key)) : NULL;
}

bool
held_add(struct netgate *g, struct held *held, uint64_t id)
{
	struct attempt *a = &held->a;

	if (a->more_count == ARRAY_LEN(a->more) ||
	    g->held_count + g->more_held >= g->settings.held_max / MORE_SHARE)
		return false;
	a->more[a->more_count++] = id;
	g->more_held++;
	return true;
}

/* What may be forged has half of the places at most. */
static bool
take_slot(struct netgate *g, const struct host *h, uint32_t *slot)
{
	if (g->held_count + g->more_held >= g->settings.held_max ||
	    (h->owner != NULL &&
		g->claimed_held >= (g->settings.held_max + 1) / 2))
		return false;
	if (g->free_count > 0) {
		*slot = g->free_slots[--g->free_count];
		return true;
	}
	if (g->slot_count == g->slot_cap) {
		g->slot_cap = g->slot_cap > 0 ? g->slot_cap * 2 : 64;
		g->slots = xrealloc(g->slots, g->slot_cap * sizeof(*g->slots));
		g->free_slots = xrealloc(
		    g->free_slots, g->slot_cap * sizeof(*g->free_slots));
	}
	*slot = g->slot_count++;
	return true;
}

struct held *
held_new(struct netgate *g, const struct attempt *a)
{
	struct held *held;
	char key[FLOW_KEY];
	uint32_t slot;

	if (!take_slot(g, a->host, &slot)) {
		count(g, NETGATE_COUNT_OVERFLOW);
		return NULL;
	}
	held = xcalloc(1, sizeof(*held));
	held->a = *a;
	held->a.waited = true;
	held->ticket = (uint64_t)++g->generation << 32 | (slot + 1);
	held->queued_at = g->wall;
	list_init(&held->credit);
	list_append(&a->host->held, &held->entry);
	a->host->held_count++;
	g->slots[slot] = held;
	g->held_count++;
	g->claimed_held += a->host->owner != NULL;
	if (a->stage == STAGE_AGGREGATE)
		a->host->aggregate_held_count++;
	/* Where each packet of a flow counts the first stands here. */
	if (held_find_flow(g, a) == NULL)
		map_set(g->flows, flow_key(a, key), held);
	return held;
}

void
held_set_lost(struct netgate *g, struct held *held, bool lost)
{
	g->lost_held += lost;
	g->lost_held -= held->a.is_lost;
	held->a.is_lost = lost;
}

void
held_set_stage(struct held *held, enum stage stage)
{
	uint32_t *n = &held->a.host->aggregate_held_count;

	if (held->a.stage == STAGE_AGGREGATE)
		--*n;
	held->a.stage = stage;
	if (stage == STAGE_AGGREGATE)
		++*n;
}

struct held *
held_find(const struct netgate *g, uint64_t ticket)
{
	uint64_t slot = ticket & UINT32_MAX;
	struct held *held;

	if (slot == 0 || slot > g->slot_count)
		return NULL;
	held = g->slots[slot - 1];
	return held != NULL && held->ticket == ticket ? held : NULL;
}

void
held_free(struct netgate *g, struct held *held)
{
	uint32_t slot = (uint32_t)(held->ticket & UINT32_MAX) - 1;
	struct host *h = held->a.host;
	char key[FLOW_KEY];

	if (held_find_flow(g, &held->a) == held)
		map_remove(g->flows, flow_key(&held->a, key));
	g->more_held -= held->a.more_count;
	if (!list_is_empty(&held->credit)) {
		list_remove(&held->credit);
		h->credit_held_count--;
	}
	held_set_lost(g, held, false);
	held_set_stage(held, STAGE_DONE);
	list_remove(&held->entry);
	h->held_count--;
	g->slots[slot] = NULL;
	g->free_slots[g->free_count++] = slot;
	g->held_count--;
	g->claimed_held -= h->owner != NULL;
	free(held);
}
