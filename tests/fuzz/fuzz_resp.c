/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: what a Redis server answers, in pieces of a length that the
 * first byte gives. Whatever comes out is within the bounds, and can be walked.
 */
#include "share/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
walk(const struct resp_value *v, unsigned depth)
{
	size_t n = v->count;

	if (depth > 16)
		panic("too deep");
	if ((v->type == RESP_ARRAY) != (v->v != NULL))
		panic("not an array, or one without elements");
	for (size_t i = 0; i < v->count; i++)
		n += walk(resp_at(v, i), depth + 1);
	if (resp_text(v).n > RESP_REPLY_MAX)
		panic("too long");
	(void)resp_is_error(v, "NOSCRIPT");
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece = size > 0 ? data[0] + 1u : 1;
	struct resp *r = resp_new();

	for (size_t at = 1; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;
		struct resp_value *v;

		if (!resp_feed(r, (const char *)data + at, n))
			break;
		while ((v = resp_next(r)) != NULL) {
			if (walk(v, 0) > RESP_ELEMENTS_MAX)
				panic("too many elements");
			resp_value_free(v);
		}
	}
	resp_free(r);
	return 0;
}
