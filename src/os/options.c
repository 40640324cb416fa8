/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a file to a struct. libconfuse reads the syntax and hands each value
 * over as text with its line; the table then decides what it means. libconfuse
 * gives its callbacks no pointer of ours and we keep no state outside, so what
 * a callback finds is left in libconfuse's own structs:
 *   def.number of an option	the line where it was first set
 *   comment of a section	the error
 *   line of a finished section	its number in the file, from 1
 */
#include "os/options.h"

#include "os/file.h"
#include "os/options_scan.h"
#include "os/options_value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <confuse.h>

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define SHOWN_MAX 80
#define NAME_MAX_SHOWN 40 /* of an option, where one is looked for */
#define WHY_MAX 512

/* A value as it stands in the file. */
struct raw {
	unsigned line;
	char text[];
};

struct loader {
	const struct option_schema *schema;
	const char *file;
	struct options_scan scan;
	char *err;
	size_t err_cap;
};

/* The one line that explains. section may be NULL, line 0. */
PRINTF_LIKE(5, 6)
static bool
fail(struct loader *l, unsigned line, const char *section, const char *title,
    const char *fmt, ...)
{
	char where[32] = "", what[WHY_MAX], in[SHOWN_MAX + 64] = "";
	char shown[SHOWN_MAX];
	va_list ap;

	if (line > 0)
		snprintf(where, sizeof(where), ":%u", line);
	if (section != NULL && title != NULL)
		snprintf(in, sizeof(in), " %s \"%s\":", section,
		    str_escape(str_from(title), shown, sizeof(shown)));
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(l->err, l->err_cap, "%s%s:%s %s", l->file, where, in, what);
	return false;
}

/* What to do about libconfuse's messages, by their beginning. */
static const char *
hint_for(const char *fmt)
{
	static const struct {
		const char *start, *hint;
	} hints[] = {
	    {"found duplicate title", "give each section its own title"},
	    {"unexpected closing brace", "remove it, or open its section"},
	    {"missing equal sign", "write name = value"},
	    {"missing title", "write it in quotes before the brace"},
	    {"missing opening brace", "write { after the title"},
	    {"premature end", "a value or a closing brace is missing"},
	    {"attempt to append", "write = in place of +="},
	    {"bad escape", "write a backslash as \\\\"},
	    {"invalid octal", "write a backslash as \\\\"},
	};

	for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
		if (str_starts(str_from(fmt), str_from(hints[i].start)))
			return hints[i].hint;
	}
	return "check quotes, braces and commas here and just before";
}

/* How many letters one of them needs to become the other. */
static size_t
distance(struct str a, struct str b)
{
	size_t row[NAME_MAX_SHOWN + 1];

	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t change = corner + (a.p[i - 1] != b.p[j - 1]);
			size_t insert = row[j - 1] + 1, drop = row[j] + 1;

			corner = row[j];
			row[j] = change < insert ? change : insert;
			if (drop < row[j])
				row[j] = drop;
		}
	}
	return row[b.n];
}

static bool
has_row(const cfg_opt_t *rows, const char *name)
{
	for (; rows->name != NULL; rows++) {
		if (strcmp(rows->name, name) == 0)
			return true;
	}
	return false;
}

/* The one section that has such an option; NULL: none, or several. */
static const char *
section_with(const cfg_opt_t *rows, const char *name)
{
	const char *found = NULL;

	for (; rows->name != NULL; rows++) {
		if (rows->type != CFGT_SEC || !has_row(rows->subopts, name))
			continue;
		if (found != NULL)
			return NULL;
		found = rows->name;
	}
	return found;
}

/* The name that was meant, one or two letters away; NULL: none. */
static const char *
nearest(const cfg_opt_t *rows, struct str name)
{
	const char *found = NULL;
	size_t least = name.n > 4 ? 3 : 2;

	for (; name.n <= NAME_MAX_SHOWN && rows->name != NULL; rows++) {
		struct str other = str_from(rows->name);
		size_t away =
		    other.n <= NAME_MAX_SHOWN ? distance(name, other) : least;

		if (away < least) {
			least = away;
			found = rows->name;
		}
	}
	return found;
}

/* For free(). */
static char *
hint_for_name(const cfg_t *cfg, const char *name)
{
	const char *section = section_with(cfg->opts, name);
	const char *near = nearest(cfg->opts, str_from(name));

	if (section != NULL)
		return xasprintf(
		    "it belongs in a section, %s \"NAME\" { ... }", section);
	if (near != NULL)
		return xasprintf("did you mean %s?", near);
	return xasprintf("check its spelling in the manual page");
}

