/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir.conf: defaults, every error with its line, and that table, sample and
 * manual page say the same.
 */
#include "config.h"

#include "maild/limits_doc.h"
#include "maild/maild_config.h"
#include "milter/milter.h"
#include "os/file.h"
#include "os/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MINIMAL                       \
	"hostname = \"relay.test\"\n" \
	"next_hop = \"127.0.0.1:10025\"\n"
#define LISTEN "listen \"a\" { address = \"127.0.0.1:2525\" }\n"

static char *
read_source(const char *name)
{
	char path[4096];
	struct buf b;

	snprintf(path, sizeof(path), "%s/%s", WEIR_SRCDIR, name);
	buf_init(&b, 1u << 20);
	if (file_read(path, 1u << 20, &b) != 0)
		fail_msg("cannot read %s", path);
	return buf_take(&b);
}

static struct maild_config *
must_parse(const char *text)
{
	char err[512] = "";
	struct maild_config *c =
	    maild_config_parse("weir.conf", text, err, sizeof(err));

	if (c == NULL)
		fail_msg("%s", err);
	return c;
}

static void
test_defaults(void **state)
{
	struct maild_config *c = must_parse(MINIMAL LISTEN);

	(void)state;
	assert_string_equal(c->hostname, "relay.test");
	assert_int_equal(c->mode, MAILD_ENFORCE);
	assert_int_equal(c->relay.message_size_max, 50u << 20);
	assert_int_equal(c->relay.limits.recipients_max, 1000);
	assert_int_equal(c->relay.limits.errors_max, 20);
	assert_int_equal(c->relay.sessions_max, 1000);
	assert_int_equal(c->relay.greeting_delay_ms, 0);
	assert_int_equal(c->relay.limits.command_timeout_ms, 300000);
	assert_int_equal(c->relay.answer_timeout_ms, 540000);
	assert_int_equal(c->relay.limits.data_rate_min, 64);
	assert_int_equal(c->line_max, 65536);
	assert_int_equal(c->relay.limits.data.bare_newline, 0);
	assert_int_equal(c->hop.uses_max, 0);
	assert_int_equal(c->spool.min_free_bytes, 100u << 20);
	assert_int_equal(c->delivery.max_age_ms, INT64_C(432000000));
	assert_true(c->relay.verify_held);
	assert_int_equal(c->log, LOG_TARGET_STDERR);
	assert_int_equal(c->log_level, LOG_LEVEL_INFO);
	assert_null(c->user);
	assert_null(c->freeze_command);
	assert_int_equal(c->listen.n, 1);
	assert_int_equal(maild_config_listen(c, 0)->mode, 0660);
	assert_int_equal(maild_config_listen(c, 0)->backlog, 511);
	assert_non_null(c->gate.policies);
	maild_config_free(c);
}

static void
test_values(void **state)
{
	struct maild_config *c =
	    must_parse("hostname = \"a.b\"\n"
		       "next_hop = {\"unix:/run/lmtp\", \"mx.example.org:25\","
		       " \"[::1]:26\"}\n"
		       "log = journal\nlog_level = error\nmode = observe\n"
		       "bare_newline_allow = {\"192.0.2.0/24\", \"::1\"}\n"
		       "listen \"x\" { address = \"unix:/run/x\" "
		       "socket_mode = \"0666\" }\n"
		       "listen \"y\" { address = \"[::1]:0\" }\n"
		       "policy \"bulk\" { match = \"@example.org\" "
		       "exempt = true }\n");
	struct ip ip;

	(void)state;
	assert_int_equal(c->next_hop.n, 3);
	assert_int_equal(c->log, LOG_TARGET_JOURNAL);
	assert_int_equal(c->log_level, LOG_LEVEL_ERROR);
	assert_int_equal(c->mode, MAILD_OBSERVE);
	assert_int_equal(c->relay.bare_newline_net_count, 2);
	assert_true(ip_parse(STR("192.0.2.7"), &ip));
	assert_true(ip_net_has(&c->relay.bare_newline_nets[0], &ip));
	assert_int_equal(maild_config_listen(c, 0)->mode, 0666);
	assert_int_equal(maild_config_listen(c, 0)->addr.ss.ss_family, AF_UNIX);
	assert_string_equal(maild_config_listen(c, 1)->name, "y");
	assert_non_null(policies_find(c->gate.policies, STR("bulk")));
	maild_config_free(c);
}

