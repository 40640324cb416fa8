/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream in the server with ids of our own, 1-0, 2-0 and so on, which count
 * on in a key beside it, with an epoch that tells an emptied server from the
 * one that was read. A relay begins at the id that is the latest when it first
 * comes, and passes over what is its own.
 */
#include "share/spends.h"

#include "base/bytes.h"
#include "base/list.h"
#include "base/map.h"
#include "share/freezes.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1
#define HEAD 17 /* version, relay, recipients, messages */
#define BATCH 24
#define EPOCH 16
#define PAGE 200
#define PLAIN_MAX (HEAD + FREEZES_SENDER_MAX)
#define ABOUT STR("weir spent 1")

/* KEYS: stream, count. ARGV: ttl, kept, epoch for an empty server, then what is
 * added. */
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
    "for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], ARGV[1]) end\n"
    "return 1\n";

/* ARGV: id that was read (-1: none), page, epoch that is known. Nothing is
 * written. */
static const char read_text[] =
    "local m = redis.call('HMGET', KEYS[2], 'n', 'epoch')\n"
    "local top = tonumber(m[1] or '0')\n"
    "local from = tonumber(ARGV[1])\n"
    "local out = {top, m[2] or ''}\n"
    "if from < 0 then return out end\n"
    "if from > top or out[2] ~= ARGV[3] then from = 0 end\n"
    "if from == top then return out end\n"
    "for _, e in ipairs(redis.call('XRANGE', KEYS[1],\n"
    "    string.format('%.0f-0', from + 1), '+', 'COUNT', ARGV[2])) do\n"
    "  out[#out + 1] = tonumber(string.match(e[1], '^%d+'))\n"
    "  out[#out + 1] = e[2][2]\n"
    "end\n"
    "return out\n";

struct count {
	uint32_t recipients, messages;
};

/* On its way; the link forgets it when it is freed. */
struct batch {
	struct list entry;
	struct spends *s;
	size_t n;
	struct batch_item {
		char *sender;
		struct count count;
	} v[BATCH];
};

struct spends {
	struct loop *loop;
	struct redis_link *link;
	const struct seal *seal;
	char *keys[2];
	char epoch[EPOCH]; /* of the server; epoch_n 0: it is empty */
	size_t epoch_n;
	struct redis_script add, read;
	spends_fn *fn;
	void *arg;
	uint64_t relay; /* this one's, until it ends */
	int64_t last;   /* id that was read; -1: none yet */
	bool is_reading;
	struct map *waiting; /* sender to struct count */
	struct list batches;
	struct loop_timer timer;
};

/* ---- what is sealed ---- */

bool
spend_write(const struct spend *v, struct buf *out)
{
	unsigned char head[HEAD], *p = head;

	if (v->sender.n == 0 || v->sender.n > FREEZES_SENDER_MAX)
		return false;
	bytes_put(&p, VERSION, 1);
	bytes_put(&p, v->relay, 8);
	bytes_put(&p, v->recipients, 4);
	bytes_put(&p, v->messages, 4);
	return buf_append(out, head, HEAD) && buf_append_str(out, v->sender);
}

bool
spend_read(struct str in, struct spend *out)
{
	const unsigned char *p = (const unsigned char *)in.p;
	uint64_t version;

	if (in.n <= HEAD || in.n > PLAIN_MAX)
		return false;
	version = bytes_get(&p, 1);
	out->relay = bytes_get(&p, 8);
	out->recipients = (uint32_t)bytes_get(&p, 4);
	out->messages = (uint32_t)bytes_get(&p, 4);
	out->sender = str_sub(in, HEAD, in.n);
	return version == VERSION && out->recipients <= SPENDS_COUNT_MAX &&
	       out->messages <= SPENDS_COUNT_MAX &&
	       str_index(out->sender, '\0') == out->sender.n;
}

/* ---- to the server ---- */

static void
batch_free(struct batch *b)
{
	list_remove(&b->entry);
	for (size_t i = 0; i < b->n; i++)
		free(b->v[i].sender);
	free(b);
}

