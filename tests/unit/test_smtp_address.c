/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Paths, mailboxes and the keys in which addresses are compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "smtp/address.h"

#define U5          \
	"\xC3\xBC." \
	"\xC3\xBC." \
	"\xC3\xBC." \
	"\xC3\xBC." \
	"\xC3\xBC."
#define U15 U5 U5 U5
#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LABELS A63 "." A63 "." A63
#define UE "\xC3\xBC"

struct path {
	const char *in;
	enum smtp_path_error error;
	const char *address, *domain, *rest; /* when there is no error */
};

static const struct path paths[] = {
    {"<a@b>", SMTP_PATH_OK, "a@b", "b", ""},
    {"<a.b+c@d-e.f.> SIZE=1", SMTP_PATH_OK, "a.b+c@d-e.f.", "d-e.f.",
	" SIZE=1"},
    {"<>", SMTP_PATH_OK, "", "", ""},
    {"<postMaster>x", SMTP_PATH_OK, "postMaster", "", "x"},
    {"<@r,@s.t:a@b>", SMTP_PATH_OK, "a@b", "b", ""},
    {"<\"a b>\\\"@\"@c>", SMTP_PATH_OK, "\"a b>\\\"@\"@c", "c", ""},
    {"<\"\"@c>", SMTP_PATH_OK, "\"\"@c", "c", ""},
    {"<a..b.@c_d>", SMTP_PATH_OK, "a..b.@c_d", "c_d", ""},
    {"<a@[127.0.0.1]>", SMTP_PATH_OK, "a@[127.0.0.1]", "[127.0.0.1]", ""},
    {"<a@[IPv6:::1]>", SMTP_PATH_OK, "a@[IPv6:::1]", "[IPv6:::1]", ""},
    {"<" UE "@" UE ".x>", SMTP_PATH_OK, UE "@" UE ".x", UE ".x", ""},
    {"", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"a@b", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@b", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<@b>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@.>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@b..>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@b..c>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@.b>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@-b>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@b@c>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a b@c>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"< a@c>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@b\tc>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<\"a@c>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<\"a\\\x01\"@c>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<\"a\"b@c>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@[>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@[]>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@[1.2.3.4>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<@r,s:a@b>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<@r:>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<@r.org>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@b;c>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<a@" A63 "a>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<\xFF@b>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<\xC2\x85@b>", SMTP_PATH_SYNTAX, 0, 0, 0},
    {"<" A63 "a@b>", SMTP_PATH_OK, A63 "a@b", "b", ""},
    {"<" A63 "aa@b>", SMTP_PATH_OK, A63 "aa@b", "b", ""},
    {"<" A63 A63 A63 A63 "@b>", SMTP_PATH_OK, A63 A63 A63 A63 "@b", "b", ""},
    {"<" A63 A63 A63 A63 "a@b>", SMTP_PATH_TOO_LONG, 0, 0, 0},
    {"<a@" LABELS "." A63 ">", SMTP_PATH_TOO_LONG, 0, 0, 0},
    {"<a@" LABELS "." A63 ".a>", SMTP_PATH_DOMAIN_TOO_LONG, 0, 0, 0},
    {"<a@" LABELS "." LABELS ">", SMTP_PATH_DOMAIN_TOO_LONG, 0, 0, 0},
};

static void
test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		const struct path *p = &paths[i];
		struct str rest = str_from(p->in);
		struct smtp_path out;
		enum smtp_path_error e =
		    smtp_path_parse(&rest, true, true, &out);

		if (e != p->error)
			fail_msg("%s: %s", p->in, smtp_path_error_text(e));
		if (e != SMTP_PATH_OK)
			continue;
		assert_true(str_eq(out.address, str_from(p->address)));
		assert_true(str_eq(out.domain, str_from(p->domain)));
		assert_true(str_eq(rest, str_from(p->rest)));
	}
}

static void
test_path_options(void **state)
{
	struct str null = STR("<>"), utf8 = STR("<" UE "@b>");
	struct str domain = STR("<a@" UE ">"), nul = STR("<a\0@b>");
	struct smtp_path out;

	(void)state;
	assert_int_equal(
	    smtp_path_parse(&null, false, true, &out), SMTP_PATH_SYNTAX);
	assert_int_equal(
	    smtp_path_parse(&utf8, true, false, &out), SMTP_PATH_NOT_ASCII);
	assert_int_equal(
	    smtp_path_parse(&domain, true, false, &out), SMTP_PATH_NOT_ASCII);
	assert_int_equal(
	    smtp_path_parse(&nul, true, true, &out), SMTP_PATH_SYNTAX);
}

