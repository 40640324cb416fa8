/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See world.h. The spool's threads are real and the clock is not: whatever the
 * gate waits for is waited for here, before the clock moves, so that two runs
 * are alike to the last verdict.
 *
 * A gate with no mail to let go has to be run for nothing but its sweep and its
 * saves. Between two messages of a quiet year these would be most of the work,
 * so the clock then jumps to shortly before the next event: the sweep still
 * comes round all sources, and what it would have forgotten is forgotten.
 */
#include "replay/world.h"

#include "replay/scratch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define MONO_START INT64_C(1000000)
#define WALL_START INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define LARGE_BODY (256u << 10)
#define OUTSTANDING_MAX 1000000
#define CLAIM_MAX 1000
#define SWEEP_MS 10000     /* of the gate, so many sources at a time */
#define LULL_MS 60000      /* between two runs with nothing to let go */
#define SWEEP_SOURCES 4000 /* a few less */
#define UNKNOWN "unknown"  /* the address of who is not there */

static const char text[] = "Subject: replayed\r\n\r\n";

struct world {
	const struct world_callbacks *callbacks;
	void *arg;
	char *dir;
	struct spool *spool;
	struct events *events;
	struct counters counters;
	struct gate *gate;
	int64_t now;    /* since the start */
	int64_t ran_at; /* when the gate was last run */
	uint64_t waiting;
	bool verify_held;
	bool is_claim_due;
	int error; /* errno of a write that failed */
	char source[POLICY_SOURCE_MAX + 1];
	char policy[POLICY_SOURCE_MAX]; /* of the last mail */

	/* The last answer. */
	bool is_answered;
	enum throttle_verdict verdict;
	unsigned code;
	uint64_t done_count;
};

static int64_t
mono(const struct world *w)
{
	return MONO_START + w->now;
}

static int64_t
wall(const struct world *w)
{
	return WALL_START + w->now;
}

/* ---- the gate's callbacks ---- */

static void
on_released(void *arg)
{
	struct world *w = arg;

	w->is_claim_due = true;
}

static void
on_freeze(void *arg, const struct gate_freeze *freeze)
{
	struct world *w = arg;

	w->callbacks->on_freeze(w->arg, freeze);
}

static const struct gate_callbacks callbacks = {
    .on_released = on_released,
    .on_freeze = on_freeze,
};

/* ---- the spool ---- */

static void
note_error(struct world *w, int error)
{
	if (error != 0 && w->error == 0)
		w->error = error;
}

static void
on_stored(void *arg, int error)
{
	note_error(arg, error);
}

static void
pump(struct world *w)
{
	struct pollfd p = {spool_fd(w->spool), POLLIN, 0};

	for (;;) {
		spool_dispatch(w->spool);
		if (spool_is_idle(w->spool))
			return;
		poll(&p, 1, 1000);
	}
}

/* What the next hop says to an address that it does not have. */
static const struct gate_reply no_such_user = {550, "5.1.1", true};

static bool
is_unknown(const struct spool_rcpt *rcpt)
{
	return strcmp(rcpt->address, UNKNOWN) == 0;
}

static void
deliver(struct world *w, const struct spool_message *m)
{
	struct spool_result *results = xcalloc(m->rcpt_count, sizeof(*results));
	uint64_t label;

	for (size_t i = 0; i < m->rcpt_count; i++)
		results[i] = (struct spool_result){
		    .ticket = m->rcpts[i].ticket,
		    .outcome = is_unknown(&m->rcpts[i]) ? SPOOL_BOUNCED
							: SPOOL_DELIVERED,
		};
	spool_finish(
	    w->spool, results, m->rcpt_count, NULL, STR(""), on_stored, w);
	w->waiting -= m->rcpt_count;
	for (size_t i = 0; i < m->rcpt_count; i++) {
		if (is_unknown(&m->rcpts[i])) {
			gate_undelivered(w->gate, m->source,
			    m->rcpts[i].destination, NULL, &no_such_user,
			    mono(w), wall(w));
			continue;
		}
		gate_delivered(w->gate, m->source, mono(w));
		if (str_to_u64(str_from(m->rcpts[i].orcpt), &label))
			w->callbacks->on_delivered(w->arg, label);
	}
	free(results);
}

