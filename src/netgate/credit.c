/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Time is paid when the balance is looked at, tick by tick, so that how often
 * that happens changes nothing.
 */
#include "netgate/credit.h"

void
credit_init(struct credit *c, int64_t now)
{
	*c = (struct credit){.balance = CREDIT_START, .next_cut = now};
}

static void
advance(struct credit *c, int64_t now)
{
	while (c->balance > CREDIT_START && c->next_cut <= now) {
		uint32_t less = c->balance * 2 / 3;

		c->balance = less > CREDIT_START ? less : CREDIT_START;
		c->next_cut += CREDIT_CUT_MS;
	}
	if (c->balance == 0 && now - c->zero_since >= CREDIT_REVIVE_MS)
		c->balance = 1;
}

bool
credit_take(struct credit *c, int64_t now)
{
	advance(c, now);
	if (c->balance == 0)
		return false;
	if (--c->balance == 0)
		c->zero_since = now;
	return true;
}

void
credit_earn(struct credit *c, int64_t now)
{
	advance(c, now);
	if (c->balance <= CREDIT_START)
		c->next_cut = now + CREDIT_CUT_MS;
	if (c->balance < CREDIT_MAX)
		c->balance += CREDIT_REWARD;
}

int64_t
credit_due(struct credit *c, int64_t now)
{
	advance(c, now);
	return c->balance > 0 ? now : c->zero_since + CREDIT_REVIVE_MS;
}
