/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The upgrade from a spool of version 10, where what came in was learnt into a
 * table of its own: each row becomes acquaintances or is told, and a crash in
 * the middle loses none.
 */
#include "inbound_rig.h"
#include "spool_kit.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "gate/inbound_row.h"

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAGIC UINT32_C(0x01534957)
#define CHECKSUM_SEED UINT64_C(0x7765697277726f74)
#define BACK                                          \
	"ALTER TABLE inbound_left RENAME TO inbound;" \
	"PRAGMA user_version = 10;"

/* ---- rows as they were ---- */

struct row {
	unsigned char p[65536];
	size_t n;
};

/* The i-th wrote i hours before it was saved; the oldest stands first. */
static void
make_row(struct row *row, const uint64_t *who, uint32_t n, uint64_t rate_in)
{
	unsigned char *p = row->p;

	bytes_put(&p, MAGIC, 4);
	bytes_put(&p, n, 2);
	bytes_put(&p, rate_in, 8);
	for (uint32_t i = n; i > 0; i--) {
		bytes_put(&p, who[i - 1], 8);
		bytes_put(&p, (i - 1) * (uint64_t)HOUR, 8);
	}
	row->n = (size_t)(p - row->p);
	bytes_put(&p, hash_bytes(row->p, row->n, CHECKSUM_SEED), 8);
	row->n += 8;
}

static const char *
read_row(const struct row *row, size_t n, struct acquaintance_set *set)
{
	unsigned char *copy = xmalloc(n + 1); /* ASan sees its end */
	uint64_t rate_in;
	uint32_t count;
	const char *wrong;

	memcpy(copy, row->p, n);
	wrong = inbound_row_read(
	    copy, n, RIG_WALL, RIG_WALL, set, &rate_in, &count);
	free(copy);
	return wrong;
}

static void
test_row(void **state)
{
	static const uint64_t who[] = {
	    UINT64_C(1) << 40, UINT64_C(2) << 40, UINT64_C(3) << 40};
	static const uint64_t twice[] = {7, 7};
	struct acquaintance_set set = {0};
	struct acquaintance found;
	struct row row;

	(void)state;
	make_row(&row, who, 3, 5);
	assert_null(read_row(&row, row.n, &set));
	assert_int_equal(set.n, 3);
	assert_true(acquaintance_set_find(&set, who[2], &found));
	assert_int_equal(found.why, ACQUAINTANCE_WROTE_US);
	assert_int_equal(found.day, acquaintance_day(RIG_WALL - 2 * HOUR));
	acquaintance_set_clear(&set);
	for (size_t n = 0; n < row.n; n++)
		assert_non_null(read_row(&row, n, &set));
	for (size_t i = 0; i < row.n; i++) {
		row.p[i] ^= 1;
		assert_non_null(read_row(&row, row.n, &set));
		row.p[i] ^= 1;
	}
	make_row(&row, twice, 2, 0);
	assert_string_equal(read_row(&row, row.n, &set), "duplicate address");
	make_row(&row, who, 0, 0);
	assert_non_null(read_row(&row, row.n, &set));
	make_row(&row, who, 3, UINT64_MAX);
	assert_non_null(read_row(&row, row.n, &set));
	assert_int_equal(set.n, 0);
}

/* ---- the gate ---- */

