/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See dsn.h. Lines are gathered, folded fields put together, and the parts of
 * the report told apart by its boundary; a part in a part is text like any
 * other. A status that is not written plainly (base64, quoted-printable) is not
 * read: no mail server writes one (RFC 3464 section 2.1).
 */
#include "smtp/dsn.h"

#include <string.h>

enum state {
	IN_HEADER, /* of the message */
	IN_TEXT,   /* a part of no interest, or what stands before one */
	IN_PART_HEADER,
	IN_STATUS,
	IS_OVER
};

void
smtp_dsn_init(struct smtp_dsn *d)
{
	*d = (struct smtp_dsn){.state = IN_HEADER};
}

bool
smtp_dsn_is_over(const struct smtp_dsn *d)
{
	return d->state == IS_OVER;
}

/* ---- values ---- */

static size_t
keep(struct str value, char *out, size_t max)
{
	if (value.n > max)
		return 0;
	if (value.n > 0)
		memcpy(out, value.p, value.n);
	return value.n;
}

static struct str
first_word(struct str value)
{
	size_t n = 0;

	value = str_trim(value);
	while (n < value.n && strchr(" \t(;", value.p[n]) == NULL)
		n++;
	return str_sub(value, 0, n);
}

/* "rfc822; bob@example.com" */
static struct str
address_in(struct str value)
{
	struct str type = str_trim(str_cut(&value, ';'));

	value = str_trim(value);
	if (!str_ieq(type, STR("rfc822")) && !str_ieq(type, STR("utf-8")))
		return STR("");
	if (value.n > 2 && value.p[0] == '<' && value.p[value.n - 1] == '>')
		value = str_sub(value, 1, value.n - 2);
	return value;
}

/* The value of boundary= behind a media type; empty: there is none. */
static struct str
boundary_in(struct str params)
{
	while (params.n > 0) {
		bool is_it = str_istarts(params, STR("boundary="));
		bool is_quoted = false;
		size_t n = is_it ? sizeof("boundary=") - 1 : 0;
		size_t from = n;

		for (; n < params.n; n++) {
			if (params.p[n] == '"')
				is_quoted = !is_quoted;
			else if (params.p[n] == ';' && !is_quoted)
				break;
		}
		if (is_it) {
			struct str v =
			    str_trim(str_sub(params, from, n - from));

			if (v.n > 1 && v.p[0] == '"' && v.p[v.n - 1] == '"')
				v = str_sub(v, 1, v.n - 2);
			return v;
		}
		params = str_trim(str_sub(params, n + 1, params.n));
	}
	return STR("");
}

/* ---- fields ---- */

static void
take_header(struct smtp_dsn *d, struct str name, struct str value)
{
	struct str type;

	if (!str_ieq(name, STR("Content-Type")))
		return;
	type = str_trim(str_cut(&value, ';'));
	if (str_ieq(type, STR("multipart/report")))
		d->boundary_n = (uint8_t)keep(boundary_in(str_trim(value)),
		    d->boundary, sizeof(d->boundary));
}

static void
take_part_header(struct smtp_dsn *d, struct str name, struct str value)
{
	struct str word = first_word(value);

	if (str_ieq(name, STR("Content-Type")))
		d->is_status =
		    str_ieq(word, STR("message/delivery-status")) ||
		    str_ieq(word, STR("message/global-delivery-status"));
	else if (str_ieq(name, STR("Content-Transfer-Encoding")))
		d->is_encoded = !str_ieq(word, STR("7bit")) &&
				!str_ieq(word, STR("8bit")) &&
				!str_ieq(word, STR("binary"));
}

static void
take_status(struct smtp_dsn *d, struct str name, struct str value)
{
	d->has_group = true;
	if (d->is_first && str_ieq(name, STR("Original-Envelope-Id")))
		d->envid_n = (uint8_t)keep(
		    first_word(value), d->envid, sizeof(d->envid));
	if (d->is_first)
		return;
	if (str_ieq(name, STR("Original-Recipient")))
		d->original_n = (uint8_t)keep(
		    address_in(value), d->original, sizeof(d->original));
	else if (str_ieq(name, STR("Final-Recipient")))
		d->final_n = (uint8_t)keep(
		    address_in(value), d->final, sizeof(d->final));
	else if (str_ieq(name, STR("Status")))
		d->status_n = (uint8_t)keep(
		    first_word(value), d->status, sizeof(d->status));
	else if (str_ieq(name, STR("Action")))
		d->has_failed = str_ieq(first_word(value), STR("failed"));
}

