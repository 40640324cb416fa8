/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * OpenSMTPD. A line begins with its session, which may carry several messages;
 * each recipient has an envelope line of its own, at the time of the request,
 * whose evpid begins with the message's id.
 */
#include "replay/reader.h"

#include <string.h>

#define SESSION 16
#define MESSAGE 8

static bool
is_hex(struct str s, size_t n)
{
	if (s.n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (str_hex_digit(s.p[i]) < 0)
			return false;
	}
	return true;
}

/* "fba52117a0e7d893 smtp " */
static bool
take_session(struct str *s, struct str *session)
{
	if (!is_hex(*s, SESSION) || s->n <= SESSION + 1 || s->p[SESSION] != ' ')
		return false;
	*session = str_sub(*s, 0, SESSION);
	*s = str_sub(*s, SESSION + 1, s->n);
	return true;
}

static bool
opensmtpd_knows(const struct head_line *line)
{
	struct str s = line->text, session;

	return str_eq(line->program, STR("smtpd")) &&
	       take_session(&s, &session) &&
	       (str_starts(s, STR("smtp ")) || str_starts(s, STR("mta ")) ||
		   str_starts(s, STR("mda ")));
}

/* " key=value" up to the next blank. */
static bool
value(struct str s, const char *key, struct str *out)
{
	size_t n = strlen(key);
	const char *at = s.n > 0 ? memmem(s.p, s.n, key, n) : NULL;

	if (at == NULL)
		return false;
	*out = str_sub(s, (size_t)(at - s.p) + n, s.n);
	return true;
}

static struct str
word(struct str s)
{
	return str_sub(s, 0, str_index(s, ' '));
}

static enum reader_use
take_envelope(
    struct reader_record *r, struct str s, reader_emit_fn *emit, void *arg)
{
	struct str id, from, to, path;

	if (!value(s, " evpid=", &id) || !is_hex(id, MESSAGE) ||
	    !value(s, " from=", &from) || !reader_take_path(&from, &path) ||
	    !value(from, " to=", &to))
		return READER_STRANGE;
	r->id = str_sub(id, 0, MESSAGE);
	/* A line that says the same as an earlier one is its own message. */
	r->kind = READER_SENDER;
	r->address = path;
	r->has_sender = true;
	emit(arg, r);
	r->kind = READER_RECIPIENT;
	if (!reader_take_path(&to, &r->address))
		return READER_STRANGE;
	emit(arg, r);
	return READER_USED;
}

static enum reader_use
take_smtp(
    struct reader_record *r, struct str s, reader_emit_fn *emit, void *arg)
{
	struct str v, result;
	uint64_t n;

	if (str_starts(s, STR("message "))) {
		if (!value(s, " msgid=", &v) || !is_hex(v, MESSAGE))
			return READER_STRANGE;
		r->kind = READER_BEGIN;
		r->id = str_sub(v, 0, MESSAGE);
		if (value(s, " nrcpt=", &v) && str_to_u64(word(v), &n) &&
		    n <= UINT32_MAX)
			r->count = (uint32_t)n;
		emit(arg, r);
		return READER_USED;
	}
	if (str_starts(s, STR("envelope ")))
		return take_envelope(r, s, emit, arg);
	if (str_starts(s, STR("authentication "))) {
		if (!value(s, " user=", &v) || !value(s, " result=", &result))
			return READER_STRANGE;
		if (!str_eq(word(result), STR("ok")))
			return READER_FAILED_LOGIN;
		r->kind = READER_LOGIN;
		r->user = word(v);
		emit(arg, r);
		return READER_USED;
	}
	if (str_starts(s, STR("connected "))) {
		r->kind = READER_CLIENT;
		if (value(s, " address=", &v)) {
			v = word(v);
			if (str_starts(v, STR("[")))
				r->has_client = reader_client(v, &r->client);
			else
				r->has_client = ip_parse(v, &r->client);
		}
		emit(arg, r);
		return READER_USED;
	}
	if (str_starts(s, STR("disconnected"))) {
		r->kind = READER_CLOSED;
		emit(arg, r);
		return READER_USED;
	}
	if (str_starts(s, STR("failed-command ")))
		return reader_has(s, STR("command=\"AUTH"))
			   ? READER_FAILED_LOGIN
			   : READER_REJECTED;
	return READER_CONNECTION;
}

static enum reader_use
opensmtpd_take(
    void *state, const struct head_line *line, reader_emit_fn *emit, void *arg)
{
	struct reader_record r = {.at = line->at, .host = line->host};
	struct str s = line->text;

	(void)state;
	if (!str_eq(line->program, STR("smtpd")))
		return line->program.n > 0 ? READER_OTHER_PROGRAM
					   : READER_STRANGE;
	if (!take_session(&s, &r.session))
		return READER_NOTE;
	if (str_starts(s, STR("smtp ")))
		return take_smtp(&r, str_sub(s, 5, s.n), emit, arg);
	if (str_starts(s, STR("mta ")) || str_starts(s, STR("mda ")))
		return READER_NOTE;
	return READER_NOTE;
}

const struct reader reader_opensmtpd = {
    .name = "opensmtpd",
    .cannot = "what was refused, as requests; all that was sent is there",
    .knows = opensmtpd_knows,
    .take = opensmtpd_take,
};
