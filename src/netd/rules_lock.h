/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may change weir-netd's rules in this network namespace, in which chains,
 * table and sets have one name: a lock on a file in the run directory, named
 * for the namespace, or in the state directory where that cannot be written.
 * Nobody else can make or open it. It ends with the process. Blocks.
 */
#ifndef NETD_RULES_LOCK_H
#define NETD_RULES_LOCK_H

#include "base/base.h"

struct rules_lock {
	int dir, file;
	char name[40];
};

/* state and user may be NULL. Waits a few seconds for another to end. False: a
 * reason in err. */
MUST_CHECK bool rules_lock_take(struct rules_lock *lock, const char *state,
    const char *user, char *err, size_t cap);
void rules_lock_release(struct rules_lock *lock);

#endif
