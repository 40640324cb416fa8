/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The byte queue is one block of memory in which the content slides:
 *
 *	mem            off             off + len           cap
 *	 | consumed     | content       | room              |
 *
 * Content moves to the front only once the consumed part is at least as long,
 * so that a slow reader costs constant time per byte. cap stays under twice
 * the maximum.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP_LEAST 256

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void
buf_clear(struct buf *b)
{
	free(b->mem);
	buf_init(b, b->max);
}

void
buf_reset(struct buf *b)
{
	b->off = b->len = 0;
}

void
buf_trim(struct buf *b)
{
	if (b->len == 0)
		buf_clear(b);
}

static void
grow(struct buf *b, size_t need)
{
	size_t cap = need <= b->max / 2 ? need * 2 : b->max;
	char *mem;

	if (cap < CAP_LEAST)
		cap = CAP_LEAST;
	/* Room behind full content, or each append would move it all. */
	if (cap - need < b->off && cap <= SIZE_MAX / 2)
		cap *= 2;
	mem = xmalloc(cap);
	if (b->len > 0)
		memcpy(mem, b->mem + b->off, b->len);
	free(b->mem);
	b->mem = mem;
	b->off = 0;
	b->cap = cap;
}

char *
buf_reserve(struct buf *b, size_t n)
{
	if (n > buf_room(b))
		return NULL;
	if (b->mem == NULL || n > b->cap - b->off - b->len) {
		if (b->off > 0 && b->off >= b->len && n <= b->cap - b->len) {
			memmove(b->mem, b->mem + b->off, b->len);
			b->off = 0;
		} else {
			grow(b, b->len + n);
		}
	}
	return b->mem + b->off + b->len;
}

void
buf_commit(struct buf *b, size_t n)
{
	if (n > b->cap - b->off - b->len)
		panic("buf_commit past the reserved room");
	b->len += n;
}

bool
buf_append(struct buf *b, const void *p, size_t n)
{
	char *room;

	if (n == 0)
		return true;
	room = buf_reserve(b, n);
	if (room == NULL)
		return false;
	memcpy(room, p, n);
	b->len += n;
	return true;
}

bool
buf_append_str(struct buf *b, struct str s)
{
	return buf_append(b, s.p, s.n);
}

bool
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char *room;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n > buf_room(b))
		return false;
	/* vsnprintf terminates, so the text is made apart when the byte
	 * behind it would be past the maximum. */
	room = xmalloc((size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(room, (size_t)n + 1, fmt, ap);
	va_end(ap);
	if (!buf_append(b, room, (size_t)n))
		panic("buf_printf: room vanished");
	free(room);
	return true;
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n > b->len)
		panic("buf_consume of %zu bytes, %zu there", n, b->len);
	b->len -= n;
	b->off = b->len > 0 ? b->off + n : 0;
}

size_t
buf_room(const struct buf *b)
{
	return b->len < b->max ? b->max - b->len : 0;
}

struct str
buf_str(const struct buf *b)
{
	return (struct str){b->mem != NULL ? b->mem + b->off : "", b->len};
}

char *
buf_take(struct buf *b)
{
	char *text = str_dup(buf_str(b));

	buf_clear(b);
	return text;
}
