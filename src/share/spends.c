/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What comes while a batch is on its way is added up. A relay begins with what
 * is spent after it first came, and passes over what is its own.
 */
#include "share/spends.h"

#include "base/bytes.h"
#include "base/map.h"
#include "share/freezes.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1
#define HEAD 17 /* version, relay, recipients, messages */
#define BATCH 24
#define PLAIN_MAX (HEAD + FREEZES_SENDER_MAX)

struct count {
	uint32_t recipients, messages;
};

struct item { /* on its way */
	char *sender;
	struct count count;
};

struct spends {
	struct stream *stream;
	spends_fn *fn;
	void *arg;
	uint64_t relay;      /* this one's, until it ends */
	struct map *waiting; /* sender to struct count */
	struct item sent[BATCH];
	size_t sent_n;
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

static void
clear_sent(struct spends *s)
{
	while (s->sent_n > 0)
		free(s->sent[--s->sent_n].sender);
}

/* It may have been added: told twice is on the safe side. */
static void
take_back(struct spends *s)
{
	for (size_t i = 0; i < s->sent_n; i++)
		note(s, s->sent[i].sender, s->sent[i].count);
	clear_sent(s);
}

/* False: nobody can be told of such a sender. */
static bool
write_item(const struct spends *s, const struct item *item, struct buf *plain)
{
	struct spend v = {
	    .relay = s->relay,
	    .recipients = item->count.recipients,
	    .messages = item->count.messages,
	    .sender = str_from(item->sender),
	};

	buf_init(plain, PLAIN_MAX);
	return spend_write(&v, plain);
}

static bool
send_batch(struct spends *s)
{
	struct str records[BATCH];
	struct buf plain[BATCH];
	size_t n = 0;
	bool ok;

	for (size_t i = 0; i < s->sent_n; i++) {
		if (write_item(s, &s->sent[i], &plain[i]))
			records[n++] = buf_str(&plain[i]);
	}
	ok = n > 0 && stream_add(s->stream, records, n);
	for (size_t i = 0; i < s->sent_n; i++)
		buf_clear(&plain[i]);
	if (n == 0)
		clear_sent(s);
	return ok;
}

static void
flush(struct spends *s)
{
	struct str key;
	size_t pos = 0;
	void *v;

	if (!stream_is_ready(s->stream) || map_count(s->waiting) == 0)
		return;
	while (s->sent_n < BATCH && map_each(s->waiting, &pos, &key, &v)) {
		struct item *item = &s->sent[s->sent_n++];

		item->sender = str_dup(key);
		item->count = *(struct count *)v;
		free(map_remove(s->waiting, str_from(item->sender)));
	}
	if (!send_batch(s))
		take_back(s);
}

static void
on_added(void *arg, bool is_there, int64_t now)
{
	struct spends *s = arg;

	(void)now;
	if (is_there) {
		clear_sent(s);
		flush(s);
	} else { /* sent with the next that is read */
		take_back(s);
	}
}

void
spends_note(struct spends *s, const char *sender, uint32_t recipients,
    uint32_t messages)
{
	note(s, sender, (struct count){recipients, messages});
	flush(s);
}

/* ---- from the server ---- */

static void
on_entry(void *arg, struct str plain)
{
	char sender[FREEZES_SENDER_MAX + 1];
	struct spends *s = arg;
	struct spend v;

	if (!spend_read(plain, &v) || v.relay == s->relay)
		return;
	str_copy(v.sender, sender, sizeof(sender));
	s->fn(s->arg, sender, v.recipients, v.messages);
}

static void
on_read(void *arg, bool is_all, int64_t now)
{
	(void)now;
	if (is_all)
		flush(arg);
}

static const struct stream_ops stream_ops = {
    .on_entry = on_entry,
    .on_read = on_read,
    .on_added = on_added,
};

/* ---- the owner's side ---- */

void
spends_start(struct spends *s)
{
	stream_start(s->stream);
}

struct spends *
spends_new(struct loop *loop, struct redis_link *link, const struct seal *seal,
    const char *prefix, spends_fn *fn, void *arg)
{
	struct spends *s = xcalloc(1, sizeof(*s));
	const struct stream_settings settings = {
	    .name = "spent",
	    .about = "weir spent 1",
	    .plain_max = PLAIN_MAX,
	    .ttl_ms = SPENDS_TTL_MS,
	    .is_from_now = true,
	};

	s->fn = fn;
	s->arg = arg;
	s->waiting = map_new();
	if (RAND_bytes((unsigned char *)&s->relay, sizeof(s->relay)) != 1)
		panic("no random numbers");
	s->stream =
	    stream_new(loop, link, seal, prefix, &settings, &stream_ops, s);
	return s;
}

void
spends_free(struct spends *s)
{
	if (s == NULL)
		return;
	stream_free(s->stream);
	clear_sent(s);
	map_free(s->waiting, free);
	free(s);
}
