/* SPDX-License-Identifier: BSD-3-Clause */
/* See header_names.h. */
#include "smtp/header_names.h"

#include <string.h>

enum state { AT_START, IN_NAME, IN_VALUE, IS_OVER };

/* Of what is too long for an address the rest is passed over. */
#define TOO_LONG (SMTP_HEADER_NAME_MAX + 1)

void
smtp_header_names_init(struct smtp_header_names *s)
{
	*s = (struct smtp_header_names){.state = AT_START};
}

bool
smtp_header_names_are_over(const struct smtp_header_names *s)
{
	return s->state == IS_OVER;
}

static bool
is_wanted(struct str field)
{
	static const struct str fields[] = {
	    STR("From"), STR("Sender"), STR("Reply-To"), STR("To"), STR("Cc")};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (str_ieq(field, fields[i]))
			return true;
	}
	return false;
}

static void
end_word(struct smtp_header_names *s, smtp_header_name_fn *fn, void *arg)
{
	struct str word = {s->text, s->n};
	size_t at = s->n <= SMTP_HEADER_NAME_MAX ? str_rindex(word, '@') : 0;

	s->n = 0;
	if (at > 0 && at + 1 < word.n)
		fn(arg, word);
}

static void
take_value(
    struct smtp_header_names *s, char c, smtp_header_name_fn *fn, void *arg)
{
	if (c == '\0' || strchr(" \t\r\n<>(),;:\"[]", c) != NULL)
		end_word(s, fn, arg);
	else if (s->n < SMTP_HEADER_NAME_MAX)
		s->text[s->n++] = c;
	else
		s->n = TOO_LONG;
}

static void
take_name(struct smtp_header_names *s, char c)
{
	if (c == ':') {
		s->is_wanted = s->field_n <= sizeof(s->field) &&
			       is_wanted((struct str){s->field, s->field_n});
		s->state = IN_VALUE;
	} else if (c != ' ' && c != '\t') {
		if (s->field_n < sizeof(s->field))
			s->field[s->field_n] = c;
		if (s->field_n <= sizeof(s->field))
			s->field_n++;
	}
}

static void
take(struct smtp_header_names *s, char c, smtp_header_name_fn *fn, void *arg)
{
	switch ((enum state)s->state) {
	case AT_START:
		if (c == '\r')
			return;
		if (c == '\n') {
			s->state = IS_OVER;
			return;
		}
		s->state = IN_VALUE; /* of the field before */
		if (c == ' ' || c == '\t')
			return;
		s->is_wanted = false;
		s->field_n = 0;
		s->state = IN_NAME;
		take_name(s, c);
		return;
	case IN_NAME:
		if (c == '\n')
			s->state = AT_START;
		else
			take_name(s, c);
		return;
	case IN_VALUE:
		if (s->is_wanted)
			take_value(s, c, fn, arg);
		if (c == '\n')
			s->state = AT_START;
		return;
	case IS_OVER:
		return;
	}
}

void
smtp_header_names_feed(struct smtp_header_names *s, struct str text,
    smtp_header_name_fn *fn, void *arg)
{
	for (size_t i = 0; i < text.n && s->state != IS_OVER; i++) {
		if (s->seen++ == SMTP_HEADER_NAMES_MAX)
			s->state = IS_OVER;
		else
			take(s, text.p[i], fn, arg);
	}
}

void
smtp_header_names_of(
    struct str field, struct str value, smtp_header_name_fn *fn, void *arg)
{
	struct smtp_header_names s = {.state = IN_VALUE, .is_wanted = true};

	if (!is_wanted(field))
		return;
	for (size_t i = 0; i < value.n && i < SMTP_HEADER_NAMES_MAX; i++)
		take_value(&s, value.p[i], fn, arg);
	end_word(&s, fn, arg);
}
