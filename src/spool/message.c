/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rows and structs. What the database has more of states (db.h) is RELEASED or
 * SENDING to everybody else.
 */
#include "spool/message.h"

#include <errno.h>
#include <string.h>

/* What the next hop must offer: column utf8, which had the first of them alone.
 * A weir that does not know the others takes the row for damaged, and sends it
 * to nobody. */
#define NEEDS_UTF8 1u
#define NEEDS_TLS 2u
#define NEEDS_REST 4u /* of the next hops that of what was taken apart */
#define NEEDS_ALL (NEEDS_UTF8 | NEEDS_TLS | NEEDS_REST)

#define SIZE_LIMIT ((int64_t)1 << 50)

static bool
is_storable(const struct spool_message *m)
{
	const char *const texts[] = {
	    m->source, m->policy, m->from, m->client, m->helo};

	if (m->id == 0 || m->id > INT64_MAX || m->id != SPOOL_ID(m->id) ||
	    m->rcpt_count == 0 || m->rcpt_count > SPOOL_RCPT_MAX)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (texts[i] == NULL || strlen(texts[i]) > DB_TEXT_MAX)
			return false;
	}
	if (m->mta_id != NULL &&
	    (!m->whole || strlen(m->mta_id) >= SPOOL_MTA_ID_MAX))
		return false;
	return m->envid == NULL || strlen(m->envid) <= DB_TEXT_MAX;
}

static bool
is_rcpt_storable(const struct spool_rcpt *r)
{
	return r->address != NULL && strlen(r->address) <= DB_TEXT_MAX &&
	       (r->orcpt == NULL || strlen(r->orcpt) <= DB_TEXT_MAX) &&
	       (r->state == SPOOL_HELD || r->state == SPOOL_RELEASED);
}

static char *
copy_detail(struct arena *mem, const char *s)
{
	return s != NULL ? arena_copy(mem, s, strnlen(s, CORE_DETAIL_MAX))
			 : NULL;
}

/* What it is called elsewhere is only searched for. */
static char *
copy_name(struct arena *mem, const char *s)
{
	return s != NULL && *s != '\0'
		   ? arena_copy(mem, s, strnlen(s, SPOOL_NAME_MAX))
		   : NULL;
}

int
message_copy(
    struct arena *mem, const struct spool_message *m, struct spool_message *out)
{
	struct spool_rcpt *rcpts;

	if (!is_storable(m))
		return EINVAL;
	*out = *m;
	out->source = arena_string(mem, m->source);
	out->policy = arena_string(mem, m->policy);
	out->from = arena_string(mem, m->from);
	out->client = arena_string(mem, m->client);
	out->helo = arena_string(mem, m->helo);
	out->envid = arena_string(mem, m->envid);
	out->subject = copy_detail(mem, m->subject);
	out->mta_id = arena_string(mem, m->mta_id);
	out->message_id = copy_name(mem, m->message_id);
	out->queue_id = copy_name(mem, m->queue_id);
	rcpts = arena_alloc(mem, m->rcpt_count * sizeof(*rcpts));
	for (size_t i = 0; i < m->rcpt_count; i++) {
		if (!is_rcpt_storable(&m->rcpts[i]))
			return EINVAL;
		rcpts[i] = m->rcpts[i];
		rcpts[i].ticket = SPOOL_TICKET(m->id, i);
		rcpts[i].address = arena_string(mem, m->rcpts[i].address);
		rcpts[i].orcpt = arena_string(mem, m->rcpts[i].orcpt);
		rcpts[i].last_error = copy_detail(mem, m->rcpts[i].last_error);
	}
	out->rcpts = rcpts;
	return 0;
}

static void
insert_rcpt(struct tx *tx, const struct spool_rcpt *r, int state, int64_t owner)
{
	sqlite3_stmt *st = db_get(tx->db, DB_PUT_RCPT);

	db_bind_int(st, 1, (int64_t)r->ticket);
	db_bind_int(st, 2, state);
	db_bind_int(st, 3, r->attempts);
	db_bind_int(st, 4, r->next_try);
	db_bind_int(st, 5, (int64_t)r->destination);
	db_bind_int(st, 6, r->notify);
	db_bind_text(st, 7, r->address);
	db_bind_text(st, 8, r->orcpt);
	db_bind_text(st, 9, r->last_error);
	db_bind_int(st, 10, r->lane);
	if (state != SPOOL_HELD)
		db_bind_int(st, 11, owner);
	db_run(tx->db, st);
	if (state == SPOOL_HELD)
		core_count_held(tx, r->ticket, 1);
	else
		tx->effects.recipients[state]++;
}

