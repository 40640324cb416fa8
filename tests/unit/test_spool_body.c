/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bodies on their way in, what is written behind, and space that comes back.
 */
#include "spool_kit.h"

#include "os/clock.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

static const struct spool_select all = {.all = true};

static void
on_flag(void *arg, int error)
{
	assert_int_equal(0, error);
	*(bool *)arg = true;
}

static int
count_files(struct kit *k)
{
	char *path = xasprintf("%s/bodies", k->dir);
	DIR *dir = opendir(path);
	int n = -2; /* . and .. */

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	free(path);
	return n;
}

static void
on_ignore(void *arg, int error)
{
	(void)arg;
	(void)error;
}

/* Bodies at the same time, more than the memory that they may take. */
static void
test_body_budget(void **state)
{
	enum { BODIES = 20, EACH = 100 << 10 };
	struct kit k;
	struct kit_message km[BODIES];
	struct spool_body *b[BODIES];
	char *text = kit_text(0, 1000);
	bool held_back = false;

	(void)state;
	kit_init(&k);
	k.settings.body_memory_bytes = 256 << 10;
	kit_open(&k);
	for (int i = 0; i < BODIES; i++) {
		kit_message(&k, &km[i], 1, SPOOL_HELD);
		b[i] = spool_body_new(k.spool, km[i].m.id);
	}
	for (int at = 0; at < EACH; at += 1000) {
		for (int i = 0; i < BODIES; i++)
			held_back |= !spool_body_write(b[i], text, 1000);
	}
	assert_true(held_back);
	spool_body_abort(b[0]);
	for (int i = 1; i < BODIES; i++)
		spool_put(k.spool, &km[i].m, b[i], on_ignore, NULL);
	while (!spool_is_idle(k.spool)) {
		struct pollfd p = {.fd = spool_fd(k.spool), .events = POLLIN};

		poll(&p, 1, 1000);
		spool_dispatch(k.spool);
	}
	assert_int_equal(BODIES - 1, kit_list_all(&k).n);
	/* The aborted one left no file. */
	assert_int_equal(BODIES - 1, count_files(&k));
	for (int i = 1; i < BODIES; i++) {
		size_t n;
		int error;

		free(kit_body(&k, km[i].m.id, &n, &error));
		assert_int_equal(0, error);
		assert_int_equal((EACH + 999) / 1000 * 1000, n);
	}
	free(text);
	kit_clear(&k);
}

static struct spool_body *
large_body(struct kit *k, struct kit_message *km)
{
	char *text = kit_text(0, 300 << 10);
	struct spool_body *b;

	kit_message(k, km, 1, SPOOL_HELD);
	b = spool_body_new(k->spool, km->m.id);
	(void)spool_body_write(b, text, 300 << 10);
	free(text);
	return b;
}

static void
on_error(void *arg, int error)
{
	*(int *)arg = error;
}

static int
put_body(struct kit *k, const struct kit_message *km, struct spool_body *b)
{
	int error = -1;

	spool_put(k->spool, &km->m, b, on_error, &error);
	while (!spool_is_idle(k->spool)) {
		struct pollfd p = {.fd = spool_fd(k->spool), .events = POLLIN};

		poll(&p, 1, 1000);
		spool_dispatch(k->spool);
	}
	return error;
}

/* Each file on its way is a descriptor. */
static void
test_files_max(void **state)
{
	struct kit_message km[4];
	struct spool_body *b[4];
	struct kit k;

	(void)state;
	kit_init(&k);
	k.settings.files_max = 2;
	kit_open(&k);
	for (int i = 0; i < 4; i++)
		b[i] = large_body(&k, &km[i]);
	assert_int_equal(put_body(&k, &km[2], b[2]), EBUSY);
	assert_int_equal(put_body(&k, &km[0], b[0]), 0);
	spool_body_abort(b[1]);
	spool_body_abort(b[3]);
	/* There is room again. */
	for (int i = 0; i < 2; i++)
		b[i] = large_body(&k, &km[i]);
	for (int i = 0; i < 2; i++)
		assert_int_equal(put_body(&k, &km[i], b[i]), 0);
	assert_int_equal(kit_list_all(&k).n, 3);
	assert_int_equal(count_files(&k), 3);
	kit_clear(&k);
}

static bool
has_room(struct kit *k, const char *source, uint64_t recipients, uint64_t bytes)
{
	struct spool_usage usage;

	return spool_room(k->spool, source, recipients, bytes, &usage);
}

