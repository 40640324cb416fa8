/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One source's acquaintances against a plain model of the same, and rows that
 * lie.
 */
#include "base/bytes.h"
#include "base/hash.h"
#include "gate/acquaintance_set.h"
#include "throttle_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TODAY 20000
#define WROTE ((struct acquaintance){ACQUAINTANCE_WROTE_TO, TODAY})
#define CHECKSUM_SEED UINT64_C(0x616371756169)

/* Spread over the range, since only the upper 40 bits count. */
static uint64_t
who(uint64_t i)
{
	return hash_bytes(&i, sizeof(i), 7);
}

static void
test_puts_and_finds(void **state)
{
	struct acquaintance_set s = {0};
	struct acquaintance found;

	(void)state;
	assert_false(acquaintance_set_find(&s, who(1), &found));
	assert_int_equal(
	    acquaintance_set_put(&s, who(1), WROTE), ACQUAINTANCE_NEW);
	assert_int_equal(
	    acquaintance_set_put(&s, who(1), WROTE), ACQUAINTANCE_SAME);
	assert_int_equal(acquaintance_set_put(&s, who(1),
			     (struct acquaintance){ACQUAINTANCE_WROTE_US, 5}),
	    ACQUAINTANCE_CHANGED);
	assert_true(acquaintance_set_find(&s, who(1), &found));
	assert_int_equal(
	    found.why, ACQUAINTANCE_WROTE_TO | ACQUAINTANCE_WROTE_US);
	assert_int_equal(found.day, TODAY);
	assert_false(acquaintance_set_find(&s, who(2), &found));
	acquaintance_set_clear(&s);
}

/* A model: what stands at each place, 0: nothing. */
#define PEOPLE 300

static uint32_t
lag(unsigned why)
{
	return (why & ~ACQUAINTANCE_MET) != 0 ? 7 : 0;
}

static void
check_model(const struct acquaintance_set *s, const struct acquaintance *model)
{
	struct acquaintance found;
	uint32_t n = 0;

	for (uint64_t i = 0; i < PEOPLE; i++) {
		bool is_there = acquaintance_set_find(s, who(i), &found);

		assert_int_equal(is_there, model[i].why != 0);
		if (!is_there)
			continue;
		n++;
		assert_int_equal(found.why, model[i].why);
		assert_int_equal(found.day, model[i].day);
	}
	assert_int_equal(s->n, n);
}

static void
save_and_load(struct acquaintance_set *s)
{
	struct acquaintance_row row = {.today = TODAY, .rate_in = 77}, back;
	size_t n = acquaintance_set_save(s, &row, NULL, 0);
	char *p = malloc(n + 1);

	assert_int_equal(acquaintance_set_save(s, &row, p, n), n);
	acquaintance_set_clear(s);
	back = (struct acquaintance_row){.today = TODAY};
	if (n > 0) {
		assert_null(acquaintance_set_load(s, &back, p, n));
		assert_int_equal(back.rate_in, 77);
		assert_false(back.is_ahead);
	}
	free(p);
}

static void
test_keeps_to_the_model(void **state)
{
	struct acquaintance model[PEOPLE] = {{0, 0}};
	struct acquaintance_set s = {0};
	uint64_t seed = 41;

	(void)state;
	for (unsigned step = 0; step < 3000; step++) {
		uint64_t i = draw(&seed) % PEOPLE;
		struct acquaintance add = {1U << draw(&seed) % 4,
		    TODAY - (uint32_t)draw(&seed) % 4000};
		uint32_t since = TODAY - 3900;

		acquaintance_set_put(&s, who(i), add);
		model[i].why |= add.why;
		if (add.day >= model[i].day + lag(model[i].why))
			model[i].day = add.day;
		if (step % 50 == 0)
			save_and_load(&s);
		if (step % 100 == 0) {
			acquaintance_set_expire(&s, ACQUAINTANCE_MET, since);
			for (i = 0; i < PEOPLE; i++) {
				if (model[i].day < since &&
				    (model[i].why & ~ACQUAINTANCE_MET) == 0)
					model[i] = (struct acquaintance){0, 0};
			}
		}
		if (step % 25 == 0)
			check_model(&s, model);
	}
	acquaintance_set_clear(&s);
}

