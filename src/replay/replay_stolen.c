/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An outbreak: logins of users of the trace are stolen, all at one time, and
 * used beside their owners, whose own mail goes on. Who has been frozen stays
 * so until the attack is over, and is thawed then; what waits of it is
 * discarded. Whom an account knows is whom its owner wrote to before, the
 * latest first. Recipients are numbered in the order of the attack.
 */
#include "replay/replay_internal.h"

#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL (UINT64_C(1) << 63) /* not of the trace */
#define NUMBER_SHIFT 40
#define NET 11
#define BOOK_MAX 100000

/* Nobody of the trace has it. */
const char stolen_decoy[] = "decoy@decoy.weir-replay.test";

struct account {
	struct replay *r;
	uint32_t number, id;
	uint32_t message; /* the owner's last one before */
	uint32_t *book;   /* whom the owner knows */
	uint32_t book_n, book_cap;
	uint32_t decoy_at; /* before this one of the book; NOBODY: none */
	uint32_t next;     /* recipient */
	char *source;      /* key, NULL: it has not sent yet */
	bool is_frozen, is_over;
	int64_t frozen_after;
};

struct stolen {
	const struct attack_plan *plan;
	struct account *accounts;
	uint32_t count;
	struct account *sending;
};

/* ---- whose ---- */

/* By id: the last message of each user before the outbreak, and one; 0: none.
 */
static uint32_t *
last_messages(const struct replay *r)
{
	const struct trace *t = r->s->trace;
	uint32_t *last = xcalloc((size_t)t->id_max + 1, sizeof(*last));

	for (uint32_t i = 0; i < t->message_count; i++) {
		const struct trace_message *m = &t->messages[i];

		if (m->seconds * INT64_C(1000) < r->s->outbreak_at &&
		    trace_node(r->s->nodes, m->sender).is_user)
			last[m->sender] = i + 1;
	}
	return last;
}

/* Evenly among those who have sent. */
static void
choose(struct replay *r, struct stolen *s)
{
	uint32_t *last = last_messages(r);
	uint32_t users = 0, seen = 0, max = r->s->trace->id_max;

	for (uint32_t id = 0; id <= max; id++)
		users += last[id] > 0;
	s->count = s->plan->users < users ? s->plan->users : users;
	s->accounts = xcalloc(s->count + 1, sizeof(*s->accounts));
	for (uint32_t id = 0, n = 0; id <= max && n < s->count; id++) {
		if (last[id] == 0)
			continue;
		if ((uint64_t)seen++ * s->count / users < n)
			continue;
		s->accounts[n] = (struct account){
		    .r = r,
		    .number = n,
		    .id = id,
		    .message = last[id] - 1,
		    .decoy_at = NOBODY,
		    .frozen_after = -1,
		};
		r->out->is_stolen[id] = true;
		n++;
	}
	free(last);
}

static void
add_known(struct account *a, uint32_t id)
{
	if (a->book_n == BOOK_MAX)
		return;
	if (a->book_n == a->book_cap) {
		a->book_cap = a->book_cap > 0 ? a->book_cap * 2 : 64;
		a->book = xrealloc(a->book, a->book_cap * sizeof(*a->book));
	}
	a->book[a->book_n++] = id;
}

/* The latest first, each once. */
static void
read_book(const struct replay *r, struct account *a)
{
	const struct trace *t = r->s->trace;
	struct map *seen = map_new();

	for (uint32_t i = a->message + 1; i > 0; i--) {
		const struct trace_message *m = &t->messages[i - 1];

		for (uint32_t k = 0; m->sender == a->id && k < m->count; k++) {
			uint32_t id = t->recipients[m->first + k];
			struct str key = {(const char *)&id, sizeof(id)};

			if (map_set(seen, key, seen) == NULL)
				add_known(a, id);
		}
	}
	map_free(seen, NULL);
}

/* ---- a message ---- */

static uint32_t
book_size(const struct account *a)
{
	return a->book_n + (a->decoy_at != NOBODY ? 1 : 0);
}

/* The known-th of the book, in which a decoy may stand. */
static struct str
known_address(const struct account *a, uint32_t known, char out[ADDRESS_MAX])
{
	if (a->decoy_at != NOBODY && known == a->decoy_at)
		return str_from(stolen_decoy);
	if (a->decoy_at != NOBODY && known > a->decoy_at)
		known--;
	return replay_address(a->r, a->book[known], out);
}

/* Makes the i-th recipient, in place n. */
static void
put_recipient(struct account *a, uint32_t i, uint32_t n)
{
	struct replay *r = a->r;
	const struct attack_plan *plan = r->stolen->plan;
	uint32_t known = attack_known(plan, i, book_size(a));

	r->labels[n] = LABEL | (uint64_t)a->number << NUMBER_SHIFT | i;
	r->unknown[n] = false;
	if (known < book_size(a)) {
		r->addresses[n] = known_address(a, known, r->text[n]);
		return;
	}
	snprintf(r->text[n], ADDRESS_MAX, "s%u@a%u.strange.test", (unsigned)i,
	    (unsigned)a->number);
	r->addresses[n] = str_from(r->text[n]);
	r->unknown[n] = attack_is_unknown(plan, i);
}

