/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who wrote in lately, so that a bounce, a vacation reply or a receipt without
 * an envelope sender (the source <>) finds the way back uncounted. Each message
 * that came in is good for one answer, for a day.
 *
 * The sender of a message that comes in can be forged, and then the answer is
 * backscatter. So all of it is bounded: the table, the answers to one address,
 * and what one client network may bring in a time. What has no place counts as
 * any mail of <> does. A flood takes the places of its own network first. In
 * memory alone: after a restart the first answers count.
 *
 * Pure; times are monotonic ms. One owner.
 */
#ifndef GATE_ANSWERS_H
#define GATE_ANSWERS_H

#include "base/ip.h"

#define ANSWERS_MAX 4096
#define ANSWERS_EXPIRY_MS (24 * INT64_C(3600000))
#define ANSWERS_TO_ONE 8 /* messages of one address that wait for theirs */
#define ANSWERS_NETWORK_BURST 100 /* by one client network at once */
#define ANSWERS_NETWORK_EVERY_MS 36000

struct answers;

struct answers *answers_new(uint64_t seed);
void answers_free(struct answers *a); /* takes NULL */
/* A message from this address came in by this client. */
void answers_note(
    struct answers *a, uint64_t address, const struct ip *client, int64_t now);
/* One answer to it, which is then used up. False: it counts. */
bool answers_take(struct answers *a, uint64_t address, int64_t now);
/* The answer was not sent after all. */
void answers_give_back(struct answers *a, uint64_t address, int64_t now);

#endif
