/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy section from text to numbers, and the choice of a policy. */
#include "policy_rig.h"

#include "gate/match.h"
#include "os/entries.h"

static void
test_defaults(void **state)
{
	struct policies *built_in = read_policies(""), *set;
	const struct policy *empty = only(&set, "");
	const struct policy *p = policies_default(built_in);

	(void)state;
	assert_non_null(p);
	assert_string_equal(p->conf->name, "default");
	assert_int_equal(p->throttle.working_set, 64);
	assert_int_equal(p->throttle.interval_ms, 60000);
	assert_int_equal(p->throttle.burst, 10);
	assert_int_equal(p->throttle.initial, 10);
	assert_int_equal(p->throttle.freeze_at, 100);
	assert_int_equal(p->throttle.queue_max, 10000);
	assert_int_equal(p->throttle.idle_expiry_ms / 86400000, 30);
	assert_false(p->throttle.hold_when_frozen);
	assert_int_equal(p->conf->when_frozen, POLICY_FROZEN_TEMPFAIL);
	assert_int_equal(p->conf->ipv6_prefix, 64);
	/* The built-in one is what an empty section gives. */
	assert_memory_equal(
	    &p->throttle, &empty->throttle, sizeof(p->throttle));
	assert_int_equal(p->conf->key, empty->conf->key);
	assert_int_equal(p->conf->multi, empty->conf->multi);
	assert_int_equal(p->conf->ipv6_prefix, empty->conf->ipv6_prefix);
	policies_free(built_in);
	policies_free(set);
}

static void
test_options(void **state)
{
	struct policies *set;
	const struct policy *p = only(&set,
	    "working_set = 7 interval = \"90s\" burst = 3 initial = 2 "
	    "freeze_at = 20 freeze_growth = \"50/1m\" "
	    "limit = {\"30/1h\", \"100/1d\"} idle_expiry = \"2d\" "
	    "queue_max = 40 key = client multi = whole when_frozen = hold "
	    "exempt = true fold_tags = true ipv6_prefix = 48 "
	    "contact = \"help@example.org\"");

	(void)state;
	assert_int_equal(p->throttle.working_set, 7);
	assert_int_equal(p->throttle.interval_ms, 90000);
	assert_int_equal(p->throttle.burst, 3);
	assert_int_equal(p->throttle.initial, 2);
	assert_int_equal(p->throttle.freeze_at, 20);
	assert_int_equal(p->throttle.freeze_growth.count, 50);
	assert_int_equal(p->throttle.freeze_growth.window_ms, 60000);
	assert_int_equal(p->throttle.limit_count, 2);
	assert_int_equal(p->throttle.limits[1].count, 100);
	assert_int_equal(p->throttle.limits[1].window_ms, 86400000);
	assert_int_equal(p->throttle.idle_expiry_ms, 2 * 86400000);
	assert_int_equal(p->throttle.queue_max, 40);
	assert_true(p->throttle.hold_when_frozen);
	assert_int_equal(p->conf->key, POLICY_KEY_CLIENT);
	assert_int_equal(p->conf->multi, POLICY_WHOLE);
	assert_true(p->conf->exempt);
	assert_true(p->conf->fold_tags);
	assert_int_equal(p->conf->ipv6_prefix, 48);
	assert_string_equal(p->conf->contact, "help@example.org");
	policies_free(set);
}

