/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In memory an array in the order of the hashes. A row has the lower 32 bits of
 * each hash; the upper 8 are told by 256 shelves, one bit 1 for each hash on a
 * shelf and a bit 0 at its end (Elias-Fano):
 *
 *	magic 4, count 2, day 3, rate_in 5
 *	count + 256 bits, filled up with 0
 *	count times: lower hash 4, reasons and age in days 2
 *	checksum 8
 *
 * So 300 acquaintances take 1900 bytes, and a page of the database has room for
 * two such rows.
 */
#include "gate/acquaintance_set.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC UINT32_C(0x01514341)
#define HEADER 14
#define ENTRY 6
#define CHECKSUM 8
#define CHECKSUM_SEED UINT64_C(0x616371756169)
#define SHELVES 256
#define DAY_BITS 20
#define DAY_MAX ((UINT32_C(1) << DAY_BITS) - 1)
#define HASH_SHIFT 24
#define AGE_BITS 12
#define AGE_MAX ((UINT32_C(1) << AGE_BITS) - 1)
#define RATE_MAX (INT64_C(10) * 365 * 86400 * 1000)
#define WHY_MASK 15U
#define CAP_FIRST 4

uint32_t
acquaintance_day(int64_t wall_ms)
{
	int64_t day = wall_ms / ACQUAINTANCE_DAY_MS;

	if (day < 0)
		return 0;
	return day < DAY_MAX ? (uint32_t)day : DAY_MAX;
}

uint32_t
acquaintance_since(uint32_t today, int64_t for_ms)
{
	int64_t days =
	    for_ms / ACQUAINTANCE_DAY_MS + (for_ms % ACQUAINTANCE_DAY_MS > 0);

	return days < today ? today - (uint32_t)days : 0;
}

static uint64_t
pack(uint64_t hash, struct acquaintance a)
{
	return hash << HASH_SHIFT | (uint64_t)(a.why & WHY_MASK) << DAY_BITS |
	       (a.day & DAY_MAX);
}

static uint64_t
hash_of(uint64_t entry)
{
	return entry >> HASH_SHIFT;
}

static unsigned
why_of(uint64_t entry)
{
	return (unsigned)(entry >> DAY_BITS) & WHY_MASK;
}

static uint32_t
day_of(uint64_t entry)
{
	return (uint32_t)(entry & DAY_MAX);
}

void
acquaintance_set_clear(struct acquaintance_set *s)
{
	free(s->v);
	*s = (struct acquaintance_set){0};
}

/* The first that is not below; s->n: none. */
static uint32_t
place_of(const struct acquaintance_set *s, uint64_t hash)
{
	uint32_t low = 0, high = s->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (hash_of(s->v[mid]) < hash)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool
acquaintance_set_find(const struct acquaintance_set *s, uint64_t destination,
    struct acquaintance *out)
{
	uint64_t hash = hash_of(destination);
	uint32_t at = place_of(s, hash);

	if (at == s->n || hash_of(s->v[at]) != hash)
		return false;
	out->why = why_of(s->v[at]);
	out->day = day_of(s->v[at]);
	return true;
}

/* Soon after the last mail nothing changes: no write for each message. */
static enum acquaintance_put
merge(uint64_t *entry, struct acquaintance add)
{
	uint64_t was = *entry;
	uint32_t lag;

	add.why |= why_of(was);
	lag = (add.why & ~ACQUAINTANCE_MET) != 0 ? ACQUAINTANCE_LAG : 0;
	if (add.day < day_of(was) || add.day - day_of(was) < lag)
		add.day = day_of(was);
	*entry = pack(hash_of(was), add);
	return *entry != was ? ACQUAINTANCE_CHANGED : ACQUAINTANCE_SAME;
}

static void
remove_at(struct acquaintance_set *s, uint32_t at)
{
	s->n--;
	memmove(s->v + at, s->v + at + 1, (s->n - at) * sizeof(*s->v));
}

enum acquaintance_put
acquaintance_set_put(
    struct acquaintance_set *s, uint64_t destination, struct acquaintance add)
{
	uint64_t hash = hash_of(destination);
	uint32_t at = place_of(s, hash);

	if (at < s->n && hash_of(s->v[at]) == hash)
		return merge(&s->v[at], add);
	if (s->n >= ACQUAINTANCES_MAX) {
		acquaintance_set_drop_oldest(s, WHY_MASK);
		at = place_of(s, hash);
	}
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? s->cap * 2 : CAP_FIRST;
		s->v = xrealloc(s->v, s->cap * sizeof(*s->v));
	}
	memmove(s->v + at + 1, s->v + at, (s->n - at) * sizeof(*s->v));
	s->v[at] = pack(hash, add);
	s->n++;
	return ACQUAINTANCE_NEW;
}

static bool
has_no_other(uint64_t entry, unsigned why)
{
	return (why_of(entry) & ~why) == 0;
}

uint32_t
acquaintance_set_count(
    const struct acquaintance_set *s, unsigned why, uint32_t since)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n; i++)
		n += has_no_other(s->v[i], why) && day_of(s->v[i]) >= since;
	return n;
}

void
acquaintance_set_tally(
    const struct acquaintance_set *s, uint32_t why[ACQUAINTANCE_WHYS])
{
	memset(why, 0, ACQUAINTANCE_WHYS * sizeof(*why));
	for (uint32_t i = 0; i < s->n; i++) {
		for (unsigned bit = 0; bit < ACQUAINTANCE_WHYS; bit++)
			why[bit] += why_of(s->v[i]) >> bit & 1;
	}
}

