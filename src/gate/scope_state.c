/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What scopes have used, on disk. A state is
 *
 *	'S' 1 | name n u8, name | key n u16, key | windows u8 | windows...
 *
 * in little-endian order; a window is as gate/window.h has it.
 */
#include "gate/scope_book.h"

#include <stdio.h>
#include <string.h>

static void
put(struct scope_state *s, const void *p, size_t n)
{
	if (s->n + n > sizeof(s->bytes))
		panic("scope: a state of more than %d bytes", SCOPE_STATE_MAX);
	memcpy(s->bytes + s->n, p, n);
	s->n += n;
}

static void
put_number(struct scope_state *s, uint64_t v, size_t n)
{
	unsigned char b[8];

	for (size_t i = 0; i < n; i++)
		b[i] = (unsigned char)(v >> (8 * i));
	put(s, b, n);
}

static void
save_windows(struct scope_key *k, int64_t now, struct scope_state *out)
{
	unsigned char bytes[WINDOW_BYTES], *p;

	put_number(out, k->n, 1);
	for (size_t i = 0; i < k->n; i++) {
		p = bytes;
		window_put(&p, &k->windows[i], k->reserved, now);
		put(out, bytes, sizeof(bytes));
	}
}

static void
save(struct scope_key *k, int64_t now, struct scope_state *out)
{
	const char *name = k->scope->name;

	snprintf(
	    out->row, sizeof(out->row), "[scope %s] %.*s", name, 320, k->key);
	out->n = 0;
	if (!scope_key_is_used(k, now) && k->reserved == 0)
		return;
	put_number(out, SCOPE_STATE_MARK, 1);
	put_number(out, 1, 1);
	put_number(out, strlen(name), 1);
	put(out, name, strlen(name));
	put_number(out, k->key_n, 2);
	put(out, k->key, k->key_n);
	save_windows(k, now, out);
}

bool
scope_has_changed(const struct scope_book *b)
{
	return !list_is_empty(&b->changed);
}

bool
scope_next_changed(struct scope_book *b, struct scope_pins *p, int64_t now,
    struct scope_state *out)
{
	struct scope_key *k = NULL;

	if (p == NULL && !list_is_empty(&b->changed))
		k = LIST_ITEM(b->changed.next, struct scope_key, changed);
	for (size_t i = 0; p != NULL && k == NULL && i < p->n; i++) {
		if (!list_is_empty(&p->v[i]->changed))
			k = p->v[i];
	}
	if (k == NULL)
		return false;
	save(k, now, out);
	list_remove(&k->changed);
	return true;
}

struct reader {
	struct str in;
	bool is_bad;
};

static uint64_t
get_number(struct reader *r, size_t n)
{
	uint64_t v = 0;

	if (r->in.n < n) {
		r->is_bad = true;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)(unsigned char)r->in.p[i] << (8 * i);
	r->in = str_sub(r->in, n, r->in.n);
	return v;
}

static struct str
get_text(struct reader *r, size_t n)
{
	struct str s = str_sub(r->in, 0, n);

	if (r->in.n < n)
		r->is_bad = true;
	else
		r->in = str_sub(r->in, n, r->in.n);
	return s;
}

static void
get_window(struct reader *r, int64_t age_ms, int64_t now, struct window *w)
{
	const unsigned char *p = (const unsigned char *)r->in.p;

	*w = (struct window){0};
	if (r->in.n < WINDOW_BYTES) {
		r->is_bad = true;
		return;
	}
	r->in = str_sub(r->in, WINDOW_BYTES, r->in.n);
	if (!window_get(&p, age_ms, now, w))
		r->is_bad = true;
}

bool
scope_load(struct scope_book *b, struct str state, int64_t age_ms, int64_t now)
{
	struct reader r = {.in = state};
	struct window windows[OPTION_RATES_MAX];
	bool is_mine =
	    get_number(&r, 1) == SCOPE_STATE_MARK && get_number(&r, 1) == 1;
	struct str name = get_text(&r, get_number(&r, 1));
	struct str key = get_text(&r, get_number(&r, 2));
	uint64_t n = get_number(&r, 1);
	struct scope *s;
	struct scope_key *k;

	if (!is_mine || r.is_bad || n > OPTION_RATES_MAX || name.n == 0 ||
	    name.n > SCOPE_NAME_MAX || key.n == 0 || key.n > SCOPE_KEY_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		get_window(&r, age_ms, now, &windows[i]);
	if (r.is_bad || r.in.n > 0)
		return false;
	s = map_find(b->scopes, name);
	if (s == NULL || s->rule == NULL)
		return true; /* the configuration has it no more */
	k = scope_key_get(b, s, key, now);
	for (size_t i = 0; i < n && i < k->n; i++) {
		int64_t length = k->windows[i].length_ms;

		window_advance(&windows[i], now);
		k->windows[i] = windows[i];
		window_set_length(&k->windows[i], length, now);
	}
	return true;
}

static void
sweep_scope(struct scope *s, size_t steps, int64_t now)
{
	struct str key;
	void *value;

	while (steps-- > 0) {
		struct scope_key *k;

		if (!map_each(s->keys, &s->sweep_pos, &key, &value)) {
			s->sweep_pos = 0;
			return;
		}
		k = value;
		if (k->pins > 0 || k->reserved > 0 || k->untold > 0 ||
		    scope_key_is_used(k, now))
			continue;
		/* Its row goes first. */
		if (k->n > 0 && list_is_empty(&k->changed) && !k->is_gone) {
			k->is_gone = true;
			scope_key_touch(k);
			continue;
		}
		if (!list_is_empty(&k->changed))
			continue;
		map_remove(s->keys, key);
		scope_key_free(k);
	}
}

void
scope_sweep(struct scope_book *b, size_t steps, int64_t now)
{
	size_t pos = 0;
	struct str name;
	void *value;

	while (map_each(b->scopes, &pos, &name, &value))
		sweep_scope(value, steps, now);
}
