/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See propose_log.h. A trial replays only what can make a difference: the mail
 * of senders that wait under the strictest policy of the grid, and mail to
 * them, from which they learn. What a thief reaches does not depend on the
 * mail of others, and is asked of a log of one message. What is chosen in the
 * end is replayed whole.
 */
#include "replay/propose_log.h"

#include "replay/people.h"
#include "replay/report_log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define DAY_S 86400u
#define LEARNING_MAX_S (30 * DAY_S)
#define LEAST_RECIPIENTS 200

/* Some of the log's messages, under their own numbers. */
struct part {
	struct logs logs; /* but for its submissions borrowed */
	struct trace_message *messages;
	uint32_t *of;
};

struct trying {
	struct propose_log *p;
	struct part part, one; /* one: a single message, for attacks */
	struct err *err;
	int status;
};

/* ---- parts ---- */

static void
part_init(struct part *part, const struct logs *logs)
{
	const struct submissions *s = &logs->submissions;
	size_t n = s->trace.message_count + 1;

	*part = (struct part){
	    .logs = *logs,
	    .messages = xcalloc(n, sizeof(*part->messages)),
	    .of = xcalloc(n, sizeof(*part->of)),
	};
	part->logs.submissions.trace.messages = part->messages;
	part->logs.submissions.trace.message_count = 0;
	part->logs.submissions.of = part->of;
}

static void
part_add(struct part *part, const struct submissions *s, uint32_t message)
{
	struct trace *t = &part->logs.submissions.trace;

	part->messages[t->message_count] = s->trace.messages[message];
	part->of[t->message_count++] = s->of[message];
}

static void
part_clear(struct part *part)
{
	free(part->messages);
	free(part->of);
}

static bool
concerns(const struct trace *t, const struct trace_message *m, const bool *who)
{
	if (who[m->sender])
		return true;
	for (uint32_t i = 0; i < m->count; i++) {
		if (who[t->recipients[m->first + i]])
			return true;
	}
	return false;
}

/* who: whose mail, and mail to whom; NULL: all. */
static void
part_fill(struct part *part, const struct submissions *s, uint32_t to,
    const bool *who)
{
	for (uint32_t i = 0; i < s->trace.message_count; i++) {
		const struct trace_message *m = &s->trace.messages[i];

		if (m->seconds < to &&
		    (who == NULL || concerns(&s->trace, m, who)))
			part_add(part, s, i);
	}
}

/* ---- a policy as text ---- */

static void
put_people(FILE *out, const struct propose_policy *policy)
{
	const uint32_t *v = policy->v;
	uint32_t day;
	uint32_t week;

	fputs("policy \"default\" {\n", out);
	fprintf(out, "    burst = %u\n", (unsigned)v[PROPOSE_BURST]);
	fprintf(out, "    initial = %u\n", (unsigned)v[PROPOSE_BURST]);
	fprintf(out, "    interval = \"%us\"\n", (unsigned)v[PROPOSE_INTERVAL]);
	fprintf(out, "    freeze_at = %u\n", (unsigned)v[PROPOSE_FREEZE_AT]);
	fprintf(out, "    stranger_messages = \"%u/1d\"\n",
	    (unsigned)v[PROPOSE_MESSAGES]);
	day = v[PROPOSE_DAY];
	week = v[PROPOSE_WEEK];
	fprintf(out, "    limit = {\"%u/1d\"", (unsigned)day);
	if (week > 0)
		fprintf(out, ", \"%u/7d\"", (unsigned)week);
	fputs("}\n", out);
	fputs("}\n", out);
}

/* For free(). */
static char *
fragment_of(const struct propose_log *p, const struct propose_policy *policy)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);
	struct report_log report = {.logs = p->logs,
	    .habits = p->habits,
	    .habit_count = p->habit_count};

	if (out == NULL)
		panic("open_memstream");
	put_people(out, policy);
	report_log_bulk_policy(&report, out);
	fclose(out);
	return text;
}

