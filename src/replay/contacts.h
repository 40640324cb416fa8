/* SPDX-License-Identifier: BSD-3-Clause */
/* Who wrote to whom in a trace, as the graph on which a mail worm spreads. */
#ifndef REPLAY_CONTACTS_H
#define REPLAY_CONTACTS_H

#include "replay/outbreak.h"
#include "replay/trace.h"

/* Everybody who sends or receives is a node; their numbers are made anew, in
 * the order of the trace's. contacts_clear in any case. */
void contacts_make(const struct trace *trace, struct outbreak_graph *out);
void contacts_clear(struct outbreak_graph *g);

#endif
