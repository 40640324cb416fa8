/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several relays, one throttle: what a stranger may is asked of the server that
 * they share, and this relay's own throttle follows what it says. While the
 * server is not there that throttle decides, as warm as the last answer left
 * it. What is asked is how a new or a familiar recipient falls, and who goes
 * next of what waits; known ones, scopes and reverse paths are decided here,
 * and so is what gives a stolen account away.
 */
#ifndef GATE_GATE_SHARED_H
#define GATE_GATE_SHARED_H

#include "gate/gate_familiar.h"
#include "gate/gate_scope_shared.h"

/* A recipient's question that is on its way. */
struct shared_later {
	struct gate_txn *txn; /* NULL: it has ended meanwhile */
	uint64_t destination;
	enum share_lane lane;
	enum familiar told; /* why it is familiar */
	enum signal signal; /* why it waits if it is new */
	bool is_held;       /* a frozen source holds it, too */
	struct str address;
	int64_t wall;
	gate_answer_fn *fn;
	void *arg;
};

/* The server is there, and decides about this source. */
bool shared_rules(const struct gate *g, const struct throttle_source *src);
/* Nobody asks it, and shared_fail says that strangers come later. */
bool shared_refuses(const struct gate *g, const struct throttle_source *src);
/* The same where it was asked, and did not answer. */
bool shared_refuses_then(
    const struct gate *g, const struct throttle_source *src);
/* A recipient that was asked about, and what was said. */
struct shared_asked {
	uint64_t destination, site; /* here, and at all relays */
	uint64_t reservation;
	bool is_ruled; /* the throttle has answered */
	bool has_word; /* the scopes were asked, and have */
	struct throttle_reservation ruling; /* due_ms by the clock here */
	struct scope_word word;
};
/* ask: copied. Others that come behind it are asked about with it. False: it
 * cannot be asked now. Else shared_resume comes, at once where this one came
 * behind another, or later. */
MUST_CHECK bool shared_ask(
    struct throttle_source *src, const struct shared_later *ask);
/* gate_shared_recipient.c. said: of this recipient. */
void shared_resume(const struct shared_later *later,
    const struct shared_asked *said, int64_t now);
/* The transaction ends or is dropped: no answer comes any more. */
void shared_drop(struct gate_txn *txn);

/* gate_shared_ahead.c: what was said of recipients before their turn. */
/* Something of the transaction was given back: those that might pass by it are
 * asked about again in their turn. */
void shared_ahead_revise(struct gate_txn *txn);
/* None of them comes any more. */
void shared_ahead_give_up(struct gate_txn *txn);

/* gate_shared_tell.c: what became of a recipient is told when the transaction
 * ends: it is given back, or committed, in the queue as `as`. ticket: of its
 * mail; 0: none. */
void shared_note_given_back(struct gate_txn *txn, const struct txn_entry *e);
void shared_note_entry(struct gate_txn *txn, const struct txn_entry *e,
    uint64_t ticket, uint64_t as);
/* gate_shared_touch.c: mail went to a known recipient, which is told soon. */
void shared_touch(struct gate *g, struct throttle_source *src, uint64_t site);
/* What becomes of its place in the scopes. */
void shared_note_scope(struct gate_txn *txn, const struct txn_entry *e,
    enum share_scope_what what);
/* It is not needed, which is told at once. 0: there is none. */
void shared_give_up_scopes(struct gate_txn *txn, uint64_t reservation);
/* throttle_blast_begin, and its end. */
void shared_note_blast(struct gate_txn *txn, bool begins);
void shared_tell(struct gate_txn *txn, int64_t now);
/* What was reserved there for the recipient in hand is not needed, which is
 * told at once. 0: nothing was. */
void shared_give_up(struct gate_txn *txn, enum share_lane lane,
    uint64_t reservation, int64_t now);

/* gate_signals_shared.c: what was counted here, as result, is counted at all
 * relays, and acted on when the answer comes. False: nobody is there to be
 * told. */
bool shared_signals_tell(struct gate *g, struct str key,
    const struct policy *policy, const struct share_step *step, int result,
    int64_t wall);
/* What became of a reverse path, told with the transaction. ticket: where it
 * waits, as a destination. */
void shared_note_path(struct gate_txn *txn, enum share_what what, uint64_t site,
    uint64_t reservation, uint64_t ticket);
/* A new recipient took the mail; told with the transaction. */
void shared_note_delivered(struct gate_txn *txn);

#endif
