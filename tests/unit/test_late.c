/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages that the next hop accepted too late for their clients. */
#include "relay/late.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct hash128
key_of(uint64_t n)
{
	return (struct hash128){n, ~n};
}

static void
test_doubt_ends_in_either_way(void **state)
{
	struct late *l = late_new();
	struct hash128 a = key_of(1), b = key_of(2);

	(void)state;
	assert_true(late_is_empty(l, 0));
	assert_int_equal(late_ask(l, &a, 0), LATE_NONE);
	late_doubt(l, &a, 0);
	assert_false(late_is_empty(l, 0));
	assert_int_equal(late_ask(l, &a, 0), LATE_IN_DOUBT);
	assert_int_equal(late_ask(l, &b, 0), LATE_NONE);
	late_forget(l, &a);
	assert_int_equal(late_ask(l, &a, 0), LATE_NONE);
	late_doubt(l, &a, 0);
	late_accepted(l, &a, true, 0);
	/* Another attempt of it, at the same time, changes nothing. */
	late_doubt(l, &a, 0);
	late_forget(l, &a);
	assert_int_equal(late_ask(l, &a, 0), LATE_ACCEPTED);
	assert_int_equal(late_ask(l, &a, 0), LATE_ACCEPTED);
	late_free(l);
}

static void
test_without_a_message_id_one_attempt_is_answered(void **state)
{
	struct late *l = late_new();
	struct hash128 a = key_of(1);

	(void)state;
	late_doubt(l, &a, 0);
	late_accepted(l, &a, false, 0);
	assert_int_equal(late_ask(l, &a, 0), LATE_ACCEPTED);
	assert_int_equal(late_ask(l, &a, 0), LATE_NONE);
	assert_true(late_is_empty(l, 0));
	late_free(l);
}

static void
test_expires_after_its_last_use(void **state)
{
	struct late *l = late_new();
	struct hash128 a = key_of(1), b = key_of(2);

	(void)state;
	late_accepted(l, &a, true, 0);
	late_doubt(l, &b, 0);
	assert_int_equal(late_ask(l, &a, LATE_TIME_MS - 1), LATE_ACCEPTED);
	assert_int_equal(late_ask(l, &b, LATE_TIME_MS), LATE_NONE);
	assert_int_equal(late_ask(l, &a, LATE_TIME_MS), LATE_ACCEPTED);
	assert_false(late_is_empty(l, 2 * LATE_TIME_MS - 1));
	assert_true(late_is_empty(l, 2 * LATE_TIME_MS));
	/* The reply that was waited for comes after that. */
	late_accepted(l, &b, true, 2 * LATE_TIME_MS);
	assert_int_equal(late_ask(l, &b, 2 * LATE_TIME_MS), LATE_ACCEPTED);
	late_free(l);
}

static void
test_bounded(void **state)
{
	struct late *l = late_new();
	struct hash128 key, first = key_of(0), second = key_of(1);

	(void)state;
	for (unsigned i = 0; i < LATE_ENTRIES_MAX; i++) {
		key = key_of(i);
		late_accepted(l, &key, true, i);
	}
	assert_int_equal(late_ask(l, &first, 5000), LATE_ACCEPTED);
	key = key_of(LATE_ENTRIES_MAX);
	late_doubt(l, &key, 5000);
	assert_int_equal(late_ask(l, &second, 5000), LATE_NONE);
	assert_int_equal(late_ask(l, &first, 5000), LATE_ACCEPTED);
	assert_int_equal(late_ask(l, &key, 5000), LATE_IN_DOUBT);
	late_free(l);
}

/* ---- keys ---- */

struct sent {
	const char *source, *from, *envid, *to[3], *orcpt, *text;
	unsigned notify;
	bool utf8, require_tls;
};

/* cut: bytes of the text that come at once. */
static struct hash128
key_in(const struct late *l, const struct sent *m, size_t cut)
{
	struct smtp_mail mail = {.from = str_from(m->from),
	    .envid = str_from(m->envid),
	    .utf8 = m->utf8,
	    .require_tls = m->require_tls};
	struct late_text *t = late_text_new(l, str_from(m->source), &mail);
	struct str rest = str_from(m->text);
	struct hash128 key;

	for (size_t i = 0; i < ARRAY_LEN(m->to) && m->to[i] != NULL; i++) {
		struct smtp_rcpt rcpt = {.to = str_from(m->to[i]),
		    .notify = m->notify,
		    .orcpt = str_from(m->orcpt)};

		late_text_rcpt(t, &rcpt);
	}
	while (rest.n > 0) {
		size_t n = rest.n < cut ? rest.n : cut;

		late_text_add(t, str_sub(rest, 0, n));
		rest = str_sub(rest, n, rest.n);
	}
	key = late_text_key(t);
	late_text_free(t);
	return key;
}

static bool
is_same(const struct hash128 *a, const struct hash128 *b)
{
	return a->low == b->low && a->high == b->high;
}

static const struct sent plain = {.source = "a@x.test",
    .from = "a@x.test",
    .to = {"b@y.test", "c@y.test"},
    .text = "Subject: x\r\n\r\nThe same text, octet for octet.\r\n"};

static void
test_the_same_however_it_comes(void **state)
{
	struct late *l = late_new();
	struct sent turned = plain;
	struct hash128 key = key_in(l, &plain, SIZE_MAX), other;

	(void)state;
	turned.to[0] = plain.to[1];
	turned.to[1] = plain.to[0];
	for (size_t cut = 1; cut < 40; cut += 6) {
		other = key_in(l, &turned, cut);
		assert_true(is_same(&key, &other));
	}
	late_free(l);
}

static void
test_another_in_any_part(void **state)
{
	struct late *l = late_new(), *next = late_new();
	struct sent other[11];
	struct hash128 key = key_in(l, &plain, SIZE_MAX), got;
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(other); i++)
		other[i] = plain;
	other[n++].source = "d@x.test";
	other[n++].from = "d@x.test";
	other[n++].envid = "1";
	other[n++].to[1] = "d@y.test";
	other[n++].to[1] = NULL;
	other[n++].to[2] = "c@y.test";
	other[n++].orcpt = "rfc822;b@y.test";
	other[n++].notify = SMTP_NOTIFY_SUCCESS;
	other[n++].utf8 = true;
	other[n++].require_tls = true;
	other[n++].text = "Subject: y\r\n\r\nThe same text.\r\n";
	assert_int_equal(n, ARRAY_LEN(other));
	for (size_t i = 0; i < n; i++) {
		got = key_in(l, &other[i], SIZE_MAX);
		assert_false(is_same(&key, &got));
	}
	/* A field does not go on in the next. */
	other[0] = plain;
	other[0].source = "a@x.testa";
	other[0].from = "@x.test";
	got = key_in(l, &other[0], SIZE_MAX);
	assert_false(is_same(&key, &got));
	/* Another seed. */
	got = key_in(next, &plain, SIZE_MAX);
	assert_false(is_same(&key, &got));
	late_free(l);
	late_free(next);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_doubt_ends_in_either_way),
	    cmocka_unit_test(test_without_a_message_id_one_attempt_is_answered),
	    cmocka_unit_test(test_expires_after_its_last_use),
	    cmocka_unit_test(test_bounded),
	    cmocka_unit_test(test_the_same_however_it_comes),
	    cmocka_unit_test(test_another_in_any_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
