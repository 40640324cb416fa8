/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reverse path of a transaction, where several relays share its sender: the
 * server says whether it is the sender's home, and whether a new one passes.
 */
#ifndef GATE_GATE_PATH_SHARED_H
#define GATE_GATE_PATH_SHARED_H

#include "gate/gate_path.h"
#include "gate/gate_question.h"
#include "gate/gate_shared_source.h"

/* A question that is on its way. */
struct path_later {
	struct gate_txn *txn; /* NULL: it has ended meanwhile */
	bool may_be_home;     /* it has none here */
	uint64_t site, reservation;
	struct question q;
	char address[];
};

/* False: nobody is there to be asked. Else path_said comes later. */
MUST_CHECK bool path_shared_ask(const struct question *q,
    struct throttle_source *src, uint64_t site, bool may_be_home,
    struct path_later **out);
/* Its home here is one that the others may not know. */
void path_shared_tell_home(
    struct gate_txn *txn, struct throttle_source *src, uint64_t site);
void path_later_free(struct path_later *later); /* takes NULL */
/* Takes the ask. */
void path_answered(
    struct gate_shared_ask *ask, const struct share_answer *a, int64_t now);

/* gate_path.c: ruling NULL: no answer came. */
void path_said(const struct path_later *later,
    const struct throttle_reservation *ruling, int64_t now);

#endif
