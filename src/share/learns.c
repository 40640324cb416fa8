/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream with ids of our own, 1-0, 2-0 and so on, which count on in a key
 * beside it, with an epoch that tells an emptied server from the one that was
 * read. One batch is on its way at a time, and one each PAUSE_MS. What was sent
 * and not answered is sent again: to learn something twice changes nothing.
 * After an outage all is read before anything is sent, so that what was learnt
 * meanwhile does not come behind what others have forgotten.
 */
#include "share/learns.h"

#include "base/bytes.h"
#include "base/list.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1
#define HEAD 23 /* version, what, relay, destination, why, day */
#define BATCH 48
#define PAUSE_MS 50
#define PAGE 200
#define EPOCH 16
#define PLAIN_MAX (HEAD + LEARNS_SENDER_MAX)
#define ABOUT STR("weir learnt 1")

/* KEYS: stream, count. ARGV: ttl, kept, epoch for an empty server, then what is
 * added. Without the count the server would look emptied, so it outlives what
 * it counts. */
static const char add_text[] =
    "redis.call('HSETNX', KEYS[2], 'epoch', ARGV[3])\n"
    "for i = 4, #ARGV do\n"
    "  local n = redis.call('HINCRBY', KEYS[2], 'n', 1)\n"
    "  local id = string.format('%.0f-0', n)\n"
    "  local r = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], id,\n"
    "    's', ARGV[i])\n"
    "  if type(r) == 'table' and r.err then\n"
    "    redis.call('DEL', KEYS[1])\n"
    "    redis.call('XADD', KEYS[1], id, 's', ARGV[i])\n"
    "  end\n"
    "end\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[1])\n"
    "redis.call('PEXPIRE', KEYS[2], ARGV[1] * 20)\n"
    "return 1\n";

/* ARGV: id that was read, page, epoch that is known. Nothing is written. */
static const char read_text[] =
    "local m = redis.call('HMGET', KEYS[2], 'n', 'epoch')\n"
    "local top = tonumber(m[1] or '0')\n"
    "local from = tonumber(ARGV[1])\n"
    "local out = {top, m[2] or '', 0}\n"
    "if out[2] ~= ARGV[3] then from = 0 end\n"
    "if from >= top then return out end\n"
    "local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]\n"
    "out[3] = first and tonumber(string.match(first[1], '^%d+')) or top + 1\n"
    "for _, e in ipairs(redis.call('XRANGE', KEYS[1],\n"
    "    string.format('%.0f-0', from + 1), '+', 'COUNT', ARGV[2])) do\n"
    "  out[#out + 1] = tonumber(string.match(e[1], '^%d+'))\n"
    "  out[#out + 1] = e[2][2]\n"
    "end\n"
    "return out\n";

struct item {
	struct list entry; /* of waiting, or of sent */
	size_t n;
	char plain[];
};

struct learns {
	struct loop *loop;
	struct redis_link *link;
	const struct seal *seal;
	const struct learns_ops *ops;
	void *arg;
	char *keys[2];
	uint64_t relay;
	struct redis_script add, read;
	struct learns_mark mark;
	bool is_reading, is_sending, is_full;
	bool is_behind; /* what others forgot may not have been read */
	struct list waiting, sent;
	size_t waiting_n;
	int64_t sent_at;
	struct loop_timer timer, pause;
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
	if (what != LEARNS_KNOWS && what != LEARNS_FORGET)
		return false;
	out->what = (enum learns_what)what;
	out->relay = bytes_get(&p, 8);
	out->destination = bytes_get(&p, 8);
	out->why = (uint8_t)bytes_get(&p, 1);
	out->day = (uint32_t)bytes_get(&p, 4);
	out->sender = str_sub(in, HEAD, in.n);
	return (what == LEARNS_FORGET || out->destination != 0) &&
	       str_index(out->sender, '\0') == out->sender.n;
}

/* ---- to the server ---- */

static void
free_all(struct list *items)
{
	while (!list_is_empty(items)) {
		struct item *i = LIST_ITEM(items->next, struct item, entry);

		list_remove(&i->entry);
		free(i);
	}
}

static void flush(struct learns *l, int64_t now);

