/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The DATA stream. Both ways work on runs: a run of clean lines inside one
 * input is handed over as it stands, and memchr finds where it ends. Results
 * do not depend on how the stream was cut into inputs.
 *
 * Invariants: the decoder ends at CR LF . CR LF alone (with SMTP_BARE_ENDS at
 * LF . LF, where the first line of the text ended in LF) and its output holds
 * no CR without LF and no LF without CR, and a dot at the start of a line only
 * where a run starts; the encoder's output holds CR LF . CR
 * LF only where smtp_encode_end wrote it.
 */
#include "smtp/data.h"

#include "smtp/clean.h"

#include <string.h>

enum wire_state {    /* what came last */
	WIRE_START,  /* CR LF or nothing: a dot is special now */
	WIRE_TEXT,   /* anything else, a bare CR or LF included */
	WIRE_CR,     /* a CR, maybe bare */
	WIRE_DOT,    /* the dot at the start of a line, held back */
	WIRE_DOT_CR, /* and the CR after it */
};

enum field_state { /* of one header line */
	FIELD_NAME,
	FIELD_BLANK, /* between name and colon */
	FIELD_VALUE,
};

typedef void sink_fn(void *arg, struct str chunk);

/* The input: next bytes, and the run not handed over yet that ends in p. The
 * next CR and LF are remembered, so that each byte is searched once. */
struct cursor {
	const char *p, *end, *run;
	const char *cr, *lf; /* at or after p, or end; before p: unknown */
	sink_fn *sink;
	void *arg;
};

static void
cursor_init(struct cursor *c, struct str in, sink_fn *sink, void *arg)
{
	*c = (struct cursor){.p = in.p,
	    .end = in.p + in.n,
	    .run = in.p,
	    .sink = sink,
	    .arg = arg};
}

static const char *
find(const struct cursor *c, char what)
{
	const char *at = memchr(c->p, what, (size_t)(c->end - c->p));

	return at != NULL ? at : c->end;
}

/* The next CR or LF at or after p; end: none. */
static const char *
next_break(struct cursor *c)
{
	if (c->lf == NULL || c->lf < c->p)
		c->lf = find(c, '\n');
	if (c->cr == NULL || c->cr < c->p)
		c->cr = find(c, '\r');
	return c->cr < c->lf ? c->cr : c->lf;
}

/* Hands over the run up to p. */
static void
flush(struct cursor *c)
{
	if (c->p > c->run)
		c->sink(c->arg, (struct str){c->run, (size_t)(c->p - c->run)});
	c->run = c->p;
}

/* Goes n bytes on without making them part of a run. */
static void
skip(struct cursor *c, size_t n)
{
	c->p += n;
	c->run = c->p;
}

void
smtp_decoder_init(struct smtp_decoder *d, const struct smtp_data_limits *limits)
{
	*d = (struct smtp_decoder){.limits = limits, .in_header = true};
	buf_init(&d->subject, SMTP_SUBJECT_MAX);
	buf_init(&d->message_id, SMTP_MSGID_MAX);
}

void
smtp_decoder_clear(struct smtp_decoder *d)
{
	buf_clear(&d->subject);
	buf_clear(&d->message_id);
}

static void
set_fault(struct smtp_decoder *d, enum smtp_data_fault fault)
{
	if (d->fault == SMTP_DATA_OK)
		d->fault = fault;
}

static void
keep(struct smtp_decoder *d, struct str text)
{
	while (d->keeping->len == 0 && text.n > 0 &&
	       (text.p[0] == ' ' || text.p[0] == '\t'))
		text = str_sub(text, 1, text.n);
	if (!buf_append_str(d->keeping, str_sub(text, 0, buf_room(d->keeping))))
		panic("a header's value past its room");
}

