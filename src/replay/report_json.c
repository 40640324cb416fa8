/* SPDX-License-Identifier: BSD-3-Clause */
/* The report as a program reads it; doc/weir-replay.1 has the keys. */
#include "replay/report.h"

#include <jansson.h>
#include <stdio.h>

static json_t *
number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *
seconds(int64_t ms)
{
	return json_real((double)ms / 1000);
}

static json_t *
text(const char *s)
{
	json_t *v = s != NULL ? json_string(s) : json_null();

	/* A file's name need not be UTF-8. */
	return v != NULL ? v : json_null();
}

static json_t *
spread_json(const struct report_spread *s, uint64_t of)
{
	json_t *o = json_object();

	json_object_set_new(o, "number", number(s->count));
	json_object_set_new(
	    o, "share", json_real(of > 0 ? (double)s->count / (double)of : 0));
	json_object_set_new(o, "median_s", seconds(s->median));
	json_object_set_new(o, "p90_s", seconds(s->p90));
	json_object_set_new(o, "p99_s", seconds(s->p99));
	json_object_set_new(o, "longest_s", seconds(s->longest));
	return o;
}

static json_t *
causes_json(const uint64_t causes[REPLAY_CAUSES])
{
	static const char *const keys[REPLAY_CAUSES] = {
	    [REPLAY_FORGOTTEN] = "forgotten",
	    [REPLAY_MANY_IN_ONE] = "many_in_one_message",
	    [REPLAY_FIRST_DAYS] = "first_days",
	    [REPLAY_BUSY] = "busy",
	};
	json_t *o = json_object();

	for (int i = 0; i < REPLAY_CAUSES; i++)
		json_object_set_new(o, keys[i], number(causes[i]));
	return o;
}

static json_t *
sender_json(const struct report_sender *s, const struct names *names)
{
	json_t *o = json_object();
	char shown[1024];

	json_object_set_new(o, "user",
	    names == NULL ? number(s->id)
			  : json_string(str_escape(names_text(names, s->id),
				shown, sizeof(shown))));
	json_object_set_new(o, "messages", number(s->messages));
	json_object_set_new(o, "recipients", number(s->recipients));
	json_object_set_new(o, "waited", number(s->waited));
	json_object_set_new(o, "total_s", seconds(s->total));
	json_object_set_new(o, "longest_s", seconds(s->longest));
	json_object_set_new(o, "freezes", number(s->freezes));
	json_object_set_new(o, "why", causes_json(s->causes));
	return o;
}

static json_t *
figures_json(const struct report_figures *f, const struct names *names)
{
	json_t *o = json_object(), *top = json_array();

	json_object_set_new(o, "messages", number(f->messages));
	json_object_set_new(o, "recipients", number(f->recipients));
	json_object_set_new(
	    o, "recipients_waited", spread_json(&f->waited, f->recipients));
	json_object_set_new(o, "messages_waited",
	    spread_json(&f->messages_waited, f->messages));
	json_object_set_new(o, "never_passed", number(f->never));
	json_object_set_new(o, "why", causes_json(f->causes));
	json_object_set_new(o, "freezes", number(f->freezes));
	json_object_set_new(o, "users_frozen", number(f->frozen_users));
	json_object_set_new(o, "users", number(f->users));
	json_object_set_new(o, "users_unnoticed", number(f->unnoticed));
	for (size_t i = 0; i < f->top_count; i++)
		json_array_append_new(top, sender_json(&f->top[i], names));
	json_object_set_new(o, "waited_most", top);
	return o;
}

