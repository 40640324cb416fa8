/* SPDX-License-Identifier: BSD-3-Clause */
/* See head.h. */
#include "replay/head.h"

#include <jansson.h>
#include <string.h>

/* ---- JSON ---- */

/* Lines that are JSON objects: the journal's (journalctl -o json), and those
 * that Docker wraps around lines of another kind. Pure.
 * The journal writes each value as a string, but what is not
 * UTF-8 or holds control characters as an array of bytes, what was given twice
 * as an array of values, and what is longer than 4096 bytes as null. */

struct head_json {
	struct head_line line;
	struct str inner; /* Docker: the line, with a head of its own */
};

/* Adds the value's bytes to texts. */
static bool
add_bytes(struct buf *texts, const json_t *array)
{
	const json_t *v;
	size_t i;

	json_array_foreach(array, i, v)
	{
		json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
		char c = (char)n;

		if (n < 0 || n > 255 || !buf_append(texts, &c, 1))
			return false;
	}
	return true;
}

static bool
add_value(struct buf *texts, const json_t *v)
{
	if (json_is_string(v))
		return buf_append(
		    texts, json_string_value(v), json_string_length(v));
	if (!json_is_array(v) || json_array_size(v) == 0)
		return false;
	if (json_is_integer(json_array_get(v, 0)))
		return add_bytes(texts, v);
	v = json_array_get(v, 0);
	return json_is_string(v) && add_value(texts, v);
}

/* Where texts grows the earlier slices move: only lengths are kept. */
struct part {
	size_t from, n;
	bool is_there;
};

static struct part
take(struct buf *texts, const json_t *object, const char *key)
{
	struct part p = {.from = texts->len};

	p.is_there = add_value(texts, json_object_get(object, key));
	p.n = texts->len - p.from;
	return p;
}

static struct str
part_str(const struct buf *texts, struct part p)
{
	return p.is_there ? str_sub(buf_str(texts), p.from, p.n) : STR("");
}

static bool
take_time(const json_t *o, int64_t *out)
{
	const json_t *v = json_object_get(o, "__REALTIME_TIMESTAMP");
	uint64_t us;

	if (!json_is_string(v) ||
	    !str_to_u64(
		(struct str){json_string_value(v), json_string_length(v)},
		&us) ||
	    us > INT64_MAX)
		return false;
	*out = (int64_t)(us / 1000);
	return true;
}

static bool
take_journal(struct buf *texts, const json_t *o, struct head_json *out)
{
	struct part text = take(texts, o, "MESSAGE");
	struct part program = take(texts, o, "SYSLOG_IDENTIFIER");
	struct part host = take(texts, o, "_HOSTNAME");
	struct part pid = take(texts, o, "SYSLOG_PID");

	if (!pid.is_there)
		pid = take(texts, o, "_PID");
	out->line.text = part_str(texts, text);
	out->line.program = part_str(texts, program);
	out->line.host = part_str(texts, host);
	out->line.pid = part_str(texts, pid);
	return true;
}

static bool
take_docker(struct buf *texts, const json_t *o, struct head_json *out)
{
	struct part log = take(texts, o, "log");
	struct part at = take(texts, o, "time");
	struct stamp_clock clock;
	struct str time;

	if (!log.is_there)
		return false;
	out->inner = part_str(texts, log);
	while (out->inner.n > 0 && out->inner.p[out->inner.n - 1] == '\n')
		out->inner.n--;
	time = part_str(texts, at);
	stamp_init(&clock, 0, 0);
	if (!stamp_take_iso(&clock, &time, &out->line.at))
		out->line.at = HEAD_NO_TIME;
	return true;
}

/* The texts lie in `texts`. False: not JSON, or of neither kind. */
static bool
head_json_parse(struct buf *texts, struct str line, struct head_json *out)
{
	json_t *o = json_loadb(line.p, line.n, JSON_ALLOW_NUL, NULL);
	bool ok = false;

	*out = (struct head_json){.line = {.at = HEAD_NO_TIME}};
	buf_reset(texts);
	if (json_is_object(o))
		ok = take_time(o, &out->line.at) ? take_journal(texts, o, out)
						 : take_docker(texts, o, out);
	json_decref(o);
	return ok;
}

/* ---- any head ---- */

#define TEXTS_MAX (2u << 20)
#define SERVICE_MAX 80 /* name of a container, before the bar */

void
head_init(struct head *h, int64_t newest, int year)
{
	*h = (struct head){0};
	stamp_init(&h->clock, newest, year);
	buf_init(&h->json, TEXTS_MAX);
}

void
head_clear(struct head *h)
{
	buf_clear(&h->json);
}

/* "postfix/qmgr[498]: " */
static bool
take_tag(struct str *s, struct head_line *out)
{
	size_t end = 0, colon;
	struct str tag;

	while (end < s->n && s->p[end] != ' ' && s->p[end] != ':' &&
	       s->p[end] != '[')
		end++;
	tag = str_sub(*s, 0, end);
	if (tag.n == 0 || end == s->n || s->p[end] == ' ')
		return false;
	out->program = tag;
	if (s->p[end] == '[') {
		struct str rest = str_sub(*s, end + 1, s->n);

		out->pid = str_cut(&rest, ']');
		colon = s->n - rest.n;
	} else {
		colon = end;
	}
	if (colon >= s->n || s->p[colon] != ':')
		return false;
	*s = str_sub(*s, colon + 1, s->n);
	if (s->n > 0 && s->p[0] == ' ')
		*s = str_sub(*s, 1, s->n);
	return true;
}

