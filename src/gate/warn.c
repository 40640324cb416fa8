/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See warn.h.
 */
#include "gate/warn.h"

#include <stdio.h>

const struct warn_marks warn_default = {.n = 2, .percent = {80, 95}};

static bool
parse(const char *text, unsigned *percent)
{
	struct str s = str_from(text);
	uint64_t n;

	if (s.n < 2 || s.p[s.n - 1] != '%' ||
	    !str_to_u64(str_sub(s, 0, s.n - 1), &n) || n < 1 || n > 100)
		return false;
	*percent = (unsigned)n;
	return true;
}

bool
warn_check(const char *text, char *err, size_t cap)
{
	unsigned percent;

	if (parse(text, &percent))
		return true;
	snprintf(
	    err, cap, "is not a percentage of a limit; write 1%% to 100%%");
	return false;
}

static void
add(struct warn_marks *m, unsigned percent)
{
	size_t i = m->n;

	for (size_t j = 0; j < m->n; j++) {
		if (m->percent[j] == percent)
			return;
	}
	for (; i > 0 && m->percent[i - 1] > percent; i--)
		m->percent[i] = m->percent[i - 1];
	m->percent[i] = (uint8_t)percent;
	m->n++;
}

bool
warn_read(const struct option_strings *texts, struct warn_marks *out, char *err,
    size_t err_cap)
{
	*out = (struct warn_marks){0};
	for (size_t i = 0; i < texts->n; i++) {
		unsigned percent;

		if (out->n == WARN_MARKS_MAX) {
			snprintf(
			    err, err_cap, "write at most %d", WARN_MARKS_MAX);
			return false;
		}
		if (!parse(texts->v[i], &percent))
			return warn_check(texts->v[i], err, err_cap);
		add(out, percent);
	}
	return true;
}

unsigned
warn_look(const struct warn_marks *marks, uint8_t *told, uint32_t used,
    uint32_t count)
{
	uint64_t now = (uint64_t)used * 100;
	unsigned reached = 0;

	for (unsigned i = 0; i < marks->n; i++) {
		uint64_t at = (uint64_t)marks->percent[i] * count;
		uint64_t back = (uint64_t)WARN_BACK * count;
		uint8_t bit = (uint8_t)(1u << i);

		if (count > 0 && now >= at) {
			if ((*told & bit) == 0)
				reached = marks->percent[i];
			*told |= bit;
		} else if (now + back < at || used == 0) {
			*told &= (uint8_t)~bit;
		}
	}
	return reached;
}
