/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a line of JSON to a request. A table of arguments says how each is read;
 * the command table says who takes which. Values are bounded here, so that no
 * handler has to.
 */
#include "control/request.h"

#include "base/ip.h"
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
	struct control_argument a;
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
		    p, "must be a string of 1 to %d bytes", CONTROL_WORD_MAX);
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
			return refuse(p, "must be a list of strings");
		if (!p->grammar->parse_id(str_from(s), &r->ids[i]))
			return refuse(p, "\"%s\" is not a queue id",
			    str_escape(str_from(s), shown, sizeof(shown)));
	}
	r->id_count = n;
	return true;
}

/* ---- of tokens ---- */

static const struct {
	const char *name;
	unsigned rights;
} rights[] = {
    {"view", CONTROL_READ},
    {"operate", CONTROL_READ | CONTROL_CHANGE},
    {"admin", CONTROL_RIGHTS},
};

unsigned
control_right_parse(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(rights); i++) {
		if (str_eq(name, str_from(rights[i].name)))
			return rights[i].rights;
	}
	return 0;
}

const char *
control_right_name(unsigned bits)
{
	size_t i = ARRAY_LEN(rights);

	while (--i > 0) {
		if ((bits & rights[i].rights) == rights[i].rights)
			break;
	}
	return rights[i].name;
}

static bool
read_right(const json_t *value, void *field, struct problem *p)
{
	*(unsigned *)field =
	    control_right_parse(str_from(json_string_value(value)));
	if (*(unsigned *)field == 0)
		return refuse(p, "must be \"view\", \"operate\" or \"admin\"");
	return true;
}

/* Shown in logs, and written into a file of words. */
static bool
read_name(const json_t *value, void *field, struct problem *p)
{
	struct str s = {json_string_value(value), json_string_length(value)};
	bool ok = json_is_string(value) && s.n > 0 && s.n <= CONTROL_NAME_MAX;

	for (size_t i = 0; ok && i < s.n; i++)
		ok = (s.p[i] >= '0' && s.p[i] <= '9') ||
		     (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
		     (s.p[i] >= 'a' && s.p[i] <= 'z') ||
		     strchr("-_.@+", s.p[i]) != NULL;
	if (!ok)
		return refuse(p, "must be 1 to %d letters, digits and -_.@+",
		    CONTROL_NAME_MAX);
	*(char **)field = str_dup(s);
	return true;
}

static bool
read_domain(const json_t *value, void *field, struct problem *p)
{
	struct str s = {json_string_value(value), json_string_length(value)};

	if (!json_is_string(value) || s.n == 0 || s.n > CONTROL_DOMAIN_MAX ||
	    str_index(s, '@') < s.n || str_index(s, ' ') < s.n ||
	    !str_is_shown(s))
		return refuse(p, "must be a domain such as \"example.org\"");
	*(char **)field = str_dup(s);
	return true;
}

static bool
read_password(const json_t *value, void *field, struct problem *p)
{
	struct str s = {json_string_value(value), json_string_length(value)};

	if (!json_is_string(value) || s.n < CONTROL_PASSWORD_MIN ||
	    s.n > CONTROL_WORD_MAX || memchr(s.p, '\0', s.n) != NULL)
		return refuse(p, "must be a string of %d to %d bytes",
		    CONTROL_PASSWORD_MIN, CONTROL_WORD_MAX);
	*(char **)field = str_dup(s);
	return true;
}

static bool
read_size(const json_t *value, void *field, struct problem *p)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value) || n < 0)
		return refuse(p, "must be a number of bytes");
	*(uint64_t *)field = (uint64_t)n;
	return true;
}

static bool
read_state(const json_t *value, void *field, struct problem *p)
{
	static const char *const names[] = {"held", "released", "deferred",
	    "sending", "frozen", "quarantined", "discarded"};
	const char *s = json_string_value(value);

	for (size_t i = 0; s != NULL && i < ARRAY_LEN(names); i++) {
		if (strcmp(s, names[i]) == 0) {
			*(char **)field = xstrdup(s);
			return true;
		}
	}
	return refuse(p,
	    "must be held, released, deferred, sending, frozen, quarantined "
	    "or discarded");
}