/* As a mail server hands it to a milter; NULL: no path. */
static const struct {
	const char *in, *address;
} given[] = {
    {"<a@b>", "a@b"},
    {"a@b", "a@b"},
    {"<@r.test:a@b>", "a@b"},
    {"@r.test,@s.test:a@b", "a@b"},
    {"<\"x y\"@b>", "\"x y\"@b"},
    {"<root>", "root"},
    {"www-data", "www-data"},
    {"<>", NULL},
    {"", NULL},
    {"<x y <a@b>>", NULL},
    {"<a(c)@b>", NULL},
    {"<a@b (c)>", NULL},
    {"<a @b>", NULL},
    {"<a@b .c>", NULL},
    {"<a@ b>", NULL},
    {"< a@b>", NULL},
    {"<a\\ b@c>", NULL},
    {"<a@b@c>", NULL},
    {"<a@b,c@d>", NULL},
    {"<a@b> NOTIFY=NEVER", NULL},
    {"<a@b", NULL},
    {"a@b>", NULL},
    {"<<a@b>>", NULL},
    {"<\"a@b>", NULL},
    {"<a\r\nRCPT TO:<b@c>", NULL},
    {"<a\x01@b>", NULL},
    {"<\xFF@b>", NULL},
    {"<@r.test:>", NULL},
    {"<@r.test:a>", NULL},
    {"<@r.test>", NULL},
    {"<@r test:a@b>", NULL},
    {"<" A63 A63 A63 A63 "a@b>", NULL},
};

static void
test_given(void **state)
{
	struct smtp_path out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(given); i++) {
		struct str in = str_from(given[i].in);
		bool ok =
		    smtp_path_parse_given(in, false, &out) == SMTP_PATH_OK;

		if (ok != (given[i].address != NULL))
			fail_msg("%s", given[i].in);
		if (ok)
			assert_true(
			    str_eq(out.address, str_from(given[i].address)));
	}
	assert_int_equal(
	    smtp_path_parse_given(STR("<>"), true, &out), SMTP_PATH_OK);
	assert_int_equal(
	    smtp_path_parse_given(STR(""), true, &out), SMTP_PATH_OK);
	assert_int_equal(out.address.n, 0);
}

static const struct {
	const char *in, *key, *folded;
} keys[] = {
    {"A.b@Example.ORG", "a.b@example.org", "a.b@example.org"},
    {"a+tag+b@x", "a+tag+b@x", "a@x"},
    {"+tag@x", "+tag@x", "+tag@x"},
    {"a@x.", "a@x", "a@x"},
    {"\"a.B\"@x", "a.b@x", "a.b@x"},
    {"\"a+t\"@x", "a+t@x", "a@x"},
    {"\"\\a\\b\"@x", "ab@x", "ab@x"},
    {"\"a B+t\"@x", "\"a b+t\"@x", "\"a b+t\"@x"},
    {"\"a\\ \\\"\"@x", "\"a \\\"\"@x", "\"a \\\"\"@x"},
    {"\"\"@x", "\"\"@x", "\"\"@x"},
    {"PostMaster", "postmaster", "postmaster"},
    {"a@[IPv6:FE80::1]", "a@[ipv6:fe80::1]", "a@[ipv6:fe80::1]"},
    {"a@B\xC3\xBC"
     "cher.example",
	"a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
    {"a@B\xC3\x9C"
     "CHER.example.",
	"a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
    {"a@XN--bcher-kva.example", "a@xn--bcher-kva.example",
	"a@xn--bcher-kva.example"},
    /* The local part's own letters are not ours to fold. */
    {"\xC3\x9C"
     "A@x",
	"\xC3\x9C"
	"a@x",
	"\xC3\x9C"
	"a@x"},
    /* A fullwidth '@' maps to '@', which no domain may hold. */
    {"a@B\xEF\xBC\xA0"
     "c.org",
	"a@b\xEF\xBC\xA0"
	"c.org",
	"a@b\xEF\xBC\xA0"
	"c.org"},
    /* As A-labels it would be too long for an address. */
    {A63 A63 A63 "@" U15 "x", A63 A63 A63 "@" U15 "x", A63 A63 A63 "@" U15 "x"},
    {"", "", ""},
    {"a", "a", "a"},
    {"\"A\"", "a", "a"},
    {"u+tag", "u+tag", "u"},
    {"a b", "", ""},
    {"a@[IPv6:0:0::001]", "a@[ipv6:::1]", "a@[ipv6:::1]"},
    {"a@[IPv6:::ffff:192.0.2.1]", "a@[192.0.2.1]", "a@[192.0.2.1]"},
    {"a@[x-y]", "a@[x-y]", "a@[x-y]"},
    {"@r.test:a@b", "", ""},
    {"a@b c", "", ""},
    {"<a@b>", "", ""},
};

static void
test_keys(void **state)
{
	char key[SMTP_KEY_MAX], again[SMTP_KEY_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct str in = str_from(keys[i].in);

		assert_int_equal(
		    smtp_address_key(in, false, key), strlen(keys[i].key));
		assert_string_equal(key, keys[i].key);
		if (key[0] != '\0')
			assert_true(
			    smtp_address_key(str_from(key), false, again) > 0);
		assert_true(key[0] == '\0' || strcmp(key, again) == 0);
		smtp_address_key(in, true, key);
		assert_string_equal(key, keys[i].folded);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_path_options),
	    cmocka_unit_test(test_given),
	    cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
