/* SPDX-License-Identifier: BSD-3-Clause */
/* See feed.h. */
#include "replay/feed.h"
#include "replay/head.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- entries of journalctl -o export ---- */

/* The journal's export format (journalctl -o export): fields a line each, an
 * empty line behind each entry; a value that is not text comes after its name's
 * line end, with its length before it. Pure: bytes in, entries out. */

#define EXPORT_VALUE_MAX (1u << 20) /* longer ones are left out */

typedef void export_fn(void *arg, const struct head_line *entry);

enum export_field {
	EXPORT_MESSAGE,
	EXPORT_IDENTIFIER,
	EXPORT_HOST,
	EXPORT_SYSLOG_PID,
	EXPORT_PID,
	EXPORT_TIME,
	EXPORT_FIELDS
};

struct export
{
	export_fn *fn;
	void *arg;
	int state;
	struct buf part; /* of a line, or of a value with its length */
	struct buf fields[EXPORT_FIELDS];
	int field;     /* of the value that comes; -1: of no interest */
	uint64_t left; /* bytes of it */
	unsigned length_n;
	bool has_any;
};

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

/* Such a text begins so. */
static bool
export_is_it(struct str first)
{
	return str_starts(first, STR("__CURSOR=")) ||
	       str_starts(first, STR("__REALTIME_TIMESTAMP="));
}

static void
export_init(struct export *e, export_fn *fn, void *arg)
{
	*e = (struct export){.fn = fn, .arg = arg, .state = LINE};
	buf_init(&e->part, EXPORT_VALUE_MAX);
	for (int i = 0; i < EXPORT_FIELDS; i++)
		buf_init(&e->fields[i], EXPORT_VALUE_MAX);
}

static void
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

static void
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

/* An entry need not have its empty line. */
static void
export_end(struct export *e)
{
	if (e->part.len > 0 && e->state == LINE)
		end_line(e);
	end_entry(e);
}

/* ---- a JSON document's objects ---- */

/* A text that is one JSON document, such as rspamd's history: hands on each
 * object of its list as a line would be. Braces and quotes alone count; whether
 * an object is sound is for who takes it. Pure: pieces in, objects out. */

typedef void rows_fn(void *arg, struct str object);

struct rows {
	rows_fn *fn;
	void *arg;
	uint64_t long_count;
	bool is_in_list; /* the bracket opened last is "[" */
	bool is_quoted, is_escaped, is_skipping;
	uint32_t depth; /* of brackets in the object in hand; 0: none is */
	struct buf part;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str
skip_blanks(struct str s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = str_sub(s, 1, s.n);
	return s;
}

/* Such a text begins so. */
static bool
rows_is_it(struct str first)
{
	first = skip_blanks(first);
	if (str_starts(first, STR("[")))
		return str_starts(
		    skip_blanks(str_sub(first, 1, first.n)), STR("{"));
	if (!str_starts(first, STR("{")))
		return false;
	first = skip_blanks(str_sub(first, 1, first.n));
	return str_starts(first, STR("\"version\"")) ||
	       str_starts(first, STR("\"rows\""));
}

static void
rows_init(struct rows *r, rows_fn *fn, void *arg)
{
	*r = (struct rows){.fn = fn, .arg = arg};
	buf_init(&r->part, FEED_OBJECT_MAX);
}

static void
rows_clear(struct rows *r)
{
	buf_clear(&r->part);
}

static void
end_row(struct rows *r)
{
	if (r->is_skipping)
		r->long_count++;
	else
		r->fn(r->arg, buf_str(&r->part));
	r->is_skipping = false;
	r->depth = 0;
	buf_reset(&r->part);
}

static void
keep(struct rows *r, struct str s)
{
	if (!r->is_skipping && !buf_append_str(&r->part, s))
		r->is_skipping = true;
}

/* Quoted, where brackets count for nothing. */
static void
take_quoted(struct rows *r, char c)
{
	if (r->is_escaped)
		r->is_escaped = false;
	else if (c == '\\')
		r->is_escaped = true;
	else if (c == '"')
		r->is_quoted = false;
}

/* False: the object in hand ends with it. */
static bool
take_inside(struct rows *r, char c)
{
	if (r->is_quoted)
		take_quoted(r, c);
	else if (c == '"')
		r->is_quoted = true;
	else if (c == '{' || c == '[')
		r->depth++;
	else if (c == '}' || c == ']')
		r->depth--;
	return r->depth > 0;
}

/* True: an object begins with it. */
static bool
take_outside(struct rows *r, char c)
{
	if (r->is_quoted) {
		take_quoted(r, c);
		return false;
	}
	switch (c) {
	case '"':
		r->is_quoted = true;
		return false;
	case '[':
		r->is_in_list = true;
		return false;
	case ']':
		r->is_in_list = false;
		return false;
	case '{':
		return r->is_in_list;
	default:
		return false;
	}
}

static void
rows_push(struct rows *r, struct str piece)
{
	size_t from = 0;

	for (size_t i = 0; i < piece.n; i++) {
		if (r->depth > 0) {
			if (take_inside(r, piece.p[i]))
				continue;
			keep(r, str_sub(piece, from, i + 1 - from));
			end_row(r);
		} else if (take_outside(r, piece.p[i])) {
			r->depth = 1;
			from = i;
		}
	}
	if (r->depth > 0)
		keep(r, str_sub(piece, from, piece.n - from));
}

/* The end of the text. What of an object came is handed on as it is. */
static void
rows_end(struct rows *r)
{
	if (r->depth > 0)
		end_row(r);
}

/* ---- the feed ---- */

#define START 24 /* "__REALTIME_TIMESTAMP=" fits */

struct feed {
	const struct reader *format; /* of --format */
	struct join *join;
	struct feed_stats stats;

