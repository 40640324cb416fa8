/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the gate tells: a log line and an event for each thing that happened,
 * the gauges, and the hearer of its schedule.
 */
#include "gate/gate_internal.h"

#include <inttypes.h>
#include <string.h>

static enum log_level
level_of(enum event_type type)
{
	return type == EVENT_FREEZE || type == EVENT_SPARE ||
		       type == EVENT_WARN || type == EVENT_DECOY ||
		       type == EVENT_CREDIT || type == EVENT_NETWORKS ||
		       type == EVENT_BLAST || type == EVENT_STRANGERS ||
		       type == EVENT_PERSISTENT
		   ? LOG_LEVEL_WARNING
		   : LOG_LEVEL_INFO;
}

static void
log_news(struct gate *g, const struct gate_news *news, const char *id)
{
	char sender[LOG_QUOTE_MAX], policy[LOG_QUOTE_MAX], why[LOG_QUOTE_MAX];
	char address[LOG_QUOTE_MAX], mta[LOG_QUOTE_MAX];
	char until[UNITS_TEXT_MAX] = "thaw";

	if (news->until != INT64_MAX)
		units_format_time(news->until, until);
	log_event(g->log, level_of(news->type), "gate",
	    event_type_name[news->type],
	    "sender=%s policy=%s%s%s%s%s%s%s%s%s why=%s queue_length=%" PRIu32,
	    log_quote(str_from(news->sender), sender),
	    log_quote(str_from(news->policy), policy),
	    id[0] != '\0' ? " id=" : "", id,
	    news->address != NULL ? " to=" : "",
	    news->address != NULL ? log_quote(str_from(news->address), address)
				  : "",
	    news->mta_id != NULL ? " mta_id=" : "",
	    news->mta_id != NULL ? log_quote(str_from(news->mta_id), mta) : "",
	    news->until != 0 ? " until=" : "", news->until != 0 ? until : "",
	    log_quote(str_from(news->why), why), news->queue_length);
}

void
gate_tell(struct gate *g, int64_t wall, const struct gate_news *news)
{
	char id[SPOOL_ID_TEXT] = "";

	if (g->is_dry)
		return;
	if (news->ticket != 0)
		spool_id_format(SPOOL_ID(news->ticket), id);
	if (log_is_on(g->log, level_of(news->type)))
		log_news(g, news, id);
	events_add_option(g->events, wall, news->type, news->option,
	    news->sender, id, "%s%s%s",
	    news->address != NULL ? news->address : "",
	    news->address != NULL ? ": " : "", news->why);
}

void
gate_tell_error(struct gate *g, const char *what, const char *sender, int error)
{
	char quoted[LOG_QUOTE_MAX], why[LOG_QUOTE_MAX];

	counters_add(g->counters, COUNT_SPOOL_ERRORS, 1);
	log_event(g->log, LOG_LEVEL_ERROR, "gate", "spool-error",
	    "doing=%s sender=%s error=%s", what,
	    log_quote(str_from(sender), quoted),
	    log_quote(str_from(strerror(error)), why));
}

void
gate_changed(struct gate *g)
{
	int64_t due = gate_next_due(g);

	counters_set(
	    g->counters, COUNT_SENDERS, throttle_source_count(g->throttle));
	counters_set(g->counters, COUNT_FROZEN_SENDERS,
	    throttle_frozen_count(g->throttle));
	learnt_count(g);
	if (due >= g->told_due)
		return;
	g->told_due = due;
	if (g->callbacks->on_schedule != NULL)
		g->callbacks->on_schedule(g->arg);
}
