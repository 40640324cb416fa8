/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection to the spool's database with its prepared statements. Errors
 * are kept: the first failure of SQLite since db_clear_error stays in the
 * connection, so that a row of calls may be checked once. What is read back
 * counts as hostile: the db_column functions check type and length and mark
 * the row as bad. One thread at a time.
 */
#ifndef SPOOL_DB_H
#define SPOOL_DB_H

#include "os/log.h"
#include "spool/arena.h"
#include "spool/spool.h"

#include <sqlite3.h>

/* Of a recipient in the database: enum spool_state, and three more. BLOCKED is
 * RELEASED that may not go yet, because its message is pending, damaged, or
 * whole with a HELD recipient. STOPPED is RELEASED whose source is frozen, and
 * STOPPING is SENDING that becomes STOPPED, not RELEASED, when the attempt
 * fails. So whatever is RELEASED may be claimed, and a claim never wades
 * through what may not. */
#define DB_BLOCKED 4
#define DB_STOPPED 5
#define DB_STOPPING 6
#define DB_STATE_MAX DB_STOPPING
/* Of a message, column pending. */
#define DB_READY 0
#define DB_PENDING 1
#define DB_DAMAGED 2 /* its body is missing: nothing goes until it is back */

/* Of a message, column whole. */
#define DB_WHOLE 1
#define DB_QUARANTINED 2 /* whole, and in the mail server's queue */

/* In meta: what was in the spool some seconds ago, as limits count it. */
#define DB_USED_RECIPIENTS "used_recipients"
#define DB_USED_BYTES "used_bytes"

#define DB_BUSY_MS 5000
#define DB_TEXT_MAX 65536

/* X(name, SQL). A recipient's range in its message is id .. id + 4095. */
#define DB_MESSAGE_COLUMNS                                         \
	"id, pending, whole, in_file, body_type, ret, utf8, size," \
	" queued_at, source, policy, sender, client, helo, envid, subject"
#define DB_MESSAGE_READ                                                \
	DB_MESSAGE_COLUMNS                                             \
	", (SELECT mta_id FROM quarantine q WHERE q.id = message.id)," \
	" (SELECT doomed FROM quarantine q WHERE q.id = message.id),"  \
	" (SELECT message_id FROM name n WHERE n.id = message.id),"    \
	" (SELECT queue_id FROM name n WHERE n.id = message.id)"
#define DB_RCPT_COLUMNS                                                    \
	"ticket, state, attempts, next_try, destination, notify, address," \
	" orcpt, last_error, lane"
/* Of a row of quarantine: when its message was stored, and from when on it may
 * be claimed, ?3 after that. */
#define DB_ARRIVED \
	"(SELECT queued_at FROM message WHERE message.id = quarantine.id)"
#define DB_SETTLED "due + CASE attempts WHEN 0 THEN ?3 ELSE 0 END"
/* Which source a recipient is of (db_owner), so that what may go is found by
 * source. Only of recipients that were let go. */
#define DB_OWNER_FN "weir_owner"
#define DB_OWNER_OF(ticket)                                            \
	DB_OWNER_FN "((SELECT source FROM message WHERE id = (" ticket \
		    " & ~4095)))"
#define DB_RANGE "ticket >= ?1 AND ticket <= ?1 + 4095"
/* Of rcpt r: what the source ?1 has beside what is held, and a few others'
 * whose name has the same hash. */
#define DB_OWNED "r.state <> 1 AND r.owner = " DB_OWNER_FN "(?1)"
/* The recipients of the source ?1 in state ?2, of messages m that fit more.
 * Those that the gate was asked about: what weir itself sends has no
 * destination. */
#define DB_OF_SOURCE                                                   \
	"ticket IN (SELECT r.ticket FROM rcpt r INDEXED BY rcpt_owner" \
	" CROSS JOIN message m ON m.id = (r.ticket & ~4095)"           \
	" WHERE " DB_OWNED " AND r.state = ?2"                         \
	" AND r.destination <> 0 AND m.source = ?1 AND "
/* The same of one message that is in the mail server's queue: what waits there
 * for its release. */
