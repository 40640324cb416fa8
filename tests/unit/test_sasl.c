/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who logs in, read from what the client says: each mechanism, and what an
 * attacker would make of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "smtp/sasl.h"

static struct str
encode(const char *p, size_t n, struct buf *out)
{
	buf_init(out, 1 << 16);
	assert_true(base64_encode((struct str){p, n}, out));
	return buf_str(out);
}

struct line_case {
	const char *text; /* decoded */
	size_t n;
	enum sasl_verdict verdict;
};

#define L(text, verdict)                        \
	{                                       \
		text, sizeof(text) - 1, verdict \
	}
#define END                           \
	{                             \
		NULL, 0, SASL_GOES_ON \
	}
#define SOH "\001"
#define DIGEST "0123456789abcdef0123456789abcdef"

static const struct {
	enum sasl_mech mech;
	struct line_case lines[4];
	const char *user;
} cases[] = {
    {SASL_PLAIN, {L("\0alice\0secret", SASL_GOES_ON), END}, "alice"},
    {SASL_PLAIN, {L("boss\0alice\0secret", SASL_GOES_ON), END}, "alice"},
    {SASL_PLAIN, {L("\0\xC3\xA4\0x", SASL_GOES_ON), END}, "\xC3\xA4"},
    {SASL_PLAIN, {L("\0alice\0", SASL_MALFORMED), END}, ""},
    {SASL_PLAIN, {L("\0alice", SASL_MALFORMED), END}, ""},
    {SASL_PLAIN, {L("", SASL_MALFORMED), END}, ""},
    {SASL_PLAIN, {L("\0alice\0a\0b", SASL_MALFORMED), END}, ""},
    {SASL_PLAIN, {L("\0\0secret", SASL_NAMELESS), END}, ""},
    {SASL_PLAIN, {L("\0al\nice\0secret", SASL_NAMELESS), END}, ""},
    {SASL_PLAIN, {L("\0al\xFFice\0secret", SASL_NAMELESS), END}, ""},
    {SASL_PLAIN, {L("\0al\xC2\x85ice\0secret", SASL_NAMELESS), END}, ""},
    /* A server that asks again would hear another name. */
    {SASL_PLAIN,
	{L("\0alice\0x", SASL_GOES_ON), L("\0bob\0x", SASL_MALFORMED), END},
	"alice"},
    {SASL_LOGIN,
	{L("alice", SASL_GOES_ON), L("secret", SASL_GOES_ON),
	    L("more", SASL_MALFORMED), END},
	"alice"},
    {SASL_LOGIN, {L("", SASL_NAMELESS), END}, ""},
    {SASL_CRAM_MD5, {L("alice " DIGEST, SASL_GOES_ON), END}, "alice"},
    {SASL_CRAM_MD5, {L("al ice " DIGEST, SASL_GOES_ON), END}, "al ice"},
    {SASL_CRAM_MD5, {L("alice abc", SASL_MALFORMED), END}, ""},
    {SASL_CRAM_MD5, {L(" " DIGEST, SASL_NAMELESS), END}, ""},
    {SASL_XOAUTH2,
	{L("user=a@b.c" SOH "auth=Bearer xyz" SOH SOH, SASL_GOES_ON),
	    L("", SASL_GOES_ON), END},
	"a@b.c"},
    {SASL_XOAUTH2, {L("auth=Bearer xyz" SOH SOH, SASL_MALFORMED), END}, ""},
    {SASL_XOAUTH2,
	{L("user=a@b.c" SOH "auth=x" SOH SOH, SASL_GOES_ON),
	    L("user=z@b.c" SOH, SASL_MALFORMED), END},
	"a@b.c"},
    {SASL_OAUTHBEARER,
	{L("n,a=a@b.c," SOH "host=h" SOH "auth=Bearer x" SOH SOH, SASL_GOES_ON),
	    L(SOH, SASL_GOES_ON), END},
	"a@b.c"},
    {SASL_OAUTHBEARER,
	{L("n,a=a=2Cb=3Dc," SOH "auth=Bearer x" SOH SOH, SASL_GOES_ON), END},
	"a,b=c"},
    {SASL_OAUTHBEARER,
	{L("n,a=a=2cb," SOH "auth=Bearer x" SOH SOH, SASL_MALFORMED), END}, ""},
    {SASL_OAUTHBEARER, {L("n,," SOH "auth=Bearer x" SOH SOH, SASL_OPAQUE), END},
	""},
    {SASL_OAUTHBEARER, {L("auth=Bearer x", SASL_MALFORMED), END}, ""},
    {SASL_OAUTHBEARER, {L("q,a=b," SOH SOH, SASL_MALFORMED), END}, ""},
};

static void
test_users(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sasl_watch w;

		sasl_watch_init(&w, cases[i].mech, 0);
		for (const struct line_case *l = cases[i].lines;
		     l->text != NULL; l++) {
			struct buf b;
			enum sasl_verdict got =
			    sasl_watch_line(&w, encode(l->text, l->n, &b));

			if (got != l->verdict)
				fail_msg("case %zu, %s: %d", i, l->text, got);
			buf_clear(&b);
		}
		if (!str_eq(sasl_watch_user(&w), str_from(cases[i].user)))
			fail_msg("case %zu: %s", i, w.user);
	}
}

static uint64_t
proof_of(enum sasl_mech mech, uint64_t seed, struct str first, const char *then)
{
	struct sasl_watch w;
	struct buf b;

	sasl_watch_init(&w, mech, seed);
	(void)sasl_watch_line(&w, encode(first.p, first.n, &b));
	buf_clear(&b);
	if (then != NULL) {
		(void)sasl_watch_line(&w, encode(then, strlen(then), &b));
		buf_clear(&b);
	}
	return w.proof;
}

