/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each write, sync, truncate, open and delete of SQLite, and each write, fsync
 * and rename of body files, fails in turn. After each: what was completed with
 * 0 is there, what failed is not, in the running spool, after a crash (a copy
 * of the directory), and after a restart; and the spool goes on working.
 */
#include "spool_kit.h"

#include "fault_vfs.h"

#include "os/clock.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LARGE (70 << 10)
#define MESSAGES_MAX 32

struct model {
	struct kit k;
	uint64_t present[MESSAGES_MAX];
	size_t sizes[MESSAGES_MAX];
	bool shaky[MESSAGES_MAX]; /* its removal failed: may yet happen */
	size_t n;
	unsigned errors;
};

static void
expect(struct model *m, uint64_t id, size_t size)
{
	assert_true(m->n < MESSAGES_MAX);
	m->present[m->n] = id;
	m->shaky[m->n] = false;
	m->sizes[m->n++] = size;
}

/* A removal that failed is only told from one that worked while the spool
 * runs. */
static void
removed(struct model *m, uint64_t id, int error)
{
	m->errors += error != 0;
	for (size_t i = 0; i < m->n; i++) {
		if (m->present[i] != id)
			continue;
		m->shaky[i] |= error != 0;
		if (error != 0)
			return;
		m->n--;
		m->shaky[i] = m->shaky[m->n];
		m->present[i] = m->present[m->n];
		m->sizes[i] = m->sizes[m->n];
		return;
	}
}

static void
note(struct model *m, int error)
{
	m->errors += error != 0;
}

static uint64_t
add(struct model *m, enum spool_state state, size_t size, bool pending)
{
	struct kit_message km;
	int error;

	kit_message(&m->k, &km, 1, state);
	km.m.pending = pending;
	error = kit_put(&m->k, &km.m, size);
	note(m, error);
	if (error != 0)
		return 0;
	expect(m, km.m.id, size);
	return km.m.id;
}

static void
settle(struct model *m, uint64_t id, bool keep)
{
	int error;

	if (id == 0)
		return;
	error = kit_settle(&m->k, id, keep);
	if (keep)
		note(m, error);
	else
		removed(m, id, error);
}

static void
discard(struct model *m, uint64_t id)
{
	struct spool_select one = {.ids = &id, .id_count = 1};
	struct kit_rows rows;

	if (id == 0)
		return;
	rows = kit_discard(&m->k, &one);
	if (rows.error == 0)
		assert_int_equal(1, rows.n);
	removed(m, id, rows.error);
}

static void
deliver(struct model *m)
{
	struct kit_claim c;

	kit_claim(&m->k, 2, m->k.wall, &c);
	note(m, c.error);
	for (size_t i = 0; i < c.n; i++) {
		bool retry = i == 1;
		int error = kit_finish(&m->k, c.jobs[i]->m.rcpts[0].ticket,
		    retry ? SPOOL_RETRY : SPOOL_DELIVERED, m->k.wall + 1, "x");

		if (retry)
			note(m, error);
		else
			removed(m, c.jobs[i]->m.id, error);
	}
	kit_claim_clear(&c);
}

/* The scenario: some of everything. */
static void
work(struct model *m)
{
	struct spool_select all = {.all = true};
	uint64_t id;

	id = add(m, SPOOL_HELD, 1000, false);
	add(m, SPOOL_HELD, 5000, false);
	add(m, SPOOL_HELD, LARGE, false);
	settle(m, add(m, SPOOL_HELD, 100, true), true);
	settle(m, add(m, SPOOL_HELD, LARGE, true), false);
	spool_save_state(m->k.spool, "alice", "state", 5, m->k.wall);
	discard(m, id);
	note(m, kit_release(&m->k, &all).error);
	deliver(m);
	discard(m, add(m, SPOOL_HELD, LARGE, false));
	add(m, SPOOL_HELD, 0, false);
}

static bool
is_listed(const struct kit_list *l, uint64_t id)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].id == id)
			return true;
	}
	return false;
}

static void
check(struct model *m, struct kit *k, bool lenient)
{
	struct kit_list l = kit_list_all(k);

	assert_int_equal(0, l.error);
	for (size_t i = 0; i < m->n; i++) {
		char *want, *text;
		size_t n;
		int error;

		if (lenient && m->shaky[i])
			continue;
		assert_true(is_listed(&l, m->present[i]));
		want = kit_text(m->present[i], m->sizes[i]);
		text = kit_body(k, m->present[i], &n, &error);
		assert_int_equal(0, error);
		assert_int_equal(m->sizes[i], n);
		assert_memory_equal(want, text, n);
		free(text);
		free(want);
	}
	if (!lenient)
		assert_int_equal(m->n, l.n);
}

/* What a crash would leave: the directory, copied while it is in use. */
static void
copy_crash(struct model *m, struct kit *copy)
{
	*copy = m->k;
	snprintf(copy->dir, sizeof(copy->dir), "%.50s-copy", m->k.dir);
	copy->settings.dir = copy->dir;
	kit_copy_dir(m->k.dir, copy->dir);
}

