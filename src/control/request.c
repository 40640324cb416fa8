/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a line of JSON to a request. A table of arguments says how each is read;
 * the command table says who takes which. Values are bounded here, so that no
 * handler has to.
 */
#include "control/request.h"

#include "base/units.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define SHOWN_MAX 64

struct problem {
	const struct control_grammar *grammar;
	char *err;
	size_t cap;
};

struct argument {
	const char *name;
	enum control_arg bit;
	bool (*read)(const json_t *value, void *field, struct problem *p);
	size_t offset;
};

PRINTF_LIKE(2, 3)
static bool
refuse(struct problem *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->err, p->cap, fmt, ap);
	va_end(ap);
	return false;
}

static bool
read_flag(const json_t *value, void *field, struct problem *p)
{
	if (!json_is_boolean(value))
		return refuse(p, "must be true or false");
	*(bool *)field = json_is_true(value);
	return true;
}

static bool
read_word(const json_t *value, void *field, struct problem *p)
{
	size_t n = json_string_length(value);

	if (!json_is_string(value) || n == 0 || n > CONTROL_WORD_MAX)
		return refuse(
		    p, "must be a text of 1 to %d bytes", CONTROL_WORD_MAX);
	*(char **)field = xstrdup(json_string_value(value));
	return true;
}

static bool
read_duration(const json_t *value, void *field, struct problem *p)
{
	const char *s = json_string_value(value);

	if (s != NULL && units_parse_duration(str_from(s), field))
		return true;
	return refuse(p, "must be a duration such as \"90s\" or \"2h\"");
}

/* Shown for as long as the freeze lasts, in logs and in mail. */
static bool
read_reason(const json_t *value, void *field, struct problem *p)
{
	struct str s = {json_string_value(value), json_string_length(value)};

	if (!json_is_string(value) || s.n == 0 || s.n > CONTROL_REASON_MAX ||
	    !str_is_shown(s))
		return refuse(p,
		    "must be a line of 1 to %d bytes of printable text",
		    CONTROL_REASON_MAX);
	*(char **)field = str_dup(s);
	return true;
}

static bool
read_span(const json_t *value, void *field, struct problem *p)
{
	int64_t ms;

	if (!read_duration(value, &ms, p))
		return false;
	if (ms <= 0 || ms > CONTROL_FOR_MAX_MS)
		return refuse(p, "must be more than 0 and at most 366d");
	*(int64_t *)field = ms;
	return true;
}

static bool
read_count(const json_t *value, void *field, struct problem *p)
{
	json_int_t n = json_integer_value(value);

	if (n < 1 || n > CONTROL_ROWS_MAX)
		return refuse(
		    p, "must be a number from 1 to %d", CONTROL_ROWS_MAX);
	*(uint32_t *)field = (uint32_t)n;
	return true;
}

static bool
read_then(const json_t *value, void *field, struct problem *p)
{
	const char *s = json_string_value(value);

	if (s == NULL ||
	    (strcmp(s, "release") != 0 && strcmp(s, "discard") != 0))
		return refuse(p, "must be \"release\" or \"discard\"");
	*(char **)field = xstrdup(s);
	return true;
}

/* field is the request itself: ids are two of its members. */
static bool
read_ids(const json_t *value, void *field, struct problem *p)
{
	struct control_request *r = field;
	size_t n = json_array_size(value);
	char shown[SHOWN_MAX];

	if (n == 0 || n > CONTROL_IDS_MAX)
		return refuse(
		    p, "must be a list of 1 to %d queue ids", CONTROL_IDS_MAX);
	r->ids = xcalloc(n, sizeof(*r->ids));
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(value, i));

		if (s == NULL)
			return refuse(p, "must be a list of texts");
		if (!p->grammar->parse_id(str_from(s), &r->ids[i]))
			return refuse(p, "\"%s\" is not a queue id",
			    str_escape(str_from(s), shown, sizeof(shown)));
	}
	r->id_count = n;
	return true;
}

#define FIELD(name) offsetof(struct control_request, name)

