/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the base of a reverse path is not longer than the path, stays in
 * its domain, and is the path itself where that may lead elsewhere.
 */
#include "base/mailbox.h"
#include "base/reverse_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str
domain_of(struct str address)
{
	return str_sub(address, str_rindex(address, '@'), address.n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size}, base;
	char out[REVERSE_PATH_MAX];

	if (size == 0)
		return 0;
	base = reverse_path_base(in, out);
	if (base.n > in.n || base.n == 0)
		panic("length");
	if (!str_eq(domain_of(base), domain_of(in)))
		panic("domain");
	if (mailbox_is_indirect(in) && !str_eq(base, in))
		panic("indirect");
	return 0;
}
