/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Exim's main log. "<=" is a message that came; A= says who logged in. With
 * log_selector = +received_recipients it names the recipients behind " for ",
 * which a subject may hold, too: the last one counts. Else they come with the
 * deliveries; what the sender wrote to stands in brackets behind the address.
 */
#include "replay/reader.h"

#include <string.h>

#define ID_SHORT 16 /* 1xXO0o-00001j-0p */
#define ID_LONG 23  /* 1rNnXX-000000001Jm-3abc, since 4.97 */

static bool
has_form(struct str s, size_t n)
{
	size_t second = n == ID_SHORT ? 13 : 18;

	if (s.n < n + 1 || s.p[n] != ' ')
		return false;
	for (size_t i = 0; i < n; i++) {
		if ((i == 6 || i == second) ? s.p[i] != '-'
					    : !str_is_alnum(s.p[i]))
			return false;
	}
	return true;
}

static bool
take_id(struct str *s, struct str *id)
{
	size_t n = has_form(*s, ID_SHORT)  ? ID_SHORT
		   : has_form(*s, ID_LONG) ? ID_LONG
					   : 0;

	if (n == 0)
		return false;
	*id = str_sub(*s, 0, n);
	*s = str_sub(*s, n + 1, s->n);
	return true;
}

/* By syslog, the line's own time may stand there once more. */
static struct str
own_text(const struct head_line *line)
{
	struct str s = line->text;
	struct stamp_clock clock;
	int64_t at;

	stamp_init(&clock, 0, 0);
	if (stamp_take_iso(&clock, &s, &at))
		s = str_trim(s);
	if (s.n > 0 && s.p[0] == '[' && str_index(s, ']') < 12) {
		(void)str_cut(&s, ']');
		s = str_trim(s);
	}
	return s;
}

static bool
exim_knows(const struct head_line *line)
{
	struct str s = own_text(line), id;

	if (line->program.n > 0 && !str_starts(line->program, STR("exim")))
		return false;
	return take_id(&s, &id) &&
	       (str_starts(s, STR("<= ")) || str_starts(s, STR("=> ")) ||
		   str_starts(s, STR("-> ")) || str_starts(s, STR("== ")) ||
		   str_starts(s, STR("** ")) || str_eq(s, STR("Completed")));
}

/* The text after a blank and "A=" up to the next blank. */
static bool
item(struct str s, const char *key, struct str *out)
{
	size_t n = strlen(key);
	const char *at = s.n > 0 ? memmem(s.p, s.n, key, n) : NULL;

	if (at == NULL)
		return false;
	*out = str_sub(s, (size_t)(at - s.p) + n, s.n);
	*out = str_sub(*out, 0, str_index(*out, ' '));
	return true;
}

/* An address at the start, its local part quoted or not; taken off. */
static struct str
take_address(struct str *s)
{
	bool quoted = false;
	size_t n = 0;
	struct str out;

	for (; n < s->n && (quoted || s->p[n] != ' '); n++) {
		if (s->p[n] == '\\' && quoted)
			n++;
		else if (s->p[n] == '"')
			quoted = !quoted;
	}
	out = str_sub(*s, 0, n);
	*s = str_sub(*s, n + 1, s->n);
	return out;
}

/* What stands behind the subject, which is quoted, with backslashes. */
static struct str
behind_subject(struct str s)
{
	const char *at = s.n > 0 ? memmem(s.p, s.n, " T=\"", 4) : NULL;
	size_t i;

	if (at == NULL)
		return str_sub(s, reader_last(s, STR(" for ")), s.n);
	for (i = (size_t)(at - s.p) + 4; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\')
			i++;
	}
	return str_sub(s, i + 1, s.n);
}

/* " from <a@b> for c@d e@f" */
static struct str
for_recipients(struct str s)
{
	struct str path;

	s = behind_subject(s);
	if (str_starts(s, STR(" from <"))) {
		s = str_sub(s, 6, s.n);
		if (!reader_take_path(&s, &path))
			return STR("");
	}
	return str_starts(s, STR(" for ")) ? str_sub(s, 5, s.n) : STR("");
}

static enum reader_use
take_arrival(
    struct reader_record *r, struct str s, reader_emit_fn *emit, void *arg)
{
	struct str items, v, protocol = STR("");
	struct str sender = take_address(&s);
	size_t subject;

