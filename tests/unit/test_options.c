/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options table: what a file may say, each error's one line, and printing.
 */
#include "../options_schema.h"

#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_conf *
load(const char *text)
{
	char err[512] = "no error";
	struct test_conf *conf =
	    options_load(&test_schema, "weir.conf", text, err, sizeof(err));

	if (conf == NULL)
		fail_msg("%s: %s", text, err);
	return conf;
}

static void
test_presets(void **state)
{
	struct test_conf *conf = load("hostname = x");

	(void)state;
	assert_string_equal(conf->hostname, "x");
	assert_null(conf->banner);
	assert_int_equal(conf->next_hop.n, 1);
	assert_string_equal(conf->next_hop.v[0], "127.0.0.1:10025");
	assert_int_equal(conf->mode, 0);
	assert_true(conf->is_tls);
	assert_true(conf->size_bytes == 52428800);
	assert_int_equal(conf->policies.n, 0);
	options_free(&test_schema, conf);
	options_free(&test_schema, NULL);
}

static void
test_values(void **state)
{
	struct test_conf *conf = load(
	    "\xef\xbb\xbf# a comment with a \" quote\n"
	    "hostname = \"a \\\"b\\\" # c\" /* two\n lines */ mode = observe\n"
	    "next_hop = { 'a:25', # first\n \"b://25\" // second\n }\n"
	    "banner = http://x//y tls = OFF size = 2048\n"
	    "policy \"default\" {}\r\n"
	    "listen one { address = \"a:1\" } listen \"two\" {\n"
	    "  address = \"b:2\"\n}\n"
	    "policy \"bulk\" { interval = \"90s\" burst = \"7\"\n"
	    "  match = one exempt = true rate = \"1/1s\"\n"
	    "  limit = {\"1/1s\", \"2/2m\"} }\n");
	struct test_policy *p = conf->policies.v;
	struct test_listen *l = conf->listeners.v;

	(void)state;
	assert_string_equal(conf->hostname, "a \"b\" # c");
	assert_int_equal(conf->mode, 1);
	assert_int_equal(conf->next_hop.n, 2);
	assert_string_equal(conf->next_hop.v[1], "b://25");
	assert_string_equal(conf->banner, "http://x//y");
	assert_false(conf->is_tls);
	assert_true(conf->size_bytes == 2048);
	assert_int_equal(conf->policies.n, 2);
	assert_string_equal(p[0].title, "default");
	assert_int_equal(p[0].place.line, 8);
	assert_int_equal(p[0].limits.n, 2);
	assert_true(p[0].limits.v[1].window_ms == 90000);
	assert_string_equal(p[1].title, "bulk");
	assert_string_equal(p[1].place.file, "weir.conf");
	assert_int_equal(p[1].place.line, 12);
	assert_true(p[1].interval_ms == 90000);
	assert_int_equal(p[1].burst, 7);
	assert_string_equal(p[1].match.v[0], "one");
	assert_true(p[1].is_exempt);
	assert_int_equal(p[1].rate.count, 1);
	assert_int_equal(p[1].limits.v[1].count, 2);
	assert_int_equal(l[0].place.line, 9);
	assert_int_equal(l[1].place.line, 9);
	assert_string_equal(l[1].address, "b:2");
	options_free(&test_schema, conf);
	conf = load("hostname = x\npolicy \"p\" {\nburst = 1\n}\n# mode = y\n"
		    "mode = observe");
	assert_int_equal(options_line(&test_schema, conf, "hostname"), 1);
	assert_int_equal(options_line(&test_schema, conf, "mode"), 6);
	assert_int_equal(options_line(&test_schema, conf, "size"), 0);
	assert_int_equal(options_line(&test_schema, conf, "burst"), 0);
	options_free(&test_schema, conf);
}

static void
test_lists(void **state)
{
	struct test_conf *conf =
	    load("hostname = x next_hop = {} next_hop += {\"a\"}\n"
		 "next_hop += \"b\"");

	(void)state;
	assert_int_equal(conf->next_hop.n, 2);
	options_free(&test_schema, conf);
	conf = load("hostname = x next_hop = {}");
	assert_int_equal(conf->next_hop.n, 0);
	options_free(&test_schema, conf);
}

