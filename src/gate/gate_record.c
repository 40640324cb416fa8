/* SPDX-License-Identifier: BSD-3-Clause */
/* See gate_record.h. */
#include "gate/gate_record.h"

#include <stdio.h>

#define FLAGS_MAX 8

static bool
is_on(const struct gate_txn *txn)
{
	return log_is_on(txn->g->log, LOG_LEVEL_DEBUG);
}

/* A letter for each fact that is true. */
static void
flags_text(const struct gate_facts *f, char out[FLAGS_MAX])
{
	const struct {
		bool is_set;
		char letter;
	} v[] = {
	    {f->exact_user, 'x'},
	    {f->local, 'l'},
	    {f->by_command, 'c'},
	    {f->front_end, 'f'},
	    {f->has_routes, 'r'},
	    {f->teaches, 't'},
	};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		if (v[i].is_set)
			out[n++] = v[i].letter;
	}
	out[n] = '\0';
}

void
record_begin(
    const struct gate_txn *txn, const struct gate_facts *facts, int64_t now)
{
	char flags[FLAGS_MAX];

	if (!is_on(txn))
		return;
	flags_text(facts, flags);
	log_write(txn->g->log, LOG_EV_GATE_BEGIN, KV(txn, txn->number),
	    KV(now_ms, now), KV(user, facts->user), KV(from, facts->sender),
	    KV(helo, facts->helo), KV(client, &facts->client),
	    KV(flags, flags));
}

void
record_verdict(const struct gate_txn *txn, struct str address,
    enum throttle_verdict verdict, int64_t now)
{
	static const char *const names[] = {
	    [THROTTLE_PASS] = "pass",
	    [THROTTLE_HOLD] = "hold",
	    [THROTTLE_REFUSE] = "refuse",
	};

	if (!is_on(txn))
		return;
	log_write(txn->g->log, LOG_EV_GATE_VERDICT, KV(txn, txn->number),
	    KV(now_ms, now), KV(verdict, names[verdict]),
	    KV(stays, txn->did_stay),
	    KV(to, address.n > 0 ? address : (struct str){0}));
}

void
record_secure(const struct gate_txn *txn, int64_t now)
{
	log_write(txn->g->log, LOG_EV_GATE_SECURE, KV(txn, txn->number),
	    KV(now_ms, now));
}

void
record_drop(const struct gate_txn *txn, unsigned code, const char *enhanced,
    int64_t now)
{
	log_write(txn->g->log, LOG_EV_GATE_DROP, KV(txn, txn->number),
	    KV(now_ms, now), KV(code, code), KV(enhanced, enhanced));
}

void
record_end(const struct gate_txn *txn, const char *how, int64_t now)
{
	log_write(txn->g->log, LOG_EV_GATE_END, KV(txn, txn->number),
	    KV(now_ms, now), KV(how, how));
}
