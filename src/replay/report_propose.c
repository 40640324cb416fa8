/* SPDX-License-Identifier: BSD-3-Clause */
/* See report_propose.h: text, JSON and the table; report_propose_html.c has
 * the page. */
#include "config.h"

#include "replay/report_propose.h"

#include "base/units.h"
#include "replay/csv.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#define LISTED 20
#define NAME_SHOWN 60

static const char *
day_of(const struct propose_log *p, uint32_t seconds, char out[UNITS_TEXT_MAX])
{
	units_format_time(
	    p->logs->submissions.start + seconds * INT64_C(1000), out);
	out[10] = '\0';
	return out;
}

static const char *
name_of(const struct propose_log *p, uint32_t id, char out[NAME_SHOWN])
{
	return str_escape(
	    names_text(p->logs->submissions.names, id), out, NAME_SHOWN);
}

/* ---- text ---- */

static void
print_outcome(FILE *out, const char *label, const struct propose_outcome *o)
{
	char waited[40], frozen[40];

	snprintf(waited, sizeof(waited), "%" PRIu64 " of %" PRIu64, o->waited,
	    o->recipients);
	snprintf(frozen, sizeof(frozen), "%" PRIu64 " of %" PRIu64, o->frozen,
	    o->users);
	fprintf(out, "#   %-38s %18s  %7.3f %%  %12s\n", label, waited,
	    100 * propose_share(o), frozen);
}

static void
print_outcomes(FILE *out, const struct propose_log *p, const char *config)
{
	char from[UNITS_TEXT_MAX], to[UNITS_TEXT_MAX], label[100];

	fprintf(out, "#   %-38s %18s  %9s  %12s\n", "", "recipients waited",
	    "share", "users frozen");
	snprintf(label, sizeof(label), "first days, %s to %s",
	    day_of(p, 0, from), day_of(p, p->fit.from, to));
	print_outcome(out, label, &p->then.first);
	snprintf(label, sizeof(label), "fitted, %s to %s",
	    day_of(p, p->fit.from, from), day_of(p, p->fit.to, to));
	print_outcome(out, label, &p->then.fit);
	snprintf(label, sizeof(label), "kept back, %s to %s",
	    day_of(p, p->kept.from, from), day_of(p, p->kept.to, to));
	print_outcome(out, label, &p->then.kept);
	if (p->then.kept.users != p->then.kept_all.users)
		print_outcome(out, "kept back, with bursts", &p->then.kept_all);
	snprintf(label, sizeof(label), "kept back, with %.20s",
	    config != NULL ? config : "the defaults");
	print_outcome(out, label, &p->now.kept);
}

static void
print_attacks(FILE *out, const struct propose_log *p)
{
	fprintf(out,
	    "#\n# What a stolen account would reach in a day, and with %s\n"
	    "#   %-38s %9s  %12s  %9s  %12s\n",
	    "what there is now", "recipients a second", "strangers",
	    "frozen after", "now", "now");
	for (size_t i = 0; i < p->attack_count; i++) {
		const struct replay_attack *then = &p->then.attacks.attacks[i];
		const struct replay_attack *now = &p->now.attacks.attacks[i];
		char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX];

		fprintf(out, "#   %-38s %9u  %12s  %9u  %12s\n",
		    then->plan->text, (unsigned)then->after_day.strangers,
		    then->frozen_after >= 0
			? units_format_duration(then->frozen_after, a)
			: "never",
		    (unsigned)now->after_day.strangers,
		    now->frozen_after >= 0
			? units_format_duration(now->frozen_after, b)
			: "never");
	}
}

