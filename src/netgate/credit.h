/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The credit-based throttle (Schechter, Jung, Berger, RAID 2004): a host's
 * first contacts cost credit, those that succeed earn it back. The balance
 * begins at 10; an attempt costs 1, a success gives 2; each second a balance
 * above 10 is cut to max(10, 2/3 of it); one that was zero for 4 s becomes 1.
 * Pure; `now` in ms.
 */
#ifndef NETGATE_CREDIT_H
#define NETGATE_CREDIT_H

#include "base/base.h"

#define CREDIT_START 10
#define CREDIT_REWARD 2
#define CREDIT_CUT_MS 1000
#define CREDIT_REVIVE_MS 4000
#define CREDIT_MAX 1000000

struct credit {
	uint32_t balance;
	int64_t next_cut;   /* while above CREDIT_START */
	int64_t zero_since; /* while zero */
};

void credit_init(struct credit *c, int64_t now);
/* Pays for one attempt. False: there is nothing to pay with. */
MUST_CHECK bool credit_take(struct credit *c, int64_t now);
void credit_earn(struct credit *c, int64_t now);
/* When an empty balance becomes 1 by itself; `now` where it is not empty. */
int64_t credit_due(struct credit *c, int64_t now);

#endif
