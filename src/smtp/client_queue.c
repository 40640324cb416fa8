/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring that doubles up to a cap:
 *
 *	head          head + sent          head + count
 *	 | waits for a reply | waits to be sent |
 *
 * The text of what waits to be sent lies in one buffer in the same order.
 */
#include "smtp/client_queue.h"

#include <stdlib.h>

#define CAP_LEAST 8 /* a power of two, as all that follow */
#define TEXT_KEEP 1024

void
client_queue_init(struct client_queue *q)
{
	*q = (struct client_queue){0};
	buf_init(&q->text, CLIENT_QUEUE_TEXT_MAX);
}

void
client_queue_clear(struct client_queue *q)
{
	free(q->v);
	buf_clear(&q->text);
	client_queue_init(q);
}

struct client_command *
client_queue_at(const struct client_queue *q, uint32_t i)
{
	if (i >= q->count)
		panic("client queue: no entry %u", (unsigned)i);
	return &q->v[(q->head + i) & (q->cap - 1)];
}

static void
grow(struct client_queue *q)
{
	uint32_t cap = q->cap == 0 ? CAP_LEAST : q->cap * 2;
	struct client_command *v = xcalloc(cap, sizeof(*v));

	for (uint32_t i = 0; i < q->count; i++)
		v[i] = *client_queue_at(q, i);
	free(q->v);
	q->v = v;
	q->head = 0;
	q->cap = cap;
}

bool
client_queue_push(struct client_queue *q, enum client_command_type type,
    uintptr_t tag, size_t n)
{
	if (q->count >= CLIENT_QUEUE_MAX)
		return false;
	if (q->count == q->cap)
		grow(q);
	q->count++;
	*client_queue_at(q, q->count - 1) = (struct client_command){
	    .type = type,
	    .text = (uint32_t)n,
	    .tag = tag,
	};
	return true;
}

struct client_command *
client_queue_unsent(const struct client_queue *q)
{
	return q->sent < q->count ? client_queue_at(q, q->sent) : NULL;
}

struct str
client_queue_text(const struct client_queue *q)
{
	return str_sub(buf_str(&q->text), 0, client_queue_at(q, q->sent)->text);
}

void
client_queue_mark_sent(struct client_queue *q)
{
	buf_consume(&q->text, client_queue_at(q, q->sent)->text);
	/* A little is kept: the next command comes soon. */
	if (q->text.cap > TEXT_KEEP)
		buf_trim(&q->text);
	q->sent++;
}

struct client_command
client_queue_pop(struct client_queue *q)
{
	struct client_command cmd = *client_queue_at(q, 0);

	if (q->sent == 0)
		panic("client queue: front was not sent");
	q->head = (q->head + 1) & (q->cap - 1);
	q->count--;
	q->sent--;
	return cmd;
}

void
client_queue_drop(struct client_queue *q)
{
	if (q->sent != 0)
		panic("client queue: drop behind what was sent");
	client_queue_mark_sent(q);
	(void)client_queue_pop(q);
}
