/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What must hold: nothing that was answered 250 is lost, nobody reaches more
 * strangers than the policy lets him, a frozen sender none, texts arrive whole,
 * and in the end nothing is left. It looks into weir's database by a connection
 * of its own.
 */
#include "world.h"

#include "spool/spool.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS 400000

struct client clients[CLIENTS];
struct rules rules;
struct totals totals;

static struct {
	struct letter *letters[LETTERS];
	uint64_t count, look;
	struct letter *open;
	struct step { /* of the wall clock */
		int64_t at, ms;
	} steps[10000];
	size_t step_n;
	/* In this life of weir: 250 at clients; what next hops took. */
	uint64_t heard, unheard, taken;
	int64_t fine_since, born;
} oracle;

struct letter *
letter_find(uint64_t number)
{
	if (number >= oracle.count)
		return NULL;
	return oracle.letters[number];
}

static uint32_t
regular(const struct client *c)
{
	return 1000000 + c->number * 100 + (uint32_t)sim_below(12);
}

static void
add_rcpt(struct letter *l, bool stranger)
{
	struct client *c = l->client;
	struct rcpt *r = &l->rcpts[l->rcpt_count];

	r->number = stranger ? (c->number + 1) * 10000000 + c->next_stranger++
			     : regular(c);
	r->stranger = stranger;
	for (size_t i = 0; i < l->rcpt_count; i++) {
		if (l->rcpts[i].number == r->number)
			return;
	}
	l->rcpt_count++;
}

struct letter *
letter_new(struct client *c, int64_t now)
{
	struct letter *l = xcalloc(1, sizeof(*l));
	size_t n = sim_chance(900) ? 1 + sim_below(3) : 1 + sim_below(20);
	unsigned strange = c->number < 2 ? 800 : 250;

	if (oracle.count == LETTERS)
		sim_fail("too many letters for the simulation");
	l->number = oracle.count;
	oracle.letters[oracle.count++] = l;
	l->client = c;
	l->first_try = now;
	l->size = sim_chance(980)   ? sim_below(3000)
		  : sim_chance(800) ? sim_below(60000)
				    : 200000 + sim_below(300000);
	for (size_t i = 0; i < n; i++)
		add_rcpt(l, sim_chance(strange));
	l->open = true;
	l->in_flight = true;
	l->next = oracle.open;
	oracle.open = l;
	totals.letters++;
	return l;
}

char *
letter_text(const struct letter *l, size_t *n)
{
	char line[128];
	char *text = xmalloc(l->size + 512);
	size_t at;
	unsigned i = 0;

	at = (size_t)sprintf(text,
	    "Subject: sim %" PRIu64 "\r\n"
	    "Message-ID: <%" PRIu64 "@sim>\r\n"
	    "From: c%u@client.test\r\n\r\n",
	    l->number, l->number, l->client->number);
	while (at < l->size) {
		size_t k = (size_t)sprintf(line,
		    "%sline %u of %" PRIu64
		    " of a letter that is told here\r\n",
		    i % 7 == 3 ? "." : "", i, l->number);

		memcpy(text + at, line, k);
		at += k;
		i++;
	}
	*n = at;
	return text;
}

void
letter_try(struct letter *l)
{
	for (size_t i = 0; i < l->rcpt_count; i++)
		l->rcpts[i].accepted = false;
}

void
letter_owed(struct letter *l)
{
	l->owed_at = sim_now();
	l->in_flight = false;
	for (size_t i = 0; i < l->rcpt_count; i++) {
		struct rcpt *r = &l->rcpts[i];

		if (!r->accepted)
			continue;
		r->owed = true;
		totals.owed++;
		if (l->client->discarding)
			r->excused = true;
	}
	sim_mix(l->number);
}

void
letter_given_up(struct letter *l)
{
	l->in_flight = false;
}

/* ---- what arrives ---- */

/* A clock that is set may bring what it jumps over. */
static int64_t
allowed_ms(int64_t from)
{
	int64_t ms = (sim_now() - from) / 1000;

	for (size_t i = oracle.step_n; i-- > 0 && oracle.steps[i].at >= from;)
		ms += llabs(oracle.steps[i].ms);
	return ms;
}

