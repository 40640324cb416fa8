/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the writers of rules share. Writing goes on after out is full; the end
 * asks once.
 */
#ifndef NETD_RULES_INTERNAL_H
#define NETD_RULES_INTERNAL_H

#include "netd/rules.h"

struct rules_writer {
	const struct netd_config *c;
	struct rules_how how;
	struct str saved;
	struct buf *out;
	bool v6;
	bool ok;
};

PRINTF_LIKE(2, 3)
void rules_put(struct rules_writer *w, const char *fmt, ...);
const char *rules_table_name(const struct rules_writer *w);
/* Calls fn with each destination of the writer's family that never comes by:
 * multicast, broadcast, neighbours, those of `pass`; and what NAT sent to this
 * host itself, where that is known by then. */
void rules_each_passed(struct rules_writer *w,
    void (*fn)(struct rules_writer *w, const char *net));
/* Queue numbers: packets that ask, answers and contacts to learn from. */
uint32_t rules_answers_queue(const struct netd_config *c);
uint32_t rules_contacts_queue(const struct netd_config *c);

void rules_print_nft(struct rules_writer *w);
void rules_print_nft_sets(struct rules_writer *w);
void rules_print_iptables(struct rules_writer *w);
void rules_print_iptables_removal(struct rules_writer *w);

#endif