static void
test_profiles(void **state)
{
	static const char *const names[] = {"tcp", "udp", "paper"};
	const struct policy *p;
	struct policies *set;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char text[64];

		snprintf(text, sizeof(text), "profile = \"%s\"", names[i]);
		p = only(&set, text);
		assert_true(p->throttle.paper);
		assert_int_equal(p->throttle.working_set, 5);
		assert_int_equal(p->throttle.interval_ms, 1000);
		assert_int_equal(p->throttle.freeze_at, 100);
		policies_free(set);
	}
	/* What is given goes before the profile, also where a number that was
	 * not given must follow. */
	p = only(&set, "profile = tcp working_set = 8 freeze_at = 300");
	assert_true(p->throttle.paper);
	assert_int_equal(p->throttle.working_set, 8);
	assert_int_equal(p->throttle.freeze_at, 300);
	assert_true(p->throttle.queue_max >= 300);
	assert_int_equal(p->throttle.interval_ms, 1000);
	policies_free(set);
	p = only(&set, "burst = 4 freeze_at = 0");
	assert_int_equal(p->throttle.initial, 4);
	assert_int_equal(p->throttle.freeze_at, 0);
	policies_free(set);
	p = only(&set, "initial = 0");
	assert_int_equal(p->throttle.initial, 0);
	policies_free(set);
}

static void
expect_error(const char *text, const char *needle)
{
	struct policies *set = read_policies(text);

	policies_free(set);
	if (set != NULL || strstr(err, needle) == NULL)
		fail_msg("%s\ngave: %s\nnot: %s", text,
		    set != NULL ? "no error" : err, needle);
}

static void
test_errors(void **state)
{
	(void)state;
	expect_error("\npolicy \"x\" { burst = 3 }\n",
	    "weir.conf:2: policy \"x\": it has no match");
	expect_error("policy \"default\" { queue_max = 20 }\n",
	    "weir.conf:1: policy \"default\": queue_max (20) is below "
	    "freeze_at "
	    "(100); raise the former or lower the latter");
	expect_error("policy \"p\" { match = \"<alice@example.org>\" }\n",
	    "match: \"<alice@example.org>\": angle brackets are not allowed; "
	    "write from:");
	expect_error("policy \"p\" { match = \"[192.0.2.1]\" }\n", "client:");
	expect_error("policy \"default\" { exempt_recipients = "
		     "\"<alice@example.org>\" }\n",
	    "write user@example.org");
	expect_error("policy \"default\" { working_set = 5000 }\n", "1 to");
	expect_error("policy \"default\" { burst = 0 }\n", "burst");
	expect_error("policy \"default\" { interval = \"0\" }\n", "interval");
	expect_error("policy \"default\" { interval = 5 }\n", "duration");
	expect_error("policy \"default\" { limit = {\"0/1h\"} }\n", "limit");
	expect_error("policy \"default\" { multi = both }\n", "split, whole");
	expect_error("policy \"default\" { nonsense = 1 }\n", "nonsense");
	expect_error("policy \"x\" { match = {\"*@example.org\"} }\n",
	    "match: \"*@example.org\": patterns are not supported");
	expect_error("policy \"x\" { match = {\"news*@example.org\"} }\n",
	    "weir.conf:1: policy \"x\": match: \"news*@example.org\": patterns "
	    "are not supported");
	expect_error("policy \"x\" { match = {\"user:al?ce\"} }\n",
	    "match: \"user:al?ce\": patterns are not supported");
	expect_error("policy \"x\" { match = {\"from:@*.example.org\"} }\n",
	    "match: \"from:@*.example.org\": patterns are not supported");
	expect_error(
	    "policy \"x\" { match = {\"192.0.2.1/24\"} }\n", "not a network");
	expect_error(
	    "policy \"x\" { match = {\"client:host\"} }\n", "not a network");
	expect_error("policy \"x\" { match = {\"\"} }\n", "empty entry");
	expect_error("policy \"x\" { match = {\"user:\"} }\n", "empty entry");
	expect_error("policy \"x\" { match = {\"file:/nonexistent/x\"} }\n",
	    "/nonexistent/x: No such file");
	expect_error("policy \"default\" { exempt_recipients = {\"bob\"} }\n",
	    "exempt_recipients: \"bob\": not an address");
}

