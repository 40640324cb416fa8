/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A question of a transaction while it is being answered. gate_recipient.c asks
 * and decides; gate_decoy.c decides some of them, gate_shared_recipient.c asks
 * the server that several relays share; gate_answer.c answers.
 */
#ifndef GATE_GATE_QUESTION_H
#define GATE_GATE_QUESTION_H

#include "gate/gate_familiar.h"
#include "gate/gate_scope_shared.h"

struct question {
	struct gate_txn *txn;
	struct str address; /* empty: of the sender */
	int64_t now, wall;
	gate_answer_fn *fn;
	void *arg;
	enum familiar told; /* by the memory of acquaintances */
	uint64_t shared;    /* reserved where it is shared; 0: not */
	bool was_asked;     /* there */
	/* What was said there, here; NULL: nothing. And the signal that it was
	 * said for. */
	const struct throttle_reservation *ruling;
	enum signal signal;
	const struct scope_word *scopes; /* NULL: nobody was asked */
};

/* The one that the memory of acquaintances was asked for, without its answer.
 */
struct question question_resumed(
    const struct familiar_later *later, int64_t now);
/* The entry of the recipient in hand; valid until the next one. */
struct txn_entry *question_add(
    struct gate_txn *txn, enum throttle_verdict verdict);
/* Answers by the throttle, now or when the disk has told. */
void question_count(const struct question *q, struct throttle_source *src,
    uint64_t destination);

/* Of one recipient, and by it of the message. */
void question_refuse_no_room(const struct question *q, const char *why);
/* Its reverse path has been asked about, which may hold it or not. */
void recipient_go_on(const struct question *q);
/* One that comes later, as it would be asked about now. */
struct foreseen {
	uint64_t destination, site; /* here, and at all relays */
	enum share_lane lane;
};
/* False: nobody else would be asked, or the disk would be read for it. Only
 * where the throttle is shared. */
MUST_CHECK bool recipient_foresee(struct gate_txn *txn, struct str address,
    int64_t now, int64_t wall, struct foreseen *out);

/* ---- gate_answer.c: each may end the transaction; words are for the call ----
 */

void question_answer(
    const struct question *q, enum throttle_verdict verdict, const char *why);
/* Passes; enforce mode would have held or refused it. */
void question_observed(const struct question *q, const char *why);
/* option: behind it, static; NULL: none. */
void question_refuse(const struct question *q, unsigned code,
    const char *enhanced, const char *why, const char *option);
void question_refuse_frozen(
    const struct question *q, struct throttle_source *src);
/* sender_addresses = own, and the reverse path is none of the login's. */
void question_refuse_path(const struct question *q);
void question_refuse_syntax(const struct question *q);

/* ---- gate_recipient.c, for an answer that came later ---- */

/* r: reserved by txn_reserve, taken. */
void question_add_new(const struct question *q, struct throttle_source *src,
    struct throttle_reservation *r);
/* A frozen source refuses whoever it is. */
bool question_may_be_familiar(
    const struct question *q, const struct throttle_reservation *r);
/* among_new: what was reserved as of a new one, and is given back. False: the
 * message waits for its reverse path, and no recipient of it may leave a queue
 * before that; so it has to wait among the new ones. */
bool question_add_familiar(const struct question *q,
    struct throttle_source *src, const struct throttle_reservation *among_new,
    enum familiar told);

/* ---- gate_shared_recipient.c ---- */

/* Nobody else need be asked. Under the papers' rules who is known is the free
 * room of all relays, and changes with each of them. */
bool question_is_settled_here(
    const struct throttle_source *src, const struct throttle_reservation *r);
/* shared_fail = tempfail, and nobody answers: refused. */
bool question_refuse_alone(
    const struct question *q, struct throttle_source *src, bool was_asked);

/* Of a new one. True: somebody else has to say, or nobody does and that is
 * refused; then r was given back. */
bool question_ask_shared(const struct question *q, struct throttle_source *src,
    struct throttle_reservation *r);
/* Of a familiar one, where shared_rules. */
void question_ask_shared_familiar(const struct question *q,
    struct throttle_source *src, uint64_t destination, enum familiar told);

#endif