static void
sql(struct rig *r, const char *text, const void *blob, size_t n)
{
	char path[128];
	sqlite3_stmt *st;
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/spool.db", r->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (blob == NULL) {
		assert_int_equal(
		    sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	} else {
		assert_int_equal(
		    sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
		sqlite3_bind_blob(st, 1, blob, (int)n, SQLITE_STATIC);
		sqlite3_bind_int64(st, 2, r->wall);
		assert_int_equal(sqlite3_step(st), SQLITE_DONE);
		sqlite3_finalize(st);
	}
	sqlite3_close(db);
}

static void
store(struct rig *r, const char *key, const void *p, size_t n)
{
	char text[900];

	snprintf(text, sizeof(text),
	    "INSERT INTO inbound (key, state, saved_at) VALUES ('%s', ?1, ?2)",
	    key);
	sql(r, text, p, n);
}

static uint64_t
destination(struct rig *r, const char *address)
{
	return hash_str(str_from(address), spool_seed(r->spool));
}

static void
test_upgrade(void **state)
{
	struct gate_sender_info info;
	char long_name[600];
	struct row row;
	struct rig r;

	(void)state;
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	open_as(&r, LEARN, LOCALS_ADDRESS);
	/* Known already, by the new way: that stays. */
	mail_in(&r, "carl@example.net", ALICE);
	rig_pump(&r);
	gate_save(r.gate, r.now, r.wall);
	rig_pump(&r);
	sql(&r, BACK, NULL, 0);
	make_row(&row,
	    (uint64_t[]){
		destination(&r, BOB), destination(&r, "dora@example.net")},
	    2, 2 * (uint64_t)DAY);
	store(&r, ALICE, row.p, row.n);
	store(&r, "eve@example.org", "garbage", 7);
	store(&r, "mallory@example.org", "", 0);
	store(&r, long_name, row.p, row.n);
	store(&r, "", row.p, row.n);
	sql(&r,
	    "INSERT INTO acquaintance (key, state, saved_at) VALUES "
	    "('frank@example.org', x'00', 1)",
	    NULL, 0);
	store(&r, "frank@example.org", row.p, row.n);
	sql(&r,
	    "INSERT INTO inbound (key, state, saved_at) VALUES "
	    "('text@example.org', 'text', 'never')",
	    NULL, 0);
	rig_pass_time(&r, DAY);
	rig_restart(&r);
	assert_int_equal(learnt(&r, ALICE), 3);
	assert_int_equal(learnt(&r, "frank@example.org"), 2);
	assert_int_equal(learnt(&r, "eve@example.org"), 0);
	assert_int_equal(learnt(&r, "mallory@example.org"), 0);
	assert_int_equal(rig_send(&r, ALICE, BOB), THROTTLE_PASS);
	assert_string_equal(
	    r.why, "familiar recipient (it wrote to the sender)");
	assert_int_equal(
	    rig_send(&r, ALICE, "dora@example.net"), THROTTLE_PASS);
	assert_int_equal(
	    rig_send(&r, ALICE, "carl@example.net"), THROTTLE_PASS);
	/* Nor is the rate whole: a day of its two has passed, and the rate is
	 * three a day. */
	mail_in(&r, "one@example.net", ALICE);
	mail_in(&r, "two@example.net", ALICE);
	assert_true(recall_info(&r, ALICE, &info));
	assert_int_equal(info.known.wrote, 3);
	/* Once, and no more. */
	rig_restart(&r);
	assert_int_equal(learnt(&r, "frank@example.org"), 2);
	close_rig(&r);
}

/* ---- a crash ---- */

#define ROWS 500

static void
fill_old(struct kit *k)
{
	char text[256];

	kit_sql(k, BACK);
	snprintf(text, sizeof(text),
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
	    " WHERE i < %d) INSERT INTO inbound (key, state, saved_at)"
	    " SELECT 'u' || i, CAST('s' || i AS BLOB), 1 FROM n",
	    ROWS);
	kit_sql(k, text);
}

struct seen {
	unsigned n, die_at;
	size_t known;
};

/* Rows that wait for nobody: what is written is what was read. */
static size_t
on_row(void *arg, const struct spool_source *row, struct str known, void *out)
{
	struct seen *seen = arg;

	if (++seen->n == seen->die_at)
		_exit(9);
	seen->known += known.n;
	memcpy(out, row->state, row->state_size);
	return row->state_size;
}

static void
die_within(struct kit *k, unsigned at)
{
	struct seen seen = {.die_at = at};
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		kit_open(k);
		(void)!spool_take_over_inbound(
		    k->spool, KIT_WALL, on_row, &seen);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

static int64_t
missing(struct kit *k)
{
	return kit_ask(k,
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
	    " WHERE i < 500) SELECT count(*) FROM n WHERE NOT EXISTS"
	    " (SELECT 1 FROM acquaintance WHERE key = 'u' || i"
	    " AND CAST(state AS TEXT) = 's' || i) AND NOT EXISTS"
	    " (SELECT 1 FROM inbound_left WHERE key = 'u' || i"
	    " AND CAST(state AS TEXT) = 's' || i)");
}

static void
test_crash(void **state)
{
	struct seen seen = {0};
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_close(&k);
	fill_old(&k);
	/* In the first commit, at a later one's first row, and in its midst. */
	die_within(&k, 100);
	assert_int_equal(missing(&k), 0);
	assert_int_equal(
	    kit_ask(&k, "SELECT count(*) FROM inbound_left"), ROWS);
	die_within(&k, 201);
	assert_int_equal(missing(&k), 0);
	assert_int_equal(
	    kit_ask(&k, "SELECT count(*) FROM inbound_left"), ROWS - 200);
	die_within(&k, 250);
	assert_int_equal(missing(&k), 0);
	kit_open(&k);
	assert_int_equal(
	    spool_take_over_inbound(k.spool, KIT_WALL, on_row, &seen), 0);
	assert_int_equal(seen.known, 0); /* none was taken over twice */
	kit_close(&k);
	assert_int_equal(missing(&k), 0);
	assert_int_equal(kit_ask(&k, "SELECT count(*) FROM inbound_left"), 0);
	assert_int_equal(
	    kit_ask(&k, "SELECT count(*) FROM acquaintance"), ROWS);
	kit_clear(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_row),
	    cmocka_unit_test(test_upgrade),
	    cmocka_unit_test(test_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