/* lenient: what failed may be there. */
static void
check_crash(struct model *m, struct kit *copy, bool lenient)
{
	kit_open(copy);
	check(m, copy, lenient);
	kit_clear(copy);
}

static void
begin(struct model *m)
{
	*m = (struct model){.n = 0};
	kit_init(&m->k);
	m->k.settings.dir = m->k.dir;
	m->k.settings.large_body_bytes = 64 << 10;
}

/* The failed ones' last traces go with the next commit. The writer does not
 * try to open a database that is gone for each op. */
static void
come_back(struct model *m)
{
	int64_t until = clock_mono_ms() + 60000;

	while (add(m, SPOOL_HELD, 10, false) == 0)
		assert_true(clock_mono_ms() < until);
}

/* Everything after the fault: it works, and nothing is lost. */
static void
finish(struct model *m)
{
	struct kit copy;

	copy_crash(m, &copy);
	check_crash(m, &copy, false);
	check(m, &m->k, false);
	come_back(m);
	assert_int_not_equal(0, add(m, SPOOL_HELD, LARGE, false));
	check(m, &m->k, false);
	kit_close(&m->k);
	kit_open(&m->k);
	check(m, &m->k, false);
	kit_clear(&m->k);
}

static void
run_database(int code, bool forever)
{
	bool hit = true;
	unsigned errors = 0;
	long n;

	for (n = 1; hit; n++) {
		struct model m;
		struct kit copy;

		begin(&m);
		kit_open(&m.k);
		fault_vfs_set(n, code, forever, false);
		work(&m);
		copy_crash(&m, &copy);
		hit = fault_vfs_end();
		errors += m.errors;
		check_crash(&m, &copy, forever);
		come_back(&m);
		finish(&m);
	}
	/* It did meet faults, and they were told. */
	assert_true(n > 20);
	assert_true(errors > 10);
}

static void
test_full(void **state)
{
	(void)state;
	run_database(SQLITE_FULL, false);
}

static void
test_io_error(void **state)
{
	(void)state;
	run_database(SQLITE_IOERR, false);
}

/* From the n-th on nothing works any more, until the disk is back. */
static void
test_disk_gone(void **state)
{
	(void)state;
	run_database(SQLITE_IOERR, true);
}

/* Faults while it is opened, and while it is closed. */
static void
test_open_close(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct model m;

		begin(&m);
		fault_vfs_set(n, SQLITE_IOERR, false, false);
		m.k.spool = spool_open(
		    &m.k.settings, NULL, m.k.err, sizeof(m.k.err), &m.k.status);
		hit = fault_vfs_end();
		if (m.k.spool == NULL) {
			assert_true(strstr(m.k.err, m.k.dir) != NULL);
			assert_true(m.k.status == 74 || m.k.status == 78);
			kit_open(&m.k);
		}
		work(&m);
		assert_int_equal(0, m.errors);
		fault_vfs_set(n, SQLITE_IOERR, false, false);
		kit_close(&m.k);
		hit |= fault_vfs_end();
		kit_open(&m.k);
		finish(&m);
	}
}

/* The log is brought over while it runs, and the database file fails. */
static void
test_checkpoint(void **state)
{
	static const long at[] = {1, 2, 3, 100, 500, 1000000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		struct model m;

		begin(&m);
		m.k.settings.large_body_bytes = 2 << 20;
		kit_open(&m.k);
		fault_vfs_set(at[i], SQLITE_IOERR, false, true);
		for (int j = 0; j < 24; j++)
			add(&m, SPOOL_HELD, 1 << 20, false);
		assert_int_equal(i < 5, fault_vfs_end());
		assert_int_equal(0, m.errors);
		finish(&m);
	}
}

static void
run_files(int error)
{
	bool hit = true;
	unsigned errors = 0;

	for (long n = 1; hit; n++) {
		struct model m;

		begin(&m);
		kit_open(&m.k);
		fault_libc_set(n, error);
		work(&m);
		hit = fault_libc_end();
		errors += m.errors;
		finish(&m);
	}
	assert_true(errors > 8);
}

static void
test_files_full(void **state)
{
	(void)state;
	run_files(ENOSPC);
}

static void
test_files_io_error(void **state)
{
	(void)state;
	run_files(EIO);
}

/* A write, fsync, rename, fsync of the directory: each one counts, and none
 * is left out. */
static void
test_files_steps(void **state)
{
	long n = 0;
	bool hit = true;

	(void)state;
	while (hit) {
		struct model m;

		begin(&m);
		kit_open(&m.k);
		fault_libc_set(++n, EIO);
		add(&m, SPOOL_HELD, LARGE, false);
		hit = fault_libc_end();
		assert_int_equal(hit, m.errors);
		finish(&m);
	}
	assert_int_equal(1 + 3, n - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_io_error),
	    cmocka_unit_test(test_disk_gone),
	    cmocka_unit_test(test_open_close),
	    cmocka_unit_test(test_checkpoint),
	    cmocka_unit_test(test_files_steps),
	    cmocka_unit_test(test_files_full),
	    cmocka_unit_test(test_files_io_error),
	};

	fault_vfs_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
