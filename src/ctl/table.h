/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables that fit the terminal. The first rows decide how wide the columns are,
 * so that a listing of any length needs little memory; later rows are cut to
 * fit.
 */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include "base/base.h"

#define TABLE_COLUMNS_MAX 10
#define TABLE_ROWS 200 /* that decide */

struct table_column {
	const char *title;
	bool right; /* aligned */
	bool keep;  /* as wide as its content, if it can be */
	bool whole; /* never cut */
	/* Left out where the rows that decide have nothing in it; only the
	 * last may be. */
	bool optional;
};

struct table {
	const struct table_column *columns;
	size_t count, shown;
	size_t total;                    /* columns of the terminal, 0: any */
	size_t width[TABLE_COLUMNS_MAX]; /* once is_laid_out */
	bool is_laid_out;
	char **cells; /* of the rows that wait */
	size_t row_count;
	size_t rows_printed;
};

/* total: 0 never cuts. columns is borrowed. */
void table_init(struct table *t, const struct table_column *columns,
    size_t count, size_t total);
/* As many texts as columns; copied. May print. */
void table_add(struct table *t, const char *const *cells);
/* Prints what waits; empty is printed when there was no row. */
void table_finish(struct table *t, const char *empty);

#endif