static uint32_t
sum(uint32_t a, uint32_t b)
{
	return a + b < SPENDS_COUNT_MAX ? a + b : SPENDS_COUNT_MAX;
}

static void
note(struct spends *s, const char *sender, struct count more)
{
	struct count *c = map_find(s->waiting, str_from(sender));

	if (c == NULL && map_count(s->waiting) >= SPENDS_SENDERS_MAX)
		return;
	if (c == NULL) {
		c = xcalloc(1, sizeof(*c));
		map_set(s->waiting, str_from(sender), c);
	}
	c->recipients = sum(c->recipients, more.recipients);
	c->messages = sum(c->messages, more.messages);
}

static void flush(struct spends *s);

static void
on_added(void *arg, const struct resp_value *reply, int64_t now)
{
	struct batch *b = arg;
	struct spends *s = b->s;

	(void)now;
	/* It may have been added: told twice is on the safe side. */
	for (size_t i = 0; reply == NULL && i < b->n; i++)
		note(s, b->v[i].sender, b->v[i].count);
	batch_free(b);
	if (reply != NULL) /* else with the next that is read */
		flush(s);
}

static bool
seal_item(struct spends *s, const struct batch_item *item, struct buf *sealed)
{
	struct spend v = {
	    .relay = s->relay,
	    .recipients = item->count.recipients,
	    .messages = item->count.messages,
	    .sender = str_from(item->sender),
	};
	struct buf plain;
	bool ok;

	buf_init(&plain, PLAIN_MAX);
	ok = spend_write(&v, &plain) &&
	     seal_close(s->seal, ABOUT, buf_str(&plain), sealed);
	buf_clear(&plain);
	return ok;
}

static void
send_batch(struct spends *s, struct batch *b)
{
	struct str keys[2] = {str_from(s->keys[0]), str_from(s->keys[1])};
	struct str args[BATCH + 3];
	struct buf sealed[BATCH];
	char ttl[24], kept[24], offer[EPOCH];
	size_t n = 3;

	if (RAND_bytes((unsigned char *)offer, EPOCH) != 1)
		panic("no random numbers");

	snprintf(ttl, sizeof(ttl), "%lld", (long long)SPENDS_TTL_MS);
	snprintf(kept, sizeof(kept), "%d", SPENDS_KEPT);
	args[0] = str_from(ttl);
	args[1] = str_from(kept);
	args[2] = (struct str){offer, EPOCH};
	for (size_t i = 0; i < b->n; i++) {
		buf_init(&sealed[i], PLAIN_MAX + SEAL_EXTRA);
		if (seal_item(s, &b->v[i], &sealed[i]))
			args[n++] = buf_str(&sealed[i]);
	}
	if (n == 3 ||
	    !redis_link_run(s->link, &s->add, keys, 2, args, n, on_added, b)) {
		for (size_t i = 0; n > 3 && i < b->n; i++)
			note(s, b->v[i].sender, b->v[i].count);
		for (size_t i = 0; i < b->n; i++)
			buf_clear(&sealed[i]);
		batch_free(b);
		return;
	}
	for (size_t i = 0; i < b->n; i++)
		buf_clear(&sealed[i]);
}

/* One batch at a time: what comes meanwhile is added up. */
static void
flush(struct spends *s)
{
	struct batch *b;
	struct str key;
	size_t pos = 0;
	void *v;

	if (!list_is_empty(&s->batches) || map_count(s->waiting) == 0 ||
	    !redis_link_is_up(s->link))
		return;
	b = xcalloc(1, sizeof(*b));
	b->s = s;
	list_append(&s->batches, &b->entry);
	while (b->n < BATCH && map_each(s->waiting, &pos, &key, &v)) {
		struct batch_item *item = &b->v[b->n++];

		item->sender = str_dup(key);
		item->count = *(struct count *)v;
		free(map_remove(s->waiting, str_from(item->sender)));
	}
	send_batch(s, b);
}

void
spends_note(struct spends *s, const char *sender, uint32_t recipients,
    uint32_t messages)
{
	note(s, sender, (struct count){recipients, messages});
	flush(s);
}