static void
check_allowance(struct client *c, int64_t sent)
{
	size_t count = 0, looked = 0;

	if (c->passed_n == c->passed_cap) {
		c->passed_cap = c->passed_cap > 0 ? 2 * c->passed_cap : 64;
		c->passed =
		    xrealloc(c->passed, c->passed_cap * sizeof(*c->passed));
	}
	c->passed[c->passed_n++] = (struct passed){sent, sim_now()};
	/* Windows that begin when one of the last was sent. */
	for (size_t i = c->passed_n; i-- > 0 && looked < 60; looked++) {
		int64_t start = c->passed[i].sent;
		uint64_t most;

		count = 0;
		for (size_t k = c->passed_n; k-- > 0 && c->passed_n - k < 400;)
			count += c->passed[k].sent >= start;
		most = rules.burst + 1 +
		       (uint64_t)(allowed_ms(start) /
				  (1000 * (int64_t)rules.interval_s));
		if (count > most)
			sim_fail("client %u reached %zu strangers within "
				 "%" PRId64 " s, %" PRIu64 " are allowed",
			    c->number, count, (sim_now() - start) / SECOND_US,
			    most);
	}
}

static struct rcpt *
find_rcpt(struct letter *l, uint32_t number)
{
	for (size_t i = 0; i < l->rcpt_count; i++) {
		if (l->rcpts[i].number == number)
			return &l->rcpts[i];
	}
	return NULL;
}

static void
delivered_to(struct letter *l, struct rcpt *r)
{
	struct client *c = l->client;

	if (r->delivered) {
		totals.again++;
		if (rules.calm)
			sim_fail("letter %" PRIu64 " came twice to r%u, and "
				 "nothing had failed",
			    l->number, r->number);
		return;
	}
	r->delivered = true;
	totals.delivered++;
	if (l->free)
		return;
	if (c->frozen_at != 0 && l->first_try > c->frozen_at)
		sim_fail("letter %" PRIu64 " was delivered, and client %u "
			 "was frozen before it was sent",
		    l->number, c->number);
	if (r->stranger)
		check_allowance(c, l->first_try);
}

static const char *
find(const char *text, size_t n, const char *what)
{
	return memmem(text, n, what, strlen(what));
}

/* For each report of a failure: the recipients and whose letter it was. */
static void
read_report(const char *text, size_t n, bool arrived, uint64_t look)
{
	static const char id[] = "Message-ID: <", final[] = "Final-Recipient: ";
	const char *p = text, *end = text + n, *own;
	struct letter *l = NULL;
	uint64_t number;

	/* The last one is the letter's: that of the report stands first. */
	while ((own = find(p, (size_t)(end - p), id)) != NULL) {
		p = own + 1;
		if (sscanf(own + sizeof(id) - 1, "%" SCNu64 "@sim>", &number) ==
		    1)
			l = letter_find(number);
	}
	if (l == NULL)
		sim_fail("a report tells of no letter: %.*s",
		    (int)(n < 3000 ? n : 3000), text);
	for (p = text; (p = find(p, (size_t)(end - p), final)) != NULL; p++) {
		unsigned to;
		struct rcpt *r;

		if (sscanf(p + sizeof(final) - 1, "rfc822; r%u@", &to) != 1 &&
		    sscanf(p + sizeof(final) - 1, "rfc822;r%u@", &to) != 1)
			continue;
		r = find_rcpt(l, to);
		if (r == NULL)
			sim_fail("a report of letter %" PRIu64 " tells of r%u",
			    l->number, to);
		if (arrived && !r->bounced) {
			r->bounced = true;
			totals.bounced++;
		}
		r->seen = look;
	}
}

