/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sources as the administrator sees them.
 */
#include "gate/gate_recall.h"
#include "gate/gate_strangers.h"
#include "gate/gate_tier.h"

#include <stdlib.h>
#include <string.h>

static int64_t
to_wall(int64_t at, int64_t now, int64_t wall)
{
	return at == INT64_MAX ? INT64_MAX : wall + (at - now);
}

static void
fill_familiar(struct gate *g, struct throttle_source *src,
    const struct policy *policy, int64_t now, struct gate_sender_info *out)
{
	out->has_familiar = policy->has_familiar;
	out->familiar_burst = policy->familiar.burst;
	out->familiar_freeze_at = policy->familiar.freeze_at;
	tier_info(g, src, policy, now, &out->familiar);
	out->waiting = out->t.queue_length + out->familiar.queue_length;
}

static void
fill_known(struct gate *g, int64_t wall, struct gate_sender_info *out)
{
	const struct policy *policy =
	    policies_find(g->policies, str_from(out->policy));
	struct acquaintance_tally t;

	if (!g->remembers ||
	    !acquaintances_tally(g->acquaintances, str_from(out->sender),
		policy != NULL ? policy->met_for_ms : 0, wall, &t))
		return;
	out->known = (struct gate_known){
	    .is_told = true,
	    .total = t.total,
	    .reached = t.why[0],
	    .wrote = t.why[1],
	    .beside = t.why[2],
	    .imported = t.why[3],
	    .met = t.met_now,
	};
}

static void
fill_signals(
    struct gate *g, const struct policy *policy, struct gate_sender_info *out)
{
	out->met_max = policy->conf->learn_inbound ? policy->met.set : 0;
	signal_credit(g, policy, str_from(out->sender), &out->credit);
	signal_networks(g, policy, str_from(out->sender), &out->networks);
}

/* By what people type, the key of one who knows somebody, as far as that has
 * been read. */
static bool
known_guess(struct gate *g, struct str name, char out[GATE_KEY_MAX])
{
	struct acquaintance_tally t;

	for (unsigned i = 0; recall_guess(g, name, i, out); i++) {
		if (g->remembers &&
		    acquaintances_tally(
			g->acquaintances, str_from(out), 0, 0, &t) &&
		    t.total > 0)
			return true;
	}
	return false;
}

/* Of one who never sent, was silent for idle_expiry, or whose recipients were
 * all refused. */
static bool
fill_receiver(struct gate *g, struct str name, struct gate_sender_info *out)
{
	const struct policy *policy;

	if (!signal_guess(g, name, g->shown_name) &&
	    !known_guess(g, name, g->shown_name))
		return false;
	policy =
	    source_choose_policy(g, str_from(g->shown_name), (struct str){0});
	*out = (struct gate_sender_info){
	    .sender = g->shown_name,
	    .policy = policy->conf->name,
	    .t = {.allowance = policy->throttle.initial,
		.next_release = INT64_MAX},
	    .next_release = INT64_MAX,
	    .working_set_max = policy->throttle.working_set,
	    .burst = policy->throttle.burst,
	    .freeze_at = policy->throttle.freeze_at,
	    .limits = policy->throttle.limits,
	    .limit_count = policy->throttle.limit_count,
	    .is_spared =
		policies_spares(g->policies, policy, str_from(g->shown_name)),
	};
	fill_signals(g, policy, out);
	fill_familiar(g, NULL, policy, g->now, out);
	return true;
}

/* Up to a second late, never early: what came since the start is not before it.
 */
static int64_t
accepted_at(const struct gate_source *data, int64_t now, int64_t wall)
{
	int64_t at = (int64_t)data->accepted * 1000;

	if (data->accepted == 0)
		return 0;
	return to_wall(at < now ? at : now, now, wall);
}

static void
fill(struct gate *g, struct throttle_source *src, int64_t now, int64_t wall,
    struct gate_sender_info *out)
{
	const struct gate_hand *hand = source_data(src)->hand;
	const struct option_rate *rate;
	const struct policy *policy;
	int64_t next;

