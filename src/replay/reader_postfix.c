/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Postfix. The login stands in smtpd's client= line, whose time is that of the
 * request; recipients are in the delivery lines alone, again at each try. A
 * recipient that an alias replaced is orig_to.
 *
 * A client can put nearly any text into a header that cleanup logs: such a line
 * is read from its right end.
 */
#include "replay/reader.h"

#include <string.h>

/* The last part of "postfix/submission/smtpd", with an instance's name or a
 * service's before it; empty: not of Postfix. */
static struct str
daemon_of(struct str program)
{
	size_t slash = str_rindex(program, '/');

	if (!str_starts(program, STR("postfix")) || slash == program.n)
		return STR("");
	return str_sub(program, slash + 1, program.n);
}

/* Short: hexadecimal; long: letters without vowels, and digits. */
static bool
take_queue_id(struct str *s, struct str *id)
{
	struct str word;
	size_t n = 0;

	while (n < s->n && n < 32 &&
	       ((s->p[n] >= '0' && s->p[n] <= '9') ||
		   (s->p[n] >= 'A' && s->p[n] <= 'Z') ||
		   (s->p[n] >= 'a' && s->p[n] <= 'z')))
		n++;
	if (n < 5 || n + 1 >= s->n || s->p[n] != ':' || s->p[n + 1] != ' ')
		return false;
	word = str_sub(*s, 0, n);
	if (str_eq(word, STR("NOQUEUE")) || str_eq(word, STR("warning")) ||
	    str_eq(word, STR("fatal")) || str_eq(word, STR("panic")) ||
	    str_eq(word, STR("error")) || str_eq(word, STR("statistics")))
		return false;
	*id = word;
	*s = str_sub(*s, n + 2, s->n);
	return true;
}

static bool
postfix_knows(const struct head_line *line)
{
	return daemon_of(line->program).n > 0;
}

struct parse {
	const struct head_line *line;
	struct reader_record record; /* at, host and id */
	reader_emit_fn *emit;
	void *arg;
};

static void
emit(const struct parse *p, const struct reader_record *r)
{
	p->emit(p->arg, r);
}

static enum reader_use
emit_kind(const struct parse *p, enum reader_kind kind)
{
	struct reader_record r = p->record;

	r.kind = kind;
	emit(p, &r);
	return READER_USED;
}

/* "client=h[a], sasl_method=PLAIN, sasl_username=u, sasl_sender=s" and after
 * them "orig_queue_id=ID, orig_client=h[a]" of a content filter. */
static enum reader_use
take_client(const struct parse *p, struct str s)
{
	struct reader_record r = p->record;
	struct str v;

	r.kind = READER_BEGIN;
	if (reader_field(s, STR("client="), &v))
		r.has_client = reader_client(v, &r.client);
	if (!r.has_client && reader_field(s, STR("orig_client="), &v))
		r.has_client = reader_client(v, &r.client);
	if (reader_field(s, STR("sasl_username="), &v))
		r.user = v;
	emit(p, &r);
	if (reader_field(s, STR("orig_queue_id="), &v)) {
		r.kind = READER_HOP;
		r.next = r.id;
		r.id = v;
		emit(p, &r);
	}
	return READER_USED;
}

static enum reader_use
take_smtpd(const struct parse *p, struct str s)
{
	if (p->record.id.n > 0) {
		if (str_starts(s, STR("client=")))
			return take_client(p, s);
		if (str_index(s, ':') < s.n &&
		    (str_starts(s, STR("reject:")) ||
			str_starts(s, STR("milter-reject:")) ||
			str_starts(s, STR("reject_warning:"))))
			return READER_REJECTED;
		return READER_NOTE;
	}
	if (str_starts(s, STR("connect from ")) ||
	    str_starts(s, STR("disconnect from ")) ||
	    str_starts(s, STR("lost connection ")) ||
	    str_starts(s, STR("timeout after ")) ||
	    str_starts(s, STR("Anonymous TLS ")) ||
	    str_starts(s, STR("Trusted TLS ")) ||
	    str_starts(s, STR("Untrusted TLS ")) ||
	    str_starts(s, STR("SSL_accept ")) ||
	    str_starts(s, STR("setting up TLS ")) ||
	    str_starts(s, STR("too many errors ")) ||
	    str_starts(s, STR("improper command ")))
		return READER_CONNECTION;
	if (str_starts(s, STR("NOQUEUE: ")))
		return READER_REJECTED;
	if (str_starts(s, STR("warning: ")))
		return reader_has(s, STR("authentication failed"))
			   ? READER_FAILED_LOGIN
			   : READER_NOTE;
	return READER_NOTE;
}

static enum reader_use
take_pickup(const struct parse *p, struct str s)
{
	struct reader_record r = p->record;
	size_t from = str_index(s, '<');
	struct str path = str_sub(s, from, s.n);

	if (!str_starts(s, STR("uid=")))
		return READER_NOTE;
	r.kind = READER_BEGIN;
	r.is_local = true;
	r.has_sender = reader_take_path(&path, &r.address);
	emit(p, &r);
	return READER_USED;
}