/* ---- from the server ---- */

/* Not of this site, or not whole: as if it were not there. */
static void
take(struct spends *s, struct str sealed)
{
	char sender[FREEZES_SENDER_MAX + 1];
	struct spend v;
	struct buf plain;

	buf_init(&plain, PLAIN_MAX + 1);
	if (sealed.n <= PLAIN_MAX + SEAL_EXTRA &&
	    seal_open(s->seal, ABOUT, sealed, &plain) &&
	    spend_read(buf_str(&plain), &v) && v.relay != s->relay) {
		str_copy(v.sender, sender, sizeof(sender));
		s->fn(s->arg, sender, v.recipients, v.messages);
	}
	buf_clear(&plain);
}

static void read_now(struct spends *s);

static void
on_read(void *arg, const struct resp_value *reply, int64_t now)
{
	struct spends *s = arg;
	int64_t top = resp_at(reply, 0)->integer;
	struct str epoch = resp_text(resp_at(reply, 1));
	size_t n;

	s->is_reading = false;
	/* Without the link until spends_start. */
	loop_timer_set(&s->timer, now + SPENDS_POLL_MS);
	if (reply == NULL)
		return;
	if (reply->count < 2 || top < 0 || epoch.n > EPOCH)
		return; /* nothing of ours: the keys are used by others */
	memcpy(s->epoch, epoch.p, epoch.n);
	s->epoch_n = epoch.n;
	n = (reply->count - 2) / 2;
	for (size_t i = 0; i < n; i++) {
		take(s, resp_text(resp_at(reply, 2 * i + 3)));
		s->last = resp_at(reply, 2 * i + 2)->integer;
	}
	if (n < PAGE)
		s->last = top;
	else
		read_now(s);
	flush(s);
}

static void
read_now(struct spends *s)
{
	struct str keys[2] = {str_from(s->keys[0]), str_from(s->keys[1])};
	struct str args[3];
	char last[24], page[16];

	if (s->is_reading)
		return;
	snprintf(last, sizeof(last), "%lld", (long long)s->last);
	snprintf(page, sizeof(page), "%d", PAGE);
	args[0] = str_from(last);
	args[1] = str_from(page);
	args[2] = (struct str){s->epoch, s->epoch_n};
	loop_timer_set(&s->timer, INT64_MAX);
	s->is_reading =
	    redis_link_run(s->link, &s->read, keys, 2, args, 3, on_read, s);
	if (!s->is_reading && redis_link_is_up(s->link))
		loop_timer_set(&s->timer, loop_now(s->loop) + SPENDS_POLL_MS);
}

static void
on_timer(void *arg, int64_t now)
{
	struct spends *s = arg;

	(void)now;
	if (redis_link_is_up(s->link))
		read_now(s);
}

void
spends_start(struct spends *s)
{
	read_now(s);
}

struct spends *
spends_new(struct loop *loop, struct redis_link *link, const struct seal *seal,
    const char *prefix, spends_fn *fn, void *arg)
{
	struct spends *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->link = link;
	s->seal = seal;
	s->fn = fn;
	s->arg = arg;
	s->last = -1;
	s->add.text = add_text;
	s->read.text = read_text;
	s->keys[0] = xasprintf("{%s:1}:spent", prefix);
	s->keys[1] = xasprintf("{%s:1}:spent-count", prefix);
	s->waiting = map_new();
	list_init(&s->batches);
	if (RAND_bytes((unsigned char *)&s->relay, sizeof(s->relay)) != 1)
		panic("no random numbers");
	loop_timer_init(&s->timer, loop, on_timer, s);
	return s;
}

void
spends_free(struct spends *s)
{
	if (s == NULL)
		return;
	while (!list_is_empty(&s->batches))
		batch_free(LIST_ITEM(s->batches.next, struct batch, entry));
	loop_timer_clear(&s->timer);
	map_free(s->waiting, free);
	free(s->keys[0]);
	free(s->keys[1]);
	free(s);
}
