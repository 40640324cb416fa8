/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A trace of flows in its normal form, for weir-netd: who opened a connection
 * or a UDP flow, to whom, and when.
 *
 *	t source destination protocol port	one a line; t in seconds from
 *the first, with a fraction, never backwards; addresses are words that stand
 *for one each; protocol 6 (TCP) or 17 (UDP)
 *
 * Read line by line, checked and bounded. Pure.
 */
#ifndef REPLAY_FLOWS_H
#define REPLAY_FLOWS_H

#include "base/map.h"

#define FLOWS_SECONDS_MAX 1500000000 /* 47 years */
#define FLOWS_MAX 20000000
#define FLOWS_WORDS_MAX 2000000 /* addresses */
#define FLOWS_WORD_MAX 64       /* bytes of one */

struct flow {
	int64_t at;        /* ms */
	uint32_t src, dst; /* addresses, numbered from 0 */
	uint8_t protocol;
	uint16_t dport;
};

struct flows {
	struct flow *v;
	uint32_t count, cap;
	struct map *words; /* address to its number, from 1; NULL: none */
};

/* False: what is wrong with the line in why. lines_fn. */
MUST_CHECK bool flows_add_line(
    void *flows, struct str line, char *why, size_t cap);
uint32_t flows_address_count(const struct flows *f);
void flows_clear(struct flows *f);

#endif
