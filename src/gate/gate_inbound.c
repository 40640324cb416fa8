/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What users learnt from incoming mail, in the gate: who is answered, what is
 * saved behind (some seconds later and a few at a time), and what comes back at
 * a start. It hangs on the source's key and not on the source: who only gets
 * mail is no sender, and takes no place among them.
 */
#include "gate/gate_internal.h"

#include <inttypes.h>
#include <stdlib.h>

bool
learnt_is_answer(
    struct gate *g, const struct policy *policy, struct str key, uint64_t to)
{
	return policy->conf->learn_inbound &&
	       inbound_knows(
		   g->inbound, key, to, policy->inbound.expiry_ms, g->now);
}

/* ---- stored state ---- */

void
learnt_touch(struct gate *g)
{
	if (g->inbound_due == INT64_MAX && inbound_changed(g->inbound) != NULL)
		g->inbound_due = g->now + GATE_SAVE_EVERY_MS;
}

static void
save_user(struct gate *g, const struct inbound_user *u, int64_t wall)
{
	size_t size = inbound_save(u, g->now, NULL, 0);
	char *key = str_dup(inbound_user_key(u));
	void *state;

	if (size == 0) {
		spool_forget_inbound(g->spool, key);
		free(key);
		return;
	}
	state = xmalloc(size);
	inbound_save(u, g->now, state, size);
	spool_save_inbound(g->spool, key, state, size, wall);
	free(state);
	free(key);
}

void
learnt_save_some(struct gate *g, size_t max, int64_t wall)
{
	struct inbound_user *u = NULL;

	while (max-- > 0 && (u = inbound_changed(g->inbound)) != NULL) {
		save_user(g, u, wall);
		inbound_saved(g->inbound, u);
	}
	if (inbound_changed(g->inbound) == NULL)
		g->inbound_due = INT64_MAX;
}

void
learnt_sweep(struct gate *g, size_t steps)
{
	inbound_expire(g->inbound, g->now, steps);
	learnt_touch(g);
}

struct loading {
	struct gate *g;
	int64_t wall;
	uint64_t bad;
};

static void
on_stored(void *arg, const struct spool_source *row)
{
	struct loading *l = arg;
	struct str key = str_from(row->key);
	const struct policy *policy =
	    source_choose_policy(l->g, key, (struct str){0});
	struct throttle_source *src = source_find(l->g, key);
	int64_t age = l->wall > row->saved_at ? l->wall - row->saved_at : 0;

	if (src != NULL)
		policy = source_policy(src);
	if (key.n > 0 && key.n <= POLICY_SOURCE_MAX &&
	    inbound_load(l->g->inbound, key, row->state, row->state_size, age,
		&policy->inbound, l->g->now))
		return;
	l->bad++;
	log_write(l->g->log, LOG_EV_GATE_BAD_STATE, KV(sender, key),
	    KV(reason,
		"what it learnt from incoming mail cannot be read back"));
}

int
learnt_load(struct gate *g, int64_t wall)
{
	struct loading l = {.g = g, .wall = wall};
	int error = spool_load_inbound(g->spool, on_stored, &l);
	struct inbound_stats stats;

	inbound_stats(g->inbound, &stats);
	log_write(g->log, LOG_EV_GATE_INBOUND_LOADED, KV(users, stats.users),
	    KV(addresses, stats.addresses), KV(unreadable, l.bad));
	return error;
}

/* ---- the administrator ---- */

bool
learnt_guess(struct gate *g, struct str name, char out[GATE_KEY_MAX])
{
	char key[POLICY_SOURCE_MAX];

	str_copy(name, out, GATE_KEY_MAX);
	if (inbound_count(g->inbound, name, g->now) > 0)
		return true;
	for (unsigned i = 0; policy_key_guess(name, i, key); i++) {
		str_copy(str_from(key), out, GATE_KEY_MAX);
		if (inbound_count(g->inbound, str_from(key), g->now) > 0)
			return true;
	}
	return false;
}

void
learnt_count(struct gate *g)
{
	struct inbound_stats was = g->inbound_counted, *now;

	now = &g->inbound_counted;
	inbound_stats(g->inbound, now);
	counters_add(
	    g->counters, COUNT_INBOUND_REPLACED, now->replaced - was.replaced);
	counters_add(
	    g->counters, COUNT_INBOUND_EXPIRED, now->expired - was.expired);
	counters_set(g->counters, COUNT_INBOUND_KNOWN, now->addresses);
}
