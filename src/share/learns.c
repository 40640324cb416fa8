/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Batches go one each PAUSE_MS. What was sent and not answered is sent again:
 * to learn something twice changes nothing. After an outage all is read before
 * anything is sent, so that what was learnt meanwhile does not come behind what
 * others have forgotten.
 */
#include "share/learns.h"

#include "base/bytes.h"
#include "base/list.h"

#include <stdlib.h>
#include <string.h>

#define VERSION 2
/* version, what, relay, destination, why, day, domain, network */
#define HEAD 27
#define PAUSE_MS 50
#define PLAIN_MAX (HEAD + LEARNS_SENDER_MAX)

struct item {
	struct list entry; /* of waiting, or of sent */
	size_t n;
	char plain[];
};

/* On its way; the link forgets it when it is freed. */
struct ask {
	struct list entry;
	struct learns *l;
	uint64_t own;
	bool is_dropped; /* forgotten meanwhile */
	size_t n;
	char plain[];
};

struct learns {
	struct loop *loop;
	struct stream *stream;
	const struct learns_ops *ops;
	void *arg;
	uint64_t relay;
	bool is_full;
	bool is_behind; /* what others forgot may not have been read */
	struct list waiting, sent, asked;
	size_t waiting_n, asked_n;
	int64_t sent_at;
	struct loop_timer pause;
};

/* ---- what is sealed ---- */

bool
learns_write(const struct learns_record *r, struct buf *out)
{
	unsigned char head[HEAD], *p = head;

	if (r->sender.n == 0 || r->sender.n > LEARNS_SENDER_MAX)
		return false;
	bytes_put(&p, VERSION, 1);
	bytes_put(&p, r->what, 1);
	bytes_put(&p, r->relay, 8);
	bytes_put(&p, r->destination, 8);
	bytes_put(&p, r->why, 1);
	bytes_put(&p, r->day, 4);
	bytes_put(&p, r->domain, 2);
	bytes_put(&p, r->network, 2);
	return buf_append(out, head, HEAD) && buf_append_str(out, r->sender);
}

bool
learns_read(struct str in, struct learns_record *out)
{
	const unsigned char *p = (const unsigned char *)in.p;
	uint64_t what;

	if (in.n <= HEAD || in.n > PLAIN_MAX || bytes_get(&p, 1) != VERSION)
		return false;
	what = bytes_get(&p, 1);
	if (what < LEARNS_KNOWS || what > LEARNS_MET_COUNTED)
		return false;
	out->what = (enum learns_what)what;
	out->relay = bytes_get(&p, 8);
	out->destination = bytes_get(&p, 8);
	out->why = (uint8_t)bytes_get(&p, 1);
	out->day = (uint32_t)bytes_get(&p, 4);
	out->domain = (uint16_t)bytes_get(&p, 2);
	out->network = (uint16_t)bytes_get(&p, 2);
	out->own = 0;
	out->sender = str_sub(in, HEAD, in.n);
	return (what == LEARNS_FORGET || out->destination != 0) &&
	       str_index(out->sender, '\0') == out->sender.n;
}

/* ---- to the server ---- */

static void drop_asked(struct learns *l, struct str sender);

static void
free_all(struct list *items)
{
	while (!list_is_empty(items)) {
		struct item *i = LIST_ITEM(items->next, struct item, entry);

		list_remove(&i->entry);
		free(i);
	}
}

static void
take_back(struct learns *l)
{
	while (!list_is_empty(&l->sent)) {
		struct list *e = l->sent.prev;

		list_remove(e);
		list_insert(&l->waiting, e);
		l->waiting_n++;
	}
}

static bool
send_batch(struct learns *l)
{
	struct str records[STREAM_BATCH];
	size_t n = 0;

	while (n < STREAM_BATCH && !list_is_empty(&l->waiting)) {
		struct list *e = l->waiting.next;
		struct item *i = LIST_ITEM(e, struct item, entry);

		list_remove(e);
		list_append(&l->sent, e);
		l->waiting_n--;
		records[n++] = (struct str){i->plain, i->n};
	}
	return stream_add(l->stream, records, n);
}

