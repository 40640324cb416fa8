/* SPDX-License-Identifier: BSD-3-Clause */
/* See export.h. */
#include "replay/export.h"

enum { LINE, LENGTH, VALUE, AFTER };

static const struct {
	struct str name;
} names[EXPORT_FIELDS] = {
    [EXPORT_MESSAGE] = {STR("MESSAGE")},
    [EXPORT_IDENTIFIER] = {STR("SYSLOG_IDENTIFIER")},
    [EXPORT_HOST] = {STR("_HOSTNAME")},
    [EXPORT_SYSLOG_PID] = {STR("SYSLOG_PID")},
    [EXPORT_PID] = {STR("_PID")},
    [EXPORT_TIME] = {STR("__REALTIME_TIMESTAMP")},
};

bool
export_is_it(struct str first)
{
	return str_starts(first, STR("__CURSOR=")) ||
	       str_starts(first, STR("__REALTIME_TIMESTAMP="));
}

void
export_init(struct export *e, export_fn *fn, void *arg)
{
	*e = (struct export){.fn = fn, .arg = arg, .state = LINE};
	buf_init(&e->part, EXPORT_VALUE_MAX);
	for (int i = 0; i < EXPORT_FIELDS; i++)
		buf_init(&e->fields[i], EXPORT_VALUE_MAX);
}

void
export_clear(struct export *e)
{
	buf_clear(&e->part);
	for (int i = 0; i < EXPORT_FIELDS; i++)
		buf_clear(&e->fields[i]);
}

static int
field_of(struct str name)
{
	for (int i = 0; i < EXPORT_FIELDS; i++) {
		if (str_eq(name, names[i].name))
			return i;
	}
	return -1;
}

static void
end_entry(struct export *e)
{
	struct head_line line = {
	    .at = HEAD_NO_TIME,
	    .text = buf_str(&e->fields[EXPORT_MESSAGE]),
	    .program = buf_str(&e->fields[EXPORT_IDENTIFIER]),
	    .host = buf_str(&e->fields[EXPORT_HOST]),
	    .pid = buf_str(&e->fields[EXPORT_SYSLOG_PID]),
	};
	uint64_t us;

	if (line.pid.n == 0)
		line.pid = buf_str(&e->fields[EXPORT_PID]);
	if (str_to_u64(buf_str(&e->fields[EXPORT_TIME]), &us) &&
	    us <= INT64_MAX)
		line.at = (int64_t)(us / 1000);
	if (e->has_any)
		e->fn(e->arg, &line);
	for (int i = 0; i < EXPORT_FIELDS; i++)
		buf_reset(&e->fields[i]);
	e->has_any = false;
}

/* The first of several values counts. */
static void
set_field(struct export *e, int field, struct str value)
{
	if (field >= 0 && e->fields[field].len == 0)
		(void)!buf_append_str(&e->fields[field], value);
}

static void
end_line(struct export *e)
{
	struct str line = buf_str(&e->part);
	size_t equals = str_index(line, '=');

	if (line.n == 0) {
		end_entry(e);
		return;
	}
	e->has_any = true;
	e->field = field_of(str_sub(line, 0, equals));
	if (equals < line.n) {
		set_field(e, e->field, str_sub(line, equals + 1, line.n));
	} else {
		e->state = LENGTH;
		e->left = 0;
		e->length_n = 0;
	}
	buf_reset(&e->part);
}

static void
take_line(struct export *e, struct str *piece)
{
	size_t end = str_index(*piece, '\n');

	/* A line that is too long ends as it begins. */
	(void)!buf_append_str(&e->part, str_sub(*piece, 0, end));
	if (end < piece->n)
		end_line(e);
	*piece = str_sub(*piece, end + 1, piece->n);
}

static void
take_length(struct export *e, struct str *piece)
{
	e->left |= (uint64_t)(unsigned char)piece->p[0] << 8 * e->length_n++;
	*piece = str_sub(*piece, 1, piece->n);
	if (e->length_n == 8)
		e->state = e->left > 0 ? VALUE : AFTER;
}

static void
take_value(struct export *e, struct str *piece)
{
	size_t n = piece->n < e->left ? piece->n : (size_t)e->left;

	if (e->field >= 0)
		(void)!buf_append_str(&e->part, str_sub(*piece, 0, n));
	e->left -= n;
	*piece = str_sub(*piece, n, piece->n);
	if (e->left > 0)
		return;
	set_field(e, e->field, buf_str(&e->part));
	buf_reset(&e->part);
	e->state = AFTER;
}

void
export_push(struct export *e, struct str piece)
{
	while (piece.n > 0) {
		switch (e->state) {
		case LINE:
			take_line(e, &piece);
			break;
		case LENGTH:
			take_length(e, &piece);
			break;
		case VALUE:
			take_value(e, &piece);
			break;
		default:
			e->state = LINE;
			piece = str_sub(piece, 1, piece.n);
			break;
		}
	}
}

void
export_end(struct export *e)
{
	if (e->part.len > 0 && e->state == LINE)
		end_line(e);
	end_entry(e);
}
