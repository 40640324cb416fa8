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
	char user[LOG_QUOTE_MAX], from[LOG_QUOTE_MAX], helo[LOG_QUOTE_MAX];
	char client[IP_TEXT_MAX], flags[FLAGS_MAX];

	if (!is_on(txn))
		return;
	flags_text(facts, flags);
	log_event(txn->g->log, LOG_LEVEL_DEBUG, "gate", "begin",
	    "txn=%llu now=%lld user=%s from=%s helo=%s client=%s flags=%s",
	    (unsigned long long)txn->number, (long long)now,
	    log_quote(facts->user, user), log_quote(facts->sender, from),
	    log_quote(facts->helo, helo), ip_format(&facts->client, client),
	    flags);
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
	char to[LOG_QUOTE_MAX];

	if (!is_on(txn))
		return;
	log_event(txn->g->log, LOG_LEVEL_DEBUG, "gate", "verdict",
	    "txn=%llu now=%lld verdict=%s stays=%d%s%s",
	    (unsigned long long)txn->number, (long long)now, names[verdict],
	    txn->did_stay, address.n > 0 ? " to=" : "",
	    address.n > 0 ? log_quote(address, to) : "");
}

void
record_secure(const struct gate_txn *txn, int64_t now)
{
	log_event(txn->g->log, LOG_LEVEL_DEBUG, "gate", "secure",
	    "txn=%llu now=%lld", (unsigned long long)txn->number,
	    (long long)now);
}

void
record_drop(const struct gate_txn *txn, unsigned code, const char *enhanced,
    int64_t now)
{
	char quoted[LOG_QUOTE_MAX];

	log_event(txn->g->log, LOG_LEVEL_DEBUG, "gate", "drop",
	    "txn=%llu now=%lld code=%u enhanced=%s",
	    (unsigned long long)txn->number, (long long)now, code,
	    log_quote(str_from(enhanced), quoted));
}

void
record_end(const struct gate_txn *txn, const char *how, int64_t now)
{
	log_event(txn->g->log, LOG_LEVEL_DEBUG, "gate", "end",
	    "txn=%llu now=%lld how=%s", (unsigned long long)txn->number,
	    (long long)now, how);
}
