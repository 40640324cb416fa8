/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One transaction asks for all destinations and keeps those that pass; each
 * that has to wait is dropped from it, and takes its place in the queue by a
 * transaction of its own that is put off, just as mail of the policy service
 * does. decide_file.c keeps which destination each place is for, so that an
 * event can name it, and so that it takes its place again after a restart.
 */
#include "config.h"

#include "maild/decide_private.h"

#include "os/clock.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- places ---- */

void
decide_ticket(
    const char *sender, uint64_t destination, char out[DECIDE_TICKET_MAX])
{
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char text[600];
	int n = snprintf(
	    text, sizeof(text), "%" PRIx64 " %.520s", destination, sender);

	SHA256((const unsigned char *)text, (size_t)n, hash);
	for (size_t i = 0; i < 12; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

struct waiting *
decide_find_waiting(struct decider *d, struct str ticket)
{
	return map_find(d->by_ticket, ticket);
}

static void
waiting_free(struct waiting *w)
{
	free(w->sender);
	free(w->source);
	free(w->application);
	free(w->policy);
	free(w->text);
	free(w);
}

void
decide_drop_waiting(struct decider *d, struct waiting *w)
{
	decide_file_gone(d, w->ticket);
	(void)map_remove(d->by_ticket, str_from(w->ticket));
	list_remove(&w->entry);
	waiting_free(w);
}

/* The one that waits longest makes room: its turn is not told. */
void
decide_add_waiting(struct decider *d, const char *sender, uint64_t destination,
    const char *source, const char *application, const char *policy,
    const char *text)
{
	struct waiting *w = xcalloc(1, sizeof(*w));

	decide_ticket(sender, destination, w->ticket);
	if (decide_find_waiting(d, str_from(w->ticket)) != NULL) {
		free(w);
		return;
	}
	if (map_count(d->by_ticket) >= DECIDE_WAITING_MAX)
		decide_drop_waiting(
		    d, LIST_ITEM(d->waiting.next, struct waiting, entry));
	w->sender = xstrdup(sender);
	w->source = xstrdup(source);
	w->application = xstrdup(application);
	w->policy = xstrdup(policy);
	w->text = xstrdup(text);
	w->destination = destination;
	list_append(&d->waiting, &w->entry);
	(void)map_set(d->by_ticket, str_from(w->ticket), w);
	decide_file_waiting(d, w);
}

void
decide_turn(struct decider *d, const char *sender, uint64_t destination)
{
	char ticket[DECIDE_TICKET_MAX];
	struct waiting *w;

	decide_ticket(sender, destination, ticket);
	w = decide_find_waiting(d, str_from(ticket));
	if (w == NULL)
		return;
	events_add(d->events, clock_wall_ms(), EVENT_RELEASE, sender, w->ticket,
	    "%.200s: may go now (%s)", w->text, w->application);
	if (d->on_turn != NULL)
		d->on_turn(d->arg, w->sender, w->ticket, w->text);
	decide_drop_waiting(d, w);
}

/* ---- a decision ---- */

static void
on_expired(void *arg, int64_t now)
{
	decision_free(arg, now);
}

static void
make_id(char out[20])
{
	uint8_t bytes[8];

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		panic("decide: no random bytes");
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

struct decision *
decision_new(struct decider *d, const char *source, const char *application,
    const char *policy, const struct ip *client, size_t n)
{
	struct decision *c = xcalloc(1, sizeof(*c));

	c->d = d;
	c->source = xasprintf("%s:%s", application, source);
	c->application = xstrdup(application);
	c->wanted = xstrdup(policy);
	c->client = *client;
	c->items = xcalloc(n + 1, sizeof(*c->items));
	loop_timer_init(&c->timer, d->loop, on_expired, c);
	list_append(&d->decisions, &c->entry);
	return c;
}

/* Mail addresses as they are; all else as the local part of one. What could be
 * taken for a route or a quote is written in hexadecimal digits. */
static char *
to_address(const char *text, const char *application)
{
	struct buf out;
	bool ok = true;

	if (strchr(text, '@') != NULL)
		return xstrdup(text);
	buf_init(&out, 4 * DECIDE_NAME_MAX + 64);
	for (const char *p = text; ok && *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;
		bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			     (c >= 'a' && c <= 'z') || c == '+' || c == '-' ||
			     c == '_';

		ok = plain ? buf_append(&out, p, 1)
			   : buf_printf(&out, "=%02x", c);
	}
	ok = ok && buf_printf(&out, "@%s.invalid", application);
	if (!ok)
		panic("decide: a destination of %zu bytes", strlen(text));
	return buf_take(&out);
}

bool
decision_add(struct decision *c, const char *text)
{
	struct str s = str_from(text);
	struct decide_item *item = &c->items[c->n];

	if (s.n == 0 || s.n > DECIDE_NAME_MAX || !str_is_shown(s))
		return false;
	item->text = xstrdup(text);
	item->address = to_address(text, c->application);
	item->retry_ms = -1;
	c->n++;
	return true;
}

void
decision_free(struct decision *c, int64_t now)
{
	if (c->phase == DECIDE_OPEN)
		c->d->open_count--;
	if (c->txn != NULL)
		gate_cancel(c->txn, now);
	if (c->one != NULL)
		gate_cancel(c->one, now);
	loop_timer_clear(&c->timer);
	list_remove(&c->entry);
	for (size_t i = 0; i < c->n; i++) {
		free(c->items[i].text);
		free(c->items[i].address);
	}
	free(c->items);
	free(c->source);
	free(c->application);
	free(c->wanted);
	free(c);
}

static struct gate_txn *
begin(struct decision *c, int64_t now)
{
	/* Its own name is no foreign reverse path. */
	struct gate_facts facts = {.user = str_from(c->source),
	    .sender = str_from(c->source),
	    .policy = str_from(c->wanted),
	    .client = c->client};

	return gate_begin(c->d->gate, &facts, now);
}

static void
take_answer(struct decide_item *item, const struct gate_answer *a)
{
	item->verdict = a->verdict;
	item->observed = a->observed;
	(void)str_copy(
	    str_from(a->verdict == THROTTLE_REFUSE && a->text != NULL ? a->text
								      : a->why),
	    item->why, sizeof(item->why));
}

static void pump(struct decision *c, int64_t now);

static void
go_on(struct decision *c)
{
	c->is_waiting = false;
	if (!c->is_pumping)
		pump(c, loop_now(c->d->loop));
}

static void
on_asked(void *arg, const struct gate_answer *a)
{
	struct decision *c = arg;
	struct decide_item *item = &c->items[c->at++];

	take_answer(item, a);
	if (a->verdict == THROTTLE_HOLD)
		gate_drop_last(c->txn, loop_now(c->d->loop));
	go_on(c);
}

/* All of them are refused: it is frozen, and its policy says so. */
static void
on_sender(void *arg, const struct gate_answer *a)
{
	struct decision *c = arg;

	if (a->verdict == THROTTLE_REFUSE) {
		for (; c->at < c->n; c->at++)
			take_answer(&c->items[c->at], a);
		if (c->phase == DECIDE_SECURING)
			c->at = 0;
	}
	go_on(c);
}

static void
find_due(struct decision *c, struct decide_item *item, int64_t now)
{
	int64_t wall = clock_wall_ms();
	struct gate_wait wait;

	item->retry_ms = -1;
	if (gate_expected(c->d->gate, str_from(c->key), item->destination, now,
		wall, &wait) &&
	    wait.due != INT64_MAX)
		item->retry_ms = wait.due > wall ? wait.due - wall : 0;
}

/* What passes now, since something became free meanwhile, passes. */
static void
on_one_secured(void *arg, const struct gate_answer *a)
{
	struct decision *c = arg;
	struct decide_item *item = &c->items[c->at++];
	int64_t now = loop_now(c->d->loop);

	take_answer(item, a);
	if (a->verdict == THROTTLE_PASS)
		gate_commit(c->one, NULL, now, clock_wall_ms());
	else
		gate_cancel(c->one, now);
	c->one = NULL;
	go_on(c);
}

static void
on_one(void *arg, const struct gate_answer *a)
{
	struct decision *c = arg;
	struct decide_item *item = &c->items[c->at];
	int64_t now = loop_now(c->d->loop), wall = clock_wall_ms();

	take_answer(item, a);
	switch (a->verdict) {
	case THROTTLE_PASS:
		gate_secure(c->one, now, wall, on_one_secured, c);
		return;
	case THROTTLE_HOLD:
		item->destination = gate_txn_destination(c->one, 0);
		gate_defer(c->one, now, wall);
		item->has_ticket = true;
		find_due(c, item, now);
		decide_add_waiting(c->d, c->key, item->destination, c->source,
		    c->application, c->wanted, item->text);
		break;
	case THROTTLE_REFUSE:
		gate_cancel(c->one, now);
		break;
	}
	c->one = NULL;
	c->at++;
	go_on(c);
}

static void
on_secured(void *arg, const struct gate_answer *a)
{
	struct decision *c = arg;
	int64_t now = loop_now(c->d->loop);

	if (a->verdict == THROTTLE_PASS) {
		gate_commit(c->txn, NULL, now, clock_wall_ms());
	} else {
		for (size_t i = 0; i < c->n; i++) {
			if (c->items[i].verdict == THROTTLE_PASS)
				take_answer(&c->items[i], a);
		}
		gate_cancel(c->txn, now);
	}
	c->txn = NULL;
	c->phase = DECIDE_ENDED;
	go_on(c);
}

/* All have been asked. */
static void
end_asking(struct decision *c, int64_t now)
{
	switch (c->kind) {
	case DECIDE_CHECK:
		gate_cancel(c->txn, now);
		c->txn = NULL;
		c->phase = DECIDE_ENDED;
		break;
	case DECIDE_RESTORE:
		if (gate_txn_count(c->txn) > 0)
			decide_turn(
			    c->d, c->key, gate_txn_destination(c->txn, 0));
		gate_cancel(c->txn, now);
		c->txn = NULL;
		c->at = 0;
		c->phase = DECIDE_HOLDING;
		break;
	case DECIDE_NOW:
		c->at = 0;
		c->phase = DECIDE_HOLDING;
		break;
	case DECIDE_LATER:
		c->phase = DECIDE_OPEN;
		c->d->open_count++;
		make_id(c->id);
		loop_timer_set(&c->timer, now + DECIDE_OPEN_MS);
		break;
	}
}

/* One step; false: there is none now. */
static bool
step(struct decision *c, int64_t now)
{
	int64_t wall = clock_wall_ms();

	switch (c->phase) {
	case DECIDE_ASKING:
		if (c->at == c->n) {
			end_asking(c, now);
			return true;
		}
		c->is_waiting = true;
		gate_recipient(c->txn, str_from(c->items[c->at].address), now,
		    wall, on_asked, c);
		return true;
	case DECIDE_HOLDING:
		while (c->at < c->n && c->items[c->at].verdict != THROTTLE_HOLD)
			c->at++;
		if (c->at == c->n) {
			c->phase = DECIDE_SECURING;
			return true;
		}
		c->one = begin(c, now);
		c->is_waiting = true;
		gate_recipient(c->one, str_from(c->items[c->at].address), now,
		    wall, on_one, c);
		return true;
	case DECIDE_SECURING:
		if (c->txn == NULL || gate_txn_count(c->txn) == 0) {
			if (c->txn != NULL)
				gate_cancel(c->txn, now);
			c->txn = NULL;
			c->phase = DECIDE_ENDED;
			return true;
		}
		c->is_waiting = true;
		gate_secure(c->txn, now, wall, on_secured, c);
		return true;
	case DECIDE_OPEN:
	case DECIDE_ENDED:
		break;
	}
	return false;
}

/* Answers come from within a step as a rule: a loop, not a recursion. */
static void
pump(struct decision *c, int64_t now)
{
	c->is_pumping = true;
	while (!c->is_waiting && step(c, now))
		;
	c->is_pumping = false;
	if (c->is_waiting)
		return;
	c->on_done(c);
	if (c->phase == DECIDE_ENDED)
		decision_free(c, now);
}

void
decision_run(struct decision *c, int64_t now)
{
	c->txn = begin(c, now);
	(void)str_copy(
	    str_from(gate_txn_source(c->txn)), c->key, sizeof(c->key));
	(void)str_copy(
	    str_from(gate_txn_policy(c->txn)), c->policy, sizeof(c->policy));
	c->phase = DECIDE_ASKING;
	c->is_waiting = c->is_pumping = true;
	gate_sender(c->txn, now, clock_wall_ms(), on_sender, c);
	c->is_pumping = false;
	if (!c->is_waiting)
		pump(c, now);
}

void
decision_commit(struct decision *c, int64_t now)
{
	c->d->open_count--;
	loop_timer_set(&c->timer, INT64_MAX);
	c->kind = DECIDE_NOW;
	c->at = 0;
	c->phase = DECIDE_HOLDING;
	pump(c, now);
}

struct decision *
decide_find_open(struct decider *d, struct str id)
{
	struct list *i;

	list_each (i, &d->decisions) {
		struct decision *c = LIST_ITEM(i, struct decision, entry);

		if (c->phase == DECIDE_OPEN && str_eq(id, str_from(c->id)))
			return c;
	}
	return NULL;
}

/* ---- all of them ---- */

static void
on_restored(struct decision *c)
{
	(void)c;
}

/* The queue knows what has mail in the spool; these have none, and take their
 * places again in the order that they had. */
static void
restore(struct decider *d, int64_t now)
{
	const struct ip nobody = {.family = IP_NONE};
	struct list *i, *next;

	list_each_safe (i, next, &d->waiting) {
		struct waiting *w = LIST_ITEM(i, struct waiting, entry);
		size_t skip = strlen(w->application) + 1;
		struct decision *c;

		if (strlen(w->source) <= skip)
			continue;
		c = decision_new(
		    d, w->source + skip, w->application, w->policy, &nobody, 1);
		c->kind = DECIDE_RESTORE;
		c->on_done = on_restored;
		if (decision_add(c, w->text))
			decision_run(c, now);
		else
			decision_free(c, now);
	}
}

struct decider *
decide_new(const struct decide_settings *settings)
{
	struct decider *d = xcalloc(1, sizeof(*d));

	d->loop = settings->loop;
	d->gate = settings->gate;
	d->events = settings->events;
	d->log = settings->log;
	d->on_turn = settings->on_turn;
	d->arg = settings->arg;
	list_init(&d->decisions);
	list_init(&d->remembered);
	list_init(&d->waiting);
	d->by_ticket = map_new();
	decide_file_open(d, settings->dir);
	restore(d, loop_now(d->loop));
	return d;
}

void
decide_free(struct decider *d)
{
	if (d == NULL)
		return;
	while (!list_is_empty(&d->decisions)) {
		struct decision *c =
		    LIST_ITEM(d->decisions.next, struct decision, entry);

		/* Who has an answer already waits for none. */
		if (c->on_drop != NULL && c->phase != DECIDE_OPEN)
			c->on_drop(c);
		decision_free(c, loop_now(d->loop));
	}
	decide_file_close(d);
	while (!list_is_empty(&d->waiting)) {
		struct waiting *w =
		    LIST_ITEM(d->waiting.next, struct waiting, entry);

		list_remove(&w->entry);
		waiting_free(w);
	}
	while (!list_is_empty(&d->remembered))
		decide_forget(
		    d, LIST_ITEM(d->remembered.next, struct remembered, entry));
	map_free(d->by_ticket, NULL);
	free(d);
}

/* ---- what was answered before ---- */

void
decide_forget(struct decider *d, struct remembered *r)
{
	list_remove(&r->entry);
	d->remembered_count--;
	d->remembered_bytes -= r->answer.len;
	buf_clear(&r->answer);
	free(r->key);
	free(r);
}

struct remembered *
decide_find_remembered(struct decider *d, const char *key, int64_t now)
{
	struct list *i, *next;

	list_each_safe (i, next, &d->remembered) {
		struct remembered *r = LIST_ITEM(i, struct remembered, entry);

		if (r->code != 0 && now >= r->until)
			decide_forget(d, r);
		else if (strcmp(r->key, key) == 0)
			return r;
	}
	return NULL;
}

struct remembered *
decide_remember(struct decider *d, const char *key, uint64_t body)
{
	struct remembered *r;

	if (d->remembered_count >= DECIDE_REMEMBERED_MAX) {
		r = LIST_ITEM(d->remembered.next, struct remembered, entry);
		if (r->code == 0)
			return NULL;
		decide_forget(d, r);
	}
	r = xcalloc(1, sizeof(*r));
	r->key = xstrdup(key);
	r->body = body;
	buf_init(&r->answer, DECIDE_ANSWER_MAX);
	list_append(&d->remembered, &r->entry);
	d->remembered_count++;
	return r;
}

bool
decide_remember_answer(struct decider *d, struct remembered *r, unsigned code,
    struct str answer, int64_t until)
{
	struct list *i, *next;

	if (!buf_append_str(&r->answer, answer)) {
		decide_forget(d, r);
		return false;
	}
	r->code = code;
	r->until = until;
	d->remembered_bytes += answer.n;
	list_each_safe (i, next, &d->remembered) {
		struct remembered *old = LIST_ITEM(i, struct remembered, entry);

		if (d->remembered_bytes <= DECIDE_ANSWERS_MAX)
			break;
		if (old != r && old->code != 0)
			decide_forget(d, old);
	}
	return true;
}
