/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table as text: a sample file, the manual page's part, and the values in
 * force. Each returns false when out is full.
 */
#include "os/options_value.h"

#include <string.h>

#define WIDTH 72 /* of a comment in the sample */

static const char *const type_names[] = {
    [OPTION_STRING] = "text",
    [OPTION_STRINGS] = "list",
    [OPTION_UINT] = "number",
    [OPTION_BOOL] = "boolean",
    [OPTION_ENUM] = "word",
    [OPTION_DURATION] = "duration",
    [OPTION_SIZE] = "size",
    [OPTION_RATE] = "rate",
    [OPTION_RATES] = "rates",
};

/* Shown where the table has neither a sample nor a preset. */
static const char *const type_samples[] = {
    [OPTION_STRING] = "",
    [OPTION_STRINGS] = "{}",
    [OPTION_UINT] = NULL,
    [OPTION_BOOL] = "false",
    [OPTION_ENUM] = NULL,
    [OPTION_DURATION] = NULL,
    [OPTION_SIZE] = NULL,
    [OPTION_RATE] = "100/1h",
    [OPTION_RATES] = "{100/1h}",
};

static size_t
word_length(struct str s)
{
	size_t at = str_index(s, ' ');

	return at < s.n && at == 0 ? 1 : at;
}

/* Words in lines that begin with `start`. */
static bool
print_wrapped(const char *start, const char *text, struct buf *out)
{
	struct str s = str_trim(str_from(text));
	size_t indent = strlen(start), column = 0;
	bool ok = true;

	while (ok && s.n > 0) {
		size_t n = word_length(s);

		if (column > 0 && column + 1 + n > WIDTH) {
			ok = buf_append_str(out, STR("\n"));
			column = 0;
		}
		ok = ok && buf_printf(out, "%s%.*s", column == 0 ? start : " ",
			       (int)n, s.p);
		column += n + (column == 0 ? indent : 1);
		s = str_trim(str_sub(s, n, s.n));
	}
	return ok && buf_append_str(out, STR("\n"));
}

/* A text of the table as it is written in a file. */
static bool
print_text(const struct option *o, const char *text, struct buf *out)
{
	union option_field field = {0};
	struct option one = *o;
	bool ok;

	one.offset = 0;
	one.given = 0;
	option_preset(&one, text, &field);
	ok = option_print(&one, &field, out);
	option_clear(&one, &field);
	return ok;
}

static bool
print_sample_value(const struct option *o, struct buf *out)
{
	char text[UNITS_TEXT_MAX];
	const char *sample = o->sample != NULL ? o->sample : o->preset;

	if (sample == NULL)
		sample = type_samples[o->type];
	if (sample == NULL && o->type == OPTION_ENUM)
		sample = o->names[0];
	if (sample == NULL)
		sample = option_format_number(o, (uint64_t)o->min, text);
	return print_text(o, sample, out);
}

/* Only what is required stands there in force. */
static bool
print_sample_options(
    const struct option *const *tables, const char *indent, struct buf *out)
{
	const char *before = "";
	char start[16];

	str_copy(str_from(indent), start, sizeof(start) - 2);
	str_copy(
	    STR("# "), start + strlen(start), sizeof(start) - strlen(start));
	option_each (o, tables) {
		if (!buf_printf(out, "%s", before) ||
		    !print_wrapped(start, o->doc != NULL ? o->doc : "", out) ||
		    !buf_printf(out, "%s%s%s = ", indent,
			o->required ? "" : "#", o->name) ||
		    !print_sample_value(o, out) ||
		    !buf_append_str(out, STR("\n")))
			return false;
		before = "\n";
	}
	return true;
}

bool
options_print_sample(const struct option_schema *schema, struct buf *out)
{
	const struct option_section *s = schema->sections;
	bool ok = print_sample_options(schema->tables, "", out);

	for (; ok && s != NULL && s->name != NULL; s++)
		ok = buf_append_str(out, STR("\n")) &&
		     print_wrapped("# ", s->doc != NULL ? s->doc : "", out) &&
		     buf_printf(out, "%s%s \"default\" {\n",
			 s->is_example ? "#" : "", s->name) &&
		     print_sample_options(s->tables, "\t", out) &&
		     buf_append_str(
			 out, s->is_example ? STR("#}\n") : STR("}\n"));
	return ok;
}

