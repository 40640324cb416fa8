/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Growable byte queue with a demanded maximum: append at the end, consume at
 * the front. Memory is allocated on first use and handed back when the buffer
 * runs empty through buf_trim. Any thread, one owner.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

struct buf {
	char *mem;
	size_t off; /* first byte of content */
	size_t len; /* bytes of content */
	size_t cap;
	size_t max; /* content never passes this */
};

void buf_init(struct buf *b, size_t max);
void buf_clear(struct buf *b); /* frees; the buffer may be used again */
void buf_reset(struct buf *b); /* empties, keeps the memory */
void buf_trim(struct buf *b);  /* frees the memory when empty */
/* All or nothing: false when it would pass the maximum. */
MUST_CHECK bool buf_append(struct buf *b, const void *p, size_t n);
MUST_CHECK bool buf_append_str(struct buf *b, struct str s);
MUST_CHECK PRINTF_LIKE(2, 3) bool buf_printf(
    struct buf *b, const char *fmt, ...);
/* Writable room of at least n bytes at the end, NULL when past the maximum;
 * buf_commit tells how many were used. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* n <= len */
size_t buf_room(const struct buf *b);      /* bytes until the maximum */
struct str buf_str(const struct buf *b);   /* borrowed until next change */
/* Terminated copy that the caller frees; the buffer is cleared. */
char *buf_take(struct buf *b);

#endif
