/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting: what a crash left, what is wrong with the directory, older and
 * newer schemas, rows that nobody of ours wrote.
 */
#include "config.h"

#include "spool_kit.h"

#include "os/file.h"
#include "spool/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE (300 << 10)

static const struct spool_select all = {.all = true};

/* ---- what cannot be opened ---- */

static void
check_refused(struct kit *k, int status, const char *words)
{
	k->spool =
	    spool_open(&k->settings, NULL, k->err, sizeof(k->err), &k->status);
	assert_null(k->spool);
	assert_int_equal(status, k->status);
	if (strstr(k->err, words) == NULL ||
	    strstr(k->err, k->settings.dir) == NULL ||
	    strchr(k->err, '\n') != NULL)
		fail_msg("%s", k->err);
}

static void
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(0, file_write_all(fd, text, strlen(text)));
	close(fd);
}

static void
test_directory(void **state)
{
	struct kit k;
	char *below;
	struct stat st;

	(void)state;
	kit_init(&k);
	below = xasprintf("%s/a/b", k.dir);
	k.settings.dir = below;
	check_refused(&k, 78, "does not exist");
	below[strlen(below) - 2] = '\0';
	kit_open(&k);
	assert_int_equal(0, stat(below, &st));
	assert_int_equal(0700, st.st_mode & 0777);
	kit_close(&k);
	free(below);
	/* A file in its place. */
	below = xasprintf("%s/file", k.dir);
	k.settings.dir = below;
	write_file(below, "");
	check_refused(&k, 78, "cannot be made");
	k.settings.dir = k.dir;
	free(below);
	kit_clear(&k);
}

static void
test_locked(void **state)
{
	struct kit k, other;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	other = k;
	check_refused(&other, 75, "in use");
	kit_clear(&k);
}

/* As another user: root may write everywhere. */
static void
test_not_writable(void **state)
{
	struct kit k;
	pid_t pid;
	int status;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_close(&k);
	assert_int_equal(0, chmod(k.dir, 0555));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0 && setuid(65534) != 0)
			_exit(2);
		k.spool = spool_open(
		    &k.settings, NULL, k.err, sizeof(k.err), &k.status);
		_exit(k.spool == NULL && k.status == 78 &&
			      strstr(k.err, "not writable") != NULL
			  ? 0
			  : 1);
	}
	assert_int_equal(pid, waitpid(pid, &status, 0));
	assert_int_equal(0, status);
	chmod(k.dir, 0700);
	kit_clear(&k);
}

static void
read_database(struct kit *k, struct buf *out)
{
	char *path = xasprintf("%s/spool.db", k->dir);

	buf_init(out, 64 << 20);
	assert_int_equal(0, file_read(path, 64 << 20, out));
	free(path);
}

static void
check_unchanged(struct kit *k, struct buf *before)
{
	struct buf after;

	read_database(k, &after);
	assert_true(str_eq(buf_str(before), buf_str(&after)));
	buf_clear(before);
	buf_clear(&after);
}

static void
test_newer_and_foreign(void **state)
{
	struct kit k;
	struct buf before;
	char *sql;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_add(&k, 1, SPOOL_HELD, 10, NULL);
	kit_close(&k);
	kit_sql(&k, "PRAGMA user_version = 99");
	read_database(&k, &before);
	check_refused(&k, 78, "newer weir");
	check_unchanged(&k, &before);
	kit_sql(&k, "PRAGMA user_version = 2; PRAGMA application_id = 7");
	read_database(&k, &before);
	check_refused(&k, 78, "another program");
	check_unchanged(&k, &before);
	sql = xasprintf("PRAGMA application_id = 0x77656972;"
			" PRAGMA user_version = %d",
	    schema_current.count);
	kit_sql(&k, sql);
	free(sql);
	kit_open(&k);
	assert_int_equal(1, kit_list_all(&k).n);
	kit_clear(&k);
}

