/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See head_json.h. The journal writes each value as a string, but what is not
 * UTF-8 or holds control characters as an array of bytes, what was given twice
 * as an array of values, and what is longer than 4096 bytes as null.
 */
#include "replay/head_json.h"

#include <jansson.h>

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

bool
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
