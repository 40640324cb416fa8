/* SPDX-License-Identifier: BSD-3-Clause */
/* See replay.h. */
#include "replay/replay_internal.h"

#include "base/map.h"
#include "smtp/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define SECOND INT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define RETRY_MIN (300 * SECOND)
#define RETRY_MAX (4000 * SECOND)
#define RETRY_AGE (5 * DAY)
#define THAW_AFTER HOUR
#define DRAIN_MAX (60 * DAY) /* after the last message */

/* Recipients of a message that are to be tried again. */
struct retry {
	uint32_t message;
	size_t n;
	uint32_t at[]; /* places in the trace */
};

static int64_t
message_at(const struct replay *r, uint32_t message)
{
	return r->s->trace->messages[message].seconds * SECOND;
}

/* ---- who is who ---- */

static bool
logs_in(const struct replay *r, uint32_t id)
{
	struct trace_node n = trace_node(r->s->nodes, id);

	return n.is_user || n.is_internal;
}

static struct str
address_of(const struct replay *r, uint32_t id, char out[ADDRESS_MAX])
{
	struct trace_node n = trace_node(r->s->nodes, id);
	int len = snprintf(out, ADDRESS_MAX, "u%u@d%u.%s.test", (unsigned)id,
	    (unsigned)n.domain, n.is_internal ? "internal" : "external");

	return (struct str){out, (size_t)len};
}

struct ip
replay_client(uint8_t net, uint32_t id)
{
	return (struct ip){
	    IP_V4, {net, (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id}};
}

/* The domains of the organisation are ours. */
static struct locals *
make_locals(struct replay *r)
{
	struct locals *l = locals_new(LOCALS_ADDRESS, smtp_address_key);
	const struct trace_nodes *nodes = r->s->nodes;
	const struct locals *configured = r->s->world.gate.locals;
	char address[ADDRESS_MAX];
	struct err err;
	struct map *seen = map_new();

	for (uint32_t id = 0; id < nodes->count; id++) {
		struct str domain;

		if (!nodes->v[id].is_internal)
			continue;
		r->domain = nodes->v[id].domain;
		domain = address_of(r, id, address);
		domain = str_sub(domain, str_index(domain, '@') + 1, domain.n);
		if (map_set(seen, domain, l) == NULL &&
		    !locals_add_domain(l, domain, ERR_ROOM(&err)))
			panic("replay: %s", err.text);
	}
	map_free(seen, NULL);
	if (configured != NULL && !locals_local_is_internal(configured))
		locals_clear_internal(l);
	return l;
}

/* ---- what was seen ---- */

static struct str
pair_key(const uint32_t pair[2])
{
	return (struct str){(const char *)pair, 2 * sizeof(*pair)};
}

static enum replay_cause
cause_of(const struct replay *r, uint32_t message, uint32_t place)
{
	const struct trace *t = r->s->trace;
	const struct trace_message *m = &t->messages[message];
	uint32_t pair[2] = {m->sender, t->recipients[place]};

	if (map_find(r->written, pair_key(pair)) != NULL)
		return REPLAY_FORGOTTEN;
	if (m->count > REPLAY_MANY)
		return REPLAY_MANY_IN_ONE;
	if (message_at(r, message) - r->out->first[m->sender] <
	    REPLAY_FIRST_DAYS_MS)
		return REPLAY_FIRST_DAYS;
	return REPLAY_BUSY;
}

/* Made when a recipient first does not pass. */
static struct replay_wait *
wait_at(struct replay *r, uint32_t message, uint32_t place)
{
	struct replay_result *out = r->out;

	if (r->wait_of[place] > 0)
		return &out->waits[r->wait_of[place] - 1];
	if (out->wait_count == out->wait_cap) {
		out->wait_cap = out->wait_cap > 0 ? out->wait_cap * 2 : 1024;
		out->waits =
		    xrealloc(out->waits, out->wait_cap * sizeof(*out->waits));
	}
	r->wait_of[place] = (uint32_t)out->wait_count + 1;
	out->waits[out->wait_count] = (struct replay_wait){
	    .message = message,
	    .cause = cause_of(r, message, place),
	    .is_open = true,
	};
	return &out->waits[out->wait_count++];
}

static void
wait_end(const struct replay *r, struct replay_wait *w, bool lost)
{
	w->is_open = false;
	w->is_lost = lost;
	w->until = world_now(r->world);
}

/* ---- one message ---- */

static void try_again(void *owner, void *arg);

static void
put_off(struct replay *r, uint32_t message, const uint32_t *places, size_t n)
{
	int64_t now = world_now(r->world);
	int64_t age = now - message_at(r, message);
	int64_t delay = age < RETRY_MIN   ? RETRY_MIN
			: age > RETRY_MAX ? RETRY_MAX
					  : age;
	struct retry *retry;

	if (age + delay > RETRY_AGE) {
		for (size_t i = 0; i < n; i++)
			wait_end(r, wait_at(r, message, places[i]), true);
		return;
	}
	retry = xcalloc(1, sizeof(*retry) + n * sizeof(*places));
	retry->message = message;
	retry->n = n;
	memcpy(retry->at, places, n * sizeof(*places));
	agenda_add(&r->agenda, now + delay, try_again, retry);
}

/* places[0..n): what became of them; those to be tried again move to the
 * front. Returns how many. */
static size_t
note_ends(struct replay *r, uint32_t message, uint32_t *places, size_t n)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t place = places[i];

		switch (r->ends[i]) {
		case WORLD_PASSED:
			if (r->wait_of[place] > 0)
				wait_end(r, wait_at(r, message, place), false);
			break;
		case WORLD_HELD:
			/* Within the call it may have gone already. */
			(void)wait_at(r, message, place);
			break;
		case WORLD_TEMPFAIL:
			(void)wait_at(r, message, place);
			places[left++] = place;
			break;
		case WORLD_REJECTED:
			wait_end(r, wait_at(r, message, place), true);
			break;
		}
	}
	return left;
}

