/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A token ends by the clock as well: while the server is away none is turned,
 * and that server may have kept what was asked before.
 */
#include "share/tokens.h"

void
tokens_turn(struct tokens *t, uint64_t value, int64_t now)
{
	struct token *newest = &t->v[0];

	if (newest->value != 0 && now - newest->made_at < TOKENS_TURN_MS)
		return;
	t->v[1] = *newest;
	newest->value = value;
	newest->made_at = now;
	newest->read_n = 0;
}

int64_t
tokens_take(struct tokens *t, uint64_t token, uint64_t question, int64_t now)
{
	for (size_t i = 0; i < ARRAY_LEN(t->v); i++) {
		struct token *one = &t->v[i];

		if (one->value == 0 || token != one->value)
			continue;
		for (size_t k = 0; k < one->read_n; k++) {
			if (one->read[k] == question)
				return now;
		}
		if (one->read_n == TOKENS_READ_MAX)
			return now;
		one->read[one->read_n++] = question;
		return one->made_at + TOKENS_LAST_MS;
	}
	return now;
}
