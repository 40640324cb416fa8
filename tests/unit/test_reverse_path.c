/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reverse paths that are made for one message, and their base.
 */
#include "base/reverse_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
test_base(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"bob@x.test", "bob@x.test"},
	    {"bob+shop@x.test", "bob@x.test"},
	    {"+bob@x.test", "+bob@x.test"},
	    /* VERP: Mailman, ezmlm, Postfix, Sympa, senders of newsletters. */
	    {"list-bounces+bob=b.test@l.test", "list-bounces@l.test"},
	    {"list-bounces+jean-2-p=b.test@l.test", "list-bounces@l.test"},
	    {"list-return-17-bob=b.test@l.test", "list-return@l.test"},
	    {"bounce-17-bob=b.test@l.test", "bounce@l.test"},
	    {"bounce-17-bob+t=b.test@l.test", "bounce@l.test"},
	    {"news-17-bob+t=b.test@l.test", "news@l.test"},
	    {"news-bob=b.test@l.test", "news@l.test"},
	    {"bounces+1234-ab12-bob=b.test@l.test", "bounces@l.test"},
	    {"bounce.8f14e45f@l.test", "bounce@l.test"},
	    {"bob=b.test@l.test", "=@l.test"},
	    {"bouncer@l.test", "bouncer@l.test"},
	    {"a-b@l.test", "a-b@l.test"},
	    /* No domain behind the =. */
	    {"a=b@l.test", "a=b@l.test"},
	    /* BATV */
	    {"prvs=1234abcdef=bob@x.test", "bob@x.test"},
	    {"PRVS=1234abcdef=bob@x.test", "bob@x.test"},
	    {"prvs=1234abcdef=bob+t@x.test", "bob@x.test"},
	    {"btv1==12ab==bob@x.test", "bob@x.test"},
	    {"msprvs1=17abc=bob@x.test", "bob@x.test"},
	    {"prvs=1234abcdef=l-bounces+b=b.test@l.test", "l-bounces@l.test"},
	    {"prvs==bob@x.test", "prvs==bob@x.test"},
	    {"prvs=bob@x.test", "prvs=bob@x.test"},
	    /* SRS */
	    {"srs0=ab12=tt=b.test=bob@f.test", "srs0@f.test"},
	    {"SRS0+ab12=tt=b.test=bob@f.test", "SRS0@f.test"},
	    {"srs1=ab12=g.test==hh=tt=b.test=bob@f.test", "srs1@f.test"},
	    {"srs0=bob@f.test", "srs0=bob@f.test"},
	    {"srs0bob@f.test", "srs0bob@f.test"},
	    /* Another address may hide in it. */
	    {"x+bob%x.test@l.test", "x+bob%x.test@l.test"},
	    {"x.test!bob+t@l.test", "x.test!bob+t@l.test"},
	    {"\"x+bob@x.test\"@l.test", "\"x+bob@x.test\"@l.test"},
	    {"srs0=a%b=c=d=e@l.test", "srs0=a%b=c=d=e@l.test"},
	    /* None. */
	    {"", ""},
	    {"@", "@"},
	    {"bob", "bob"},
	};
	char out[REVERSE_PATH_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str got = reverse_path_base(str_from(rows[i].in), out);

		if (!str_eq(got, str_from(rows[i].out)))
			fail_msg("%s: %.*s", rows[i].in, STR_ARG(got));
	}
}

static void
test_long(void **state)
{
	char in[REVERSE_PATH_MAX + 8], out[REVERSE_PATH_MAX];
	struct str address = {in, sizeof(in)};

	(void)state;
	memset(in, 'a', sizeof(in));
	in[1] = '+';
	in[2] = '@';
	assert_true(str_eq(reverse_path_base(address, out), address));
	in[0] = '\0'; /* no separator, and no address */
	address.n = REVERSE_PATH_MAX;
	assert_true(str_eq(reverse_path_base(address, out), address));
	in[0] = 'a';
	assert_int_equal(
	    reverse_path_base(address, out).n, REVERSE_PATH_MAX - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_base),
	    cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
