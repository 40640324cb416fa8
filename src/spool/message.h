/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages as structs, in memory of their own, and as rows.
 */
#ifndef SPOOL_MESSAGE_H
#define SPOOL_MESSAGE_H

#include "spool/core.h"

/* A copy in mem with tickets set; *error: EINVAL when it is not a message that
 * can be stored. */
MUST_CHECK int message_copy(struct arena *mem, const struct spool_message *m,
    struct spool_message *out);
/* Inserts message and recipients; body.p NULL: it is in a file. Failures show
 * in tx->db. */
void message_insert(
    struct tx *tx, const struct spool_message *m, struct str body);
/* The current row of a statement with DB_MESSAGE_COLUMNS; pending is a DB_
 * value. False: a bad row, logged. */
MUST_CHECK bool message_read(struct db *db, sqlite3_stmt *st, struct arena *mem,
    struct spool_message *out, int *pending, bool *in_file);
/* The current row of one with DB_RCPT_COLUMNS. */
MUST_CHECK bool message_read_rcpt(struct db *db, sqlite3_stmt *st,
    struct arena *mem, struct spool_rcpt *out, int *state);

/* pending is a DB_ value; false: no such message. */
struct message_flags {
	int pending;
	bool whole, in_file;
	bool quarantined; /* and whole */
};
MUST_CHECK bool message_flags(
    struct db *db, uint64_t id, struct message_flags *out);
/* So many recipients were removed. Removes the message's row when the last one
 * is gone. */
void message_reap(struct tx *tx, uint64_t id, size_t ended);
/* Removes it with its recipients. */
void message_remove(struct tx *tx, uint64_t id, bool in_file);
/* BLOCKED becomes RELEASED where nothing stands in the way any more; what is in
 * the mail server's queue stays BLOCKED, and is due there. */
void message_unblock(
    struct tx *tx, uint64_t id, const struct message_flags *flags);

#endif