static void
on_added(void *arg, const struct resp_value *reply, int64_t now)
{
	struct learns *l = arg;

	l->is_sending = false;
	l->is_behind |= reply == NULL;
	while (reply == NULL && !list_is_empty(&l->sent)) {
		struct item *i = LIST_ITEM(l->sent.prev, struct item, entry);

		list_remove(&i->entry);
		list_insert(&l->waiting, &i->entry);
		l->waiting_n++;
	}
	free_all(&l->sent);
	flush(l, now);
}

static bool
send_batch(struct learns *l)
{
	struct str keys[2] = {str_from(l->keys[0]), str_from(l->keys[1])};
	struct str args[BATCH + 3];
	struct buf sealed[BATCH];
	char ttl[24], kept[24], offer[EPOCH + 1];
	uint64_t epoch;
	struct list *e;
	size_t n = 0;
	bool ok;

	if (RAND_bytes((unsigned char *)&epoch, sizeof(epoch)) != 1)
		panic("no random numbers");
	snprintf(offer, sizeof(offer), "%016" PRIx64, epoch | 1);
	snprintf(ttl, sizeof(ttl), "%lld", (long long)LEARNS_TTL_MS);
	snprintf(kept, sizeof(kept), "%d", LEARNS_KEPT);
	args[0] = str_from(ttl);
	args[1] = str_from(kept);
	args[2] = str_from(offer);
	list_each (e, &l->sent) {
		struct item *i = LIST_ITEM(e, struct item, entry);

		buf_init(&sealed[n], PLAIN_MAX + SEAL_EXTRA);
		if (!seal_close(l->seal, ABOUT, (struct str){i->plain, i->n},
			&sealed[n]))
			panic("a record has no room");
		args[3 + n] = buf_str(&sealed[n]);
		n++;
	}
	ok =
	    redis_link_run(l->link, &l->add, keys, 2, args, 3 + n, on_added, l);
	while (n > 0)
		buf_clear(&sealed[--n]);
	return ok;
}

static void
flush(struct learns *l, int64_t now)
{
	if (l->is_sending || l->is_behind || list_is_empty(&l->waiting) ||
	    !redis_link_is_up(l->link))
		return;
	if (now < l->sent_at + PAUSE_MS) {
		loop_timer_set(&l->pause, l->sent_at + PAUSE_MS);
		return;
	}
	for (size_t n = 0; n < BATCH && !list_is_empty(&l->waiting); n++) {
		struct list *e = l->waiting.next;

		list_remove(e);
		list_append(&l->sent, e);
		l->waiting_n--;
	}
	l->sent_at = now;
	l->is_sending = send_batch(l);
	if (!l->is_sending) {
		/* As if it had not been answered, but not at once again. */
		while (!list_is_empty(&l->sent)) {
			struct list *e = l->sent.prev;

			list_remove(e);
			list_insert(&l->waiting, e);
			l->waiting_n++;
		}
		loop_timer_set(&l->pause, now + LEARNS_POLL_MS);
	}
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
	return i->plain[1] == LEARNS_KNOWS &&
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
}

/* ---- from the server ---- */

/* Not of this site, or not whole: as if it were not there. */
static void
take(struct learns *l, struct str sealed)
{
	struct learns_record r;
	struct buf plain;

	buf_init(&plain, PLAIN_MAX);
	if (sealed.n <= PLAIN_MAX + SEAL_EXTRA &&
	    seal_open(l->seal, ABOUT, sealed, &plain) &&
	    learns_read(buf_str(&plain), &r) && r.relay != l->relay)
		l->ops->on_record(l->arg, &r);
	buf_clear(&plain);
}

static uint64_t
epoch_of(struct str text)
{
	uint64_t v = 0;

	for (size_t i = 0; i < text.n && i < EPOCH; i++) {
		int digit = str_hex_digit(text.p[i]);

		if (digit < 0)
			return 0;
		v = v << 4 | (uint64_t)digit;
	}
	return v;
}

/* An emptied server, or one that has thrown away what was not read here. */
static void
look_for_gap(struct learns *l, uint64_t epoch, int64_t first)
{
	bool was_known = l->mark.epoch != 0;

	if (epoch != l->mark.epoch) {
		l->mark = (struct learns_mark){epoch, 0};
		if (was_known)
			l->ops->on_gap(l->arg, 0);
	} else if (first > 0 && (uint64_t)first > l->mark.at + 1) {
		l->ops->on_gap(l->arg, (uint64_t)first - l->mark.at - 1);
	}
}

