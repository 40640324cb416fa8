/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The name that all spellings of a login count under.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "gate/login.h"
#include "smtp/address.h"

#define UE "\xC3\xBC"

static struct login_rules
rules_of(enum login_form form)
{
	return (struct login_rules){.form = form, .key = smtp_address_key};
}

static void
expect(const struct login_rules *rules, const char *user, const char *name)
{
	char out[LOGIN_NAME_MAX], again[LOGIN_NAME_MAX];
	struct str got = login_name(rules, str_from(user), out);

	if (!str_eq(got, str_from(name)))
		fail_msg("%s: %.*s, not %s", user, STR_ARG(got), name);
	assert_true(str_eq(login_name(rules, got, again), got));
}

static void
test_lower(void **state)
{
	static const char *const bob[] = {"bob@corp.test", "BoB@corp.test",
	    "bob@CORP.TEST", "bob@corp.test.", " bob@corp.test\t",
	    "\"bob\"@corp.test", "\"B\\ob\"@corp.test"};
	struct login_rules rules = rules_of(LOGIN_LOWER);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bob); i++)
		expect(&rules, bob[i], "bob@corp.test");
	expect(&rules, "BOB", "bob");
	expect(&rules, "\"bob\"", "bob");
	expect(&rules, "Bob  \t Smith", "bob smith");
	expect(&rules, "CORP\\Bob", "corp\\bob");
	expect(&rules, "b@B" UE "cher.test", "b@xn--bcher-kva.test");
	expect(&rules, "bob+tag@corp.test", "bob+tag@corp.test");
	expect(&rules, "@", "@");
	expect(&rules, "", "");
	expect(&rules, "  ", "");
}

static void
test_other_forms(void **state)
{
	struct login_rules rules = rules_of(LOGIN_EXACT);

	(void)state;
	expect(&rules, "BoB@Corp.test", "BoB@Corp.test");
	expect(&rules, " BoB ", "BoB");
	rules = rules_of(LOGIN_LOCALPART);
	expect(&rules, "BoB@Corp.test", "bob");
	expect(&rules, "\"bob\"@h1.test", "bob");
	expect(&rules, "bob", "bob");
	expect(&rules, "CORP\\Bob", "bob");
	expect(&rules, "@corp.test", "@corp.test");
}

static void
test_local_domains(void **state)
{
	struct login_rules rules = rules_of(LOGIN_LOWER);
	struct locals *l = locals_new(LOCALS_ADDRESS, smtp_address_key);
	char err[200];

	(void)state;
	rules.locals = l;
	expect(&rules, "Bob@h1.test", "bob@h1.test");
	assert_true(
	    locals_add_domain(l, STR("corp.test"), err, sizeof(err)) &&
	    locals_add_domain(l, STR("b" UE "cher.test"), err, sizeof(err)));
	expect(&rules, "Bob@h1.test", "bob");
	expect(&rules, "bob @h 1", "bob");
	expect(&rules, "Bob@CORP.test.", "bob@corp.test");
	expect(&rules, "Bob@sub.corp.test", "bob");
	expect(&rules, "b@B" UE "cher.test", "b@xn--bcher-kva.test");
	expect(&rules, "bob", "bob");
	rules.form = LOGIN_EXACT;
	expect(&rules, "Bob@h1.test", "Bob");
	expect(&rules, "Bob@Corp.test", "Bob@Corp.test");
	locals_free(l);
}

static void
test_long(void **state)
{
	struct login_rules rules = rules_of(LOGIN_LOWER);
	char in[LOGIN_NAME_MAX + 1], out[LOGIN_NAME_MAX];

	(void)state;
	memset(in, 'A', sizeof(in));
	assert_int_equal(
	    login_name(&rules, (struct str){in, LOGIN_NAME_MAX - 1}, out).n,
	    LOGIN_NAME_MAX - 1);
	assert_int_equal(out[LOGIN_NAME_MAX - 2], 'a');
	assert_ptr_equal(
	    login_name(&rules, (struct str){in, LOGIN_NAME_MAX}, out).p, in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lower),
	    cmocka_unit_test(test_other_forms),
	    cmocka_unit_test(test_local_domains),
	    cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