bool
acquaintance_set_drop_oldest(struct acquaintance_set *s, unsigned why)
{
	uint32_t at = s->n;

	for (uint32_t i = 0; i < s->n; i++) {
		if (has_no_other(s->v[i], why) &&
		    (at == s->n || day_of(s->v[i]) < day_of(s->v[at])))
			at = i;
	}
	if (at == s->n)
		return false;
	remove_at(s, at);
	return true;
}

uint32_t
acquaintance_set_expire(
    struct acquaintance_set *s, unsigned why, uint32_t since)
{
	uint32_t n = 0, was = s->n;

	for (uint32_t i = 0; i < s->n; i++) {
		if (!has_no_other(s->v[i], why) || day_of(s->v[i]) >= since)
			s->v[n++] = s->v[i];
	}
	s->n = n;
	return was - n;
}

/* ---- stored ---- */

static size_t
shelf_bytes(uint32_t n)
{
	return (n + SHELVES + 7) / 8;
}

static size_t
row_bytes(uint32_t n)
{
	return HEADER + shelf_bytes(n) + ENTRY * (size_t)n + CHECKSUM;
}

static void
save_shelves(const struct acquaintance_set *s, unsigned char *p)
{
	uint32_t bit = 0, i = 0;

	memset(p, 0, shelf_bytes(s->n));
	for (uint64_t shelf = 0; shelf < SHELVES; shelf++) {
		for (; i < s->n && hash_of(s->v[i]) >> 32 == shelf; i++, bit++)
			p[bit / 8] |= (unsigned char)(1U << bit % 8);
		bit++;
	}
}

static unsigned
attributes(uint64_t entry, uint32_t today)
{
	uint32_t day = day_of(entry), age = day < today ? today - day : 0;

	return why_of(entry) << AGE_BITS | (age < AGE_MAX ? age : AGE_MAX);
}

size_t
acquaintance_set_save(const struct acquaintance_set *s,
    const struct acquaintance_row *row, void *out, size_t cap)
{
	size_t size = row_bytes(s->n);
	unsigned char *p = out;

	if (s->n == 0)
		return 0;
	if (size > cap)
		return size;
	bytes_put(&p, MAGIC, 4);
	bytes_put(&p, s->n, 2);
	bytes_put(&p, row->today, 3);
	bytes_put(&p, row->rate_in < RATE_MAX ? row->rate_in : RATE_MAX, 5);
	save_shelves(s, p);
	p += shelf_bytes(s->n);
	for (uint32_t i = 0; i < s->n; i++) {
		bytes_put(&p, hash_of(s->v[i]) & UINT32_MAX, 4);
		bytes_put(&p, attributes(s->v[i], row->today), 2);
	}
	bytes_put(&p, hash_bytes(out, size - CHECKSUM, CHECKSUM_SEED), 8);
	return size;
}

/* The shelf of each hash into out[n]. False: the bits are not what was written
 * for n. */
static bool
load_shelves(const unsigned char *p, uint32_t n, unsigned char *out)
{
	uint32_t bits = (uint32_t)shelf_bytes(n) * 8, i = 0, shelf = 0;

	for (uint32_t bit = 0; bit < bits; bit++) {
		if ((p[bit / 8] >> bit % 8 & 1) == 0)
			shelf++;
		else if (i == n || shelf >= SHELVES)
			return false;
		else
			out[i++] = (unsigned char)shelf;
	}
	return i == n;
}

static const char *
load_entries(struct acquaintance_set *s, const unsigned char *p, uint32_t n,
    const unsigned char *shelves, uint32_t saved, uint32_t today)
{
	uint64_t last = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t hash = (uint64_t)shelves[i] << 32 | bytes_get(&p, 4);
		unsigned attr = (unsigned)bytes_get(&p, 2);
		uint32_t age = attr & AGE_MAX;
		struct acquaintance a = {.why = attr >> AGE_BITS};

		if (i > 0 && hash == last)
			return "duplicate acquaintance";
		if (i > 0 && hash < last)
			return "acquaintances out of order";
		if (a.why == 0)
			return "an acquaintance without a reason";
		a.day = age < saved ? saved - age : 0;
		if (a.day > today)
			a.day = today;
		s->v[s->n++] = pack(hash, a);
		last = hash;
	}
	return NULL;
}

static const char *
load_row(struct acquaintance_set *s, struct acquaintance_row *row,
    const unsigned char *p, size_t size)
{
	unsigned char shelves[ACQUAINTANCES_MAX];
	const unsigned char *end = p + size - CHECKSUM, *begin = p;
	uint32_t n, saved;

	p += 4;
	n = (uint32_t)bytes_get(&p, 2);
	saved = (uint32_t)bytes_get(&p, 3);
	row->rate_in = bytes_get(&p, 5);
	if (n == 0 || n > ACQUAINTANCES_MAX)
		return "too many acquaintances, or none";
	if (size != row_bytes(n))
		return "truncated, or too long";
	if (bytes_get(&end, 8) !=
	    hash_bytes(begin, size - CHECKSUM, CHECKSUM_SEED))
		return "wrong checksum";
	if (saved > DAY_MAX || row->rate_in > RATE_MAX ||
	    !load_shelves(p, n, shelves))
		return "invalid numbers";
	row->is_ahead = saved > row->today;
	s->cap = n;
	s->v = xmalloc(n * sizeof(*s->v));
	return load_entries(
	    s, p + shelf_bytes(n), n, shelves, saved, row->today);
}

const char *
acquaintance_set_load(struct acquaintance_set *s, struct acquaintance_row *row,
    const void *p, size_t n)
{
	const unsigned char *at = p;
	const char *wrong;

	if (n < HEADER + CHECKSUM)
		return "cut short";
	if (bytes_get(&at, 4) != MAGIC)
		return "not a list of acquaintances";
	wrong = load_row(s, row, p, n);
	if (wrong != NULL)
		acquaintance_set_clear(s);
	return wrong;
}