/* Plain text in mdoc: no macro at the start of a line, no escapes. */
static bool
print_mdoc_text(struct str s, struct buf *out)
{
	bool is_start = true, ok = true;

	for (size_t i = 0; ok && i < s.n; i++) {
		if (is_start && (s.p[i] == '.' || s.p[i] == '\''))
			ok = buf_append_str(out, STR("\\&"));
		if (s.p[i] == '\\')
			ok = ok && buf_append_str(out, STR("\\e"));
		else
			ok = ok && buf_append(out, s.p + i, 1);
		is_start = s.p[i] == '\n';
	}
	return ok && buf_append_str(out, STR("\n"));
}

static bool
print_mdoc_names(const struct option *o, struct buf *out)
{
	bool ok = true;

	if (o->type != OPTION_ENUM)
		return true;
	for (size_t i = 0; ok && o->names[i] != NULL; i++)
		ok = buf_printf(
		    out, "%s%s", i == 0 ? "One of: " : ", ", o->names[i]);
	return ok && buf_append_str(out, STR(".\n"));
}

static bool
print_mdoc_default(const struct option *o, struct buf *out)
{
	struct buf value;
	bool ok;

	if (o->required)
		return buf_append_str(out, STR("Required.\n"));
	if (o->preset == NULL)
		return true;
	buf_init(&value, 4096);
	ok = buf_append_str(&value, STR("Default: ")) &&
	     print_text(o, o->preset, &value) &&
	     buf_append_str(&value, STR(".")) &&
	     print_mdoc_text(buf_str(&value), out);
	buf_clear(&value);
	return ok;
}

static bool
print_mdoc_option(const struct option *o, struct buf *out)
{
	char range[OPTION_RANGE_MAX];

	if (!buf_printf(
		out, ".It Ic %s No = Ar %s\n", o->name, type_names[o->type]))
		return false;
	if (o->doc != NULL && !print_mdoc_text(str_from(o->doc), out))
		return false;
	if (option_range(o, range)[0] != '\0' &&
	    !buf_printf(out, "Range: %s.\n", range))
		return false;
	return print_mdoc_names(o, out) && print_mdoc_default(o, out) &&
	       (o->reloadable ||
		   buf_append_str(out, STR("A change needs a restart.\n")));
}

static bool
print_mdoc_list(const struct option *const *tables, struct buf *out)
{
	if (!buf_append_str(out, STR(".Bl -tag -width Ds\n")))
		return false;
	option_each (o, tables) {
		if (!print_mdoc_option(o, out))
			return false;
	}
	return buf_append_str(out, STR(".El\n"));
}

bool
options_print_mdoc(const struct option_schema *schema, struct buf *out)
{
	const struct option_section *s = schema->sections;
	bool ok = print_mdoc_list(schema->tables, out);

	for (; ok && s != NULL && s->name != NULL; s++)
		ok = buf_printf(out, ".Ss Section %s\n", s->name) &&
		     (s->doc == NULL ||
			 print_mdoc_text(str_from(s->doc), out)) &&
		     print_mdoc_list(s->tables, out);
	return ok;
}

static bool
print_values(const struct option *const *tables, const void *conf,
    const char *indent, struct buf *out)
{
	option_each (o, tables) {
		if (option_is_set(o, conf) &&
		    (!buf_printf(out, "%s%s = ", indent, o->name) ||
			!option_print(o, conf, out) ||
			!buf_append_str(out, STR("\n"))))
			return false;
	}
	return true;
}

static bool
print_section_values(
    const struct option_section *s, const void *one, struct buf *out)
{
	const char *title =
	    *(char *const *)(const void *)((const char *)one + s->title_offset);

	return buf_printf(out, "%s ", s->name) &&
	       option_print_quoted(str_from(title), out) &&
	       buf_append_str(out, STR(" {\n")) &&
	       print_values(s->tables, one, "\t", out) &&
	       buf_append_str(out, STR("}\n"));
}

bool
options_print_values(
    const struct option_schema *schema, const void *conf, struct buf *out)
{
	const struct option_section *s = schema->sections;
	bool ok = print_values(schema->tables, conf, "", out);

	for (; ok && s != NULL && s->name != NULL; s++) {
		const struct option_array *array =
		    (const void *)((const char *)conf + s->offset);

		for (size_t i = 0; ok && i < array->n; i++)
			ok = print_section_values(
			    s, (const char *)array->v + i * s->size, out);
	}
	return ok;
}