static void
test_familiar(void **state)
{
	static const struct {
		const char *options, *error;
	} bad[] = {
	    {"familiar_burst = 5", "familiar_burst (5) is below burst (10)"},
	    {"familiar_interval = \"2m\"", "longer than interval"},
	    {"queue_max = 400 familiar_freeze_at = 500",
		"queue_max (400) is below familiar_freeze_at (500)"},
	    {"familiar_burst = 0", "familiar_burst"},
	    {"familiar_for = \"-1d\"", "familiar_for"},
	};
	struct policies *set;
	const struct policy *p = only(&set, "");

	(void)state;
	assert_true(p->has_familiar);
	assert_int_equal(p->conf->familiar_for_ms / 86400000, 365);
	assert_int_equal(p->familiar.burst, 100);
	assert_int_equal(p->familiar.initial, 100);
	assert_int_equal(p->familiar.interval_ms, 10000);
	assert_int_equal(p->familiar.freeze_at, 300);
	assert_int_equal(p->familiar.queue_max, 10000);
	p = policies_of_key(set, STR("<>"));
	assert_true(p->has_familiar);
	assert_int_equal(p->familiar.interval_ms, 1000);
	assert_int_equal(p->familiar.freeze_at, 0);
	policies_free(set);
	/* Never less than strangers have. */
	p = only(&set, "burst = 500 interval = \"1s\" freeze_at = 1000");
	assert_int_equal(p->familiar.burst, 500);
	assert_int_equal(p->familiar.interval_ms, 1000);
	assert_int_equal(p->familiar.freeze_at, 1000);
	policies_free(set);
	p = only(&set, "queue_max = 100");
	assert_int_equal(p->familiar.freeze_at, 100);
	policies_free(set);
	p = only(&set, "freeze_at = 0");
	assert_int_equal(p->familiar.freeze_at, 0);
	policies_free(set);
	p = only(&set, "familiar_for = \"0\"");
	assert_false(p->has_familiar);
	policies_free(set);
	p = only(&set, "profile = paper familiar_freeze_at = 1000");
	assert_false(p->has_familiar);
	assert_null(throttle_policy_error(&p->familiar));
	policies_free(set);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *text =
		    xasprintf("policy \"default\" { %s }\n", bad[i].options);

		assert_null(read_policies(text));
		if (strstr(err, bad[i].error) == NULL)
			fail_msg("%s: %s", bad[i].options, err);
		assert_non_null(strstr(err, "weir.conf:1:"));
		free(text);
	}
}

static void
test_duplicate_names(void **state)
{
	char name[] = "default";
	struct policy_conf confs[2] = {
	    {.name = name, .place = {"a.conf", 3}, .ipv6_prefix = 64},
	    {.name = name, .place = {"a.conf", 9}, .ipv6_prefix = 64},
	};

	(void)state;
	assert_null(policies_new(confs, 2, err, sizeof(err)));
	assert_non_null(strstr(err, "a.conf:9: policy \"default\": duplicate"));
}

static void
expect_policy(const struct policies *set, const char *user, const char *sender,
    const char *client, const char *name)
{
	struct gate_facts facts = facts_of(user, sender, client);
	const char *got = policies_select(set, &facts)->conf->name;

	if (strcmp(got, name) != 0)
		fail_msg("%s %s %s: %s, not %s", user, sender,
		    client != NULL ? client : "-", got, name);
}