/* cfg_free releases the comment. The first error is the one that counts. */
PRINTF_LIKE(2, 0)
static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[WHY_MAX], shown[WHY_MAX], *hint;
	va_list name;

	if (cfg->comment != NULL)
		return;
	va_copy(name, ap);
	hint = strcmp(fmt, "no such option '%s'") == 0
		   ? hint_for_name(cfg, va_arg(name, const char *))
		   : xstrdup(hint_for(fmt));
	va_end(name);
	vsnprintf(text, sizeof(text), fmt, ap);
	for (char *p = text; *p != '\0'; p++) {
		if (*p == '"')
			*p = '\'';
	}
	str_escape(str_from(text), shown, SHOWN_MAX * 2);
	cfg->comment = xasprintf("%s; %s", shown, hint);
	free(hint);
}

static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	size_t n = strlen(value) + 1;
	struct raw *raw;

	/* A new assignment has dropped the values of the one before. */
	if (opt->nvalues == 1 && opt->def.number != 0) {
		free(cfg->comment);
		cfg->comment = xasprintf(
		    "%s: already set in line %ld; remove one of the two",
		    opt->name, opt->def.number);
		return -1;
	}
	if (opt->def.number == 0)
		opt->def.number = cfg->line;
	raw = xmalloc(sizeof(*raw) + n);
	raw->line = (unsigned)cfg->line;
	memcpy(raw->text, value, n);
	*(struct raw **)result = raw;
	return 0;
}

static int
on_section_end(cfg_t *cfg, cfg_opt_t *opt)
{
	unsigned number = 0;

	for (cfg_opt_t *o = cfg->opts; o->name != NULL; o++) {
		if (o->type == CFGT_SEC)
			number += o->nvalues;
	}
	opt->values[opt->nvalues - 1]->section->line = (int)number;
	return 0;
}

static size_t
count_options(const struct option *const *tables)
{
	size_t n = 0;

	option_each (o, tables)
		n++;
	return n;
}

/* libconfuse's table with room for `more` rows; free() releases it. */
static cfg_opt_t *
make_rows(const struct option *const *tables, size_t more)
{
	cfg_opt_t *rows =
	    xcalloc(count_options(tables) + more + 1, sizeof(*rows));
	size_t n = 0;

	/* All are lists to libconfuse: its message for a brace in the wrong
	 * place would not name the option. */
	option_each (o, tables)
		rows[n++] = (cfg_opt_t){.name = o->name,
		    .type = CFGT_PTR,
		    .flags = CFGF_NODEFAULT | CFGF_LIST,
		    .parsecb = on_value,
		    .freecb = free};
	return rows;
}

static cfg_t *
make_parser(const struct option_schema *schema)
{
	size_t at = count_options(schema->tables), sections_n = 0;
	cfg_opt_t *rows;
	cfg_t *cfg;

	while (schema->sections != NULL &&
	       schema->sections[sections_n].name != NULL)
		sections_n++;
	rows = make_rows(schema->tables, sections_n);
	for (size_t i = 0; i < sections_n; i++)
		rows[at + i] = (cfg_opt_t){.name = schema->sections[i].name,
		    .type = CFGT_SEC,
		    .flags = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES,
		    .subopts = make_rows(schema->sections[i].tables, 0),
		    .validcb = on_section_end};
	cfg = cfg_init(rows, CFGF_NONE);
	if (cfg == NULL)
		panic("out of memory (cfg_init)");
	cfg_set_error_function(cfg, on_error);
	for (size_t i = 0; i < sections_n; i++)
		free(rows[at + i].subopts);
	free(rows);
	return cfg;
}

/* The error is in the file's own part or in the last section of a kind. */
static bool
explain(struct loader *l, const cfg_t *cfg)
{
	const cfg_t *at = cfg;

	for (const cfg_opt_t *o = cfg->opts; o->name != NULL; o++) {
		const cfg_t *last;

		if (o->type != CFGT_SEC || o->nvalues == 0)
			continue;
		last = o->values[o->nvalues - 1]->section;
		if (cfg->comment == NULL && last != NULL &&
		    last->comment != NULL)
			at = last;
	}
	return fail(l, (unsigned)at->line, at->name, at->title, "%s",
	    at->comment != NULL ? at->comment
				: "not an option; write name = value");
}

static bool
read_values(struct loader *l, const struct option *o, const cfg_opt_t *row,
    const cfg_t *section, void *conf)
{
	char why[WHY_MAX] = "";

	for (unsigned i = 0; i < row->nvalues; i++) {
		const struct raw *raw = row->values[i]->ptr;

		if (!option_add(o, raw->text, conf, why, sizeof(why)))
			return fail(l, raw->line, section->name, section->title,
			    "%s: %s", o->name, why);
	}
	return true;
}