/* The host may be missing, as in what a program writes to /dev/log. */
static void
take_host_and_tag(struct str s, struct head_line *out)
{
	struct str rest = s;

	out->text = s;
	if (take_tag(&rest, out)) {
		out->text = rest;
		return;
	}
	out->program = out->pid = STR("");
	out->host = str_cut(&rest, ' ');
	if (take_tag(&rest, out)) {
		out->text = rest;
		return;
	}
	out->host = out->program = out->pid = STR("");
}

/* "[a b="c"]...", "-": taken off. RFC 5424 section 6.3. */
static void
skip_structured(struct str *s)
{
	bool quoted = false;

	if (s->n == 0 || s->p[0] != '[') {
		(void)str_cut(s, ' ');
		return;
	}
	for (size_t i = 0; i < s->n; i++) {
		char c = s->p[i];

		if (c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == ']' && !quoted &&
			 (i + 1 == s->n || s->p[i + 1] != '[')) {
			*s = str_sub(*s, i + 1, s->n);
			if (s->n > 0 && s->p[0] == ' ')
				*s = str_sub(*s, 1, s->n);
			return;
		}
	}
	*s = STR("");
}

/* After "<PRI>": "1 TIME HOST APP PROCID MSGID SD MSG". */
static bool
parse_5424(struct head *h, struct str s, struct head_line *out)
{
	static const char bom[] = "\xef\xbb\xbf";

	if (!str_starts(s, STR("1 ")))
		return false;
	s = str_sub(s, 2, s.n);
	if (!stamp_take_iso(&h->clock, &s, &out->at) || s.n == 0 ||
	    s.p[0] != ' ')
		return false;
	s = str_sub(s, 1, s.n);
	out->host = str_cut(&s, ' ');
	out->program = str_cut(&s, ' ');
	out->pid = str_cut(&s, ' ');
	(void)str_cut(&s, ' ');
	skip_structured(&s);
	if (str_starts(s, str_from(bom)))
		s = str_sub(s, 3, s.n);
	out->text = s;
	return true;
}

static bool
skip_priority(struct str *s)
{
	size_t end = str_index(str_sub(*s, 0, 5), '>');
	uint64_t v;

	if (s->n == 0 || s->p[0] != '<' || end >= 5 ||
	    !str_to_u64(str_sub(*s, 1, end - 1), &v))
		return false;
	*s = str_sub(*s, end + 1, s->n);
	return true;
}

static bool
parse_stamped(struct head *h, struct str s, struct head_line *out)
{
	bool had_t = s.n > 10 && s.p[10] == 'T';

	if (skip_priority(&s) && parse_5424(h, s, out))
		return true;
	if (stamp_take_syslog(&h->clock, &s, &out->at)) {
		if (s.n == 0 || s.p[0] != ' ')
			return false;
		take_host_and_tag(str_sub(s, 1, s.n), out);
		return true;
	}
	if (!stamp_take_iso(&h->clock, &s, &out->at) || s.n == 0)
		return false;
	if (s.p[0] != ' ')
		return false; /* a table with commas has times of its own */
	s = str_sub(s, 1, s.n);
	out->text = s;
	if (had_t)
		take_host_and_tag(s, out);
	return true;
}

static bool
has(struct str s, struct str what)
{
	return s.p != NULL && memmem(s.p, s.n, what.p, what.n) != NULL;
}

static bool
parse_json(struct head *h, struct str line, struct head_line *out)
{
	struct head_json json;

	/* Others read theirs themselves. */
	if (!has(line, STR("__REALTIME_TIMESTAMP")) &&
	    !has(line, STR("\"log\"")))
		return false;
	if (!head_json_parse(&h->json, line, &json))
		return false;
	*out = json.line;
	if (json.inner.n > 0 && !parse_stamped(h, json.inner, out)) {
		*out = json.line;
		out->text = json.inner;
	}
	return out->at != HEAD_NO_TIME;
}

/* "mail-1  | " */
static bool
skip_service(struct str *s)
{
	size_t bar = str_index(str_sub(*s, 0, SERVICE_MAX), '|');

	if (bar == 0 || bar + 1 >= s->n || bar >= SERVICE_MAX ||
	    s->p[bar] != '|' || s->p[bar - 1] != ' ' || s->p[bar + 1] != ' ')
		return false;
	*s = str_sub(*s, bar + 2, s->n);
	return true;
}

static bool
parse(struct head *h, struct str line, struct head_line *out)
{
	if (line.n > 0 && line.p[0] == '{')
		return parse_json(h, line, out);
	if (parse_stamped(h, line, out))
		return true;
	*out = (struct head_line){.at = HEAD_NO_TIME};
	return skip_service(&line) && parse_stamped(h, line, out);
}

bool
head_parse(struct head *h, struct str line, struct head_line *out)
{
	*out = (struct head_line){.at = HEAD_NO_TIME};
	/* What a crash left. */
	while (line.n > 0 && line.p[0] == '\0')
		line = str_sub(line, 1, line.n);
	if (!parse(h, line, out)) {
		*out = (struct head_line){.at = HEAD_NO_TIME, .text = line};
		return false;
	}
	stamp_note(&h->clock, out->at);
	return true;
}
