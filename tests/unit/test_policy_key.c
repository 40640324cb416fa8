/* SPDX-License-Identifier: BSD-3-Clause */
/* The names of sources: from what is known of a sender, and from what a person
 * types. */
#include "policy_rig.h"

#include "gate/match.h"

static void
expect_key(const char *options, const char *user, const char *sender,
    const char *client, const char *want)
{
	struct gate_facts facts = facts_of(user, sender, client);
	char key[POLICY_SOURCE_MAX];
	struct policies *set;
	const struct policy *p = only(&set, options);
	size_t n = policy_source_key(p, &facts, key);

	assert_string_equal(key, want);
	assert_int_equal(n, strlen(key));
	policies_free(set);
}

static void
test_keys(void **state)
{
	(void)state;
	expect_key(
	    "", "Alice@Example.org", "x@y", "192.0.2.1", "alice@example.org");
	expect_key("", "", "x@y", "192.0.2.1", "[192.0.2.1]");
	expect_key("", "", "X@y", NULL, "<x@y>");
	expect_key("", "", "", NULL, "<>");
	expect_key("", "", "", "2001:db8:1:2:3::4", "[2001:db8:1:2::/64]");
	expect_key(
	    "ipv6_prefix = 32", "", "", "2001:db8:1:2:3::4", "[2001:db8::/32]");
	expect_key("ipv6_prefix = 128", "", "", "2001:db8::4", "[2001:db8::4]");
	expect_key("", "", "", "::ffff:192.0.2.1", "[192.0.2.1]");
	expect_key("key = user", "bob", "x@y", "192.0.2.1", "bob");
	expect_key("key = user", "", "x@y", "192.0.2.1", "[192.0.2.1]");
	expect_key("key = client", "bob", "x@y", "192.0.2.1", "[192.0.2.1]");
	expect_key("key = client", "bob", "x@y", NULL, "[local]");
	expect_key("key = envelope", "bob", "X@y", "192.0.2.1", "<x@y>");
	expect_key("key = envelope", "bob", "", "192.0.2.1", "<>");
	/* Quotes that quote nothing make no other sender. */
	expect_key("key = envelope", "", "\"A\"@x", NULL, "<a@x>");
	expect_key("key = envelope", "", "\"a\\b\"@x", NULL, "<ab@x>");
	expect_key(
	    "key = envelope", "", "\"a\\ b\"@x", NULL, "<\\x22a b\\x22@x>");
	expect_key("", "\"a\"", "", NULL, "\\x22a\\x22");
	/* Nobody gets another's name. */
	expect_key("", "[192.0.2.1]", "", NULL, "user:[192.0.2.1]");
	expect_key("", "<x@y>", "", NULL, "user:<x@y>");
	expect_key("", "user:[x]", "", NULL, "user:user:[x]");
	expect_key("", "a\nb\\", "", NULL, "a\\x0ab\\x5c");
}

static void
test_long_keys(void **state)
{
	char one[600], two[600], key1[POLICY_SOURCE_MAX];
	char key2[POLICY_SOURCE_MAX];
	struct gate_facts facts;
	struct policies *set;
	const struct policy *p = only(&set, "");

	(void)state;
	/* Two long names that differ in the last byte alone. */
	memset(one, 'a', sizeof(one));
	one[sizeof(one) - 1] = '\0';
	memcpy(two, one, sizeof(two));
	two[sizeof(two) - 2] = 'b';
	facts = facts_of(one, "", NULL);
	assert_true(policy_source_key(p, &facts, key1) < POLICY_SOURCE_MAX);
	facts = facts_of(two, "", NULL);
	assert_true(policy_source_key(p, &facts, key2) < POLICY_SOURCE_MAX);
	assert_string_not_equal(key1, key2);
	/* And two that grow by escaping. */
	memset(one, '\1', 310);
	one[310] = '\0';
	memcpy(two, one, 311);
	two[309] = '\2';
	facts = facts_of("", one, NULL);
	policy_source_key(p, &facts, key1);
	facts = facts_of("", two, NULL);
	policy_source_key(p, &facts, key2);
	assert_string_not_equal(key1, key2);
	policies_free(set);
}