static void
test_select(void **state)
{
	struct policies *set = read_policies(
	    "policy \"one\" { match = {\"Alice@Example.org\"} }\n"
	    "policy \"dom\" { match = {\"@example.org\", \"carol\"} }\n"
	    "policy \"net\" { match = {\"192.0.2.0/24\", \"2001:db8::/32\", "
	    "\"198.51.100.7\"} }\n"
	    "policy \"usr\" { match = {\"user:root\"} }\n"
	    "policy \"frm\" { match = {\"from:dave@example.com\", "
	    "\"from:@example.net\"} }\n"
	    "policy \"cli\" { match = {\"client:203.0.113.0/24\"} }\n"
	    "policy \"default\" { match = {\"early@example.com\"} }\n"
	    "policy \"late\" { match = {\"early@example.com\", "
	    "\"late@example.com\"} }\n");

	(void)state;
	if (set == NULL)
		fail_msg("%s", err);
	expect_policy(set, "alice@example.org", "", NULL, "one");
	expect_policy(set, "", "ALICE@example.ORG", NULL, "one");
	expect_policy(set, "bob@example.org", "", NULL, "dom");
	expect_policy(set, "", "x@EXAMPLE.org", NULL, "dom");
	expect_policy(set, "carol", "", NULL, "dom");
	expect_policy(set, "", "x@sub.example.org", NULL, "default");
	expect_policy(set, "", "", "192.0.2.77", "net");
	expect_policy(set, "", "", "192.0.3.77", "default");
	expect_policy(set, "", "", "198.51.100.7", "net");
	expect_policy(set, "", "", "198.51.100.8", "default");
	expect_policy(set, "", "", "2001:db8:1::1", "net");
	expect_policy(set, "", "", "2001:db9:1::1", "default");
	expect_policy(set, "ROOT", "", NULL, "usr");
	expect_policy(set, "", "root", NULL, "default");
	expect_policy(set, "", "dave@example.com", NULL, "frm");
	expect_policy(set, "dave@example.com", "", NULL, "default");
	expect_policy(set, "", "any@example.net", NULL, "frm");
	expect_policy(set, "any@example.net", "", NULL, "default");
	expect_policy(set, "", "", "203.0.113.9", "cli");
	/* In the order of the file, the default among them. */
	expect_policy(set, "early@example.com", "", NULL, "default");
	expect_policy(set, "late@example.com", "", NULL, "late");
	assert_non_null(policies_find(set, STR("net")));
	assert_null(policies_find(set, STR("nets")));
	policies_free(set);
}

/* Whoever has logged in may write any envelope sender. */
static void
test_select_own_name(void **state)
{
	struct policies *set = read_policies(
	    "policy \"bulk\" { match = {\"news@example.org\", "
	    "\"@lists.example.org\"} exempt = true }\n"
	    "policy \"env\" { match = {\"env@example.org\"} key = envelope }\n"
	    "policy \"web\" { match = {\"www-data\"} local = user }\n"
	    "policy \"one\" { match = {\"one@example.org\"} local = client }\n"
	    "policy \"default\" { match = {\"user:a@x\", \"from:b@x\"} }\n");
	struct gate_facts local = facts_of("", "", "127.0.0.1");

	(void)state;
	if (set == NULL)
		fail_msg("%s", err);
	expect_policy(set, "bob", "news@example.org", "192.0.2.1", "default");
	expect_policy(set, "", "news@example.org", "192.0.2.1", "default");
	expect_policy(set, "", "a@lists.example.org", "192.0.2.1", "default");
	expect_policy(set, "News@example.org", "", "192.0.2.1", "bulk");
	expect_policy(set, "a@lists.example.org", "", "192.0.2.1", "bulk");
	expect_policy(set, "bob", "env@example.org", "192.0.2.1", "env");
	/* Programs of this machine, which are called by it. */
	local.local = true;
	local.sender = STR("news@example.org");
	assert_string_equal(policies_select(set, &local)->conf->name, "bulk");
	local.sender = STR("www-data@web.example.org");
	assert_string_equal(policies_select(set, &local)->conf->name, "web");
	local.sender = STR("one@example.org");
	assert_string_equal(
	    policies_select(set, &local)->conf->name, "default");
	local.user = STR("bob");
	local.sender = STR("news@example.org");
	assert_string_equal(
	    policies_select(set, &local)->conf->name, "default");
	assert_string_equal(policy_bare_entry(policies_find(set, STR("bulk"))),
	    "news@example.org");
	assert_null(policy_bare_entry(policies_find(set, STR("env"))));
	assert_null(policy_bare_entry(policies_find(set, STR("web"))));
	assert_null(policy_bare_entry(policies_default(set)));
	policies_free(set);
}

