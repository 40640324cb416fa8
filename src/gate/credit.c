/* SPDX-License-Identifier: BSD-3-Clause */
/* See credit.h. */
#include "gate/credit.h"

#include "base/bytes.h"

#include <string.h>

#define PART 3000 /* of one credit; a delivery gives a third */
#define EARNED (PART / 3)
#define HEADER 14
#define AGE_MAX_S UINT32_MAX

static int64_t
whole(const struct credit_rules *rules)
{
	return (int64_t)rules->credit * PART;
}

static void
end_empty(struct credit *c, const struct credit_rules *rules)
{
	int64_t quarter = whole(rules) / 4;

	if (c->left < quarter)
		c->left = quarter;
	c->is_empty = false;
}

/* It need not be long where nobody is to be frozen. */
static int64_t
pause_ms(const struct credit_rules *rules)
{
	int64_t quarter = rules->freeze_ms / 4;

	return quarter > CREDIT_PAUSE_MIN_MS ? quarter : CREDIT_PAUSE_MIN_MS;
}

/* The rules may be others than the last time. */
static void
advance(struct credit *c, const struct credit_rules *rules, int64_t now)
{
	int64_t most = whole(rules), gained;

	if (!c->is_known) {
		c->is_known = true;
		c->left = most;
		c->at = now;
	}
	if (c->left > most)
		c->left = most;
	if (now > c->at && most > 0) {
		int64_t part_ms = CREDIT_WHOLE_MS / most;

		/* The rest of a part is not lost. */
		gained = (now - c->at) / (part_ms > 0 ? part_ms : 1);
		c->at += gained * (part_ms > 0 ? part_ms : 1);
		c->left = gained > most - c->left ? most : c->left + gained;
		if (c->left == most)
			c->at = now;
	}
	if (c->is_empty &&
	    (c->left >= most / 4 || now - c->refused_at >= pause_ms(rules)))
		end_empty(c, rules);
}

static bool
was_refused(const struct credit *c, uint64_t destination)
{
	for (uint32_t i = 0; i < c->recent_n; i++) {
		if (c->recent[i] == destination)
			return true;
	}
	return false;
}

static void
remember(struct credit *c, uint64_t destination)
{
	c->recent[c->recent_next] = destination;
	c->recent_next = (c->recent_next + 1) % CREDIT_RECENT;
	if (c->recent_n < CREDIT_RECENT)
		c->recent_n++;
}

static enum credit_result
take(struct credit *c, const struct credit_rules *rules, int64_t now)
{
	c->left = c->left > PART ? c->left - PART : 0;
	c->refused_at = now;
	if (!c->is_empty && c->left > 0)
		return CREDIT_TAKEN;
	if (!c->is_empty) {
		c->is_empty = true;
		c->empty_since = now;
		return CREDIT_EMPTIED;
	}
	if (rules->freeze_ms == 0 || now - c->empty_since < rules->freeze_ms)
		return CREDIT_TAKEN;
	/* Whoever thaws it gives it another chance. */
	end_empty(c, rules);
	return CREDIT_FREEZE;
}

enum credit_result
credit_refused(struct credit *c, const struct credit_rules *rules,
    uint64_t destination, bool hearsay, int64_t now)
{
	if (rules->credit == 0)
		return CREDIT_FREE;
	advance(c, rules, now);
	if (was_refused(c, destination))
		return CREDIT_FREE;
	remember(c, destination);
	if (!hearsay)
		return take(c, rules, now);
	if (c->is_empty || c->left < 2 * (int64_t)PART)
		return CREDIT_FREE;
	c->left -= PART;
	return CREDIT_TAKEN;
}

void
credit_delivered(
    struct credit *c, const struct credit_rules *rules, int64_t now)
{
	if (rules->credit == 0 || !c->is_known)
		return;
	advance(c, rules, now);
	c->left += EARNED;
	advance(c, rules, now); /* to no more than all, and it may be enough */
}

bool
credit_is_empty(struct credit *c, const struct credit_rules *rules, int64_t now)
{
	if (rules->credit == 0 || !c->is_known)
		return false;
	advance(c, rules, now);
	return c->is_empty;
}

uint32_t
credit_left(struct credit *c, const struct credit_rules *rules, int64_t now)
{
	if (rules->credit == 0 || !c->is_known)
		return rules->credit;
	advance(c, rules, now);
	return (uint32_t)(c->left / PART);
}

bool
credit_is_whole(struct credit *c, const struct credit_rules *rules, int64_t now)
{
	if (rules->credit == 0 || !c->is_known)
		return true;
	advance(c, rules, now);
	return c->left == whole(rules);
}

void
credit_follow(struct credit *c, int64_t left, int64_t empty_ms,
    int64_t refused_ms, int64_t now)
{
	c->is_known = true;
	c->left = left;
	c->at = now;
	c->is_empty = empty_ms >= 0;
	c->empty_since = c->is_empty ? now - empty_ms : 0;
	c->refused_at = c->is_empty ? now - refused_ms : 0;
}

/*
 * ---- stored state ----
 *
 *	is_empty u8 | left u32 | seconds: without credit u32, since the last
 *	refusal u32 | count u8 | destinations, u64 each
 */

static uint32_t
seconds_since(int64_t then, int64_t now)
{
	int64_t s = now > then ? (now - then) / 1000 : 0;

	return s < AGE_MAX_S ? (uint32_t)s : AGE_MAX_S;
}

size_t
credit_save(
    const struct credit *c, int64_t now, unsigned char out[CREDIT_STATE_MAX])
{
	unsigned char *p = out;

	bytes_put(&p, c->is_empty ? 1 : 0, 1);
	bytes_put(&p, (uint64_t)c->left, 4);
	bytes_put(&p, c->is_empty ? seconds_since(c->empty_since, now) : 0, 4);
	bytes_put(&p, c->is_empty ? seconds_since(c->refused_at, now) : 0, 4);
	bytes_put(&p, c->recent_n, 1);
	/* The oldest first. */
	for (uint32_t i = 0; i < c->recent_n; i++)
		bytes_put(&p,
		    c->recent[(c->recent_next + CREDIT_RECENT - c->recent_n +
				  i) %
			      CREDIT_RECENT],
		    8);
	return (size_t)(p - out);
}

bool
credit_load(struct credit *c, const unsigned char *p, size_t n, int64_t age_ms,
    int64_t now)
{
	struct credit out = {.is_known = true, .at = now - age_ms};
	uint64_t flags, left, empty_s, refused_s;

	if (n < HEADER)
		return false;
	flags = bytes_get(&p, 1);
	left = bytes_get(&p, 4);
	empty_s = bytes_get(&p, 4);
	refused_s = bytes_get(&p, 4);
	out.recent_n = (uint32_t)bytes_get(&p, 1);
	if (flags > 1 || left > (uint64_t)CREDIT_MAX * PART ||
	    out.recent_n > CREDIT_RECENT ||
	    n != HEADER + 8 * (size_t)out.recent_n)
		return false;
	out.is_empty = flags == 1;
	out.left = (int64_t)left;
	out.empty_since = now - age_ms - (int64_t)empty_s * 1000;
	out.refused_at = now - age_ms - (int64_t)refused_s * 1000;
	for (uint32_t i = 0; i < out.recent_n; i++)
		out.recent[i] = bytes_get(&p, 8);
	out.recent_next = out.recent_n % CREDIT_RECENT;
	*c = out;
	return true;
}
