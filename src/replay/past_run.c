/* SPDX-License-Identifier: BSD-3-Clause */
#include "replay/past_run.h"

#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define NOBODY UINT32_MAX
#define DRAIN_MS (30 * 86400 * INT64_C(1000)) /* what waits longer, stays */

struct wait {
	uint32_t sender;
	int64_t since;
	bool is_over;
};

struct run {
	const struct past *past;
	struct past_result *out;
	struct world *world;
	struct map *senders; /* by source: index and one */
	struct map *seen;    /* source of old, and recipient */
	struct wait *waits;
	size_t wait_count, wait_cap;
	/* Room for the message in hand. */
	struct str addresses[PAST_RECIPIENTS_MAX];
	uint64_t labels[PAST_RECIPIENTS_MAX];
	enum world_end ends[PAST_RECIPIENTS_MAX];
};

static uint32_t
sender_of(struct run *r, struct str source)
{
	struct past_result *out = r->out;
	uintptr_t found = (uintptr_t)map_find(r->senders, source);

	if (found != 0)
		return (uint32_t)found - 1;
	if (out->count == out->cap) {
		out->cap = out->cap == 0 ? 64 : out->cap * 2;
		out->senders =
		    xrealloc(out->senders, out->cap * sizeof(*out->senders));
	}
	out->senders[out->count] = (struct past_sender){
	    .source = {str_dup(source), source.n},
	};
	map_set(r->senders, source, (void *)(uintptr_t)(out->count + 1));
	return out->count++;
}

/* ---- the world ---- */

static void
on_delivered(void *arg, uint64_t label)
{
	struct run *r = arg;
	struct wait *w = &r->waits[label];
	int64_t waited = world_now(r->world) - w->since;

	w->is_over = true;
	if (w->sender != NOBODY && waited > r->out->senders[w->sender].longest)
		r->out->senders[w->sender].longest = waited;
}

static void
on_freeze(void *arg, const struct gate_freeze *freeze)
{
	struct run *r = arg;
	struct past_sender *s =
	    &r->out->senders[sender_of(r, str_from(freeze->sender))];

	if (s->frozen_at != 0)
		return;
	s->frozen_at = r->past->began + world_now(r->world);
	s->reason = xstrdup(freeze->reason);
}

static const struct world_callbacks callbacks = {
    .on_delivered = on_delivered,
    .on_freeze = on_freeze,
};

/* ---- the day ---- */

/* Whether it is new since the last call for both. */
static bool
is_first(struct run *r, struct str source, struct str address)
{
	char pair[POLICY_SOURCE_MAX + GATE_RECIPIENT_MAX + 1];
	size_t n = source.n < POLICY_SOURCE_MAX ? source.n : POLICY_SOURCE_MAX;
	size_t m =
	    address.n < GATE_RECIPIENT_MAX ? address.n : GATE_RECIPIENT_MAX;

	memcpy(pair, source.p, n);
	pair[n] = '\n';
	memcpy(pair + n + 1, address.p, m);
	return map_set(r->seen, (struct str){pair, n + 1 + m}, r) == NULL;
}

/* Backwards, so that those who are written to first are the most recent. */
static void
assume_known(struct run *r)
{
	const struct past *p = r->past;
	bool *first;
	size_t total = 0, at = 0;

	for (uint32_t i = 0; i < p->count; i++)
		total += p->mails[i].count;
	first = xcalloc(total + 1, sizeof(*first));
	for (uint32_t i = 0; i < p->count; i++) {
		const struct past_mail *m = &p->mails[i];

		for (uint32_t k = 0; k < m->count; k++)
			first[at++] =
			    is_first(r, m->source, m->recipients[k].address) &&
			    m->recipients[k].known;
	}
	for (uint32_t i = p->count; i-- > 0;) {
		const struct past_mail *m = &p->mails[i];

		for (uint32_t k = m->count; k-- > 0;) {
			if (first[--at])
				world_assume_known(r->world, &m->facts,
				    m->recipients[k].address);
		}
	}
	free(first);
	map_free(r->seen, NULL);
	r->seen = map_new();
}