/* ---- one replay ---- */

static int
play(const struct propose_log *p, const struct setup *setup,
    const struct part *part, bool attacks, struct replay_result *result,
    struct err *err)
{
	struct people people;
	struct replay_settings settings = {
	    .trace = &part->logs.submissions.trace,
	    .nodes = &part->logs.submissions.nodes,
	    .attacks = p->attacks,
	    .attack_count = attacks ? p->attack_count : 0,
	    .world = setup->world,
	    .recipients_max = setup->recipients_max,
	    .people = people_init(&people, &part->logs),
	    .stop = p->stop,
	};

	return replay_run(&settings, result, err);
}

/* Users' mail within a window, and what became of it. left_out: by id, NULL:
 * nobody. */
static void
count(const struct propose_log *p, const struct part *part,
    const struct replay_result *result, struct propose_window w,
    const bool *left_out, struct propose_outcome *out)
{
	const struct submissions *s = &p->logs->submissions;
	bool *seen = xcalloc((size_t)s->trace.id_max + 1, sizeof(*seen));

	*out = (struct propose_outcome){0};
	for (uint32_t i = 0; i < s->trace.message_count; i++) {
		const struct trace_message *m = &s->trace.messages[i];

		if (m->seconds < w.from || m->seconds >= w.to ||
		    !trace_node(&s->nodes, m->sender).is_user ||
		    (left_out != NULL && left_out[m->sender]))
			continue;
		out->recipients += m->count;
		out->users += !seen[m->sender];
		seen[m->sender] = true;
	}
	for (size_t i = 0; i < result->wait_count; i++) {
		const struct trace_message *m =
		    &part->messages[result->waits[i].message];

		out->waited += m->seconds >= w.from && m->seconds < w.to &&
			       seen[m->sender];
	}
	/* Each once. */
	for (size_t i = 0; i < result->freeze_count; i++) {
		const struct replay_freeze *f = &result->freezes[i];
		int64_t at = f->at / 1000;

		if (at < w.from || at >= w.to || !seen[f->sender])
			continue;
		out->frozen++;
		seen[f->sender] = false;
	}
	free(seen);
}

static double
reached_of(const struct replay_result *r)
{
	double sum = 0;

	for (size_t i = 0; i < r->attack_count; i++) {
		uint32_t n = r->attacks[i].after_day.strangers;

		sum += log(n > 0 ? n : 1);
	}
	return exp(sum / (double)(r->attack_count > 0 ? r->attack_count : 1));
}

/* ---- a trial of the search ---- */

static bool
try(void *arg, const struct propose_policy *policy, struct propose_outcome *out)
{
	struct trying *t = arg;
	struct propose_log *p = t->p;
	struct replay_result result = {0}, attacks = {0};
	struct setup setup;
	char *text = fragment_of(p, policy);

	if (p->is_reported)
		fprintf(stderr, "\rweir-replay: policy %zu ",
		    p->search.trial_count + 1);
	t->status = setup_try(&setup, p->base, text, t->err);
	if (t->status == 0)
		t->status = play(p, &setup, &t->part, false, &result, t->err);
	if (t->status == 0)
		t->status = play(p, &setup, &t->one, true, &attacks, t->err);
	if (t->status == 0) {
		count(p, &t->part, &result, p->fit, p->left_out_fit, out);
		out->reached = reached_of(&attacks);
	}
	replay_clear(&result);
	replay_clear(&attacks);
	setup_clear(&setup);
	free(text);
	return t->status == 0;
}

/* Who waits, or is frozen, under the strictest policy: only they can under any
 * other. */
