/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Header fields for people: encoded words (RFC 2047) as text, and what a
 * Message-ID is called. Pure, any thread.
 */
#ifndef BASE_HEADER_H
#define BASE_HEADER_H

#include "base/str.h"

/* UTF-8 where the words are well-formed and their character set is known; all
 * else stays as it came. The result is as hostile as the header was. Heap. */
char *header_decode(struct str raw);
/* "a@b" of " <a@b>\r\n", as people write it with and without brackets; of what
 * has none the first word. May be empty; a slice of raw. */
struct str header_message_id(struct str raw);

#endif
