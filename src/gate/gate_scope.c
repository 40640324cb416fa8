/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scopes in the gate: who counts where, the word on releases, and what was used
 * on disk. A source's queue has no clients and no local programs in it, so the
 * pins of its last mail stand for all that waits; after a restart they are made
 * from its name, and windows by client bind it again at its next mail.
 */
#include "gate/gate_scope_shared.h"
#include "gate/gate_strangers.h"

#include <string.h>

#define ASK_AGAIN_MS 60000 /* limits may have been raised meanwhile */
#define KNOWN_FEW 4        /* recipients of a program that is as good as new */

static bool
is_local_program(const struct gate_facts *facts, const struct policy *policy)
{
	return facts->local && facts->user.n == 0 && facts->sender.n > 0 &&
	       policy->conf->key != POLICY_KEY_ENVELOPE;
}

/* A program that was never seen is new for a day. */
static bool
is_new(struct gate *g, struct throttle_source *src)
{
	struct gate_source *data = src != NULL ? source_data(src) : NULL;

	return data == NULL || data->new_until > g->now;
}

struct scope_pins *
gate_scope_pins(struct gate *g, const struct policy *policy,
    const struct gate_facts *facts, struct str key, struct throttle_source *src)
{
	struct scope_facts f = {
	    .policy = policy,
	    .facts = *facts,
	    .is_named = policy != policies_default(g->policies) ||
			policies_of_key(g->policies, key) != NULL,
	};

	f.is_new = is_local_program(facts, policy) && key.n > 0 &&
		   key.p[0] != '[' && is_new(g, src);
	return scope_pins_new(g->scopes, &f, g->now);
}

void
gate_scope_load_source(struct gate *g, struct throttle_source *src)
{
	struct gate_source *data = source_data(src);
	const struct policy *policy = source_policy(src);
	char name[GATE_KEY_MAX];
	struct throttle_source_info info;
	struct gate_facts facts;
	struct str key = str_from(source_name(src, name));

	policy_key_facts(key, &facts);
	/* Without a login the sender is a source for local programs alone, or
	 * under key = envelope. */
	facts.local =
	    facts.sender.n > 0 && policy->conf->key != POLICY_KEY_ENVELOPE;
	if (facts.local) {
		throttle_source_info(g->throttle, src, g->now, &info);
		if (info.working_set < KNOWN_FEW)
			data->new_until = g->now + GATE_NEW_MS;
	}
	scope_pins_free(data->scopes);
	data->scopes = gate_scope_pins(g, policy, &facts, key, src);
}

int64_t
gate_scope_may_go(struct gate *g, struct throttle_source *src,
    uint64_t destination, int64_t now)
{
	struct gate_source *data = source_data(src);
	struct scope_info full;
	uint32_t mask;
	int64_t at;

	if (data == NULL)
		return now;
	at = strangers_may_release(g, src, destination, now);
	if (at > now)
		return at;
	if (data->scopes == NULL) {
		strangers_note_release(g, src, destination, now);
		return now;
	}
	if (!scope_reserve(data->scopes, destination, now, &mask, &full)) {
		/* In observe mode nothing that waits has mail. */
		if (full.open_at > now + ASK_AGAIN_MS)
			return now + ASK_AGAIN_MS;
		return full.open_at > now ? full.open_at : now + 1;
	}
	scope_commit(data->scopes, destination, mask, now);
	scope_note_untold(g, data->scopes, mask);
	gate_scope_touch(g);
	strangers_note_release(g, src, destination, now);
	return now;
}

int64_t
gate_scope_may_release(
    void *arg, struct throttle_source *src, uint64_t destination, int64_t now)
{
	struct gate *g = arg;
	int64_t at = shared_may_release(g, src, SHARE_NEW, now);

	if (at > now)
		return at;
	at = gate_scope_may_go(g, src, destination, now);
	if (at <= now)
		shared_note_alone(g, src, SHARE_NEW);
	return at;
}

void
gate_scope_touch(struct gate *g)
{
	if (g->scopes_due == INT64_MAX && scope_has_changed(g->scopes))
		g->scopes_due = g->now + GATE_SAVE_EVERY_MS;
}

void
gate_scope_save(
    struct gate *g, struct scope_pins *p, size_t max, int64_t now, int64_t wall)
{
	struct scope_state state;

	while (max-- > 0 && scope_next_changed(g->scopes, p, now, &state)) {
		if (state.n > 0)
			spool_save_state(
			    g->spool, state.row, state.bytes, state.n, wall);
		else
			spool_forget_source(g->spool, state.row);
	}
	g->scopes_due =
	    scope_has_changed(g->scopes) ? now + GATE_SAVE_EVERY_MS : INT64_MAX;
}

bool
gate_sender_scope(struct gate *g, struct str name, size_t i, int64_t now,
    struct scope_info *out)
{
	struct throttle_source *src = source_guess(g, name);

	g->now = now;
	return src != NULL && scope_look(source_data(src)->scopes, i, now, out);
}
