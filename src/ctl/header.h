/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Subjects for people: encoded words (RFC 2047) as text. Pure.
 */
#ifndef CTL_HEADER_H
#define CTL_HEADER_H

#include "base/str.h"

/* UTF-8 where the words are well-formed and their character set is known; all
 * else stays as it came. The result is as hostile as the header was. Heap. */
char *header_decode(struct str raw);

#endif