static void
on_claimed(
    void *arg, int error, struct spool_job **jobs, size_t n, int64_t next_due)
{
	struct world *w = arg;

	(void)next_due;
	note_error(w, error);
	for (size_t i = 0; i < n; i++) {
		deliver(w, &jobs[i]->m);
		spool_job_free(jobs[i]);
	}
	if (n > 0)
		w->is_claim_due = true;
}

/* Until nothing more happens at this moment. */
static void
settle(struct world *w)
{
	for (;;) {
		pump(w);
		if (!w->is_claim_due)
			return;
		w->is_claim_due = false;
		spool_claim(w->spool, CLAIM_MAX, wall(w), on_claimed, w);
	}
}

/* ---- life ---- */

static bool
open_spool(struct world *w, const struct world_settings *settings,
    struct err *err, int *status)
{
	struct spool_settings spool = {
	    .large_body_bytes = LARGE_BODY,
	    .body_memory_bytes = settings->body_memory_bytes,
	    .outstanding_max = OUTSTANDING_MAX,
	    .held_max = settings->held_max,
	    .scratch = true,
	};

	w->dir = scratch_make(err);
	if (w->dir == NULL) {
		*status = EX_CANTCREAT;
		return false;
	}
	spool.dir = w->dir;
	w->spool = spool_open(&spool, NULL, ERR_ROOM(err), status);
	return w->spool != NULL;
}

struct world *
world_new(const struct world_settings *settings,
    const struct world_callbacks *hearer, void *arg, struct err *err,
    int *status)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->callbacks = hearer;
	w->verify_held = settings->verify_held;
	w->arg = arg;
	if (!open_spool(w, settings, err, status)) {
		world_free(w);
		return NULL;
	}
	w->events = events_new();
	w->gate = gate_new(&settings->gate, w->spool, w->events, &w->counters,
	    settings->log, &callbacks, w);
	note_error(w, gate_load(w->gate, mono(w), wall(w)));
	return w;
}

void
world_free(struct world *w)
{
	if (w == NULL)
		return;
	gate_free(w->gate);
	spool_close(w->spool);
	events_free(w->events);
	if (w->dir != NULL)
		scratch_remove(w->dir);
	free(w->dir);
	free(w);
}

const char *
world_error(const struct world *w)
{
	struct spool_stats stats;

	spool_stats(w->spool, &stats);
	if (w->error != 0)
		return strerror(w->error);
	if (stats.database_errors > 0)
		return "the database could not be written";
	return NULL;
}

/* ---- time ---- */

int64_t
world_now(const struct world *w)
{
	return w->now;
}

uint64_t
world_waiting(const struct world *w)
{
	return w->waiting;
}

int64_t
world_next_due(const struct world *w)
{
	int64_t due = gate_next_due(w->gate);

	if (due == INT64_MAX)
		return INT64_MAX;
	return due > mono(w) ? due - MONO_START : w->now;
}

/* See above. */
static void
jump(struct world *w, int64_t at)
{
	int64_t sweep =
	    SWEEP_MS *
	    (1 + (int64_t)(gate_sender_count(w->gate) / SWEEP_SOURCES));

	if (w->waiting > 0 || at - sweep <= w->now ||
	    gate_next_work(w->gate) <= mono(w) + (at - sweep - w->now))
		return;
	w->now = at - sweep;
}