/* field is the request itself, as with ids. */
static bool
read_networks(const json_t *value, void *field, struct problem *p)
{
	struct control_request *r = field;
	size_t n = json_array_size(value);
	char shown[SHOWN_MAX];

	if (n == 0 || n > CONTROL_NETWORKS_MAX)
		return refuse(p, "must be a list of 1 to %d networks",
		    CONTROL_NETWORKS_MAX);
	r->networks = xcalloc(n, sizeof(*r->networks));
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(value, i));
		struct ip_net net;

		if (!ip_net_parse(str_from(s), &net))
			return refuse(p,
			    "\"%s\" is not a network; write it as "
			    "\"192.0.2.0/24\", host bits 0",
			    str_escape(str_from(s), shown, sizeof(shown)));
		r->networks[r->network_count++] = xstrdup(s);
	}
	return true;
}

/* The same of rows. */
static bool
read_pairs(const json_t *value, void *field, struct problem *p)
{
	struct control_request *r = field;
	size_t n = json_array_size(value);

	if (n == 0 || n > CONTROL_PAIRS_MAX)
		return refuse(
		    p, "must be a list of 1 to %d rows", CONTROL_PAIRS_MAX);
	r->pairs = xcalloc(n, sizeof(*r->pairs));
	r->pair_count = n;
	for (size_t i = 0; i < n; i++) {
		const json_t *row = json_array_get(value, i);
		char **to[] = {&r->pairs[i].sender, &r->pairs[i].recipient,
		    &r->pairs[i].time};

		if (json_array_size(row) != ARRAY_LEN(to))
			return refuse(
			    p, "must be a list of [sender, recipient, time]");
		for (size_t k = 0; k < ARRAY_LEN(to); k++) {
			if (!read_word(json_array_get(row, k), to[k], p))
				return false;
		}
	}
	return true;
}

#define FIELD(name) offsetof(struct control_request, name)
#define FLAG CONTROL_KIND_FLAG
#define NUMBER CONTROL_KIND_NUMBER
#define TEXT CONTROL_KIND_TEXT
#define LIST CONTROL_KIND_LIST

static const struct argument arguments[] = {
    {{"sender", CONTROL_SENDER, TEXT, "A sender, as listed by senders."},
	read_word, FIELD(sender)},
    {{"ids", CONTROL_IDS, LIST, "Queue ids."}, read_ids, 0},
    {{"all", CONTROL_ALL, FLAG, "All that matches the other members."},
	read_flag, FIELD(all)},
    {{"older", CONTROL_OLDER, TEXT,
	 "In the queue for longer than this: \"2h\"."},
	read_duration, FIELD(older_ms)},
    {{"newer", CONTROL_NEWER, TEXT, "In the queue for less than this."},
	read_duration, FIELD(newer_ms)},
    {{"recipient", CONTROL_RECIPIENT, TEXT,
	 "Recipients that this pattern with * and ? matches."},
	read_word, FIELD(recipient)},
    {{"frozen", CONTROL_FROZEN, FLAG, "Frozen senders only."}, read_flag,
	FIELD(frozen)},
    {{"busy", CONTROL_BUSY, FLAG,
	 "Only senders that are frozen or have mail waiting."},
	read_flag, FIELD(busy)},
    {{"follow", CONTROL_FOLLOW, FLAG, "Follow new events."}, read_flag,
	FIELD(follow)},
    {{"then", CONTROL_THEN, TEXT,
	 "What happens to the queue: \"release\" or \"discard\"."},
	read_then, FIELD(then)},
    {{"max", CONTROL_MAX, NUMBER, "Maximum number of rows."}, read_count,
	FIELD(max)},
    {{"term", CONTROL_TERM, TEXT,
	 "What to look for: an id, a Message-ID, a client, part of a sender, "
	 "recipient or subject; for alerts the name of the section."},
	read_word, FIELD(term)},
    {{"message_id", CONTROL_MESSAGE_ID, TEXT, "The Message-ID."}, read_word,
	FIELD(message_id)},
    {{"mta_id", CONTROL_MTA_ID, TEXT, "The mail server's queue id."}, read_word,
	FIELD(mta_id)},
    {{"subject", CONTROL_SUBJECT, TEXT, "Part of the subject, ignoring case."},
	read_word, FIELD(subject)},
    {{"client", CONTROL_CLIENT, TEXT, "The client's address."}, read_word,
	FIELD(client)},
    {{"reason", CONTROL_REASON, TEXT, "Reason, for the audit log."},
	read_reason, FIELD(reason)},
    {{"for", CONTROL_FOR, TEXT, "How long: \"2h\"."}, read_span, FIELD(for_ms)},
    {{"name", CONTROL_NAME, TEXT, "The name of a token or a user."}, read_name,
	FIELD(name)},
    {{"right", CONTROL_RIGHT, TEXT, "\"view\", \"operate\" or \"admin\"."},
	read_right, FIELD(right)},
    {{"networks", CONTROL_NETWORKS, LIST,
	 "Networks from which it may be used."},
	read_networks, 0},
    {{"domain", CONTROL_DOMAIN, TEXT, "Only for senders in this domain."},
	read_domain, FIELD(domain)},
    {{"expires", CONTROL_EXPIRES, TEXT, "How long it is valid: \"90d\"."},
	read_span, FIELD(expires_ms)},
    {{"password", CONTROL_PASSWORD, TEXT, "The user's password."},
	read_password, FIELD(password)},
    {{"dry_run", CONTROL_DRY_RUN, FLAG, "Only count; change nothing."},
	read_flag, FIELD(dry_run)},
    {{"size_min", CONTROL_SIZE_MIN, NUMBER,
	 "Messages of this many bytes or more."},
	read_size, FIELD(size_min)},
    {{"size_max", CONTROL_SIZE_MAX, NUMBER,
	 "Messages of this many bytes or less."},
	read_size, FIELD(size_max)},
    {{"state", CONTROL_STATE, TEXT, "Messages with a recipient in this state."},
	read_state, FIELD(state)},
    {{"relay", CONTROL_RELAY, TEXT,
	 "Only this relay of the site, by its hostname."},
	read_word, FIELD(relay)},
    {{"rows", CONTROL_PAIRS, CONTROL_KIND_ROWS,
	 "Rows of [sender, recipient, time of the last mail]."},
	read_pairs, 0},
};

