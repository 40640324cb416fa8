/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stolen accounts, see attack.h for whom they write to and when. An account is
 * quiet but for its own past and the attack; once it is frozen it reaches
 * nobody more, however often it tries, so it does not. Recipients are numbered
 * in the order of the attack.
 */
#include "replay/replay_internal.h"

#include <stdio.h>
#include <string.h>

#define LABEL (UINT64_C(1) << 63) /* not of the trace */
#define NUMBER_SHIFT 40

static struct str
attack_address(const struct attack *a, uint32_t i, char out[ADDRESS_MAX])
{
	uint32_t known = a->out->plan->known;
	/* The newest acquaintance first. */
	int len = i < known
		      ? snprintf(out, ADDRESS_MAX, "k%u@a%u.known.test",
			    (unsigned)(known - 1 - i), (unsigned)a->number)
		      : snprintf(out, ADDRESS_MAX, "s%u@a%u.strange.test",
			    (unsigned)(i - known), (unsigned)a->number);

	return (struct str){out, (size_t)len};
}

static struct str
attack_self(const struct attack *a, char out[ADDRESS_MAX])
{
	const struct replay_people *people = a->r->s->people;
	unsigned number = (unsigned)a->number;
	int len = people != NULL
		      ? snprintf(out, ADDRESS_MAX, "stolen%u@%.40s", number,
			    people->domain)
		      : snprintf(out, ADDRESS_MAX, "a%u@d%u.internal.test",
			    number, (unsigned)a->r->domain);

	return (struct str){out, (size_t)len};
}

static void
attack_reach(struct attack *a, uint32_t i)
{
	if (i < a->out->plan->known)
		a->reached.known++;
	else
		a->reached.strangers++;
}

/* Recipients from, from + 1, ...: counted, unless it is the account's past. */
static void
attack_send(struct attack *a, uint32_t from, uint32_t n, bool counts)
{
	struct replay *r = a->r;
	char self[ADDRESS_MAX];
	struct str address = attack_self(a, self);
	struct world_mail mail = {
	    .facts = {.user = address,
		.sender = address,
		.helo = STR("client.test"),
		.client = replay_client(11, a->number),
		.teaches = true},
	    .addresses = r->addresses,
	    .labels = r->labels,
	    .unknown = r->unknown,
	    .count = n,
	};
	const char *source;

	for (uint32_t i = 0; i < n; i++) {
		r->addresses[i] = attack_address(a, from + i, r->text[i]);
		r->labels[i] =
		    LABEL | (uint64_t)a->number << NUMBER_SHIFT | (from + i);
		r->unknown[i] = from + i >= a->out->plan->known &&
				attack_is_unknown(a->out->plan,
				    from + i - a->out->plan->known);
	}
	r->attacking = a;
	source = world_send(r->world, &mail, r->ends);
	r->attacking = NULL;
	if (a->source == NULL)
		a->source = xstrdup(source);
	for (uint32_t i = 0; i < n && counts; i++) {
		if (r->ends[i] == WORLD_PASSED)
			attack_reach(a, from + i);
	}
}

static bool
attack_is_frozen(const struct attack *a)
{
	return a->out->frozen_after >= 0;
}

static void
attack_go_on(void *owner, void *arg)
{
	struct attack *a = arg;
	uint32_t n = attack_message_size(a->out->plan);
	int64_t next;

	(void)owner;
	if (a->is_over)
		return;
	attack_send(a, a->next, n, true);
	a->next += n;
	/* Frozen, it reaches nobody more, however often it tries. */
	if (attack_is_frozen(a)) {
		a->out->at_freeze = a->reached;
		return;
	}
	next = attack_at(a->out->plan, a->next);
	if (next < ATTACK_MS)
		agenda_add(
		    &a->r->agenda, a->out->started + next, attack_go_on, a);
}

static void
attack_remember(void *owner, void *arg)
{
	struct attack *a = arg;
	uint32_t known = a->out->plan->known;

	(void)owner;
	/* The oldest first. */
	attack_send(a, known - 1 - a->next, 1, false);
	if (++a->next < known) {
		agenda_add(&a->r->agenda, attack_history_at(a->next),
		    attack_remember, a);
		return;
	}
	a->next = 0;
}

static void
attack_end(void *owner, void *arg)
{
	struct attack *a = arg;

	(void)owner;
	a->is_over = true;
	a->out->after_day = a->reached;
	if (a->source != NULL)
		world_discard(a->r->world, a->source);
}

void
attack_begin(struct replay *r, uint32_t number)
{
	struct attack *a = &r->attacks[number];
	struct replay_attack *out = &r->out->attacks[number];

	*out = (struct replay_attack){
	    .plan = &r->s->attacks[number],
	    .started = attack_start(&r->s->attacks[number]),
	    .frozen_after = -1,
	};
	*a = (struct attack){.r = r, .out = out, .number = number};
	if (out->plan->known > 0)
		agenda_add(&r->agenda, 0, attack_remember, a);
	agenda_add(&r->agenda, out->started, attack_go_on, a);
	agenda_add(&r->agenda, out->started + ATTACK_MS, attack_end, a);
}

/* ---- what the world tells ---- */

bool
attack_has_label(uint64_t label)
{
	return (label & LABEL) != 0;
}

void
attack_on_delivered(struct replay *r, uint64_t label)
{
	struct attack *a = &r->attacks[(label & ~LABEL) >> NUMBER_SHIFT];

	if (!a->is_over && world_now(r->world) >= a->out->started)
		attack_reach(a, (uint32_t)label);
}

static struct attack *
attack_of(const struct replay *r, const char *source)
{
	for (size_t i = 0; i < r->s->attack_count; i++) {
		const char *own = r->attacks[i].source;

		if (own != NULL && strcmp(own, source) == 0)
			return &r->attacks[i];
	}
	/* By its first message. */
	return r->attacking != NULL && r->attacking->source == NULL
		   ? r->attacking
		   : NULL;
}

bool
attack_on_freeze(struct replay *r, const struct gate_freeze *freeze)
{
	struct attack *a = attack_of(r, freeze->sender);

	if (a == NULL)
		return false;
	if (!attack_is_frozen(a)) {
		int64_t after = world_now(r->world) - a->out->started;

		/* Its own past may be too much for a strict policy. */
		a->out->frozen_after = after > 0 ? after : 0;
		a->out->reason = xstrdup(freeze->reason);
	}
	return true;
}