/* With nothing to let go, saves and sweeps are done once in a while. */
static int64_t
later_due(const struct world *w, int64_t due)
{
	int64_t work = gate_next_work(w->gate);

	if (due < w->ran_at + LULL_MS)
		due = w->ran_at + LULL_MS;
	if (work != INT64_MAX && work - MONO_START < due)
		due = work - MONO_START;
	return due > w->now ? due : w->now;
}

void
world_advance(struct world *w, int64_t at)
{
	if (at <= w->now)
		at = w->now;
	jump(w, at);
	for (;;) {
		int64_t due = world_next_due(w);

		if (w->waiting == 0)
			due = later_due(w, due);
		if (due > at)
			break;
		w->now = due > w->now ? due : w->now;
		gate_run(w->gate, mono(w), wall(w));
		w->ran_at = w->now;
		settle(w);
	}
	w->now = at;
}

/* ---- a transaction ---- */

static void
on_answer(void *arg, const struct gate_answer *answer)
{
	struct world *w = arg;

	w->is_answered = true;
	w->verdict = answer->verdict;
	w->code = answer->code;
}

/* An answer may have to wait for the disk. */
static enum throttle_verdict
answered(struct world *w)
{
	while (!w->is_answered)
		pump(w);
	return w->verdict;
}

static enum throttle_verdict
ask_sender(struct world *w, struct gate_txn *txn)
{
	w->is_answered = false;
	gate_sender(txn, mono(w), wall(w), on_answer, w);
	return answered(w);
}

static enum throttle_verdict
ask_secure(struct world *w, struct gate_txn *txn)
{
	w->is_answered = false;
	gate_secure(txn, mono(w), wall(w), on_answer, w);
	return answered(w);
}

static enum world_end
refused(const struct world *w)
{
	return w->code >= 500 ? WORLD_REJECTED : WORLD_TEMPFAIL;
}

static bool
mail_is_unknown(const struct world_mail *mail, size_t i)
{
	return mail->unknown != NULL && mail->unknown[i];
}

/* A recipient may be held only where the spool has room for it. */
static enum world_end
ask_recipient(struct world *w, struct gate_txn *txn,
    const struct world_mail *mail, size_t i, struct spool_stake *stake)
{
	const char *source = gate_txn_source(txn);
	struct spool_usage usage;
	enum throttle_verdict verdict;

	w->is_answered = false;
	gate_recipient(txn, mail->addresses[i], mono(w), wall(w), on_answer, w);
	verdict = answered(w);
	if (mail_is_unknown(mail, i) &&
	    (verdict == THROTTLE_PASS ||
		(verdict == THROTTLE_HOLD && w->verify_held))) {
		gate_drop_refused(txn, &no_such_user, mono(w), wall(w));
		return WORLD_REJECTED;
	}
	switch (verdict) {
	case THROTTLE_PASS:
		return WORLD_PASSED;
	case THROTTLE_REFUSE:
		return refused(w);
	case THROTTLE_HOLD:
		break;
	}
	if (!spool_room(w->spool, source, 1, 0, &usage)) {
		gate_drop_for_room(txn, mono(w));
		return WORLD_TEMPFAIL;
	}
	spool_stake_recipient(w->spool, stake, source);
	return WORLD_HELD;
}

/* Those that were taken, in the order of the transaction. */
struct taken {
	const struct world_mail *mail;
	enum world_end *ends;
	size_t *at; /* in mail */
	size_t n;
};

