/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Options tables drive parsing, defaults, checks, the sample and the manual
 * page. Tables describe the fields of one struct; sections (listen, policy)
 * have tables of their own and give an array of structs. The syntax is
 * libconfuse's; weir's durations, sizes and rates are strings in it.
 *
 * Errors are values: one line that names file, line, option and what to do.
 */
#ifndef OS_OPTIONS_H
#define OS_OPTIONS_H

#include "base/buf.h"
#include "base/units.h"

enum option_type {
	OPTION_STRING,   /* char *, heap, NULL when there is no default */
	OPTION_STRINGS,  /* struct option_strings */
	OPTION_UINT,     /* uint32_t */
	OPTION_BOOL,     /* bool */
	OPTION_ENUM,     /* int, one of names[] */
	OPTION_DURATION, /* int64_t, ms */
	OPTION_SIZE,     /* uint64_t, bytes */
	OPTION_RATE,     /* struct option_rate, count 0 when not set */
	OPTION_RATES,    /* struct option_rates */
};

struct option_strings {
	char **v;
	size_t n;
};

struct option_rate {
	uint32_t count;
	int64_t window_ms;
};

#define OPTION_RATES_MAX 4

struct option_rates {
	struct option_rate v[OPTION_RATES_MAX];
	size_t n;
};

struct option_place {
	const char *file;
	unsigned line; /* 0: not known */
};

struct option {
	const char *name;
	enum option_type type;
	size_t offset;      /* of the field in its struct */
	const char *preset; /* default as it is written in the file, quotes
			       may be left out; NULL: none */
	int64_t min, max;   /* numbers, durations (ms), sizes; 0, 0: any;
			       max 0: no upper bound */
	const char *const *names; /* OPTION_ENUM, NULL at the end */
	size_t given; /* offset of a bool: the file sets it; 0: not asked. Then
			 it is printed where it is set, and a rate may be "0",
			 which is none */
	bool required;
	bool reloadable;    /* SIGHUP may change it */
	const char *sample; /* shown in the sample where it differs */
	const char *doc;    /* for the manual page; plain sentences */
	/* Extra check of the text, for a list of each of its texts, never of
	 * the preset. False and a reason in err, which follows the quoted
	 * text: "has no port; write address:port". */
	bool (*check)(const char *text, char *err, size_t cap);
};

/* Tables of one struct, one after the other; each ends with a name NULL. */
#define OPTION_TABLES(...) ((const struct option *const[]){__VA_ARGS__, NULL})

/* Each of their options, in order. */
#define option_each(o, tables)                                               \
	for (const struct option *const *table_ = (tables); *table_ != NULL; \
	     table_++)                                                       \
		for (const struct option *o = *table_; o->name != NULL; o++)

struct option_section {
	const char *name; /* "policy" */
	const char *doc;
	const struct option *const *tables;
	size_t size; /* of the struct */
	/* Where in the parent struct: a struct option_array. */
	size_t offset;
	size_t title_offset; /* char *, the section's title */
	size_t place_offset; /* struct option_place; its file is borrowed
				from options_load's caller */
	bool is_example;     /* none of it is in force in the sample; it has no
				required options */
};

struct option_array {
	void *v; /* n structs of the section's size */
	size_t n;
};

struct option_schema {
	const struct option *const *tables;
	const struct option_section *sections; /* name NULL at the end */
	size_t size;                           /* of the struct */
	/* Of an unsigned *, for options_line; 0: lines are not kept. */
	size_t lines_offset;
};

/*
 * Reads file into a fresh struct: NULL on an error, with the line that
 * explains it in err ("weir.conf:12: policy \"bulk\": interval: ...").
 * text not NULL: parse it, and use file as its name. libconfuse's lexer is
 * shared by the whole process: one thread at a time. A file has at most 1 MiB
 * and includes no other.
 */
void *options_load(const struct option_schema *schema, const char *file,
    const char *text, char *err, size_t err_cap);
void options_free(const struct option_schema *schema, void *conf);
/* The line in which the file's own part sets the option, of a list its first
 * value; 0: nowhere. */
unsigned options_line(
    const struct option_schema *schema, const void *conf, const char *name);
/* A commented sample configuration, in force only what is required: it loads
 * as it is. / The OPTIONS part of weir.conf(5), in
 * mdoc. false when out is full. */
MUST_CHECK bool options_print_sample(
    const struct option_schema *schema, struct buf *out);
MUST_CHECK bool options_print_mdoc(
    const struct option_schema *schema, struct buf *out);
/* The values in force, as a configuration file. */
MUST_CHECK bool options_print_values(
    const struct option_schema *schema, const void *conf, struct buf *out);
/* Compares two structs: the first option that differs and is not reloadable,
 * or NULL. A section that came or went counts, by its name, where one of its
 * options is not reloadable. */
const char *options_changed_fixed(
    const struct option_schema *schema, const void *was, const void *is);

#endif
