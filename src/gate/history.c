/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records one behind another in chunks; the oldest chunk goes as a whole. A
 * cursor is a chunk's number and an offset in it, so that it stays good when
 * chunks go.
 */
#include "gate/history.h"

#include "base/list.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (64u << 10)
#define TEXT_MAX UINT16_MAX

struct head {
	int64_t at;
	uint32_t bytes; /* of the whole record */
	uint32_t count;
	uint16_t source_n, policy_n, user_n, sender_n, helo_n;
	bool local, by_command, front_end;
	struct ip client;
};

struct chunk {
	struct list entry;
	uint32_t number; /* from 1 */
	uint32_t used, size;
	uint32_t mails;
	int64_t newest;
	char bytes[];
};

struct history {
	struct list chunks; /* the oldest first */
	size_t bytes, bytes_max, mails;
	uint32_t number; /* of the last chunk */
	int64_t cut_at;  /* the newest that went for want of room */
};

struct history *
history_new(size_t bytes_max)
{
	struct history *h = xcalloc(1, sizeof(*h));

	list_init(&h->chunks);
	h->bytes_max = bytes_max;
	h->cut_at = INT64_MIN / 2;
	return h;
}

static struct chunk *
chunk_of(struct list *e)
{
	return LIST_ITEM(e, struct chunk, entry);
}

static void
drop_oldest(struct history *h)
{
	struct chunk *c = chunk_of(h->chunks.next);

	list_remove(&c->entry);
	h->bytes -= c->size;
	h->mails -= c->mails;
	free(c);
}

static void
fit(struct history *h, size_t room)
{
	while (!list_is_empty(&h->chunks) && h->bytes + room > h->bytes_max) {
		int64_t newest = chunk_of(h->chunks.next)->newest;

		if (newest > h->cut_at)
			h->cut_at = newest;
		drop_oldest(h);
	}
}

static void
expire(struct history *h, int64_t now)
{
	while (!list_is_empty(&h->chunks) &&
	       chunk_of(h->chunks.next)->newest < now - HISTORY_SPAN_MS)
		drop_oldest(h);
}

void
history_free(struct history *h)
{
	if (h == NULL)
		return;
	while (!list_is_empty(&h->chunks))
		drop_oldest(h);
	free(h);
}

void
history_set_bytes_max(struct history *h, size_t bytes_max)
{
	h->bytes_max = bytes_max;
	fit(h, 0);
}

bool
history_is_kept(const struct history *h)
{
	return h->bytes_max > 0;
}

/* ---- writing ---- */

void
history_note(struct buf *recipients, unsigned flags, struct str address)
{
	uint8_t head[3] = {(uint8_t)flags, (uint8_t)(address.n & 0xff),
	    (uint8_t)(address.n >> 8)};

	if (address.n <= TEXT_MAX &&
	    buf_room(recipients) >= sizeof(head) + address.n &&
	    buf_append(recipients, head, sizeof(head)))
		(void)!buf_append_str(recipients, address);
}

bool
history_recipient(struct history_mail *mail, struct history_recipient *out)
{
	const uint8_t *p = (const uint8_t *)mail->recipients.p;
	size_t n;

	if (mail->recipients.n < 3)
		return false;
	n = (size_t)(p[1] | p[2] << 8);
	if (mail->recipients.n - 3 < n)
		return false;
	*out = (struct history_recipient){p[0], {mail->recipients.p + 3, n}};
	mail->recipients.p += 3 + n;
	mail->recipients.n -= 3 + n;
	return true;
}

static uint32_t
count(struct history_mail mail)
{
	struct history_recipient r;
	uint32_t n = 0;

	while (history_recipient(&mail, &r))
		n++;
	return n;
}

static char *
put(char *to, struct str s)
{
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	return to + s.n;
}

