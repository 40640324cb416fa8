/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Destinations that a DNS answer named for everybody: each with the moment at
 * which its TTL ends. A table of fixed size, made when it is first needed; in a
 * full place the one that would end first gives way.
 */
#ifndef NETGATE_NAMED_H
#define NETGATE_NAMED_H

#include "base/base.h"

#define NAMED_PLACES 4096
#define NAMED_WAYS 4 /* entries of a place */

struct named_entry {
	uint64_t hash;
	int64_t until;
};

struct named {
	struct named_entry (*v)[NAMED_WAYS]; /* NULL: nothing yet */
};

/* hash: a destination's, seeded. Keeps the later end. */
void dns_named_add(struct named *n, uint64_t hash, int64_t until);
bool dns_named_has(const struct named *n, uint64_t hash, int64_t now);
void dns_named_clear(struct named *n);

#endif