static void
print_touched(FILE *out, const struct propose_log *p)
{
	char name[NAME_SHOWN], at[UNITS_TEXT_MAX], longest[UNITS_TEXT_MAX];

	if (p->touched_count > 0)
		fputs("#\n# Senders affected in the part kept back\n", out);
	for (size_t i = 0; i < p->touched_count && i < LISTED; i++) {
		const struct propose_touched *t = &p->touched[i];

		fprintf(out, "#   %s: %" PRIu64 " recipients waited, up to %s",
		    name_of(p, t->id, name), t->waited,
		    units_format_duration(t->longest, longest));
		if (t->frozen_at >= 0)
			fprintf(out, ", frozen %s",
			    units_format_time(
				p->logs->submissions.start + t->frozen_at, at));
		fputs(t->is_left_out ? "; a burst: was the account stolen?\n"
				     : "\n",
		    out);
	}
	if (p->touched_count > LISTED)
		fprintf(out, "#   and %zu more; --json has all\n",
		    p->touched_count - LISTED);
}

static void
print_left_out(FILE *out, const struct propose_log *p)
{
	uint32_t max = p->logs->submissions.trace.id_max;
	char name[NAME_SHOWN];
	size_t n = 0;

	for (uint32_t id = 0; id <= max; id++) {
		if (!p->left_out_fit[id])
			continue;
		if (n++ == 0)
			fputs("#\n# Not fitted, because of a burst on a single "
			      "day; look at them first\n",
			    out);
		if (n <= LISTED)
			fprintf(out, "#   %s\n", name_of(p, id, name));
	}
}

bool
report_propose_text(const struct propose_log *p, const char *config, FILE *out)
{
	const struct logs *l = p->logs;

	fprintf(out,
	    "# Proposed by weir-replay " PACKAGE_VERSION
	    " from %zu file%s: %" PRIu64 " messages sent.\n"
	    "# Target: at most %g %% of recipients wait, and nobody is "
	    "frozen.\n",
	    l->name_count, l->name_count == 1 ? "" : "s",
	    l->submissions.stats.requests, 100 * p->search.target);
	if (!p->search.is_reached)
		fputs("# No policy that was tried meets the target; this one "
		      "comes closest. Give\n# senders that stand out a policy "
		      "of their own first.\n",
		    out);
	else if (!propose_meets(&p->search, &p->then.kept))
		fputs("# The part kept back misses the target: the first part "
		      "was too short or too\n# different.\n",
		    out);
	fputs("#\n", out);
	print_outcomes(out, p, config);
	print_attacks(out, p);
	print_touched(out, p);
	print_left_out(out, p);
	fprintf(out, "\n%s", p->fragment);
	return fflush(out) == 0 && !ferror(out);
}

/* ---- JSON ---- */

static json_t *
outcome_json(const struct propose_outcome *o)
{
	return json_pack("{s:I, s:I, s:f, s:I, s:I, s:f}", "recipients",
	    (json_int_t)o->recipients, "waited", (json_int_t)o->waited, "share",
	    propose_share(o), "users", (json_int_t)o->users, "frozen_users",
	    (json_int_t)o->frozen, "strangers_reached", o->reached);
}

static json_t *
attacks_json(const struct replay_result *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->attack_count; i++) {
		const struct replay_attack *a = &r->attacks[i];

		json_array_append_new(list,
		    json_pack("{s:s, s:I, s:o}", "attack", a->plan->text,
			"strangers_in_a_day",
			(json_int_t)a->after_day.strangers, "frozen_after_s",
			a->frozen_after >= 0
			    ? json_real((double)a->frozen_after / 1000)
			    : json_null()));
	}
	return list;
}

static json_t *
check_json(const struct propose_check *c)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "first_days",
	    outcome_json(&c->first), "fitted", outcome_json(&c->fit),
	    "kept_back", outcome_json(&c->kept), "kept_back_with_bursts",
	    outcome_json(&c->kept_all), "attacks", attacks_json(&c->attacks));
}

static json_t *
window_json(const struct propose_log *p, struct propose_window w)
{
	int64_t start = p->logs->submissions.start;
	char from[UNITS_TEXT_MAX], to[UNITS_TEXT_MAX];

	return json_pack("{s:s, s:s}", "from",
	    units_format_time(start + w.from * INT64_C(1000), from), "to",
	    units_format_time(start + w.to * INT64_C(1000), to));
}

