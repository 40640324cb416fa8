/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Questions into arguments of the script, its reply into answers. The reply is
 * an input like any other: what does not fit is no answer.
 */
#include "share/scopes.h"

#include "base/list.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME 8     /* bytes of a relay, a reservation */
#define HEAD 3     /* arguments before the scopes */
#define OF_SCOPE 3 /* arguments of each */
#define OF_STEP 2
#define RULING 5 /* elements of each */
#define TEXT_MAX (1u << 16)

extern const char scopes_text[]; /* scopes.lua */

struct scopes {
	struct redis_link *link;
	const struct seal *seal;
	char *prefix;
	char relay[NAME];
	struct redis_script script;
	struct list open; /* struct ask */
};

struct ask {
	struct list entry;
	size_t scopes, rulings;
	size_t windows[SHARE_SCOPES_MAX]; /* of each scope */
	share_scopes_fn *fn;
	void *arg;
};

/* ---- the question ---- */

/* Everything that the arguments point to; texts by their place in it. */
struct words {
	struct buf text;
	struct place {
		size_t at, n;
	} places[HEAD + OF_SCOPE * SHARE_SCOPES_MAX +
		 OF_STEP * SHARE_STEPS_MAX];
	size_t n;
};

static bool
add(struct words *w, const void *p, size_t n)
{
	w->places[w->n++] = (struct place){w->text.len, n};
	return buf_append(&w->text, p, n);
}

static bool
add_number(struct words *w, int64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, v);
	return add(w, text, strlen(text));
}

/* As scopes.lua has it. */
static bool
write_window(const struct share_window *from, bool is_first, struct buf *out)
{
	if (!buf_printf(out, "%s%" PRId64, is_first ? "" : "|", from->age_ms))
		return false;
	for (unsigned i = 0; i < SHARE_SLOTS; i++) {
		if (from->slot[i] > 0 &&
		    !buf_printf(out, " %u %u", i, from->slot[i]))
			return false;
	}
	return true;
}

static bool
write_scope(struct words *w, const struct share_scope *s)
{
	size_t at = w->text.len;
	bool ok = true;

	for (size_t i = 0; ok && i < s->windows_n; i++)
		ok = buf_printf(&w->text, "%u %" PRId64 " ",
		    s->windows[i].count, s->windows[i].length_ms);
	w->places[w->n++] = (struct place){at, w->text.len - at};
	ok = ok && add_number(w, s->untold);
	at = w->text.len;
	for (size_t i = 0; ok && i < s->windows_n; i++)
		ok = write_window(&s->windows[i], i == 0, &w->text);
	w->places[w->n++] = (struct place){at, w->text.len - at};
	return ok;
}

static bool
write_words(
    const struct scopes *d, const struct share_scopes *q, struct words *w)
{
	static const char *const letters[] = {
	    [SHARE_SCOPE_RESERVE] = "R",
	    [SHARE_SCOPE_TAKE] = "T",
	    [SHARE_SCOPE_COMMIT] = "C",
	    [SHARE_SCOPE_CANCEL] = "X",
	    [SHARE_SCOPE_JOIN] = "J",
	};
	bool ok = add(w, d->relay, NAME) && add_number(w, SCOPES_LEASE_S);

	ok = ok && (q->at != 0 ? add_number(w, q->at) : add(w, "", 0));
	for (size_t i = 0; ok && i < q->scopes_n; i++)
		ok = write_scope(w, &q->scopes[i]);
	for (size_t i = 0; ok && i < q->steps_n; i++) {
		char id[NAME];

		memcpy(id, &q->steps[i].reservation, NAME);
		ok = add(w, letters[q->steps[i].what], 1) && add(w, id, NAME);
	}
	return ok;
}

