/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From which networks a login is used: /24 of IPv4, /48 of IPv6. One that was
 * used again after a day is learnt, and is free from then on as long as it is
 * used every three months. Of those that are not learnt, only a few may be
 * used within a time: a stolen login that is handed to a botnet comes from
 * everywhere at once. While there are too many, none of them is learnt.
 *
 * Pure and bounded; `now` in ms, clamped where it goes backwards.
 */
#ifndef GATE_NETWORKS_H
#define GATE_NETWORKS_H

#include "base/ip.h"

#define NETWORKS_COUNT_MAX 32
#define NETWORKS_NEW_MAX 40    /* remembered, not learnt */
#define NETWORKS_LEARNT_MAX 56 /* remembered, learnt */
#define NETWORKS_MAX (NETWORKS_NEW_MAX + NETWORKS_LEARNT_MAX)
#define NETWORKS_LEARN_MS (24 * INT64_C(3600000))
#define NETWORKS_EXPIRY_MS (90 * NETWORKS_LEARN_MS)
#define NETWORKS_TEXT_MAX (IP_TEXT_MAX + 4)

struct networks_rules {
	uint32_t count;    /* 0: any number, and nothing is remembered */
	int64_t window_ms; /* no longer than a day */
};

struct network {
	uint64_t net;
	bool is_learnt;
	int64_t since, last; /* used */
	int64_t told_at;     /* to other relays; 0: not since the start */
};

struct networks {
	struct network *v; /* in no order */
	uint32_t n, cap;
	bool is_told; /* that there are too many */
};

enum networks_result {
	NETWORKS_LEARNT, /* or no network of the Internet */
	NETWORKS_FEW,
	NETWORKS_MANY,
	NETWORKS_MORE /* the first time since there were few */
};

void networks_clear(struct networks *s);
/* The client's network; 0: it has none, or it is this machine. */
uint64_t networks_of(const struct ip *client);
const char *networks_format(uint64_t net, char out[NETWORKS_TEXT_MAX]);
/* The login is used from it. */
enum networks_result networks_use(struct networks *s,
    const struct networks_rules *rules, uint64_t net, int64_t now);
/* The same, and nothing is noted. */
bool networks_are_many(const struct networks *s,
    const struct networks_rules *rules, uint64_t net, int64_t now);
/* The same as other relays have it: entries of theirs, and in their place what
 * was known of these; others stay as far as there is room. True: they did not
 * know of one that stays. */
bool networks_follow(struct networks *s, const struct network *theirs,
    uint32_t n, bool are_many, int64_t now);
/* Other relays are to be told of the use now; that they were is noted. */
bool networks_tell(struct networks *s, const struct networks_rules *rules,
    uint64_t net, int64_t now);
/* Used within the window, and not learnt; and learnt. */
void networks_count(const struct networks *s,
    const struct networks_rules *rules, int64_t now, uint32_t *fresh,
    uint32_t *learnt);

/* ---- stored state ---- */

#define NETWORKS_STATE_MAX (1 + 17 * NETWORKS_MAX)

size_t networks_save(const struct networks *s, int64_t now,
    unsigned char out[NETWORKS_STATE_MAX]);
/* What was saved age_ms ago, into one that is empty. False: it is no such
 * state. */
MUST_CHECK bool networks_load(struct networks *s, const unsigned char *p,
    size_t n, int64_t age_ms, int64_t now);

#endif