static void
reach(struct account *a, uint32_t i)
{
	struct replay_reached *reached = &a->r->out->outbreak.reached;
	const struct attack_plan *plan = a->r->stolen->plan;

	if (attack_known(plan, i, book_size(a)) < book_size(a))
		reached->known++;
	else
		reached->strangers++;
}

static void
send_next(struct account *a)
{
	struct replay *r = a->r;
	uint32_t n = attack_message_size(r->stolen->plan);
	char from[ADDRESS_MAX];
	struct world_mail mail = {
	    .facts = replay_facts(r, a->message, from),
	    .addresses = r->addresses,
	    .labels = r->labels,
	    .unknown = r->unknown,
	    .count = n,
	};
	const char *source;
	/* A network of its own for each, /24; the owner's, where clients do not
	 * log in and the machine itself is the sender. */
	const struct attack_plan *plan = a->r->stolen->plan;
	uint32_t networks = plan->networks > 0 ? plan->networks : 1;
	uint32_t turn = a->next / attack_message_size(plan) % networks;

	if (mail.facts.user.n > 0)
		mail.facts.client =
		    replay_client(NET, (a->number * networks + turn) << 8 | 1);
	for (uint32_t i = 0; i < n; i++)
		put_recipient(a, a->next + i, i);
	r->stolen->sending = a;
	source = world_send(r->world, &mail, r->ends);
	r->stolen->sending = NULL;
	if (a->source == NULL)
		a->source = xstrdup(source);
	for (uint32_t i = 0; i < n; i++) {
		if (r->ends[i] == WORLD_PASSED)
			reach(a, a->next + i);
	}
	a->next += n;
}

static void
go_on(void *owner, void *arg)
{
	struct account *a = arg;
	const struct attack_plan *plan = a->r->stolen->plan;
	int64_t next;

	(void)owner;
	/* Frozen, it reaches nobody more, however often it tries. */
	if (a->is_over || a->is_frozen)
		return;
	send_next(a);
	next = attack_at(plan, a->next);
	if (next < ATTACK_MS)
		agenda_add(
		    &a->r->agenda, a->r->s->outbreak_at + next, go_on, a);
}

static void
end(void *owner, void *arg)
{
	struct account *a = arg;

	(void)owner;
	a->is_over = true;
	if (a->source == NULL)
		return;
	world_discard(a->r->world, a->source);
	if (a->is_frozen)
		world_thaw(a->r->world, a->source);
}

/* ---- the outbreak ---- */

void
stolen_begin(struct replay *r)
{
	struct stolen *s = xcalloc(1, sizeof(*s));
	int64_t at = r->s->outbreak_at;

	r->stolen = s;
	s->plan = r->s->outbreak;
	choose(r, s);
	for (uint32_t i = 0; i < s->count; i++) {
		struct account *a = &s->accounts[i];

		read_book(r, a);
		/* Somewhere: a fixed step that has no part with most lengths.
		 */
		if (attack_has_decoy(s->plan, i))
			a->decoy_at = i * 7919u % (a->book_n + 1);
		agenda_add(&r->agenda, at, go_on, a);
		agenda_add(&r->agenda, at + ATTACK_MS, end, a);
	}
	r->out->outbreak = (struct replay_outbreak){
	    .plan = s->plan, .started = at, .accounts = s->count};
}

static int
by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

void
stolen_end(struct replay *r)
{
	struct stolen *s = r->stolen;
	struct replay_outbreak *out = &r->out->outbreak;
	int64_t *after;

	if (s == NULL)
		return;
	after = xcalloc(s->count + 1, sizeof(*after));
	for (uint32_t i = 0; i < s->count; i++) {
		if (s->accounts[i].is_frozen)
			after[out->frozen++] = s->accounts[i].frozen_after;
		free(s->accounts[i].book);
		free(s->accounts[i].source);
	}
	qsort(after, out->frozen, sizeof(*after), by_value);
	if (out->frozen > 0) {
		out->median_after = after[(out->frozen - 1) / 2];
		out->last_after = after[out->frozen - 1];
	}
	free(after);
	free(s->accounts);
	free(s);
	r->stolen = NULL;
}

void
stolen_on_delivered(struct replay *r, uint64_t label)
{
	struct account *a =
	    &r->stolen->accounts[(label & ~LABEL) >> NUMBER_SHIFT];

	if (!a->is_over)
		reach(a, (uint32_t)label);
}

static struct account *
account_of(const struct stolen *s, const char *source)
{
	for (uint32_t i = 0; i < s->count; i++) {
		const char *own = s->accounts[i].source;

		if (own != NULL && strcmp(own, source) == 0)
			return &s->accounts[i];
	}
	/* By its first message. */
	return s->sending != NULL && s->sending->source == NULL ? s->sending
								: NULL;
}

bool
stolen_on_freeze(struct replay *r, const struct gate_freeze *freeze)
{
	struct account *a = account_of(r->stolen, freeze->sender);
	struct replay_outbreak *out = &r->out->outbreak;

	if (a == NULL || a->is_over)
		return false;
	if (!a->is_frozen) {
		a->is_frozen = true;
		a->frozen_after = world_now(r->world) - out->started;
		if (out->reason == NULL)
			out->reason = xstrdup(freeze->reason);
	}
	return true;
}
