/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a sender spends is told to whoever shares it with other relays, and what
 * it spent there is taken off here. Nothing is refused or frozen in that
 * moment: the next message from here meets a smaller allowance, fuller windows
 * and more messages to strangers.
 */
#include "gate/gate_strangers.h"

#define MESSAGES_MAX 1000 /* at once: more than any policy allows */

void
spent_tell(struct gate *g, struct throttle_source *src, uint32_t recipients,
    uint32_t messages)
{
	char name[GATE_KEY_MAX];

	if (src == NULL || g->observe || g->callbacks->on_spent == NULL)
		return;
	g->callbacks->on_spent(
	    g->arg, source_name(src, name), recipients, messages);
}

void
gate_spent_elsewhere(struct gate *g, const char *sender, uint32_t recipients,
    uint32_t messages, int64_t now)
{
	struct str key = str_from(sender);
	struct throttle_source *src = source_find(g, key);

	g->now = now;
	if (src == NULL)
		src = source_get(g, key,
		    source_choose_policy(g, key, (struct str){0}), now, false);
	if (src == NULL)
		return;
	if (recipients > 0)
		throttle_take(g->throttle, src, recipients, now);
	for (uint32_t i = 0; i < messages && i < MESSAGES_MAX; i++)
		strangers_add(g, src, now);
	source_touch(g, src);
	gate_changed(g);
}