struct error {
	const char *text, *want;
};

#define P "hostname = x\n# c\n/* c\n */ policy \"bulk\" {\n"
#define IN_P "weir.conf:5: policy \"bulk\": "
#define SYNTAX "check quotes, braces and commas here and just before"

static const struct error errors[] = {
    {P "interval = \"5 parsecs\" }",
	IN_P "interval: \"5 parsecs\" is not a duration; write a number and "
	     "ms, s, m, h, d or w, as in \"90s\""},
    {P "interval = 60 }",
	IN_P "interval: \"60\" is not a duration; write a number and ms, s, m, "
	     "h, d or w, as in \"90s\""},
    {P "interval = \"2h\" }",
	IN_P "interval: \"2h\" is out of range; write 1s to 1h"},
    {P "burst = 1001 }",
	IN_P "burst: \"1001\" is out of range; write 0 to 1000"},
    {P "burst = -1 }",
	IN_P "burst: \"-1\" is not a number; write digits alone, at most "
	     "4294967295"},
    {P "burst = 1\n\nburst = 2 }",
	"weir.conf:7: policy \"bulk\": burst: already set in line 5; remove "
	"one of the two"},
    {P "burst = {1, 2} }",
	IN_P "burst: takes one value, not a list; write it without braces"},
    {P "match = {a} match = {} }",
	IN_P "match: emptied again further down; remove one of the two"},
    {P "exempt = maybe }",
	IN_P "exempt: \"maybe\" is neither true nor false; write true, false, "
	     "yes, no, on or off"},
    {P "rate = 5 }",
	IN_P "rate: \"5\" is not a rate; write a count and a duration, as in "
	     "\"100/1h\""},
    {P "limit = {1/1s, 1/1s, 1/1s, 1/1s, 1/1s} }",
	IN_P "limit: \"1/1s\" is one rate too many; write at most 4"},
    {P "intervall = 1 }",
	IN_P "no such option 'intervall'; did you mean interval?"},
    {P "hostname = x }", IN_P "no such option 'hostname'; check its spelling "
			      "in the manual page"},
    {"hostname = x brust = 1",
	"weir.conf:1: no such option 'brust'; check its spelling in the manual "
	"page"},
    {"hostname = x hostnaem = y",
	"weir.conf:1: no such option 'hostnaem'; did you mean hostname?"},
    {"hostname = x\nburst = 1",
	"weir.conf:2: no such option 'burst'; it belongs in a section, policy "
	"\"NAME\" { ... }"},
    {P "}\n}", "weir.conf:6: unexpected closing brace; remove it, or open "
	       "its section"},
    {P "}\npolicy bulk { }",
	"weir.conf:6: found duplicate title 'bulk'; give each section its own "
	"title"},
    {P "burst 3 }",
	IN_P "missing equal sign after option 'burst'; write name = value"},
    {P "\"\" = 3 }", "weir.conf:4: not an option; write name = value"},
    {P "burst = } }", IN_P "unexpected token '}'; " SYNTAX},
    {P "match = {a b} }", IN_P "unexpected token 'b'; " SYNTAX},
    {P "burst = 3\n", "weir.conf:4: the brace that opens here is not closed; "
		      "add }"},
    {P "match = \"a\n\n}",
	"weir.conf:5: the text that starts here has no closing quote; add it"},
    {"hostname = \"x\nmode = \"observe\"\nsize = 1",
	"weir.conf:1: the text that starts here goes on in the next line; a "
	"closing quote is missing here or further down"},
    {P "} /* x",
	"weir.conf:5: the comment that starts here does not end; add */"},
    {P "match = *@a }", "weir.conf:5: a \"*\" or \"+\" outside quotes; put the "
			"text in quotes"},
    {"hostname = x\nlisten \"a\" {\n}",
	"weir.conf:2: listen \"a\": address is required; add a line \"address "
	"= ...\""},
    {"hostname = x\nlisten \"a\" { address = {} }",
	"weir.conf:2: listen \"a\": address: takes one value, not a list; "
	"write it without braces"},
    {"hostname = x\nlisten \"a\" { address = b }",
	"weir.conf:2: listen \"a\": address: \"b\" has no port; write "
	"address:port"},
    {"hostname = x policy { }",
	"weir.conf:1: missing title for section 'policy'; write it in quotes "
	"before the brace"},
    {"mode = observe", "weir.conf: hostname is required; add a line "
		       "\"hostname = ...\""},
    {"", "weir.conf: hostname is required; add a line \"hostname = ...\""},
    {"hostname = x mode = passive",
	"weir.conf:1: mode: \"passive\" is not known here; write one of: "
	"enforce, observe"},
    {"hostname = x size = 1K\nsize = 2K",
	"weir.conf:2: size: already set in line 1; remove one of the two"},
    {"hostname = x size = 5Q",
	"weir.conf:1: size: \"5Q\" is not a size; write a number and K, M, G "
	"or T, as in \"50M\""},
    {"hostname = x size = 1023",
	"weir.conf:1: size: \"1023\" is out of range; write 1K or more"},
    {"hostname =", "weir.conf:1: premature end of file; a value or a closing "
		   "brace is missing"},
    {"include(\"/etc\")", "weir.conf:1: no such option 'include'; check its "
			  "spelling in the manual page"},
    {"mode = \"\x1b[2J\xff\"",
	"weir.conf: hostname is required; add a line \"hostname = ...\""},
    {"hostname = x mode = \"\x1b[2J\xff\"",
	"weir.conf:1: mode: \"\\x1b[2J\\xff\" is not known here; write one of: "
	"enforce, observe"},
};

