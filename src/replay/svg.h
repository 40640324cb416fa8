/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A report as one page of HTML that needs nothing else: no script, no network.
 * Plots are SVG, in light and dark, each with a title, a description for those
 * who cannot see it, and a table of its data. Prints to a stream; whether that
 * worked is the stream's to say. Any text may come from outside.
 */
#ifndef REPLAY_SVG_H
#define REPLAY_SVG_H

#include "base/base.h"

#include <stdio.h>

#define SVG_SERIES_MAX 8
#define SVG_TABLE_ROWS 41 /* of a plot's data; evenly taken from more */

/* Points in the order of x; borrowed. */
struct svg_series {
	const char *name;
	const double *x, *y;
	size_t n;
	bool is_dashed;
	unsigned colour; /* 1 to SVG_SERIES_MAX; 0: by its place */
};

struct svg_plot {
	const char *title, *description;
	const char *x_label, *y_label;
	bool log_x;   /* points with x <= 0 are left out */
	double y_max; /* 0: of the data */
	const struct svg_series *series;
	size_t series_count; /* up to SVG_SERIES_MAX; more are left out */
};

/* A bar for each label, beside each other for each series; y >= 0. */
struct svg_bars {
	const char *title, *description, *y_label;
	const char *const *labels;
	size_t label_count;
	const struct svg_series *series; /* n is label_count, x not used */
	size_t series_count;
};

void svg_page_begin(FILE *out, const char *title);
void svg_page_end(FILE *out);
/* Escaped: &, <, >, quotes; control characters and what is no UTF-8 become
 * U+FFFD, but for newlines and tabs. */
void svg_text(FILE *out, const char *text);
void svg_heading(FILE *out, const char *text);
void svg_paragraph(FILE *out, const char *text);
/* In a fixed font, line by line as it is: a configuration, an excerpt. */
void svg_block(FILE *out, const char *text);

/* A table: its head, then each row of as many cells. The first cell of a row is
 * its name; the others are set to the right. */
void svg_table_begin(
    FILE *out, const char *caption, const char *const *heads, size_t n);
void svg_table_row(FILE *out, const char *const *cells, size_t n);
void svg_table_end(FILE *out);

void svg_plot_print(FILE *out, const struct svg_plot *plot);
void svg_bars_print(FILE *out, const struct svg_bars *bars);

#endif