/* True: there may be more. */
static bool
take_page(struct learns *l, const struct resp_value *reply)
{
	int64_t top = resp_at(reply, 0)->integer;
	int64_t first = resp_at(reply, 2)->integer;
	uint64_t epoch = epoch_of(resp_text(resp_at(reply, 1)));
	size_t n;

	/* Nothing was ever passed on; or the keys are used by others. */
	if (reply->count < 3 || top < 0 || first < 0 || epoch == 0)
		return false;
	look_for_gap(l, epoch, first);
	n = (reply->count - 3) / 2;
	for (size_t i = 0; i < n; i++) {
		int64_t at = resp_at(reply, 2 * i + 3)->integer;

		take(l, resp_text(resp_at(reply, 2 * i + 4)));
		if (at > 0)
			l->mark.at = (uint64_t)at;
	}
	if (n >= PAGE)
		return true;
	l->mark.at = (uint64_t)top;
	return false;
}

static void read_now(struct learns *l);

static void
on_read(void *arg, const struct resp_value *reply, int64_t now)
{
	struct learns *l = arg;

	l->is_reading = false;
	/* Without the link until learns_start. */
	loop_timer_set(&l->timer, now + LEARNS_POLL_MS);
	if (reply == NULL) {
		l->is_behind = true;
	} else if (take_page(l, reply)) {
		read_now(l);
	} else {
		l->is_behind = false;
		flush(l, now);
	}
}

static void
read_now(struct learns *l)
{
	struct str keys[2] = {str_from(l->keys[0]), str_from(l->keys[1])};
	struct str args[3];
	char at[24], page[16], epoch[EPOCH + 1];

	if (l->is_reading)
		return;
	snprintf(at, sizeof(at), "%" PRIu64, l->mark.at);
	snprintf(page, sizeof(page), "%d", PAGE);
	snprintf(epoch, sizeof(epoch), "%016" PRIx64, l->mark.epoch);
	args[0] = str_from(at);
	args[1] = str_from(page);
	args[2] = str_from(epoch);
	loop_timer_set(&l->timer, INT64_MAX);
	l->is_reading =
	    redis_link_run(l->link, &l->read, keys, 2, args, 3, on_read, l);
	if (l->is_reading)
		return;
	l->is_behind = true;
	if (redis_link_is_up(l->link))
		loop_timer_set(&l->timer, loop_now(l->loop) + LEARNS_POLL_MS);
}

static void
on_timer(void *arg, int64_t now)
{
	struct learns *l = arg;

	(void)now;
	if (redis_link_is_up(l->link))
		read_now(l);
}

/* ---- the owner's side ---- */

void
learns_start(struct learns *l)
{
	l->is_behind = true;
	read_now(l);
}

struct learns_mark
learns_mark(const struct learns *l)
{
	return l->mark;
}

struct learns *
learns_new(struct loop *loop, struct redis_link *link, const struct seal *seal,
    const char *prefix, const char *relay, struct learns_mark mark,
    const struct learns_ops *ops, void *arg)
{
	struct learns *l = xcalloc(1, sizeof(*l));
	unsigned char id[SEAL_ID];

	l->loop = loop;
	l->link = link;
	l->seal = seal;
	l->ops = ops;
	l->arg = arg;
	l->mark = mark;
	l->add.text = add_text;
	l->read.text = read_text;
	l->sent_at = INT64_MIN / 2;
	l->is_behind = true;
	l->keys[0] = xasprintf("{%s:1}:learnt", prefix);
	l->keys[1] = xasprintf("{%s:1}:learnt-count", prefix);
	seal_id(seal, "relay", str_from(relay), id);
	memcpy(&l->relay, id, sizeof(l->relay));
	list_init(&l->waiting);
	list_init(&l->sent);
	loop_timer_init(&l->timer, loop, on_timer, l);
	loop_timer_init(&l->pause, loop, on_pause, l);
	return l;
}

void
learns_free(struct learns *l)
{
	if (l == NULL)
		return;
	free_all(&l->waiting);
	free_all(&l->sent);
	loop_timer_clear(&l->timer);
	loop_timer_clear(&l->pause);
	free(l->keys[0]);
	free(l->keys[1]);
	free(l);
}