static uint64_t
add_wait(struct run *r)
{
	if (r->wait_count == r->wait_cap) {
		r->wait_cap = r->wait_cap == 0 ? 256 : r->wait_cap * 2;
		r->waits = xrealloc(r->waits, r->wait_cap * sizeof(*r->waits));
	}
	r->waits[r->wait_count] =
	    (struct wait){.sender = NOBODY, .since = world_now(r->world)};
	return r->wait_count++;
}

static void
end_mail(struct run *r, const struct past_mail *m, const char *source, size_t n)
{
	uint32_t index = sender_of(r, str_from(source));
	struct past_sender *s = &r->out->senders[index];

	if (s->policy == NULL)
		s->policy = xstrdup(world_policy(r->world));
	s->was = m->source;
	s->messages++;
	s->recipients += n;
	r->out->messages++;
	r->out->recipients += n;
	for (uint32_t i = 0; i < m->count; i++)
		s->waited += m->recipients[i].waited;
	for (size_t i = 0; i < n; i++) {
		struct wait *w = &r->waits[r->labels[i]];

		w->sender = index;
		w->is_over = w->is_over || r->ends[i] != WORLD_HELD;
		s->waits += r->ends[i] == WORLD_HELD;
		s->refused += r->ends[i] == WORLD_TEMPFAIL ||
			      r->ends[i] == WORLD_REJECTED;
	}
}

static void
play_mail(struct run *r, const struct past_mail *m)
{
	struct world_mail mail = {
	    .facts = m->facts,
	    .addresses = r->addresses,
	    .labels = r->labels,
	};
	size_t waits = r->wait_count;
	const char *source;

	for (uint32_t i = 0; i < m->count; i++) {
		struct str address = m->recipients[i].address;

		if (m->put_off && !is_first(r, m->source, address))
			continue;
		r->addresses[mail.count] = address;
		r->labels[mail.count++] = add_wait(r);
	}
	if (mail.count == 0)
		return;
	source = world_send(r->world, &mail, r->ends);
	end_mail(r, m, source, mail.count);
	/* Most pass: their places are taken again. */
	while (r->wait_count > waits && r->waits[r->wait_count - 1].is_over)
		r->wait_count--;
}

/* Everything that the schedule lets go. */
static void
drain(struct run *r)
{
	int64_t last = world_now(r->world) + DRAIN_MS;

	for (uint32_t i = 0; i < r->out->count; i++) {
		if (r->out->senders[i].frozen_at != 0)
			world_discard(r->world, r->out->senders[i].source.p);
	}
	while (world_waiting(r->world) > 0) {
		int64_t due = world_next_due(r->world);

		if (due > last)
			break;
		world_advance(r->world, due);
	}
	for (size_t i = 0; i < r->wait_count; i++) {
		if (!r->waits[i].is_over)
			r->out->senders[r->waits[i].sender].never++;
	}
}

static bool
is_stopped(const volatile sig_atomic_t *stop)
{
	return stop != NULL && *stop != 0;
}

int
past_run(const struct past *past, const struct world_settings *settings,
    const volatile sig_atomic_t *stop, struct past_result *out, char *err,
    size_t cap)
{
	struct run *r = xcalloc(1, sizeof(*r));
	int status = 0;

	*out = (struct past_result){.began = past->began};
	r->past = past;
	r->out = out;
	r->senders = map_new();
	r->seen = map_new();
	r->world = world_new(settings, &callbacks, r, err, cap, &status);
	if (r->world != NULL) {
		assume_known(r);
		for (uint32_t i = 0; i < past->count && !is_stopped(stop);
		     i++) {
			world_advance(r->world, past->mails[i].at);
			play_mail(r, &past->mails[i]);
		}
		out->ended = past->began + world_now(r->world);
		if (!is_stopped(stop))
			drain(r);
		if (world_error(r->world) != NULL) {
			snprintf(err, cap, "the temporary directory: %s",
			    world_error(r->world));
			status = EX_IOERR;
		}
	}
	if (status == 0 && is_stopped(stop)) {
		snprintf(err, cap, "ended by a signal");
		status = EX_TEMPFAIL;
	}
	world_free(r->world);
	map_free(r->senders, NULL);
	map_free(r->seen, NULL);
	free(r->waits);
	free(r);
	return status;
}

void
past_result_clear(struct past_result *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		free((char *)r->senders[i].source.p);
		free(r->senders[i].policy);
		free(r->senders[i].reason);
	}
	free(r->senders);
	*r = (struct past_result){0};
}
