/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Blind mutation, as far as it goes without a view of the code's coverage:
 * what the search of `make fuzz` found worth keeping is in the corpus, and
 * this walks around in its neighbourhood.
 */
#include "mutate.h"

#include <string.h>

#include "base/base.h"

/* An input while it changes; what does not fit any more is cut off. */
struct work {
	uint8_t *p;
	size_t n;
};

/* splitmix64: any state is a good one. */
static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static size_t
below(struct fuzz_mutator *m, size_t n)
{
	return n > 0 ? (size_t)(next_random(&m->random) % n) : 0;
}

static void
cut(struct work *w, size_t at, size_t n)
{
	memmove(w->p + at, w->p + at + n, w->n - at - n);
	w->n -= n;
}

static void
put(struct work *w, size_t at, const uint8_t *p, size_t n)
{
	size_t behind = w->n - at;

	if (n > FUZZ_INPUT_MAX - at)
		n = FUZZ_INPUT_MAX - at;
	if (behind > FUZZ_INPUT_MAX - at - n)
		behind = FUZZ_INPUT_MAX - at - n;
	memmove(w->p + at + n, w->p + at, behind);
	memcpy(w->p + at, p, n);
	w->n = at + n + behind;
}

static void
flip_bit(struct fuzz_mutator *m, struct work *w)
{
	if (w->n > 0)
		w->p[below(m, w->n)] ^= (uint8_t)(1 << below(m, 8));
}

static void
set_byte(struct fuzz_mutator *m, struct work *w)
{
	static const uint8_t telling[] = {0, 1, '\t', '\n', '\r', ' ', '"', '.',
	    '<', '>', '@', 0x7f, 0x80, 0xff};
	size_t at = below(m, w->n);

	if (w->n == 0)
		return;
	w->p[at] = below(m, 2) == 0 ? (uint8_t)below(m, 256)
				    : telling[below(m, sizeof(telling))];
}

static void
remove_range(struct fuzz_mutator *m, struct work *w)
{
	size_t at = below(m, w->n), most = w->n - at;

	cut(w, at, below(m, (most < 32 ? most : 32) + 1));
}

static void
cut_short(struct fuzz_mutator *m, struct work *w)
{
	w->n = below(m, w->n + 1);
}

static void
repeat_range(struct fuzz_mutator *m, struct work *w)
{
	uint8_t copy[128];
	size_t at = below(m, w->n), n = below(m, sizeof(copy));

	if (n > w->n - at)
		n = w->n - at;
	memcpy(copy, w->p + at, n);
	put(w, below(m, w->n + 1), copy, n);
}

static void
insert_word(struct fuzz_mutator *m, struct work *w)
{
	const struct fuzz_blob *word;

	if (m->words.n == 0)
		return;
	word = &m->words.v[below(m, m->words.n)];
	put(w, below(m, w->n + 1), word->p, word->n);
}

static void
write_word(struct fuzz_mutator *m, struct work *w)
{
	const struct fuzz_blob *word;
	size_t at = below(m, w->n + 1), n;

	if (m->words.n == 0)
		return;
	word = &m->words.v[below(m, m->words.n)];
	n = word->n < w->n - at ? word->n : w->n - at;
	memcpy(w->p + at, word->p, n);
}

/* The rest of another seed behind the start of this one. */
static void
splice(struct fuzz_mutator *m, struct work *w)
{
	const struct fuzz_blob *other = &m->seeds.v[below(m, m->seeds.n)];
	size_t from = below(m, other->n + 1);

	w->n = below(m, w->n + 1);
	put(w, w->n, other->p + from, other->n - from);
}

typedef void mutation(struct fuzz_mutator *, struct work *);

/* Named twice: more often. */
static mutation *const mutations[] = {flip_bit, set_byte, set_byte,
    remove_range, cut_short, repeat_range, insert_word, insert_word, write_word,
    splice};

size_t
fuzz_mutate(struct fuzz_mutator *m, uint8_t *out)
{
	const struct fuzz_blob *seed = &m->seeds.v[below(m, m->seeds.n)];
	struct work w = {out, 0};

	put(&w, 0, seed->p, seed->n);
	for (size_t i = 1 + below(m, 6); i > 0; i--)
		mutations[below(m, ARRAY_LEN(mutations))](m, &w);
	return w.n;
}
