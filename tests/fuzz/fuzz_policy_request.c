/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the policy protocol's parser. Every value is terminated within
 * its bound and without line ends; where the input is cut makes no difference.
 */
#include "policyd/policy_request.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_value(const char *value, size_t cap)
{
	size_t n = strnlen(value, cap);

	if (n == cap)
		panic("not terminated");
	if (memchr(value, '\n', n) != NULL)
		panic("line end in a value");
}

static void
check_same(struct str in, size_t used, enum policy_parse want,
    const struct policy_request *request)
{
	struct policy_parser p;
	enum policy_parse got = POLICY_MORE;
	struct str one;

	policy_parser_init(&p);
	for (size_t i = 0; i < used && got == POLICY_MORE; i++) {
		one = str_sub(in, i, 1);
		got = policy_parse(&p, &one);
	}
	if (got != want || memcmp(&p.request, request, sizeof(*request)) != 0)
		panic("fragments differ");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size}, rest = in;
	struct policy_parser p;
	enum policy_parse got;

	policy_parser_init(&p);
	got = policy_parse(&p, &rest);
	check_value(p.request.request, sizeof(p.request.request));
	check_value(p.request.protocol_state, sizeof(p.request.protocol_state));
	check_value(p.request.client_address, sizeof(p.request.client_address));
	check_value(p.request.helo_name, sizeof(p.request.helo_name));
	check_value(p.request.sender, sizeof(p.request.sender));
	check_value(p.request.recipient, sizeof(p.request.recipient));
	check_value(p.request.instance, sizeof(p.request.instance));
	check_value(p.request.sasl_username, sizeof(p.request.sasl_username));
	check_same(in, in.n - rest.n, got, &p.request);
	return 0;
}
