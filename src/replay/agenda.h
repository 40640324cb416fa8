/* SPDX-License-Identifier: BSD-3-Clause */
/* What is to happen at a time, the earliest first; at the same time in the
 * order in which it was put down. */
#ifndef REPLAY_AGENDA_H
#define REPLAY_AGENDA_H

#include "base/base.h"

struct agenda_item {
	int64_t at;
	uint64_t seq; /* set by agenda_add */
	void (*run)(void *owner, void *arg);
	void *arg; /* the item's, freed by run */
};

struct agenda {
	struct agenda_item *v;
	size_t n, cap;
	uint64_t seq;
};

void agenda_add(struct agenda *a, int64_t at,
    void (*run)(void *owner, void *arg), void *arg);
int64_t agenda_next(const struct agenda *a); /* INT64_MAX: nothing */
/* Takes the earliest; there is one. */
struct agenda_item agenda_take(struct agenda *a);

#endif