	/* The file in hand. */
	const char *name;
	const struct reader *reader;
	struct head head;
	struct lines lines;
	struct export entries;
	struct rows rows;
	char start[START]; /* until it shows what the file is */
	size_t start_n;
	enum { FEED_LINES, FEED_EXPORT, FEED_ROWS } kind;
	bool has_begun;
	struct join_place place;
	_Alignas(max_align_t) char state[READER_STATE];
};

struct feed *
feed_new(const struct reader *format, struct join *join)
{
	struct feed *f = xcalloc(1, sizeof(*f));

	f->format = format;
	f->join = join;
	f->stats.first = INT64_MAX;
	f->stats.last = INT64_MIN;
	return f;
}

void
feed_free(struct feed *f)
{
	free(f);
}

const struct feed_stats *
feed_stats(const struct feed *f)
{
	return &f->stats;
}

static void
note_time(struct feed *f, int64_t at)
{
	if (at < f->stats.first)
		f->stats.first = at;
	if (at > f->stats.last)
		f->stats.last = at;
}

static void
on_record(void *arg, const struct reader_record *record)
{
	struct feed *f = arg;

	if (record->at == HEAD_NO_TIME)
		return;
	/* Of what has no time in front of its lines. */
	if (record->kind == READER_BEGIN)
		note_time(f, record->at);
	join_take(f->join, record, f->place);
}

static void
note_format(struct feed *f, const struct reader *reader)
{
	struct feed_stats *s = &f->stats;

	for (size_t i = 0; i < s->format_count; i++) {
		if (s->formats[i] == reader)
			return;
	}
	if (s->format_count < FEED_FORMATS_MAX)
		s->formats[s->format_count++] = reader;
}

static void
find_reader(struct feed *f, const struct head_line *line)
{
	for (size_t i = 0; f->reader == NULL && reader_list[i] != NULL; i++) {
		if (reader_list[i]->knows(line))
			f->reader = reader_list[i];
	}
	if (f->reader != NULL)
		note_format(f, f->reader);
}

static void
keep_sample(struct feed *f, struct str text)
{
	char shown[FEED_SAMPLE_MAX];

	if (f->stats.sample_count == FEED_SAMPLES)
		return;
	snprintf(f->stats.samples[f->stats.sample_count++], FEED_SAMPLE_MAX,
	    "%.60s:%u: %.120s", f->name, (unsigned)f->place.line,
	    str_escape(str_sub(text, 0, 110), shown, sizeof(shown)));
}

static void
take_entry(struct feed *f, const struct head_line *line)
{
	enum reader_use use = READER_STRANGE;

	f->stats.lines++;
	if (line->at != HEAD_NO_TIME)
		note_time(f, line->at);
	if (f->reader == NULL)
		find_reader(f, line);
	if (f->reader != NULL)
		use = f->reader->take(f->state, line, on_record, f);
	else if (line->at != HEAD_NO_TIME)
		use = READER_OTHER_PROGRAM;
	/* journalctl's "-- Boot ... --", and nothing at all. */
	if (use == READER_STRANGE &&
	    (line->text.n == 0 || str_starts(line->text, STR("-- "))))
		use = READER_NOTE;
	f->stats.uses[use]++;
	if (use == READER_STRANGE)
		keep_sample(f, line->text);
}

static bool
on_line(void *arg, struct str line, struct err *why)
{
	struct feed *f = arg;
	struct head_line parsed;

	(void)why;
	f->place.line = (uint32_t)f->lines.number;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	(void)head_parse(&f->head, line, &parsed);
	take_entry(f, &parsed);
	return true;
}

static void
on_entry(void *arg, const struct head_line *entry)
{
	struct feed *f = arg;

	f->place.line++;
	take_entry(f, entry);
}

static void
on_row(void *arg, struct str object)
{
	struct head_line line = {.at = HEAD_NO_TIME, .text = object};

	on_entry(arg, &line);
}

void
feed_begin(
    struct feed *f, const char *name, uint32_t number, int64_t newest, int year)
{
	f->name = name;
	f->reader = f->format;
	if (f->reader != NULL)
		note_format(f, f->reader);
	f->place = (struct join_place){.file = number};
	f->has_begun = false;
	f->start_n = 0;
	f->kind = FEED_LINES;
	memset(f->state, 0, sizeof(f->state));
	head_init(&f->head, newest, year);
	lines_init(&f->lines, name, on_line, f);
	f->lines.skips_long = true;
	export_init(&f->entries, on_entry, f);
	rows_init(&f->rows, on_row, f);
}

static void
push(struct feed *f, struct str piece)
{
	struct err err;

	switch (f->kind) {
	case FEED_LINES:
		(void)!lines_push(&f->lines, piece, &err);
		break;
	case FEED_EXPORT:
		export_push(&f->entries, piece);
		break;
	case FEED_ROWS:
		rows_push(&f->rows, piece);
		break;
	}
}

static void
begin(struct feed *f)
{
	struct str start = {f->start, f->start_n};

	f->has_begun = true;
	if (export_is_it(start))
		f->kind = FEED_EXPORT;
	else if (rows_is_it(start))
		f->kind = FEED_ROWS;
	push(f, start);
}

void
feed_push(struct feed *f, struct str piece)
{
	size_t n = START - f->start_n;

	if (!f->has_begun) {
		if (n > piece.n)
			n = piece.n;
		if (n > 0)
			memcpy(f->start + f->start_n, piece.p, n);
		f->start_n += n;
		piece = str_sub(piece, n, piece.n);
		if (f->start_n < START)
			return;
		begin(f);
	}
	push(f, piece);
}

void
feed_end(struct feed *f)
{
	struct err err;
	uint64_t too_long;

	if (!f->has_begun)
		begin(f);
	export_end(&f->entries);
	rows_end(&f->rows);
	(void)!lines_end(&f->lines, &err);
	too_long = f->lines.long_count + f->rows.long_count;
	f->stats.lines += too_long;
	f->stats.uses[READER_STRANGE] += too_long;
	f->stats.too_long += too_long;
	f->stats.backwards += f->head.clock.back;
	head_clear(&f->head);
	lines_clear(&f->lines);
	export_clear(&f->entries);
	rows_clear(&f->rows);
}

/* ---- order ---- */

struct first {
	struct head head;
	int64_t at;
};

static void
on_first_entry(void *arg, const struct head_line *entry)
{
	struct first *first = arg;

	if (first->at == HEAD_NO_TIME)
		first->at = entry->at;
}

static void
first_line_time(struct first *first, struct str start)
{
	while (start.n > 0 && first->at == HEAD_NO_TIME) {
		struct str line = str_cut(&start, '\n');
		struct head_line parsed;

		if (head_parse(&first->head, line, &parsed) ||
		    stamp_take_iso(&first->head.clock, &line, &parsed.at))
			first->at = parsed.at;
	}
}

bool
feed_first_time(struct str start, int64_t newest, int year, int64_t *out)
{
	struct first first = {.at = HEAD_NO_TIME};
	struct export entries;

	head_init(&first.head, newest, year);
	if (export_is_it(start)) {
		export_init(&entries, on_first_entry, &first);
		export_push(&entries, start);
		export_end(&entries);
		export_clear(&entries);
	} else {
		first_line_time(&first, start);
	}
	head_clear(&first.head);
	*out = first.at;
	return first.at != HEAD_NO_TIME;
}
