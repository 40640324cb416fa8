/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mail to recipients that a sender knows changes only who was reached last. The
 * server is told of it a little later, with what else is asked about the sender
 * or all at once, each recipient in the place of its last mail: nobody waits
 * for it, and a sender of many messages costs a call for many of them. Those of
 * an outage are forgotten, like all that a crash loses of known recipients.
 */
#include "gate/gate_shared_source.h"

#include <stdlib.h>
#include <string.h>

#define TOUCH_MS 100
#define TOUCHED_MAX 64 /* of a sender, then they are told */

static void
drop(struct shared_source *s)
{
	free(s->touched);
	s->touched = NULL;
	s->touched_n = 0;
	list_remove(&s->touch_entry);
}

void
shared_touch_forget(struct shared_source *s)
{
	if (s->touched_n > 0)
		drop(s);
}

static void
tell(struct gate *g, struct shared_source *s, int64_t now, int64_t wall)
{
	char name[GATE_KEY_MAX];

	if (!shared_rules(g, s->src))
		drop(s);
	else
		shared_ask_send(shared_ask_new(g, source_name(s->src, name),
				    SHARE_NEW, wall),
		    now);
}

static void
take_out(struct shared_source *s, uint64_t site)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->touched_n; i++) {
		if (s->touched[i] != site)
			s->touched[kept++] = s->touched[i];
	}
	s->touched_n = kept;
}

void
shared_touch(struct gate *g, struct throttle_source *src, uint64_t site)
{
	struct shared_source *s;

	if (!shared_rules(g, src))
		return;
	s = shared_of(g, src, SHARE_NEW);
	if (s->touched == NULL) {
		s->touched = xcalloc(TOUCHED_MAX, sizeof(*s->touched));
		list_append(&g->shared_touched, &s->touch_entry);
	}
	take_out(s, site);
	s->touched[s->touched_n++] = site;
	if (g->touch_due > g->now + TOUCH_MS)
		g->touch_due = g->now + TOUCH_MS;
	if (s->touched_n == TOUCHED_MAX)
		tell(g, s, g->now, g->wall);
}

void
shared_touch_take(struct shared_source *s, struct gate_shared_ask *ask)
{
	size_t n = s->touched_n;

	/* The first step of a signal is the signal. */
	if (n == 0 || ask->is_lost || ask->has_signal ||
	    ask->steps_n + n > SHARE_STEPS_MAX)
		return;
	ask->steps =
	    xrealloc(ask->steps, (n + ask->steps_n) * sizeof(*ask->steps));
	memmove(ask->steps + n, ask->steps, ask->steps_n * sizeof(*ask->steps));
	for (size_t i = 0; i < n; i++)
		ask->steps[i] = (struct share_step){
		    .what = SHARE_PASSED, .destination = s->touched[i]};
	ask->steps_n += n;
	drop(s);
}

void
shared_touch_run(struct gate *g, int64_t now, int64_t wall)
{
	struct list *e, *next;

	if (g->touch_due > now)
		return;
	g->touch_due = INT64_MAX;
	list_each_safe (e, next, &g->shared_touched)
		tell(g, LIST_ITEM(e, struct shared_source, touch_entry), now,
		    wall);
}
