/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What weir handed to the next hop lately: message and recipient, so that its
 * own mail is known again where it comes round to a front (a next hop, or a
 * content filter behind it, that leads back to weir). The id in a Received line
 * can be copied by whoever has read it, hence each pair is good for one time,
 * and only for the recipient that it was let go to. Bounded, in memory alone.
 */
#ifndef DELIVERY_HANDED_H
#define DELIVERY_HANDED_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct handed;

/* max: pairs remembered; the oldest goes. */
struct handed *handed_new(size_t max);
void handed_free(struct handed *h);
/* address without brackets. */
void handed_add(struct handed *h, uint64_t id, struct str address);
bool handed_has(const struct handed *h, uint64_t id, struct str address);
/* The same, and it is not good again. */
bool handed_take(struct handed *h, uint64_t id, struct str address);

#endif