/* A preset follows the option that bounds it; what is written does not. */
static void
test_presets_fit(void **state)
{
	struct maild_config *c = must_parse(
	    MINIMAL LISTEN "sessions_max = 5\nnext_hop_connections = 3\n"
			   "message_size = \"64K\"\nretry_min = \"2h\"\n"
			   "message_timeout = \"1m\"\n");

	(void)state;
	assert_int_equal(c->relay.client_sessions_max, 5);
	assert_int_equal(c->hop.idle_max, 3);
	assert_int_equal(c->header_max, 65536);
	assert_int_equal(c->delivery.retry_max_ms, 7200000);
	assert_int_equal(c->relay.limits.data_timeout_ms, 60000);
	maild_config_free(c);
}

static const struct {
	const char *text, *start, *part;
} errors[] = {
    {MINIMAL LISTEN "nonsense = 1\n", "weir.conf:4:", "nonsense"},
    {MINIMAL LISTEN "command_timeout = \"5\"\n",
	"weir.conf:4: command_timeout:", "not a duration"},
    {MINIMAL LISTEN "command_timeout = \"5 parsecs\"\n",
	"weir.conf:4: command_timeout:", "not a duration"},
    {MINIMAL LISTEN "message_size = \"50Q\"\n",
	"weir.conf:4: message_size:", "not a size"},
    {MINIMAL LISTEN "message_size = \"1K\"\n",
	"weir.conf:4: message_size:", "64K"},
    {MINIMAL LISTEN "recipients_max = 5000\n",
	"weir.conf:4: recipients_max:", "4096"},
    {MINIMAL LISTEN "recipients_max = many\n",
	"weir.conf:4: recipients_max:", "not a number"},
    {MINIMAL LISTEN "verify_held = maybe\n",
	"weir.conf:4: verify_held:", "true"},
    {MINIMAL LISTEN "mode = off\n", "weir.conf:4: mode:", "enforce, observe"},
    {LISTEN, "weir.conf: next_hop", "required"},
    {MINIMAL, "weir.conf: there is no listen", "add one"},
    {MINIMAL "listen \"a\" { }\n",
	"weir.conf:3: listen \"a\":", "address is required"},
    {MINIMAL "listen \"a\" {\n address = \"relay:25\"\n}\n",
	"weir.conf:4: listen \"a\": address:", "numeric"},
    {MINIMAL "listen \"a\" {\n address = \"127.0.0.1\"\n}\n",
	"weir.conf:4: listen \"a\": address:", "192.0.2.1:25"},
    {MINIMAL LISTEN "milter_hold = keep\n",
	"weir.conf:4: milter_hold:", "take, tempfail"},
    {MINIMAL "listen \"a\" { address = \"unix:/m\" protocol = milter }\n"
	     "listen \"b\" { address = \"unix:/n\" protocol = milter }\n",
	"weir.conf:4: listen \"b\": protocol:", "line 3"},
    {MINIMAL "listen \"a\" { address = \"unix:/m\" protocol = policy "
	     "tls = require }\n",
	"weir.conf:3: listen \"a\": tls:", "protocol = smtp only"},
    {MINIMAL "listen \"a\" { address = \"unix:/m\" protocol = milter "
	     "auth = pass }\n",
	"weir.conf:3: listen \"a\": auth:", "protocol = smtp only"},
    {MINIMAL "listen \"a\" { address = \"unix:/m\" protocol = milter "
	     "auth_required = yes }\n",
	"weir.conf:3: listen \"a\": auth_required:", "remove it"},
    {MINIMAL "listen \"a\" { address = \"unix:/m\" protocol = policy "
	     "proxy = yes }\n",
	"weir.conf:3: listen \"a\": proxy:", "remove it"},
    {MINIMAL "listen \"a\" { address = \"unix:/m\"\n protocol = http }\n",
	"weir.conf:4: listen \"a\": protocol:", "smtp, milter, policy"},
    {MINIMAL "listen \"a\" { address = \"unix:/m\" socket_mode = \"rw\" }\n",
	"weir.conf:3: listen \"a\": socket_mode:", "octal"},
    {MINIMAL LISTEN "listen \"b\" { address = \"127.0.0.1:2525\" }\n",
	"weir.conf:4: listen \"b\": address:", "listen \"a\" in line 3"},
    {MINIMAL LISTEN LISTEN, "weir.conf:4:", "title"},
    {MINIMAL "control = \"/run/x\"\n"
	     "listen \"a\" { address = \"unix:/run/x\" }\n",
	"weir.conf:4: listen \"a\": address:", "control socket"},
    {"next_hop = \"mail\"\n" LISTEN, "weir.conf:1: next_hop:", "host:port"},
    {"next_hop = \"mail:0\"\n" LISTEN, "weir.conf:1: next_hop:", "host:port"},
    {"next_hop = \"m_x:25\"\n" LISTEN,
	"weir.conf:1: next_hop:", "no valid host"},
    {"next_hop = \"unix:sock\"\n" LISTEN,
	"weir.conf:1: next_hop:", "starts with /"},
    {"hostname = \"r\"\nnext_hop = {\"a:25\", \"A:25\"}\n" LISTEN,
	"weir.conf:2: next_hop:", "twice"},
    {"hostname = \"r\"\nnext_hop = \"127.0.0.1:2525\"\n" LISTEN,
	"weir.conf:2: next_hop:", "weir's own listen \"a\""},
    {"next_hop = \"127.0.0.9:25\"\n"
     "listen \"a\" { address = \"0.0.0.0:25\" }\n",
	"weir.conf:1: next_hop:", "own listen"},
    {MINIMAL LISTEN "contact = \"a\\nb\"\n", "weir.conf:4: contact:", "ASCII"},
    {"hostname = \"-x.org\"\n", "weir.conf:1: hostname:", "not a host name"},
    {"hostname = \"x..org\"\n", "weir.conf:1: hostname:", "not a host name"},
    {MINIMAL LISTEN "spool = \"var\"\n",
	"weir.conf:4: spool:", "begin it with /"},
    {MINIMAL LISTEN "user = \"no such user\"\n",
	"weir.conf:4: user:", "not a user"},
    {MINIMAL LISTEN "user = \"root\"\n", "weir.conf:4: user:", "is root"},
    {MINIMAL LISTEN "control_group = \"no such group\"\n",
	"weir.conf:4: control_group:", "not a group"},
    {MINIMAL LISTEN "freeze_command = \"/nonexistent/x\"\n",
	"weir.conf:4: freeze_command:", "No such file"},
    {MINIMAL LISTEN "freeze_command = \"/etc/passwd\"\n",
	"weir.conf:4: freeze_command:", "it is not executable"},
    {MINIMAL LISTEN "bare_newline_allow = \"192.0.2.1/24\"\n",
	"weir.conf:4: bare_newline_allow:", "not a network"},
    {MINIMAL LISTEN "\nretry_min = \"2h\"\n  retry_max= \"1h\"\n",
	"weir.conf:6: retry_max:", "retry_min"},
    {MINIMAL LISTEN "header_max = \"1M\"\nmessage_size = \"512K\"\n",
	"weir.conf:4: header_max:", "message_size"},
    {MINIMAL LISTEN "client_sessions_max = 2000\n",
	"weir.conf:4: client_sessions_max:", "sessions_max"},
    {MINIMAL LISTEN "next_hop_idle = 500\n",
	"weir.conf:4: next_hop_idle:", "next_hop_connections"},
    {MINIMAL LISTEN "data_timeout = \"1h\"\nmessage_timeout = \"10m\"\n",
	"weir.conf:5: message_timeout:", "data_timeout"},
    {MINIMAL LISTEN "policy \"p\" { exempt = true }\n",
	"weir.conf:4:", "policy \"p\""},
    {MINIMAL LISTEN "policy \"p\" {\n match = \"x\" interval = \"1\" }\n",
	"weir.conf:5: policy \"p\": interval:", "not a duration"},
    {MINIMAL LISTEN "policy \"p\" {\n match = \"file:/nonexistent/l\" }\n",
	"weir.conf:", "/nonexistent/l"},
    {MINIMAL LISTEN "scope \"s\" { by = user }\n",
	"weir.conf:4: scope \"s\":", "no limit"},
    {MINIMAL LISTEN "scope \"s\" {\n limit = \"5\" }\n",
	"weir.conf:5: scope \"s\": limit:", ""},
    {MINIMAL LISTEN "policy \"p\" {\n match = \"x\"\n learn_inbound = yes }\n",
	"weir.conf:4: policy \"p\": learn_inbound:", "local_domains"},
    {MINIMAL LISTEN "policy \"p\" { match = \"x\"\n learn_inbound = yes\n"
		    "inbound_expiry = \"1h\" }\n",
	"weir.conf:4: policy \"p\":", "inbound_rate"},
    {MINIMAL LISTEN "local_domains = {\"a.example\", \"not one\"}\n",
	"weir.conf:4: local_domains:", "\"not one\": not a domain"},
    {MINIMAL LISTEN "local_domains = {\"\"}\n",
	"weir.conf:4: local_domains:", "empty"},
    {MINIMAL LISTEN "local_domains = {\"a@b.example\"}\n",
	"weir.conf:4: local_domains:", "write it as example.org"},
    {MINIMAL LISTEN "decoys = {\"file:/nonexistent/l\"}\n",
	"weir.conf:4: decoys: \"file:/nonexistent/l\":", "No such file"},
    {MINIMAL LISTEN "decoys = {\"trap\"}\n",
	"weir.conf:4: decoys:", "not an address"},
    {MINIMAL LISTEN "never_freeze = {\"policy:bulk\"}\n",
	"weir.conf:4: never_freeze: \"policy:bulk\":",
	"there is no policy \"bulk\"; check the name"},
    {MINIMAL LISTEN "never_freeze = {\"192.0.2.1/24\"}\n",
	"weir.conf:4: never_freeze:", "host bits 0"},
    {MINIMAL LISTEN "never_freeze = {\"file:/nonexistent/l\"}\n",
	"weir.conf:4: never_freeze:", "No such file"},
    {MINIMAL LISTEN "local_domains = {\"file:/nonexistent/l\"}\n",
	"weir.conf:4: local_domains:", "No such file"},
    {MINIMAL LISTEN "inbound_users = {\"alice\"}\n",
	"weir.conf:4: inbound_users:", "not address=user"},
    {MINIMAL LISTEN "inbound_users = {\"alice@a.example=\"}\n",
	"weir.conf:4: inbound_users:", "not address=user"},
    {MINIMAL LISTEN "inbound_source = login\n",
	"weir.conf:4: inbound_source:", "address, localpart, envelope"},
};

