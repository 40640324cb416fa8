/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an older weir stored of incoming mail, a row for each user, becomes part
 * of the memory of acquaintances, before anything reads that. A row that cannot
 * be read is told and goes.
 */
#include "gate/gate_internal.h"
#include "gate/inbound_row.h"

struct taking {
	struct gate *g;
	int64_t wall;
	uint64_t users, addresses, bad;
};

static size_t
on_row(void *arg, const struct spool_source *row, struct str known, void *out)
{
	struct taking *t = arg;
	struct str key = str_from(row->key);
	struct acquaintance_row head = {.today = acquaintance_day(t->wall)};
	struct acquaintance_set set = {0};
	uint64_t rate_in = 0;
	uint32_t count = 0;
	const char *wrong = NULL;
	size_t n = 0;

	if (known.n > 0)
		wrong = acquaintance_set_load(&set, &head, known.p, known.n);
	if (wrong != NULL) {
		log_write(t->g->log, LOG_EV_GATE_BAD_ACQUAINTANCES,
		    KV(sender, key), KV(reason, wrong));
		head.rate_in = 0;
	}
	if (key.n == 0 || key.n > POLICY_SOURCE_MAX)
		wrong = "no sender's name";
	else
		wrong = inbound_row_read(row->state, row->state_size,
		    row->saved_at, t->wall, &set, &rate_in, &count);
	if (wrong == NULL) {
		if (rate_in > head.rate_in)
			head.rate_in = rate_in;
		n = acquaintance_set_save(
		    &set, &head, out, SPOOL_ACQUAINTANCES_MAX);
		t->users++;
		t->addresses += count;
	} else {
		log_write(t->g->log, LOG_EV_GATE_BAD_INBOUND, KV(sender, key),
		    KV(reason, wrong));
		t->bad++;
	}
	acquaintance_set_clear(&set);
	return n;
}

int
take_over_inbound(struct gate *g, int64_t wall)
{
	struct taking t = {.g = g, .wall = wall};
	int error = spool_take_over_inbound(g->spool, wall, on_row, &t);

	if (t.users > 0 || t.bad > 0)
		log_write(g->log, LOG_EV_GATE_INBOUND_TAKEN_OVER,
		    KV(users, t.users), KV(addresses, t.addresses),
		    KV(unreadable, t.bad));
	return error;
}
