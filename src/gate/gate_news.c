/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the gate tells: a log line and an event for each thing that happened,
 * the gauges, and the hearer of its schedule.
 */
#include "gate/gate_internal.h"

#include <inttypes.h>
#include <string.h>

static const enum log_event_id line_of[EVENT_TYPE_MAX] = {
    [EVENT_HOLD] = LOG_EV_GATE_HOLD,
    [EVENT_OBSERVE] = LOG_EV_GATE_OBSERVE,
    [EVENT_REFUSE] = LOG_EV_GATE_REFUSE,
    [EVENT_RELEASE] = LOG_EV_GATE_RELEASE,
    [EVENT_DISCARD] = LOG_EV_GATE_DISCARD,
    [EVENT_FREEZE] = LOG_EV_GATE_FREEZE,
    [EVENT_THAW] = LOG_EV_GATE_THAW,
    [EVENT_SPARE] = LOG_EV_GATE_SPARE,
    [EVENT_DECOY] = LOG_EV_GATE_DECOY,
    [EVENT_CREDIT] = LOG_EV_GATE_CREDIT,
    [EVENT_NETWORKS] = LOG_EV_GATE_NETWORKS,
    [EVENT_UNKNOWN] = LOG_EV_GATE_UNKNOWN,
    [EVENT_BLAST] = LOG_EV_GATE_BLAST,
    [EVENT_STRANGERS] = LOG_EV_GATE_STRANGERS,
    [EVENT_PERSISTENT] = LOG_EV_GATE_PERSISTENT,
    [EVENT_WARN] = LOG_EV_GATE_WARN,
};

void
gate_tell(struct gate *g, int64_t wall, const struct gate_news *news)
{
	char id[SPOOL_ID_TEXT] = "";

	if (g->is_dry)
		return;
	if (news->ticket != 0)
		spool_id_format(SPOOL_ID(news->ticket), id);
	log_write(g->log, line_of[news->type], KV(sender, news->sender),
	    KV(policy, news->policy), KV(id, news->ticket != 0 ? id : NULL),
	    KV(to, news->address), KV(mta_id, news->mta_id),
	    KV(until, news->until), KV(reason, news->why),
	    KV(queue_length, news->queue_length));
	events_add_option(g->events, wall, news->type, news->option,
	    news->sender, id, "%s%s%s",
	    news->address != NULL ? news->address : "",
	    news->address != NULL ? ": " : "", news->why);
}

void
gate_tell_error(struct gate *g, const char *what, const char *sender, int error)
{
	counters_add(g->counters, COUNT_SPOOL_ERRORS, 1);
	log_write(g->log, LOG_EV_GATE_SPOOL_ERROR, KV(task, what),
	    KV(sender, sender), KV(error, strerror(error)));
}

void
gate_changed(struct gate *g)
{
	int64_t due = gate_next_due(g);

	counters_set(
	    g->counters, COUNT_SENDERS, throttle_source_count(g->throttle));
	counters_set(g->counters, COUNT_FROZEN_SENDERS,
	    throttle_frozen_count(g->throttle));
	if (due >= g->told_due)
		return;
	g->told_due = due;
	if (g->callbacks->on_schedule != NULL)
		g->callbacks->on_schedule(g->arg);
}
