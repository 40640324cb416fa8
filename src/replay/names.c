/* SPDX-License-Identifier: BSD-3-Clause */
/* See names.h. The map keeps a copy of each text, too: borrowing its keys would
 * need a map that says where they lie. */
#include "replay/names.h"

#include "base/map.h"

#include <stdlib.h>

struct names {
	struct map *ids;
	char **texts;
	uint32_t count, cap;
};

struct names *
names_new(void)
{
	struct names *n = xcalloc(1, sizeof(*n));

	n->ids = map_new();
	return n;
}

void
names_free(struct names *n)
{
	if (n == NULL)
		return;
	map_free(n->ids, NULL);
	for (uint32_t i = 0; i < n->count; i++)
		free(n->texts[i]);
	free(n->texts);
	free(n);
}

uint32_t
names_id(struct names *n, struct str text)
{
	uintptr_t id = (uintptr_t)map_find(n->ids, text);

	if (id != 0)
		return (uint32_t)id;
	if (n->count == NAMES_MAX)
		return 0;
	if (n->count == n->cap) {
		n->cap = n->cap > 0 ? n->cap * 2 : 256;
		n->texts = xrealloc(n->texts, n->cap * sizeof(*n->texts));
	}
	n->texts[n->count++] = str_dup(text);
	map_set(n->ids, text, (void *)(uintptr_t)n->count);
	return n->count;
}

struct str
names_text(const struct names *n, uint32_t id)
{
	return id > 0 && id <= n->count ? str_from(n->texts[id - 1]) : STR("");
}

uint32_t
names_count(const struct names *n)
{
	return n->count;
}