static int
find_concerned(struct trying *t, bool *who)
{
	struct propose_log *p = t->p;
	struct propose_policy strictest = propose_strictest();
	const struct submissions *s = &p->logs->submissions;
	struct replay_result result = {0};
	struct setup setup;
	struct part part;
	char *text = fragment_of(p, &strictest);
	int status = setup_try(&setup, p->base, text, t->err);

	part_init(&part, p->logs);
	part_fill(&part, s, p->fit.to, NULL);
	if (status == 0)
		status = play(p, &setup, &part, false, &result, t->err);
	for (size_t i = 0; status == 0 && i < result.wait_count; i++)
		who[part.messages[result.waits[i].message].sender] = true;
	for (size_t i = 0; status == 0 && i < result.freeze_count; i++)
		who[result.freezes[i].sender] = true;
	for (uint32_t id = 0; id <= s->trace.id_max; id++)
		who[id] = who[id] && !p->left_out_fit[id];
	replay_clear(&result);
	setup_clear(&setup);
	part_clear(&part);
	free(text);
	return status;
}

static int
search(struct trying *t)
{
	struct propose_log *p = t->p;
	const struct submissions *s = &p->logs->submissions;
	bool *who = xcalloc((size_t)s->trace.id_max + 1, sizeof(*who));
	int status = find_concerned(t, who);

	part_fill(&t->part, s, p->fit.to, who);
	part_add(&t->one, s, 0);
	p->search.try = try;
	p->search.arg = t;
	if (status == 0 && !propose_search(&p->search))
		status = t->status;
	if (p->is_reported)
		fputc('\n', stderr);
	free(who);
	return status;
}

/* ---- what it comes to ---- */