static void
test_corrupt(void **state)
{
	struct kit k;
	struct buf before;
	char *path;
	int fd;

	(void)state;
	kit_init(&k);
	path = xasprintf("%s/spool.db", k.dir);
	write_file(path, "this is not a database, but it has some length\n"
			 "0123456789012345678901234567890123456789\n"
			 "0123456789012345678901234567890123456789\n");
	read_database(&k, &before);
	check_refused(&k, 74, "not a database");
	check_unchanged(&k, &before);
	unlink(path);
	kit_open(&k);
	for (int i = 0; i < 20; i++)
		kit_add(&k, 1, SPOOL_HELD, 3000, NULL);
	kit_close(&k);
	/* The schema's first page, beyond the header. */
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	for (int page = 0; page < 8; page++)
		assert_int_equal(64, pwrite(fd,
					 "garbagegarbagegarbagegarbagegarbage"
					 "garbagegarbagegarbagegarbagegarbage",
					 64, page * 4096 + 100));
	close(fd);
	read_database(&k, &before);
	check_refused(&k, 74, "damaged");
	check_unchanged(&k, &before);
	free(path);
	kit_clear(&k);
}

/* After a crash a damaged database is found by looking it over. */
static void
test_corrupt_after_crash(void **state)
{
	struct kit k;
	char *path, *lock;
	int fd;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	for (int i = 0; i < 20; i++)
		kit_add(&k, 1, SPOOL_HELD, 3000, NULL);
	kit_close(&k);
	path = xasprintf("%s/spool.db", k.dir);
	lock = xasprintf("%s/lock", k.dir);
	write_file(lock, "1");
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(
	    8, pwrite(fd, "\377\377\377\377\377\377\377\377", 8, 15 * 4096));
	close(fd);
	check_refused(&k, 74, "damaged");
	free(path);
	free(lock);
	kit_clear(&k);
}

/* ---- migration ---- */

static const char *const two_steps[] = {
    "CREATE TABLE thing (a TEXT)",
    "ALTER TABLE thing ADD COLUMN b INTEGER; UPDATE thing SET b = 7",
    "UPDATE thing SET b = 8; UPDATE nothing SET b = 9",
};

static int64_t
number(struct db *db, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int64_t v;

	assert_int_equal(
	    SQLITE_OK, sqlite3_prepare_v2(db->h, sql, -1, &st, NULL));
	v = db_number(db, st, -1);
	sqlite3_finalize(st);
	return v;
}

static void
test_migration(void **state)
{
	struct schema one = {two_steps, 1}, two = {two_steps, 2};
	struct schema broken = {two_steps, 3};
	struct db db;
	char err[128];
	int version;

	(void)state;
	assert_int_equal(SQLITE_OK,
	    db_open(&db, ":memory:", DB_WRITE, NULL, err, sizeof(err)));
	assert_int_equal(SCHEMA_EMPTY, schema_look(&db, &one, &version));
	assert_int_equal(SQLITE_OK, schema_migrate(&db, &one, version));
	assert_int_equal(
	    SQLITE_OK, db_exec(&db, "INSERT INTO thing VALUES ('x')"));
	assert_int_equal(SCHEMA_OK, schema_look(&db, &two, &version));
	assert_int_equal(1, version);
	assert_int_equal(SQLITE_OK, schema_migrate(&db, &two, version));
	assert_int_equal(7, number(&db, "SELECT b FROM thing"));
	assert_int_equal(SCHEMA_NEWER, schema_look(&db, &one, &version));
	/* A step that fails leaves the version before it. */
	assert_int_equal(SCHEMA_OK, schema_look(&db, &broken, &version));
	assert_int_not_equal(SQLITE_OK, schema_migrate(&db, &broken, version));
	db_clear_error(&db);
	assert_int_equal(7, number(&db, "SELECT b FROM thing"));
	assert_int_equal(SCHEMA_OK, schema_look(&db, &two, &version));
	assert_int_equal(2, version);
	db_close(&db);
}

/* ---- what a crash left ---- */

static bool
exists(struct kit *k, uint64_t id, const char *suffix)
{
	char text[SPOOL_ID_TEXT];
	char *path = xasprintf(
	    "%s/bodies/%s%s", k->dir, spool_id_format(id, text), suffix);
	bool is = access(path, F_OK) == 0;

	free(path);
	return is;
}

