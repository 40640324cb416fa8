/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directory, lock and database at the start. Each failure is one line that
 * names what and where and what to do; nothing is ever overwritten.
 *
 * The lock is flock's, so a crash frees it. The lock file has a byte in it
 * while a daemon runs: one that finds it there follows a crash and has SQLite
 * look the database over, unless that is so large that mail would wait long
 * (WAL recovers by itself; the look is for a damaged disk).
 */
#include "spool/recover.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define CHECK_BYTES_MAX (64 << 20)

PRINTF_LIKE(3, 4)
static bool
fail(struct recover_failure *f, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->text, f->cap, fmt, ap);
	va_end(ap);
	f->status = status;
	return false;
}

/* Rights and paths are configuration, the rest is the machine's trouble. */
static int
status_of(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
	case EROFS:
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case ELOOP:
		return EX_CONFIG;
	default:
		return EX_IOERR;
	}
}

static bool
make_dir(const char *path, const char *what, struct recover_failure *failure)
{
	struct stat st;
	bool fresh = stat(path, &st) != 0;
	char *up;
	int err = file_make_dir(path, 0700);

	if (err == ENOENT)
		return fail(failure, EX_CONFIG,
		    "%s %s: the directory above it does not exist; create it "
		    "or change the option spool",
		    what, path);
	if (err != 0)
		return fail(failure, status_of(err), "%s %s cannot be made: %s",
		    what, path, strerror(err));
	if (!fresh)
		return true;
	up = xasprintf("%s/..", path);
	err = file_sync_dir(up);
	free(up);
	/* EACCES: a directory above that we may enter but not read. */
	if (err != 0 && err != EACCES)
		return fail(failure, EX_IOERR, "%s %s cannot be synced: %s",
		    what, path, strerror(err));
	return true;
}

static bool
take_lock(struct spool *s, bool *unclean, struct recover_failure *failure)
{
	const char *dir = s->settings.dir;
	struct stat st;

	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			return fail(failure, EX_TEMPFAIL,
			    "spool %s is in use by another weir-maild; stop it "
			    "or give this one a spool of its own",
			    dir);
		return fail(failure, EX_IOERR, "spool %s cannot be locked: %s",
		    dir, strerror(errno));
	}
	*unclean = fstat(s->lock_fd, &st) == 0 && st.st_size > 0;
	if (!*unclean &&
	    (pwrite(s->lock_fd, "1", 1, 0) != 1 || fsync(s->lock_fd) != 0))
		return fail(failure, status_of(errno),
		    "spool %s cannot be written: %s", dir, strerror(errno));
	return true;
}

bool
recover_lock(struct spool *s, bool *unclean, struct recover_failure *failure)
{
	char *path;
	int err;

	if (!make_dir(s->settings.dir, "spool", failure))
		return false;
	path = xasprintf("%s/" CORE_LOCK, s->settings.dir);
	s->lock_fd =
	    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	err = errno;
	free(path);
	if (s->lock_fd < 0)
		return fail(failure, status_of(err),
		    "spool %s is not writable for this user: %s; give it the "
		    "directory (chown) or change the option spool",
		    s->settings.dir, strerror(err));
	return take_lock(s, unclean, failure) &&
	       make_dir(s->bodies, "spool directory", failure);
}

void
recover_unlock(struct spool *s, bool clean)
{
	if (s->lock_fd < 0)
		return;
	/* Not truncated: the next start takes more care than it needs. */
	if (clean && ftruncate(s->lock_fd, 0) != 0)
		log_write(s->log, LOG_EV_SPOOL_LOCK_TRUNCATE,
		    KV(error, strerror(errno)));
	close(s->lock_fd);
}

/* ---- database ---- */