/* Every way in which a recipient or a message leaves gives its part back. */
static void
test_room(void **state)
{
	struct spool_usage usage;
	struct kit_claim c;
	struct kit k;
	uint64_t a, b;
	int error;

	(void)state;
	kit_init(&k);
	k.settings.held_max = 8;
	k.settings.held_bytes_max = 1000000;
	kit_open(&k);
	assert_true(has_room(&k, "alice", 8, 1000000));
	a = kit_add(&k, 4, SPOOL_HELD, 300000, &error);
	b = kit_add(&k, 3, SPOOL_RELEASED, 300000, &error);
	assert_true(a != 0 && b != 0);
	/* She is alone, and may have all. */
	assert_true(has_room(&k, "alice", 1, 400000));
	assert_false(spool_room(k.spool, "alice", 2, 0, &usage));
	assert_string_equal(usage.limit, "held_max");
	assert_int_equal(usage.used, 7);
	assert_int_equal(usage.own, 7);
	assert_int_equal(usage.max, 8);
	assert_false(spool_room(k.spool, "alice", 0, 400001, &usage));
	assert_string_equal(usage.limit, "held_bytes_max");
	assert_true(has_room(&k, "bob", 1, 300000));
	/* What is put all the same is stored, and counts after a restart. */
	assert_true(kit_add(&k, 2, SPOOL_HELD, 10, &error) != 0);
	for (int i = 0; i < 2; i++) {
		assert_false(spool_room(k.spool, "alice", 1, 0, &usage));
		assert_int_equal(usage.used, 9);
		assert_false(spool_room(k.spool, "alice", 0, 999999, &usage));
		assert_int_equal(usage.used, 600010);
		kit_close(&k);
		kit_open(&k);
	}
	/* Delivered one by one. */
	kit_claim(&k, 10, k.wall + 1000000, &c);
	assert_int_equal(c.n, 1);
	kit_claim_clear(&c);
	assert_int_equal(
	    kit_finish(&k, SPOOL_TICKET(b, 0), SPOOL_DELIVERED, 0, NULL), 0);
	assert_false(spool_room(k.spool, "alice", 1, 999999, &usage));
	assert_int_equal(usage.used, 8);
	assert_int_equal(
	    kit_finish(&k, SPOOL_TICKET(b, 1), SPOOL_BOUNCED, 0, NULL), 0);
	assert_int_equal(
	    kit_finish(&k, SPOOL_TICKET(b, 2), SPOOL_DELIVERED, 0, NULL), 0);
	assert_false(spool_room(k.spool, "alice", 0, 999999, &usage));
	assert_int_equal(usage.used, 300010);
	/* Discarded. */
	assert_int_equal(
	    kit_discard(&k, &(struct spool_select){.all = true}).error, 0);
	assert_true(has_room(&k, "alice", 8, 1000000));
	kit_clear(&k);
}

/* Others have their part of what is more than half used. */
static void
test_room_is_shared(void **state)
{
	struct spool_stake k1 = {0}, k2 = {0};
	struct spool_usage usage;
	struct kit k;

	(void)state;
	kit_init(&k);
	k.settings.held_max = 160;
	k.settings.held_bytes_max = 16000000;
	kit_open(&k);
	while (has_room(&k, "thief", 1, 0))
		spool_stake_recipient(k.spool, &k1, "thief");
	assert_int_equal(k1.recipients, 160);
	assert_true(has_room(&k, "bob", 5, 0));
	/* A text in steps, and exactly at its end. */
	assert_true(
	    spool_stake_bytes(k.spool, &k2, "bob", 200000, false, &usage));
	assert_int_equal(k2.bytes, 0);
	assert_true(
	    spool_stake_bytes(k.spool, &k2, "bob", 200000, true, &usage));
	assert_int_equal(k2.bytes, 200000);
	assert_true(
	    spool_stake_bytes(k.spool, &k1, "thief", 15000000, false, &usage));
	assert_false(
	    spool_stake_bytes(k.spool, &k1, "thief", 15700000, false, &usage));
	assert_int_equal(k1.bytes, 15000000);
	assert_true(
	    spool_stake_bytes(k.spool, &k2, "bob", 1000000, true, &usage));
	spool_stake_clear(k.spool, &k1);
	spool_stake_clear(k.spool, &k1);
	assert_true(has_room(&k, "bob", 160, 15000000));
	spool_stake_clear(k.spool, &k2);
	assert_true(has_room(&k, "carol", 160, 16000000));
	kit_clear(&k);
}

/* ---- written behind, given back ---- */

/* Asks until it is so, for at most a minute. */
static bool
comes_true(struct kit *k, const char *sql)
{
	int64_t until = clock_mono_ms() + 60000;

	while (clock_mono_ms() < until) {
		if (kit_ask(k, sql) != 0)
			return true;
		poll(NULL, 0, 50);
	}
	return false;
}

static void
test_write_behind(void **state)
{
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	spool_save_state(k.spool, "alice", "one", 4, KIT_WALL);
	assert_true(comes_true(&k, "SELECT count(*) FROM source"));
	kit_clear(&k);
}

/* What was discarded does not fill the disk for ever. */
static void
test_space_returns(void **state)
{
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	for (int i = 0; i < 100; i++)
		kit_add(&k, 1, SPOOL_HELD, 240 << 10, NULL);
	assert_true(kit_ask(&k, "PRAGMA page_count") > 5500);
	assert_int_equal(100, kit_discard(&k, &all).n);
	assert_true(
	    comes_true(&k, "SELECT page_count < 4200 FROM pragma_page_count"));
	kit_clear(&k);
}

/* ---- bodies ---- */

struct ending {
	struct kit *k;
	struct kit_message km;
	struct spool_body *b;
	bool drained, done;
};

static void
on_ending_drain(void *arg)
{
	struct ending *e = arg;

	e->drained = true;
	spool_put(e->k->spool, &e->km.m, e->b, on_flag, &e->done);
}

/* The owner may end a body from within its callback. */
static void
test_end_in_drain(void **state)
{
	struct kit k;
	struct ending e = {.k = &k};
	char *text = kit_text(0, 1 << 20);

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_message(&k, &e.km, 1, SPOOL_HELD);
	e.b = spool_body_new(k.spool, e.km.m.id);
	spool_body_set_drain(e.b, on_ending_drain, &e);
	assert_false(spool_body_write(e.b, text, 1 << 20));
	assert_true(kit_wait(k.spool, &e.done));
	assert_true(e.drained);
	assert_int_equal(1 << 20, kit_list_all(&k).v[0].size);
	free(text);
	kit_clear(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_body_budget),
	    cmocka_unit_test(test_files_max),
	    cmocka_unit_test(test_room),
	    cmocka_unit_test(test_room_is_shared),
	    cmocka_unit_test(test_write_behind),
	    cmocka_unit_test(test_space_returns),
	    cmocka_unit_test(test_end_in_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
