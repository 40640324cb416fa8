/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Exchange's message tracking (MSGTRK*.LOG): a table with commas, whose columns
 * "#Fields:" names, other ones in each version. A mailbox user's message is a
 * STOREDRIVER RECEIVE, other clients' an SMTP RECEIVE; what one message becomes
 * on its way has ids of its own, but one network-message-id. Who is behind a
 * group shows when it is sent on.
 */
#include "replay/reader.h"

#include <string.h>

#define COLUMNS_MAX 64

enum column {
	AT,
	CLIENT,
	SOURCE,
	EVENT,
	ID,
	RECIPIENTS,
	SENDER,
	RETURN_PATH,
	ORIGINAL_CLIENT,
	COLUMNS
};

static const char *const column_name[COLUMNS] = {
    [AT] = "date-time",
    [CLIENT] = "client-ip",
    [SOURCE] = "source",
    [EVENT] = "event-id",
    [ID] = "network-message-id",
    [RECIPIENTS] = "recipient-address",
    [SENDER] = "sender-address",
    [RETURN_PATH] = "return-path",
    [ORIGINAL_CLIENT] = "original-client-ip",
};

struct exchange {
	uint8_t place[COLUMNS]; /* of a column, and one; 0: it is not there */
};

_Static_assert(sizeof(struct exchange) <= READER_STATE, "state");

static struct str
without_mark(struct str s)
{
	return str_starts(s, STR("\xef\xbb\xbf")) ? str_sub(s, 3, s.n) : s;
}

static bool
exchange_knows(const struct head_line *line)
{
	struct str s = without_mark(line->text);

	return line->at == HEAD_NO_TIME &&
	       (str_starts(s, STR("#Software: Microsoft Exchange")) ||
		   str_starts(s, STR("#Fields: date-time,client-ip,")));
}

/* The next field, without its quotes; quotes within it stay doubled. */
static struct str
take_field(struct str *s)
{
	struct str out;
	size_t n = 1;

	if (s->n == 0 || s->p[0] != '"')
		return str_cut(s, ',');
	while (n < s->n &&
	       (s->p[n] != '"' || (n + 1 < s->n && s->p[n + 1] == '"')))
		n += s->p[n] == '"' ? 2 : 1;
	out = str_sub(*s, 1, n - 1);
	*s = str_sub(*s, n + 1, s->n);
	(void)str_cut(s, ',');
	return out;
}

static void
take_names(struct exchange *x, struct str s)
{
	*x = (struct exchange){0};
	for (uint8_t i = 1; s.n > 0 && i <= COLUMNS_MAX; i++) {
		struct str name = str_trim(take_field(&s));

		for (int c = 0; c < COLUMNS; c++) {
			if (str_eq(name, str_from(column_name[c])))
				x->place[c] = i;
		}
	}
}

static bool
take_row(const struct exchange *x, struct str s, struct str out[COLUMNS])
{
	for (int c = 0; c < COLUMNS; c++)
		out[c] = STR("");
	for (uint8_t i = 1; s.n > 0 && i <= COLUMNS_MAX; i++) {
		struct str field = take_field(&s);

		for (int c = 0; c < COLUMNS; c++) {
			if (x->place[c] == i)
				out[c] = field;
		}
	}
	return x->place[AT] > 0 && x->place[ID] > 0 && out[EVENT].n > 0;
}

static void
emit_recipients(
    struct reader_record *r, struct str list, reader_emit_fn *emit, void *arg)
{
	r->kind = READER_RECIPIENT;
	while (list.n > 0) {
		r->address = str_trim(str_cut(&list, ';'));
		if (r->address.n > 0)
			emit(arg, r);
	}
}

static void
take_receive(struct reader_record *r, const struct str row[COLUMNS],
    reader_emit_fn *emit, void *arg)
{
	r->kind = READER_BEGIN;
	r->is_unique = true;
	r->has_client = ip_parse(row[ORIGINAL_CLIENT], &r->client) ||
			ip_parse(row[CLIENT], &r->client);
	if (str_eq(row[SOURCE], STR("STOREDRIVER")))
		r->user = row[SENDER];
	r->has_sender = true;
	r->address = row[RETURN_PATH].n > 0 ? row[RETURN_PATH] : row[SENDER];
	if (str_eq(r->address, STR("<>")))
		r->address = STR("");
	emit(arg, r);
	r->user = STR("");
	emit_recipients(r, row[RECIPIENTS], emit, arg);
}

static enum reader_use
exchange_take(
    void *state, const struct head_line *line, reader_emit_fn *emit, void *arg)
{
	struct exchange *x = state;
	struct reader_record r = {0};
	struct str s = without_mark(line->text), row[COLUMNS];
	struct stamp_clock clock;

	if (str_starts(s, STR("#Fields: "))) {
		take_names(x, str_sub(s, 9, s.n));
		return READER_NOTE;
	}
	if (s.n > 0 && s.p[0] == '#')
		return READER_NOTE;
	stamp_init(&clock, 0, 0);
	if (!take_row(x, s, row) || !stamp_take_iso(&clock, &row[AT], &r.at))
		return READER_STRANGE;
	r.id = row[ID];
	if (r.id.n == 0)
		return READER_NOTE;
	if (str_eq(row[EVENT], STR("RECEIVE"))) {
		take_receive(&r, row, emit, arg);
		return READER_USED;
	}
	if (str_eq(row[EVENT], STR("SEND")) ||
	    str_eq(row[EVENT], STR("SENDEXTERNAL"))) {
		emit_recipients(&r, row[RECIPIENTS], emit, arg);
		return READER_USED;
	}
	if (str_eq(row[EVENT], STR("DSN")))
		return READER_BOUNCE;
	return READER_NOTE;
}

const struct reader reader_exchange = {
    .name = "exchange",
    .cannot = "who logged in to send by SMTP: such clients count by their "
	      "address; give the MSGTRK*.LOG files themselves, not what "
	      "Get-MessageTrackingLog exports",
    .knows = exchange_knows,
    .take = exchange_take,
};
