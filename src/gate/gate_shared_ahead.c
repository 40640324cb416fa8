/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Recipients that the server is asked about before their turn, since they came
 * in together with the one whose turn it is. What was said of each is kept with
 * the transaction until then, and is used only where asking one after the other
 * would have said the same: in their order, of the same kind, soon, and nothing
 * was given back meanwhile by which one that waits might pass.
 */
#include "gate/gate_question.h"
#include "gate/gate_shared_source.h"

#include <stdlib.h>
#include <string.h>

/* Others may have changed the queue since, and a lease is 60 s. */
#define AHEAD_MS 5000

struct shared_ahead {
	enum share_what as;
	int64_t until;
	size_t next, n;
	struct shared_asked v[];
};

void
gate_look_ahead(struct gate_txn *txn, const struct gate_ahead *ahead)
{
	txn->front = *ahead;
}

/* ---- who comes ---- */

struct look {
	struct gate_txn *txn;
	enum share_lane lane;
	int64_t now, wall;
	struct shared_asked *v;
	size_t n, cap;
};

static bool
on_ahead(void *arg, struct str address)
{
	struct look *l = arg;
	struct foreseen f;

	if (!recipient_foresee(l->txn, address, l->now, l->wall, &f) ||
	    f.lane != l->lane)
		return true;
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].destination == f.destination)
			return true;
	}
	l->v[l->n++] =
	    (struct shared_asked){.destination = f.destination, .site = f.site};
	return l->n < l->cap;
}

/* What is said of <> has no second time: who wrote in lately is taken off when
 * it is looked at. By the papers' rules even a known one changes what the next
 * one may. */
static bool
may_look(const struct gate_txn *txn)
{
	const struct throttle_source *src = txn_source(txn);

	return src != NULL && !throttle_source_policy(src)->paper &&
	       !str_eq(txn_key(txn), STR("<>"));
}

size_t
shared_look_ahead(
    const struct shared_later *first, struct shared_asked *v, size_t cap)
{
	struct gate_txn *txn = first->txn;
	struct look l = {
	    .txn = txn,
	    .lane = first->lane,
	    .now = txn->g->now,
	    .wall = first->wall,
	    .v = v,
	    .n = 1,
	    .cap = cap,
	};

	v[0] = (struct shared_asked){
	    .destination = first->destination, .site = txn->site};
	if (txn->front.look != NULL && may_look(txn))
		txn->front.look(txn->front.arg, on_ahead, &l);
	return l.n;
}

/* ---- what was said ---- */

/* At once, whatever becomes of others. */
static bool
may_go(const struct shared_asked *a)
{
	return a->ruling.verdict == THROTTLE_PASS &&
	       (!a->has_word || a->word.is_free);
}

static void
cut(struct shared_ahead **at)
{
	if ((*at)->next < (*at)->n)
		return;
	free(*at);
	*at = NULL;
}

/* What has to be asked about again is given back. */
static void
give_up_waiting(struct gate_txn *txn, enum share_lane lane)
{
	struct shared_ahead *a = txn->ahead[lane];
	size_t kept = a->next;

	for (size_t i = a->next; i < a->n; i++) {
		if (may_go(&a->v[i]))
			a->v[kept++] = a->v[i];
		else
			shared_note_unused(txn, lane, &a->v[i]);
	}
	a->n = kept;
	cut(&txn->ahead[lane]);
}

static void
give_up_next(struct gate_txn *txn, enum share_lane lane, size_t n)
{
	struct shared_ahead *a = txn->ahead[lane];

	for (; n > 0; n--)
		shared_note_unused(txn, lane, &a->v[a->next++]);
	cut(&txn->ahead[lane]);
}

void
shared_ahead_give_up(struct gate_txn *txn)
{
	for (unsigned lane = 0; lane < SHARE_LANES; lane++) {
		const struct shared_ahead *a = txn->ahead[lane];

		if (a != NULL)
			give_up_next(
			    txn, (enum share_lane)lane, a->n - a->next);
	}
}

void
shared_ahead_revise(struct gate_txn *txn)
{
	for (unsigned lane = 0; lane < SHARE_LANES; lane++) {
		if (txn->ahead[lane] != NULL)
			give_up_waiting(txn, (enum share_lane)lane);
	}
}

void
shared_ahead_keep(struct gate_txn *txn, enum share_lane lane,
    enum share_what as, const struct shared_asked *v, size_t n, int64_t now)
{
	struct shared_ahead *a;

	if (n == 0)
		return;
	a = xcalloc(1, sizeof(*a) + n * sizeof(*v));
	a->as = as;
	a->until = now + AHEAD_MS;
	a->n = n;
	memcpy(a->v, v, n * sizeof(*v));
	free(txn->ahead[lane]);
	txn->ahead[lane] = a;
}

/* How many stand before it; all: it is not among them. */
static size_t
find(const struct shared_ahead *a, uint64_t destination)
{
	size_t at = a->next;

	while (at < a->n && a->v[at].destination != destination)
		at++;
	return at - a->next;
}

bool
shared_ahead_take(const struct shared_later *later, enum share_what as,
    int64_t now, struct shared_asked *out)
{
	struct gate_txn *txn = later->txn;
	struct shared_ahead *a = txn->ahead[later->lane];
	size_t passed_over = a != NULL ? find(a, later->destination) : 0;

	if (passed_over > 0) {
		give_up_next(txn, later->lane, passed_over);
		shared_ahead_revise(txn);
		a = txn->ahead[later->lane];
	}
	/* Whoever is asked about now comes before those that are left. */
	if (a != NULL && (a->as != as || a->until < now ||
			     a->v[a->next].destination != later->destination)) {
		give_up_next(txn, later->lane, a->n - a->next);
		a = NULL;
	}
	if (a == NULL)
		return false;
	*out = a->v[a->next++];
	cut(&txn->ahead[later->lane]);
	if (passed_over > 0)
		shared_tell(txn, now);
	return true;
}

void
shared_ahead_free(struct gate_txn *txn)
{
	for (unsigned lane = 0; lane < SHARE_LANES; lane++)
		free(txn->ahead[lane]);
}
