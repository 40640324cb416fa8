/* SPDX-License-Identifier: BSD-3-Clause */
/* See report_outcome.h. */
#include "replay/report_outcome.h"

static void
add_wait(struct report_outcome *f, const struct trace_message *m,
    const struct replay_wait *w)
{
	int64_t length = w->until - m->seconds * INT64_C(1000);

	f->waited++;
	f->never += w->is_lost;
	f->total += length;
	if (length > f->longest)
		f->longest = length;
	f->causes[w->cause]++;
}

struct report_outcome *
report_outcomes(const struct trace *t, const struct replay_result *result)
{
	struct report_outcome *v = xcalloc((size_t)t->id_max + 1, sizeof(*v));

	for (uint32_t i = 0; i < t->message_count; i++) {
		v[t->messages[i].sender].messages++;
		v[t->messages[i].sender].recipients += t->messages[i].count;
	}
	for (size_t i = 0; i < result->wait_count; i++) {
		const struct replay_wait *w = &result->waits[i];
		const struct trace_message *m = &t->messages[w->message];

		add_wait(&v[m->sender], m, w);
	}
	for (size_t i = 0; i < result->freeze_count; i++) {
		struct report_outcome *f = &v[result->freezes[i].sender];

		if (f->freezes++ == 0)
			f->frozen = &result->freezes[i];
	}
	return v;
}

bool
report_outcome_differs(
    const struct report_outcome *a, const struct report_outcome *b)
{
	return a->waited != b->waited || a->freezes != b->freezes ||
	       a->longest != b->longest;
}
