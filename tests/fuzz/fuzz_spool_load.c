/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: what lies in the spool at a start. The input becomes rows of
 * messages, recipients, sources with their throttle's state, and marks, with
 * values of any type; then the daemon's start runs over them: recovery, the
 * gate's load, a listing, releases, claims and bodies. Checked: the start goes
 * through, what is handed out keeps to the types, nothing that could not be
 * sent is claimed, and a second start finds what the first one left.
 */
#include "gate/gate.h"
#include "smtp/address.h"

#include "fuzz.h"

#include <dirent.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#define WALL INT64_C(1800000000000)
#define NOW 1000000
#define ROWS_MAX 24
#define JOBS_MAX 64
#define WAIT_MS 20000

/* Each input costs two starts of the spool. */
const unsigned fuzz_runs = 400;

struct world {
	char dir[64], database[96];
	struct spool *spool;
	bool done;
	size_t listed, claimed;
	uint64_t body_of;
};

/* ---- rows ---- */

static uint64_t
take_number(struct str *in, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | fuzz_byte(in);
	return v;
}

/* Mostly what the column wants. */
static void
bind_number(struct str *in, sqlite3_stmt *st, int at)
{
	uint8_t kind = fuzz_byte(in);

	if (kind < 200)
		sqlite3_bind_int64(st, at, kind % 5);
	else if (kind < 240)
		sqlite3_bind_int64(st, at, (int64_t)take_number(in, 8));
	else if (kind < 250)
		sqlite3_bind_double(st, at, (double)kind / 3);
	else
		sqlite3_bind_text(st, at, "x", 1, SQLITE_STATIC);
}

/* Few messages, so that recipients find theirs. */
static void
bind_ticket(struct str *in, sqlite3_stmt *st, int at, bool of_rcpt)
{
	uint8_t kind = fuzz_byte(in);
	uint64_t id = ((uint64_t)1 << 40) + (uint64_t)(kind % 4) * 4096;

	if (kind >= 250)
		id = take_number(in, 8);
	else if (of_rcpt)
		id |= kind / 4 % 8;
	sqlite3_bind_int64(st, at, (int64_t)id);
}

static void
bind_text(struct str *in, sqlite3_stmt *st, int at)
{
	static const char *const usual[] = {
	    "alice@example.org", "bob@example.org", "default", "192.0.2.1"};
	uint8_t kind = fuzz_byte(in);
	struct str s;

	if (kind < 100) {
		sqlite3_bind_text(st, at, usual[kind % 4], -1, SQLITE_STATIC);
		return;
	}
	s = fuzz_take(in);
	if (s.p == NULL)
		s.p = "";
	if (kind < 220)
		sqlite3_bind_text(st, at, s.p, (int)s.n, SQLITE_TRANSIENT);
	else if (kind < 240)
		sqlite3_bind_blob(st, at, s.p, (int)s.n, SQLITE_TRANSIENT);
	else
		sqlite3_bind_int64(st, at, kind);
}

static void
bind_blob(struct str *in, sqlite3_stmt *st, int at)
{
	uint8_t kind = fuzz_byte(in);
	struct str s = fuzz_take(in);

	if (kind < 230)
		sqlite3_bind_blob(
		    st, at, s.p != NULL ? s.p : "", (int)s.n, SQLITE_TRANSIENT);
	else if (kind < 240)
		sqlite3_bind_text(st, at, "text", 4, SQLITE_STATIC);
}

/* One letter a column: i id, r ticket, n number, t text, b blob. */
static const struct table {
	const char *sql, *columns;
} tables[] = {
    {"INSERT INTO message (id, pending, whole, in_file, body_type, ret, utf8,"
     " size, queued_at, source, policy, sender, client, helo, envid, subject,"
     " body) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,"
     "?17)",
	"innnnnnnntttttttb"},
    {"INSERT INTO rcpt (ticket, state, attempts, next_try, destination,"
     " notify, address, orcpt, last_error, lane, owner) VALUES (?1,?2,?3,?4,"
     "?5,?6,?7,?8,?9,?10,?11)",
	"rnnnnntttnn"},
    {"INSERT INTO source (key, frozen, reason, frozen_at, state, saved_at)"
     " VALUES (?1,?2,?3,?4,?5,?6)",
	"tnnnbn"},
    {"INSERT OR REPLACE INTO meta (key, value) VALUES ('id_mark', ?1)", "n"},
    {"INSERT OR REPLACE INTO meta (key, value) VALUES ('notice_mark', ?1)",
	"n"},
    {"INSERT OR REPLACE INTO name (id, message_id, queue_id)"
     " VALUES (?1,?2,?3)",
	"itt"},
    {"UPDATE source SET note = ?1, thaw_at = ?2", "tn"},
};