static void
flush(struct learns *l, int64_t now)
{
	if (!stream_is_ready(l->stream) || l->is_behind ||
	    list_is_empty(&l->waiting))
		return;
	if (now < l->sent_at + PAUSE_MS) {
		loop_timer_set(&l->pause, l->sent_at + PAUSE_MS);
		return;
	}
	l->sent_at = now;
	if (!send_batch(l)) {
		/* As if it had not been answered, but not at once again. */
		take_back(l);
		loop_timer_set(&l->pause, now + STREAM_POLL_MS);
	}
}

static void
on_added(void *arg, bool is_there, int64_t now)
{
	struct learns *l = arg;

	if (is_there)
		free_all(&l->sent);
	else
		l->is_behind = true;
	take_back(l);
	flush(l, now);
}

static void
on_pause(void *arg, int64_t now)
{
	flush(arg, now);
}

void
learns_note(struct learns *l, const struct learns_record *r)
{
	struct learns_record mine = *r;
	struct buf plain;
	struct item *i;

	if (l->waiting_n >= LEARNS_WAITING_MAX) {
		if (!l->is_full)
			l->ops->on_full(l->arg);
		l->is_full = true;
		return;
	}
	if (l->waiting_n < LEARNS_WAITING_MAX / 2)
		l->is_full = false;
	if (r->what == LEARNS_FORGET)
		drop_asked(l, r->sender);
	mine.relay = l->relay;
	buf_init(&plain, PLAIN_MAX);
	if (learns_write(&mine, &plain)) {
		struct str s = buf_str(&plain);

		i = xcalloc(1, sizeof(*i) + s.n);
		i->n = s.n;
		memcpy(i->plain, s.p, s.n);
		list_append(&l->waiting, &i->entry);
		l->waiting_n++;
	}
	buf_clear(&plain);
	flush(l, loop_now(l->loop));
}

static bool
knows(const struct item *i, struct str sender)
{
	return i->plain[1] != LEARNS_FORGET &&
	       str_eq((struct str){i->plain + HEAD, i->n - HEAD}, sender);
}

static size_t
drop(struct list *items, struct str sender)
{
	struct list *e, *next;
	size_t n = 0;

	list_each_safe (e, next, items) {
		struct item *i = LIST_ITEM(e, struct item, entry);

		if (!knows(i, sender))
			continue;
		list_remove(&i->entry);
		free(i);
		n++;
	}
	return n;
}

void
learns_drop(struct learns *l, struct str sender)
{
	l->waiting_n -= drop(&l->waiting, sender);
	/* In case it is not answered and would be sent again. */
	(void)drop(&l->sent, sender);
	drop_asked(l, sender);
}

/* ---- what incoming mail names ---- */

static void
ask_free(struct ask *q)
{
	list_remove(&q->entry);
	q->l->asked_n--;
	free(q);
}

static void
drop_asked(struct learns *l, struct str sender)
{
	struct list *e;

	list_each (e, &l->asked) {
		struct ask *q = LIST_ITEM(e, struct ask, entry);
		struct str who = {q->plain + HEAD, q->n - HEAD};

		q->is_dropped |= str_eq(who, sender);
	}
}

static void
on_metered(void *arg, const struct resp_value *reply, int64_t now)
{
	struct ask *q = arg;
	struct learns *l = q->l;
	struct learns_record r;

	(void)now;
	if (!q->is_dropped && learns_read((struct str){q->plain, q->n}, &r)) {
		if (reply == NULL) {
			r.what = LEARNS_MET;
			learns_note(l, &r);
		}
		r.own = q->own;
		l->ops->on_answer(
		    l->arg, &r, reply == NULL || reply->integer == 1);
	}
	ask_free(q);
}

static bool
is_asked(const struct learns *l, struct str plain)
{
	struct list *e;

	list_each (e, &l->asked) {
		const struct ask *q = LIST_ITEM(e, struct ask, entry);

		if (!q->is_dropped &&
		    str_eq((struct str){q->plain, q->n}, plain))
			return true;
	}
	return false;
}

