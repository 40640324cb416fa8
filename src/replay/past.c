/* SPDX-License-Identifier: BSD-3-Clause */
#include "replay/past.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALL_MAX INT64_C(4102444800000) /* 2100 */
#define TEXT_MAX 1100

struct reading {
	struct past_mail *mail;
	char *end; /* of texts */
	char *why;
	size_t cap;
};

static bool
fail(struct reading *r, const char *name, const char *what)
{
	snprintf(r->why, r->cap, "\"%s\" %s", name, what);
	return false;
}

static bool
read_text(
    struct reading *r, const json_t *row, const char *name, struct str *out)
{
	const json_t *value = json_object_get(row, name);
	size_t n = json_string_length(value);

	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_string(value) || n > TEXT_MAX)
		return fail(r, name, "must be a short text");
	*out = (struct str){r->end, n};
	memcpy(r->end, json_string_value(value), n);
	r->end += n;
	return true;
}

static bool
read_flag(struct reading *r, const json_t *row, const char *name, bool *out)
{
	const json_t *value = json_object_get(row, name);

	if (value != NULL && !json_is_boolean(value))
		return fail(r, name, "must be true or false");
	*out = json_is_true(value);
	return true;
}

static bool
read_recipients(struct reading *r, const json_t *list)
{
	struct past_mail *m = r->mail;
	size_t n = json_array_size(list), i;
	const json_t *row;

	if (n == 0 || n > PAST_RECIPIENTS_MAX)
		return fail(r, "recipients", "must be a list of 1 to 4096");
	m->recipients = xcalloc(n, sizeof(*m->recipients));
	m->count = (uint32_t)n;
	json_array_foreach(list, i, row)
	{
		struct past_recipient *to = &m->recipients[i];
		bool put_off;

		if (!read_text(r, row, "address", &to->address) ||
		    !read_flag(r, row, "known", &to->known) ||
		    !read_flag(r, row, "exempt", &to->exempt) ||
		    !read_flag(r, row, "waited", &to->waited) ||
		    !read_flag(r, row, "put_off", &put_off))
			return false;
		if (to->address.n == 0)
			return fail(r, "address", "is missing");
		m->put_off = m->put_off || put_off;
	}
	return true;
}

static bool
read_client(struct reading *r, const json_t *row)
{
	struct str text = {0};

	r->mail->facts.client = (struct ip){.family = IP_NONE};
	if (!read_text(r, row, "client", &text))
		return false;
	return text.n == 0 || ip_parse(text, &r->mail->facts.client) ||
	       fail(r, "client", "must be an IP address");
}

static bool
read_mail(struct reading *r, const json_t *row)
{
	struct past_mail *m = r->mail;

	return read_text(r, row, "source", &m->source) &&
	       read_text(r, row, "policy", &m->policy) &&
	       read_text(r, row, "user", &m->facts.user) &&
	       read_text(r, row, "from", &m->facts.sender) &&
	       read_text(r, row, "helo", &m->facts.helo) &&
	       read_client(r, row) &&
	       read_flag(r, row, "local", &m->facts.local) &&
	       read_flag(r, row, "by_command", &m->facts.by_command) &&
	       read_flag(r, row, "front_end", &m->facts.front_end) &&
	       read_recipients(r, json_object_get(row, "recipients"));
}

static void
clear_mail(struct past_mail *m)
{
	free(m->recipients);
	free(m->texts);
}

static bool
take_time(struct past *p, const json_t *row, struct past_mail *m)
{
	const json_t *at = json_object_get(row, "at");
	int64_t wall = json_integer_value(at);

	if (!json_is_integer(at) || wall < 0 || wall > WALL_MAX)
		return false;
	if (p->count == 0)
		p->began = wall;
	/* A clock that was set back. */
	m->at = wall > p->began ? wall - p->began : 0;
	if (p->count > 0 && m->at < p->mails[p->count - 1].at)
		m->at = p->mails[p->count - 1].at;
	return true;
}

bool
past_add_line(void *past, struct str line, char *why, size_t cap)
{
	struct past *p = past;
	struct past_mail m = {0};
	struct reading r = {.mail = &m, .why = why, .cap = cap};
	json_error_t error;
	json_t *row = json_loadb(line.p, line.n, 0, &error);
	bool ok = false;

	if (!json_is_object(row)) {
		snprintf(why, cap, "is not a JSON object: %s",
		    row == NULL ? error.text : "another value");
	} else if (p->count >= PAST_MAILS_MAX) {
		snprintf(why, cap, "more than %d messages", PAST_MAILS_MAX);
	} else if (!take_time(p, row, &m)) {
		snprintf(why, cap, "\"at\" must be milliseconds since 1970");
	} else {
		/* No text is longer than its JSON. */
		m.texts = r.end = xmalloc(line.n + 1);
		ok = read_mail(&r, row);
	}
	json_decref(row);
	if (!ok) {
		clear_mail(&m);
		return false;
	}
	if (p->count == p->cap) {
		p->cap = p->cap == 0 ? 1024 : p->cap * 2;
		p->mails = xrealloc(p->mails, p->cap * sizeof(*p->mails));
	}
	p->mails[p->count++] = m;
	return true;
}

void
past_clear(struct past *p)
{
	for (uint32_t i = 0; i < p->count; i++)
		clear_mail(&p->mails[i]);
	free(p->mails);
	*p = (struct past){0};
}
