/* SPDX-License-Identifier: BSD-3-Clause */
/* See pairs.h. */
#include "replay/pairs.h"

bool
pairs_take(struct str *s, struct str *key, struct str *value)
{
	if (s->n == 0)
		return false;
	*key = str_sub(*s, 0, str_index(*s, '='));
	*s = str_sub(*s, key->n + 1, s->n);
	if (!str_starts(*s, STR("\""))) {
		*value = str_cut(s, ' ');
		return true;
	}
	*s = str_sub(*s, 1, s->n);
	*value = str_cut(s, '"');
	if (str_starts(*s, STR(" ")))
		*s = str_sub(*s, 1, s->n);
	return true;
}

struct str
pairs_unescape(struct str s, char out[PAIRS_VALUE_MAX])
{
	size_t n = 0;

	while (s.n > 0 && n < PAIRS_VALUE_MAX) {
		int high = -1, low = -1;

		if (s.n >= 4 && s.p[0] == '\\' && s.p[1] == 'x') {
			high = str_hex_digit(s.p[2]);
			low = str_hex_digit(s.p[3]);
		}
		out[n++] =
		    high >= 0 && low >= 0 ? (char)(high * 16 + low) : s.p[0];
		s = str_sub(s, high >= 0 && low >= 0 ? 4 : 1, s.n);
	}
	return (struct str){out, n};
}
