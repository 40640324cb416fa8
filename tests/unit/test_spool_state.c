/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The spool beside its messages: sources and audit, too much at once, the end,
 * too little space.
 */
#include "spool_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct spool_select all = {.all = true};

static void
on_done(void *arg, int error)
{
	*(int *)arg = error;
}

struct loaded {
	size_t sources;
	bool frozen;
	int64_t thaw_at;
	char state[16], note[32];
};

static void
on_source(void *arg, const struct spool_source *source)
{
	struct loaded *l = arg;

	l->sources++;
	l->frozen = source->frozen;
	l->thaw_at = source->thaw_at;
	str_copy(str_from(source->note), l->note, sizeof(l->note));
	assert_string_equal("alice", source->key);
	if (source->state != NULL)
		memcpy(l->state, source->state, source->state_size);
}

static struct loaded
load(struct kit *k)
{
	struct loaded l = {0};

	assert_int_equal(0, spool_load(k->spool, on_source, &l));
	return l;
}

static void
on_audit(void *arg, int error, const struct spool_audit *rows, size_t n)
{
	bool *done = arg;

	assert_int_equal(0, error);
	assert_int_equal(2, n);
	assert_string_equal("thaw", rows[0].action);
	assert_string_equal("freeze", rows[1].action);
	assert_int_equal(KIT_WALL, rows[1].at);
	*done = true;
}

static void
test_sources_and_audit(void **state)
{
	struct kit k;
	struct spool_audit freeze = {KIT_WALL, "root", "freeze", "alice", ""};
	struct spool_audit thaw = {KIT_WALL + 1, "root", "thaw", "alice", ""};
	struct spool_source frozen = {.key = "alice",
	    .frozen = true,
	    .reason = 1,
	    .frozen_at = KIT_WALL,
	    .note = "password \"stolen\"",
	    .thaw_at = KIT_WALL + 7};
	bool done = false;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_add(&k, 2, SPOOL_HELD, 10, NULL);
	spool_set_frozen(k.spool, &frozen, &freeze, kit_on_flag, &done);
	assert_true(kit_wait(k.spool, &done));
	spool_save_state(k.spool, "alice", "one", 4, KIT_WALL);
	spool_save_state(k.spool, "alice", "two", 4, KIT_WALL);
	kit_close(&k);
	kit_open(&k);
	assert_int_equal(1, load(&k).sources);
	assert_true(load(&k).frozen);
	assert_string_equal("two", load(&k).state);
	assert_string_equal("password \"stolen\"", load(&k).note);
	assert_int_equal(KIT_WALL + 7, load(&k).thaw_at);
	done = false;
	frozen.frozen = false;
	frozen.note = NULL;
	frozen.thaw_at = 0;
	spool_set_frozen(k.spool, &frozen, NULL, kit_on_flag, &done);
	assert_true(kit_wait(k.spool, &done));
	assert_false(load(&k).frozen);
	assert_string_equal("", load(&k).note);
	assert_int_equal(0, load(&k).thaw_at);
	done = false;
	spool_audit_add(k.spool, &thaw, kit_on_flag, &done);
	assert_true(kit_wait(k.spool, &done));
	done = false;
	spool_audit_list(k.spool, 10, on_audit, &done);
	assert_true(kit_wait(k.spool, &done));
	spool_save_state(k.spool, "alice", "three", 6, KIT_WALL);
	spool_forget_source(k.spool, "alice");
	kit_close(&k);
	kit_open(&k);
	assert_int_equal(0, load(&k).sources);
	/* The log is capped. */
	kit_sql(&k, "UPDATE audit SET id = id * 99999");
	done = false;
	spool_audit_add(k.spool, &thaw, kit_on_flag, &done);
	assert_true(kit_wait(k.spool, &done));
	assert_int_equal(199998, kit_ask(&k, "SELECT min(id) FROM audit"));
	kit_clear(&k);
}

/* The order in which states were given is the order in which they count,
 * whether somebody waits for them or not. */
static void
test_secured_state(void **state)
{
	struct kit k;
	struct spool_source frozen = {
	    .key = "alice", .frozen = true, .reason = 3, .frozen_at = KIT_WALL};
	bool done = false;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	spool_save_state(k.spool, "alice", "older", 6, KIT_WALL + 9);
	spool_secure_state(
	    k.spool, "alice", "old", 4, KIT_WALL, kit_on_flag, &done);
	assert_true(kit_wait(k.spool, &done));
	assert_string_equal("old", load(&k).state);
	spool_secure_state(
	    k.spool, "alice", "old", 4, KIT_WALL, kit_on_flag, &done);
	spool_save_state(k.spool, "alice", "new", 4, KIT_WALL - 9);
	kit_close(&k);
	kit_open(&k);
	assert_string_equal("new", load(&k).state);
	done = false;
	/* A freeze that was there before stays. */
	spool_set_frozen(k.spool, &frozen, NULL, kit_on_flag, &done);
	assert_true(kit_wait(k.spool, &done));
	done = false;
	spool_secure_state(
	    k.spool, "alice", "cold", 5, KIT_WALL, kit_on_flag, &done);
	assert_true(kit_wait(k.spool, &done));
	assert_true(load(&k).frozen);
	assert_string_equal("cold", load(&k).state);
	kit_clear(&k);
}

static void
test_busy_and_close(void **state)
{
	struct kit k;
	int results[40];
	int busy = 0;

	(void)state;
	kit_init(&k);
	k.settings.outstanding_max = 20;
	kit_open(&k);
	for (size_t i = 0; i < ARRAY_LEN(results); i++) {
		struct kit_message km;
		struct spool_body *b;

		results[i] = -1;
		kit_message(&k, &km, 1, SPOOL_HELD);
		b = spool_body_new(k.spool, km.m.id);
		assert_true(spool_body_write(b, "x", 1));
		spool_put(k.spool, &km.m, b, on_done, &results[i]);
	}
	/* Everything that was taken is done, without completions. */
	kit_close(&k);
	for (size_t i = 0; i < ARRAY_LEN(results); i++)
		busy += results[i] != -1;
	assert_int_equal(0, busy);
	k.settings.outstanding_max = 4096;
	kit_open(&k);
	assert_int_equal(20, kit_list_all(&k).n);
	kit_clear(&k);
}

static void
test_short_of_space(void **state)
{
	struct kit k;
	int error;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_add(&k, 1, SPOOL_HELD, 10, NULL);
	kit_close(&k);
	k.settings.min_free_bytes = UINT64_MAX;
	kit_open(&k);
	assert_true(spool_is_short(k.spool));
	kit_add(&k, 1, SPOOL_HELD, 10, &error);
	assert_int_equal(ENOSPC, error);
	kit_add(&k, 1, SPOOL_HELD, 300 << 10, &error);
	assert_int_equal(ENOSPC, error);
	assert_int_equal(1, kit_discard(&k, &all).n);
	kit_clear(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sources_and_audit),
	    cmocka_unit_test(test_secured_state),
	    cmocka_unit_test(test_busy_and_close),
	    cmocka_unit_test(test_short_of_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
