/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A migration and its version number are one transaction: a crash leaves the
 * old version or the new one. A step is never changed once it was released;
 * what comes later is a step of its own.
 */
#include "spool/schema.h"

#include <stdio.h>

/*
 * The body is the last column, so that what only looks at a message stays
 * clear of it. rcpt_due holds what may be claimed and nothing else; the other
 * two partial indices are next to empty. A recipient is found from its message
 * by ticket, so rcpt needs no index for that.
 */
static const char version_1[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE message (id INTEGER PRIMARY KEY,"
    " pending INTEGER NOT NULL, whole INTEGER NOT NULL,"
    " in_file INTEGER NOT NULL, body_type INTEGER NOT NULL,"
    " ret INTEGER NOT NULL, utf8 INTEGER NOT NULL, size INTEGER NOT NULL,"
    " queued_at INTEGER NOT NULL, source TEXT NOT NULL,"
    " policy TEXT NOT NULL, sender TEXT NOT NULL, client TEXT NOT NULL,"
    " helo TEXT NOT NULL, envid TEXT, subject TEXT, body BLOB);"
    "CREATE INDEX message_source ON message (source);"
    "CREATE INDEX message_pending ON message (id) WHERE pending <> 0;"
    "CREATE INDEX message_file ON message (id) WHERE in_file <> 0;"
    "CREATE TABLE rcpt (ticket INTEGER PRIMARY KEY, state INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL, next_try INTEGER NOT NULL,"
    " destination INTEGER NOT NULL, notify INTEGER NOT NULL,"
    " address TEXT NOT NULL, orcpt TEXT, last_error TEXT);"
    "CREATE INDEX rcpt_due ON rcpt (next_try) WHERE state = 2;"
    "CREATE TABLE source (key TEXT NOT NULL UNIQUE, frozen INTEGER NOT NULL,"
    " reason INTEGER NOT NULL, frozen_at INTEGER NOT NULL, state BLOB,"
    " saved_at INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE audit (id INTEGER PRIMARY KEY, at INTEGER NOT NULL,"
    " who TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,"
    " detail TEXT NOT NULL);";

/* Messages in the mail server's own hold queue (quarantine.c). due: NULL while
 * it waits, or while a command is at it. */
static const char version_2[] =
    "CREATE TABLE quarantine (id INTEGER PRIMARY KEY,"
    " mta_id TEXT NOT NULL, doomed INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL, due INTEGER);"
    "CREATE INDEX quarantine_due ON quarantine (due) WHERE due IS NOT NULL;";

/* What was learnt from incoming mail, by the source's key. */
static const char version_3[] =
    "CREATE TABLE inbound (key TEXT NOT NULL UNIQUE, state BLOB NOT NULL,"
    " saved_at INTEGER NOT NULL);";

/* By what else a message is known: without brackets its Message-ID, and the
 * mail server's queue id when it came. Of what was stored before there is none.
 * And why a person froze a source, and until when (0: for good). */
static const char version_4[] =
    "CREATE TABLE name (id INTEGER PRIMARY KEY, message_id TEXT,"
    " queue_id TEXT);"
    "ALTER TABLE source ADD COLUMN note TEXT;"
    "ALTER TABLE source ADD COLUMN thaw_at INTEGER NOT NULL DEFAULT 0;";

/* What a freeze stops (stop.c) has states that an older weir takes for damage.
 * What was let go of a source that is frozen now is stopped from here on. */
static const char version_5[] =
    "UPDATE rcpt SET state = 5 WHERE state IN (2, 3) AND destination <> 0"
    " AND (ticket & ~4095) IN"
    " (SELECT m.id FROM message m JOIN source s ON s.key = m.source"
    " WHERE s.frozen <> 0 AND m.whole <> 2);";

/* Messages in the mail server's own queue that a freeze put on hold there
 * (mta_held.c). */
static const char version_6[] =
    "CREATE TABLE mta_held (id INTEGER PRIMARY KEY,"
    " mta_id TEXT NOT NULL UNIQUE, source TEXT NOT NULL,"
    " held INTEGER NOT NULL, fate INTEGER NOT NULL);"
    "CREATE INDEX mta_held_source ON mta_held (source);";

/* Whom sources know, by the source's key (acquaintance.c). */
static const char version_7[] =
    "CREATE TABLE acquaintance (key TEXT NOT NULL UNIQUE,"
    " saved_at INTEGER NOT NULL, state BLOB NOT NULL);";

/* In which of the gate's queues a recipient waits. */
static const char version_8[] =
    "ALTER TABLE rcpt ADD COLUMN lane INTEGER NOT NULL DEFAULT 0;";

/* Whose a recipient that was let go is (db_owner), so that senders take turns
 * (turns.c) and a freeze finds what it stops, however much is held. */
static const char version_9[] =
    "ALTER TABLE rcpt ADD COLUMN owner INTEGER;"
    "UPDATE rcpt SET owner = " DB_OWNER_OF(
	"ticket") " WHERE state <> 1;"
		  "CREATE INDEX rcpt_owner ON rcpt (owner, state, next_try)"
		  " WHERE state <> 1;";

/* Alerts that wait to be told, are on their way, or whose trouble goes on
 * (alert.c). */
static const char version_10[] =
    "CREATE TABLE alert (id INTEGER PRIMARY KEY,"
    " channel TEXT NOT NULL, state TEXT NOT NULL);";

/* What version 3 had is among the acquaintances from here on. It is taken over
 * after the start, since the gate alone can read it (spool_take_over_inbound);
 * an older weir would go on where it lay. */
static const char version_11[] = "ALTER TABLE inbound RENAME TO inbound_left;";

static const char *const steps[] = {version_1, version_2, version_3, version_4,
    version_5, version_6, version_7, version_8, version_9, version_10,
    version_11};

const struct schema schema_current = {steps, (int)ARRAY_LEN(steps)};

static int64_t
ask(struct db *db, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int64_t v = 0;
	int rc = sqlite3_prepare_v2(db->h, sql, -1, &st, NULL);

	if (rc == SQLITE_OK) {
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW)
			v = sqlite3_column_int64(st, 0);
	}
	sqlite3_finalize(st);
	if (rc != SQLITE_ROW && db->rc == SQLITE_OK)
		db->rc = rc;
	return v;
}

/* A database may be empty and yet have a header: a crash at its creation. */
enum schema_verdict
schema_look(struct db *db, const struct schema *schema, int *version)
{
	int64_t app = ask(db, "PRAGMA application_id");
	int64_t user = ask(db, "PRAGMA user_version");
	int64_t tables = ask(db, "SELECT count(*) FROM sqlite_schema");

	*version = (int)user;
	if (db->rc != SQLITE_OK)
		return SCHEMA_DAMAGED;
	if (app == 0 && user == 0 && tables == 0)
		return SCHEMA_EMPTY;
	if (app != SCHEMA_APPLICATION_ID || user < 0)
		return SCHEMA_FOREIGN;
	if (user > schema->count)
		return SCHEMA_NEWER;
	return SCHEMA_OK;
}

int
schema_migrate(struct db *db, const struct schema *schema, int version)
{
	char stamp[96];
	int rc = SQLITE_OK;

	if (version == schema->count)
		return rc;
	snprintf(stamp, sizeof(stamp),
	    "PRAGMA application_id = %d; PRAGMA user_version = %d",
	    SCHEMA_APPLICATION_ID, schema->count);
	rc = db_exec(db, "BEGIN IMMEDIATE");
	for (int i = version; i < schema->count && rc == SQLITE_OK; i++)
		rc = db_exec(db, schema->steps[i]);
	if (rc == SQLITE_OK)
		rc = db_exec(db, stamp);
	if (rc == SQLITE_OK)
		rc = db_exec(db, "COMMIT");
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(db->h))
		sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}