void
oracle_delivered(const char *from, const char *text, size_t n,
    const uint32_t *to, size_t to_count)
{
	const char *at = find(text, n, "Subject: sim ");
	struct letter *l = NULL;
	uint64_t number;
	size_t size;
	char *whole;

	sim_mix(n);
	if (from[0] == '\0') {
		read_report(text, n, true, 0);
		return;
	}
	if (at != NULL && sscanf(at, "Subject: sim %" SCNu64, &number) == 1)
		l = letter_find(number);
	if (l == NULL)
		sim_fail("a text of nobody's was delivered: %.200s", text);
	whole = letter_text(l, &size);
	if ((size_t)(text + n - at) != size || memcmp(at, whole, size) != 0)
		sim_fail("the text of letter %" PRIu64 " is not what was sent: "
			 "%zu bytes, %zu were sent",
		    l->number, (size_t)(text + n - at), size);
	free(whole);
	for (size_t i = 0; i < to_count; i++) {
		struct rcpt *r = find_rcpt(l, to[i]);

		if (r == NULL)
			sim_fail("letter %" PRIu64 " was delivered to r%u",
			    l->number, to[i]);
		delivered_to(l, r);
	}
}

/* ---- administrators ---- */

void
oracle_release(void)
{
	for (struct letter *l = oracle.open; l != NULL; l = l->next)
		l->free = true;
}

static void
excuse(struct letter *l)
{
	for (size_t i = 0; i < l->rcpt_count; i++)
		l->rcpts[i].excused = true;
}

void
oracle_discard(struct client *c)
{
	for (struct letter *l = oracle.open; l != NULL; l = l->next) {
		if (l->client == c)
			excuse(l);
	}
}

void
oracle_step(int64_t ms)
{
	if (oracle.step_n == ARRAY_LEN(oracle.steps))
		sim_fail("too many steps of the clock");
	oracle.steps[oracle.step_n++] = (struct step){sim_now(), ms};
	oracle_trouble();
}

void
oracle_trouble(void)
{
	oracle.fine_since = sim_now();
}

void
oracle_taken(size_t recipients)
{
	oracle.taken += recipients;
}

void
oracle_heard(void)
{
	oracle.heard++;
}

void
oracle_unheard(void)
{
	oracle.unheard++;
}

void
oracle_crash(void)
{
	oracle.heard = oracle.unheard = oracle.taken = 0;
	oracle.born = sim_now();
	oracle_trouble();
}

static int64_t
number_in(const char *json, const char *name)
{
	char key[64];
	const char *p;

	snprintf(key, sizeof(key), "\"%s\":", name);
	p = strstr(json, key);
	return p != NULL ? atoll(p + strlen(key)) : -1;
}

/* Counters of this life: a message is counted when it was answered, and the
 * answer may have been lost on its way. */
void
oracle_status(const char *json)
{
	int64_t messages = number_in(json, "messages");
	int64_t passed = number_in(json, "passed_recipients");
	int64_t delivered = number_in(json, "delivered_recipients");

	if (messages < (int64_t)oracle.heard ||
	    messages > (int64_t)(oracle.heard + oracle.unheard))
		sim_fail("messages is %" PRId64 ", clients heard %" PRIu64
			 " times 250 and missed up to %" PRIu64,
		    messages, oracle.heard, oracle.unheard);
	if (delivered > (int64_t)oracle.taken)
		sim_fail("delivered_recipients is %" PRId64
			 ", next hops took %" PRIu64,
		    delivered, oracle.taken);
	/* With "whole" who passes may wait all the same, and what is in doubt
	 * counts as passed. */
	if (rules.calm && strcmp(rules.multi, "split") == 0 &&
	    passed + delivered != (int64_t)oracle.taken)
		sim_fail("passed and delivered are %" PRId64
			 ", next hops took %" PRIu64,
		    passed + delivered, oracle.taken);
}

/* ---- the spool ---- */