static void
test_pending_and_sending(void **state)
{
	struct kit k, copy;
	struct kit_message km;
	struct kit_claim c;
	struct kit_list l;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_message(&k, &km, 2, SPOOL_HELD);
	km.rcpts[1].state = SPOOL_RELEASED;
	km.m.pending = true;
	assert_int_equal(0, kit_put(&k, &km.m, 10));
	kit_add(&k, 1, SPOOL_RELEASED, 10, NULL);
	kit_claim(&k, 9, k.wall, &c);
	assert_int_equal(1, c.n);
	kit_claim_clear(&c);
	copy = k;
	snprintf(copy.dir, sizeof(copy.dir), "%.50s-copy", k.dir);
	copy.settings.dir = copy.dir;
	kit_copy_dir(k.dir, copy.dir);
	kit_open(&copy);
	l = kit_list_all(&copy);
	assert_int_equal(2, l.n);
	assert_false(l.v[0].pending);
	assert_int_equal(SPOOL_HELD, l.v[0].state);
	assert_int_equal(SPOOL_RELEASED, l.v[1].state);
	kit_claim(&copy, 9, k.wall, &c);
	assert_int_equal(2, c.n);
	kit_claim_clear(&c);
	kit_clear(&copy);
	kit_clear(&k);
}

/* For free(). */
static char *
body_path(struct kit *k, uint64_t id, const char *suffix)
{
	char text[SPOOL_ID_TEXT];

	return xasprintf(
	    "%s/bodies/%s%s", k->dir, spool_id_format(id, text), suffix);
}

static void
write_body_file(struct kit *k, uint64_t id, const char *suffix)
{
	char *path = body_path(k, id, suffix);

	write_file(path, "x");
	free(path);
}

static void
test_orphan_files(void **state)
{
	struct kit k;
	uint64_t id, other;
	char *readme;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	id = kit_add(&k, 1, SPOOL_HELD, LARGE, NULL);
	other = kit_add(&k, 1, SPOOL_HELD, 10, NULL);
	kit_close(&k);
	write_body_file(&k, id, ".tmp");
	write_body_file(&k, other, "");
	write_body_file(&k, other + 4096, "");
	readme = xasprintf("%s/bodies/README", k.dir);
	write_file(readme, "not ours");
	kit_open(&k);
	assert_true(exists(&k, id, ""));
	assert_false(exists(&k, id, ".tmp"));
	assert_false(exists(&k, other, ""));
	assert_false(exists(&k, other + 4096, ""));
	assert_int_equal(0, access(readme, F_OK));
	free(readme);
	kit_clear(&k);
}

/* Without its file a message is neither dropped nor sent. */
static void
check_kept_back(struct kit *k, uint64_t whole)
{
	struct kit_list l = kit_list_all(k);
	struct kit_claim c;

	assert_int_equal(2, l.n);
	assert_true(strstr(l.v[1].last_error, "missing") != NULL);
	assert_int_equal(1, kit_release(k, &all).n);
	kit_claim(k, 9, INT64_MAX, &c);
	assert_int_equal(1, c.n);
	assert_int_equal(whole, c.jobs[0]->m.id);
	assert_null(c.jobs[0]->body.p);
	kit_claim_clear(&c);
	assert_int_equal(0, kit_finish(k, whole, SPOOL_DELIVERED, 0, NULL));
}

static void
test_missing_file(void **state)
{
	struct kit k;
	struct kit_claim c;
	uint64_t whole, lost;
	char *path, *aside;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	whole = kit_add(&k, 1, SPOOL_HELD, LARGE, NULL);
	lost = kit_add(&k, 1, SPOOL_RELEASED, LARGE, NULL);
	kit_close(&k);
	path = body_path(&k, lost, "");
	aside = xasprintf("%s/aside", k.dir);
	assert_int_equal(0, rename(path, aside));
	kit_open(&k);
	check_kept_back(&k, whole);
	kit_close(&k);
	assert_false(exists(&k, whole, ""));
	/* It is back. */
	assert_int_equal(0, rename(aside, path));
	kit_open(&k);
	kit_claim(&k, 9, INT64_MAX, &c);
	assert_int_equal(1, c.n);
	kit_claim_clear(&c);
	kit_close(&k);
	/* Gone for good: it can be discarded. */
	assert_int_equal(0, unlink(path));
	kit_open(&k);
	assert_int_equal(1, kit_discard(&k, &all).n);
	assert_int_equal(0, kit_list_all(&k).n);
	free(path);
	free(aside);
	kit_clear(&k);
}

/* ---- hostile rows ---- */

static void
on_no_source(void *arg, const struct spool_source *source)
{
	(void)arg;
	fail_msg("%s", source->key);
}