static void
store(struct world *w, struct gate_txn *txn, const struct taken *t,
    uint64_t *tickets)
{
	uint64_t id = spool_new_id(w->spool, wall(w));
	bool whole = gate_txn_is_whole(txn);
	struct spool_rcpt *rcpts = xcalloc(t->n, sizeof(*rcpts));
	char(*labels)[24] = xcalloc(t->n, sizeof(*labels));
	struct spool_message m = {
	    .id = id,
	    .source = gate_txn_source(txn),
	    .policy = gate_txn_policy(txn),
	    .from = "",
	    .client = "",
	    .helo = "",
	    .whole = whole,
	    .queued_at = wall(w),
	    .rcpts = rcpts,
	};

	for (size_t i = 0; i < t->n; i++) {
		bool held = gate_txn_verdict(txn, i) == THROTTLE_HOLD;

		if (!held && !whole)
			continue;
		t->ends[t->at[i]] = WORLD_HELD;
		snprintf(labels[i], sizeof(*labels), "%llu",
		    (unsigned long long)t->mail->labels[t->at[i]]);
		tickets[i] = SPOOL_TICKET(id, m.rcpt_count);
		rcpts[m.rcpt_count++] = (struct spool_rcpt){
		    .address = mail_is_unknown(t->mail, t->at[i]) ? UNKNOWN
								  : labels[i],
		    .orcpt = labels[i],
		    .destination = gate_txn_destination(txn, i),
		    .lane = gate_txn_lane(txn, i),
		    .state = held ? SPOOL_HELD : SPOOL_RELEASED,
		};
	}
	if (m.rcpt_count > 0) {
		struct spool_body *body = spool_body_new(w->spool, id);

		spool_body_write(body, text, sizeof(text) - 1);
		spool_put(w->spool, &m, body, on_stored, w);
		w->waiting += m.rcpt_count;
		pump(w);
	}
	free(labels);
	free(rcpts);
}

static void
end_message(struct world *w, struct gate_txn *txn, struct taken *t)
{
	uint64_t *tickets;

	if (t->n == 0) {
		gate_cancel(txn, mono(w));
		return;
	}
	if (ask_sender(w, txn) == THROTTLE_REFUSE ||
	    ask_secure(w, txn) == THROTTLE_REFUSE) {
		for (size_t i = 0; i < t->n; i++)
			t->ends[t->at[i]] = refused(w);
		gate_cancel(txn, mono(w));
		return;
	}
	tickets = xcalloc(t->n, sizeof(*tickets));
	store(w, txn, t, tickets);
	gate_commit(txn, tickets, mono(w), wall(w));
	free(tickets);
}

const char *
world_send(struct world *w, const struct world_mail *mail, enum world_end *ends)
{
	struct gate_txn *txn = gate_begin(w->gate, &mail->facts, mono(w));
	struct spool_stake stake = {0};
	struct taken t = {.mail = mail, .ends = ends};

	str_copy(str_from(gate_txn_policy(txn)), w->policy, sizeof(w->policy));
	if (ask_sender(w, txn) == THROTTLE_REFUSE) {
		for (size_t i = 0; i < mail->count; i++)
			ends[i] = refused(w);
		str_copy(str_from(gate_txn_source(txn)), w->source,
		    sizeof(w->source));
		gate_cancel(txn, mono(w));
		settle(w); /* it may be frozen for it */
		return w->source;
	}
	t.at = xcalloc(mail->count, sizeof(*t.at));
	for (size_t i = 0; i < mail->count; i++) {
		ends[i] = ask_recipient(w, txn, mail, i, &stake);
		if (ends[i] == WORLD_PASSED || ends[i] == WORLD_HELD)
			t.at[t.n++] = i;
	}
	str_copy(str_from(gate_txn_source(txn)), w->source, sizeof(w->source));
	end_message(w, txn, &t);
	spool_stake_clear(w->spool, &stake);
	free(t.at);
	settle(w);
	return w->source;
}

/* ---- several transactions at once ---- */

struct world_txn {
	struct gate_txn *gate;
	uint64_t *labels; /* of those that were taken; their number */
	size_t n, cap;
};

struct world_txn *
world_begin(struct world *w, const struct gate_facts *facts)
{
	struct world_txn *t = xcalloc(1, sizeof(*t));

	t->gate = gate_begin(w->gate, facts, mono(w));
	return t;
}

enum throttle_verdict
world_ask_sender(struct world *w, struct world_txn *t)
{
	return ask_sender(w, t->gate);
}

