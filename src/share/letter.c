/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers of fixed width, the least significant byte first, then texts.
 */
#include "share/letter.h"

#include "base/bytes.h"

#include <string.h>

/* A card: version, token, name. A letter: version, kind, question, token,
 * number, whether it is the last, length of the name, name, text. */
#define VERSION 1
#define CARD_HEAD 9
#define LETTER_HEAD 24

static bool
is_name(struct str name)
{
	return name.n > 0 && name.n <= LETTER_NAME_MAX && str_is_shown(name);
}

bool
card_write(const struct card *c, struct buf *out)
{
	unsigned char head[CARD_HEAD], *p = head;

	bytes_put(&p, VERSION, 1);
	bytes_put(&p, c->token, 8);
	return is_name(c->name) && buf_append(out, head, CARD_HEAD) &&
	       buf_append_str(out, c->name);
}

bool
card_read(struct str in, struct card *out)
{
	const unsigned char *p = (const unsigned char *)in.p;

	if (in.n <= CARD_HEAD || bytes_get(&p, 1) != VERSION)
		return false;
	out->token = bytes_get(&p, 8);
	out->name = str_sub(in, CARD_HEAD, in.n);
	return is_name(out->name);
}

bool
letter_write(const struct letter *l, struct buf *out)
{
	unsigned char head[LETTER_HEAD], *p = head;

	if (!is_name(l->from) || l->text.n > LETTER_TEXT_MAX)
		return false;
	bytes_put(&p, VERSION, 1);
	bytes_put(&p, l->kind, 1);
	bytes_put(&p, l->question, 8);
	bytes_put(&p, l->token, 8);
	bytes_put(&p, l->number, 4);
	bytes_put(&p, l->is_last, 1);
	bytes_put(&p, l->from.n, 1);
	return buf_append(out, head, LETTER_HEAD) &&
	       buf_append_str(out, l->from) && buf_append_str(out, l->text);
}

bool
letter_read(struct str in, struct letter *out)
{
	const unsigned char *p = (const unsigned char *)in.p;
	uint64_t kind, last, name;

	if (in.n < LETTER_HEAD || bytes_get(&p, 1) != VERSION)
		return false;
	kind = bytes_get(&p, 1);
	out->question = bytes_get(&p, 8);
	out->token = bytes_get(&p, 8);
	out->number = (uint32_t)bytes_get(&p, 4);
	last = bytes_get(&p, 1);
	name = bytes_get(&p, 1);
	if ((kind != LETTER_QUESTION && kind != LETTER_ANSWER) || last > 1 ||
	    name > in.n - LETTER_HEAD)
		return false;
	out->kind = (enum letter_kind)kind;
	out->is_last = last == 1;
	out->from = str_sub(in, LETTER_HEAD, (size_t)name);
	out->text = str_sub(in, LETTER_HEAD + (size_t)name, in.n);
	return is_name(out->from) && out->text.n <= LETTER_TEXT_MAX;
}
