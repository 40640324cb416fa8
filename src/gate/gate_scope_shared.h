/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scopes of several relays: the server that they share says whether there is a
 * place, and the windows here follow, so that they decide while it is not
 * there. Scopes of this machine's own programs are this relay's alone.
 */
#ifndef GATE_GATE_SCOPE_SHARED_H
#define GATE_GATE_SCOPE_SHARED_H

#include "gate/gate_internal.h"

/* What the server said of one recipient. */
struct scope_word {
	bool is_free;
	uint64_t reservation;   /* 0: not free, or taken for good */
	struct scope_info full; /* where it is not free */
};

struct scope_ask;
/* words: as many as places were asked for, in order; NULL: no answer came in
 * time. */
typedef void scope_words_fn(
    void *arg, const struct scope_word *words, int64_t now);

/* Asks for places, SHARE_STEPS_MAX at most; taken: which are used at once.
 * NULL: nobody is to be asked, and fn is not called. Else fn comes later,
 * unless scope_unask does before. */
struct scope_ask *scope_ask(struct gate *g, struct scope_pins *pins, bool taken,
    size_t places, scope_words_fn *fn, void *arg);
void scope_unask(struct scope_ask *ask); /* takes NULL */

/* Tells what became of what was reserved. */
void scope_tell(struct gate *g, struct scope_pins *pins,
    const struct share_scope_step *steps, size_t n);
/* These were used, and the server was not asked. */
void scope_note_untold(struct gate *g, struct scope_pins *pins, uint32_t mask);
/* It is there again: tells what is used here, in case it knows of less. */
void scope_join(struct gate *g);
void scope_join_more(struct gate *g);  /* what was not sent then */
void scope_asks_clear(struct gate *g); /* at gate_free */

#endif
