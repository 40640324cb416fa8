/* SPDX-License-Identifier: BSD-3-Clause */
/* See gate_path_shared.h. A path that does not wait for its answer any more is
 * given back when the answer comes. */
#include "gate/gate_path_shared.h"

#include <stdlib.h>
#include <string.h>

void
path_later_free(struct path_later *later)
{
	free(later);
}

static struct gate_shared_ask *
new_ask(struct gate_txn *txn, size_t steps)
{
	struct gate_shared_ask *ask =
	    shared_ask_new(txn->g, txn->key, SHARE_NEW, txn->g->wall);

	ask->steps = xcalloc(steps, sizeof(*ask->steps));
	ask->steps_n = steps;
	return ask;
}

void
path_shared_tell_home(
    struct gate_txn *txn, struct throttle_source *src, uint64_t site)
{
	struct gate_source *data = source_data(src);
	struct gate_shared_ask *ask;

	if (site == 0 || data->home_told == txn->g->share_times ||
	    !shared_rules(txn->g, src))
		return;
	data->home_told = txn->g->share_times;
	ask = new_ask(txn, 1);
	ask->steps[0] =
	    (struct share_step){.what = SHARE_HOME_MAYBE, .destination = site};
	shared_ask_send(ask, txn->g->now);
}

bool
path_shared_ask(const struct question *q, struct throttle_source *src,
    uint64_t site, bool may_be_home, struct path_later **out)
{
	struct gate_txn *txn = q->txn;
	struct gate_shared_ask *ask;
	struct path_later *later;

	if (!shared_rules(txn->g, src))
		return false;
	later = xcalloc(1, sizeof(*later) + q->address.n + 1);
	memcpy(later->address, q->address.p, q->address.n);
	later->txn = txn;
	later->may_be_home = may_be_home;
	later->site = site;
	later->reservation = ++txn->g->share_ids;
	later->q = *q;
	later->q.address.p = later->address;
	ask = new_ask(txn, 2);
	ask->path = later;
	ask->network = txn->network;
	ask->steps[0] = (struct share_step){
	    .what = may_be_home ? SHARE_HOME_MAYBE : SHARE_HOME,
	    .destination = site};
	ask->steps[1] = (struct share_step){.what = txn_holds_when_frozen(txn)
							? SHARE_RESERVE_HELD
							: SHARE_RESERVE,
	    .destination = site,
	    .reservation = later->reservation};
	txn->can_drop = false;
	*out = later;
	shared_ask_send(ask, txn->g->now);
	return true;
}

/* Its transaction has ended meanwhile. */
static void
give_up(const struct gate_shared_ask *was, int64_t now)
{
	struct gate_shared_ask *ask =
	    shared_ask_new(was->g, was->key, SHARE_NEW, was->wall);

	ask->steps = xcalloc(1, sizeof(*ask->steps));
	ask->steps_n = 1;
	ask->steps[0] = (struct share_step){.what = SHARE_CANCEL,
	    .destination = was->path->site,
	    .reservation = was->path->reservation};
	shared_ask_send(ask, now);
}

void
path_answered(
    struct gate_shared_ask *ask, const struct share_answer *a, int64_t now)
{
	struct throttle_reservation ruling;
	bool is_ruled = a != NULL && a->rulings_n == 1;

	if (is_ruled) {
		ruling = a->rulings[0];
		if (ruling.due_ms != INT64_MAX)
			ruling.due_ms += now;
	}
	if (ask->path->txn != NULL)
		path_said(ask->path, is_ruled ? &ruling : NULL, now);
	else if (is_ruled)
		give_up(ask, now);
	shared_ask_free(ask);
}
