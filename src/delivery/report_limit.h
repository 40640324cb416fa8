/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many reports of weir's own (bounces, delay notices, what NOTIFY=SUCCESS
 * asks for) go out for the mail of one source, and to one address, in a time.
 * Reports are mail that nobody's allowance pays for: whoever has many refused
 * messages, or one forged address in all of them, could send with them.
 *
 * Counts are in memory alone and bounded in number. Event loop's thread.
 */
#ifndef DELIVERY_REPORT_LIMIT_H
#define DELIVERY_REPORT_LIMIT_H

#include "base/str.h"
#include "os/options.h"

struct report_limit;

struct report_limit *report_limit_new(void);
void report_limit_free(struct report_limit *l);
/* One more report (a rate with count 0: any number), to this address by its
 * base (reverse_path_base). False: at a limit, send none now; *wait_ms: try
 * again so much later. */
MUST_CHECK bool report_limit_take(struct report_limit *l, struct str source,
    const struct option_rate *per_source, struct str address,
    const struct option_rate *per_address, int64_t now, int64_t *wait_ms);

#endif
