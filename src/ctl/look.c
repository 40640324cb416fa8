/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * status, senders, show, audit, config, reload, and any other by its name.
 */
#include "ctl/look.h"

#include "base/units.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "os/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- status ---- */

/* weir-netd has packets where weir-maild has recipients, by the same names. */
static bool
is_netd(const json_t *row)
{
	return json_object_get(row, "packets") != NULL;
}

static void
print_headline(const json_t *row)
{
	char up[UNITS_TEXT_MAX];
	char *version = text_safe(str_from(ctl_text(row, "version")), 0);
	char *mode = text_safe(str_from(ctl_text(row, "mode")), 0);
	int64_t held = ctl_number(row, "held_recipients");
	char a[TEXT_COUNT_MAX], b[TEXT_COUNT_MAX];

	printf("weir %s, mode %s, up %s\n", version, mode,
	    units_format_duration(ctl_number(row, "uptime_s") * 1000, up));
	printf("%s, %" PRId64 " frozen; ",
	    text_count(ctl_number(row, "senders"), "sender", "senders", a),
	    ctl_number(row, "frozen_senders"));
	if (is_netd(row))
		printf("%s\n",
		    text_count(held, "packet waits", "packets wait", a));
	else
		printf("%s in the spool, %s held\n",
		    text_count(ctl_number(row, "held_messages"), "message",
			"messages", a),
		    text_count(held, "recipient", "recipients", b));
	if (json_is_true(json_object_get(row, "loading")))
		printf("held mail is still being read: its figures are "
		       "incomplete, and scheduled releases have not begun\n");
	free(version);
	free(mode);
}

void
look_print_summary(const json_t *row)
{
	print_headline(row);
	printf("%s: %" PRId64 " passed, %" PRId64 " delayed, %" PRId64
	       " released, %" PRId64 " refused\n",
	    is_netd(row) ? "packets" : "recipients",
	    ctl_number(row, "passed_recipients"),
	    ctl_number(row, "delayed_recipients"),
	    ctl_number(row, "released_recipients"),
	    ctl_number(row, "refused_recipients"));
}

/* "next_hop_failures" as "next hop failures". */
static void
print_name(const char *prefix, const char *name)
{
	char text[48];

	snprintf(
	    text, sizeof(text), "%s%s%s", prefix, *prefix ? " " : "", name);
	for (char *p = text; *p != '\0'; p++) {
		if (*p == '_')
			*p = ' ';
	}
	printf("  %-28s ", text);
}

/* And a line's end. */
static void
print_value(const json_t *value)
{
	char *text;

	if (json_is_integer(value)) {
		printf("%" PRId64 "\n", (int64_t)json_integer_value(value));
	} else if (json_is_boolean(value)) {
		printf("%s\n", json_is_true(value) ? "yes" : "no");
	} else if (json_is_string(value)) {
		text = text_safe(str_from(json_string_value(value)), 0);
		printf("%s\n", text);
		free(text);
	} else {
		text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		printf(
		    "%s\n", json_is_null(value) || text == NULL ? "-" : text);
		free(text);
	}
}

static void
print_members(const char *prefix, const json_t *row)
{
	static const char *const shown[] = {"version", "mode", "uptime_s",
	    "expiring_certificates", "next_hop_problem", "next_hops", "relays"};
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)row, name, value)
	{
		bool skip = false;

		for (size_t i = 0; i < ARRAY_LEN(shown); i++)
			skip = skip || strcmp(name, shown[i]) == 0;
		if (skip)
			continue;
		if (json_is_object(value)) {
			print_members(name, value);
			continue;
		}
		print_name(prefix, name);
		print_value(value);
	}
}

/* A certificate that expires within days is the administrator's to renew. */
static void
print_certificates(const json_t *list)
{
	const json_t *cert;
	size_t i;

	json_array_foreach((json_t *)list, i, cert)
	{
		char *file = text_safe(str_from(ctl_text(cert, "file")), 0);
		char *names = text_safe(str_from(ctl_text(cert, "names")), 0);
		char *at = text_safe(str_from(ctl_text(cert, "expires_at")), 0);

		printf("warning: the certificate of %s (%s) %s %s\n", names,
		    file,
		    json_is_true(json_object_get(cert, "expired")) ? "expired"
								   : "expires",
		    at);
		free(file);
		free(names);
		free(at);
	}
}

static void
print_servers(const char *what, const json_t *list)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)list, i, one)
	{
		char *name = text_safe(str_from(ctl_text(one, "address")), 0);
		char *why = text_safe(str_from(ctl_text(one, "reason")), 0);

		printf("  %s %s: %s%s%s\n", what, name, ctl_text(one, "state"),
		    why[0] != '\0' ? ", " : "", why);
		free(name);
		free(why);
	}
}