static enum reader_use
take_qmgr(const struct parse *p, struct str s)
{
	struct reader_record r = p->record;
	struct str v;
	uint64_t n;

	if (str_eq(s, STR("removed")))
		return emit_kind(p, READER_END);
	if (!str_starts(s, STR("from=")))
		return READER_NOTE;
	v = str_sub(s, 5, s.n);
	if (!reader_take_path(&v, &r.address))
		return READER_STRANGE;
	r.kind = READER_SENDER;
	r.has_sender = true;
	if (reader_field(v, STR("nrcpt="), &v)) {
		v = str_sub(v, 0, str_index(v, ' '));
		if (str_to_u64(v, &n) && n <= UINT32_MAX)
			r.count = (uint32_t)n;
		emit(p, &r);
	}
	return READER_USED;
}

/* "hold: header ... from h[a]; from=<x> to=<y> proto=...": the message goes no
 * further than this, so that no other line names its recipient. */
static enum reader_use
take_held(const struct parse *p, struct str s)
{
	struct reader_record r = p->record;
	size_t at = reader_last(s, STR("; from=<"));
	struct str rest = str_sub(s, at + 7, s.n);

	if (at == s.n)
		return READER_NOTE;
	if (!reader_take_path(&rest, &r.address))
		return READER_STRANGE;
	r.kind = READER_SENDER;
	r.has_sender = true;
	emit(p, &r);
	if (!str_starts(rest, STR(" to=<")))
		return READER_USED;
	rest = str_sub(rest, 4, rest.n);
	r.kind = READER_RECIPIENT;
	if (!reader_take_path(&rest, &r.address))
		return READER_STRANGE;
	emit(p, &r);
	return READER_USED;
}

static enum reader_use
take_cleanup(const struct parse *p, struct str s)
{
	if (str_starts(s, STR("hold: ")))
		return take_held(p, s);
	if (str_starts(s, STR("reject: ")) ||
	    str_starts(s, STR("milter-reject: ")) ||
	    str_starts(s, STR("discard: ")) ||
	    str_starts(s, STR("milter-discard: ")))
		return emit_kind(p, READER_REFUSED);
	return READER_NOTE;
}

/* "... queued as ID)" at the end of an answer: behind a content filter the mail
 * comes back under that id. */
static void
take_next(const struct parse *p, struct str s)
{
	size_t at = reader_last(s, STR("queued as "));
	struct reader_record r = p->record;
	struct str relay;

	if (at == s.n || !reader_field(s, STR("relay="), &relay))
		return;
	r.kind = READER_HOP;
	r.next = str_sub(s, at + 10, s.n);
	r.next = str_sub(r.next, 0, str_index(r.next, ')'));
	relay = str_sub(relay, 0, str_index(relay, ']') + 1);
	r.has_client = reader_client(relay, &r.client);
	if (r.next.n >= 5 && r.next.n <= 32)
		emit(p, &r);
}

/* "to=<a>, orig_to=<b>, relay=h[a]:25, ..., status=sent (...)" */
static enum reader_use
take_delivery(const struct parse *p, struct str s)
{
	struct reader_record r = p->record;
	struct str to, status, was;

	r.kind = READER_RECIPIENT;
	s = str_sub(s, 3, s.n);
	if (!reader_take_path(&s, &to))
		return READER_STRANGE;
	r.address = to;
	if (str_starts(s, STR(", orig_to="))) {
		s = str_sub(s, 10, s.n);
		if (!reader_take_path(&s, &was))
			return READER_STRANGE;
		if (was.n > 0)
			r.address = was;
	}
	if (!reader_field(s, STR("status="), &status))
		return READER_STRANGE;
	emit(p, &r);
	if (str_starts(status, STR("sent")))
		take_next(p, s);
	return READER_USED;
}

static enum reader_use
postfix_take(
    void *state, const struct head_line *line, reader_emit_fn *fn, void *arg)
{
	struct parse p = {.line = line,
	    .record = {.at = line->at, .host = line->host},
	    .emit = fn,
	    .arg = arg};
	struct str daemon = daemon_of(line->program), s = line->text;
	bool has_id;

	(void)state;
	if (daemon.n == 0)
		return line->program.n > 0 ? READER_OTHER_PROGRAM
					   : READER_STRANGE;
	has_id = take_queue_id(&s, &p.record.id);
	if (str_eq(daemon, STR("smtpd")))
		return take_smtpd(&p, s);
	if (!has_id)
		return READER_NOTE;
	if (str_starts(s, STR("to=<")))
		return take_delivery(&p, s);
	if (str_eq(daemon, STR("qmgr")) || str_eq(daemon, STR("nqmgr")))
		return take_qmgr(&p, s);
	if (str_eq(daemon, STR("pickup")))
		return take_pickup(&p, s);
	if (str_eq(daemon, STR("cleanup")))
		return take_cleanup(&p, s);
	if (str_eq(daemon, STR("bounce")))
		return READER_BOUNCE;
	return READER_NOTE;
}

const struct reader reader_postfix = {
    .name = "postfix",
    .cannot =
	"recipients of messages that were held by cleanup, but for the first; "
	"recipients of messages that still waited unsent at the log's end; "
	"which recipients of an alias' list the sender named",
    .knows = postfix_knows,
    .take = postfix_take,
};