static sqlite3 *
open_spool(void)
{
	sqlite3 *h = NULL;

	if (!disk_exists(SPOOL "/spool.db"))
		return NULL;
	if (sqlite3_open_v2(SPOOL "/spool.db", &h, SQLITE_OPEN_READWRITE,
		NULL) != SQLITE_OK)
		sim_fail("the spool cannot be opened: %s", sqlite3_errmsg(h));
	sqlite3_db_config(h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return h;
}

static sqlite3_stmt *
ask(sqlite3 *h, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(h, sql, -1, &st, NULL);

	/* It has not been made yet. */
	if (rc == SQLITE_ERROR)
		return NULL;
	if (rc != SQLITE_OK)
		sim_fail("%s: %s", sql, sqlite3_errmsg(h));
	return st;
}

static void
check_body_file(int64_t id, int64_t size)
{
	char path[128], text[SPOOL_ID_TEXT];
	size_t n;

	snprintf(path, sizeof(path), SPOOL "/bodies/%s",
	    spool_id_format((uint64_t)id, text));
	if (disk_text(path, &n) == NULL || n != (size_t)size)
		sim_fail("the body of message %s is not there: %zu bytes of "
			 "%" PRId64,
		    text, n, size);
}

static void
look_at_row(sqlite3_stmt *st)
{
	const char *from = (const char *)sqlite3_column_text(st, 2);
	const char *subject = (const char *)sqlite3_column_text(st, 3);
	const char *to = (const char *)sqlite3_column_text(st, 5);
	uint64_t number;
	unsigned r_number;
	struct letter *l;
	struct rcpt *r;

	if (sqlite3_column_int(st, 1) != 0)
		check_body_file(
		    sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 4));
	if (from[0] == '\0') {
		const char *text = sqlite3_column_blob(st, 6);

		if (text != NULL)
			read_report(text, (size_t)sqlite3_column_bytes(st, 6),
			    false, oracle.look);
		return;
	}
	if (subject == NULL ||
	    sscanf(subject, " sim %" SCNu64, &number) +
		    sscanf(subject, "sim %" SCNu64, &number) <
		1)
		sim_fail("a message without a letter: %s", subject);
	l = letter_find(number);
	if (l == NULL || sscanf(to, "r%u@", &r_number) != 1 ||
	    (r = find_rcpt(l, r_number)) == NULL)
		sim_fail("a recipient without a letter: %s", to);
	r->seen = oracle.look;
}

/* Nothing was wrong for so long that what is due must have gone. */
#define FINE_US (90 * MINUTE_US)

static void
check_due(sqlite3 *h)
{
	sqlite3_stmt *st;
	char sql[400];
	int64_t wall = sim_wall_ms();

	if (sim_now() - oracle.fine_since < FINE_US)
		return;
	/* RELEASED or SENDING, and due long ago, or further ahead than any
	 * retry is. One that passed waits for the others of a whole message. */
	snprintf(sql, sizeof(sql),
	    "SELECT m.subject, r.address, r.state, r.next_try, r.last_error"
	    " FROM rcpt r CROSS JOIN message m ON m.id = r.ticket & ~4095"
	    " WHERE r.state IN (2, 3) AND m.pending = 0 AND m.whole = 0 AND"
	    " (r.next_try < %" PRId64 " OR r.next_try > %" PRId64 ")",
	    wall - FINE_US / 1000, wall + 2 * HOUR_US / 1000);
	st = ask(h, sql);
	if (st != NULL && sqlite3_step(st) == SQLITE_ROW)
		sim_fail("%s to %s is in state %d, next try at %" PRId64
			 ", and it is %" PRId64 " (%s)",
		    sqlite3_column_text(st, 0), sqlite3_column_text(st, 1),
		    sqlite3_column_int(st, 2),
		    (int64_t)sqlite3_column_int64(st, 3), wall,
		    sqlite3_column_text(st, 4));
	sqlite3_finalize(st);
}

static void
close_settled(void)
{
	struct letter **at = &oracle.open;

	while (*at != NULL) {
		struct letter *l = *at;
		bool settled = !l->in_flight;

		for (size_t i = 0; i < l->rcpt_count && settled; i++) {
			const struct rcpt *r = &l->rcpts[i];

			settled = !r->owed || r->delivered || r->bounced ||
				  (r->excused && r->seen != oracle.look);
		}
		if (!settled) {
			at = &l->next;
			continue;
		}
		l->open = false;
		*at = l->next;
	}
}

