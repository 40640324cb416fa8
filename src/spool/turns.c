/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A round goes up the keys and begins again at the lowest. A round in which
 * everybody saved octets and nobody sent would be followed by more of the same:
 * the rounds until the first can send are then given at once.
 */
#include "spool/turns.h"

struct run {
	struct turns *t;
	const struct turns_ops *ops;
	void *arg;
	size_t n, max, visits;
	bool is_failed;
	/* Of this round. */
	bool is_whole; /* it began at the lowest key */
	bool has_sent, has_saved;
	int64_t rounds; /* until the first of those that saved can send */
};

void
turns_init(struct turns *t)
{
	t->at = INT64_MIN;
	t->is_open = false;
	t->n = 0;
}

static struct turns_deficit *
find(struct turns *t, int64_t key)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->deficits[i].key == key)
			return &t->deficits[i];
	}
	return NULL;
}

static int64_t
take_deficit(struct turns *t, int64_t key)
{
	struct turns_deficit *d = find(t, key);
	int64_t octets = 0;

	if (d != NULL) {
		octets = d->octets;
		*d = t->deficits[--t->n];
	}
	return octets;
}

/* False: there is no room. */
static bool
keep_deficit(struct turns *t, int64_t key, int64_t octets, uint32_t weight)
{
	if (t->n == TURNS_DEFICITS)
		return false;
	t->deficits[t->n++] = (struct turns_deficit){key, octets, weight, true};
	return true;
}

static int64_t
cost_of(const struct turns_head *h)
{
	return TURNS_MESSAGE +
	       (int64_t)(h->octets < INT32_MAX ? h->octets : INT32_MAX);
}

static uint32_t
weight_of(const struct turns_head *h)
{
	if (h->weight == 0)
		return 1;
	return h->weight < TURNS_WEIGHT_MAX ? h->weight : TURNS_WEIGHT_MAX;
}

static int64_t
quantum_of(uint32_t weight)
{
	return (int64_t)TURNS_QUANTUM * weight;
}

static bool
send(struct run *r)
{
	r->n++;
	r->has_sent = true;
	if (!r->ops->take(r->arg))
		r->is_failed = true;
	return !r->is_failed;
}

static void
save(struct run *r, int64_t key, int64_t octets, const struct turns_head *h)
{
	uint32_t weight = weight_of(h);
	int64_t per_round = quantum_of(weight);
	int64_t rounds = (cost_of(h) - octets + per_round - 1) / per_round;

	if (!keep_deficit(r->t, key, octets, weight)) {
		(void)send(r);
		return;
	}
	if (!r->has_saved || rounds < r->rounds)
		r->rounds = rounds;
	r->has_saved = true;
}

/* One source's turn. */
static void
serve(struct run *r, int64_t key, bool is_new)
{
	struct turns *t = r->t;
	int64_t octets = take_deficit(t, key);
	struct turns_head h;

	t->is_open = false;
	if (!r->ops->head(r->arg, key, &h))
		return;
	if (is_new)
		octets += quantum_of(weight_of(&h));
	while (cost_of(&h) <= octets) {
		if (r->n == r->max) {
			t->is_open =
			    keep_deficit(t, key, octets, weight_of(&h));
			return;
		}
		octets -= cost_of(&h);
		if (!send(r) || !r->ops->head(r->arg, key, &h))
			return;
	}
	if (r->n < r->max)
		save(r, key, octets, &h);
	else
		(void)keep_deficit(t, key, octets, weight_of(&h));
}

/* Who was not met in the whole round has nothing any more. */
static void
drop_old(struct turns *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (!t->deficits[i].is_fresh)
			continue;
		t->deficits[n] = t->deficits[i];
		t->deficits[n++].is_fresh = false;
	}
	t->n = n;
}

/* False: nothing is due. */
static bool
begin_round(struct run *r)
{
	struct turns *t = r->t;

	if (r->is_whole && !r->has_sent) {
		if (!r->has_saved)
			return false;
		for (size_t i = 0; i < t->n; i++)
			t->deficits[i].octets +=
			    (r->rounds - 1) * quantum_of(t->deficits[i].weight);
	}
	drop_old(t);
	t->at = INT64_MIN;
	r->is_whole = true;
	r->has_sent = r->has_saved = false;
	return true;
}

size_t
turns_run(struct turns *t, const struct turns_ops *ops, void *arg, size_t max,
    bool *looked)
{
	struct run r = {.t = t, .ops = ops, .arg = arg, .max = max};
	int64_t key;

	*looked = true;
	if (t->is_open && max > 0)
		serve(&r, t->at, false);
	while (r.n < max && !r.is_failed) {
		if (!ops->next(arg, t->at, &key) || key <= t->at) {
			if (!begin_round(&r))
				break;
			continue;
		}
		if (r.visits++ == TURNS_VISITS) {
			*looked = false;
			break;
		}
		t->at = key;
		serve(&r, key, true);
	}
	return r.n;
}