static void
insert_row(struct str *in, sqlite3 *db)
{
	const struct table *t = &tables[fuzz_byte(in) % ARRAY_LEN(tables)];
	sqlite3_stmt *st;

	fuzz_check(sqlite3_prepare_v2(db, t->sql, -1, &st, NULL) == SQLITE_OK,
	    sqlite3_errmsg(db));
	for (int i = 0; t->columns[i] != '\0'; i++) {
		if (t->columns[i] == 'n')
			bind_number(in, st, i + 1);
		else if (t->columns[i] == 't')
			bind_text(in, st, i + 1);
		else if (t->columns[i] == 'b')
			bind_blob(in, st, i + 1);
		else
			bind_ticket(in, st, i + 1, t->columns[i] == 'r');
	}
	/* A row that breaks a constraint could not have been stored. */
	(void)sqlite3_step(st);
	sqlite3_finalize(st);
}

static void
fill(const struct world *w, struct str in)
{
	sqlite3 *db;

	fuzz_check(sqlite3_open(w->database, &db) == SQLITE_OK, "database");
	sqlite3_exec(db,
	    "PRAGMA synchronous = OFF; BEGIN; DELETE FROM message;"
	    "DELETE FROM rcpt; DELETE FROM source; DELETE FROM meta",
	    NULL, NULL, NULL);
	for (int i = 0; i < ROWS_MAX && in.n > 0; i++)
		insert_row(&in, db);
	fuzz_check(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK,
	    sqlite3_errmsg(db));
	sqlite3_close(db);
}

/* ---- the start ---- */

static void
open_spool(struct world *w)
{
	struct spool_settings settings = {
	    .dir = w->dir,
	    .large_body_bytes = 1024,
	    .body_memory_bytes = 1 << 20,
	    .outstanding_max = 1000,
	};
	char err[512] = "";
	int status;

	w->spool = spool_open(&settings, NULL, err, sizeof(err), &status);
	fuzz_check(w->spool != NULL, err);
}

/* Runs completions until one sets w->done. */
static void
await(struct world *w)
{
	struct pollfd p = {.fd = spool_fd(w->spool), .events = POLLIN};

	for (int i = 0; !w->done && i < WAIT_MS / 100; i++) {
		poll(&p, 1, 100);
		spool_dispatch(w->spool);
	}
	fuzz_check(w->done, "the spool does not answer");
	w->done = false;
}

static void
check_message(const struct spool_message *m)
{
	fuzz_check(m->id != 0 && SPOOL_ID(m->id) == m->id, "id");
	fuzz_check(m->source != NULL && m->policy != NULL && m->from != NULL &&
		       m->client != NULL && m->helo != NULL,
	    "a text is missing");
	fuzz_check(
	    m->rcpt_count > 0 && m->rcpt_count <= SPOOL_RCPT_MAX, "recipients");
	for (size_t i = 0; i < m->rcpt_count; i++) {
		fuzz_check(SPOOL_ID(m->rcpts[i].ticket) == m->id, "ticket");
		fuzz_check(m->rcpts[i].address != NULL, "address");
		fuzz_check((unsigned)m->rcpts[i].state <= SPOOL_SENDING,
		    "state of a recipient");
	}
}

static void
on_list(void *arg, int error, const struct spool_message *messages, size_t n)
{
	struct world *w = arg;

	(void)error;
	for (size_t i = 0; i < n; i++)
		check_message(&messages[i]);
	w->listed = n;
	w->done = true;
}

static void
on_found(void *arg, int error, const struct spool_found *found)
{
	on_list(arg, error, found->messages, found->n);
	fuzz_check(found->end, "few messages need one step");
}

