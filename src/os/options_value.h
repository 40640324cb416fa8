/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The value of one option: from text, to text, compared, released. conf is the
 * struct that holds the option's field. Internal to os/options.
 */
#ifndef OS_OPTIONS_VALUE_H
#define OS_OPTIONS_VALUE_H

#include "os/options.h"

/* Any field. */
union option_field {
	char *string;
	struct option_strings strings;
	uint32_t number;
	bool is_on;
	int name;
	int64_t duration_ms;
	uint64_t size_bytes;
	struct option_rate rate;
	struct option_rates rates;
};

bool option_is_list(const struct option *o);
/* Sets the field, or adds to it where it is a list. False: why it is not a
 * value, as "... is not a duration; write ...". */
MUST_CHECK bool option_add(const struct option *o, const char *text, void *conf,
    char *why, size_t cap);
/* Sets the field from a text of the table, with or without quotes and list
 * braces; one that is wrong is a panic. */
void option_preset(const struct option *o, const char *preset, void *conf);
void option_clear(const struct option *o, void *conf);
bool option_eq(const struct option *o, const void *a, const void *b);
/* False: a string or a rate without a value, which cannot be printed. */
bool option_is_set(const struct option *o, const void *conf);
/* The value as it is written in a file. False when out is full. */
MUST_CHECK bool option_print(
    const struct option *o, const void *conf, struct buf *out);
/* "text" with what libconfuse would take for syntax escaped. */
MUST_CHECK bool option_print_quoted(struct str s, struct buf *out);
/* A number, duration or size of the option, exactly. Returns out. */
const char *option_format_number(
    const struct option *o, uint64_t v, char out[UNITS_TEXT_MAX]);
/* The range that an option allows, "1s to 1h"; empty: any. Returns out. */
#define OPTION_RANGE_MAX 96
const char *option_range(const struct option *o, char out[OPTION_RANGE_MAX]);

#endif