static char *
write_file(const char *text, size_t n)
{
	char path[] = "/tmp/weir-test-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), (ssize_t)n);
	close(fd);
	return xstrdup(path);
}

static void
test_file(void **state)
{
	const char text[] = "# people\n\nalice@example.org  # boss\r\n"
			    "  @example.net\n192.0.2.0/28\na#b@example.com\n"
			    "user:bob";
	char *path = write_file(text, sizeof(text) - 1);
	char *conf = xasprintf(
	    "policy \"x\" { match = {\"eve@example.org\", \"file:%s\"} "
	    "exempt_recipients = {\"@example.edu\"} }\n",
	    path);
	struct policies *set = read_policies(conf);

	(void)state;
	if (set == NULL)
		fail_msg("%s", err);
	unlink(path);
	expect_policy(set, "alice@example.org", "", NULL, "x");
	expect_policy(set, "eve@example.org", "", NULL, "x");
	expect_policy(set, "z@example.net", "", NULL, "x");
	expect_policy(set, "bob", "", NULL, "x");
	expect_policy(set, "", "a#b@example.com", NULL, "x");
	expect_policy(set, "", "", "192.0.2.15", "x");
	expect_policy(set, "", "", "192.0.2.16", "default");
	assert_true(policy_exempts_recipient(
	    policies_find(set, STR("x")), STR("Anna@EXAMPLE.edu")));
	assert_false(policy_exempts_recipient(
	    policies_find(set, STR("x")), STR("anna@example.org")));
	assert_false(policy_exempts_recipient(
	    policies_default(set), STR("anna@example.edu")));
	policies_free(set);
	free(conf);
	free(path);
}

static void
expect_file_error(const char *text, size_t n, const char *needle)
{
	char *path = write_file(text, n);
	char *conf =
	    xasprintf("policy \"x\" { match = {\"file:%s\"} }\n", path);

	expect_error(conf, needle);
	if (strstr(err, path) == NULL)
		fail_msg("the file is not named: %s", err);
	unlink(path);
	free(conf);
	free(path);
}

static void
test_file_errors(void **state)
{
	char line[600];

	(void)state;
	expect_file_error("ok\nclient:x\n", 12, ":2: not a network");
	expect_file_error("file:/etc/passwd\n", 17, ":1: a file may not name");
	expect_file_error("a\nb\nc\0d\n", 8, ":3: entry with a zero byte");
	memset(line, 'a', sizeof(line));
	expect_file_error(line, sizeof(line), ":1: entry of more than");
}

static void
test_star_in_quoted_local_part(void **state)
{
	struct match *m = match_new(MATCH_RECIPIENTS);

	(void)state;
	if (!match_add(m, STR("\"a*b?\"@example.org"), err, sizeof(err)))
		fail_msg("%s", err);
	assert_true(match_recipient(m, STR("a*b?@example.org")));
	assert_false(match_recipient(m, STR("axbx@example.org")));
	match_free(m);
}