const struct control_argument *
control_argument(size_t i)
{
	return i < ARRAY_LEN(arguments) ? &arguments[i].a : NULL;
}

const struct control_argument *
control_argument_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(arguments); i++) {
		if (str_eq(name, str_from(arguments[i].a.name)))
			return &arguments[i].a;
	}
	return NULL;
}

const struct control_command *
control_command_find(const struct control_grammar *grammar, const char *name)
{
	for (size_t i = 0; grammar->tables[i] != NULL; i++) {
		const struct control_command *c = grammar->tables[i];

		for (; c->name != NULL; c++) {
			if (strcmp(c->name, name) == 0)
				return c;
		}
	}
	return NULL;
}

static bool
find_command(const json_t *root, struct control_request *r, struct problem *p)
{
	const char *name = json_string_value(json_object_get(root, "command"));
	char shown[SHOWN_MAX];

	if (name == NULL)
		return refuse(p, "a request needs a \"command\"");
	r->command = control_command_find(p->grammar, name);
	if (r->command != NULL)
		return true;
	return refuse(p, "unknown command \"%s\"",
	    str_escape(str_from(name), shown, sizeof(shown)));
}

static const struct argument *
find_argument(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(arguments); i++) {
		if (strcmp(arguments[i].a.name, name) == 0)
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

	if (a == NULL || !(r->command->takes & a->a.bit))
		return refuse(p, "%s takes no \"%s\"", r->command->name,
		    str_escape(str_from(name), shown, sizeof(shown)));
	if (!a->read(value, (char *)r + a->offset, &inner))
		return refuse(p, "%s: \"%s\" %s", r->command->name, name, why);
	/* A flag that is false is one that was not given. */
	if (!json_is_false(value))
		r->given |= a->a.bit;
	return true;
}

static bool
read_arguments(
    const json_t *object, struct control_request *r, struct problem *p)
{
	/* jansson's walk changes nothing. */
	json_t *root = (json_t *)object, *value;
	const char *name;

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
		if (!(bits & arguments[i].a.bit))
			continue;
		if (n > 0)
			n += str_copy(STR(", "), out + n, cap - n);
		n += str_copy(str_from(arguments[i].a.name), out + n, cap - n);
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
control_request_take(const struct control_grammar *grammar, const json_t *root,
    struct control_request *out, char *err, size_t cap)
{
	struct problem p = {grammar, err, cap};

	memset(out, 0, sizeof(*out));
	return find_command(root, out, &p) && read_arguments(root, out, &p) &&
	       check_given(out, &p);
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
	ok = control_request_take(grammar, root, out, err, cap);
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
	free(r->name);
	free(r->domain);
	free(r->state);
	free(r->relay);
	if (r->password != NULL)
		explicit_bzero(r->password, strlen(r->password));
	free(r->password);
	for (size_t i = 0; i < r->network_count; i++)
		free(r->networks[i]);
	free(r->networks);
	free(r->ids);
	for (size_t i = 0; i < r->pair_count; i++) {
		free(r->pairs[i].sender);
		free(r->pairs[i].recipient);
		free(r->pairs[i].time);
	}
	free(r->pairs);
	memset(r, 0, sizeof(*r));
}