static json_t *
freezes_json(const struct report *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->result->freeze_count; i++) {
		const struct replay_freeze *f = &r->result->freezes[i];
		json_t *o = json_object();

		json_object_set_new(o, "sender", number(f->sender));
		json_object_set_new(o, "user",
		    json_boolean(trace_node(r->nodes, f->sender).is_user));
		json_object_set_new(o, "at_s", seconds(f->at));
		json_object_set_new(o, "queue_length", number(f->queue_length));
		json_object_set_new(o, "reason", text(f->reason));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
reached_json(const struct replay_reached *r)
{
	json_t *o = json_object();

	json_object_set_new(o, "strangers", number(r->strangers));
	json_object_set_new(o, "known", number(r->known));
	return o;
}

static json_t *
outbreak_json(const struct stolen_result *s)
{
	const struct replay_outbreak *o = &s->outbreak;
	json_t *v = json_object();
	bool frozen = o->frozen > 0;

	json_object_set_new(v, "attack", text(o->plan->text));
	json_object_set_new(v, "started_s", seconds(o->started));
	json_object_set_new(v, "accounts", number(o->accounts));
	json_object_set_new(v, "frozen", number(o->frozen));
	json_object_set_new(v, "half_frozen_after_s",
	    frozen ? seconds(o->median_after) : json_null());
	json_object_set_new(v, "all_frozen_after_s",
	    frozen && o->frozen == o->accounts ? seconds(o->last_after)
					       : json_null());
	json_object_set_new(v, "strangers", number(o->reached.strangers));
	json_object_set_new(v, "known", number(o->reached.known));
	json_object_set_new(v, "reason", text(o->reason));
	json_object_set_new(v, "others", number(s->innocent));
	json_object_set_new(v, "others_touched", number(s->touched));
	json_object_set_new(
	    v, "others_recipients_waited", number(s->touched_recipients));
	return v;
}

static json_t *
outbreaks_json(const struct report *r)
{
	json_t *list = json_array();

	for (size_t i = 0; r->stolen != NULL && i < r->stolen->count; i++)
		json_array_append_new(list, outbreak_json(&r->stolen->v[i]));
	return list;
}

static json_t *
attacks_json(const struct report *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->result->attack_count; i++) {
		const struct replay_attack *a = &r->result->attacks[i];
		bool frozen = a->frozen_after >= 0;
		json_t *o = json_object();

		json_object_set_new(o, "attack", text(a->plan->text));
		json_object_set_new(o, "started_s", seconds(a->started));
		json_object_set_new(o, "frozen_after_s",
		    frozen ? seconds(a->frozen_after) : json_null());
		json_object_set_new(o, "reason", text(a->reason));
		json_object_set_new(o, "at_freeze",
		    frozen ? reached_json(&a->at_freeze) : json_null());
		json_object_set_new(
		    o, "after_day", reached_json(&a->after_day));
		json_array_append_new(list, o);
	}
	return list;
}

void
report_json_figures(const struct report *r, struct json_t *to)
{
	json_t *figures;

	for (int i = 0; i < REPORT_COLUMNS; i++) {
		figures = figures_json(&r->figures[i], r->names);
		json_object_set_new(to, report_column_name[i], figures);
	}
	json_object_set_new(to, "attacks", attacks_json(r));
	json_object_set_new(to, "outbreaks", outbreaks_json(r));
}

bool
report_print_json(const struct report *r)
{
	json_t *o = json_object();
	bool ok;

	json_object_set_new(o, "trace", text(r->trace));
	json_object_set_new(o, "config", text(r->config));
	json_object_set_new(o, "policy", text(r->policy));
	json_object_set_new(o, "local_domains", json_boolean(!r->no_local));
	json_object_set_new(o, "messages", number(r->messages));
	json_object_set_new(o, "recipients", number(r->recipients));
	json_object_set_new(o, "senders", number(r->senders));
	json_object_set_new(o, "unlisted", number(r->unlisted));
	json_object_set_new(o, "days", json_real(r->days));
	for (int i = 0; i < REPORT_COLUMNS; i++)
		json_object_set_new(o, report_column_name[i],
		    figures_json(&r->figures[i], NULL));
	json_object_set_new(o, "freezes", freezes_json(r));
	json_object_set_new(o, "attacks", attacks_json(r));
	json_object_set_new(o, "outbreaks", outbreaks_json(r));
	ok = json_dumpf(o, stdout, JSON_INDENT(2)) == 0;
	json_decref(o);
	putchar('\n');
	return ok && fflush(stdout) == 0 && !ferror(stdout);
}