static int
by_weight(const void *a, const void *b)
{
	const struct propose_touched *x = a, *y = b;

	if ((x->frozen_at >= 0) != (y->frozen_at >= 0))
		return x->frozen_at >= 0 ? -1 : 1;
	if (x->waited != y->waited)
		return x->waited > y->waited ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static void
note_touched(struct propose_log *p, const struct replay_result *r)
{
	const struct trace *t = &p->logs->submissions.trace;
	struct propose_touched *v = xcalloc((size_t)t->id_max + 1, sizeof(*v));

	for (uint32_t id = 0; id <= t->id_max; id++)
		v[id] = (struct propose_touched){
		    .id = id, .frozen_at = -1, .is_left_out = p->left_out[id]};
	for (size_t i = 0; i < r->wait_count; i++) {
		const struct replay_wait *w = &r->waits[i];
		const struct trace_message *m = &t->messages[w->message];
		int64_t length = w->until - m->seconds * INT64_C(1000);

		if (m->seconds < p->kept.from)
			continue;
		v[m->sender].waited++;
		if (length > v[m->sender].longest)
			v[m->sender].longest = length;
	}
	for (size_t i = r->freeze_count; i > 0; i--) {
		const struct replay_freeze *f = &r->freezes[i - 1];

		if (f->at / 1000 >= p->kept.from)
			v[f->sender].frozen_at = f->at;
	}
	for (uint32_t id = 0; id <= t->id_max; id++) {
		if (v[id].waited > 0 || v[id].frozen_at >= 0)
			v[p->touched_count++] = v[id];
	}
	qsort(v, p->touched_count, sizeof(*v), by_weight);
	p->touched = v;
}

/* The whole log, to its end. */
static int
check(struct trying *t, const struct setup *setup, struct propose_check *out,
    bool is_proposal)
{
	struct propose_log *p = t->p;
	struct replay_result result = {0};
	struct part all;
	int status;

	part_init(&all, p->logs);
	part_fill(&all, &p->logs->submissions, UINT32_MAX, NULL);
	status = play(p, setup, &all, false, &result, t->err);
	if (status == 0)
		status = play(p, setup, &t->one, true, &out->attacks, t->err);
	if (status == 0) {
		count(p, &all, &result, (struct propose_window){0, p->fit.from},
		    p->left_out_fit, &out->first);
		count(p, &all, &result, p->fit, p->left_out_fit, &out->fit);
		count(p, &all, &result, p->kept, p->left_out, &out->kept);
		count(p, &all, &result, p->kept, NULL, &out->kept_all);
		out->first.reached = out->fit.reached = out->kept.reached =
		    out->kept_all.reached = reached_of(&out->attacks);
		if (is_proposal)
			note_touched(p, &result);
	}
	replay_clear(&result);
	part_clear(&all);
	return status;
}

static int
check_both(struct trying *t)
{
	struct propose_log *p = t->p;
	struct setup setup;
	int status;

	p->fragment = fragment_of(p, &p->search.best->policy);
	status = setup_try(&setup, p->base, p->fragment, t->err);
	if (status == 0)
		status = check(t, &setup, &p->then, true);
	if (status == 0)
		status = check(t, p->base, &p->now, false);
	setup_clear(&setup);
	return status;
}

/* ---- the parts of the log ---- */

static void
find_windows(struct propose_log *p, double keep_back)
{
	const struct trace *t = &p->logs->submissions.trace;
	uint32_t end = t->messages[t->message_count - 1].seconds + 1;
	uint32_t split = (uint32_t)(end * (1 - keep_back));

	p->fit.from = split / 3 < LEARNING_MAX_S ? split / 3 : LEARNING_MAX_S;
	p->fit.to = p->kept.from = split;
	p->kept.to = end;
}

static bool *
bursts_of(
    const struct propose_log *p, const struct sender_habits *habits, size_t n)
{
	size_t ids = (size_t)p->logs->submissions.trace.id_max + 1;
	bool *bursts = xcalloc(ids, sizeof(*bursts));

	for (size_t i = 0; i < n; i++)
		bursts[habits[i].id] = report_log_is_burst(&habits[i]);
	return bursts;
}

static void
find_habits(struct propose_log *p)
{
	const struct submissions *s = &p->logs->submissions;
	struct sender_habits *all;
	struct part part;
	size_t n;

	all = senders_habits(&s->trace, &s->nodes, &n);
	p->left_out = bursts_of(p, all, n);
	free(all);
	part_init(&part, p->logs);
	part_fill(&part, s, p->fit.to, NULL);
	p->habits = senders_habits(
	    &part.logs.submissions.trace, &s->nodes, &p->habit_count);
	p->left_out_fit = bursts_of(p, p->habits, p->habit_count);
	part_clear(&part);
}

static int
check_size(const struct propose_log *p, struct err *err)
{
	struct replay_result none = {0};
	struct propose_outcome fit, kept;
	struct part part;

	part_init(&part, p->logs);
	count(p, &part, &none, p->fit, p->left_out_fit, &fit);
	count(p, &part, &none, p->kept, p->left_out, &kept);
	part_clear(&part);
	if (fit.recipients >= LEAST_RECIPIENTS &&
	    kept.recipients >= LEAST_RECIPIENTS)
		return 0;
	err_set(err,
	    "too little mail to propose a policy: %d recipients or more are "
	    "needed in the part to fit (there are %llu, without the first "
	    "days) and in the part to check (%llu)",
	    LEAST_RECIPIENTS, (unsigned long long)fit.recipients,
	    (unsigned long long)kept.recipients);
	return EX_DATAERR;
}

int
propose_log_run(
    struct propose_log *p, double target, double keep_back, struct err *err)
{
	struct trying t = {.p = p, .err = err};
	int status;

	p->search.target = target;
	find_windows(p, keep_back);
	find_habits(p);
	part_init(&t.part, p->logs);
	part_init(&t.one, p->logs);
	status = check_size(p, err);
	if (status == 0)
		status = search(&t);
	if (status == 0)
		status = check_both(&t);
	part_clear(&t.part);
	part_clear(&t.one);
	return status;
}

void
propose_log_clear(struct propose_log *p)
{
	replay_clear(&p->now.attacks);
	replay_clear(&p->then.attacks);
	free(p->habits);
	free(p->left_out_fit);
	free(p->left_out);
	free(p->fragment);
	free(p->touched);
}