#define DB_LET_GO                                         \
	"EXISTS (SELECT 1 FROM quarantine q WHERE q.id =" \
	" (ticket & ~4095) AND q.doomed = 0"              \
	" AND (state <> 4 OR q.due IS NOT NULL))"
#define DB_MTA_HELD "SELECT id, mta_id, source FROM mta_held WHERE id > ?1 AND "
#define DB_MTA_ORDER " ORDER BY id LIMIT ?2"
#define DB_STATEMENTS(X)                                                       \
	X(BEGIN, "BEGIN IMMEDIATE")                                            \
	X(BEGIN_READ, "BEGIN")                                                 \
	X(COMMIT, "COMMIT")                                                    \
	X(ROLLBACK, "ROLLBACK")                                                \
	X(PUT_MESSAGE,                                                         \
	    "INSERT INTO message (" DB_MESSAGE_COLUMNS ", body) VALUES"        \
	    " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"        \
	    " ?14, ?15, ?16, ?17)")                                            \
	X(PUT_RCPT, "INSERT INTO rcpt (" DB_RCPT_COLUMNS                       \
		    ", owner) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,"     \
		    " ?10, ?11)")                                              \
	X(GET_FLAGS,                                                           \
	    "SELECT pending, whole, in_file FROM message WHERE id = ?1")       \
	X(GET_MESSAGE, "SELECT " DB_MESSAGE_READ ", body FROM message"         \
		       " WHERE id = ?1")                                       \
	X(WALK_SOURCE,                                                         \
	    "SELECT " DB_MESSAGE_READ " FROM message"                          \
	    " INDEXED BY message_source WHERE source = ?1 AND id > ?2"         \
	    " AND id <= ?3 ORDER BY id")                                       \
	X(WALK_ALL, "SELECT " DB_MESSAGE_READ " FROM message"                  \
		    " WHERE id > ?1 AND id <= ?2 ORDER BY id")                 \
	X(HELD_MESSAGES, "SELECT id, source, size, pending FROM message"       \
			 " WHERE id > ?1 AND id <= ?2 ORDER BY id")            \
	X(HELD_OF, "SELECT id, pending FROM message"                           \
		   " INDEXED BY message_source WHERE source = ?1"              \
		   " AND id > ?2 AND id <= ?3 ORDER BY id")                    \
	X(HELD_TICKETS, "SELECT ticket, state, destination, lane FROM rcpt"    \
			" WHERE ticket >= ?1 AND ticket <= ?2"                 \
			" ORDER BY ticket")                                    \
	X(GET_CHUNK, "SELECT in_file, size, substr(body, ?2, ?3) FROM message" \
		     " WHERE id = ?1")                                         \
	X(PUT_NAME, "REPLACE INTO name (id, message_id, queue_id) VALUES "     \
		    "(?1, ?2, ?3)")                                            \
	X(DELETE_NAME, "DELETE FROM name WHERE id = ?1")                       \
	X(SET_PENDING, "UPDATE message SET pending = ?2 WHERE id = ?1")        \
	X(DELETE_MESSAGE, "DELETE FROM message WHERE id = ?1"                  \
			  " RETURNING source, size")                           \
	X(GET_SOURCE, "SELECT source FROM message WHERE id = ?1")              \
	X(GET_RCPTS, "SELECT " DB_RCPT_COLUMNS " FROM rcpt WHERE " DB_RANGE    \
		     " ORDER BY ticket")                                       \
	X(GET_STATES, "SELECT state FROM rcpt WHERE " DB_RANGE)                \
	X(GET_STATE, "SELECT state FROM rcpt WHERE ticket = ?1")               \
	X(HAS_RCPT, "SELECT 1 FROM rcpt WHERE " DB_RANGE " LIMIT 1")           \
	X(HAS_HELD,                                                            \
	    "SELECT 1 FROM rcpt WHERE " DB_RANGE " AND state = 1 LIMIT 1")     \
	X(UNBLOCK,                                                             \
	    "UPDATE rcpt SET state = 2 WHERE " DB_RANGE " AND state = 4")      \
	X(BLOCK, "UPDATE rcpt SET state = 4 WHERE " DB_RANGE " AND state = 2") \
	X(SET_ERROR, "UPDATE rcpt SET last_error = ?2 WHERE " DB_RANGE)        \
	X(SET_STATE, "UPDATE rcpt SET state = ?2 WHERE ticket = ?1")           \
	X(RELEASE, "UPDATE rcpt SET state = ?2, next_try = ?3,"                \
		   " owner = " DB_OWNER_OF("?1") " WHERE ticket = ?1")         \
	X(PUT_ASIDE, "UPDATE rcpt SET state = 4, last_error = ?2"              \
		     " WHERE ticket = ?1")                                     \
	X(RETRY,                                                               \
	    "UPDATE rcpt SET state = CASE state WHEN 3 THEN 2 ELSE 5 END,"     \
	    " next_try = ?2, attempts = attempts + ?4, last_error = ?3"        \
	    " WHERE ticket = ?1 AND state IN (3, 6) RETURNING state")          \
	X(DELETE_SENDING, "DELETE FROM rcpt WHERE ticket = ?1"                 \
			  " AND state IN (3, 6) RETURNING state")              \
	X(MOVE_SOURCE,                                                         \
	    "UPDATE rcpt SET state = ?3 WHERE " DB_OF_SOURCE "m.whole <> 2)")  \
	X(MOVE_QUARANTINED, "UPDATE rcpt SET state = ?3 WHERE " DB_OF_SOURCE   \
			    "m.whole = 2) AND " DB_LET_GO)                     \
	X(START_SOURCE,                                                        \
	    "UPDATE rcpt SET state = 2, next_try ="                            \
	    " min(next_try, ?3) WHERE " DB_OF_SOURCE "m.whole <> 2)")          \
	X(MOVE_MESSAGE,                                                        \
	    "UPDATE rcpt SET state = ?3 WHERE " DB_RANGE " AND state = ?2")    \
	X(STOP_QUARANTINE,                                                     \
	    "UPDATE quarantine INDEXED BY quarantine_due SET due = NULL"       \
	    " WHERE due IS NOT NULL AND doomed = 0 AND ?1 ="                   \
	    " (SELECT source FROM message m WHERE m.id = quarantine.id)")      \
	X(START_QUARANTINE,                                                    \
	    "UPDATE quarantine SET due = " DB_ARRIVED " WHERE due IS NULL"     \
	    " AND id IN (SELECT r.ticket & ~4095 FROM rcpt r"                  \
	    " INDEXED BY rcpt_owner WHERE " DB_OWNED " AND r.state = 5)"       \
	    " AND ?1 ="                                                        \
	    " (SELECT source FROM message m WHERE m.id = quarantine.id)")      \
	X(STOP_QUARANTINE_ID, "UPDATE quarantine SET due = NULL WHERE id = ?1" \
			      " AND due IS NOT NULL AND doomed = 0")           \
	X(IS_STOPPED, "SELECT 1 FROM source WHERE frozen <> 0 AND key ="       \
		      " (SELECT source FROM message WHERE id = ?1)")           \
	X(COUNT_STOPPED,                                                       \
	    "SELECT count(*) FROM rcpt r INDEXED BY rcpt_owner"                \
	    " CROSS JOIN message m ON m.id = (r.ticket & ~4095)"               \
	    " WHERE " DB_OWNED " AND r.state IN (5, 6) AND m.source = ?1")     \
	X(DEFERRED,                                                            \
	    "SELECT last_error, count(*), min(ticket) FROM"                    \
	    " (SELECT ticket, last_error FROM rcpt INDEXED BY rcpt_due"        \
	    " WHERE state = 2 AND last_error IS NOT NULL LIMIT ?1)"            \
	    " GROUP BY last_error ORDER BY count(*) DESC LIMIT ?2")            \
	X(OLDEST_HELD, "SELECT ticket FROM (SELECT ticket, state FROM rcpt"    \
		       " ORDER BY ticket LIMIT ?1) WHERE state = 1 LIMIT 1")   \
	X(PUT_MTA_HELD, "REPLACE INTO mta_held (mta_id, source, held, fate)"   \
			" VALUES (?1, ?2, 0, 0)")                              \
	X(SET_MTA_DISPOSITION,                                                 \
	    "UPDATE mta_held SET fate = ?3 WHERE source = ?1 AND fate = ?2")   \
	X(SET_MTA_HELD, "UPDATE mta_held SET held = 1 WHERE id = ?1")          \
	X(DELETE_MTA_HELD, "DELETE FROM mta_held WHERE id = ?1")               \
	X(COUNT_MTA_HELD, "SELECT count(*) FROM mta_held")                     \
	X(COUNT_MTA_HELD_OF,                                                   \
	    "SELECT count(*) FROM mta_held WHERE source = ?1")                 \
	X(MTA_TO_HOLD, DB_MTA_HELD "held = 0 AND fate <> 1" DB_MTA_ORDER)      \
	X(MTA_TO_RELEASE, DB_MTA_HELD "fate = 1" DB_MTA_ORDER)                 \
	X(MTA_TO_DISCARD, DB_MTA_HELD "held <> 0 AND fate = 2" DB_MTA_ORDER)   \
	X(IS_FROZEN, "SELECT 1 FROM source WHERE key = ?1 AND frozen <> 0")    \
	X(DELETE_RCPT, "DELETE FROM rcpt WHERE ticket = ?1")                   \
	X(DELETE_RCPTS, "DELETE FROM rcpt WHERE " DB_RANGE)                    \
	X(DUE, "SELECT ticket FROM rcpt INDEXED BY rcpt_due"                   \
	       " WHERE state = 2 AND next_try <= ?1"                           \
	       " ORDER BY next_try, ticket LIMIT ?2")                          \
	X(NEXT_OWNER,                                                          \
	    "SELECT owner FROM rcpt INDEXED BY rcpt_owner"                     \
	    " WHERE state <> 1 AND owner > ?1 ORDER BY owner LIMIT 1")         \
	X(DUE_OF, "SELECT ticket FROM rcpt INDEXED BY rcpt_owner"              \
		  " WHERE state <> 1 AND owner = ?1 AND state = 2"             \
		  " AND next_try <= ?2 ORDER BY next_try, ticket LIMIT 1")     \
	X(GET_LOAD, "SELECT size, policy FROM message WHERE id = ?1")          \
	X(NEXT_DUE, "SELECT min(next_try) FROM rcpt INDEXED BY rcpt_due"       \
		    " WHERE state = 2 AND next_try > ?1")                      \
	X(MEND_DUE, "UPDATE rcpt INDEXED BY rcpt_due SET next_try = ?1"        \
		    " WHERE state = 2 AND next_try > ?2")                      \
	X(MEND_QUARANTINE, "UPDATE quarantine SET due = ?1 WHERE due > ?2")    \
	X(PUT_QUARANTINE,                                                      \
	    "INSERT INTO quarantine (id, mta_id, doomed, attempts, due)"       \
	    " VALUES (?1, ?2, 0, 0, ?3)")                                      \
	X(QUARANTINE_DUE, "UPDATE quarantine SET due = " DB_ARRIVED            \
			  " WHERE id = ?1 AND due IS NULL")                    \
	X(QUARANTINE_DOOMED, "SELECT doomed FROM quarantine WHERE id = ?1")    \
	X(DOOM, "UPDATE quarantine SET doomed = 1, due = " DB_ARRIVED          \
		" WHERE id = ?1")                                              \
	X(DUE_QUARANTINE,                                                      \
	    "SELECT id, mta_id, doomed, attempts FROM quarantine"              \
	    " INDEXED BY quarantine_due WHERE due IS NOT NULL AND due <= ?1"   \
	    " AND " DB_SETTLED " <= ?1 ORDER BY due, id LIMIT ?2")             \
	X(NEXT_QUARANTINE, "SELECT min(" DB_SETTLED ") FROM quarantine"        \
			   " INDEXED BY quarantine_due WHERE due IS NOT NULL"  \
			   " AND " DB_SETTLED " > ?1")                         \
	X(TAKE_QUARANTINE, "UPDATE quarantine SET due = NULL WHERE id = ?1")   \
	X(RETRY_QUARANTINE,                                                    \
	    "UPDATE quarantine SET due = ?2, attempts = attempts + 1"          \
	    " WHERE id = ?1")                                                  \
	X(WALK_QUARANTINE,                                                     \
	    "SELECT q.id, q.mta_id, q.doomed, q.attempts, m.queued_at"         \
	    " FROM quarantine q JOIN message m ON m.id = q.id"                 \
	    " WHERE q.id > ?1 AND m.pending = 0 ORDER BY q.id LIMIT ?2")       \
	X(DELETE_QUARANTINE, "DELETE FROM quarantine WHERE id = ?1")           \
	X(SEND_RANGE,                                                          \
	    "UPDATE rcpt SET state = 3 WHERE " DB_RANGE " AND state = 4")      \
	X(RETRY_RANGE,                                                         \
	    "UPDATE rcpt SET state = CASE state WHEN 3 THEN 4 ELSE 5 END,"     \
	    " next_try = ?2, last_error = ?3, attempts = attempts + 1"         \
	    " WHERE " DB_RANGE " AND state IN (3, 6) RETURNING state")         \
	X(HAS_SENDING,                                                         \
	    "SELECT 1 FROM rcpt WHERE " DB_RANGE " AND state IN (3, 6)"        \
	    " LIMIT 1")                                                        \
	X(SET_FROZEN,                                                          \
	    "INSERT INTO source (key, frozen, reason, frozen_at, note,"        \
	    " thaw_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key)"      \
	    " DO UPDATE SET frozen = excluded.frozen,"                         \
	    " reason = excluded.reason, frozen_at = excluded.frozen_at,"       \
	    " note = excluded.note, thaw_at = excluded.thaw_at")               \
	X(SAVE_STATE,                                                          \
	    "INSERT INTO source (key, frozen, reason, frozen_at, state,"       \
	    " saved_at) VALUES (?1, 0, 0, 0, ?2, ?3) ON CONFLICT (key)"        \
	    " DO UPDATE SET state = excluded.state,"                           \
	    " saved_at = excluded.saved_at")                                   \
	X(FORGET_SOURCE, "DELETE FROM source WHERE key = ?1")                  \
	/* What belongs to sources comes behind them. */                       \
	X(GET_SOURCES,                                                         \
	    "SELECT key, frozen, reason, frozen_at, state, saved_at, note,"    \
	    " thaw_at FROM source WHERE key < '[habit] ' OR key >= '[habit]!'" \
	    " UNION ALL"                                                       \
	    " SELECT key, frozen, reason, frozen_at, state, saved_at, note,"   \
	    " thaw_at FROM source WHERE key >= '[habit] '"                     \
	    " AND key < '[habit]!'")                                           \
	X(FORGET_INBOUND, "DELETE FROM inbound_left WHERE rowid = ?1")         \
	X(GET_INBOUND, "SELECT rowid, key, state, saved_at"                    \
		       " FROM inbound_left LIMIT ?1")                          \
	X(COUNT_ACQUAINTANCES, "SELECT count(*) FROM acquaintance")            \
	X(SAVE_ACQUAINTANCES,                                                  \
	    "INSERT INTO acquaintance (key, saved_at, state)"                  \
	    " VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET"             \
	    " saved_at = excluded.saved_at, state = excluded.state")           \
	X(FORGET_ACQUAINTANCES, "DELETE FROM acquaintance WHERE key = ?1")     \
	X(SWEEP_ACQUAINTANCES,                                                 \
	    "DELETE FROM acquaintance WHERE rowid > ?1 AND rowid <= ?2"        \
	    " AND saved_at < ?3")                                              \
	X(LAST_ACQUAINTANCES, "SELECT max(rowid) FROM acquaintance")           \
	X(GET_ACQUAINTANCES, "SELECT state FROM acquaintance WHERE key = ?1")  \
	X(SAVE_ALERT, "REPLACE INTO alert (id, channel, state) VALUES "        \
		      "(?1, ?2, ?3)")                                          \
	X(FORGET_ALERT, "DELETE FROM alert WHERE id = ?1")                     \
	X(GET_ALERTS, "SELECT id, channel, state FROM alert ORDER BY id")      \
	X(COUNT_LET_GO,                                                        \
	    "SELECT total(state IN (5, 6)), total(state IN (2, 4, 5))"         \
	    " FROM rcpt INDEXED BY rcpt_owner WHERE state <> 1")               \
	X(PUT_AUDIT, "INSERT INTO audit (at, who, action, target, detail)"     \
		     " VALUES (?1, ?2, ?3, ?4, ?5)")                           \
	X(TRIM_AUDIT, "DELETE FROM audit WHERE id <= ?1")                      \
	X(GET_AUDIT, "SELECT at, who, action, target, detail FROM audit"       \
		     " ORDER BY id DESC LIMIT ?1")                             \
	X(SET_META, "INSERT INTO meta (key, value) VALUES (?1, ?2)"            \
		    " ON CONFLICT (key) DO UPDATE SET value = excluded.value") \
	X(FREE_PAGES, "PRAGMA freelist_count")                                 \
	X(GET_META, "SELECT value FROM meta WHERE key = ?1")                   \
	X(BUMP_META, "INSERT INTO meta (key, value) VALUES (?1, 1)"            \
		     " ON CONFLICT (key) DO UPDATE SET value = value + 1")