enum throttle_verdict
world_ask_secure(struct world *w, struct world_txn *t)
{
	return ask_secure(w, t->gate);
}

enum throttle_verdict
world_ask_recipient(
    struct world *w, struct world_txn *t, struct str address, bool stays)
{
	w->is_answered = false;
	gate_next_stays(t->gate, stays);
	gate_recipient(t->gate, address, mono(w), wall(w), on_answer, w);
	if (answered(w) == THROTTLE_REFUSE)
		return w->verdict;
	if (t->n == t->cap) {
		t->cap = t->cap > 0 ? 2 * t->cap : 4;
		t->labels = xrealloc(t->labels, t->cap * sizeof(*t->labels));
	}
	t->labels[t->n] = t->n;
	t->n++;
	return w->verdict;
}

void
world_drop(struct world *w, struct world_txn *t, const struct gate_reply *reply,
    bool for_room)
{
	size_t before = gate_txn_count(t->gate);

	if (for_room)
		gate_drop_for_room(t->gate, mono(w));
	else if (reply != NULL)
		gate_drop_refused(t->gate, reply, mono(w), wall(w));
	else
		gate_drop_last(t->gate, mono(w));
	t->n -= before - gate_txn_count(t->gate);
}

static void
commit_taken(struct world *w, struct world_txn *t)
{
	struct world_mail mail = {.labels = t->labels, .count = t->n};
	enum world_end *ends = xcalloc(t->n + 1, sizeof(*ends));
	uint64_t *tickets = xcalloc(t->n + 1, sizeof(*tickets));
	struct taken taken = {.mail = &mail, .ends = ends, .n = t->n};

	taken.at = xcalloc(t->n + 1, sizeof(*taken.at));
	for (size_t i = 0; i < t->n; i++)
		taken.at[i] = i;
	store(w, t->gate, &taken, tickets);
	gate_commit(t->gate, tickets, mono(w), wall(w));
	free(taken.at);
	free(tickets);
	free(ends);
}

static void
doubt_taken(struct world *w, struct world_txn *t)
{
	bool *reached = xcalloc(t->n + 1, sizeof(*reached));

	for (size_t i = 0; i < t->n; i++)
		reached[i] = gate_txn_verdict(t->gate, i) == THROTTLE_PASS;
	gate_doubt(t->gate, reached, mono(w), wall(w));
	free(reached);
}

void
world_end(struct world *w, struct world_txn *t, enum world_how how)
{
	switch (how) {
	case WORLD_COMMIT:
		commit_taken(w, t);
		break;
	case WORLD_CANCEL:
		gate_cancel(t->gate, mono(w));
		break;
	case WORLD_DOUBT:
		doubt_taken(w, t);
		break;
	case WORLD_DEFER:
		gate_defer(t->gate, mono(w), wall(w));
		break;
	}
	settle(w);
	free(t->labels);
	free(t);
}

const char *
world_policy(const struct world *w)
{
	return w->policy;
}

void
world_assume_known(
    struct world *w, const struct gate_facts *facts, struct str address)
{
	gate_assume_known(w->gate, facts, address, mono(w), wall(w));
}

/* ---- the administrator ---- */

static void
on_done(void *arg, int error, uint64_t count)
{
	struct world *w = arg;

	/* ENOENT: thawed, or gone, by itself. */
	note_error(w, error == ENOENT ? 0 : error);
	w->done_count = count;
}

void
world_thaw(struct world *w, const char *source)
{
	gate_thaw(w->gate, source, GATE_THAW_RELEASE, "weir-replay", mono(w),
	    wall(w), on_done, w);
	settle(w);
}

void
world_discard(struct world *w, const char *source)
{
	struct spool_select select = {.source = source};

	w->done_count = 0;
	gate_discard(
	    w->gate, &select, "weir-replay", mono(w), wall(w), on_done, w);
	settle(w);
	w->waiting -= w->done_count;
}
