/* SPDX-License-Identifier: BSD-3-Clause */
/* See csv.h. */
#include "replay/csv.h"

#include <inttypes.h>
#include <string.h>

static void
begin_cell(struct csv *c)
{
	if (c->has_cell)
		fputc(',', c->out);
	c->has_cell = true;
}

void
csv_text(struct csv *c, struct str text)
{
	begin_cell(c);
	fputc('"', c->out);
	/* What Excel and LibreOffice calculate: OWASP, CSV injection. */
	if (text.n > 0 && memchr("=+-@\t\r", text.p[0], 6) != NULL)
		fputc('\'', c->out);
	while (text.n > 0) {
		size_t n = str_shown(text);

		if (n == 0)
			fputs("\xef\xbf\xbd", c->out);
		else if (*text.p == '"')
			fputs("\"\"", c->out);
		else
			fwrite(text.p, 1, n, c->out);
		text = str_sub(text, n > 0 ? n : 1, text.n);
	}
	fputc('"', c->out);
}

void
csv_number(struct csv *c, uint64_t n)
{
	begin_cell(c);
	fprintf(c->out, "%" PRIu64, n);
}

void
csv_duration(struct csv *c, int64_t ms)
{
	csv_real(c, (double)ms / 1000);
}

void
csv_real(struct csv *c, double v)
{
	begin_cell(c);
	fprintf(c->out, "%.10g", v);
}

void
csv_end_row(struct csv *c)
{
	fputs("\r\n", c->out);
	c->has_cell = false;
}

void
csv_heads(struct csv *c, const char *const *heads)
{
	for (size_t i = 0; heads[i] != NULL; i++)
		csv_text(c, str_from(heads[i]));
	csv_end_row(c);
}
