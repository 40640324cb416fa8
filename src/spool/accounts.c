/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two shares by the same keys behind one lock, which is asked for what is held
 * alone. What a damaged row makes less than nothing is nothing.
 */
#include "spool/accounts.h"

#include "base/share.h"
#include "spool/core.h"

#include <stdlib.h>
#include <string.h>

#define STAKE_STEP (256u << 10)

struct accounts {
	pthread_mutex_t lock;
	struct share *recipients, *bytes;
};

struct accounts *
accounts_new(void)
{
	struct accounts *a = xcalloc(1, sizeof(*a));

	pthread_mutex_init(&a->lock, NULL);
	a->recipients = share_new();
	a->bytes = share_new();
	return a;
}

void
accounts_free(struct accounts *a)
{
	if (a == NULL)
		return;
	share_free(a->recipients);
	share_free(a->bytes);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static void
add(struct share *s, struct str key, int64_t n)
{
	struct share_user *u;
	uint64_t has, less;

	if (n > 0) {
		u = share_join(s, key);
		share_take(s, u, (uint64_t)n);
		share_leave(s, u);
	} else if (n < 0 && (u = share_find(s, key)) != NULL) {
		has = share_used_by(u);
		less = (uint64_t)-n;
		share_give(s, u, less < has ? less : has);
	}
}

static void
add_both(
    struct accounts *a, const char *source, int64_t recipients, int64_t bytes)
{
	add(a->recipients, str_from(source), recipients);
	add(a->bytes, str_from(source), bytes);
}

void
accounts_add(
    struct accounts *a, const char *source, int64_t recipients, int64_t bytes)
{
	pthread_mutex_lock(&a->lock);
	add_both(a, source, recipients, bytes);
	pthread_mutex_unlock(&a->lock);
}

/* No source is called so. */
#define NOT_COUNTED STR("[not counted]")
#define EXPECTED_MAX ((int64_t)1 << 56) /* what is stored may be anything */

void
accounts_expect(struct accounts *a, int64_t recipients, int64_t bytes)
{
	pthread_mutex_lock(&a->lock);
	add(a->recipients, NOT_COUNTED,
	    recipients < EXPECTED_MAX ? recipients : EXPECTED_MAX);
	add(a->bytes, NOT_COUNTED, bytes < EXPECTED_MAX ? bytes : EXPECTED_MAX);
	pthread_mutex_unlock(&a->lock);
}

void
accounts_expect_none(struct accounts *a)
{
	pthread_mutex_lock(&a->lock);
	add(a->recipients, NOT_COUNTED, INT64_MIN + 1);
	add(a->bytes, NOT_COUNTED, INT64_MIN + 1);
	pthread_mutex_unlock(&a->lock);
}

void
accounts_used(struct accounts *a, uint64_t *recipients, uint64_t *bytes)
{
	pthread_mutex_lock(&a->lock);
	*recipients = share_used(a->recipients);
	*bytes = share_used(a->bytes);
	pthread_mutex_unlock(&a->lock);
}

/* ---- of a transaction ---- */

void
accounts_note(struct account_changes *c, const char *source, int64_t recipients,
    int64_t bytes)
{
	struct account_change *last = c->n > 0 ? &c->v[c->n - 1] : NULL;

	if (last != NULL && strcmp(last->source, source) == 0) {
		last->recipients += recipients;
		last->bytes += bytes;
		return;
	}
	if (c->n == c->cap) {
		c->cap = c->cap > 0 ? c->cap * 2 : 64;
		c->v = xrealloc(c->v, c->cap * sizeof(*c->v));
	}
	c->v[c->n++] =
	    (struct account_change){xstrdup(source), recipients, bytes};
}

void
accounts_drop(struct account_changes *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->v[i].source);
	c->n = 0;
	c->counted_recipients = c->counted_bytes = 0;
}

void
accounts_clear(struct account_changes *c)
{
	accounts_drop(c);
	free(c->v);
	*c = (struct account_changes){0};
}

void
accounts_apply(struct accounts *a, const struct account_changes *c)
{
	if (c->n == 0)
		return;
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < c->n; i++)
		add_both(a, c->v[i].source, c->v[i].recipients, c->v[i].bytes);
	add(a->recipients, NOT_COUNTED, -c->counted_recipients);
	add(a->bytes, NOT_COUNTED, -c->counted_bytes);
	pthread_mutex_unlock(&a->lock);
}

/* ---- for the loop ---- */

/* Of bytes the disk may have less to give than the limit says; the part above
 * the limit has to find room there too. */
static uint64_t
bytes_max(const struct spool *s, uint64_t used)
{
	uint64_t max = s->settings.held_bytes_max;
	uint64_t free_bytes = atomic_load(&s->free_bytes);
	uint64_t floor = s->settings.min_free_bytes;
	uint64_t left = free_bytes > floor ? free_bytes - floor : 0;

	left = used + left - left / 16;
	return free_bytes > 0 && (max == 0 || left < max) ? left : max;
}

static bool
has_room(const struct share *s, const char *source, uint64_t max,
    uint64_t amount, const char *limit, struct spool_usage *out)
{
	const struct share_user *u = share_find(s, str_from(source));

	if (max == 0 || amount == 0 || share_may(s, u, max, amount))
		return true;
	*out = (struct spool_usage){.limit = limit,
	    .used = share_used(s),
	    .max = max,
	    .own = share_used_by(u)};
	return false;
}

bool
spool_room(struct spool *s, const char *source, uint64_t recipients,
    uint64_t bytes, struct spool_usage *out)
{
	struct accounts *a = s->accounts;
	bool ok;

	pthread_mutex_lock(&a->lock);
	ok = has_room(a->recipients, source, s->settings.held_max, recipients,
		 "held_max", out) &&
	     has_room(a->bytes, source, bytes_max(s, share_used(a->bytes)),
		 bytes, "held_bytes_max", out);
	pthread_mutex_unlock(&a->lock);
	return ok;
}

static void
stake(struct spool *s, struct spool_stake *k, const char *source,
    uint64_t recipients, uint64_t bytes)
{
	if (k->source == NULL)
		k->source = xstrdup(source);
	k->recipients += recipients;
	k->bytes += bytes;
	accounts_add(
	    s->accounts, k->source, (int64_t)recipients, (int64_t)bytes);
}

void
spool_stake_recipient(
    struct spool *s, struct spool_stake *k, const char *source)
{
	stake(s, k, source, 1, 0);
}

bool
spool_stake_bytes(struct spool *s, struct spool_stake *k, const char *source,
    uint64_t size, bool at_end, struct spool_usage *out)
{
	uint64_t more;

	if (size <= k->bytes || (!at_end && size - k->bytes < STAKE_STEP))
		return true;
	more = size - k->bytes;
	if (!spool_room(s, source, 0, more, out))
		return false;
	stake(s, k, source, 0, more);
	return true;
}

void
spool_stake_clear(struct spool *s, struct spool_stake *k)
{
	if (k->source == NULL)
		return;
	accounts_add(s->accounts, k->source, -(int64_t)k->recipients,
	    -(int64_t)k->bytes);
	free(k->source);
	*k = (struct spool_stake){0};
}