/* Somebody who is written to every day is not forgotten, and costs a write a
 * week. */
static void
test_days_move_by_weeks(void **state)
{
	struct acquaintance_set s = {0};
	struct acquaintance found, add = WROTE;
	unsigned changes = 0;

	(void)state;
	acquaintance_set_put(&s, who(1), add);
	for (unsigned i = 0; i < 70; i++) {
		add.day++;
		changes +=
		    acquaintance_set_put(&s, who(1), add) != ACQUAINTANCE_SAME;
	}
	assert_int_equal(changes, 10);
	assert_true(acquaintance_set_find(&s, who(1), &found));
	assert_int_equal(found.day, TODAY + 70);
	acquaintance_set_clear(&s);
}

static void
test_full_gives_up_the_oldest(void **state)
{
	struct acquaintance_set s = {0};
	struct acquaintance found, old = WROTE;

	(void)state;
	for (uint64_t i = 0; i < ACQUAINTANCES_MAX; i++) {
		old.day = i == 1234 ? TODAY - 9 : TODAY - 8;
		acquaintance_set_put(&s, who(i), old);
	}
	acquaintance_set_put(&s, who(UINT64_MAX), WROTE);
	assert_int_equal(s.n, ACQUAINTANCES_MAX);
	assert_false(acquaintance_set_find(&s, who(1234), &found));
	assert_true(acquaintance_set_find(&s, who(UINT64_MAX), &found));
	save_and_load(&s);
	assert_int_equal(s.n, ACQUAINTANCES_MAX);
	assert_true(acquaintance_set_find(&s, who(77), &found));
	acquaintance_set_clear(&s);
}

/* What the limit of 4 GB for a million sources hangs on. */
static void
test_row_is_small(void **state)
{
	struct acquaintance_row row = {.today = TODAY};
	struct acquaintance_set s = {0};

	(void)state;
	for (uint64_t i = 0; i < 300; i++)
		acquaintance_set_put(&s, who(i), WROTE);
	assert_in_range(acquaintance_set_save(&s, &row, NULL, 0), 1, 1900);
	for (uint64_t i = 300; i < ACQUAINTANCES_MAX; i++)
		acquaintance_set_put(&s, who(i), WROTE);
	assert_in_range(
	    acquaintance_set_save(&s, &row, NULL, 0), 1, ACQUAINTANCE_ROW_MAX);
	acquaintance_set_clear(&s);
}

/* ---- rows that lie ---- */

#define LIE_N 3
#define SHELVES 33 /* bytes for so few */
#define AT_COUNT 4
#define AT_DAY 6
#define AT_RATE 9
#define AT_SHELVES 14
#define AT_ENTRY(i) (AT_SHELVES + SHELVES + 6 * (size_t)(i))

struct lie {
	unsigned char row[AT_ENTRY(LIE_N) + 8];
};

/* Three on one shelf, so that their order is in the lower bits. */
static struct lie
truth(void)
{
	struct acquaintance_row row = {.today = TODAY};
	struct acquaintance_set s = {0};
	struct lie lie;

	for (uint64_t i = 1; i <= LIE_N; i++)
		acquaintance_set_put(&s, i << 32, WROTE);
	assert_int_equal(
	    acquaintance_set_save(&s, &row, lie.row, sizeof(lie.row)),
	    sizeof(lie.row));
	acquaintance_set_clear(&s);
	return lie;
}

static void
expect(struct lie *lie, size_t n, const char *wrong)
{
	struct acquaintance_row row = {.today = TODAY};
	struct acquaintance_set s = {0};
	unsigned char *end = lie->row + n - 8;
	const char *said;

	if (n == sizeof(lie->row))
		bytes_put(&end, hash_bytes(lie->row, n - 8, CHECKSUM_SEED), 8);
	said = acquaintance_set_load(&s, &row, lie->row, n);
	if (wrong == NULL)
		assert_null(said);
	else
		assert_string_equal(said, wrong);
	assert_int_equal(s.n, wrong == NULL ? LIE_N : 0);
	acquaintance_set_clear(&s);
}