/* A build without libmilter says so before it looks any further. */
static bool
is_as_expected(size_t i, const char *err)
{
	const char *start = errors[i].start, *part = errors[i].part;

	if (!milter_is_built_in() &&
	    strstr(errors[i].text, "protocol = milter") != NULL) {
		start = "weir.conf:3: listen \"a\": protocol:";
		part = "without libmilter";
	}
	return strncmp(err, start, strlen(start)) == 0 &&
	       strstr(err, part) != NULL && strchr(err, '\n') == NULL;
}

static void
test_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		char err[512] = "";
		struct maild_config *c = maild_config_parse(
		    "weir.conf", errors[i].text, err, sizeof(err));

		if (c != NULL)
			fail_msg("taken:\n%s", errors[i].text);
		if (!is_as_expected(i, err))
			fail_msg("%s\ngave: %s\nnot: %s ... %s", errors[i].text,
			    err, errors[i].start, errors[i].part);
	}
}

static void
test_file_errors(void **state)
{
	char path[] = "/tmp/weir-config-XXXXXX", err[512];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_null(maild_config_load("/nonexistent/f", err, sizeof(err)));
	assert_string_equal(err,
	    "/nonexistent/f: cannot be read: No such file or directory; "
	    "check the path and its permissions");
	assert_null(maild_config_load("/tmp", err, sizeof(err)));
	assert_non_null(strstr(err, "/tmp: cannot be read: "));
	assert_int_equal(write(fd, "a = 1\n\0b", 8), 8);
	assert_null(maild_config_load(path, err, sizeof(err)));
	assert_non_null(strstr(err, ":2: a NUL byte"));
	assert_int_equal(ftruncate(fd, (1u << 20) + 1), 0);
	assert_null(maild_config_load(path, err, sizeof(err)));
	assert_non_null(strstr(err, ": larger than 1 MiB"));
	close(fd);
	unlink(path);
}