static void
on_field_name(struct smtp_decoder *d)
{
	struct str name = {d->name, d->name_len};

	d->field = FIELD_VALUE;
	d->keeping = NULL;
	if (str_ieq(name, STR("subject"))) {
		d->keeping = d->subject_seen ? NULL : &d->subject;
		d->subject_seen = true;
	} else if (str_ieq(name, STR("message-id"))) {
		d->keeping = d->id_seen ? NULL : &d->message_id;
		d->id_seen = true;
	}
	if (str_ieq(name, STR("received")))
		d->received++;
}

/* One byte of a header line before its colon. False: this is no header line,
 * and so the body has begun without an empty line. */
static bool
name_byte(struct smtp_decoder *d, char c)
{
	bool blank = c == ' ' || c == '\t';

	if (blank && d->name_len == 0) {
		d->field = FIELD_VALUE; /* continuation */
		if (d->keeping != NULL)
			keep(d, (struct str){&c, 1});
		return true;
	}
	if (c == ':' && d->name_len > 0) {
		on_field_name(d);
		return true;
	}
	if (blank) {
		d->field = FIELD_BLANK; /* RFC 5322 section 4.5 */
		return true;
	}
	if (d->field == FIELD_BLANK || c <= ' ' || c > '~' || c == ':')
		return false;
	if (d->name_len < sizeof(d->name))
		d->name[d->name_len++] = c;
	return true;
}

/* Looks at text of the header; returns how much of it is header. */
static size_t
header_text(struct smtp_decoder *d, struct str text)
{
	size_t n = 0;

	while (d->field != FIELD_VALUE && n < text.n) {
		if (!name_byte(d, text.p[n])) {
			d->in_header = false;
			d->keeping = NULL;
			return n;
		}
		n++;
	}
	if (d->keeping != NULL && n < text.n)
		keep(d, str_sub(text, n, text.n));
	return text.n;
}

static void
header_newline(struct smtp_decoder *d)
{
	uint32_t max = d->limits->received_max;

	if (d->field != FIELD_VALUE) {
		d->in_header = false;
		d->keeping = NULL;
	}
	if (max > 0 && d->received > max)
		set_fault(d, SMTP_DATA_LOOP);
	d->field = FIELD_NAME;
	d->name_len = 0;
}

/* Notes fault when `add` bytes more pass max, if that is earlier than *first
 * bytes on. */
static void
check(uint64_t max, uint64_t used, size_t add, enum smtp_data_fault fault,
    uint64_t *first, enum smtp_data_fault *found)
{
	uint64_t room = max > used ? max - used : 0;

	if (max > 0 && add > room && room < *first) {
		*first = room;
		*found = fault;
	}
}

/* Counts n bytes of the message, of which `header` of the header block and
 * `line` of a line, and keeps the fault that comes first among them. */
static void
count(struct smtp_decoder *d, size_t n, size_t header, size_t line)
{
	const struct smtp_data_limits *l = d->limits;
	enum smtp_data_fault found = SMTP_DATA_OK;
	uint64_t first = UINT64_MAX;

	if (d->fault != SMTP_DATA_OK)
		return;
	check(l->size_max, d->size, n, SMTP_DATA_TOO_BIG, &first, &found);
	check(l->line_max, d->line, line, SMTP_DATA_LINE_TOO_LONG, &first,
	    &found);
	check(l->header_max, d->header, header, SMTP_DATA_HEADER_TOO_BIG,
	    &first, &found);
	set_fault(d, found);
	d->size += n;
	/* May wrap where there is no limit, and then nobody asks. */
	d->line = (uint32_t)(d->line + line);
	d->header = (uint32_t)(d->header + header);
}

static void
count_text(struct smtp_decoder *d, const char *p, size_t n)
{
	size_t header = 0;

	if (n == 0)
		return;
	if (d->in_header)
		header = header_text(d, (struct str){p, n});
	count(d, n, header, n);
}

static void
count_newline(struct smtp_decoder *d)
{
	bool in_header = d->in_header;

	d->newline_seen = true;
	if (in_header)
		header_newline(d);
	count(d, 2, in_header ? 2 : 0, 0);
	d->line = 0;
}