static void
put_at(struct lie *lie, size_t at, uint64_t v, unsigned bytes)
{
	unsigned char *p = lie->row + at;

	bytes_put(&p, v, bytes);
}

static void
test_lies_are_seen(void **state)
{
	struct lie lie = truth();

	(void)state;
	expect(&lie, sizeof(lie.row), NULL);
	for (size_t n = 0; n < sizeof(lie.row); n++) {
		struct acquaintance_row row = {.today = TODAY};
		struct acquaintance_set s = {0};

		assert_non_null(acquaintance_set_load(&s, &row, lie.row, n));
		assert_int_equal(s.n, 0);
	}
	lie.row[0] ^= 1;
	expect(&lie, sizeof(lie.row), "not a list of acquaintances");
	lie = truth();
	put_at(&lie, AT_COUNT, 0, 2);
	expect(&lie, sizeof(lie.row), "too many acquaintances, or none");
	put_at(&lie, AT_COUNT, ACQUAINTANCES_MAX + 1, 2);
	expect(&lie, sizeof(lie.row), "too many acquaintances, or none");
	put_at(&lie, AT_COUNT, LIE_N + 1, 2);
	expect(&lie, sizeof(lie.row), "truncated, or too long");
	lie = truth();
	put_at(&lie, AT_DAY, 0xffffff, 3);
	expect(&lie, sizeof(lie.row), "invalid numbers");
	lie = truth();
	put_at(&lie, AT_RATE, UINT64_C(0xffffffffff), 5);
	expect(&lie, sizeof(lie.row), "invalid numbers");
	lie = truth();
	lie.row[AT_SHELVES + SHELVES - 1] |= 0x80;
	expect(&lie, sizeof(lie.row), "invalid numbers");
	lie = truth();
	lie.row[AT_SHELVES] = 0;
	expect(&lie, sizeof(lie.row), "invalid numbers");
	lie = truth();
	put_at(&lie, AT_ENTRY(1), 1 << 8, 4);
	expect(&lie, sizeof(lie.row), "duplicate acquaintance");
	put_at(&lie, AT_ENTRY(1), 0, 4);
	expect(&lie, sizeof(lie.row), "acquaintances out of order");
	lie = truth();
	put_at(&lie, AT_ENTRY(2) + 4, 1, 2);
	expect(&lie, sizeof(lie.row), "an acquaintance without a reason");
	lie = truth();
	lie.row[sizeof(lie.row) - 9] ^= 0x10;
	{
		struct acquaintance_row row = {.today = TODAY};
		struct acquaintance_set s = {0};

		assert_string_equal(
		    acquaintance_set_load(&s, &row, lie.row, sizeof(lie.row)),
		    "wrong checksum");
	}
}

static void
test_days_ahead_are_today(void **state)
{
	struct acquaintance_row row = {.today = TODAY - 10};
	struct acquaintance_set s = {0};
	struct acquaintance found;
	struct lie lie = truth();

	(void)state;
	assert_null(acquaintance_set_load(&s, &row, lie.row, sizeof(lie.row)));
	assert_true(row.is_ahead);
	assert_true(acquaintance_set_find(&s, UINT64_C(1) << 32, &found));
	assert_int_equal(found.day, TODAY - 10);
	acquaintance_set_clear(&s);
	assert_int_equal(acquaintance_day(-1), 0);
	assert_int_equal(acquaintance_day(INT64_MIN), 0);
	assert_int_equal(acquaintance_day(INT64_MAX), (1 << 20) - 1);
	assert_int_equal(acquaintance_day(3 * ACQUAINTANCE_DAY_MS - 1), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_puts_and_finds),
	    cmocka_unit_test(test_keeps_to_the_model),
	    cmocka_unit_test(test_days_move_by_weeks),
	    cmocka_unit_test(test_full_gives_up_the_oldest),
	    cmocka_unit_test(test_row_is_small),
	    cmocka_unit_test(test_lies_are_seen),
	    cmocka_unit_test(test_days_ahead_are_today),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
