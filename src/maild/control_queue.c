/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * queue and cat: what is in the spool. Both go page by page, each page asked
 * for when the client has taken the one before.
 */
#include "maild/control_private.h"

#include "os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "frozen": let go before its sender was frozen. */
static const char *
state_name(const struct spool_rcpt *r, bool doomed)
{
	if (doomed)
		return "discarded";
	if (r->stopped && r->state == SPOOL_RELEASED)
		return "frozen";
	return spool_state_name[r->state];
}

/* state NULL: any. */
static bool
has_state(const struct spool_message *m, const char *state)
{
	if (state == NULL)
		return true;
	if (strcmp(state, "quarantined") == 0)
		return m->mta_id != NULL;
	for (size_t i = 0; i < m->rcpt_count; i++) {
		const struct spool_rcpt *r = &m->rcpts[i];

		if (strcmp(state, state_name(r, m->doomed)) == 0 ||
		    (strcmp(state, "deferred") == 0 && r->attempts > 0 &&
			r->state == SPOOL_RELEASED && !r->stopped))
			return true;
	}
	return false;
}

static json_t *
recipient_row(const struct spool_rcpt *r, bool doomed)
{
	json_t *row = json_pack("{s:o, s:s}", "address",
	    control_text(r->address), "state", state_name(r, doomed));

	if (r->attempts > 0) {
		json_object_set_new(
		    row, "attempts", json_integer((json_int_t)r->attempts));
		json_object_set_new(row, "next_try", control_time(r->next_try));
		json_object_set_new(
		    row, "last_error", control_text(r->last_error));
	}
	return row;
}

json_t *
control_message_row(const struct spool_message *m)
{
	char id[SPOOL_ID_TEXT];
	json_t *rcpts = json_array(), *row;

	for (size_t i = 0; i < m->rcpt_count; i++)
		json_array_append_new(
		    rcpts, recipient_row(&m->rcpts[i], m->doomed));
	row = json_pack(
	    "{s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:b, s:b}", "id",
	    spool_id_format(m->id, id), "sender", control_text(m->source),
	    "from", control_text(m->from), "recipients", rcpts, "size",
	    (json_int_t)m->size, "queued_at", control_time(m->queued_at),
	    "subject", control_text(m->subject), "policy",
	    control_text(m->policy), "client", control_text(m->client),
	    "require_tls", m->require_tls, "quarantined", m->mta_id != NULL);
	if (m->message_id != NULL)
		json_object_set_new(
		    row, "message_id", control_text(m->message_id));
	if (m->mta_id != NULL || m->queue_id != NULL)
		json_object_set_new(row, "mta_id",
		    control_text(m->mta_id != NULL ? m->mta_id : m->queue_id));
	return row;
}

/* ---- queue ---- */

static void step_queue(struct control_conn *c, int64_t now);

/* What does not fit is asked for again: the cursor stands before it. */
static bool
send_page(
    struct control_conn *c, const struct spool_message *messages, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!has_state(&messages[i], c->request.state)) {
			c->cursor = messages[i].id;
			continue;
		}
		if (!control_send(
			c, "row", control_message_row(&messages[i]))) {
			if (control_is_behind(c))
				return true;
			control_fail(c, CONTROL_FAILED,
			    "a message has too many recipients "
			    "to be shown");
			return false;
		}
		c->cursor = messages[i].id;
	}
	return true;
}

static void
on_page(void *arg, int error, const struct spool_message *messages, size_t n)
{
	struct control_conn *c = arg;
	bool had_none = c->from.rows + c->rows == 0;

	if (!control_resume(c))
		return;
	if (error != 0)
		control_fail_errno(c, error);
	else if (n > 0 && !send_page(c, messages, n))
		return;
	else if (n == 0 && had_none && c->request.id_count > 0)
		control_fail_errno(c, ENOENT);
	else if (n == 0 && had_none && c->on_step == NULL)
		control_no_sender(c);
	else if (n == 0)
		control_done(c, NULL);
	else
		c->on_step = step_queue;
}

static void
step_queue(struct control_conn *c, int64_t now)
{
	struct spool_select select = control_selection(c);

	(void)now;
	control_wait(c);
	spool_list(control_parts(c)->spool, &select, c->cursor, CONTROL_PAGE,
	    on_page, c);
}

