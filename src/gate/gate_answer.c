/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answers to the questions of a transaction, with their words: each is traced
 * and recorded, and a refusal is told and counted.
 */
#include "gate/gate_path.h"
#include "gate/gate_question.h"
#include "gate/gate_record.h"

#include "os/tap.h"

#include <stdlib.h>
#include <string.h>

static void
tell_trace(const struct question *q, const struct gate_answer *a)
{
	static const char *const names[] = {[THROTTLE_PASS] = "pass",
	    [THROTTLE_HOLD] = "hold",
	    [THROTTLE_REFUSE] = "refuse"};
	const struct gate_txn *txn = q->txn;
	struct tap *tap = log_tap(txn->g->log);
	struct tap_who who;

	if (!tap_is_on(tap))
		return;
	who = (struct tap_who){.client = &txn->client, .sender = txn->key};
	tap_print(tap, &who, TAP_VERDICT, "%s %.*s: %s%s (%s)",
	    q->address.n > 0 ? "recipient" : "sender",
	    q->address.n > 0 ? (int)q->address.n : (int)strlen(txn->key),
	    q->address.n > 0 ? q->address.p : txn->key, names[a->verdict],
	    a->observed ? ", observed" : "", a->why != NULL ? a->why : "");
}

void
question_answer(
    const struct question *q, enum throttle_verdict verdict, const char *why)
{
	struct gate_answer answer = {.verdict = verdict, .why = why};

	/* Whoever may go waits with the rest of the message. */
	if (verdict == THROTTLE_PASS && path_is_held(q->txn)) {
		answer.verdict = THROTTLE_HOLD;
		answer.why = path_why(q->txn);
	}
	tell_trace(q, &answer);
	record_verdict(q->txn, q->address, answer.verdict, q->now);
	q->fn(q->arg, &answer);
}

/* Enforce mode would have held or refused it. */
void
question_observed(const struct question *q, const char *why)
{
	struct gate_answer answer = {
	    .verdict = THROTTLE_PASS, .observed = true, .why = why};

	tell_trace(q, &answer);
	record_verdict(q->txn, q->address, answer.verdict, q->now);
	q->fn(q->arg, &answer);
}

struct refusal {
	unsigned code;
	const char *enhanced;
	const char *why;
	const char *text;
	bool is_frozen;
	const char *option; /* behind it; NULL: none */
};

static enum counter
series_of(const struct gate_txn *txn, const struct refusal *refusal)
{
	const char *option = refusal->option != NULL ? refusal->option : "";

	if (refusal->is_frozen)
		return COUNT_REFUSE_FROZEN;
	if (txn->is_short || strcmp(option, "queue_max") == 0 ||
	    strcmp(option, "min_free") == 0)
		return COUNT_REFUSE_NO_ROOM;
	if (strcmp(option, "sender_addresses") == 0)
		return COUNT_REFUSE_REVERSE_PATH;
	return strcmp(refusal->enhanced, "5.1.3") == 0 ? COUNT_REFUSE_SYNTAX
						       : COUNT_REFUSE_OTHER;
}

static void
give_refusal(const struct question *q, const struct refusal *refusal)
{
	struct gate_txn *txn = q->txn;
	struct throttle_source *src = txn_source(txn);
	struct gate_answer answer = {
	    .verdict = THROTTLE_REFUSE,
	    .why = refusal->why,
	    .code = refusal->code,
	    .enhanced = refusal->enhanced,
	    .text = refusal->text,
	    .is_frozen = refusal->is_frozen,
	};
	char *to = q->address.n > 0 ? str_dup(q->address) : NULL;
	struct gate_news news = {
	    .type = EVENT_REFUSE,
	    .sender = txn->key,
	    .policy = txn->policy->conf->name,
	    .address = to,
	    .why = refusal->why,
	    .option = refusal->option,
	    .queue_length = src != NULL ? source_queue(txn->g, src) : 0,
	};

	txn->can_drop = false;
	counters_add(txn->g->counters, COUNT_REFUSED_RECIPIENTS, 1);
	counters_add(txn->g->counters, series_of(txn, refusal), 1);
	counters_add_named(
	    txn->g->counters, NAMED_POLICY_REFUSED, txn->policy->conf->name, 1);
	gate_tell(txn->g, q->wall, &news);
	free(to);
	tell_trace(q, &answer);
	record_verdict(txn, q->address, THROTTLE_REFUSE, q->now);
	q->fn(q->arg, &answer);
}

void
question_refuse_frozen(const struct question *q, struct throttle_source *src)
{
	int when = q->txn->policy->conf->when_frozen;
	bool reject = when == POLICY_FROZEN_REJECT;
	char text[WORDS_REPLY_MAX];

	words_reply_frozen(q->txn->g, src, q->now, text);
	give_refusal(
	    q, &(struct refusal){reject ? 550 : 451, reject ? "5.7.1" : "4.7.1",
		   "sender is frozen", text, true, "when_frozen"});
}

void
question_refuse(const struct question *q, unsigned code, const char *enhanced,
    const char *why, const char *option)
{
	char text[WORDS_REPLY_MAX];

	words_reply(q->txn->g, q->txn->policy, q->txn->key, why, text);
	give_refusal(
	    q, &(struct refusal){code, enhanced, why, text, false, option});
}

/* Postfix says it so. */
void
question_refuse_path(const struct question *q)
{
	struct gate_txn *txn = q->txn;
	char text[WORDS_REPLY_MAX], why[WORDS_MAX];

	words_not_own(path_shown(txn), txn->key, why);
	words_reply(txn->g, txn->policy, NULL, why, text);
	give_refusal(q, &(struct refusal){553, "5.7.1", why, text, false,
			    "sender_addresses"});
}

void
question_refuse_syntax(const struct question *q)
{
	give_refusal(q, &(struct refusal){553, "5.1.3", "bad address syntax",
			    "Bad recipient address syntax", false, NULL});
}

void
txn_refuse_unsaved(struct gate_txn *txn, bool full, int64_t now, int64_t wall,
    gate_answer_fn *fn, void *arg)
{
	struct question q = {
	    .txn = txn, .now = now, .wall = wall, .fn = fn, .arg = arg};

	question_refuse(&q, full ? 452 : 451, full ? "4.3.1" : "4.3.0",
	    full ? "the spool is full, try again later"
		 : "the spool failed, try again later",
	    full ? "min_free" : NULL);
}