static void
take_user(void *arg, struct str user, struct str address)
{
	struct buf *out = arg;

	assert_true(
	    buf_printf(out, "%.*s %.*s;", STR_ARG(user), STR_ARG(address)));
}

/* Lists in files, in every form in which a domain may be written. */
static void
test_locals(void **state)
{
	static const char users[] = "# who is who\n\n"
				    "Sales@Example.ORG = alice\n"
				    "sales@example.org=bob # two\r\n";
	char path[] = "/tmp/weir-config-XXXXXX", err[512] = "", *text;
	struct maild_config *c;
	int fd = mkstemp(path);
	struct buf out;

	(void)state;
	assert_int_equal(
	    write(fd, users, sizeof(users) - 1), sizeof(users) - 1);
	close(fd);
	text = xasprintf(MINIMAL LISTEN
	    "local_domains = {\"Example.org.\", \"@b\xc3\xbc"
	    "cher.example\"}\n"
	    "inbound_source = localpart\ninbound_users = \"file:%s\"\n",
	    path);
	c = maild_config_parse("weir.conf", text, err, sizeof(err));
	if (c == NULL)
		fail_msg("%s", err);
	assert_true(locals_has(c->gate.locals, STR("x@EXAMPLE.org")));
	assert_true(locals_has(c->gate.locals, STR("x@xn--bcher-kva.example")));
	assert_true(locals_has(c->gate.locals, STR("x@B\xc3\xbc"
						   "cher.example")));
	assert_false(locals_has(c->gate.locals, STR("x@mail.example.org")));
	assert_false(locals_has(c->gate.locals, STR("postmaster")));
	assert_false(locals_has(c->gate.locals, STR("")));
	buf_init(&out, 1024);
	locals_each_user(
	    c->gate.locals, STR("Carol+x@example.org"), take_user, &out);
	locals_each_user(
	    c->gate.locals, STR("sales@example.org"), take_user, &out);
	locals_each_user(
	    c->gate.locals, STR("x@elsewhere.example"), take_user, &out);
	locals_each_user(c->gate.locals, STR("no address"), take_user, &out);
	assert_true(str_eq(buf_str(&out),
	    STR("carol carol@example.org;alice sales@example.org;"
		"bob sales@example.org;")));
	buf_clear(&out);
	maild_config_free(c);
	free(text);
	unlink(path);
}

