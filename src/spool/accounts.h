/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whose the recipients and bytes in the spool are, and what messages on their
 * way in will take: what spool_room answers by. The rows are the truth; these
 * figures follow them commit by commit, and are counted anew after each start
 * (held.c). Any thread.
 */
#ifndef SPOOL_ACCOUNTS_H
#define SPOOL_ACCOUNTS_H

#include "spool/spool.h"

struct accounts;

struct accounts *accounts_new(void);
void accounts_free(struct accounts *a); /* takes NULL */
void accounts_add(
    struct accounts *a, const char *source, int64_t recipients, int64_t bytes);

/* So much is there that has not been counted; what accounts_apply adds of a
 * count takes from it (is_count), and its end ends it. */
void accounts_expect(struct accounts *a, int64_t recipients, int64_t bytes);
void accounts_expect_none(struct accounts *a);
void accounts_used(struct accounts *a, uint64_t *recipients, uint64_t *bytes);

/* What one transaction changes, until its commit. */
struct account_change {
	char *source;
	int64_t recipients, bytes;
};
struct account_changes {
	struct account_change *v;
	size_t n, cap;
	int64_t counted_recipients, counted_bytes; /* of these, what was there
						      before */
};
void accounts_note(struct account_changes *c, const char *source,
    int64_t recipients, int64_t bytes);
void accounts_drop(struct account_changes *c); /* keeps the memory */
void accounts_apply(struct accounts *a, const struct account_changes *c);
void accounts_clear(struct account_changes *c);

#endif
