/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sources as the administrator sees them.
 */
#include "gate/gate_internal.h"

static int64_t
to_wall(int64_t at, int64_t now, int64_t wall)
{
	return at == INT64_MAX ? INT64_MAX : wall + (at - now);
}

static void
fill_inbound(
    struct gate *g, const struct policy *policy, struct gate_sender_info *out)
{
	out->inbound_max =
	    policy->conf->learn_inbound ? policy->inbound.set : 0;
	out->inbound =
	    (uint32_t)inbound_count(g->inbound, str_from(out->sender), g->now);
}

/* Of one who never sent. */
static bool
fill_receiver(struct gate *g, struct str name, struct gate_sender_info *out)
{
	const struct policy *policy;

	if (!learnt_guess(g, name, g->shown_name))
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
	};
	fill_inbound(g, policy, out);
	return true;
}

static void
fill(struct gate *g, struct throttle_source *src, int64_t now, int64_t wall,
    struct gate_sender_info *out)
{
	const struct policy *policy = source_policy(src);

	*out = (struct gate_sender_info){
	    .sender = source_name(src, g->shown_name),
	    .policy = policy->conf->name,
	    .frozen_at = source_data(src)->frozen_at,
	    .working_set_max = policy->throttle.working_set,
	    .burst = policy->throttle.paper ? policy->throttle.working_set
					    : policy->throttle.burst,
	    .freeze_at = policy->throttle.freeze_at,
	    .new_paths = source_data(src)->new_paths,
	    .held_paths = source_data(src)->held_paths,
	    .last_path = source_data(src)->last_path,
	};
	fill_inbound(g, policy, out);
	throttle_source_info(g->throttle, src, now, &out->t);
	out->last_seen = to_wall(out->t.last_seen, now, wall);
	out->next_release = to_wall(out->t.next_release, now, wall);
}

bool
gate_sender_find(struct gate *g, struct str name, int64_t now, int64_t wall,
    struct gate_sender_info *out)
{
	struct throttle_source *src = source_guess(g, name);

	g->now = now;
	if (src == NULL)
		return fill_receiver(g, name, out);
	fill(g, src, now, wall, out);
	return true;
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