/* Without hostname the machine's name is taken, or asked for. */
static void
test_hostname(void **state)
{
	char err[512] = "", name[256] = "";
	struct maild_config *c = maild_config_parse(
	    "weir.conf", "next_hop = \"a:25\"\n" LISTEN, err, sizeof(err));

	(void)state;
	assert_int_equal(gethostname(name, sizeof(name)), 0);
	if (c != NULL)
		assert_string_equal(c->hostname, name);
	else
		assert_non_null(strstr(err, "hostname = "));
	maild_config_free(c);
}

static void
replace(char *text, const char *from, const char *to)
{
	size_t nf = strlen(from), nt = strlen(to);

	assert_true(nt <= nf);
	for (char *p = text; (p = strstr(p, from)) != NULL; p += nt) {
		memcpy(p, to, nt);
		memmove(p + nt, p + nf, strlen(p + nf) + 1);
	}
}

/* Directories as they are in the sample in the source. */
static char *
make_sample(void)
{
	struct buf out;
	char *text;

	buf_init(&out, 1u << 20);
	assert_true(options_print_sample(&maild_schema, &out));
	text = buf_take(&out);
	if (strlen(WEIR_RUNSTATEDIR) >= 4)
		replace(text, "\"" WEIR_RUNSTATEDIR "/", "\"/run/");
	if (strlen(WEIR_LOCALSTATEDIR) >= 4)
		replace(text, "\"" WEIR_LOCALSTATEDIR "/", "\"/var/");
	return text;
}

static void
test_sample_is_current(void **state)
{
	char *file = read_source("etc/weir.conf"), *made = make_sample();
	const char *body = strstr(file, "\n\n");

	(void)state;
	assert_non_null(body);
	/* If this fails: make update-sample. */
	assert_string_equal(body + 2, made);
	free(file);
	free(made);
}

static void
test_sample_is_valid(void **state)
{
	char *file = read_source("etc/weir.conf");
	struct maild_config *c = must_parse(file);

	(void)state;
	assert_int_equal(c->listen.n, 1);
	maild_config_free(c);
	free(file);
}

/* An option of the table is in the sample and in the manual, and says what it
 * is for in whole sentences. */