void
control_queue(struct control_conn *c, int64_t now)
{
	/* A sender that the gate has forgotten may have mail on its way out: an
	 * error only when there is none. */
	if (c->request.sender == NULL || control_find_sender(c, now) ||
	    c->cursor != 0)
		c->on_step = step_queue;
	step_queue(c, now);
}

/* ---- cat ---- */

/* Each byte as the character of its number: bytes pass through JSON. */
static json_t *
bytes_row(struct str bytes)
{
	char *text = xmalloc(bytes.n * 2 + 1);
	size_t n = 0;
	json_t *row;

	for (size_t i = 0; i < bytes.n; i++) {
		unsigned char b = (unsigned char)bytes.p[i];

		if (b < 0x80) {
			text[n++] = (char)b;
		} else {
			text[n++] = (char)(0xc0 | (b >> 6));
			text[n++] = (char)(0x80 | (b & 0x3f));
		}
	}
	row = json_pack("{s:o}", "data", json_stringn(text, n));
	free(text);
	return row;
}

static void step_cat(struct control_conn *c, int64_t now);

static void
on_chunk(void *arg, int error, struct str chunk)
{
	struct control_conn *c = arg;

	if (!control_resume(c))
		return;
	if (error != 0)
		control_fail_errno(c, error);
	else if (chunk.n == 0)
		control_done(c, NULL);
	else if (control_send(c, "row", bytes_row(chunk)))
		c->cursor += chunk.n;
	else if (!control_is_behind(c))
		control_fail(c, CONTROL_FAILED, "the answer is too large");
}

/* The cursor is one past the offset: at 0 the envelope comes first. */
static void
step_cat(struct control_conn *c, int64_t now)
{
	(void)now;
	control_wait(c);
	spool_read_body(control_parts(c)->spool, c->request.ids[0],
	    c->cursor - 1, on_chunk, c);
}

/* Other people's mail is read: that is kept like a change. */
static void
note_reading(struct control_conn *c, const struct spool_message *m)
{
	const struct control_parts *p = control_parts(c);
	struct spool_row *rows = xcalloc(m->rcpt_count, sizeof(*rows));
	char id[SPOOL_ID_TEXT], whose[SPOOL_WHOSE_MAX];
	struct spool_audit audit = {.at = clock_wall_ms(),
	    .who = c->who,
	    .action = "cat",
	    .target = spool_id_format(m->id, id),
	    .detail = whose};

	for (size_t i = 0; i < m->rcpt_count; i++)
		rows[i] = (struct spool_row){.ticket = m->rcpts[i].ticket,
		    .source = m->source,
		    .address = m->rcpts[i].address};
	(void)spool_whose(rows, m->rcpt_count, whose);
	free(rows);
	log_write(
	    p->log, LOG_EV_CONTROL_CAT, KV(by, c->who), KV(sender, whose));
	spool_audit_add(p->spool, &audit, NULL, NULL);
}

static void
on_envelope(
    void *arg, int error, const struct spool_message *messages, size_t n)
{
	struct control_conn *c = arg;
	json_t *row;

	if (!control_resume(c))
		return;
	if (error != 0 || n == 0 || !control_sees(c, messages[0].source)) {
		control_fail_errno(c, error != 0 ? error : ENOENT);
		return;
	}
	/* The rest of a text that another relay asks for. */
	if (c->cursor > 0) {
		c->on_step = step_cat;
		return;
	}
	note_reading(c, &messages[0]);
	row = json_pack("{s:o}", "envelope", control_message_row(&messages[0]));
	if (!control_send_only(c, row))
		return;
	c->cursor = 1;
	c->on_step = step_cat;
}

void
control_cat(struct control_conn *c, int64_t now)
{
	struct spool_select select = {.ids = c->request.ids, .id_count = 1};

	(void)now;
	if (c->request.id_count != 1) {
		control_fail(c, CONTROL_USAGE, "cat takes one id");
		return;
	}
	control_wait(c);
	spool_list(control_parts(c)->spool, &select, 0, 1, on_envelope, c);
}
