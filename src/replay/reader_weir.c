/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-maild's own log: "info smtp message id=... key=value ...", or milter for
 * smtp, a line for each message, which names its recipients; more of them are
 * in lines that follow under the same id. The sender is the key under which
 * weir counts it.
 */
#include "replay/pairs.h"
#include "replay/reader.h"

#include <string.h>

static bool
take_level(struct str *s)
{
	static const char *const levels[] = {
	    "debug ", "info ", "warning ", "error ", "fatal "};

	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (str_starts(*s, str_from(levels[i]))) {
			(void)str_cut(s, ' ');
			return true;
		}
	}
	return false;
}

static bool
is_front(struct str subsystem)
{
	return str_eq(subsystem, STR("smtp")) ||
	       str_eq(subsystem, STR("milter"));
}

static bool
weir_knows(const struct head_line *line)
{
	struct str s = line->text;

	return line->at != HEAD_NO_TIME && take_level(&s) &&
	       is_front(str_cut(&s, ' ')) && str_starts(s, STR("message id="));
}

/* ---- key=value ---- */

static uint64_t
number_of(struct str s)
{
	uint64_t n;

	return str_to_u64(s, &n) ? n : 0;
}

/* ---- a message ---- */

struct message {
	struct str id, result, sender, from, client;
	uint64_t recipients, delay_ms;
};

static struct message
message_of(struct str s)
{
	struct message m = {.id = STR("")};
	struct str key, value;

	while (pairs_take(&s, &key, &value)) {
		if (str_eq(key, STR("id")))
			m.id = value;
		else if (str_eq(key, STR("result")))
			m.result = value;
		else if (str_eq(key, STR("sender")))
			m.sender = value;
		else if (str_eq(key, STR("from")))
			m.from = value;
		else if (str_eq(key, STR("client")))
			m.client = value;
		else if (str_eq(key, STR("recipients")))
			m.recipients = number_of(value);
		else if (str_eq(key, STR("delay_ms")))
			m.delay_ms = number_of(value);
	}
	return m;
}

/* A result by which a message went on its way. */
static bool
is_sent(struct str result)
{
	return str_eq(result, STR("passed")) || str_eq(result, STR("split")) ||
	       str_eq(result, STR("held")) || str_eq(result, STR("late"));
}

/* Keys that are no logins are "[192.0.2.17]", "<alice@example.org>" and "". */
static struct str
login_of(struct str sender)
{
	if (sender.n == 0 || sender.p[0] == '[' || sender.p[0] == '<')
		return STR("");
	if (str_starts(sender, STR("user:")))
		return str_sub(sender, 5, sender.n);
	return sender;
}

static void
emit_recipients(
    struct reader_record *r, struct str s, reader_emit_fn *emit, void *arg)
{
	char text[PAIRS_VALUE_MAX];
	struct str key, value;

	r->kind = READER_RECIPIENT;
	while (pairs_take(&s, &key, &value)) {
		r->address = pairs_unescape(value, text);
		if (str_eq(key, STR("to")) && value.n > 0)
			emit(arg, r);
	}
}

static enum reader_use
take_message(
    struct reader_record *r, struct str s, reader_emit_fn *emit, void *arg)
{
	struct message m = message_of(s);
	char user[PAIRS_VALUE_MAX], from[PAIRS_VALUE_MAX];
	int64_t ended = r->at;

	if (m.id.n == 0 || m.result.n == 0)
		return READER_STRANGE;
	if (!is_sent(m.result))
		return READER_REJECTED;
	r->kind = READER_BEGIN;
	r->is_unique = true;
	r->id = m.id;
	r->user = login_of(pairs_unescape(m.sender, user));
	r->has_sender = true;
	r->address = pairs_unescape(m.from, from);
	r->has_client = ip_parse(m.client, &r->client);
	r->is_local = !r->has_client && r->user.n == 0;
	r->count = m.recipients < UINT32_MAX ? (uint32_t)m.recipients : 0;
	/* The line is written at the end, the message began with MAIL. */
	if (m.delay_ms < 86400000)
		r->at -= (int64_t)m.delay_ms;
	emit(arg, r);
	r->user = STR("");
	emit_recipients(r, s, emit, arg);
	r->kind = READER_END;
	r->at = ended;
	emit(arg, r);
	return READER_USED;
}

static enum reader_use
weir_take(
    void *state, const struct head_line *line, reader_emit_fn *emit, void *arg)
{
	struct reader_record r = {.at = line->at, .host = line->host};
	struct str s = line->text, subsystem, key, value;

	(void)state;
	if (line->at == HEAD_NO_TIME)
		return READER_STRANGE;
	if (!take_level(&s))
		return READER_OTHER_PROGRAM;
	subsystem = str_cut(&s, ' ');
	if (!is_front(subsystem))
		return READER_NOTE;
	if (str_starts(s, STR("message ")))
		return take_message(
		    &r, str_sub(s, sizeof("message"), s.n), emit, arg);
	if (!str_starts(s, STR("recipients ")))
		return READER_NOTE;
	s = str_sub(s, sizeof("recipients"), s.n);
	if (!pairs_take(&s, &key, &value) || !str_eq(key, STR("id")))
		return READER_STRANGE;
	r.id = value;
	emit_recipients(&r, s, emit, arg);
	return READER_USED;
}

const struct reader reader_weir = {
    .name = "weir",
    .cannot = "what came by the policy service: read the log of Postfix",
    .empty = "weir names the recipients of each message where log_level is "
	     "info or debug",
    .knows = weir_knows,
    .take = weir_take,
};