static bool
read_option(struct loader *l, const struct option *o, const cfg_opt_t *row,
    const cfg_t *section, unsigned line, void *conf)
{
	if (!(row->flags & CFGF_MODIFIED)) {
		if (o->required)
			return fail(l, line, section->name, section->title,
			    "%s is required; add a line \"%s = ...\"", o->name,
			    o->name);
		if (o->preset != NULL)
			option_preset(o, o->preset, conf);
		return true;
	}
	if (row->nvalues == 0 && row->def.number != 0)
		return fail(l, (unsigned)row->def.number, section->name,
		    section->title,
		    "%s: emptied again further down; remove one of the two",
		    o->name);
	if (row->nvalues != 1 && !option_is_list(o))
		return fail(l,
		    row->nvalues > 0 ? (unsigned)row->def.number : line,
		    section->name, section->title,
		    "%s: takes one value, not a list; write it without braces",
		    o->name);
	if (o->required && row->nvalues == 0)
		return fail(l, line, section->name, section->title,
		    "%s: is required and may not be empty; add a value",
		    o->name);
	if (o->given != 0)
		*((bool *)(void *)((char *)conf + o->given)) = true;
	return read_values(l, o, row, section, conf);
}

/* The rows of cfg stand in the order of the table. */
static bool
read_options(struct loader *l, const struct option *const *tables,
    const cfg_t *cfg, unsigned line, void *conf)
{
	const cfg_opt_t *row = cfg->opts;

	option_each (o, tables) {
		if (!read_option(l, o, row++, cfg, line, conf))
			return false;
	}
	return true;
}

static bool
read_section(struct loader *l, const struct option_section *s, const cfg_t *cfg,
    void *conf)
{
	size_t number = (size_t)cfg->line;
	unsigned line = 0;
	struct option_place *place;

	if (number >= 1 && number <= l->scan.opening_n)
		line = l->scan.opening[number - 1];
	place = (void *)((char *)conf + s->place_offset);
	*place = (struct option_place){l->file, line};
	*(char **)(void *)((char *)conf + s->title_offset) =
	    xstrdup(cfg->title);
	return read_options(l, s->tables, cfg, line, conf);
}

static bool
read_sections(struct loader *l, const struct option_section *s,
    const cfg_opt_t *row, void *conf)
{
	struct option_array *array = (void *)((char *)conf + s->offset);

	array->v = xcalloc(row->nvalues, s->size);
	for (unsigned i = 0; i < row->nvalues; i++) {
		/* Counted first: options_free releases half of one, too. */
		array->n++;
		if (!read_section(l, s, row->values[i]->section,
			(char *)array->v + i * s->size))
			return false;
	}
	return true;
}

static void
note_lines(const struct option_schema *schema, const cfg_t *cfg, void *conf)
{
	size_t n = count_options(schema->tables);
	unsigned *lines = xcalloc(n, sizeof(*lines));

	for (size_t i = 0; i < n; i++)
		lines[i] = (unsigned)cfg->opts[i].def.number;
	*(unsigned **)(void *)((char *)conf + schema->lines_offset) = lines;
}

static bool
read_all(struct loader *l, const cfg_t *cfg, void *conf)
{
	const struct option_section *s = l->schema->sections;
	const cfg_opt_t *row = cfg->opts + count_options(l->schema->tables);

	if (l->schema->lines_offset != 0)
		note_lines(l->schema, cfg, conf);
	if (!read_options(l, l->schema->tables, cfg, 0, conf))
		return false;
	for (; s != NULL && s->name != NULL; s++) {
		if (!read_sections(l, s, row++, conf))
			return false;
	}
	return true;
}

static void *
parse(struct loader *l, struct str text)
{
	void *conf = xcalloc(1, l->schema->size);
	cfg_t *cfg = NULL;
	bool ok = false;

	if (!options_scan(&l->scan, text)) {
		fail(l, l->scan.line, NULL, NULL, "%s", l->scan.why);
		goto out;
	}
	cfg = make_parser(l->schema);
	if (cfg_parse_buf(cfg, l->scan.text) != CFG_SUCCESS)
		explain(l, cfg);
	else
		ok = read_all(l, cfg, conf);
out:
	if (cfg != NULL)
		cfg_free(cfg);
	options_scan_clear(&l->scan);
	if (!ok) {
		options_free(l->schema, conf);
		conf = NULL;
	}
	return conf;
}

void *
options_load(const struct option_schema *schema, const char *file,
    const char *text, char *err, size_t err_cap)
{
	struct loader l = {
	    .schema = schema, .file = file, .err = err, .err_cap = err_cap};
	struct buf content;
	void *conf = NULL;
	int error = 0;

	buf_init(&content, FILE_MAX_BYTES);
	if (text != NULL && strlen(text) > FILE_MAX_BYTES)
		error = EFBIG;
	else if (text == NULL)
		error = file_read(file, FILE_MAX_BYTES, &content);
	if (error == EFBIG)
		fail(&l, 0, NULL, NULL,
		    "larger than 1 MiB; this is not a configuration file");
	else if (error != 0)
		fail(&l, 0, NULL, NULL,
		    "cannot be read: %s; check the path and its permissions",
		    strerror(error));
	else
		conf = parse(
		    &l, text != NULL ? str_from(text) : buf_str(&content));
	buf_clear(&content);
	return conf;
}