static void
test_large_file(void **state)
{
	struct match *m = match_new(MATCH_SENDERS);
	struct buf text;
	char *path, *entry, name[64];
	struct ip client;

	(void)state;
	buf_init(&text, ENTRIES_FILE_MAX);
	for (unsigned i = 0; i < 100000; i++)
		assert_true(buf_printf(&text, "u%u@example.org\n", i) &&
			    buf_printf(&text, "10.%u.%u.%u\n", i >> 16,
				i >> 8 & 255, i & 255));
	path = write_file(buf_str(&text).p, text.len);
	entry = xasprintf("file:%s", path);
	if (!match_add(m, str_from(entry), err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(match_count(m), 200000);
	client.family = IP_NONE;
	for (unsigned i = 0; i < 100000; i += 7) {
		snprintf(name, sizeof(name), "U%u@example.org", i);
		assert_true(match_sender(
		    m, &(struct match_facts){.user = str_from(name)}));
	}
	assert_false(match_sender(
	    m, &(struct match_facts){.user = STR("u100000@example.org")}));
	assert_true(ip_parse(STR("10.1.134.159"), &client));
	assert_true(match_sender(m, &(struct match_facts){.client = client}));
	assert_true(ip_parse(STR("10.1.134.160"), &client));
	assert_false(match_sender(m, &(struct match_facts){.client = client}));
	unlink(path);
	free(path);
	free(entry);
	buf_clear(&text);
	match_free(m);
}

/* What a source holds must outlive the configuration. */
static void
test_references(void **state)
{
	struct policies *set;
	const struct policy *p = only(&set, "contact = \"x@y\"");

	(void)state;
	policies_ref(set);
	policies_free(set);
	assert_string_equal(p->conf->name, "default");
	assert_string_equal(p->conf->contact, "x@y");
	policies_free(set);
}

static void
test_docs(void **state)
{
	struct buf out;

	(void)state;
	for (const struct option *o = policy_options; o->name != NULL; o++) {
		assert_non_null(o->doc);
		assert_true(o->reloadable);
		assert_int_equal(o->doc[strlen(o->doc) - 1], '.');
	}
	buf_init(&out, 1 << 20);
	assert_true(options_print_mdoc(&schema, &out));
	buf_reset(&out);
	/* The sample with every option in force is a good policy. */
	assert_true(options_print_sample(&schema, &out));
	buf_clear(&out);
}

/* What a policy has that sets no numbers of its own, and what it has not that
 * does. */
static void
test_default_windows(void **state)
{
	static const struct {
		const char *options;
		uint32_t a_day, messages; /* 0: none */
	} cases[] = {
	    {"", 100, 40},
	    {"working_set = 32 when_frozen = hold", 100, 40},
	    {"stranger_messages = \"0\"", 100, 0},
	    {"stranger_messages = \"7/1h\"", 100, 7},
	    {"interval = \"1m\"", 0, 0},
	    {"burst = 10", 0, 0},
	    {"freeze_at = 100", 0, 0},
	    {"limit = {}", 0, 0},
	    {"limit = {\"5/1d\"}", 5, 0},
	    {"burst = 5 stranger_messages = \"7/1h\"", 0, 7},
	    {"profile = machine", 2000, 0},
	    {"profile = machine interval = \"1s\"", 2000, 0},
	    {"profile = machine limit = {}", 0, 0},
	    {"profile = machine stranger_messages = \"7/1h\"", 2000, 7},
	    {"profile = paper", 0, 0},
	    {"profile = tcp", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct policies *set;
		const struct policy *p = only(&set, cases[i].options);
		const struct throttle_policy *t = &p->throttle;

		assert_int_equal(t->limit_count, cases[i].a_day != 0);
		assert_int_equal(t->limits[0].count, cases[i].a_day);
		assert_int_equal(
		    p->conf->stranger_messages.count, cases[i].messages);
		/* Those of many programs have none. */
		p = policies_of_key(set, STR("<>"));
		assert_int_equal(p->throttle.limit_count, 0);
		assert_int_equal(p->conf->stranger_messages.count, 0);
		policies_free(set);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_default_windows),
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_options),
	    cmocka_unit_test(test_profiles),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_familiar),
	    cmocka_unit_test(test_duplicate_names),
	    cmocka_unit_test(test_select),
	    cmocka_unit_test(test_select_own_name),
	    cmocka_unit_test(test_file),
	    cmocka_unit_test(test_file_errors),
	    cmocka_unit_test(test_star_in_quoted_local_part),
	    cmocka_unit_test(test_large_file),
	    cmocka_unit_test(test_references),
	    cmocka_unit_test(test_docs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
