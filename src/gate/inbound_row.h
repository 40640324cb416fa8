/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What weir stored of a user's incoming mail up to version 10 of the spool's
 * schema: read for the last time. Pure. Read-back state is hostile: bounded and
 * validated.
 */
#ifndef GATE_INBOUND_ROW_H
#define GATE_INBOUND_ROW_H

#include "gate/acquaintance_set.h"

#define INBOUND_ROW_ADDRESSES 4096

/* Puts those of a row that was saved at that time into the set, as who wrote,
 * and gives how many; *rate_in: ms until the allowance for new ones is whole.
 * NULL, or what is wrong with the bytes, in words; then the set is as it was.
 */
MUST_CHECK const char *inbound_row_read(const void *p, size_t n,
    int64_t saved_at, int64_t wall, struct acquaintance_set *set,
    uint64_t *rate_in, uint32_t *count);

#endif