static void
print_warning(const char *what, const char *why)
{
	char *text = text_safe(str_from(why), 0);

	if (text[0] != '\0')
		printf("warning: %s%s\n", what, text);
	free(text);
}

static void
on_status(void *arg, const char *kind, const json_t *row)
{
	(void)arg;
	(void)kind;
	print_headline(row);
	print_certificates(json_object_get(row, "expiring_certificates"));
	print_warning("", ctl_text(row, "next_hop_problem"));
	print_warning("cannot reach the shared server: ",
	    ctl_text(json_object_get(row, "shared"), "problem"));
	print_servers("next hop", json_object_get(row, "next_hops"));
	print_servers("shared server", json_object_get(row, "shared_nodes"));
	print_members("", row);
}

enum ctl_status
ctl_status(struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, "status");

	if (ctl->json)
		return ctl_ask_json_one(ctl, request);
	return ctl_ask(ctl, request, on_status, NULL, NULL);
}

/* ---- senders ---- */

static const struct table_column sender_columns[] = {
    {.title = "SENDER"},
    {.title = "STATE", .keep = true},
    {.title = "QUEUE", .right = true, .keep = true},
    {.title = "NEXT", .right = true, .keep = true},
    {.title = "ALLOWANCE", .right = true},
    {.title = "KNOWN", .right = true, .keep = true},
    {.title = "POLICY"},
    {.title = "SEEN", .right = true, .keep = true},
    {.title = "WHY"},
    {.title = "RELAY", .optional = true},
};

void
look_senders_init(struct table *t)
{
	table_init(
	    t, sender_columns, ARRAY_LEN(sender_columns), text_columns());
}

/* "queue length", "by hand, 2h: password stolen". */
static char *
why_frozen(const json_t *row, int64_t wall)
{
	const char *until = ctl_text(row, "thaw_at");
	const char *note = ctl_text(row, "freeze_note");
	char left[TEXT_AGE_MAX];

	text_age(until, wall, left);
	return xasprintf("%s%s%s%s%s", ctl_text(row, "freeze_reason"),
	    *until ? ", " : "", *until ? left : "", *note ? ": " : "", note);
}

void
look_add_sender(struct table *t, const json_t *row, int64_t wall)
{
	char queue[24], allowance[24], known[24];
	char next[TEXT_AGE_MAX], seen[TEXT_AGE_MAX];
	char *why = why_frozen(row, wall);
	const char *cells[] = {ctl_text(row, "sender"),
	    ctl_flag(row, "frozen") ? "frozen" : "-", queue, next, allowance,
	    known, ctl_text(row, "policy"), seen, why, ctl_text(row, "relay")};

	snprintf(
	    queue, sizeof(queue), "%" PRId64, ctl_number(row, "queue_length"));
	snprintf(allowance, sizeof(allowance), "%" PRId64,
	    ctl_number(row, "allowance"));
	snprintf(
	    known, sizeof(known), "%" PRId64, ctl_number(row, "working_set"));
	text_age(ctl_text(row, "next_release"), wall, next);
	text_age(ctl_text(row, "last_seen"), wall, seen);
	table_add(t, cells);
	free(why);
}

static void
on_sender(void *arg, const char *kind, const json_t *row)
{
	(void)kind;
	look_add_sender(arg, row, clock_wall_ms());
}

enum ctl_status
ctl_senders(struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, "senders");
	enum ctl_status status;
	struct table t;

	if (ctl->json)
		return ctl_ask_json_list(ctl, request);
	look_senders_init(&t);
	status = ctl_ask(ctl, request, on_sender, &t, NULL);
	table_finish(&t, status == CTL_OK
			     ? "no senders\n(incoming mail is not counted)"
			     : NULL);
	return status;
}

/* What each relay of the site has of a sender. */
static void
print_relays(const json_t *list)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)list, i, one)
	{
		char *name = text_safe(str_from(ctl_text(one, "relay")), 0);

		printf("  relay %s: %" PRId64 " waiting\n", name,
		    ctl_number(one, "queue_length"));
		free(name);
	}
}

static void
on_show(void *arg, const char *kind, const json_t *row)
{
	(void)arg;
	(void)kind;
	print_servers("next hop", json_object_get(row, "next_hops"));
	print_relays(json_object_get(row, "relays"));
	print_members("", row);
}

enum ctl_status
ctl_show(struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, "show");

	json_object_set_new(request, "sender", json_string(ctl->words[0]));
	if (ctl->json)
		return ctl_ask_json_one(ctl, request);
	return ctl_ask(ctl, request, on_show, NULL, NULL);
}