static void
check_options(
    const struct option *const *tables, const char *sample, const char *manual)
{
	option_each (o, tables) {
		char line[128], item[128];

		snprintf(line, sizeof(line), "%s = ", o->name);
		snprintf(item, sizeof(item), "\n.It Ic %s No", o->name);
		if (strstr(sample, line) == NULL)
			fail_msg("%s is not in the sample", o->name);
		if (strstr(manual, item) == NULL)
			fail_msg("%s is not in the manual", o->name);
		if (o->doc == NULL || o->doc[strlen(o->doc) - 1] != '.')
			fail_msg("%s has no sentence", o->name);
	}
}

static void
test_table_is_documented(void **state)
{
	const struct option_section *s = maild_schema.sections;
	char *sample = read_source("etc/weir.conf");
	char *page = read_source("doc/weir.conf.5.in");
	struct buf manual;

	(void)state;
	buf_init(&manual, 1u << 20);
	assert_true(options_print_mdoc(&maild_schema, &manual));
	assert_true(buf_append(&manual, "", 1));
	assert_non_null(strstr(page, "\n.Sh OPTIONS\n@OPTIONS@\n"));
	check_options(maild_schema.tables, sample, buf_str(&manual).p);
	for (; s->name != NULL; s++)
		check_options(s->tables, sample, buf_str(&manual).p);
	buf_clear(&manual);
	free(sample);
	free(page);
}

/* The manual page's own example is one that loads. */
static void
test_manual_example(void **state)
{
	char *page = read_source("doc/weir.conf.5.in"), *start, *end;

	(void)state;
	start = strstr(page, ".Bd -literal -offset indent\n");
	assert_non_null(start);
	start = strchr(start, '\n') + 1;
	end = strstr(start, ".Ed\n");
	assert_non_null(end);
	*end = '\0';
	maild_config_free(must_parse(start));
	free(page);
}

static void
test_print_and_read_again(void **state)
{
	struct maild_config *c = must_parse(
	    MINIMAL LISTEN "contact = \"a \\\"b\\\"\"\nmax_age = \"90s\"\n"
			   "policy \"q\" { match = \"@x\" limit = "
			   "{\"10/1m\", \"100/1h\"} }\n");
	struct maild_config *again;
	struct buf out;
	char *text;

	(void)state;
	buf_init(&out, 1u << 20);
	assert_true(options_print_values(&maild_schema, c, &out));
	text = buf_take(&out);
	again = must_parse(text);
	assert_string_equal(again->gate.contact, "a \"b\"");
	assert_int_equal(again->delivery.max_age_ms, 90000);
	assert_null(options_changed_fixed(&maild_schema, c, again));
	maild_config_free(c);
	maild_config_free(again);
	free(text);
}

static void
test_what_a_reload_cannot_change(void **state)
{
	struct maild_config *a = must_parse(MINIMAL LISTEN);
	struct maild_config *b = must_parse(
	    MINIMAL LISTEN "message_size = \"1M\"\nmode = observe\n");
	struct maild_config *d =
	    must_parse(MINIMAL LISTEN "spool = \"/elsewhere\"\n");

	(void)state;
	assert_null(options_changed_fixed(&maild_schema, a, b));
	assert_string_equal(
	    options_changed_fixed(&maild_schema, a, d), "spool");
	maild_config_free(a);
	maild_config_free(b);
	maild_config_free(d);
}

/* The manual's chapter on limits speaks of every cap. */
static void
test_limits_are_documented(void **state)
{
	struct buf out;

	(void)state;
	option_each (o, maild_schema.tables) {
		bool is_cap = str_iends(str_from(o->name), STR("_max")) &&
			      strcmp(o->name, "retry_max") != 0;

		if (is_cap && !limits_has(o->name))
			fail_msg("LIMITS does not know %s", o->name);
	}
	buf_init(&out, 1u << 20);
	assert_true(limits_print_mdoc(&maild_schema, &out));
	assert_true(out.len > 1000);
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_presets_fit),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_file_errors),
	    cmocka_unit_test(test_locals),
	    cmocka_unit_test(test_hostname),
	    cmocka_unit_test(test_sample_is_current),
	    cmocka_unit_test(test_sample_is_valid),
	    cmocka_unit_test(test_table_is_documented),
	    cmocka_unit_test(test_manual_example),
	    cmocka_unit_test(test_print_and_read_again),
	    cmocka_unit_test(test_what_a_reload_cannot_change),
	    cmocka_unit_test(test_limits_are_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
