/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sendmail. A login has a line without a queue id, which nothing but the
 * process id joins to the messages of its session; from= says by proto=ESMTPA
 * that there was one. Recipients come with the deliveries, several in a line,
 * and again with each try.
 */
#include "replay/reader.h"

#include <string.h>

static bool
is_sendmail(struct str program)
{
	return str_eq(program, STR("sendmail")) ||
	       str_eq(program, STR("sm-mta")) ||
	       str_starts(program, STR("sm-msp")) ||
	       str_eq(program, STR("sm-queue"));
}

/* "6ASJPasG000167: " */
static bool
take_id(struct str *s, struct str *id)
{
	size_t n = 0;

	while (n < s->n && ((s->p[n] >= '0' && s->p[n] <= '9') ||
			       (s->p[n] >= 'A' && s->p[n] <= 'Z') ||
			       (s->p[n] >= 'a' && s->p[n] <= 'z')))
		n++;
	if (n < 12 || n > 20 || n + 1 >= s->n || s->p[n] != ':' ||
	    s->p[n + 1] != ' ')
		return false;
	*id = str_sub(*s, 0, n);
	*s = str_sub(*s, n + 2, s->n);
	return true;
}

static bool
sendmail_knows(const struct head_line *line)
{
	struct str s = line->text, id;

	return is_sendmail(line->program) &&
	       (str_starts(s, STR("AUTH=server, ")) ||
		   (take_id(&s, &id) && (str_starts(s, STR("from=")) ||
					    str_starts(s, STR("to=")))));
}

/* "from=<a>" or "from=www-data", which ends at a comma. */
static struct str
take_address(struct str *s)
{
	struct str out;
	bool quoted = false;
	size_t n = 0;

	if (reader_take_path(s, &out))
		return out;
	for (; n < s->n && (quoted || s->p[n] != ','); n++) {
		if (s->p[n] == '\\' && quoted)
			n++;
		else if (s->p[n] == '"')
			quoted = !quoted;
	}
	out = str_sub(*s, 0, n);
	*s = str_sub(*s, n, s->n);
	return out;
}

static enum reader_use
take_from(struct reader_record *r, struct str s, struct str pid,
    reader_emit_fn *emit, void *arg)
{
	struct str v;
	uint64_t n;

	r->kind = READER_BEGIN;
	r->address = take_address(&s);
	r->has_sender = true;
	if (reader_field(s, STR("nrcpts="), &v) && str_to_u64(v, &n) &&
	    n <= UINT32_MAX)
		r->count = (uint32_t)n;
	if (reader_field(s, STR("proto="), &v)) {
		if (v.n > 0 && v.p[v.n - 1] == 'A')
			r->session = pid;
	} else {
		r->is_local = true;
	}
	if (reader_field(s, STR("relay="), &v))
		r->has_client = reader_client(v, &r->client);
	emit(arg, r);
	return READER_USED;
}

/* "<a>,<b>, [more], delay=": up to the comma that a blank follows. */
static enum reader_use
take_to(struct reader_record *r, struct str s, reader_emit_fn *emit, void *arg)
{
	struct str v;

	r->kind = READER_RECIPIENT;
	for (;;) {
		r->address = take_address(&s);
		if (r->address.n == 0)
			return READER_STRANGE;
		emit(arg, r);
		if (s.n < 2 || s.p[0] != ',' || s.p[1] == ' ')
			break;
		s = str_sub(s, 1, s.n);
	}
	/* The submission client hands on to the daemon, under another id. */
	if (reader_field(s, STR("mailer="), &v) && str_eq(v, STR("relay")) &&
	    reader_field(s, STR("stat="), &v) && str_starts(v, STR("Sent (")) &&
	    reader_has(v, STR(" Message accepted"))) {
		r->kind = READER_HOP;
		r->next = str_sub(v, 6, str_index(str_sub(v, 6, v.n), ' '));
		emit(arg, r);
	}
	return READER_USED;
}

/* "AUTH=server, relay=mx [127.0.0.1], authid=alice, mech=PLAIN, bits=0" */
static enum reader_use
take_login(struct reader_record *r, struct str s, struct str pid,
    reader_emit_fn *emit, void *arg)
{
	struct str v;

	r->kind = READER_LOGIN;
	r->session = pid;
	if (!reader_field(s, STR("authid="), &r->user))
		return READER_STRANGE;
	if (reader_field(s, STR("relay="), &v))
		r->has_client = reader_client(v, &r->client);
	emit(arg, r);
	return READER_USED;
}

static enum reader_use
sendmail_take(
    void *state, const struct head_line *line, reader_emit_fn *emit, void *arg)
{
	struct reader_record r = {.at = line->at, .host = line->host};
	struct str s = line->text;

	(void)state;
	if (!is_sendmail(line->program))
		return line->program.n > 0 ? READER_OTHER_PROGRAM
					   : READER_STRANGE;
	if (str_starts(s, STR("AUTH=server, ")))
		return take_login(&r, s, line->pid, emit, arg);
	if (!take_id(&s, &r.id))
		return str_starts(s, STR("STARTTLS=")) ? READER_CONNECTION
						       : READER_NOTE;
	if (str_starts(s, STR("from=")))
		return take_from(&r, str_sub(s, 5, s.n), line->pid, emit, arg);
	if (str_starts(s, STR("to=")))
		return take_to(&r, str_sub(s, 3, s.n), emit, arg);
	if (str_starts(s, STR("AUTH failure")))
		return READER_FAILED_LOGIN;
	if (reader_has(s, STR("... ")) || str_starts(s, STR("ruleset=")))
		return READER_REJECTED;
	if (reader_has(s, STR(" did not issue ")) ||
	    str_starts(s, STR("lost input channel")))
		return READER_CONNECTION;
	if (reader_has(s, STR("DSN: ")) || reader_has(s, STR(" notify: ")))
		return READER_BOUNCE;
	return READER_NOTE;
}

const struct reader reader_sendmail = {
    .name = "sendmail",
    .cannot = "what the sender wrote to, where an alias replaced it; "
	      "recipients of messages that still waited untried at the log's "
	      "end",
    .knows = sendmail_knows,
    .take = sendmail_take,
};