/* Hands the run over, unless a fault was met in it or before. */
static void
flush_good(struct smtp_decoder *d, struct cursor *c)
{
	if (d->fault == SMTP_DATA_OK)
		flush(c);
	c->run = c->p;
}

static void
put_newline(struct smtp_decoder *d, struct cursor *c)
{
	count_newline(d);
	if (d->fault == SMTP_DATA_OK)
		c->sink(c->arg, STR("\r\n"));
}

/* A CR or LF that stands alone and ended before p. What follows is no start
 * of a line as far as dots go. */
static void
on_bare_newline(struct smtp_decoder *d, struct cursor *c)
{
	if (d->limits->bare_newline == SMTP_BARE_REJECT)
		set_fault(d, SMTP_DATA_BARE_NEWLINE);
	put_newline(d, c);
	d->state = WIRE_TEXT;
}

/* A text has line ends of one kind: the first one says which, before anything
 * that somebody else may have written. */
static bool
may_have_lf_lines(const struct smtp_decoder *d)
{
	return d->limits->bare_newline == SMTP_BARE_ENDS &&
	       (d->lf_lines || !d->newline_seen);
}

/* Text up to the next CR or LF, and those. */
static void
decode_text(struct smtp_decoder *d, struct cursor *c)
{
	const char *at = next_break(c);

	count_text(d, c->p, (size_t)(at - c->p));
	d->state = WIRE_TEXT;
	c->p = at;
	if (at == c->end)
		return;
	if (*at == '\r' && at + 1 < c->end && at[1] == '\n') {
		count_newline(d);
		c->p += 2;
		d->state = WIRE_START;
		return;
	}
	flush_good(d, c);
	skip(c, 1);
	if (*at == '\r') {
		d->state = WIRE_CR; /* the next byte tells */
		return;
	}
	d->lf_lines = may_have_lf_lines(d);
	on_bare_newline(d, c);
	if (d->lf_lines)
		d->state = WIRE_START;
}

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Whole lines of the body that need no work and cannot pass a limit. */
static size_t
decode_clean(struct smtp_decoder *d, const struct cursor *c)
{
	const struct smtp_data_limits *l = d->limits;
	uint64_t room = (uint64_t)(c->end - c->p);
	size_t n;

	if (d->in_header || d->fault != SMTP_DATA_OK)
		return 0;
	if (l->size_max > 0)
		room = least(room, l->size_max - least(d->size, l->size_max));
	if (l->line_max > 0)
		room = least(room, l->line_max);
	n = smtp_clean_lines((struct str){c->p, (size_t)room});
	d->size += n;
	if (n > 0)
		d->line = 0;
	return n;
}

static void
decode_start(struct smtp_decoder *d, struct cursor *c)
{
	size_t clean = decode_clean(d, c);

	if (clean > 0) {
		c->p += clean;
		return;
	}
	if (*c->p != '.' || d->chunked) {
		decode_text(d, c);
		return;
	}
	flush_good(d, c);
	skip(c, 1);
	d->state = WIRE_DOT;
}

static void
decode_step(struct smtp_decoder *d, struct cursor *c)
{
	switch ((enum wire_state)d->state) {
	case WIRE_START:
		decode_start(d, c);
		return;
	case WIRE_TEXT:
		decode_text(d, c);
		return;
	case WIRE_CR:
		if (*c->p != '\n') {
			on_bare_newline(d, c);
			return;
		}
		skip(c, 1);
		put_newline(d, c);
		d->state = WIRE_START;
		return;
	case WIRE_DOT:
		d->state = WIRE_TEXT;
		if (*c->p == '\r') {
			skip(c, 1);
			d->state = WIRE_DOT_CR;
		} else if (*c->p == '\n' && may_have_lf_lines(d)) {
			skip(c, 1);
			d->ended = true;
		}
		return;
	case WIRE_DOT_CR:
		if (*c->p != '\n') {
			on_bare_newline(d, c);
			return;
		}
		skip(c, 1);
		d->ended = true;
		return;
	}
}

