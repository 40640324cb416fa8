/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether a sender knows a recipient that its working set has forgotten. The
 * memory of acquaintances may have to be read from the disk first: then the
 * question stays open with its transaction, which has one at most, and goes
 * with it.
 */
#ifndef GATE_GATE_FAMILIAR_H
#define GATE_GATE_FAMILIAR_H

#include "gate/gate_txn.h"

enum familiar {
	FAMILIAR_UNASKED,
	FAMILIAR_NO,
	FAMILIAR_UNREAD, /* the disk does not say */
	FAMILIAR_LATER,  /* recipient_resume or decoy_resume comes */
	/* It is, since it */
	FAMILIAR_INTERNAL, /* is in internal_domains */
	FAMILIAR_REACHED,  /* had mail of the sender */
	FAMILIAR_IMPORTED, /* had so, as an administrator says */
	FAMILIAR_WROTE,    /* wrote to the sender */
	FAMILIAR_BESIDE,   /* stood beside the sender in mail of a colleague */
};

/* Why it is familiar; "" for who is not. */
const char *familiar_words(enum familiar told);

/* What was asked about one recipient, kept while its answer is on its way. */
struct familiar_later {
	struct acquaintance_question question;
	struct gate_txn *txn;
	uint64_t destination;
	struct str address;
	int64_t wall;
	gate_answer_fn *fn;
	void *arg;
	/* Of a decoy: only what incoming mail told counts. */
	bool is_decoy;
};

/* ask: all but the question; copied for LATER. */
enum familiar familiar_ask(const struct familiar_later *ask);
/* By what is in memory: LATER comes at once, and nothing comes of it. site: its
 * name at all relays; 0: none. */
enum familiar familiar_look(const struct gate_txn *txn, uint64_t destination,
    uint64_t site, int64_t wall);
/* The transaction ends: no answer comes any more. Harmless without one. */
void familiar_drop(struct gate_txn *txn);
/* gate_recipient.c, gate_decoy.c: the answer has come. */
void recipient_resume(
    const struct familiar_later *later, enum familiar told, int64_t now);
void decoy_resume(
    const struct familiar_later *later, enum familiar told, int64_t now);

#endif
