/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A few at most: each scan is short.
 */
#include "throttle/blasts.h"

#include "throttle/mem.h"

static size_t
size_of(uint32_t n)
{
	return sizeof(struct blasts) + n * sizeof(struct blast);
}

uint8_t
blasts_open(struct blasts **b, int64_t at, size_t *bytes)
{
	uint32_t n = *b ? (*b)->n : 0, i = 0;

	while (i < n && (*b)->v[i].waiting > 0)
		i++;
	if (i == BLASTS_MAX)
		return 0;
	if (i == n) {
		*b = mem_resize(bytes, *b, *b ? size_of(n) : 0, size_of(n + 1));
		(*b)->n = n + 1;
	}
	(*b)->v[i] = (struct blast){.at = at};
	return (uint8_t)(i + 1);
}

void
blasts_free(struct blasts **b, size_t *bytes)
{
	if (*b)
		mem_free(bytes, *b, size_of((*b)->n));
	*b = NULL;
}

void
blasts_add(struct blasts *b, uint8_t number)
{
	if (number == 0)
		return;
	b->v[number - 1].waiting++;
	b->v[number - 1].named++;
}

void
blasts_remove(struct blasts *b, uint8_t number)
{
	if (number != 0)
		b->v[number - 1].waiting--;
}

const struct blast *
blasts_largest(const struct blasts *b)
{
	const struct blast *largest = NULL;

	for (uint32_t i = 0; b && i < b->n; i++)
		if (b->v[i].waiting > (largest ? largest->waiting : 0))
			largest = &b->v[i];
	return largest;
}

uint64_t
blasts_named_after(const struct blasts *b, int64_t since)
{
	uint64_t n = 0;

	for (uint32_t i = 0; b && i < b->n; i++)
		if (b->v[i].waiting > 0 && b->v[i].at > since)
			n += b->v[i].named;
	return n;
}

void
blasts_forget_growth(struct blasts *b)
{
	for (uint32_t i = 0; b && i < b->n; i++)
		b->v[i].at = INT64_MIN;
}