struct gate_facts
replay_facts(const struct replay *r, uint32_t message, char out[ADDRESS_MAX])
{
	uint32_t sender = r->s->trace->messages[message].sender;
	struct str address = address_of(r, sender, out);
	bool own = logs_in(r, sender);
	struct gate_facts facts = {0};

	if (r->s->people != NULL) {
		r->s->people->facts(r->s->people->arg, message, &facts);
		return facts;
	}

	return (struct gate_facts){
	    .user = own ? address : STR(""),
	    .sender = address,
	    .helo = STR("client.test"),
	    .client = replay_client(own ? 10 : 203, sender),
	    .teaches = true,
	};
}

/* Mail between two outsiders is none of ours. */
static bool
comes_by(const struct replay *r, uint32_t sender, uint32_t to)
{
	return r->s->people != NULL || logs_in(r, sender) ||
	       trace_node(r->s->nodes, to).is_internal;
}

struct str
replay_address(const struct replay *r, uint32_t id, char out[ADDRESS_MAX])
{
	const struct replay_people *people = r->s->people;

	return people != NULL ? people->address(people->arg, id)
			      : address_of(r, id, out);
}

static size_t
send_some(struct replay *r, uint32_t message, uint32_t *places, size_t n)
{
	uint32_t sender = r->s->trace->messages[message].sender;
	char from[ADDRESS_MAX];
	struct world_mail mail = {
	    .facts = replay_facts(r, message, from),
	    .addresses = r->addresses,
	    .labels = r->labels,
	    .count = n,
	};
	const char *source;
	struct str key;

	for (size_t i = 0; i < n; i++) {
		r->addresses[i] = replay_address(
		    r, r->s->trace->recipients[places[i]], r->text[i]);
		r->labels[i] = places[i];
	}
	r->sending = message;
	source = world_send(r->world, &mail, r->ends);
	key = str_from(source);
	if (map_find(r->sources, key) == NULL)
		map_set(r->sources, key, (void *)((uintptr_t)sender + 1));
	r->sending = NOBODY;
	return note_ends(r, message, places, n);
}

/* As many transactions as recipients_max asks for, as clients do. */
static void
send_places(struct replay *r, uint32_t message, uint32_t *places, size_t n)
{
	size_t max = r->s->recipients_max, left = 0;

	for (size_t i = 0; i < n; i += max) {
		size_t part = n - i < max ? n - i : max;
		size_t refused = send_some(r, message, places + i, part);

		memmove(places + left, places + i, refused * sizeof(*places));
		left += refused;
	}
	if (left > 0)
		put_off(r, message, places, left);
}

