/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Spellings of one login count under one name, where the password is the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "gate/spellings.h"

static void
expect(struct spellings *s, const char *name, bool with_domain, uint64_t proof,
    const char *first)
{
	struct str got = spellings_first(s, str_from(name), with_domain, proof);

	if (!str_eq(got, str_from(first)))
		fail_msg("%s: %.*s, not %s", name, STR_ARG(got), first);
}

static void
test_one_account(void **state)
{
	struct spellings *s = spellings_new();

	(void)state;
	expect(s, "bob@corp.test", false, 7, "bob@corp.test");
	expect(s, "bob@h1.test", false, 7, "bob@corp.test");
	expect(s, "b.o.b@h2.test", false, 7, "bob@corp.test");
	expect(s, "bob+x@corp.test", false, 7, "bob@corp.test");
	expect(s, "bob", false, 7, "bob@corp.test");
	expect(s, "corp\\bob", false, 7, "bob@corp.test");
	expect(s, "host!bob", false, 7, "bob@corp.test");
	expect(s, "bob%corp.test@h3.test", false, 7, "bob@corp.test");
	expect(s, "bob#1@corp.test", false, 7, "bob@corp.test");
	expect(s, "bob(work)@corp.test", false, 7, "bob@corp.test");
	expect(s, "bob@corp.test@h4.test", false, 7, "bob@corp.test");
	expect(s, "\"bob\"@corp.test", false, 7, "bob@corp.test");
	expect(s, " bo b\t@corp.test", false, 7, "bob@corp.test");
	spellings_free(s);
}

static void
test_others(void **state)
{
	struct spellings *s = spellings_new();

	(void)state;
	expect(s, "info@a.test", false, 7, "info@a.test");
	/* Another password, another name, no password at hand. */
	expect(s, "info@b.test", false, 8, "info@b.test");
	expect(s, "sales@a.test", false, 7, "sales@a.test");
	expect(s, "info@c.test", false, 0, "info@c.test");
	expect(s, "+x@a.test", false, 7, "+x@a.test");
	expect(s, "", false, 7, "");
	spellings_free(s);
}

/* Normal forms, width, case, soft hyphens: all are one. */
static void
test_beyond_ascii(void **state)
{
	static const char *const names[] = {"zo\xc3\xab@a.test",
	    "zoe\xcc\x88@a.test", "ZO\xc3\x8b@a.test",
	    "\xef\xbd\x9ao\xc3\xab@b.test", "zo\xc2\xad\xc3\xab",
	    "corp\\zo\xc3\xab", "z.o\xc3\xab+x@a.test"};
	struct spellings *s = spellings_new();

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		expect(s, names[i], false, 7, names[0]);
	expect(s, "zo\xc3\xab@a.test", false, 8, "zo\xc3\xab@a.test");
	expect(s, "zoe@a.test", false, 7, "zoe@a.test");
	spellings_free(s);
}

/* Where the domains are listed, each has accounts of its own. */
static void
test_domains(void **state)
{
	struct spellings *s = spellings_new();

	(void)state;
	expect(s, "info@a.test", true, 7, "info@a.test");
	expect(s, "info@b.test", true, 7, "info@b.test");
	expect(s, "info+x@a.test", true, 7, "info@a.test");
	spellings_free(s);
}

static void
test_bound(void **state)
{
	struct spellings *s = spellings_new();
	char name[32];

	(void)state;
	expect(s, "bob@corp.test", false, 7, "bob@corp.test");
	for (unsigned i = 0; i < 4 * SPELLINGS_MAX; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		expect(s, name, false, 9, name);
		/* One in use stays. */
		expect(s, "bob", false, 7, "bob@corp.test");
	}
	spellings_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_account),
	    cmocka_unit_test(test_others),
	    cmocka_unit_test(test_beyond_ascii),
	    cmocka_unit_test(test_domains),
	    cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
