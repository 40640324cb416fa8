/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reverse path of a transaction is a destination: a bounce carries the text
 * to it as surely as a RCPT does. A foreign one that its source has not used
 * before costs one new recipient; without allowance the whole message waits.
 *
 * It has no recipient of its own in the spool. Where all recipients may go, the
 * first one carries its ticket (path_is_carried_by) and the message is whole;
 * where some wait themselves, none of them leaves the queue before the path
 * does (path_queued_as).
 */
#ifndef GATE_GATE_PATH_H
#define GATE_GATE_PATH_H

#include "gate/gate_txn.h"

/* facts: the sender in the form in which addresses are compared. */
void path_begin(struct gate_txn *txn, const struct gate_facts *facts);
/* Before the source is let go; ends what is still reserved as spent. */
void path_free(struct gate_txn *txn);

/* sender_addresses = own, and it is none of the login's. */
bool path_is_refused(const struct gate_txn *txn);
const char *path_shown(const struct gate_txn *txn);

struct question;
enum path_answer {
	PATH_ASKED, /* go on */
	PATH_FULL,  /* no room in the queue, and why says so: put it off */
	PATH_ALONE, /* nobody to ask who shares it: the same */
	PATH_LATER  /* recipient_go_on comes then */
};
/* Before a recipient is judged; asks once. */
MUST_CHECK enum path_answer path_ask(
    const struct question *q, char why[WORDS_MAX]);
/* The message waits for its path (never in observe mode). */
bool path_is_held(const struct gate_txn *txn);
const char *path_why(const struct gate_txn *txn);
/* It is known, or it costs nothing. */
bool path_is_known(const struct gate_txn *txn);
/* This recipient stands for it in the queue. */
bool path_is_carried_by(const struct gate_txn *txn, size_t recipient);
uint64_t path_destination(const struct gate_txn *txn);
/* The same at all relays; 0: nobody shares. */
uint64_t path_site(const struct gate_txn *txn);
/* The answer to its question has not come. */
bool path_is_asking(const struct gate_txn *txn);

/* Before the recipients; tickets as gate_commit has them. */
void path_commit(
    struct gate_txn *txn, const uint64_t *tickets, int64_t now, int64_t wall);
/* Before them as well: only what waits, and without mail. */
void path_defer(struct gate_txn *txn, int64_t now, int64_t wall);
void path_cancel(struct gate_txn *txn, int64_t now);
/* Where a held recipient queues: as itself, or behind the path, when it would
 * be let go with an earlier message to the same destination. */
uint64_t path_queued_as(const struct gate_txn *txn, uint64_t destination);

#endif