static void
test_errors(void **state)
{
	char err[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		err[0] = '\0';
		assert_null(options_load(&test_schema, "weir.conf",
		    errors[i].text, err, sizeof(err)));
		assert_string_equal(err, errors[i].want);
		/* An error leaves nothing behind in the library. */
		options_free(&test_schema, load("hostname = x"));
	}
	assert_null(options_load(&test_schema, "weir.conf", "x", err, 12));
	assert_string_equal(err, "weir.conf:1");
}

static void
test_files(void **state)
{
	char path[] = "/tmp/weir-test-options-XXXXXX";
	char err[512], want[512];
	int fd = mkstemp(path);
	struct test_conf *conf;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "hostname = x\n\0", 14), 14);
	assert_null(options_load(&test_schema, path, NULL, err, sizeof(err)));
	snprintf(want, sizeof(want),
	    "%s:2: a NUL byte; this is not a configuration file", path);
	assert_string_equal(err, want);
	assert_int_equal(ftruncate(fd, 13), 0);
	conf = options_load(&test_schema, path, NULL, err, sizeof(err));
	assert_non_null(conf);
	options_free(&test_schema, conf);
	assert_int_equal(ftruncate(fd, 1048577), 0);
	assert_null(options_load(&test_schema, path, NULL, err, sizeof(err)));
	assert_non_null(strstr(err, "larger than 1 MiB"));
	close(fd);
	unlink(path);
	assert_null(options_load(&test_schema, path, NULL, err, sizeof(err)));
	snprintf(want, sizeof(want),
	    "%s: cannot be read: No such file or directory; check the path and "
	    "its permissions",
	    path);
	assert_string_equal(err, want);
}

static char *
print_values(const struct test_conf *conf)
{
	struct buf out;

	buf_init(&out, 65536);
	assert_true(options_print_values(&test_schema, conf, &out));
	return buf_take(&out);
}

