/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stranger_messages: how many messages of a source named a stranger, and what
 * comes of it. A login is frozen by the message that is one too many, which is
 * taken. Programs, client addresses and whoever may not be frozen hold: their
 * further strangers wait until the window has room.
 *
 * For those that freeze a message counts when it is accepted, for those that
 * hold when somebody new to it may go. Both are durable before the final dot.
 */
#ifndef GATE_GATE_STRANGERS_H
#define GATE_GATE_STRANGERS_H

#include "gate/gate_txn.h"

/* The source holds, and has no room for the destination, which would pass:
 * when to ask again in *open_at. */
bool strangers_bar(struct gate_txn *txn, struct throttle_source *src,
    uint64_t destination, int64_t now, int64_t *open_at);
/* Counts the transaction, once however often it is called. reached: of each
 * entry; NULL: all. */
void strangers_take(struct gate_txn *txn, const bool *reached, int64_t now);
/* Takes that back. */
void strangers_give_back(struct gate_txn *txn);
/* Behind the commit of one that was taken: freezes, or tells. */
void strangers_judge(struct gate_txn *txn, int64_t now, int64_t wall);
/* As may_release of the throttle, and of a look that takes nothing. */
int64_t strangers_may_release(struct gate *g, struct throttle_source *src,
    uint64_t destination, int64_t now);
void strangers_note_release(struct gate *g, struct throttle_source *src,
    uint64_t destination, int64_t now);
/* A message to strangers that the source sent elsewhere. */
void strangers_add(struct gate *g, struct throttle_source *src, int64_t now);
/* Of the source's policy: how many of how many are used. */
uint32_t strangers_count(
    struct throttle_source *src, int64_t now, const struct option_rate **rate);
/* "more than 40 messages to new recipients within 1d" */
void strangers_words(const struct throttle_source *src, char out[WORDS_MAX]);
/* The same of one that holds, and when there is room. */
void strangers_words_full(
    struct throttle_source *src, int64_t now, char out[WORDS_MAX]);

#endif
