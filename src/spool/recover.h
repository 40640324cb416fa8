/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What spool_open does before any thread runs: directory, lock, database,
 * migration, and putting right what a crash left.
 */
#ifndef SPOOL_RECOVER_H
#define SPOOL_RECOVER_H

#include "spool/core.h"

struct recover_failure {
	char *text;
	size_t cap;
	int status; /* sysexits */
};

/* Makes the directories and takes the lock. *unclean: the last daemon did not
 * end in good order. False: failure has the text. */
MUST_CHECK bool recover_lock(
    struct spool *s, bool *unclean, struct recover_failure *failure);
/* Opens, checks and migrates. */
MUST_CHECK bool recover_open(struct spool *s, const struct schema *schema,
    bool unclean, struct db *db, struct recover_failure *failure);
/* Pending counts as held, SENDING becomes RELEASED, files without rows go,
 * rows without files are kept back; counts for spool_stats. */
MUST_CHECK bool recover_rows(
    struct spool *s, struct db *db, struct recover_failure *failure);
/* db->rc in words for the administrator; returns false. */
bool recover_fail(struct spool *s, struct db *db, const char *doing,
    struct recover_failure *failure);
/* The daemon ends in good order. */
void recover_unlock(struct spool *s, bool clean);

#endif