bool
smtp_decode(struct smtp_decoder *d, struct str *in, sink_fn *sink, void *arg)
{
	struct cursor c;

	if (in->n == 0)
		return d->ended;
	cursor_init(&c, *in, sink, arg);
	while (c.p < c.end && !d->ended)
		decode_step(d, &c);
	flush_good(d, &c);
	*in = (struct str){c.p, (size_t)(c.end - c.p)};
	return d->ended;
}

void
smtp_decoder_init_chunked(
    struct smtp_decoder *d, const struct smtp_data_limits *limits)
{
	smtp_decoder_init(d, limits);
	d->chunked = true;
}

void
smtp_decode_end(struct smtp_decoder *d, sink_fn *sink, void *arg)
{
	struct cursor c = {.sink = sink, .arg = arg};

	if (d->state == WIRE_CR)
		on_bare_newline(d, &c);
	d->ended = true;
}

void
smtp_encoder_init(struct smtp_encoder *e)
{
	e->state = WIRE_START;
	e->chunked = false;
}

void
smtp_encoder_init_chunked(struct smtp_encoder *e)
{
	e->state = WIRE_START;
	e->chunked = true;
}

static void
encode_text(struct smtp_encoder *e, struct cursor *c)
{
	const char *at = next_break(c);

	c->p = at;
	e->state = WIRE_TEXT;
	if (at == c->end)
		return;
	if (*at == '\r' && at + 1 < c->end && at[1] == '\n') {
		c->p += 2;
		e->state = WIRE_START;
		return;
	}
	flush(c);
	skip(c, 1);
	e->state = WIRE_CR;
	if (*at == '\n' || c->p < c->end) {
		c->sink(c->arg, STR("\r\n"));
		e->state = WIRE_START;
	}
}

/* The dot goes out twice: as the end of one run and the start of the next. */
static void
encode_start(struct smtp_encoder *e, struct cursor *c)
{
	const char *dot = c->p;
	size_t clean =
	    smtp_clean_lines((struct str){c->p, (size_t)(c->end - c->p)});

	if (clean > 0) {
		c->p += clean;
		return;
	}
	if (*dot == '.' && !e->chunked) {
		c->p++;
		flush(c);
		c->run = dot;
	}
	encode_text(e, c);
}

void
smtp_encode(struct smtp_encoder *e, struct str in, sink_fn *sink, void *arg)
{
	struct cursor c;

	if (in.n == 0)
		return;
	cursor_init(&c, in, sink, arg);
	if (e->state == WIRE_CR && c.p < c.end) {
		if (*c.p == '\n')
			skip(&c, 1);
		sink(arg, STR("\r\n"));
		e->state = WIRE_START;
	}
	while (c.p < c.end) {
		if (e->state == WIRE_START)
			encode_start(e, &c);
		else
			encode_text(e, &c);
	}
	flush(&c);
}

/* Its owner may have cut it between CR and LF; then it is searched. */
static bool
is_cut_in_newline(const struct smtp_encoder *e, struct str in)
{
	return e->state == WIRE_CR || in.p[0] == '\n' || in.p[in.n - 1] == '\r';
}

void
smtp_encode_decoded(
    struct smtp_encoder *e, struct str in, sink_fn *sink, void *arg)
{
	if (in.n == 0 || e->chunked || is_cut_in_newline(e, in)) {
		smtp_encode(e, in, sink, arg);
		return;
	}
	if (e->state == WIRE_START && in.p[0] == '.')
		sink(arg, STR("."));
	sink(arg, in);
	e->state = in.p[in.n - 1] == '\n' ? WIRE_START : WIRE_TEXT;
}

void
smtp_encode_end(struct smtp_encoder *e, sink_fn *sink, void *arg)
{
	if (e->chunked) {
		if (e->state == WIRE_CR)
			sink(arg, STR("\r\n"));
	} else if (e->state == WIRE_START)
		sink(arg, STR(".\r\n"));
	else
		sink(arg, STR("\r\n.\r\n"));
	e->state = WIRE_START;
}