void
oracle_check(bool weir_lives)
{
	sqlite3 *h = open_spool();
	sqlite3_stmt *st =
	    h == NULL
		? NULL
		: ask(h, "SELECT m.id, m.in_file, m.sender, m.subject,"
			 " m.size, r.address, CASE m.sender WHEN ''"
			 " THEN m.body END FROM rcpt r"
			 " CROSS JOIN message m ON m.id = r.ticket & ~4095");
	uint64_t rows = 0;
	int rc = SQLITE_DONE;

	oracle.look++;
	totals.checks++;
	while (st != NULL && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		look_at_row(st);
		rows++;
	}
	if (rc != SQLITE_DONE)
		sim_fail("the spool cannot be read: %s", sqlite3_errmsg(h));
	sqlite3_finalize(st);
	if (weir_lives && st != NULL)
		check_due(h);
	sqlite3_close(h);
	if (rows > totals.held)
		totals.held = rows;
	if (rows > 200000)
		sim_fail("%" PRIu64 " rows", rows);
	for (struct letter *l = oracle.open; l != NULL; l = l->next) {
		for (size_t i = 0; i < l->rcpt_count; i++) {
			const struct rcpt *r = &l->rcpts[i];

			if (r->owed && !r->delivered && !r->bounced &&
			    !r->excused && r->seen != oracle.look)
				sim_fail("lost: letter %" PRIu64
					 " of client %u to r%u, answered 250 "
					 "at %.6f",
				    l->number, l->client->number, r->number,
				    (double)l->owed_at / 1e6);
		}
	}
	close_settled();
}

static bool
one_row(const char *sql, char *out, size_t cap)
{
	sqlite3 *h = open_spool();
	sqlite3_stmt *st = h != NULL ? ask(h, sql) : NULL;
	bool there = st != NULL && sqlite3_step(st) == SQLITE_ROW;

	if (there)
		snprintf(
		    out, cap, "%s", (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	sqlite3_close(h);
	return there;
}

bool
oracle_pick(char id[16], bool discard)
{
	char sql[160], row[64];
	uint64_t number;
	int64_t at;
	struct letter *l;

	snprintf(sql, sizeof(sql),
	    "SELECT id || ' ' || subject FROM message WHERE sender <> ''"
	    " ORDER BY (id / 4096 * 2654435761 + %u) %% 1009 LIMIT 1",
	    (unsigned)sim_below(1009));
	if (!one_row(sql, row, sizeof(row)) ||
	    sscanf(row, "%" SCNd64 " sim %" SCNu64, &at, &number) != 2)
		return false;
	spool_id_format((uint64_t)at, id);
	l = letter_find(number);
	if (discard)
		excuse(l);
	else
		l->free = true;
	return true;
}

bool
oracle_is_settled(void)
{
	char n[32];

	oracle_check(true);
	return one_row("SELECT count(*) FROM rcpt", n, sizeof(n)) &&
	       strcmp(n, "0") == 0;
}

void
oracle_end(void)
{
	char n[32];

	oracle_check(true);
	if (!one_row("SELECT count(*) FROM rcpt", n, sizeof(n)))
		sim_fail("there is no spool");
	if (strcmp(n, "0") != 0) {
		char row[256] = "";

		one_row(
		    "SELECT m.subject || ' to ' || r.address || ' state ' "
		    "|| r.state || ' next try ' || r.next_try || ' of ' "
		    "|| m.source || ' ' || ifnull(r.last_error, '') FROM "
		    "rcpt r CROSS JOIN message m ON m.id = r.ticket & ~4095",
		    row, sizeof(row));
		sim_fail("stuck: %s recipients, such as %s; it is %" PRId64, n,
		    row, sim_wall_ms());
	}
	for (struct letter *l = oracle.open; l != NULL; l = l->next) {
		if (!l->in_flight)
			sim_fail("letter %" PRIu64 " has no end", l->number);
	}
	if (disk_count(SPOOL "/bodies") > 0)
		sim_fail(
		    "%zu body files are left", disk_count(SPOOL "/bodies"));
}