	/* " R=id" without a host: a bounce of that message. */
	if (str_eq(sender, STR("<>"))) {
		sender = STR("");
		if (str_starts(s, STR("R=")))
			return READER_BOUNCE;
	}
	/* Items stand before the subject, which is the sender's to choose. */
	subject = str_index(s, '"');
	items = str_sub(s, 0, subject);
	r->kind = READER_BEGIN;
	r->address = sender;
	r->has_sender = true;
	(void)item(items, " P=", &protocol);
	r->is_local = str_eq(protocol, STR("local"));
	if (item(items, "H=", &v)) {
		size_t host = (size_t)(v.p - items.p);
		struct str from = str_sub(items, host, items.n);
		size_t end = reader_last(from, STR(" P="));
		size_t open;

		from = str_sub(from, 0, end);
		/* I= and the port stand behind the client. */
		end = reader_last(from, STR(" I=["));
		from = str_sub(from, 0, end);
		open = reader_last(from, STR(" ["));
		r->has_client =
		    open < from.n &&
		    reader_client(str_sub(from, open, from.n), &r->client);
	}
	if (item(items, " A=", &v)) {
		size_t colon = str_index(v, ':');

		r->user = str_sub(v, colon + 1, v.n);
	}
	emit(arg, r);
	r->user = STR("");
	r->kind = READER_RECIPIENT;
	s = for_recipients(s);
	while (s.n > 0) {
		r->address = take_address(&s);
		if (r->address.n > 0)
			emit(arg, r);
	}
	return READER_USED;
}

/* "bob@example.net <team@example.org> R=send T=smtp ..." */
static enum reader_use
take_delivery(
    struct reader_record *r, struct str s, reader_emit_fn *emit, void *arg)
{
	size_t end = s.n;
	struct str to, original;
	static const char *const behind[] = {
	    " R=", " T=", " F=<", " P=<", " routing defer", " defer (", ": "};

	for (size_t i = 0; i < ARRAY_LEN(behind); i++) {
		const char *at = memmem(s.p, end, behind[i], strlen(behind[i]));

		if (at != NULL)
			end = (size_t)(at - s.p);
	}
	to = str_trim(str_sub(s, 0, end));
	if (to.n == 0)
		return READER_STRANGE;
	if (to.p[to.n - 1] == '>') {
		size_t open = reader_last(to, STR(" <"));

		original = str_sub(to, open + 1, to.n);
		if (open < to.n && reader_take_path(&original, &to) &&
		    to.n == 0)
			return READER_STRANGE;
	}
	r->kind = READER_RECIPIENT;
	r->address = to;
	emit(arg, r);
	return READER_USED;
}

static enum reader_use
take_other(struct str s)
{
	if (reader_has(s, STR("authenticator failed")))
		return READER_FAILED_LOGIN;
	if (reader_has(s, STR(" rejected ")))
		return READER_REJECTED;
	if (str_starts(s, STR("SMTP connection ")) ||
	    str_starts(s, STR("no MAIL in ")) ||
	    str_starts(s, STR("TLS error ")) ||
	    str_starts(s, STR("unexpected disconnection ")))
		return READER_CONNECTION;
	return READER_NOTE;
}

static enum reader_use
exim_take(
    void *state, const struct head_line *line, reader_emit_fn *emit, void *arg)
{
	struct reader_record r = {.at = line->at, .host = line->host};
	struct str s = own_text(line);

	(void)state;
	if (line->program.n > 0 && !str_starts(line->program, STR("exim")))
		return READER_OTHER_PROGRAM;
	if (line->at == HEAD_NO_TIME)
		/* " Suggested action: ..." goes on with the line above. */
		return s.n > 0 && line->text.p[0] == ' ' ? READER_NOTE
							 : READER_STRANGE;
	if (!take_id(&s, &r.id))
		return s.n > 0 ? take_other(s) : READER_STRANGE;
	if (str_starts(s, STR("<= ")))
		return take_arrival(&r, str_sub(s, 3, s.n), emit, arg);
	if (str_starts(s, STR("=> ")) || str_starts(s, STR("-> ")) ||
	    str_starts(s, STR(">> ")) || str_starts(s, STR("** ")) ||
	    str_starts(s, STR("== ")) || str_starts(s, STR("*> ")))
		return take_delivery(&r, str_sub(s, 3, s.n), emit, arg);
	if (str_starts(s, STR("Completed"))) {
		r.kind = READER_END;
		emit(arg, &r);
		return READER_USED;
	}
	if (reader_has(s, STR("rejected ")))
		return READER_REJECTED;
	return READER_NOTE;
}

const struct reader reader_exim = {
    .name = "exim",
    .cannot = "recipients of messages that still waited untried at the log's "
	      "end, unless log_selector has +received_recipients; times more "
	      "exact than a second, unless it has +millisec",
    .knows = exim_knows,
    .take = exim_take,
};