enum ctl_status
ctl_explain(struct ctl *ctl)
{
	json_t *request;

	if (ctl->given == CTL_POLICY && ctl->word_count == 0)
		return ctl_explain_policy(ctl);
	if ((ctl->given & CTL_POLICY) != 0 || ctl->word_count != 2) {
		ctl_error("usage: weirctl explain %s", ctl->command->usage);
		return CTL_USAGE;
	}
	request = ctl_request(ctl, "explain");
	json_object_set_new(request, "sender", json_string(ctl->words[0]));
	json_object_set_new(request, "recipient", json_string(ctl->words[1]));
	if (ctl->json)
		return ctl_ask_json_one(ctl, request);
	return ctl_ask(ctl, request, on_show, NULL, NULL);
}

/* ---- audit, config, reload ---- */

static const struct table_column audit_columns[] = {
    {.title = "AT", .keep = true},
    {.title = "WHO"},
    {.title = "ACTION", .keep = true},
    {.title = "TARGET"},
    {.title = "DETAIL"},
};

static void
on_audit(void *arg, const char *kind, const json_t *row)
{
	const char *cells[] = {ctl_text(row, "at"), ctl_text(row, "who"),
	    ctl_text(row, "action"), ctl_text(row, "target"),
	    ctl_text(row, "detail")};

	(void)kind;
	table_add(arg, cells);
}

enum ctl_status
ctl_audit(struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, "audit");
	enum ctl_status status;
	struct table t;

	if (ctl->count > 0)
		json_object_set_new(request, "max", json_integer(ctl->count));
	if (ctl->json)
		return ctl_ask_json_list(ctl, request);
	table_init(&t, audit_columns, ARRAY_LEN(audit_columns), text_columns());
	status = ctl_ask(ctl, request, on_audit, &t, NULL);
	table_finish(&t, status == CTL_OK ? "nothing was done" : NULL);
	return status;
}

static void
on_config(void *arg, const char *kind, const json_t *row)
{
	const char *line = ctl_text(row, "line");
	char *text;

	(void)arg;
	(void)kind;
	for (; *line == '\t'; line++)
		putchar('\t');
	text = text_safe(str_from(line), 0);
	printf("%s\n", text);
	free(text);
}

enum ctl_status
ctl_config(struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, "config");

	if (ctl->json)
		return ctl_ask_json_list(ctl, request);
	return ctl_ask(ctl, request, on_config, NULL, NULL);
}

static void
on_note(void *arg, const char *kind, const json_t *row)
{
	char **note = arg;

	(void)kind;
	free(*note);
	*note = text_safe(str_from(ctl_text(row, "note")), 0);
}

enum ctl_status
ctl_reload(struct ctl *ctl)
{
	char *note = NULL;
	enum ctl_status status =
	    ctl_ask(ctl, ctl_request(ctl, "reload"), on_note, &note, NULL);

	if (status == CTL_OK && !ctl->json)
		printf("configuration reloaded%s%s\n", note != NULL ? "; " : "",
		    note != NULL ? note : "");
	free(note);
	return status;
}

/* ---- any command ---- */

static void
on_any(void *arg, const char *kind, const json_t *value)
{
	(void)arg;
	(void)kind;
	json_dumpf(value, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	fputs("\n", stdout);
}

/* A value is JSON where it can be read as that, and a text where it cannot. */
static bool
add_argument(json_t *request, const char *word)
{
	struct str value = str_from(word), name = str_cut(&value, '=');
	json_t *json;
	char *key;
	bool ok;

	if (name.n == 0 || name.p + name.n == value.p) {
		ctl_error("\"%s\" is not NAME=VALUE", word);
		return false;
	}
	json = json_loadb(value.p, value.n, JSON_DECODE_ANY, NULL);
	if (json == NULL)
		json = json_stringn(value.p, value.n);
	key = str_dup(name);
	ok = json != NULL && json_object_set_new(request, key, json) == 0;
	free(key);
	if (!ok)
		ctl_error("\"%s\" is not UTF-8", word);
	return ok;
}

enum ctl_status
ctl_ask_any(struct ctl *ctl)
{
	json_t *request = json_pack("{s:s}", "command", ctl->words[0]);
	json_t *done = NULL;
	enum ctl_status status;

	if (request == NULL) {
		ctl_error("\"%s\" is not UTF-8", ctl->words[0]);
		return CTL_USAGE;
	}
	for (int i = 1; i < ctl->word_count; i++) {
		if (!add_argument(request, ctl->words[i])) {
			json_decref(request);
			return CTL_USAGE;
		}
	}
	status = ctl_ask(ctl, request, on_any, NULL, &done);
	if (status == CTL_OK && json_object_size(done) > 1)
		on_any(NULL, "done", done);
	json_decref(done);
	return status;
}
