/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whom one source knows: who, why, and the day of the last mail. Pure: no
 * clock, no I/O. Packed into one row for the spool, about six bytes each, and
 * validated on the way back, since what is read from a disk is hostile.
 *
 * Who is a hash of 40 bits, keyed by the spool's seed: a stranger is taken for
 * one of 4096 acquaintances once in 268 million times, and nobody can choose
 * who that is.
 */
#ifndef GATE_ACQUAINTANCE_SET_H
#define GATE_ACQUAINTANCE_SET_H

#include "base/str.h"
#include "weir/throttle.h"

#define ACQUAINTANCES_MAX 4096 /* of a source; then the oldest go first */
#define ACQUAINTANCE_ROW_MAX 26000
#define ACQUAINTANCE_DAY_MS (INT64_C(86400) * 1000)

enum acquaintance_why {            /* bits */
	ACQUAINTANCE_WROTE_TO = 1, /* the source's mail went to it */
	ACQUAINTANCE_WROTE_US = 2, /* its mail came to the source */
	ACQUAINTANCE_BESIDE = 4,   /* stood beside the source in such mail */
	ACQUAINTANCE_IMPORTED = 8, /* an administrator said so */
};
#define ACQUAINTANCE_WHYS 4
/* Learnt from what others sent, and forgotten before the rest. */
#define ACQUAINTANCE_MET \
	((unsigned)(ACQUAINTANCE_WROTE_US | ACQUAINTANCE_BESIDE))

struct acquaintance {
	unsigned why; /* enum acquaintance_why */
	uint32_t day; /* since 1970 */
};

/* Of what is known from incoming mail alone (ACQUAINTANCE_MET), by the source's
 * policy. */
struct acquaintance_rules {
	uint32_t set; /* so many, 1 to ACQUAINTANCES_MAX */
	/* New ones: so many at once, and then as many in each window, evenly;
	 * hence never more than twice that in one window. count 0: any. */
	struct throttle_limit rate;
	int64_t expiry_ms; /* after the last mail, in days, rounded up */
};

struct acquaintance_set { /* zeroed: empty */
	uint64_t *v;      /* in order; hash 40, why 4, day 20 bits */
	uint32_t n, cap;
};

/* The day of a wall-clock time; what lies before 1970 is day 0. */
uint32_t acquaintance_day(int64_t wall_ms);
/* The first day whose mail is remembered for so long, by the day that it is:
 * nobody is forgotten early, and nobody later than a day after that. */
uint32_t acquaintance_since(uint32_t today, int64_t for_ms);

void acquaintance_set_clear(struct acquaintance_set *s);
bool acquaintance_set_find(const struct acquaintance_set *s,
    uint64_t destination, struct acquaintance *out);
enum acquaintance_put {
	ACQUAINTANCE_NEW,
	ACQUAINTANCE_CHANGED, /* a new reason, or a later day */
	ACQUAINTANCE_SAME,
};
/* A full set gives up the oldest. The day of one that the source wrote to, or
 * that was imported, moves on a week at a time. */
#define ACQUAINTANCE_LAG 7
enum acquaintance_put acquaintance_set_put(
    struct acquaintance_set *s, uint64_t destination, struct acquaintance add);
/* How many have none but these reasons, in all and the last mail not before
 * that day. */
uint32_t acquaintance_set_count(
    const struct acquaintance_set *s, unsigned why, uint32_t since);
/* By reason; one may have several. */
void acquaintance_set_tally(
    const struct acquaintance_set *s, uint32_t why[ACQUAINTANCE_WHYS]);
/* The oldest of those that have none but these reasons goes. False: there is
 * none. */
bool acquaintance_set_drop_oldest(struct acquaintance_set *s, unsigned why);
/* Those that have none but these reasons, and no mail since that day. Returns
 * how many. */
uint32_t acquaintance_set_expire(
    struct acquaintance_set *s, unsigned why, uint32_t since);

/* ---- stored ---- */

struct acquaintance_row {
	uint32_t today;
	uint64_t rate_in; /* ms until the allowance for new ones is whole */
	bool is_ahead;    /* out: it was saved on a day after today */
};
/* Returns the bytes needed and writes only when cap is enough. 0: the set is
 * empty, and so is what is stored. */
size_t acquaintance_set_save(const struct acquaintance_set *s,
    const struct acquaintance_row *row, void *out, size_t cap);
/* Into an empty set. row->today is given, and rate_in comes back. NULL, or
 * what is wrong with the bytes, in words; then the set stays empty. Days that
 * lie ahead, when the clock was set back, become today. */
MUST_CHECK const char *acquaintance_set_load(struct acquaintance_set *s,
    struct acquaintance_row *row, const void *p, size_t n);

#endif
