/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whole structs: released, and compared for what a reload would change that
 * only a restart can. Sections are matched by their titles; one that came or
 * went counts where it has a fixed option.
 */
#include "os/options_value.h"

#include <stdlib.h>
#include <string.h>

static void
free_fields(const struct option *const *tables, void *conf)
{
	option_each (o, tables)
		option_clear(o, conf);
}

static unsigned *const *
lines_of(const struct option_schema *schema, const void *conf)
{
	return (const void *)((const char *)conf + schema->lines_offset);
}

void
options_free(const struct option_schema *schema, void *conf)
{
	const struct option_section *s = schema->sections;

	if (conf == NULL)
		return;
	free_fields(schema->tables, conf);
	for (; s != NULL && s->name != NULL; s++) {
		struct option_array *array = (void *)((char *)conf + s->offset);

		for (size_t i = 0; i < array->n; i++) {
			char *one = (char *)array->v + i * s->size;

			free_fields(s->tables, one);
			free(*(char **)(void *)(one + s->title_offset));
		}
		free(array->v);
	}
	if (schema->lines_offset != 0)
		free(*lines_of(schema, conf));
	free(conf);
}

unsigned
options_line(
    const struct option_schema *schema, const void *conf, const char *name)
{
	const unsigned *line = *lines_of(schema, conf);

	option_each (o, schema->tables) {
		if (strcmp(o->name, name) == 0)
			return *line;
		line++;
	}
	return 0;
}

static const char *
changed_option(
    const struct option *const *tables, const void *was, const void *is)
{
	option_each (o, tables) {
		if (!o->reloadable && !option_eq(o, was, is))
			return o->name;
	}
	return NULL;
}

static bool
has_fixed(const struct option *const *tables)
{
	option_each (o, tables) {
		if (!o->reloadable)
			return true;
	}
	return false;
}

static const char *
title_of(const struct option_section *s, const void *one)
{
	return *(
	    char *const *)(const void *)((const char *)one + s->title_offset);
}

static const void *
find_title(const struct option_section *s, const struct option_array *in,
    const char *title)
{
	for (size_t i = 0; i < in->n; i++) {
		const char *one = (const char *)in->v + i * s->size;

		if (strcmp(title_of(s, one), title) == 0)
			return one;
	}
	return NULL;
}

static const char *
changed_section(const struct option_section *s, const struct option_array *was,
    const struct option_array *is)
{
	if (!has_fixed(s->tables))
		return NULL;
	/* Titles are unique: as many, and each found again. */
	if (was->n != is->n)
		return s->name;
	for (size_t i = 0; i < was->n; i++) {
		const char *one = (const char *)was->v + i * s->size;
		const void *now = find_title(s, is, title_of(s, one));
		const char *name;

		if (now == NULL)
			return s->name;
		name = changed_option(s->tables, one, now);
		if (name != NULL)
			return name;
	}
	return NULL;
}

const char *
options_changed_fixed(
    const struct option_schema *schema, const void *was, const void *is)
{
	const struct option_section *s = schema->sections;
	const char *name = changed_option(schema->tables, was, is);

	for (; name == NULL && s != NULL && s->name != NULL; s++)
		name = changed_section(s,
		    (const void *)((const char *)was + s->offset),
		    (const void *)((const char *)is + s->offset));
	return name;
}