static const struct argument arguments[] = {
    {"sender", CONTROL_SENDER, read_word, FIELD(sender)},
    {"ids", CONTROL_IDS, read_ids, 0},
    {"all", CONTROL_ALL, read_flag, FIELD(all)},
    {"older", CONTROL_OLDER, read_duration, FIELD(older_ms)},
    {"recipient", CONTROL_RECIPIENT, read_word, FIELD(recipient)},
    {"frozen", CONTROL_FROZEN, read_flag, FIELD(frozen)},
    {"busy", CONTROL_BUSY, read_flag, FIELD(busy)},
    {"follow", CONTROL_FOLLOW, read_flag, FIELD(follow)},
    {"then", CONTROL_THEN, read_then, FIELD(then)},
    {"max", CONTROL_MAX, read_count, FIELD(max)},
    {"term", CONTROL_TERM, read_word, FIELD(term)},
    {"message_id", CONTROL_MESSAGE_ID, read_word, FIELD(message_id)},
    {"mta_id", CONTROL_MTA_ID, read_word, FIELD(mta_id)},
    {"subject", CONTROL_SUBJECT, read_word, FIELD(subject)},
    {"client", CONTROL_CLIENT, read_word, FIELD(client)},
    {"reason", CONTROL_REASON, read_reason, FIELD(reason)},
    {"for", CONTROL_FOR, read_span, FIELD(for_ms)},
};

static bool
find_command(const json_t *root, struct control_request *r, struct problem *p)
{
	const char *name = json_string_value(json_object_get(root, "command"));
	char shown[SHOWN_MAX];

	if (name == NULL)
		return refuse(p, "a request needs a \"command\"");
	for (const struct control_command *c = p->grammar->commands;
	     c->name != NULL; c++) {
		if (strcmp(c->name, name) == 0) {
			r->command = c;
			return true;
		}
	}
	return refuse(p, "no command \"%s\"",
	    str_escape(str_from(name), shown, sizeof(shown)));
}

static const struct argument *
find_argument(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(arguments); i++) {
		if (strcmp(arguments[i].name, name) == 0)
			return &arguments[i];
	}
	return NULL;
}

static bool
read_argument(struct control_request *r, const char *name, const json_t *value,
    struct problem *p)
{
	const struct argument *a = find_argument(name);
	char shown[SHOWN_MAX], why[256];
	struct problem inner = {p->grammar, why, sizeof(why)};

	if (a == NULL || !(r->command->takes & a->bit))
		return refuse(p, "%s takes no \"%s\"", r->command->name,
		    str_escape(str_from(name), shown, sizeof(shown)));
	if (!a->read(value, (char *)r + a->offset, &inner))
		return refuse(p, "%s: \"%s\" %s", r->command->name, name, why);
	/* A flag that is false is one that was not given. */
	if (!json_is_false(value))
		r->given |= a->bit;
	return true;
}

static bool
read_arguments(json_t *root, struct control_request *r, struct problem *p)
{
	const char *name;
	json_t *value;

	json_object_foreach(root, name, value)
	{
		if (strcmp(name, "command") != 0 &&
		    !read_argument(r, name, value, p))
			return false;
	}
	return true;
}

static void
name_arguments(unsigned bits, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(arguments); i++) {
		if (!(bits & arguments[i].bit))
			continue;
		if (n > 0)
			n += str_copy(STR(", "), out + n, cap - n);
		n += str_copy(str_from(arguments[i].name), out + n, cap - n);
	}
}

static bool
check_given(const struct control_request *r, struct problem *p)
{
	unsigned missing = r->command->needs & ~r->given;
	unsigned one = r->command->needs_one & r->given;
	char names[128];

	name_arguments(missing != 0 ? missing : r->command->needs_one, names,
	    sizeof(names));
	if (missing != 0)
		return refuse(p, "%s needs: %s", r->command->name, names);
	if (r->command->needs_one != 0 && (one == 0 || (one & (one - 1)) != 0))
		return refuse(
		    p, "%s needs one of: %s", r->command->name, names);
	if (r->command->needs_any != 0 &&
	    (r->command->needs_any & r->given) == 0) {
		name_arguments(r->command->needs_any, names, sizeof(names));
		return refuse(
		    p, "%s needs one or more of: %s", r->command->name, names);
	}
	return true;
}

bool
control_request_read(const struct control_grammar *grammar, struct str line,
    struct control_request *out, char *err, size_t cap)
{
	struct problem p = {grammar, err, cap};
	json_error_t why;
	json_t *root;
	bool ok;

	memset(out, 0, sizeof(*out));
	if (line.n > CONTROL_REQUEST_MAX)
		return refuse(&p, "request is too long");
	root = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(root)) {
		json_decref(root);
		return refuse(&p, "a request is one JSON object in one line");
	}
	ok = find_command(root, out, &p) && read_arguments(root, out, &p) &&
	     check_given(out, &p);
	json_decref(root);
	return ok;
}

void
control_request_clear(struct control_request *r)
{
	free(r->sender);
	free(r->recipient);
	free(r->then);
	free(r->term);
	free(r->message_id);
	free(r->mta_id);
	free(r->subject);
	free(r->client);
	free(r->reason);
	free(r->ids);
	memset(r, 0, sizeof(*r));
}
