/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tables, and how a database gets from an older version to this one. A
 * database of another program or of a newer weir is refused untouched.
 */
#ifndef SPOOL_SCHEMA_H
#define SPOOL_SCHEMA_H

#include "spool/db.h"

#define SCHEMA_APPLICATION_ID 0x77656972 /* "weir" */

/* steps[i] leads from version i to i + 1; the first makes everything. */
struct schema {
	const char *const *steps;
	int count; /* the version that this program writes */
};

extern const struct schema schema_current;

enum schema_verdict {
	SCHEMA_OK,      /* as it must be, or can be migrated */
	SCHEMA_EMPTY,   /* new: nothing in it */
	SCHEMA_FOREIGN, /* somebody else's */
	SCHEMA_NEWER,
	SCHEMA_DAMAGED, /* or unreadable; db->rc tells */
};

/* Only reads. */
enum schema_verdict schema_look(
    struct db *db, const struct schema *schema, int *version);
/* All steps that are missing, in one transaction. rc of SQLite. */
MUST_CHECK int schema_migrate(
    struct db *db, const struct schema *schema, int version);

#endif
