/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each counter is called, from the tables in the header. Names are few and
 * found by a walk.
 */
#include "os/counters.h"

#include <stdlib.h>
#include <string.h>

const struct counter_info counter_info[COUNT_MAX] = {
#define COUNTER_INFO(id, name, type, doc) \
	{name, COUNTER_##type, doc, NULL, NULL},
#define COUNTER_OWN(id, name, type, doc) {name, COUNTER_##type, doc, "", NULL},
#define COUNTER_SERIES(id, name, type, doc, family, labels) \
	{name, COUNTER_##type, doc, family, labels},
    COUNTER_TABLE(COUNTER_INFO, COUNTER_OWN, COUNTER_SERIES)
#undef COUNTER_INFO
#undef COUNTER_OWN
#undef COUNTER_SERIES
};

const char *const counter_kind_name[COUNTER_KINDS] = {
    [COUNTER_POLICY] = "policy",
    [COUNTER_LISTENER] = "listener",
    [COUNTER_NEXT_HOP] = "next_hop",
    [COUNTER_SCOPE] = "scope",
};

const struct named_counter_info named_counter_info[NAMED_MAX] = {
#define NAMED_INFO(id, kind, family, labels) {COUNTER_##kind, family, labels},
    NAMED_COUNTER_TABLE(NAMED_INFO)
#undef NAMED_INFO
};

const char *const histogram_name[HISTOGRAM_MAX] = {
#define HISTOGRAM_NAME(id, name) name,
    HISTOGRAM_TABLE(HISTOGRAM_NAME)
#undef HISTOGRAM_NAME
};

const uint32_t histogram_bounds[HISTOGRAM_BUCKETS] = {
    60, 300, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 259200};

const char *
counter_family_doc(const char *family)
{
	static const struct {
		const char *family, *doc;
	} families[] = {
#define FAMILY(family, doc) {family, doc},
	    COUNTER_FAMILIES(FAMILY)
#undef FAMILY
	};

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		if (strcmp(families[i].family, family) == 0)
			return families[i].doc;
	}
	return NULL;
}

static struct counter_row *
find(struct counter_names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++) {
		if (strcmp(names->rows[i].name, name) == 0)
			return &names->rows[i];
	}
	return NULL;
}

void
counters_clear(struct counters *c)
{
	counters_names_begin(c);
	counters_names_end(c);
}

void
counters_name(struct counters *c, enum counter_kind kind, const char *name)
{
	struct counter_names *names = &c->names[kind];
	struct counter_row *row = find(names, name);

	if (row == NULL) {
		if (names->n == COUNTER_NAMES_MAX)
			return;
		names->rows = xrealloc(
		    names->rows, (names->n + 1) * sizeof(*names->rows));
		row = &names->rows[names->n++];
		*row = (struct counter_row){.name = xstrdup(name)};
	}
	row->is_kept = true;
}

void
counters_names_begin(struct counters *c)
{
	for (size_t kind = 0; kind < COUNTER_KINDS; kind++) {
		for (size_t i = 0; i < c->names[kind].n; i++)
			c->names[kind].rows[i].is_kept = false;
	}
}

void
counters_names_end(struct counters *c)
{
	for (size_t kind = 0; kind < COUNTER_KINDS; kind++) {
		struct counter_names *names = &c->names[kind];
		size_t kept = 0;

		for (size_t i = 0; i < names->n; i++) {
			if (names->rows[i].is_kept)
				names->rows[kept++] = names->rows[i];
			else
				free(names->rows[i].name);
		}
		names->n = kept;
		if (kept == 0) {
			free(names->rows);
			names->rows = NULL;
		}
	}
}

void
counters_add_named(
    struct counters *c, enum named_counter id, const char *name, uint64_t n)
{
	struct counter_row *row =
	    find(&c->names[named_counter_info[id].kind], name);

	if (row != NULL)
		row->v[id] += n;
}

void
counters_observe(struct counters *c, enum histogram id, int64_t ms)
{
	struct histogram_values *h = &c->histograms[id];
	size_t i = 0;

	if (ms < 0)
		ms = 0;
	while (
	    i < HISTOGRAM_BUCKETS && ms > (int64_t)histogram_bounds[i] * 1000)
		i++;
	h->in[i]++;
	h->sum_ms += (uint64_t)ms;
}
