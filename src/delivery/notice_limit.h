/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many delay notices an address has had lately: a forged sender must not
 * get a flood of them. Counts are in memory alone and bounded in number. Event
 * loop's thread.
 */
#ifndef DELIVERY_NOTICE_LIMIT_H
#define DELIVERY_NOTICE_LIMIT_H

#include "base/str.h"

#define NOTICE_LIMIT_SENDERS_MAX 16384

struct notice_limit;

struct notice_limit *notice_limit_new(void);
void notice_limit_free(struct notice_limit *l);
/* Counts one more for this address, if there are not count of them in window_ms
 * already. False: there are, or too many addresses are counted: send none.
 * count 0: there is no limit. */
MUST_CHECK bool notice_limit_take(struct notice_limit *l, struct str address,
    uint32_t count, int64_t window_ms, int64_t now);

#endif