static bool
ask(struct learns *l, struct str plain, const struct learns_record *r,
    const struct learns_rate *rate)
{
	const struct stream_meter meter = {
	    .domain = "met",
	    .name = r->sender,
	    .count = rate->count,
	    .window_ms = rate->window_ms,
	};
	struct ask *q = xcalloc(1, sizeof(*q) + plain.n);

	q->l = l;
	q->own = r->own;
	q->n = plain.n;
	memcpy(q->plain, plain.p, plain.n);
	list_append(&l->asked, &q->entry);
	l->asked_n++;
	if (stream_add_metered(l->stream, plain, &meter, on_metered, q))
		return true;
	ask_free(q);
	return false;
}

bool
learns_ask(struct learns *l, const struct learns_record *r,
    const struct learns_rate *rate)
{
	struct learns_record mine = *r;
	struct buf plain;
	bool ok = false;

	mine.what = LEARNS_MET_COUNTED;
	mine.relay = l->relay;
	buf_init(&plain, PLAIN_MAX);
	if (!learns_write(&mine, &plain)) {
		/* Of no use at other relays. */
	} else if (is_asked(l, buf_str(&plain))) {
		ok = true;
	} else if (l->asked_n >= LEARNS_ASKED_MAX) {
		l->ops->on_answer(l->arg, r, false);
		ok = true;
	} else {
		ok = ask(l, buf_str(&plain), r, rate);
	}
	buf_clear(&plain);
	return ok;
}

/* ---- from the server ---- */

static void
on_entry(void *arg, struct str plain)
{
	struct learns *l = arg;
	struct learns_record r;

	if (learns_read(plain, &r) && r.relay != l->relay)
		l->ops->on_record(l->arg, &r);
}

static void
on_gap(void *arg, uint64_t missed)
{
	struct learns *l = arg;

	l->ops->on_gap(l->arg, missed);
}

static void
on_read(void *arg, bool is_all, int64_t now)
{
	struct learns *l = arg;

	l->is_behind = !is_all;
	flush(l, now);
}

static const struct stream_ops stream_ops = {
    .on_entry = on_entry,
    .on_gap = on_gap,
    .on_read = on_read,
    .on_added = on_added,
};

/* ---- the owner's side ---- */

void
learns_start(struct learns *l)
{
	l->is_behind = true;
	stream_start(l->stream);
}

struct stream_mark
learns_mark(const struct learns *l)
{
	return stream_mark(l->stream);
}

struct learns *
learns_new(struct loop *loop, struct redis_link *link, const struct seal *seal,
    const char *prefix, const char *relay, struct stream_mark mark,
    const struct learns_ops *ops, void *arg)
{
	struct learns *l = xcalloc(1, sizeof(*l));
	const struct stream_settings settings = {
	    .name = "learnt",
	    .about = "weir learnt 1",
	    .plain_max = PLAIN_MAX,
	    .ttl_ms = LEARNS_TTL_MS,
	    .mark = mark,
	};
	unsigned char id[SEAL_ID];

	l->loop = loop;
	l->ops = ops;
	l->arg = arg;
	l->sent_at = INT64_MIN / 2;
	l->is_behind = true;
	seal_id(seal, "relay", str_from(relay), id);
	memcpy(&l->relay, id, sizeof(l->relay));
	list_init(&l->waiting);
	list_init(&l->sent);
	list_init(&l->asked);
	loop_timer_init(&l->pause, loop, on_pause, l);
	l->stream =
	    stream_new(loop, link, seal, prefix, &settings, &stream_ops, l);
	return l;
}

void
learns_free(struct learns *l)
{
	if (l == NULL)
		return;
	stream_free(l->stream);
	free_all(&l->waiting);
	free_all(&l->sent);
	while (!list_is_empty(&l->asked))
		ask_free(LIST_ITEM(l->asked.next, struct ask, entry));
	loop_timer_clear(&l->pause);
	free(l);
}
