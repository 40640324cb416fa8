/* SPDX-License-Identifier: BSD-3-Clause */
/* See reader_json.h. */
#include "replay/reader_json.h"

#define SECONDS_MAX INT64_C(253402300799) /* the year 9999 */

json_t *
reader_json_parse(struct str line)
{
	json_t *o;

	if (line.n == 0 || line.p[0] != '{')
		return NULL;
	o = json_loadb(line.p, line.n, JSON_ALLOW_NUL, NULL);
	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

static struct str
text_of(const json_t *v)
{
	return json_is_string(v)
		   ? (struct str){json_string_value(v), json_string_length(v)}
		   : STR("");
}

struct str
reader_json_text(const json_t *object, const char *key)
{
	return text_of(json_object_get(object, key));
}

bool
reader_json_seconds(const json_t *object, const char *key, int64_t *out)
{
	const json_t *v = json_object_get(object, key);
	double seconds = json_number_value(v);

	if (!json_is_number(v) || !(seconds >= 0) ||
	    seconds > (double)SECONDS_MAX)
		return false;
	*out = (int64_t)(seconds * 1000);
	return true;
}

void
reader_json_recipients(struct reader_record *r, const json_t *list,
    reader_emit_fn *emit, void *arg)
{
	const json_t *v;
	size_t i;

	r->kind = READER_RECIPIENT;
	r->address = text_of(list);
	if (r->address.n > 0)
		emit(arg, r);
	json_array_foreach(list, i, v)
	{
		r->address = text_of(v);
		if (r->address.n > 0)
			emit(arg, r);
	}
}