/* The same password, and no other, gives the same; nothing without a seed. */
static void
test_proof(void **state)
{
	const struct str plain = STR("\0bob\0secret");
	uint64_t proof = proof_of(SASL_PLAIN, 7, plain, NULL);

	(void)state;
	assert_true(proof != 0);
	assert_true(proof == proof_of(SASL_LOGIN, 7, STR("eve"), "secret"));
	assert_true(proof != proof_of(SASL_LOGIN, 7, STR("bob"), "Secret"));
	assert_true(proof != proof_of(SASL_PLAIN, 9, plain, NULL));
	assert_true(proof_of(SASL_PLAIN, 0, plain, NULL) == 0);
	assert_true(proof_of(SASL_LOGIN, 7, STR("bob"), NULL) == 0);
	assert_true(proof_of(SASL_LOGIN, 7, STR("bob"), "") == 0);
}

static void
test_long_names(void **state)
{
	char text[600];
	struct sasl_watch w;
	struct buf b;

	(void)state;
	memset(text, 'x', sizeof(text));
	sasl_watch_init(&w, SASL_LOGIN, 0);
	assert_int_equal(
	    sasl_watch_line(&w, encode(text, 256, &b)), SASL_NAMELESS);
	buf_clear(&b);
	sasl_watch_init(&w, SASL_LOGIN, 0);
	assert_int_equal(
	    sasl_watch_line(&w, encode(text, 255, &b)), SASL_GOES_ON);
	assert_int_equal(sasl_watch_user(&w).n, 255);
	buf_clear(&b);
	memcpy(text, "n,a=", 4);
	sasl_watch_init(&w, SASL_OAUTHBEARER, 0);
	assert_int_equal(
	    sasl_watch_line(&w, encode(text, 600, &b)), SASL_MALFORMED);
	buf_clear(&b);
}

static void
test_base64(void **state)
{
	static const struct {
		const char *text, *code;
	} good[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
	    {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
	    {"foobar", "Zm9vYmFy"}};
	static const char *const bad[] = {"Z", "Zg", "Zg=", "====", "Zg=a",
	    "Z===", "Zm9v\n", "Zm 9", "Zm9*", "=Zg=", "Zm9v="};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct buf b, back;

		assert_true(
		    str_eq(encode(good[i].text, strlen(good[i].text), &b),
			str_from(good[i].code)));
		buf_init(&back, 100);
		assert_true(base64_decode(buf_str(&b), &back));
		assert_true(str_eq(buf_str(&back), str_from(good[i].text)));
		buf_clear(&b);
		buf_clear(&back);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf back;

		buf_init(&back, 100);
		if (base64_decode(str_from(bad[i]), &back) ||
		    sasl_is_base64(str_from(bad[i])))
			fail_msg("taken: %s", bad[i]);
		buf_clear(&back);
	}
	assert_true(sasl_is_base64(STR("=")));
	assert_true(sasl_is_base64(STR("")));
}

static void
test_mechanisms(void **state)
{
	char text[64];

	(void)state;
	assert_int_equal(sasl_mech_find(STR("cram-md5")), SASL_CRAM_MD5);
	assert_int_equal(sasl_mech_find(STR("PLAIN2")), 0);
	assert_int_equal(sasl_mech_find(STR("")), 0);
	assert_string_equal(
	    sasl_mechs_format(
		sasl_mechs_parse(STR("XOAUTH2 x PLAIN")), text, sizeof(text)),
	    "PLAIN XOAUTH2");
	assert_string_equal(sasl_mechs_format(0, text, sizeof(text)), "");
}

static void
expect_shown(const char *words, const char *want)
{
	char out[256];
	struct str shown = sasl_hide(str_from(words), out, sizeof(out));

	if (!str_eq(shown, str_from(want)))
		fail_msg("%.*s, not %s", (int)shown.n, shown.p, want);
}

static void
test_hide(void **state)
{
	char out[16];

	(void)state;
	expect_shown("", "");
	expect_shown("5.7.8 Error: authentication failed: UGFzc3dvcmQ6",
	    "5.7.8 Error: authentication failed: ...");
	expect_shown("unrecognized command AUTH PLAIN AGEAc2VjcmV0",
	    "unrecognized command AUTH PLAIN ...");
	expect_shown("\"c2VjcmV0cw==\"?", "\"...\"?");
	expect_shown("what is PLAIN=AGFsaWNlAHNlY3JldA==", "what is PLAIN=...");
	/* The words stay. */
	expect_shown("Username and Password not accepted. For more, go to "
		     "https://support.example.com/mail/?p=BadCredentials "
		     "98e67ed59e1d1-33d7b - gsmtp",
	    "Username and Password not accepted. For more, go to "
	    "https://support.example.com/mail/?p=BadCredentials "
	    "98e67ed59e1d1-33d7b - gsmtp");
	expect_shown("STARTTLS or AUTHENTICATE first", "STARTTLS or "
						       "AUTHENTICATE first");
	/* Cut where the room ends. */
	assert_int_equal(sasl_hide(STR("well, 123456789012345 no"), out, 16).n,
	    strlen("well, "));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_users),
	    cmocka_unit_test(test_long_names),
	    cmocka_unit_test(test_proof),
	    cmocka_unit_test(test_base64),
	    cmocka_unit_test(test_mechanisms),
	    cmocka_unit_test(test_hide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