static bool
fail_rc(struct spool *s, int rc, const char *text, const char *doing,
    struct recover_failure *failure)
{
	switch (rc & 0xff) {
	case SQLITE_NOTADB:
		return fail(failure, EX_IOERR,
		    "%s is not a database, or damaged beyond recognition; "
		    "move it away or restore it from a backup",
		    s->database);
	case SQLITE_CORRUPT:
		return fail(failure, EX_IOERR,
		    "%s is damaged (%.200s); restore it from a backup, or save "
		    "what is left with sqlite3 and its command .recover",
		    s->database, text);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return fail(failure, EX_TEMPFAIL,
		    "%s is locked by another program; end that program",
		    s->database);
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return fail(failure, EX_CONFIG,
		    "%s cannot be opened or written by this user (%.200s); set "
		    "the owner of the spool's files",
		    s->database, text);
	default:
		return fail(failure, EX_IOERR,
		    "%s: %s failed: %.200s (code %d)", s->database, doing, text,
		    rc);
	}
}

bool
recover_fail(struct spool *s, struct db *db, const char *doing,
    struct recover_failure *failure)
{
	return fail_rc(s, db->rc, sqlite3_errmsg(db->h), doing, failure);
}

/* Looks before anything is written, and leaves the log of a database that is
 * not ours alone. */
static bool
look(struct spool *s, const struct schema *schema, struct db *db, int *version,
    struct recover_failure *failure)
{
	enum schema_verdict verdict;

	sqlite3_db_config(db->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	verdict = schema_look(db, schema, version);
	sqlite3_db_config(db->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
	    verdict == SCHEMA_FOREIGN || verdict == SCHEMA_NEWER, NULL);
	switch (verdict) {
	case SCHEMA_OK:
	case SCHEMA_EMPTY:
		return true;
	case SCHEMA_DAMAGED:
		return recover_fail(s, db, "reading the schema", failure);
	case SCHEMA_FOREIGN:
		return fail(failure, EX_CONFIG,
		    "%s belongs to another program; change the option spool "
		    "or move the file away",
		    s->database);
	case SCHEMA_NEWER:
		return fail(failure, EX_CONFIG,
		    "%s was written by a newer weir (schema %d, this one "
		    "knows %d); install that version again",
		    s->database, *version, schema->count);
	}
	panic("schema verdict %d", (int)verdict);
}

static bool
check_database(struct spool *s, struct db *db, struct recover_failure *failure)
{
	struct stat st;
	sqlite3_stmt *stmt = NULL;
	char found[128];
	bool ok = true;

	if (stat(s->database, &st) != 0 || st.st_size > CHECK_BYTES_MAX)
		return true;
	log_write(s->log, LOG_EV_SPOOL_CHECKING, KV(file, s->database));
	if (sqlite3_prepare_v2(
		db->h, "PRAGMA quick_check(1)", -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(stmt, 0);

		if (text != NULL && strcmp(text, "ok") != 0) {
			str_escape(str_from(text), found, sizeof(found));
			ok = fail_rc(s, SQLITE_CORRUPT, found, "", failure);
		}
	} else {
		db->rc = sqlite3_errcode(db->h);
		ok = recover_fail(s, db, "checking", failure);
	}
	sqlite3_finalize(stmt);
	return ok;
}

/* SQLite would make it readable for all; its other files take over the mode.
 * A failure shows when it is opened. */
static void
make_private(struct spool *s)
{
	int fd = open(s->database, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
}

bool
recover_open(struct spool *s, const struct schema *schema, bool unclean,
    struct db *db, struct recover_failure *failure)
{
	char err[256];
	int version, rc;

	make_private(s);
	rc = db_open(db, s->database, DB_WRITE, s->log, err, sizeof(err));
	if (rc != SQLITE_OK)
		return fail_rc(s, rc, err, "opening", failure);
	if (!look(s, schema, db, &version, failure))
		return false;
	if (unclean && version > 0 && !check_database(s, db, failure))
		return false;
	/* Can only be said before anything else is written. */
	if (version == 0)
		db_exec(db, "PRAGMA auto_vacuum = INCREMENTAL");
	if (db->rc != SQLITE_OK ||
	    db_tune(db, s->settings.scratch) != SQLITE_OK)
		return recover_fail(s, db, "setting it up", failure);
	if (schema_migrate(db, schema, version) != SQLITE_OK)
		return recover_fail(s, db, "migrating", failure);
	return true;
}
