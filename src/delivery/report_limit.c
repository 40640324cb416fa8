/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two notice_limits. A refusal by the address has counted for the source all
 * the same: it is the source that keeps making them.
 */
#include "delivery/report_limit.h"

#include "base/reverse_path.h"
#include "delivery/notice_limit.h"

#include <stdlib.h>

struct report_limit {
	struct notice_limit *sources, *addresses;
};

struct report_limit *
report_limit_new(void)
{
	struct report_limit *l = xcalloc(1, sizeof(*l));

	l->sources = notice_limit_new();
	l->addresses = notice_limit_new();
	return l;
}

void
report_limit_free(struct report_limit *l)
{
	if (l == NULL)
		return;
	notice_limit_free(l->sources);
	notice_limit_free(l->addresses);
	free(l);
}

bool
report_limit_take(struct report_limit *l, struct str source,
    const struct option_rate *per_source, struct str address,
    const struct option_rate *per_address, int64_t now, int64_t *wait_ms)
{
	char base[REVERSE_PATH_MAX];

	if (!notice_limit_take(l->sources, source, per_source->count,
		per_source->window_ms, now)) {
		*wait_ms = per_source->window_ms;
		return false;
	}
	*wait_ms = per_address->window_ms;
	return notice_limit_take(l->addresses, reverse_path_base(address, base),
	    per_address->count, per_address->window_ms, now);
}