static json_t *
policy_json(const struct propose_policy *policy)
{
	json_t *o = json_object();

	for (int i = 0; i < PROPOSE_NUMBERS; i++)
		json_object_set_new(
		    o, propose_number_name[i], json_integer(policy->v[i]));
	return o;
}

static json_t *
touched_json(const struct propose_log *p)
{
	int64_t start = p->logs->submissions.start;
	json_t *list = json_array();
	char name[1024], at[UNITS_TEXT_MAX];

	for (size_t i = 0; i < p->touched_count; i++) {
		const struct propose_touched *t = &p->touched[i];
		struct str who = names_text(p->logs->submissions.names, t->id);

		json_array_append_new(
		    list, json_pack("{s:s, s:I, s:f, s:o, s:b}", "sender",
			      str_escape(who, name, sizeof(name)), "waited",
			      (json_int_t)t->waited, "longest_s",
			      (double)t->longest / 1000, "frozen_at",
			      t->frozen_at >= 0 ? json_string(units_format_time(
						      start + t->frozen_at, at))
						: json_null(),
			      "burst", (int)t->is_left_out));
	}
	return list;
}

/* A file's name need not be UTF-8. */
static json_t *
path_json(const char *path)
{
	json_t *v = path != NULL ? json_string(path) : NULL;

	return v != NULL ? v : json_null();
}

bool
report_propose_json(const struct propose_log *p, const char *config, FILE *out)
{
	json_t *tried = json_array(), *o;
	bool ok;

	for (size_t i = 0; i < p->search.trial_count; i++) {
		const struct propose_trial *t = &p->search.trials[i];

		json_array_append_new(tried,
		    json_pack("{s:o, s:o}", "policy", policy_json(&t->policy),
			"fitted", outcome_json(&t->outcome)));
	}
	o = json_pack(
	    "{s:f, s:b, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	    "target", p->search.target, "is_reached", (int)p->search.is_reached,
	    "is_confirmed", (int)propose_meets(&p->search, &p->then.kept),
	    "fragment", p->fragment, "policy",
	    policy_json(&p->search.best->policy), "fitted_on",
	    window_json(p, p->fit), "kept_back", window_json(p, p->kept),
	    "proposal", check_json(&p->then), "config", path_json(config),
	    "now", check_json(&p->now), "touched", touched_json(p), "tried",
	    tried);
	ok = o != NULL && json_dumpf(o, out, JSON_INDENT(2)) == 0;
	json_decref(o);
	fputc('\n', out);
	return ok && fflush(out) == 0 && !ferror(out);
}

/* ---- a table ---- */

bool
report_propose_csv(const struct propose_log *p, FILE *out)
{
	static const char *const results[] = {"recipients", "waited", "share",
	    "users", "frozen_users", "strangers_reached", "is_proposed", NULL};
	struct csv c = {.out = out};

	for (int i = 0; i < PROPOSE_NUMBERS; i++)
		csv_text(&c, str_from(propose_number_name[i]));
	csv_heads(&c, results);
	for (size_t i = 0; i < p->search.trial_count; i++) {
		const struct propose_trial *t = &p->search.trials[i];

		for (int k = 0; k < PROPOSE_NUMBERS; k++)
			csv_number(&c, t->policy.v[k]);
		csv_number(&c, t->outcome.recipients);
		csv_number(&c, t->outcome.waited);
		csv_real(&c, propose_share(&t->outcome));
		csv_number(&c, t->outcome.users);
		csv_number(&c, t->outcome.frozen);
		csv_real(&c, t->outcome.reached);
		csv_number(&c, t == p->search.best);
		csv_end_row(&c);
	}
	return fflush(out) == 0 && !ferror(out);
}