	source_refresh(g, src);
	policy = source_policy(src);
	*out = (struct gate_sender_info){
	    .sender = source_name(src, g->shown_name),
	    .policy = policy->conf->name,
	    .frozen_at = source_data(src)->frozen_at,
	    .passed = source_passed(source_data(src), now),
	    .thaw_at = hand != NULL ? hand->thaw_at : 0,
	    .freeze_note =
		hand != NULL && hand->note[0] != '\0' ? hand->note : NULL,
	    .working_set_max = policy->throttle.working_set,
	    .burst = policy->throttle.paper ? policy->throttle.working_set
					    : policy->throttle.burst,
	    .freeze_at = policy->throttle.freeze_at,
	    .limits = policy->throttle.limits,
	    .limit_count = policy->throttle.limit_count,
	    .is_spared = throttle_is_spared(src),
	    .new_paths = source_data(src)->new_paths,
	    .held_paths = source_data(src)->held_paths,
	    .last_path = source_data(src)->last_path,
	    .waiting_elsewhere = source_data(src)->waiting_elsewhere,
	};
	out->stranger_messages = strangers_count(src, now, &rate);
	out->stranger_messages_max = rate->count;
	out->accepted_at = accepted_at(source_data(src), now, wall);
	fill_signals(g, policy, out);
	throttle_source_info(g->throttle, src, now, &out->t);
	fill_familiar(g, src, policy, now, out);
	next = out->t.next_release < out->familiar.next_release
		   ? out->t.next_release
		   : out->familiar.next_release;
	out->last_seen = to_wall(out->t.last_seen, now, wall);
	out->next_release = to_wall(next, now, wall);
}

bool
gate_sender_find(struct gate *g, struct str name, int64_t now, int64_t wall,
    struct gate_sender_info *out)
{
	struct throttle_source *src = source_guess(g, name);

	g->now = now;
	if (src != NULL)
		fill(g, src, now, wall, out);
	else if (!fill_receiver(g, name, out))
		return false;
	if (src != NULL)
		out->is_shared = shared_look(g, src);
	fill_known(g, wall, out);
	return true;
}

/* "alice" of "<alice+x@example.org>", "user:alice" and "alice". */
static struct str
bare_name(struct str name)
{
	if (str_istarts(name, STR("user:")))
		name = str_sub(name, 5, name.n);
	if (str_starts(name, STR("<")))
		name = str_sub(name, 1, name.n);
	name = str_sub(name, 0, str_index(name, '@'));
	name = str_sub(name, 0, str_index(name, '+'));
	return str_sub(name, 0, str_index(name, '>'));
}

/* A name that was mistyped before, and frozen, has a place in the table too. */
static bool
reached_nobody(struct gate *g, struct throttle_source *src)
{
	struct throttle_source_info info;

	throttle_source_info(g->throttle, src, g->now, &info);
	return info.working_set == 0 && source_queue(g, src) == 0;
}

size_t
gate_sender_like(
    struct gate *g, struct str name, char out[GATE_LIKE_MAX][POLICY_SOURCE_MAX])
{
	struct str bare = bare_name(name);
	size_t pos = 0, n = 0, logins = 0;

	for (unsigned i = 0;
	     bare.n > 0 && logins < GATE_LIKE_MAX && i < GATE_LIKE_STEPS; i++) {
		struct throttle_source *src = throttle_each(g->throttle, &pos);
		char key[GATE_KEY_MAX];
		size_t at;

		if (src == NULL)
			break;
		if (!str_ieq(
			bare_name(str_from(source_name(src, key))), bare) ||
		    reached_nobody(g, src))
			continue;
		at = key[0] == '<' ? n : logins++;
		if (at == GATE_LIKE_MAX)
			continue;
		if (n < GATE_LIKE_MAX)
			n++;
		memmove(out[at + 1], out[at], (n - at - 1) * sizeof(out[0]));
		(void)str_copy(str_from(key), out[at], POLICY_SOURCE_MAX);
	}
	return n;
}