static const char hostile[] =
    "CREATE TEMP TABLE t AS SELECT id, row_number() OVER"
    " (ORDER BY id) n FROM message;"
    "UPDATE message SET source = x'00ff' WHERE id ="
    " (SELECT id FROM t WHERE n = 1);"
    "UPDATE message SET size = -1 WHERE id ="
    " (SELECT id FROM t WHERE n = 2);"
    "UPDATE message SET pending = 'x' WHERE id ="
    " (SELECT id FROM t WHERE n = 3);"
    "UPDATE message SET body = 'short' WHERE id ="
    " (SELECT id FROM t WHERE n = 4);"
    "UPDATE rcpt SET address = zeroblob(10000000) WHERE ticket ="
    " (SELECT id FROM t WHERE n = 5);"
    "UPDATE rcpt SET address = CAST(x'410042' AS TEXT) WHERE ticket ="
    " (SELECT id FROM t WHERE n = 6);"
    "UPDATE message SET sender = CAST(zeroblob(9000000) AS TEXT)"
    " WHERE id = (SELECT id FROM t WHERE n = 7);"
    "DELETE FROM message WHERE id = (SELECT id FROM t WHERE n = 8);"
    "INSERT INTO message SELECT id + 5, pending, whole, in_file,"
    " body_type, ret, utf8, size, queued_at, source, policy, sender,"
    " client, helo, envid, subject, body FROM message"
    " WHERE id = (SELECT id FROM t WHERE n = 9);"
    "INSERT INTO rcpt (ticket, state, attempts, next_try, destination,"
    " notify, address, orcpt, last_error, owner, lane) SELECT -5, state, "
    "attempts, "
    "next_try,"
    " destination, notify, address, orcpt, last_error, 'x', 0 FROM rcpt"
    " WHERE ticket = (SELECT id FROM t WHERE n = 9);"
    "UPDATE rcpt SET destination = 1.5 WHERE ticket = -5;"
    "INSERT INTO rcpt (ticket, state, attempts, next_try, destination,"
    " notify, address, orcpt, last_error, lane) SELECT 9223372036854775807, "
    "77, "
    "attempts,"
    " next_try, destination, notify, address, orcpt, last_error, 'x'"
    " FROM rcpt"
    " WHERE ticket = (SELECT id FROM t WHERE n = 9);"
    "INSERT INTO source VALUES (x'01', 'a', 'b', 'c', 'd', 'e',"
    " x'ff', 'f');"
    "INSERT INTO audit VALUES (1, 'x', x'00', x'01', x'02', x'03');"
    "INSERT OR REPLACE INTO meta VALUES ('id_mark', -5)";

static void
test_hostile_rows(void **state)
{
	struct kit k;
	struct kit_claim c;
	struct kit_list l;
	uint64_t good;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	for (int i = 0; i < 8; i++)
		kit_add(&k, 1, SPOOL_RELEASED, 10, NULL);
	good = kit_add(&k, 1, SPOOL_RELEASED, 10, NULL);
	kit_close(&k);
	kit_sql(&k, hostile);
	kit_open(&k);
	l = kit_list_all(&k);
	assert_int_equal(0, l.error);
	assert_true(l.n >= 1);
	kit_claim(&k, 64, INT64_MAX, &c);
	assert_int_equal(0, c.error);
	assert_int_equal(1, c.n);
	assert_int_equal(good, c.jobs[0]->m.id);
	kit_claim_clear(&c);
	assert_int_equal(0, kit_finish(&k, good, SPOOL_DELIVERED, 0, NULL));
	/* What was put aside is not looked at again. */
	kit_claim(&k, 64, INT64_MAX, &c);
	assert_int_equal(0, c.n);
	assert_int_equal(0, kit_release(&k, &all).error);
	assert_int_equal(0, kit_discard(&k, &all).error);
	assert_int_equal(0, spool_load(k.spool, on_no_source, NULL));
	(void)kit_held(&k, NULL);
	kit_add(&k, 1, SPOOL_HELD, 10, NULL);
	kit_clear(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_directory),
	    cmocka_unit_test(test_locked),
	    cmocka_unit_test(test_not_writable),
	    cmocka_unit_test(test_newer_and_foreign),
	    cmocka_unit_test(test_corrupt),
	    cmocka_unit_test(test_corrupt_after_crash),
	    cmocka_unit_test(test_migration),
	    cmocka_unit_test(test_pending_and_sending),
	    cmocka_unit_test(test_orphan_files),
	    cmocka_unit_test(test_missing_file),
	    cmocka_unit_test(test_hostile_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