static void
end_field(struct smtp_dsn *d)
{
	struct str value = {d->field, d->field_n}, name;

	d->field_n = 0;
	if (str_index(value, ':') == value.n)
		return;
	name = str_trim(str_cut(&value, ':'));
	switch ((enum state)d->state) {
	case IN_HEADER:
		take_header(d, name, str_trim(value));
		break;
	case IN_PART_HEADER:
		take_part_header(d, name, value);
		break;
	case IN_STATUS:
		take_status(d, name, value);
		break;
	case IN_TEXT:
	case IS_OVER:
		break;
	}
}

/* Fields of the message come first, then groups of one recipient each. */
static void
end_group(struct smtp_dsn *d, smtp_dsn_fn *fn, void *arg)
{
	struct smtp_dsn_rcpt rcpt = {
	    .envid = {d->envid, d->envid_n},
	    .original = {d->original, d->original_n},
	    .final = {d->final, d->final_n},
	    .status = {d->status, d->status_n},
	};

	if (!d->has_group)
		return;
	if (d->is_first) {
		d->is_first = false;
		if (d->envid_n == 0)
			d->state = IS_OVER;
	} else if (d->has_failed && rcpt.final.n > 0 && rcpt.status.n > 0) {
		fn(arg, &rcpt);
		if (++d->rcpts == SMTP_DSN_RCPTS_MAX)
			d->state = IS_OVER;
	}
	d->has_group = d->has_failed = false;
	d->original_n = d->final_n = d->status_n = 0;
}

/* ---- lines ---- */

/* The line is a boundary of the report; *last: that of its end. */
static bool
is_boundary(const struct smtp_dsn *d, struct str line, bool *last)
{
	struct str rest;

	if (!str_starts(line, STR("--")) ||
	    !str_eq(str_sub(line, 2, d->boundary_n),
		(struct str){d->boundary, d->boundary_n}))
		return false;
	rest = str_sub(line, 2 + (size_t)d->boundary_n, line.n);
	*last = str_starts(rest, STR("--"));
	return *last || str_trim(rest).n == 0;
}

static void
begin_part(struct smtp_dsn *d, bool last, smtp_dsn_fn *fn, void *arg)
{
	bool was_status = d->state == IN_STATUS;

	end_field(d);
	if (was_status)
		end_group(d, fn, arg);
	d->is_status = d->is_encoded = false;
	/* There is one status. */
	d->state = last || was_status ? IS_OVER : IN_PART_HEADER;
}

static void
end_header(struct smtp_dsn *d, smtp_dsn_fn *fn, void *arg)
{
	end_field(d);
	switch ((enum state)d->state) {
	case IN_HEADER:
		d->state = d->boundary_n > 0 ? IN_TEXT : IS_OVER;
		break;
	case IN_PART_HEADER:
		d->state = d->is_status && !d->is_encoded ? IN_STATUS : IN_TEXT;
		d->is_first = true;
		break;
	case IN_STATUS:
		end_group(d, fn, arg);
		break;
	case IN_TEXT:
	case IS_OVER:
		break;
	}
}

static void
add_to_field(struct smtp_dsn *d, struct str line)
{
	size_t room = sizeof(d->field) - d->field_n;
	size_t n = line.n < room ? line.n : room;

	memcpy(d->field + d->field_n, line.p, n);
	d->field_n = (uint16_t)(d->field_n + n);
}

static void
take_line(struct smtp_dsn *d, smtp_dsn_fn *fn, void *arg)
{
	struct str line = {d->line, d->line_n};
	bool last;

	d->line_n = 0;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (d->state != IN_HEADER && is_boundary(d, line, &last)) {
		begin_part(d, last, fn, arg);
	} else if (d->state == IN_TEXT) {
		return;
	} else if (line.n == 0) {
		end_header(d, fn, arg);
	} else {
		if (line.p[0] != ' ' && line.p[0] != '\t')
			end_field(d);
		add_to_field(d, line);
	}
}

void
smtp_dsn_feed(struct smtp_dsn *d, struct str text, smtp_dsn_fn *fn, void *arg)
{
	for (size_t i = 0; i < text.n && d->state != IS_OVER; i++) {
		if (d->seen++ == SMTP_DSN_TEXT_MAX)
			d->state = IS_OVER;
		else if (text.p[i] == '\n')
			take_line(d, fn, arg);
		else if (d->line_n < sizeof(d->line))
			d->line[d->line_n++] = text.p[i];
	}
}