bool
gate_expected(struct gate *g, struct str source, uint64_t destination,
    int64_t now, int64_t wall, struct gate_wait *out)
{
	struct throttle_source *src = source_find(g, source);
	int64_t due;

	g->now = now;
	if (src == NULL)
		return false;
	if (!throttle_expected(
		g->throttle, src, destination, now, &out->ahead, &due) &&
	    (tier_of(src) == NULL ||
		!throttle_expected(g->familiar, tier_of(src), destination, now,
		    &out->ahead, &due)))
		return false;
	out->frozen = freeze_is_on(src);
	out->due = out->frozen || due == INT64_MAX ? INT64_MAX
		   : due > now                     ? wall + (due - now)
						   : wall;
	return true;
}

/* Ids grow with time: the lowest ticket is the oldest message's. */
static void
take_lowest(void *arg, uint64_t destination, uint64_t ticket)
{
	uint64_t *lowest = arg;

	(void)destination;
	if (ticket != 0 && (*lowest == 0 || ticket < *lowest))
		*lowest = ticket;
}

int64_t
gate_sender_oldest(struct gate *g, const char *sender)
{
	struct throttle_source *src = source_find(g, str_from(sender));
	uint64_t lowest = 0;

	if (src != NULL)
		tier_queue_each(src, take_lowest, &lowest);
	return lowest != 0 ? spool_id_wall(SPOOL_ID(lowest)) : 0;
}

bool
gate_sender_each(struct gate *g, size_t *pos, int64_t now, int64_t wall,
    struct gate_sender_info *out)
{
	struct throttle_source *src = throttle_each(g->throttle, pos);

	if (src == NULL)
		return false;
	fill(g, src, now, wall, out);
	return true;
}

#define PAGE_MAX 1000

bool
gate_sender_page(struct gate *g, uint64_t *mark, size_t max, int64_t now,
    int64_t wall, bool (*fn)(void *arg, const struct gate_sender_info *info),
    void *arg)
{
	struct throttle_page_row rows[PAGE_MAX];
	size_t n = throttle_page(
	    g->throttle, *mark, rows, max < PAGE_MAX ? max : PAGE_MAX);
	struct gate_sender_info info;

	for (size_t i = 0; i < n; i++) {
		fill(g, rows[i].source, now, wall, &info);
		if (!fn(arg, &info))
			return true;
		*mark = rows[i].mark;
	}
	return n > 0;
}

bool
gate_has_policy(const struct gate *g, struct str name)
{
	return policies_find(g->policies, name) != NULL;
}

size_t
gate_sender_count(const struct gate *g)
{
	return throttle_source_count(g->throttle);
}

size_t
gate_frozen_count(const struct gate *g)
{
	return throttle_frozen_count(g->throttle);
}

size_t
gate_waiting_count(const struct gate *g)
{
	return throttle_waiting_count(g->throttle);
}

size_t
gate_near_count(const struct gate *g)
{
	return g->near_count;
}

/* ---- whom it knows ---- */

struct recall_op {
	struct recall recall;
	gate_recalled_fn *fn;
	void *arg;
};

static void
op_free(struct recall *r)
{
	free(CONTAINER_OF(r, struct recall_op, recall));
}

static void
on_recalled(struct recall *r, bool is_read)
{
	struct recall_op *op = CONTAINER_OF(r, struct recall_op, recall);

	(void)is_read;
	op->fn(op->arg);
	op_free(r);
}

void
gate_recall(struct gate *g, struct str name, int64_t now, int64_t wall,
    gate_recalled_fn *fn, void *arg)
{
	struct recall_op *op = xcalloc(1, sizeof(*op));

	g->now = now;
	op->recall.fn = on_recalled;
	op->recall.drop = op_free;
	op->fn = fn;
	op->arg = arg;
	recall_begin_name(g, name, wall, &op->recall);
}