static bool
has_held(const struct spool_message *m)
{
	for (size_t i = 0; i < m->rcpt_count; i++) {
		if (m->rcpts[i].state == SPOOL_HELD)
			return true;
	}
	return false;
}

static unsigned
needs_of(const struct spool_message *m)
{
	return (m->utf8 ? NEEDS_UTF8 : 0) | (m->require_tls ? NEEDS_TLS : 0) |
	       (m->rest ? NEEDS_REST : 0);
}

static void
insert_message(struct tx *tx, const struct spool_message *m, struct str body)
{
	sqlite3_stmt *st = db_get(tx->db, DB_PUT_MESSAGE);

	db_bind_int(st, 1, (int64_t)m->id);
	db_bind_int(st, 2, m->pending ? DB_PENDING : DB_READY);
	db_bind_int(st, 3, m->mta_id != NULL ? DB_QUARANTINED : m->whole);
	db_bind_int(st, 4, body.p == NULL);
	db_bind_int(st, 5, m->body_type);
	db_bind_int(st, 6, m->ret);
	db_bind_int(st, 7, needs_of(m));
	db_bind_int(st, 8, (int64_t)m->size);
	db_bind_int(st, 9, m->queued_at);
	db_bind_text(st, 10, m->source);
	db_bind_text(st, 11, m->policy);
	db_bind_text(st, 12, m->from);
	db_bind_text(st, 13, m->client);
	db_bind_text(st, 14, m->helo);
	db_bind_text(st, 15, m->envid);
	db_bind_text(st, 16, m->subject);
	if (body.p != NULL)
		db_bind_blob(st, 17, body.p, body.n);
	db_run(tx->db, st);
	tx->effects.messages += core_is_counted(tx, m->id);
}

static void
insert_name(struct tx *tx, const struct spool_message *m)
{
	sqlite3_stmt *st;

	if (m->message_id == NULL && m->queue_id == NULL)
		return;
	st = db_get(tx->db, DB_PUT_NAME);
	db_bind_int(st, 1, (int64_t)m->id);
	db_bind_text(st, 2, m->message_id);
	db_bind_text(st, 3, m->queue_id);
	db_run(tx->db, st);
}

static void
insert_quarantine(struct tx *tx, const struct spool_message *m, bool is_due)
{
	sqlite3_stmt *st = db_get(tx->db, DB_PUT_QUARANTINE);

	db_bind_int(st, 1, (int64_t)m->id);
	db_bind_text(st, 2, m->mta_id);
	if (is_due)
		db_bind_int(st, 3, m->queued_at);
	db_run(tx->db, st);
	tx->effects.quarantined++;
}

void
message_insert(struct tx *tx, const struct spool_message *m, struct str body)
{
	bool blocked = m->pending || (m->whole && has_held(m));
	int64_t owner = db_owner(m->source);

	insert_message(tx, m, body);
	insert_name(tx, m);
	if (core_is_counted(tx, m->id))
		accounts_note(&tx->effects.accounts, m->source,
		    (int64_t)m->rcpt_count, (int64_t)m->size);
	if (m->mta_id != NULL) {
		insert_quarantine(tx, m, !blocked);
		blocked = true;
	}
	for (size_t i = 0; i < m->rcpt_count; i++) {
		int state = (int)m->rcpts[i].state;

		if (state == SPOOL_RELEASED && blocked)
			state = DB_BLOCKED;
		insert_rcpt(tx, &m->rcpts[i], state, owner);
	}
}

/* An id from a column; tickets may have their low bits. */
static uint64_t
read_key(struct db *db, sqlite3_stmt *st, bool is_id)
{
	uint64_t v = (uint64_t)db_column_int(db, st, 0, 1, INT64_MAX);

	if (SPOOL_ID(v) == 0 || (is_id && v != SPOOL_ID(v)))
		db->bad_row = true;
	return v;
}

