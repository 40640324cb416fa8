/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See habit.h. A clock that was set back counts what comes for the latest day
 * that was seen.
 */
#include "gate/habit.h"

#include "base/bytes.h"

#define DAY_MS (24 * INT64_C(3600000))
#define DAYS_MASK ((1u << HABIT_DAYS) - 1)

static uint32_t
day_of(int64_t wall)
{
	return wall > 0 ? (uint32_t)(wall / DAY_MS) : 0;
}

static unsigned
count_bits(unsigned bits)
{
	unsigned n = 0;

	for (; bits != 0; bits &= bits - 1)
		n++;
	return n;
}

bool
habit_is_noted(const struct habit *h, int64_t wall)
{
	return h->days != 0 && h->day >= day_of(wall);
}

bool
habit_note(struct habit *h, int64_t wall)
{
	uint32_t day = day_of(wall);

	if (habit_is_noted(h, wall))
		return false;
	h->days =
	    day - h->day < HABIT_DAYS
		? (uint8_t)((unsigned)h->days << (day - h->day)) & DAYS_MASK
		: 0;
	h->days |= 1;
	h->day = day;
	if (count_bits(h->days) < HABIT_TIMES ||
	    (h->told != 0 && day - h->told < HABIT_DAYS))
		return false;
	h->told = day;
	return true;
}

void
habit_put(unsigned char **p, const struct habit *h)
{
	bytes_put(p, h->day, 4);
	bytes_put(p, h->told, 4);
	bytes_put(p, h->days, 1);
}

bool
habit_get(const unsigned char **p, int64_t wall, struct habit *h)
{
	h->day = (uint32_t)bytes_get(p, 4);
	h->told = (uint32_t)bytes_get(p, 4);
	h->days = (uint8_t)bytes_get(p, 1);
	if (h->days <= DAYS_MASK && h->told <= h->day &&
	    h->day <= day_of(wall) + 1)
		return true;
	*h = (struct habit){0};
	return false;
}