static void
on_released(void *arg, int error, uint64_t count)
{
	struct world *w = arg;

	(void)error;
	(void)count;
	w->done = true;
}

static void
on_claim(
    void *arg, int error, struct spool_job **jobs, size_t n, int64_t next_due)
{
	struct world *w = arg;

	(void)error;
	(void)next_due;
	w->claimed = n;
	for (size_t i = 0; i < n; i++) {
		check_message(&jobs[i]->m);
		fuzz_check(!jobs[i]->m.pending, "claimed while pending");
		if (jobs[i]->body.p == NULL)
			w->body_of = jobs[i]->m.id;
		spool_job_free(jobs[i]);
	}
	w->done = true;
}

static void
on_chunk(void *arg, int error, struct str chunk)
{
	struct world *w = arg;

	fuzz_check(error != 0 || chunk.n <= 65536, "a chunk too long");
	w->done = true;
}

static void
on_gate_event(void *arg)
{
	(void)arg;
}

static void
on_gate_freeze(void *arg, const struct gate_freeze *freeze)
{
	(void)arg;
	(void)freeze;
}

static const struct gate_callbacks callbacks = {
    .on_released = on_gate_event,
    .on_freeze = on_gate_freeze,
    .on_schedule = on_gate_event,
};

static struct policies *
make_policies(void)
{
	struct policy_conf conf = {
	    .name = (char *)(uintptr_t) "default",
	    .initial = 10,
	    .freeze_at = 100,
	    .ipv6_prefix = 64,
	};
	char err[256];
	struct policies *set = policies_new(&conf, 1, err, sizeof(err));

	fuzz_check(set != NULL, err);
	return set;
}

static void
start(struct world *w, struct policies *policies, struct events *events)
{
	const struct spool_select all = {.all = true};
	struct gate_settings settings = {
	    .policies = policies, .recipient_key = smtp_address_key};
	struct counters counters = {.v = {0}};
	struct gate *g;

	open_spool(w);
	g = gate_new(
	    &settings, w->spool, events, &counters, NULL, &callbacks, w);
	fuzz_check(gate_load(g, NOW, WALL) == 0, "stored state");
	fuzz_check(gate_load_wait(g, 30000), "held mail");
	gate_run(g, NOW + 3600000, WALL + 3600000);
	spool_list(w->spool, &all, 0, 1000, on_list, w);
	await(w);
	spool_find(
	    w->spool, &(struct spool_find){.term = "a"}, 0, 1000, on_found, w);
	await(w);
	gate_release(g, &all, "fuzz", NOW, WALL, on_released, w);
	await(w);
	w->body_of = 0;
	spool_claim(w->spool, JOBS_MAX, INT64_MAX, on_claim, w);
	await(w);
	spool_read_body(w->spool, w->body_of, 0, on_chunk, w);
	await(w);
	gate_save(g, NOW + 3600000, WALL + 3600000);
	gate_free(g);
	spool_close(w->spool);
}

/* ---- the directory ---- */

/* One for the process; in memory where the machine has such a place. */
static void
make_world(struct world *w)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(w->dir, sizeof(w->dir), "%s/weir-fuzz-XXXXXX", base);
	fuzz_check(mkdtemp(w->dir) != NULL, "directory");
	snprintf(w->database, sizeof(w->database), "%s/spool.db", w->dir);
	open_spool(w);
	spool_close(w->spool);
}

static void
remove_world(const struct world *w)
{
	static const char *const names[] = {
	    "spool.db", "spool.db-wal", "spool.db-shm", "lock", "bodies"};
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
		(void)remove(path);
	}
	(void)rmdir(w->dir);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = {.done = false};
	struct policies *policies = make_policies();
	struct events *events = events_new();
	size_t listed;

	make_world(&w);
	fill(&w, (struct str){(const char *)data, size});
	start(&w, policies, events);
	listed = w.listed;
	start(&w, policies, events);
	/* A release may put right what hid one: more is no fault. */
	fuzz_check(w.listed >= listed, "a message is lost");
	remove_world(&w);
	events_free(events);
	policies_free(policies);
	return 0;
}
