/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: paths and keys. A path that parses is within its limits and
 * holds no control characters; a key is its own key.
 */
#include "smtp/address.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_clean(const struct smtp_path *path)
{
	if (path->address.n > SMTP_ADDRESS_MAX ||
	    path->domain.n > SMTP_DOMAIN_MAX)
		panic("limits");
	for (size_t i = 0; i < path->address.n; i++) {
		unsigned char c = (unsigned char)path->address.p[i];

		if (c < ' ' || c == 0x7F)
			panic("control character");
	}
	if (!str_is_utf8(path->address))
		panic("not UTF-8");
}

static void
check_key(struct str address, bool fold)
{
	char key[SMTP_KEY_MAX], again[SMTP_KEY_MAX];
	size_t n = smtp_address_key(address, fold, key);

	if (n != strlen(key))
		panic("key length");
	if (n == 0)
		return;
	if (smtp_address_key((struct str){key, n}, fold, again) != n ||
	    memcmp(key, again, n) != 0)
		panic("the key of \"%s\" is \"%s\"", key, again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size}, rest;
	struct smtp_path path;

	if (size == 0)
		return 0;
	rest = in;
	if (smtp_path_parse(&rest, true, true, &path) == SMTP_PATH_OK) {
		check_clean(&path);
		if (rest.p + rest.n != in.p + in.n)
			panic("rest");
	}
	if (smtp_address_parse(in, true, &path) == SMTP_PATH_OK)
		check_clean(&path);
	/* What a front takes has a key: nothing else is a destination. */
	if (smtp_path_parse_given(in, false, &path) == SMTP_PATH_OK) {
		char key[SMTP_KEY_MAX];

		check_clean(&path);
		if (smtp_address_key(path.address, true, key) == 0)
			panic("no key");
	}
	check_key(in, false);
	check_key(in, true);
	return 0;
}
