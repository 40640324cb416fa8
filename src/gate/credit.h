/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The credit-based throttle (Schechter, Jung, Berger, RAID 2004) for mail:
 * recipients that the next hop refuses as unknown cost credit, new ones that
 * take the mail give a third of one back. A list with some dead addresses pays
 * for itself; addresses that were guessed run dry. Time gives all of it back
 * within a week, so that whoever mistypes now and then never gets near.
 *
 * Without credit a sender stays so until a quarter of it is back. A quarter of
 * freeze_ms without another refusal, a minute at least, gives that quarter at
 * once: only a sender that goes on being refused is without credit for long,
 * and freezes.
 *
 * Pure; `now` in ms, clamped where it goes backwards.
 */
#ifndef GATE_CREDIT_H
#define GATE_CREDIT_H

#include "base/base.h"

#define CREDIT_MAX 10000
#define CREDIT_RECENT 32 /* refused recipients that cost nothing again */
#define CREDIT_WHOLE_MS (7 * 24 * INT64_C(3600000))
#define CREDIT_PAUSE_MIN_MS INT64_C(60000)
#define CREDIT_PRESET 20
#define CREDIT_PRESET_FREEZE_MS INT64_C(3600000)

struct credit_rules {
	uint32_t credit;   /* recipients; 0: nothing is counted */
	int64_t freeze_ms; /* without credit for so long; 0: never */
};

struct credit {
	bool is_known; /* it was begun: what is left counts */
	bool is_empty;
	int64_t left; /* in thousandths of a third */
	int64_t at;   /* what time gave is in `left` up to here */
	int64_t empty_since, refused_at;
	uint64_t recent[CREDIT_RECENT]; /* destinations */
	uint32_t recent_n, recent_next;
};

enum credit_result {
	CREDIT_FREE,    /* nothing is counted, or it was refused before */
	CREDIT_TAKEN,   /* one less */
	CREDIT_EMPTIED, /* and there is none any more */
	CREDIT_FREEZE   /* there was none for freeze_ms */
};

/* hearsay: somebody says that it was refused, who may be wrong. It never takes
 * the last credit, and never freezes. */
enum credit_result credit_refused(struct credit *c,
    const struct credit_rules *rules, uint64_t destination, bool hearsay,
    int64_t now);
void credit_delivered(
    struct credit *c, const struct credit_rules *rules, int64_t now);
bool credit_is_empty(
    struct credit *c, const struct credit_rules *rules, int64_t now);
/* Whole credits. */
uint32_t credit_left(
    struct credit *c, const struct credit_rules *rules, int64_t now);
/* Becomes what other relays say: left in parts, how long it has been empty (-1:
 * it is not), and how long ago the last refusal was. */
void credit_follow(struct credit *c, int64_t left, int64_t empty_ms,
    int64_t refused_ms, int64_t now);
/* As one never begun: it may be forgotten. */
bool credit_is_whole(
    struct credit *c, const struct credit_rules *rules, int64_t now);

/* ---- stored state ---- */

#define CREDIT_STATE_MAX (16 + 8 * CREDIT_RECENT)

/* Returns the bytes written. */
size_t credit_save(
    const struct credit *c, int64_t now, unsigned char out[CREDIT_STATE_MAX]);
/* What was saved age_ms ago. False: it is no such state. */
MUST_CHECK bool credit_load(struct credit *c, const unsigned char *p, size_t n,
    int64_t age_ms, int64_t now);

#endif