/* Room for a record at the end; NULL: it is too large. */
static char *
reserve(struct history *h, size_t bytes)
{
	struct chunk *last =
	    list_is_empty(&h->chunks) ? NULL : chunk_of(h->chunks.prev);
	size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;

	if (last != NULL && last->size - last->used >= bytes)
		return last->bytes + last->used;
	if (size > h->bytes_max)
		size = bytes;
	if (size > h->bytes_max)
		return NULL;
	fit(h, size);
	last = xmalloc(sizeof(*last) + size);
	*last = (struct chunk){
	    .number = ++h->number, .size = (uint32_t)size, .newest = INT64_MIN};
	list_init(&last->entry);
	list_append(&h->chunks, &last->entry);
	h->bytes += size;
	return last->bytes;
}

void
history_add(struct history *h, const struct history_mail *mail)
{
	const struct str texts[] = {mail->source, mail->policy, mail->user,
	    mail->sender, mail->helo, mail->recipients};
	struct head head = {
	    .at = mail->at,
	    .count = count(*mail),
	    .source_n = (uint16_t)mail->source.n,
	    .policy_n = (uint16_t)mail->policy.n,
	    .user_n = (uint16_t)mail->user.n,
	    .sender_n = (uint16_t)mail->sender.n,
	    .helo_n = (uint16_t)mail->helo.n,
	    .local = mail->local,
	    .by_command = mail->by_command,
	    .front_end = mail->front_end,
	    .client = mail->client,
	};
	size_t bytes = sizeof(head);
	struct chunk *last;
	char *to;

	expire(h, mail->at);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (i + 1 < ARRAY_LEN(texts) && texts[i].n > TEXT_MAX)
			return;
		bytes += texts[i].n;
	}
	if (head.count == 0 || bytes > h->bytes_max || bytes > UINT32_MAX / 2)
		return;
	to = reserve(h, bytes);
	if (to == NULL)
		return;
	head.bytes = (uint32_t)bytes;
	memcpy(to, &head, sizeof(head));
	to += sizeof(head);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		to = put(to, texts[i]);
	last = chunk_of(h->chunks.prev);
	last->used += head.bytes;
	last->mails++;
	h->mails++;
	if (mail->at > last->newest)
		last->newest = mail->at;
}

/* ---- reading ---- */

static struct str
take(const char **p, size_t n)
{
	struct str s = {*p, n};

	*p += n;
	return s;
}

static uint32_t
read_record(const char *p, struct history_mail *out)
{
	struct head head;
	const char *end;

	memcpy(&head, p, sizeof(head));
	end = p + head.bytes;
	p += sizeof(head);
	*out = (struct history_mail){
	    .at = head.at,
	    .client = head.client,
	    .local = head.local,
	    .by_command = head.by_command,
	    .front_end = head.front_end,
	    .count = head.count,
	};
	out->source = take(&p, head.source_n);
	out->policy = take(&p, head.policy_n);
	out->user = take(&p, head.user_n);
	out->sender = take(&p, head.sender_n);
	out->helo = take(&p, head.helo_n);
	out->recipients = (struct str){p, (size_t)(end - p)};
	return head.bytes;
}

bool
history_next(
    const struct history *h, uint64_t *cursor, struct history_mail *out)
{
	uint32_t number = (uint32_t)(*cursor >> 32);
	uint32_t offset = (uint32_t)*cursor;
	struct list *e;

	list_each (e, &h->chunks) {
		const struct chunk *c = chunk_of(e);

		if (c->number < number)
			continue;
		if (c->number > number)
			offset = 0;
		if (offset >= c->used)
			continue;
		offset += read_record(c->bytes + offset, out);
		*cursor = (uint64_t)c->number << 32 | offset;
		return true;
	}
	return false;
}

void
history_stats(struct history *h, int64_t now, struct history_stats *out)
{
	struct history_mail first;
	uint64_t cursor = 0;

	expire(h, now);
	*out = (struct history_stats){
	    .mails = h->mails,
	    .bytes = h->bytes,
	    .was_cut = h->cut_at >= now - HISTORY_SPAN_MS,
	};
	if (history_next(h, &cursor, &first))
		out->since = first.at;
}
