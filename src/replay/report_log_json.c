/* SPDX-License-Identifier: BSD-3-Clause */
/* The report on logs as a program reads it; doc/weir-replay.1 has the keys. */
#include "replay/report_log.h"

#include "base/units.h"
#include "replay/report_outcome.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define EVIDENCE 5

static json_t *
number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *
text(struct str s)
{
	json_t *v = json_stringn(s.p, s.n);
	char shown[1024];

	/* A log's bytes need not be UTF-8. */
	return v != NULL ? v : json_string(str_escape(s, shown, sizeof(shown)));
}

static json_t *
name(const struct report_log *r, uint32_t id)
{
	return text(names_text(r->logs->submissions.names, id));
}

static json_t *
wall(int64_t ms)
{
	char out[UNITS_TEXT_MAX];

	return json_string(units_format_time(ms, out));
}

static json_t *
line_json(const struct report_log *r, uint32_t message)
{
	const struct submissions *s = &r->logs->submissions;
	const struct trace_message *m = &s->trace.messages[message];
	const struct submission *sent = &s->v[s->of[message]];
	json_t *o = json_object(), *to = json_array();

	json_object_set_new(
	    o, "file", text(str_from(r->logs->names[sent->place.file])));
	json_object_set_new(o, "line", number(sent->place.line));
	json_object_set_new(o, "at", wall(sent->at));
	for (uint32_t i = 0; i < m->count; i++)
		json_array_append_new(
		    to, name(r, s->trace.recipients[m->first + i]));
	json_object_set_new(o, "recipients", to);
	return o;
}

static json_t *
freezes_json(const struct report_log *r)
{
	const struct replay_result *result = r->report->result;
	json_t *list = json_array();
	uint32_t evidence[EVIDENCE];

	for (size_t i = 0; i < result->freeze_count; i++) {
		const struct replay_freeze *f = &result->freezes[i];
		size_t n = report_log_evidence(r, f, evidence, EVIDENCE);
		json_t *o = json_object(), *lines = json_array();

		json_object_set_new(o, "sender", name(r, f->sender));
		json_object_set_new(o, "at", wall(report_log_wall(r, f->at)));
		json_object_set_new(o, "queue_length", number(f->queue_length));
		json_object_set_new(o, "reason", text(str_from(f->reason)));
		for (size_t k = 0; k < n; k++)
			json_array_append_new(lines, line_json(r, evidence[k]));
		json_object_set_new(o, "lines", lines);
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
habits_json(const struct report_log *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->habit_count; i++) {
		const struct sender_habits *h = &r->habits[i];
		json_t *o = json_object();

		json_object_set_new(o, "sender", name(r, h->id));
		json_object_set_new(o, "messages", number(h->messages));
		json_object_set_new(o, "recipients", number(h->recipients));
		json_object_set_new(o, "strangers", number(h->strangers));
		json_object_set_new(o, "strangers_in_a_day", number(h->day));
		json_object_set_new(o, "strangers_in_a_week", number(h->week));
		json_object_set_new(
		    o, "burst", json_boolean(report_log_is_burst(h)));
		json_object_set_new(
		    o, "bulk", json_boolean(report_log_is_bulk(h)));
		json_object_set_new(
		    o, "slow", json_boolean(report_log_is_slow(h)));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
log_json(const struct logs *l)
{
	const struct submissions_stats *m = &l->submissions.stats;
	json_t *o = json_object(), *uses = json_object(), *samples;
	json_t *formats = json_array();

	samples = json_array();
	json_object_set_new(o, "lines", number(l->stats.lines));
	for (int i = 0; i < READER_USES; i++)
		json_object_set_new(
		    uses, reader_use_name[i], number(l->stats.uses[i]));
	json_object_set_new(o, "what_became_of_them", uses);
	for (size_t i = 0; i < l->stats.sample_count; i++)
		json_array_append_new(
		    samples, text(str_from(l->stats.samples[i])));
	json_object_set_new(o, "not_understood", samples);
	for (size_t i = 0; i < l->stats.format_count; i++)
		json_array_append_new(
		    formats, json_string(l->stats.formats[i]->name));
	json_object_set_new(o, "formats", formats);
	json_object_set_new(o, "submitted", number(m->requests));
	json_object_set_new(o, "incoming", number(m->incoming));
	json_object_set_new(o, "passing", number(m->passing));
	json_object_set_new(o, "doubles", number(m->doubles));
	json_object_set_new(o, "handed_back", number(l->joined.hops));
	json_object_set_new(o, "orphan_lines", number(l->joined.orphans));
	json_object_set_new(o, "without_recipient", number(l->joined.nameless));
	json_object_set_new(o, "partial", number(l->joined.partial));
	json_object_set_new(o, "first", wall(l->stats.first));
	json_object_set_new(o, "last", wall(l->stats.last));
	return o;
}

static json_t *
report_json(const struct report *r)
{
	json_t *o = json_object();

	json_object_set_new(o, "config",
	    r->config != NULL ? text(str_from(r->config)) : json_null());
	json_object_set_new(o, "policy",
	    r->policy != NULL ? text(str_from(r->policy)) : json_null());
	json_object_set_new(o, "messages", number(r->messages));
	json_object_set_new(o, "recipients", number(r->recipients));
	json_object_set_new(o, "senders", number(r->senders));
	json_object_set_new(o, "days", json_real(r->days));
	report_json_figures(r, o);
	return o;
}

static json_t *
outcome_json(const struct report_log *r, const struct report_outcome *f)
{
	json_t *o = json_object();

	json_object_set_new(o, "waited", number(f->waited));
	json_object_set_new(
	    o, "longest_s", json_real((double)f->longest / 1000));
	json_object_set_new(o, "freezes", number(f->freezes));
	json_object_set_new(o, "frozen_at",
	    f->frozen != NULL ? wall(report_log_wall(r, f->frozen->at))
			      : json_null());
	return o;
}

/* Senders affected by the change, before and after. */
static json_t *
touched_json(const struct report_log *r)
{
	const struct trace *t = &r->logs->submissions.trace;
	struct report_outcome *a = report_outcomes(t, r->report->result);
	struct report_outcome *b = report_outcomes(t, r->other->result);
	json_t *list = json_array();

	for (uint32_t id = 0; id <= t->id_max; id++) {
		json_t *o;

		if (!report_outcome_differs(&a[id], &b[id]))
			continue;
		o = json_object();
		json_object_set_new(o, "sender", name(r, id));
		json_object_set_new(o, "before", outcome_json(r, &a[id]));
		json_object_set_new(o, "after", outcome_json(r, &b[id]));
		json_array_append_new(list, o);
	}
	free(a);
	free(b);
	return list;
}

bool
report_log_print_json(const struct report_log *r)
{
	json_t *o = report_json(r->report);
	bool ok;

	json_object_set_new(o, "freezes", freezes_json(r));
	json_object_set_new(o, "behaviour", habits_json(r));
	json_object_set_new(o, "log", log_json(r->logs));
	if (r->other != NULL) {
		json_object_set_new(o, "other", report_json(r->other));
		json_object_set_new(o, "touched", touched_json(r));
	}
	ok = json_dumpf(o, stdout, JSON_INDENT(2)) == 0;
	json_decref(o);
	putchar('\n');
	return ok && fflush(stdout) == 0 && !ferror(stdout);
}
