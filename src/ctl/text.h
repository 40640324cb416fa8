/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Text for a terminal: what comes from mail is made harmless, and cut by the
 * columns it takes on the screen.
 */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include "base/buf.h"

/* Call once, before all others: the user's character set. */
void text_init(void);
/*
 * Control characters, marks that turn the direction of text and what is no
 * UTF-8 become \xHH; where the terminal has no UTF-8, all that is not ASCII
 * becomes '?'. At most `columns` wide (0: any), cut with an ellipsis. Line
 * ends count as control characters. Heap; the caller frees.
 */
char *text_safe(struct str s, size_t columns);
size_t text_width(const char *safe); /* columns of what text_safe gave */
/* RFC 3339 (as the daemon gives it) as "3m", "2h", "5d" ago, or to come; "-"
 * for none. Returns out. */
#define TEXT_AGE_MAX 24
const char *text_age(const char *time, int64_t wall_ms, char out[TEXT_AGE_MAX]);
/* "812", "3.4K", "20M". */
const char *text_size(int64_t bytes, char out[TEXT_AGE_MAX]);
/* "1 message", "2 messages". Returns out. */
#define TEXT_COUNT_MAX 64
const char *text_count(
    int64_t n, const char *one, const char *many, char out[TEXT_COUNT_MAX]);
/* Columns of standard output: the terminal's, else $COLUMNS; a terminal that
 * does not tell has 80. 0: not a terminal, nothing is cut. */
size_t text_columns(void);

#endif
