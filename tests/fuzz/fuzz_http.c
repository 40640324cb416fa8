/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as requests: what is accepted is the same however it was cut, holds
 * nothing that may not be there, and its target stays in its memory.
 */
#include "http/reader.h"
#include "http/target.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			panic("a control character in a request");
	}
}

static void
check_target(struct str target)
{
	struct http_target t;
	const char *why = NULL;
	bool ok = http_target_parse(target, &t, &why);

	if (!ok && why == NULL)
		panic("a target is refused without a reason");
	for (size_t i = 0; ok && i < t.segment_count; i++) {
		check_text(t.segments[i]);
		if (strlen(t.segments[i].p) != t.segments[i].n ||
		    str_eq(t.segments[i], STR("..")))
			panic("a segment that may not be");
	}
	for (size_t i = 0; ok && i < t.parameter_count; i++) {
		if (strlen(t.parameters[i].value.p) != t.parameters[i].value.n)
			panic("a parameter that may not be");
	}
	http_target_clear(&t);
}

static void
check_request(const struct http_request *q)
{
	unsigned hosts = 0;

	if (q->target.n == 0 || q->target.p[0] != '/' || q->method.n == 0)
		panic("no target or no method");
	for (size_t i = 0; i < q->field_count; i++) {
		check_text(q->fields[i].name);
		check_text(q->fields[i].value);
		hosts += str_ieq(q->fields[i].name, STR("Host"));
		if (str_ieq(q->fields[i].name, STR("Transfer-Encoding")))
			panic("Transfer-Encoding was let in");
	}
	if (hosts != 1)
		panic("%u Host fields", hosts);
	check_target(q->target);
}

/* Reads all with pieces of `step` bytes; a sum of what was read. */
static uint64_t
read_all(const uint8_t *data, size_t size, size_t step)
{
	struct http_reader *r = http_reader_new();
	uint64_t sum = 0;
	size_t at = 0, used;
	bool ended = false;

	while (at < size && !ended) {
		size_t n = size - at < step ? size - at : step;

		switch (http_reader_feed(
		    r, (struct str){(const char *)data + at, n}, &used)) {
		case HTTP_READY:
			check_request(http_reader_request(r));
			sum = sum * 31 + at + used;
			sum = sum * 31 + http_reader_request(r)->body.n;
			http_reader_next(r);
			break;
		case HTTP_REFUSED:
			if (http_reader_refusal(r).code < 400)
				panic("a refusal without a code");
			sum = sum * 31 + http_reader_refusal(r).code;
			ended = true;
			break;
		case HTTP_MORE:
		case HTTP_CONTINUE:
			if (used == 0)
				panic("no progress");
			break;
		}
		at += used;
	}
	http_reader_free(r);
	return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (read_all(data, size, SIZE_MAX) != read_all(data, size, 1))
		panic("cut otherwise it is another request");
	return 0;
}
