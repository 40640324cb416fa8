/* SPDX-License-Identifier: BSD-3-Clause */
/* See feed.h. */
#include "replay/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ERR_MAX 100
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
on_line(void *arg, struct str line, char *why, size_t cap)
{
	struct feed *f = arg;
	struct head_line parsed;

	(void)why;
	(void)cap;
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
	char err[ERR_MAX];

	switch (f->kind) {
	case FEED_LINES:
		(void)!lines_push(&f->lines, piece, err, sizeof(err));
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
	char err[ERR_MAX];
	uint64_t too_long;

	if (!f->has_begun)
		begin(f);
	export_end(&f->entries);
	rows_end(&f->rows);
	(void)!lines_end(&f->lines, err, sizeof(err));
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