bool
message_read(struct db *db, sqlite3_stmt *st, struct arena *mem,
    struct spool_message *out, int *pending, bool *in_file)
{
	int64_t whole;
	unsigned needs;

	*out = (struct spool_message){0};
	out->id = read_key(db, st, true);
	*pending = (int)db_column_int(db, st, 1, DB_READY, DB_DAMAGED);
	out->pending = *pending == DB_PENDING;
	whole = db_column_int(db, st, 2, 0, DB_QUARANTINED);
	out->whole = whole != 0;
	*in_file = db_column_int(db, st, 3, 0, 1) != 0;
	out->body_type = (unsigned)db_column_int(db, st, 4, 0, UINT32_MAX);
	out->ret = (unsigned)db_column_int(db, st, 5, 0, UINT32_MAX);
	needs = (unsigned)db_column_int(db, st, 6, 0, NEEDS_ALL);
	out->utf8 = (needs & NEEDS_UTF8) != 0;
	out->require_tls = (needs & NEEDS_TLS) != 0;
	out->rest = (needs & NEEDS_REST) != 0;
	out->size = (uint64_t)db_column_int(db, st, 7, 0, SIZE_LIMIT);
	out->queued_at = db_column_int(db, st, 8, INT64_MIN, INT64_MAX);
	out->source = db_column_text(db, st, 9, mem);
	out->policy = db_column_text(db, st, 10, mem);
	out->from = db_column_text(db, st, 11, mem);
	out->client = db_column_text(db, st, 12, mem);
	out->helo = db_column_text(db, st, 13, mem);
	out->envid = db_column_maybe(db, st, 14, mem);
	out->subject = db_column_maybe(db, st, 15, mem);
	if (whole == DB_QUARANTINED) {
		out->mta_id = db_column_text(db, st, 16, mem);
		out->doomed = db_column_int(db, st, 17, 0, 1) != 0;
	}
	out->message_id = db_column_note(st, 18, SPOOL_NAME_MAX, mem);
	out->queue_id = db_column_note(st, 19, SPOOL_NAME_MAX, mem);
	return !db_take_bad_row(
	    db, "message", (uint64_t)sqlite3_column_int64(st, 0));
}

static enum spool_state
public_state(int state)
{
	if (state == DB_STOPPING)
		return SPOOL_SENDING;
	return state >= DB_BLOCKED ? SPOOL_RELEASED : (enum spool_state)state;
}

bool
message_read_rcpt(struct db *db, sqlite3_stmt *st, struct arena *mem,
    struct spool_rcpt *out, int *state)
{
	*out = (struct spool_rcpt){0};
	out->ticket = read_key(db, st, false);
	*state = (int)db_column_int(db, st, 1, SPOOL_HELD, DB_STATE_MAX);
	out->state = public_state(*state);
	out->stopped = *state == DB_STOPPED || *state == DB_STOPPING;
	out->attempts = (uint32_t)db_column_int(db, st, 2, 0, UINT32_MAX);
	out->next_try = db_column_int(db, st, 3, INT64_MIN, INT64_MAX);
	out->destination =
	    (uint64_t)db_column_int(db, st, 4, INT64_MIN, INT64_MAX);
	out->notify = (unsigned)db_column_int(db, st, 5, 0, UINT32_MAX);
	out->address = db_column_text(db, st, 6, mem);
	out->orcpt = db_column_maybe(db, st, 7, mem);
	out->last_error = db_column_maybe(db, st, 8, mem);
	out->lane = (uint8_t)db_column_int(db, st, 9, 0, UINT8_MAX);
	return !db_take_bad_row(
	    db, "rcpt", (uint64_t)sqlite3_column_int64(st, 0));
}

