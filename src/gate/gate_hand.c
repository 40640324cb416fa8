/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a person says of a freeze: why, and until when. It is stored with the
 * freeze, and goes with it: whoever thaws ends it, and what is frozen later by
 * a rule has no time to it. The time is the wall clock's, as people mean it.
 *
 * When it is over the sender is thawed, unless as many recipients wait by then
 * as freeze its kind: a sender that is frozen is not frozen again, and one that
 * is thawed with such a queue is not either, so all of it would go out and
 * nobody would have looked.
 */
#include "gate/gate_internal.h"
#include "gate/gate_tier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The wall clock may be set. */
#define LOOK_EVERY_MS 60000
#define AGAIN_MS 5000

void
hand_drop(struct gate_source *data)
{
	if (data->hand == NULL)
		return;
	list_remove(&data->hand->entry);
	free(data->hand);
	data->hand = NULL;
}

void
hand_set(struct gate *g, struct throttle_source *src, const char *note,
    int64_t thaw_at)
{
	struct gate_source *data = source_data(src);
	struct gate_hand *hand;

	hand_drop(data);
	if (note == NULL && thaw_at == 0)
		return;
	hand = data->hand = xcalloc(1, sizeof(*hand));
	list_init(&hand->entry);
	hand->src = src;
	hand->thaw_at = thaw_at;
	str_copy(str_from(note), hand->note, sizeof(hand->note));
	if (thaw_at == 0)
		return;
	list_append(&g->hands, &hand->entry);
	g->hands_due = g->now; /* to be set by the run */
}

void
hand_thaw_failed(struct gate *g, const char *sender)
{
	struct throttle_source *src = source_find(g, str_from(sender));

	if (src == NULL || source_data(src)->hand == NULL)
		return;
	source_data(src)->hand->is_thawing = false;
	g->hands_due = g->now + AGAIN_MS;
}

static void
end_freeze(struct gate *g, struct gate_hand *hand, int64_t now, int64_t wall)
{
	struct throttle_source *src = hand->src;
	uint32_t freeze_at = throttle_source_policy(src)->freeze_at;
	uint32_t familiar_at = source_policy(src)->familiar.freeze_at;
	uint32_t familiar = tier_queue(g, src);
	struct throttle_source_info info;
	uint32_t waiting;
	char note[GATE_NOTE_MAX];

	throttle_source_info(g->throttle, src, g->now, &info);
	waiting = info.own_waiting;
	hand->is_thawing = true;
	if (familiar_at > 0 && familiar >= familiar_at) {
		freeze_at = familiar_at;
		waiting = familiar;
	}
	if (freeze_at == 0 || waiting < freeze_at || throttle_is_spared(src)) {
		admin_thaw_in_time(g, src, now, wall);
		return;
	}
	snprintf(note, sizeof(note),
	    "the time of its freeze is over, but %u of %u recipients are "
	    "waiting%s%.120s",
	    waiting, freeze_at,
	    hand->note[0] != '\0' ? "; the reason was: " : "", hand->note);
	freeze_go_on(g, src, note, now, wall);
}

void
hand_run(struct gate *g, int64_t now, int64_t wall)
{
	struct list *e, *next;
	char name[GATE_KEY_MAX];

	g->hands_due = INT64_MAX;
	list_each_safe (e, next, &g->hands) {
		struct gate_hand *hand = LIST_ITEM(e, struct gate_hand, entry);
		int64_t left = hand->thaw_at - wall;

		if (hand->is_thawing)
			continue;
		if (left <= 0 &&
		    !freeze_is_under_way(g, source_name(hand->src, name))) {
			end_freeze(g, hand, now, wall);
			continue;
		}
		left = left > 0 ? left : AGAIN_MS;
		left = left < LOOK_EVERY_MS ? left : LOOK_EVERY_MS;
		if (now + left < g->hands_due)
			g->hands_due = now + left;
	}
}