static void
test_key_facts(void **state)
{
	struct gate_facts facts;
	char text[IP_TEXT_MAX];

	(void)state;
	policy_key_facts(STR("alice@example.org"), &facts);
	assert_true(str_eq(facts.user, STR("alice@example.org")));
	policy_key_facts(STR("user:[x]"), &facts);
	assert_true(str_eq(facts.user, STR("[x]")));
	policy_key_facts(STR("<x@y>"), &facts);
	assert_true(str_eq(facts.sender, STR("x@y")));
	assert_int_equal(facts.user.n, 0);
	policy_key_facts(STR("[2001:db8::/64]"), &facts);
	assert_string_equal(ip_format(&facts.client, text), "2001:db8::");
	policy_key_facts(STR("[local]"), &facts);
	assert_int_equal(facts.client.family, IP_NONE);
	policy_key_facts(STR("["), &facts);
	policy_key_facts(STR("<"), &facts);
	policy_key_facts(STR(""), &facts);
}

static bool
can_mean(const char *name, const char *key)
{
	char guess[POLICY_SOURCE_MAX];

	for (unsigned i = 0; policy_key_guess(str_from(name), i, guess); i++) {
		if (strcmp(guess, key) == 0)
			return true;
	}
	return false;
}

static bool
match_own(const struct match *m, struct str name)
{
	return match_sender(m, &(struct match_facts){.own = name});
}

static bool
match_user(const struct match *m, struct str name)
{
	return match_sender(m, &(struct match_facts){.user = name});
}

/* Addresses match by what they mean, users' names as they stand. */
static void
test_match_quoted(void **state)
{
	struct match *m = match_new(MATCH_SENDERS);
	struct match *to = match_new(MATCH_RECIPIENTS);

	(void)state;
	assert_true(match_add(m, STR("from:a@x"), err, sizeof(err)) &&
		    match_add(m, STR("\"b\"@x"), err, sizeof(err)) &&
		    match_add(m, STR("\"c d\"@x"), err, sizeof(err)) &&
		    match_add(to, STR("a@x"), err, sizeof(err)) &&
		    match_add(to, STR("\"b\"@x"), err, sizeof(err)));
	assert_true(
	    match_sender(m, &(struct match_facts){.sender = STR("\"\\a\"@X")}));
	assert_true(match_own(m, STR("b@x")));
	assert_true(match_own(m, STR("\"B\"@x")));
	assert_true(match_own(m, STR("\"c\\ d\"@x")));
	assert_false(match_own(m, STR("cd@x")));
	assert_true(match_user(m, STR("\"b\"@x")));
	assert_false(match_user(m, STR("b@x")));
	/* The source's own name alone, not any envelope sender. */
	assert_false(
	    match_sender(m, &(struct match_facts){.sender = STR("b@x")}));
	assert_true(match_recipient(to, STR("\"a\"@x")));
	assert_true(match_recipient(to, STR("b@x")));
	assert_false(match_recipient(to, STR("\"a \"@x")));
	match_free(m);
	match_free(to);
}

static void
test_guess(void **state)
{
	(void)state;
	assert_true(can_mean("Alice@example.org", "alice@example.org"));
	assert_true(can_mean("alice@example.org", "<alice@example.org>"));
	assert_true(can_mean("192.0.2.1", "[192.0.2.1]"));
	assert_true(can_mean("2001:db8::1", "[2001:db8::1]"));
	assert_true(can_mean("2001:db8::1", "[2001:db8::/64]"));
	assert_true(can_mean("2001:db8:0:1::1", "[2001:db8::/48]"));
	assert_true(can_mean("local", "[local]"));
	assert_true(can_mean("", "<>"));
	/* Of today, and as it was stored before. */
	assert_true(can_mean("\"a\"@x", "<a@x>"));
	assert_true(can_mean("\"a\"@x", "<\\x22a\\x22@x>"));
	assert_false(can_mean("192.0.2.1", "[192.0.2.0/24]"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_keys),
	    cmocka_unit_test(test_long_keys),
	    cmocka_unit_test(test_key_facts),
	    cmocka_unit_test(test_match_quoted),
	    cmocka_unit_test(test_guess),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