bool
message_flags(struct db *db, uint64_t id, struct message_flags *out)
{
	sqlite3_stmt *st = db_get(db, DB_GET_FLAGS);
	int64_t whole;

	db_bind_int(st, 1, (int64_t)id);
	if (!db_step(db, st))
		return false;
	out->pending = (int)db_column_int(db, st, 0, DB_READY, DB_DAMAGED);
	whole = db_column_int(db, st, 1, 0, DB_QUARANTINED);
	out->whole = whole != 0;
	out->quarantined = whole == DB_QUARANTINED;
	out->in_file = db_column_int(db, st, 2, 0, 1) != 0;
	db_reset(st);
	return !db_take_bad_row(db, "message", id);
}

/* The source from the first column, and the size from the second one of a
 * statement that has it; a damaged one is nobody's. */
static void
note_end(struct tx *tx, uint64_t id, sqlite3_stmt *st, size_t recipients)
{
	const unsigned char *source = sqlite3_column_text(st, 0);
	int64_t size =
	    sqlite3_column_count(st) > 1 ? sqlite3_column_int64(st, 1) : 0;

	if (source != NULL && size >= 0 && size <= SIZE_LIMIT &&
	    core_is_counted(tx, id))
		accounts_note(&tx->effects.accounts, (const char *)source,
		    -(int64_t)recipients, -size);
}

static void
delete_row(struct tx *tx, uint64_t id, bool in_file, size_t recipients)
{
	sqlite3_stmt *st = db_get(tx->db, DB_DELETE_MESSAGE);
	bool found = false;

	db_bind_int(st, 1, (int64_t)id);
	while (db_step(tx->db, st)) {
		note_end(tx, id, st, recipients);
		found = true;
	}
	if (!found)
		return;
	tx->effects.messages -= core_is_counted(tx, id);
	if (in_file)
		core_effects_add_file(&tx->effects, id);
	st = db_get(tx->db, DB_DELETE_NAME);
	db_bind_int(st, 1, (int64_t)id);
	db_run(tx->db, st);
	st = db_get(tx->db, DB_DELETE_QUARANTINE);
	db_bind_int(st, 1, (int64_t)id);
	if (db_run(tx->db, st) > 0)
		tx->effects.quarantined--;
}

void
message_reap(struct tx *tx, uint64_t id, size_t ended)
{
	struct message_flags flags;
	sqlite3_stmt *st = db_get(tx->db, DB_HAS_RCPT);

	db_bind_int(st, 1, (int64_t)id);
	if (db_number(tx->db, st, 0) == 0) {
		if (message_flags(tx->db, id, &flags))
			delete_row(tx, id, flags.in_file, ended);
		return;
	}
	if (ended == 0)
		return;
	st = db_get(tx->db, DB_GET_SOURCE);
	db_bind_int(st, 1, (int64_t)id);
	while (db_step(tx->db, st))
		note_end(tx, id, st, ended);
}

void
message_remove(struct tx *tx, uint64_t id, bool in_file)
{
	sqlite3_stmt *st = db_get(tx->db, DB_GET_STATES);
	size_t n = 0;

	db_bind_int(st, 1, (int64_t)id);
	for (; db_step(tx->db, st); n++) {
		int64_t state = sqlite3_column_int64(st, 0);

		if (state == SPOOL_HELD)
			core_count_held(tx, id, -1);
		else if (state > 0 && state <= DB_STATE_MAX)
			tx->effects.recipients[state]--;
	}
	st = db_get(tx->db, DB_DELETE_RCPTS);
	db_bind_int(st, 1, (int64_t)id);
	db_run(tx->db, st);
	delete_row(tx, id, in_file, n);
}

void
message_unblock(struct tx *tx, uint64_t id, const struct message_flags *flags)
{
	sqlite3_stmt *st;
	int64_t n;

	if (flags->pending != DB_READY)
		return;
	if (flags->whole) {
		st = db_get(tx->db, DB_HAS_HELD);
		db_bind_int(st, 1, (int64_t)id);
		if (db_number(tx->db, st, 0) != 0)
			return;
	}
	st =
	    db_get(tx->db, flags->quarantined ? DB_QUARANTINE_DUE : DB_UNBLOCK);
	db_bind_int(st, 1, (int64_t)id);
	n = db_run(tx->db, st);
	if (n > 0 && !flags->quarantined) {
		tx->effects.recipients[DB_BLOCKED] -= n;
		tx->effects.recipients[SPOOL_RELEASED] += n;
	}
}