static void
try_again(void *owner, void *arg)
{
	struct retry *retry = arg;

	send_places(owner, retry->message, retry->at, retry->n);
	free(retry);
}

static void
send_message(struct replay *r, uint32_t message)
{
	const struct trace_message *m = &r->s->trace->messages[message];
	uint32_t *places;
	size_t n = 0;

	if (r->s->no_local && !logs_in(r, m->sender))
		return;
	places = xcalloc(m->count, sizeof(*places));
	for (uint32_t i = 0; i < m->count; i++) {
		if (comes_by(
			r, m->sender, r->s->trace->recipients[m->first + i]))
			places[n++] = m->first + i;
	}
	if (n > 0)
		send_places(r, message, places, n);
	for (uint32_t i = 0; i < m->count; i++) {
		uint32_t pair[2] = {
		    m->sender, r->s->trace->recipients[m->first + i]};

		map_set(r->written, pair_key(pair), r);
	}
	free(places);
}

/* ---- what the world calls ---- */

static void
on_delivered(void *arg, uint64_t label)
{
	struct replay *r = arg;

	if (attack_has_label(label) && r->stolen != NULL)
		stolen_on_delivered(r, label);
	else if (attack_has_label(label))
		attack_on_delivered(r, label);
	else
		wait_end(r, wait_at(r, r->sending, (uint32_t)label), false);
}

static void
thaw(void *owner, void *arg)
{
	struct replay *r = owner;

	world_thaw(r->world, arg);
	free(arg);
}

static void
add_freeze(struct replay *r, uint32_t sender, const struct gate_freeze *freeze)
{
	struct replay_result *out = r->out;

	if (out->freeze_count == out->freeze_cap) {
		out->freeze_cap =
		    out->freeze_cap > 0 ? out->freeze_cap * 2 : 16;
		out->freezes = xrealloc(
		    out->freezes, out->freeze_cap * sizeof(*out->freezes));
	}
	out->freezes[out->freeze_count++] = (struct replay_freeze){
	    .at = world_now(r->world),
	    .sender = sender,
	    .queue_length = freeze->queue_length,
	    .reason = xstrdup(freeze->reason),
	};
}

static void
on_freeze(void *arg, const struct gate_freeze *freeze)
{
	struct replay *r = arg;
	uintptr_t sender;

	if (attack_on_freeze(r, freeze) ||
	    (r->stolen != NULL && stolen_on_freeze(r, freeze)))
		return;
	sender = (uintptr_t)map_find(r->sources, str_from(freeze->sender));
	if (sender == 0 && r->sending != NOBODY)
		sender = r->s->trace->messages[r->sending].sender + 1;
	if (sender > 0)
		add_freeze(r, (uint32_t)(sender - 1), freeze);
	agenda_add(&r->agenda, world_now(r->world) + THAW_AFTER, thaw,
	    xstrdup(freeze->sender));
}

static const struct world_callbacks callbacks = {
    .on_delivered = on_delivered,
    .on_freeze = on_freeze,
};

/* ---- the run ---- */

static bool
is_stopped(const struct replay *r)
{
	return r->s->stop != NULL && *r->s->stop != 0;
}

static void
run_agenda(struct replay *r, int64_t until)
{
	while (agenda_next(&r->agenda) <= until && !is_stopped(r)) {
		struct agenda_item item;

		/* Letting time pass may put something earlier down. */
		world_advance(r->world, agenda_next(&r->agenda));
		item = agenda_take(&r->agenda);
		item.run(r, item.arg);
	}
	world_advance(r->world, until);
}

/* After the last message, until nobody waits any more. */
static void
drain(struct replay *r)
{
	int64_t end = world_now(r->world) + DRAIN_MAX;

	while (!is_stopped(r) &&
	       (r->agenda.n > 0 || world_waiting(r->world) > 0)) {
		int64_t next = agenda_next(&r->agenda);
		int64_t due = world_next_due(r->world);

		if (due < next && world_waiting(r->world) > 0)
			next = due;
		if (next > end && r->agenda.n == 0)
			break;
		run_agenda(r, next);
	}
	for (size_t i = 0; i < r->out->wait_count; i++) {
		if (r->out->waits[i].is_open)
			wait_end(r, &r->out->waits[i], true);
	}
}