/* What is printed reads back as the same. */
static void
test_print_values(void **state)
{
	struct test_conf *conf = load(
	    "hostname = \"${NONE:-a}\\${HOME} \\\"\\\\ \\n\\x01\"\n"
	    "size = 1025 next_hop = {} mode = observe\n"
	    "policy \"a\\\"b\" { interval = \"1500ms\" rate = \"1/90s\" }\n"
	    "policy \"c\" { match = {\"x\", \"y\"} }\n"
	    "listen \"l\" { address = \"a:1\" }");
	struct test_conf *again;
	char *first, *second;
	struct buf tiny;

	(void)state;
	first = print_values(conf);
	assert_non_null(strstr(first, "size = \"1025\"\n"));
	assert_non_null(strstr(first, "interval = \"1500ms\"\n"));
	assert_non_null(strstr(first, "policy \"a\\\"b\" {\n"));
	again = load(first);
	assert_string_equal(again->hostname, "a${HOME} \"\\ \n\x01");
	second = print_values(again);
	assert_string_equal(first, second);
	buf_init(&tiny, strlen(first) - 1);
	assert_false(options_print_values(&test_schema, conf, &tiny));
	buf_clear(&tiny);
	free(first);
	free(second);
	options_free(&test_schema, conf);
	options_free(&test_schema, again);
}

/* The sample loads as it is, and with every comment sign before an option
 * taken away. */
static void
test_print_sample(void **state)
{
	struct test_conf *conf;
	struct buf out;
	char *sample;

	(void)state;
	buf_init(&out, 65536);
	assert_true(options_print_sample(&test_schema, &out));
	sample = buf_take(&out);
	conf = load(sample);
	assert_string_equal(conf->hostname, "relay.example.org");
	assert_int_equal(((struct test_policy *)conf->policies.v)->match.n, 0);
	options_free(&test_schema, conf);
	for (char *p = sample; (p = strchr(p, '#')) != NULL; p++) {
		if (p[1] != ' ')
			*p = ' ';
	}
	conf = load(sample);
	assert_int_equal(((struct test_policy *)conf->policies.v)->match.n, 1);
	assert_int_equal(((struct test_policy *)conf->policies.v)->burst, 10);
	options_free(&test_schema, conf);
	free(sample);
}

static void
test_print_mdoc(void **state)
{
	struct buf out;
	char *page;

	(void)state;
	buf_init(&out, 65536);
	assert_true(options_print_mdoc(&test_schema, &out));
	page = buf_take(&out);
	assert_non_null(
	    strstr(page, ".It Ic interval No = Ar duration\n"
			 "One release per interval.\nRange: 1s to 1h.\n"
			 "Default: \"1m\".\n"));
	assert_non_null(
	    strstr(page, ".It Ic hostname No = Ar text\nThe name.\nRequired.\n"
			 "A change needs a restart.\n"));
	assert_non_null(strstr(page, "\n\\&.org and 'quotes'"));
	assert_non_null(strstr(page, "a \\e stays"));
	assert_non_null(strstr(page, "One of: enforce, observe.\n"));
	free(page);
}

static void
assert_changed(const char *was_text, const char *is_text, const char *want)
{
	struct test_conf *was = load(was_text), *is = load(is_text);
	const char *name = options_changed_fixed(&test_schema, was, is);

	if (want == NULL)
		assert_null(name);
	else
		assert_string_equal(name, want);
	options_free(&test_schema, was);
	options_free(&test_schema, is);
}

static void
test_changed(void **state)
{
#define A "hostname = x listen \"a\" { address = \"1:1\" } "
#define B "listen \"b\" { address = \"2:2\" } "
	(void)state;
	assert_changed(A, A, NULL);
	assert_changed(A, A "mode = observe banner = x size = 1M", NULL);
	assert_changed(A, A "policy \"p\" { burst = 3 }", NULL);
	assert_changed(A, A "tls = no", "tls");
	assert_changed("hostname = x", "hostname = y", "hostname");
	assert_changed(A, A "next_hop = {}", "next_hop");
	assert_changed(A, A "next_hop = \"127.0.0.1:10025\"", NULL);
	assert_changed(A, A B, "listen");
	assert_changed(A B, "hostname = x " B, "listen");
	assert_changed("hostname = x " B, A, "listen");
	assert_changed(
	    A, "hostname = x listen \"a\" { address = \"1:2\" }", "address");
#undef A
#undef B
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_presets),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_lists),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_print_values),
	    cmocka_unit_test(test_print_sample),
	    cmocka_unit_test(test_print_mdoc),
	    cmocka_unit_test(test_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
