/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plan of a stolen account: how fast, and whom. First the people whom the
 * account knows, those it wrote to last before all, and then strangers, each
 * once. Pure.
 */
#ifndef REPLAY_ATTACK_H
#define REPLAY_ATTACK_H

#include "base/str.h"

#define ATTACKS_MAX 16
#define ATTACK_KNOWN_MAX 5000
#define ATTACK_PACK 100                   /* recipients of a packed message */
#define ATTACK_MS (86400 * INT64_C(1000)) /* it goes on so long */
#define ATTACK_HISTORY_MS \
	(3600 * INT64_C(1000))           /* from one known to the next */
#define ATTACK_QUIET_MS ATTACK_MS        /* after the last of these, at least */
#define ATTACK_AFTER_MS (30 * ATTACK_MS) /* the earliest */

struct attack_plan {
	const char *text;  /* as it was given, borrowed */
	uint32_t count;    /* recipients */
	int64_t window_ms; /* in so long */
	uint32_t known;    /* whom the account wrote to before */
	bool is_packed;    /* in messages to ATTACK_PACK */
	uint32_t unknown;  /* percent of the strangers that do not exist */
	bool is_udp;       /* of flows: over UDP */
};

/* "10", "1/60", "100/1d", with ",known=500", ",packed", ",unknown=30%" and
 * ",udp". A number alone, and one after the slash without a unit, is of
 * seconds. False: what is wrong in err. */
MUST_CHECK bool attack_parse(
    const char *text, struct attack_plan *out, char *err, size_t cap);
/* Since the attack's start: when it reaches for its i-th recipient. */
int64_t attack_at(const struct attack_plan *plan, uint32_t i);
/* Its i-th stranger is none, from 0; evenly. */
bool attack_is_unknown(const struct attack_plan *plan, uint32_t i);
uint32_t attack_message_size(const struct attack_plan *plan);
/* The account's own past, then the attack; since the trace's start. */
int64_t attack_history_at(uint32_t known);
int64_t attack_start(const struct attack_plan *plan);

#endif
