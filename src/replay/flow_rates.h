/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many destinations hosts contact in a window of time: the number that is
 * not passed in 999 of 1000 windows, as Wong et al. (DSN 2004, section 7) have
 * it; and without those that DNS named to the host or that came to it first.
 */
#ifndef REPLAY_FLOW_RATES_H
#define REPLAY_FLOW_RATES_H

#include "replay/flows.h"

#define FLOW_RATES_WINDOWS 3

extern const int64_t flow_rates_window_ms[FLOW_RATES_WINDOWS];

struct flow_rates {
	uint32_t host[FLOW_RATES_WINDOWS];     /* of one host */
	uint32_t together[FLOW_RATES_WINDOWS]; /* of all hosts */
};

void flow_rates_make(
    const struct flows *f, struct flow_rates *all, struct flow_rates *unnamed);

#endif
