/* SPDX-License-Identifier: BSD-3-Clause */
#include "gate/gate_familiar.h"

#include <stdlib.h>

const char *
familiar_words(enum familiar told)
{
	switch (told) {
	case FAMILIAR_INTERNAL:
		return "in internal_domains";
	case FAMILIAR_REACHED:
		return "mail went to it before";
	case FAMILIAR_IMPORTED:
		return "imported by weirctl learn";
	case FAMILIAR_WROTE:
		return "it wrote to the sender";
	case FAMILIAR_BESIDE:
		return "beside the sender in a colleague's mail";
	case FAMILIAR_UNASKED:
	case FAMILIAR_NO:
	case FAMILIAR_UNREAD:
	case FAMILIAR_LATER:
		break;
	}
	return "";
}

static enum familiar
known_by(unsigned why)
{
	if ((why & ACQUAINTANCE_WROTE_TO) != 0)
		return FAMILIAR_REACHED;
	if ((why & ACQUAINTANCE_IMPORTED) != 0)
		return FAMILIAR_IMPORTED;
	return (why & ACQUAINTANCE_WROTE_US) != 0 ? FAMILIAR_WROTE
						  : FAMILIAR_BESIDE;
}

static enum familiar
told_by(const struct acquaintance_question *q, enum acquaintance_answer answer)
{
	switch (answer) {
	case ACQUAINTANCE_KNOWN:
		return known_by(q->found.why);
	case ACQUAINTANCE_UNKNOWN:
		return FAMILIAR_NO;
	case ACQUAINTANCE_ERROR:
		return FAMILIAR_UNREAD;
	case ACQUAINTANCE_LATER:
		return FAMILIAR_LATER;
	}
	panic("gate: answer %d of the acquaintances", (int)answer);
}

static void
later_free(struct familiar_later *later)
{
	free((void *)(uintptr_t)later->address.p);
	free(later);
}

/* The answer may end the transaction. */
static void
on_answer(
    struct acquaintance_question *question, enum acquaintance_answer answer)
{
	struct familiar_later *later = question->arg;
	struct gate *g = later->txn->g;

	later->txn->later = NULL;
	if (later->is_decoy)
		decoy_resume(later, told_by(question, answer), g->now);
	else
		recipient_resume(later, told_by(question, answer), g->now);
	later_free(later);
}

static struct familiar_later *
later_new(const struct familiar_later *ask)
{
	struct familiar_later *later = xmalloc(sizeof(*later));

	*later = *ask;
	later->address.p = str_dup(ask->address);
	later->question = (struct acquaintance_question){
	    .destination = ask->destination,
	    .site = ask->is_decoy ? 0 : ask->txn->site,
	    .wall = ask->wall,
	    .familiar_for_ms =
		ask->is_decoy ? 0 : ask->txn->policy->familiar_for_ms,
	    .met_for_ms = ask->txn->policy->met_for_ms,
	    .fn = on_answer,
	    .arg = later,
	};
	return later;
}

enum familiar
familiar_ask(const struct familiar_later *ask)
{
	struct gate_txn *txn = ask->txn;
	struct gate *g = txn->g;
	struct familiar_later *later;
	enum familiar told;

	if (!g->remembers || !txn->policy->remembers)
		return FAMILIAR_NO;
	later = later_new(ask);
	told = told_by(&later->question, acquaintances_ask(g->acquaintances,
					     txn_key(txn), &later->question));
	/* Whoever asks for an explanation has had the row read before: what
	 * there is no memory to keep is not explained. */
	if (told == FAMILIAR_LATER && !g->is_dry) {
		txn->later = later;
		txn->can_drop = false;
		return FAMILIAR_LATER;
	}
	acquaintances_unask(&later->question);
	later_free(later);
	return told == FAMILIAR_LATER ? FAMILIAR_NO : told;
}

enum familiar
familiar_look(const struct gate_txn *txn, uint64_t destination, uint64_t site,
    int64_t wall)
{
	struct acquaintance_question question = {
	    .destination = destination,
	    .site = site,
	    .wall = wall,
	    .familiar_for_ms = txn->policy->familiar_for_ms,
	    .met_for_ms = txn->policy->met_for_ms,
	};
	enum familiar told;

	if (!txn->g->remembers || !txn->policy->remembers)
		return FAMILIAR_NO;
	told = told_by(&question,
	    acquaintances_ask(txn->g->acquaintances, txn_key(txn), &question));
	acquaintances_unask(&question);
	return told;
}

void
familiar_drop(struct gate_txn *txn)
{
	if (txn->later == NULL)
		return;
	acquaintances_unask(&txn->later->question);
	later_free(txn->later);
	txn->later = NULL;
}
