/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A line is kept until it is known to be an mbox line or none: '>' any number
 * of times within SMTP_OPENING_KEPT, then "From " in any case.
 */
#include "smtp/opening.h"

enum state {
	OPENING_START, /* of a line; what came of it is kept */
	OPENING_MBOX,  /* within an mbox line */
	OPENING_OVER,
};

typedef void sink_fn(void *arg, struct str piece);

void
smtp_opening_init(struct smtp_opening *o)
{
	*o = (struct smtp_opening){.state = OPENING_START};
}

bool
smtp_opening_is_over(const struct smtp_opening *o)
{
	return o->state == OPENING_OVER;
}

static void
let_go(struct smtp_opening *o, sink_fn *sink, void *arg)
{
	struct str kept = {o->kept, o->n};

	o->n = 0;
	if (kept.n > 0)
		sink(arg, kept);
}

enum verdict { IS_MBOX, MAY_BE_MBOX, IS_NO_MBOX };

static enum verdict
judge(struct str line)
{
	static const struct str from = STR("From ");

	while (line.n > 0 && line.p[0] == '>')
		line = str_sub(line, 1, line.n);
	if (line.n >= from.n)
		return str_istarts(line, from) ? IS_MBOX : IS_NO_MBOX;
	return str_istarts(from, line) ? MAY_BE_MBOX : IS_NO_MBOX;
}

static void
start_byte(struct smtp_opening *o, char c, sink_fn *sink, void *arg)
{
	if (o->n == 0 && (c == ' ' || c == '\t'))
		sink(arg, STR("\r\n"));
	o->kept[o->n++] = c;
	switch (judge((struct str){o->kept, o->n})) {
	case IS_MBOX:
		o->lines++;
		o->state = OPENING_MBOX;
		sink(arg, STR("X-Mailbox-Line: "));
		let_go(o, sink, arg);
		return;
	case MAY_BE_MBOX:
		if (o->n < sizeof(o->kept))
			return;
		break;
	case IS_NO_MBOX:
		break;
	}
	o->state = OPENING_OVER;
	let_go(o, sink, arg);
}

struct str
smtp_opening_feed(
    struct smtp_opening *o, struct str text, sink_fn *sink, void *arg)
{
	size_t n;

	while (text.n > 0) {
		switch ((enum state)o->state) {
		case OPENING_START:
			start_byte(o, text.p[0], sink, arg);
			text = str_sub(text, 1, text.n);
			break;
		case OPENING_MBOX:
			n = str_index(text, '\n');
			n += n < text.n;
			sink(arg, str_sub(text, 0, n));
			if (text.p[n - 1] == '\n')
				o->state = o->lines < SMTP_OPENING_LINES
					       ? OPENING_START
					       : OPENING_OVER;
			text = str_sub(text, n, text.n);
			break;
		case OPENING_OVER:
			return text;
		}
	}
	return text;
}

void
smtp_opening_end(struct smtp_opening *o, sink_fn *sink, void *arg)
{
	let_go(o, sink, arg);
	o->state = OPENING_OVER;
}