static struct str
key_of(const struct scopes *d, const struct share_scope *s)
{
	char *name = xasprintf("%.*s%c%.*s", (int)s->name.n, s->name.p, '\n',
	    (int)s->key.n, s->key.p);
	unsigned char id[SEAL_ID];
	char hex[2 * SEAL_ID + 1];

	seal_id(d->seal, "scope", str_from(name), id);
	free(name);
	for (size_t i = 0; i < SEAL_ID; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	return str_from(
	    xasprintf("{%s:scopes:%d}:%s", d->prefix, SCOPES_VERSION, hex));
}

/* ---- the answer ---- */

static bool
read_number(
    const struct resp_value *reply, size_t i, int64_t high, int64_t *out)
{
	const struct resp_value *v = resp_at(reply, i);

	*out = v->integer;
	return v->type == RESP_INTEGER && *out >= 0 && *out <= high;
}

static bool
read_ruling(const struct ask *a, const struct resp_value *reply, size_t at,
    struct share_scope_ruling *out)
{
	int64_t is_free, scope, window, used, open_in;

	if (!read_number(reply, at, 1, &is_free) ||
	    !read_number(reply, at + 1, (int64_t)a->scopes - 1, &scope) ||
	    !read_number(reply, at + 2, INT32_MAX, &window) ||
	    !read_number(reply, at + 3, UINT32_MAX, &used) ||
	    !read_number(reply, at + 4, INT64_C(1) << 41, &open_in) ||
	    (is_free == 0 && (size_t)window >= a->windows[scope]))
		return false;
	*out = (struct share_scope_ruling){
	    .is_free = is_free == 1,
	    .scope = (size_t)scope,
	    .window = (size_t)window,
	    .used = (uint32_t)used,
	    .open_in = open_in,
	};
	return true;
}

/* A number and what ends it. */
static bool
take_number(struct str *in, uint64_t high, uint64_t *out)
{
	size_t n = 0;

	*out = 0;
	while (n < in->n && in->p[n] >= '0' && in->p[n] <= '9' && n < 15)
		*out = *out * 10 + (unsigned)(in->p[n++] - '0');
	if (n == 0 || *out > high)
		return false;
	if (n < in->n && in->p[n] == ' ')
		n++;
	*in = str_sub(*in, n, in->n);
	return true;
}

static bool
read_window(struct str in, struct share_window *out)
{
	uint64_t v, slot;

	*out = (struct share_window){0};
	if (!take_number(&in, UINT64_C(1) << 41, &v))
		return false;
	out->age_ms = (int64_t)v;
	while (in.n > 0) {
		if (!take_number(&in, SHARE_SLOTS - 1, &slot) ||
		    !take_number(&in, UINT32_MAX / SHARE_SLOTS, &v))
			return false;
		out->slot[slot] = (uint32_t)v;
	}
	return true;
}

static bool
read_scope(struct str in, size_t n, struct share_window *out)
{
	for (size_t i = 0; i < n; i++) {
		size_t end = str_index(in, '|');

		if (!read_window(str_sub(in, 0, end), &out[i]))
			return false;
		in = str_sub(in, end < in.n ? end + 1 : end, in.n);
	}
	return in.n == 0;
}

static bool
read_answer(const struct ask *a, const struct resp_value *reply,
    struct share_scope_ruling *rulings, struct share_window *windows)
{
	size_t at = RULING * a->rulings;

	if (reply->type != RESP_ARRAY || reply->count != at + a->scopes)
		return false;
	for (size_t i = 0; i < a->rulings; i++) {
		if (!read_ruling(a, reply, RULING * i, &rulings[i]))
			return false;
	}
	for (size_t i = 0; i < a->scopes; i++) {
		if (!read_scope(resp_text(resp_at(reply, at + i)),
			a->windows[i], windows))
			return false;
		windows += a->windows[i];
	}
	return true;
}

static void
ask_free(struct ask *a)
{
	list_remove(&a->entry);
	free(a);
}

static void
on_reply(void *arg, const struct resp_value *reply, int64_t now)
{
	struct ask *a = arg;
	share_scopes_fn *fn = a->fn;
	void *fn_arg = a->arg;
	struct share_scope_ruling *rulings =
	    xcalloc(a->rulings + 1, sizeof(*rulings));
	struct share_scopes_answer answer = {
	    .rulings = rulings, .rulings_n = a->rulings};
	struct share_window *windows;
	size_t n = 0;
	bool ok;

	for (size_t i = 0; i < a->scopes; i++)
		n += a->windows[i];
	windows = xcalloc(n + 1, sizeof(*windows));
	answer.windows = windows;
	ok = reply != NULL && read_answer(a, reply, rulings, windows);
	ask_free(a);
	fn(fn_arg, ok ? &answer : NULL, now);
	free(rulings);
	free(windows);
}

static bool
send_words(struct scopes *d, const struct share_scopes *q, struct words *w,
    struct ask *a)
{
	struct str keys[SHARE_SCOPES_MAX], args[ARRAY_LEN(w->places)];
	struct str text = buf_str(&w->text);
	bool ok;

	for (size_t i = 0; i < w->n; i++)
		args[i] = str_sub(text, w->places[i].at, w->places[i].n);
	for (size_t i = 0; i < q->scopes_n; i++)
		keys[i] = key_of(d, &q->scopes[i]);
	ok = redis_link_reaches(d->link, keys[0], NULL) &&
	     redis_link_run(d->link, &d->script, keys, q->scopes_n, args, w->n,
		 on_reply, a);
	for (size_t i = 0; i < q->scopes_n; i++)
		free((void *)(uintptr_t)keys[i].p);
	return ok;
}

bool
scopes_ask(struct scopes *d, const struct share_scopes *q, share_scopes_fn *fn,
    void *arg)
{
	struct words *w;
	struct ask *a;
	bool ok;

	if (q->scopes_n == 0 || q->scopes_n > SHARE_SCOPES_MAX ||
	    q->steps_n > SHARE_STEPS_MAX || !redis_link_is_up(d->link))
		return false;
	w = xcalloc(1, sizeof(*w));
	buf_init(&w->text, TEXT_MAX);
	a = xcalloc(1, sizeof(*a));
	a->fn = fn;
	a->arg = arg;
	a->scopes = q->scopes_n;
	for (size_t i = 0; i < q->scopes_n; i++)
		a->windows[i] = q->scopes[i].windows_n;
	for (size_t i = 0; i < q->steps_n; i++)
		a->rulings += q->steps[i].what <= SHARE_SCOPE_TAKE;
	list_append(&d->open, &a->entry);
	ok = write_words(d, q, w) && send_words(d, q, w, a);
	if (!ok)
		ask_free(a);
	buf_clear(&w->text);
	free(w);
	return ok;
}

struct scopes *
scopes_new(struct redis_link *link, const struct seal *seal, const char *prefix,
    const char *relay)
{
	struct scopes *d = xcalloc(1, sizeof(*d));
	unsigned char id[SEAL_ID];

	d->link = link;
	d->seal = seal;
	d->prefix = xstrdup(prefix);
	seal_id(seal, "relay", str_from(relay), id);
	memcpy(d->relay, id, NAME);
	d->script.text = scopes_text;
	list_init(&d->open);
	return d;
}

void
scopes_free(struct scopes *d)
{
	if (d == NULL)
		return;
	while (!list_is_empty(&d->open))
		ask_free(LIST_ITEM(d->open.next, struct ask, entry));
	free(d->prefix);
	free(d);
}
