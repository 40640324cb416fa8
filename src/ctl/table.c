/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Layout: each column as wide as its widest cell; while the line is too wide,
 * the widest column that may shrink loses one.
 */
#include "ctl/table.h"

#include "ctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2
#define LEAST 2 /* columns of a column that shrinks */

void
table_init(struct table *t, const struct table_column *columns, size_t count,
    size_t total)
{
	memset(t, 0, sizeof(*t));
	t->columns = columns;
	t->count = t->shown = count;
	t->total = total;
	t->cells = xcalloc(TABLE_ROWS * count, sizeof(*t->cells));
}

static size_t
line_width(const struct table *t)
{
	size_t n = (t->shown - 1) * GAP;

	for (size_t i = 0; i < t->shown; i++)
		n += t->width[i];
	return n;
}

/* The widest that may shrink; `any` looks at the others too. NULL: none. */
static size_t *
find_widest(struct table *t, bool any)
{
	size_t *widest = NULL;

	for (size_t i = 0; i < t->shown; i++) {
		if ((t->columns[i].keep && !any) || t->columns[i].whole ||
		    t->width[i] <= LEAST)
			continue;
		if (widest == NULL || t->width[i] > *widest)
			widest = &t->width[i];
	}
	return widest;
}

static bool
is_empty(const struct table *t, size_t i)
{
	for (size_t r = 0; r < t->row_count; r++) {
		if (*t->cells[r * t->count + i] != '\0')
			return false;
	}
	return true;
}

static void
lay_out(struct table *t)
{
	if (t->columns[t->count - 1].optional && is_empty(t, t->count - 1))
		t->shown--;
	for (size_t i = 0; i < t->count; i++) {
		t->width[i] = strlen(t->columns[i].title);
		for (size_t r = 0; r < t->row_count; r++) {
			size_t w = text_width(t->cells[r * t->count + i]);

			if (w > t->width[i])
				t->width[i] = w;
		}
	}
	while (t->total > 0 && line_width(t) > t->total) {
		size_t *widest = find_widest(t, false);

		if (widest == NULL)
			widest = find_widest(t, true);
		if (widest == NULL)
			break;
		--*widest;
	}
	t->is_laid_out = true;
}

static void
print_cell(const struct table *t, size_t i, const char *cell)
{
	bool cut = t->total > 0 && !t->columns[i].whole;
	char *text = text_safe(str_from(cell), cut ? t->width[i] : 0);
	size_t used = text_width(text);
	int pad = used < t->width[i] ? (int)(t->width[i] - used) : 0;
	bool is_last = i + 1 == t->shown;

	if (t->columns[i].right)
		printf("%*s%s", pad, "", text);
	else
		printf("%s%*s", text, is_last ? 0 : pad, "");
	if (!is_last)
		printf("%*s", GAP, "");
	free(text);
}

static void
print_row(struct table *t, const char *const *cells)
{
	for (size_t i = 0; i < t->shown; i++)
		print_cell(t, i, cells[i]);
	printf("\n");
	t->rows_printed++;
}

static void
print_waiting(struct table *t)
{
	const char *titles[TABLE_COLUMNS_MAX];

	lay_out(t);
	for (size_t i = 0; i < t->count; i++)
		titles[i] = t->columns[i].title;
	print_row(t, titles);
	for (size_t r = 0; r < t->row_count; r++)
		print_row(t, (const char *const *)t->cells + r * t->count);
	for (size_t i = 0; i < t->row_count * t->count; i++)
		free(t->cells[i]);
	t->row_count = 0;
}

void
table_add(struct table *t, const char *const *cells)
{
	if (t->is_laid_out) {
		print_row(t, cells);
		return;
	}
	/* Kept as they will be shown, so that they are measured right. */
	for (size_t i = 0; i < t->count; i++)
		t->cells[t->row_count * t->count + i] =
		    text_safe(str_from(cells[i]), 0);
	if (++t->row_count == TABLE_ROWS)
		print_waiting(t);
}

void
table_finish(struct table *t, const char *empty)
{
	if (t->row_count > 0)
		print_waiting(t);
	else if (t->rows_printed == 0 && empty != NULL)
		printf("%s\n", empty);
	free(t->cells);
	t->cells = NULL;
}