static void
note_first(struct replay *r)
{
	const struct trace *t = r->s->trace;

	r->out->first = xcalloc(t->id_max + 1, sizeof(*r->out->first));
	for (uint32_t id = 0; id <= t->id_max; id++)
		r->out->first[id] = -1;
	for (uint32_t i = t->message_count; i > 0; i--)
		r->out->first[t->messages[i - 1].sender] = message_at(r, i - 1);
}

static void
make_room(struct replay *r)
{
	size_t n = r->s->recipients_max > ATTACK_PACK ? r->s->recipients_max
						      : ATTACK_PACK;

	r->text = xcalloc(n, sizeof(*r->text));
	r->addresses = xcalloc(n, sizeof(*r->addresses));
	r->labels = xcalloc(n, sizeof(*r->labels));
	r->unknown = xcalloc(n, sizeof(*r->unknown));
	r->ends = xcalloc(n, sizeof(*r->ends));
	r->wait_of = xcalloc(r->s->trace->recipient_count, sizeof(*r->wait_of));
	r->attacks = xcalloc(r->s->attack_count + 1, sizeof(*r->attacks));
	r->out->attacks =
	    xcalloc(r->s->attack_count + 1, sizeof(*r->out->attacks));
	r->out->attack_count = r->s->attack_count;
	r->out->is_stolen =
	    xcalloc((size_t)r->s->trace->id_max + 1, sizeof(bool));
	r->written = map_new();
	r->sources = map_new();
}

static void
replay_free(struct replay *r)
{
	world_free(r->world);
	stolen_end(r);
	/* What is left is of a replay that was stopped. */
	for (size_t i = 0; i < r->agenda.n; i++) {
		if (r->agenda.v[i].run == try_again ||
		    r->agenda.v[i].run == thaw)
			free(r->agenda.v[i].arg);
	}
	free(r->agenda.v);
	for (size_t i = 0; i < r->s->attack_count; i++)
		free(r->attacks[i].source);
	free(r->attacks);
	map_free(r->written, NULL);
	map_free(r->sources, NULL);
	locals_free(r->locals);
	free(r->wait_of);
	free(r->text);
	free(r->addresses);
	free(r->labels);
	free(r->unknown);
	free(r->ends);
}

static int
play(struct replay *r, struct err *err)
{
	const char *error;

	for (uint32_t i = 0; i < r->s->attack_count; i++)
		attack_begin(r, i);
	if (r->s->outbreak != NULL)
		stolen_begin(r);
	for (uint32_t i = 0; i < r->s->trace->message_count && !is_stopped(r);
	     i++) {
		run_agenda(r, message_at(r, i));
		send_message(r, i);
	}
	drain(r);
	error = world_error(r->world);
	if (error != NULL) {
		err_set(err, "the temporary directory: %s", error);
		return EX_IOERR;
	}
	if (is_stopped(r)) {
		err_set(err, "interrupted");
		return EX_TEMPFAIL;
	}
	return 0;
}

int
replay_run(const struct replay_settings *settings, struct replay_result *out,
    struct err *err)
{
	struct replay r = {.s = settings, .out = out, .sending = NOBODY};
	struct world_settings world = settings->world;
	int status = EX_IOERR;

	*out = (struct replay_result){0};
	if (settings->people != NULL)
		r.locals = locals_ref(settings->people->locals);
	else if (!settings->no_local)
		r.locals = make_locals(&r);
	world.gate.locals = r.locals;
	make_room(&r);
	note_first(&r);
	r.world = world_new(&world, &callbacks, &r, err, &status);
	if (r.world != NULL)
		status = play(&r, err);
	replay_free(&r);
	return status;
}

void
replay_clear(struct replay_result *r)
{
	for (size_t i = 0; i < r->freeze_count; i++)
		free(r->freezes[i].reason);
	for (size_t i = 0; i < r->attack_count; i++)
		free(r->attacks[i].reason);
	free(r->freezes);
	free(r->attacks);
	free(r->waits);
	free(r->first);
	free(r->outbreak.reason);
	free(r->is_stolen);
	*r = (struct replay_result){0};
}
