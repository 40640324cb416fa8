/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cells of a table with commas (RFC 4180), made safe for spreadsheets: one that
 * would be taken for a formula gets an apostrophe in front. Whether writing
 * worked is the stream's to say.
 */
#ifndef REPLAY_CSV_H
#define REPLAY_CSV_H

#include "base/str.h"

#include <stdio.h>

struct csv {
	FILE *out;
	bool has_cell; /* in the row in hand */
};

void csv_text(struct csv *c, struct str text);
void csv_number(struct csv *c, uint64_t n);
/* In seconds. */
void csv_duration(struct csv *c, int64_t ms);
void csv_real(struct csv *c, double v);
void csv_end_row(struct csv *c);
/* A row of these, NULL ends it. */
void csv_heads(struct csv *c, const char *const *heads);

#endif