enum db_statement {
#define DB_ENUM(name, sql) DB_##name,
	DB_STATEMENTS(DB_ENUM)
#undef DB_ENUM
	    DB_STATEMENT_MAX
};

struct db {
	sqlite3 *h;
	sqlite3_stmt *statements[DB_STATEMENT_MAX];
	int rc;       /* first failure, SQLITE_OK: none */
	bool bad_row; /* a column did not hold what it must */
	struct log *log;
};

/* What stands for a source in rcpt.owner: above 0. */
int64_t db_owner(const char *source);

enum db_mode { DB_READ, DB_WRITE };

/* rc of SQLite. On an error the connection is closed and err has the text. */
MUST_CHECK int db_open(struct db *db, const char *path, enum db_mode mode,
    struct log *log, char *err, size_t err_cap);
void db_close(struct db *db);
/* Pragmas of a connection that is to write; makes the database WAL. */
MUST_CHECK int db_tune(struct db *db, bool scratch);
int db_exec(struct db *db, const char *sql);
MUST_CHECK int db_errno(int rc); /* an errno value for SQLite's */
void db_clear_error(struct db *db);
bool db_is_io_error(int rc); /* the connection is not to be trusted */

/* A reset statement, NULL after an error (the calls below take that). */
sqlite3_stmt *db_get(struct db *db, enum db_statement name);
void db_bind_int(sqlite3_stmt *st, int at, int64_t v);
void db_bind_text(sqlite3_stmt *st, int at, const char *s); /* NULL: null */
void db_bind_blob(sqlite3_stmt *st, int at, const void *p, size_t n);
/* True: a row. False: the end or an error, the statement is reset. */
bool db_step(struct db *db, sqlite3_stmt *st);
/* For statements without rows. Rows changed, -1 after an error. */
int64_t db_run(struct db *db, sqlite3_stmt *st);
void db_reset(sqlite3_stmt *st);
/* The first column of the first row, or otherwise. */
int64_t db_number(struct db *db, sqlite3_stmt *st, int64_t otherwise);

/* Checked columns: what is wrong sets db->bad_row and gives 0 or "". */
int64_t db_column_int(
    struct db *db, sqlite3_stmt *st, int at, int64_t min, int64_t max);
const char *db_column_text(
    struct db *db, sqlite3_stmt *st, int at, struct arena *mem);
/* NULL is allowed. */
const char *db_column_maybe(
    struct db *db, sqlite3_stmt *st, int at, struct arena *mem);
/* What is only shown: NULL for all that is no text of max bytes at most. */
const char *db_column_note(
    sqlite3_stmt *st, int at, size_t max, struct arena *mem);
/* bad_row since the last call; logs when it was. */
bool db_take_bad_row(struct db *db, const char *table, uint64_t key);

#endif
