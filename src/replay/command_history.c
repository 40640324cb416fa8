/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-replay history: the last day under another configuration. weirctl
 * explain --policy runs it.
 */
#include "replay/command.h"
#include "replay/input.h"
#include "replay/setup.h"
#include "replay/world.h"

#include "base/map.h"
#include "gate/policy.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* ---- the day as it was ---- */

/* The last day as weir-maild keeps it (gate/history.h), a message a line in
 * JSON, the oldest first:
 *
 * 	{"at": 1767261600000, "source": "alice", "policy": "default",
 * 	 "user": "alice", "from": "alice@example.org", "helo": "pc",
 * 	 "client": "192.0.2.1", "local": false, "by_command": false,
 * 	 "front_end": false, "recipients": [{"address": "bob@example.com",
 * 	 "known": true, "exempt": false, "waited": false, "put_off": false}]}
 *
 * What is false or empty may be left out. Read line by line, checked and
 * bounded. Pure. */

#define PAST_MAILS_MAX 5000000
#define PAST_RECIPIENTS_MAX 4096 /* of a message */

struct past_recipient {
	struct str address;
	bool known, exempt, waited;
};

struct past_mail {
	int64_t at; /* ms since the first */
	struct str source, policy;
	struct gate_facts facts;
	struct past_recipient *recipients;
	uint32_t count;
	bool put_off;
	char *texts; /* what the slices point into */
};

struct past {
	struct past_mail *mails;
	uint32_t count, cap;
	int64_t began; /* wall ms, of the first */
};

#define WALL_MAX INT64_C(4102444800000) /* 2100 */
#define TEXT_MAX 1100

struct reading {
	struct past_mail *mail;
	char *end; /* of texts */
	struct err *why;
};

static bool
fail(struct reading *r, const char *name, const char *what)
{
	err_set(r->why, "\"%s\" %s", name, what);
	return false;
}

static bool
read_text(
    struct reading *r, const json_t *row, const char *name, struct str *out)
{
	const json_t *value = json_object_get(row, name);
	size_t n = json_string_length(value);

	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_string(value) || n > TEXT_MAX)
		return fail(r, name, "must be a short text");
	*out = (struct str){r->end, n};
	memcpy(r->end, json_string_value(value), n);
	r->end += n;
	return true;
}

static bool
read_flag(struct reading *r, const json_t *row, const char *name, bool *out)
{
	const json_t *value = json_object_get(row, name);

	if (value != NULL && !json_is_boolean(value))
		return fail(r, name, "must be true or false");
	*out = json_is_true(value);
	return true;
}

static bool
read_recipients(struct reading *r, const json_t *list)
{
	struct past_mail *m = r->mail;
	size_t n = json_array_size(list), i;
	const json_t *row;

	if (n == 0 || n > PAST_RECIPIENTS_MAX)
		return fail(r, "recipients", "must be a list of 1 to 4096");
	m->recipients = xcalloc(n, sizeof(*m->recipients));
	m->count = (uint32_t)n;
	json_array_foreach(list, i, row)
	{
		struct past_recipient *to = &m->recipients[i];
		bool put_off;

		if (!read_text(r, row, "address", &to->address) ||
		    !read_flag(r, row, "known", &to->known) ||
		    !read_flag(r, row, "exempt", &to->exempt) ||
		    !read_flag(r, row, "waited", &to->waited) ||
		    !read_flag(r, row, "put_off", &put_off))
			return false;
		if (to->address.n == 0)
			return fail(r, "address", "is missing");
		m->put_off = m->put_off || put_off;
	}
	return true;
}

static bool
read_client(struct reading *r, const json_t *row)
{
	struct str text = {0};

	r->mail->facts.client = (struct ip){.family = IP_NONE};
	if (!read_text(r, row, "client", &text))
		return false;
	return text.n == 0 || ip_parse(text, &r->mail->facts.client) ||
	       fail(r, "client", "must be an IP address");
}

static bool
read_mail(struct reading *r, const json_t *row)
{
	struct past_mail *m = r->mail;

	return read_text(r, row, "source", &m->source) &&
	       read_text(r, row, "policy", &m->policy) &&
	       read_text(r, row, "user", &m->facts.user) &&
	       read_text(r, row, "from", &m->facts.sender) &&
	       read_text(r, row, "helo", &m->facts.helo) &&
	       read_client(r, row) &&
	       read_flag(r, row, "local", &m->facts.local) &&
	       read_flag(r, row, "by_command", &m->facts.by_command) &&
	       read_flag(r, row, "front_end", &m->facts.front_end) &&
	       read_recipients(r, json_object_get(row, "recipients"));
}

static void
clear_mail(struct past_mail *m)
{
	free(m->recipients);
	free(m->texts);
}

static bool
take_time(struct past *p, const json_t *row, struct past_mail *m)
{
	const json_t *at = json_object_get(row, "at");
	int64_t wall = json_integer_value(at);

	if (!json_is_integer(at) || wall < 0 || wall > WALL_MAX)
		return false;
	if (p->count == 0)
		p->began = wall;
	/* A clock that was set back. */
	m->at = wall > p->began ? wall - p->began : 0;
	if (p->count > 0 && m->at < p->mails[p->count - 1].at)
		m->at = p->mails[p->count - 1].at;
	return true;
}

/* False: what is wrong with the line in why. lines_fn. */
static bool
past_add_line(void *past, struct str line, struct err *why)
{
	struct past *p = past;
	struct past_mail m = {0};
	struct reading r = {.mail = &m, .why = why};
	json_error_t error;
	json_t *row = json_loadb(line.p, line.n, 0, &error);
	bool ok = false;

	if (!json_is_object(row)) {
		err_set(why, "is not a JSON object: %s",
		    row == NULL ? error.text : "another value");
	} else if (p->count >= PAST_MAILS_MAX) {
		err_set(why, "more than %d messages", PAST_MAILS_MAX);
	} else if (!take_time(p, row, &m)) {
		err_set(why, "\"at\" must be milliseconds since 1970");
	} else {
		/* No text is longer than its JSON. */
		m.texts = r.end = xmalloc(line.n + 1);
		ok = read_mail(&r, row);
	}
	json_decref(row);
	if (!ok) {
		clear_mail(&m);
		return false;
	}
	if (p->count == p->cap) {
		p->cap = p->cap == 0 ? 1024 : p->cap * 2;
		p->mails = xrealloc(p->mails, p->cap * sizeof(*p->mails));
	}
	p->mails[p->count++] = m;
	return true;
}

static void
past_clear(struct past *p)
{
	for (uint32_t i = 0; i < p->count; i++)
		clear_mail(&p->mails[i]);
	free(p->mails);
	*p = (struct past){0};
}

/* ---- the day once more ---- */

/* The last day once more, under another configuration: what each sender would
 * have felt, beside what it felt.
 *
 * The throttle begins the day with a full allowance, and knows whom a sender
 * knew when it wrote to them. Mail that weir put off came again: it is played
 * once for each recipient. Who is frozen stays so. */

struct past_sender {
	struct str source; /* under the new configuration; heap */
	struct str was;    /* under the old one; borrowed from the past */
	char *policy;      /* the new one's */
	uint64_t messages, recipients;
	uint64_t waited;   /* recipients, in the past */
	uint64_t waits;    /* recipients that are held */
	uint64_t never;    /* of these, not let go by the schedule */
	uint64_t refused;  /* recipients */
	int64_t longest;   /* ms, that one waits */
	int64_t frozen_at; /* wall ms; 0: not frozen */
	char *reason;      /* of the freeze; NULL: none */
};

struct past_result {
	struct past_sender *senders; /* in the order of their first mail */
	uint32_t count, cap;
	uint64_t messages, recipients;
	int64_t began, ended; /* wall ms */
};

#define NOBODY UINT32_MAX
#define DRAIN_MS (30 * 86400 * INT64_C(1000)) /* what waits longer, stays */

struct wait {
	uint32_t sender;
	int64_t since;
	bool is_over;
};

struct run {
	const struct past *past;
	struct past_result *out;
	struct world *world;
	struct map *senders; /* by source: index and one */
	struct map *seen;    /* source of old, and recipient */
	struct wait *waits;
	size_t wait_count, wait_cap;
	/* Room for the message in hand. */
	struct str addresses[PAST_RECIPIENTS_MAX];
	uint64_t labels[PAST_RECIPIENTS_MAX];
	enum world_end ends[PAST_RECIPIENTS_MAX];
};

static uint32_t
sender_of(struct run *r, struct str source)
{
	struct past_result *out = r->out;
	uintptr_t found = (uintptr_t)map_find(r->senders, source);

	if (found != 0)
		return (uint32_t)found - 1;
	if (out->count == out->cap) {
		out->cap = out->cap == 0 ? 64 : out->cap * 2;
		out->senders =
		    xrealloc(out->senders, out->cap * sizeof(*out->senders));
	}
	out->senders[out->count] = (struct past_sender){
	    .source = {str_dup(source), source.n},
	};
	map_set(r->senders, source, (void *)(uintptr_t)(out->count + 1));
	return out->count++;
}

/* ---- the world ---- */

static void
on_delivered(void *arg, uint64_t label)
{
	struct run *r = arg;
	struct wait *w = &r->waits[label];
	int64_t waited = world_now(r->world) - w->since;

	w->is_over = true;
	if (w->sender != NOBODY && waited > r->out->senders[w->sender].longest)
		r->out->senders[w->sender].longest = waited;
}

static void
on_freeze(void *arg, const struct gate_freeze *freeze)
{
	struct run *r = arg;
	struct past_sender *s =
	    &r->out->senders[sender_of(r, str_from(freeze->sender))];

	if (s->frozen_at != 0)
		return;
	s->frozen_at = r->past->began + world_now(r->world);
	s->reason = xstrdup(freeze->reason);
}

static const struct world_callbacks callbacks = {
    .on_delivered = on_delivered,
    .on_freeze = on_freeze,
};

/* ---- the day ---- */

/* Whether it is new since the last call for both. */
static bool
is_first(struct run *r, struct str source, struct str address)
{
	char pair[POLICY_SOURCE_MAX + GATE_RECIPIENT_MAX + 1];
	size_t n = source.n < POLICY_SOURCE_MAX ? source.n : POLICY_SOURCE_MAX;
	size_t m =
	    address.n < GATE_RECIPIENT_MAX ? address.n : GATE_RECIPIENT_MAX;

	memcpy(pair, source.p, n);
	pair[n] = '\n';
	memcpy(pair + n + 1, address.p, m);
	return map_set(r->seen, (struct str){pair, n + 1 + m}, r) == NULL;
}

/* Backwards, so that those who are written to first are the most recent. */
static void
assume_known(struct run *r)
{
	const struct past *p = r->past;
	bool *first;
	size_t total = 0, at = 0;

	for (uint32_t i = 0; i < p->count; i++)
		total += p->mails[i].count;
	first = xcalloc(total + 1, sizeof(*first));
	for (uint32_t i = 0; i < p->count; i++) {
		const struct past_mail *m = &p->mails[i];

		for (uint32_t k = 0; k < m->count; k++)
			first[at++] =
			    is_first(r, m->source, m->recipients[k].address) &&
			    m->recipients[k].known;
	}
	for (uint32_t i = p->count; i-- > 0;) {
		const struct past_mail *m = &p->mails[i];

		for (uint32_t k = m->count; k-- > 0;) {
			if (first[--at])
				world_assume_known(r->world, &m->facts,
				    m->recipients[k].address);
		}
	}
	free(first);
	map_free(r->seen, NULL);
	r->seen = map_new();
}

static uint64_t
add_wait(struct run *r)
{
	if (r->wait_count == r->wait_cap) {
		r->wait_cap = r->wait_cap == 0 ? 256 : r->wait_cap * 2;
		r->waits = xrealloc(r->waits, r->wait_cap * sizeof(*r->waits));
	}
	r->waits[r->wait_count] =
	    (struct wait){.sender = NOBODY, .since = world_now(r->world)};
	return r->wait_count++;
}

static void
end_mail(struct run *r, const struct past_mail *m, const char *source, size_t n)
{
	uint32_t index = sender_of(r, str_from(source));
	struct past_sender *s = &r->out->senders[index];

	if (s->policy == NULL)
		s->policy = xstrdup(world_policy(r->world));
	s->was = m->source;
	s->messages++;
	s->recipients += n;
	r->out->messages++;
	r->out->recipients += n;
	for (uint32_t i = 0; i < m->count; i++)
		s->waited += m->recipients[i].waited;
	for (size_t i = 0; i < n; i++) {
		struct wait *w = &r->waits[r->labels[i]];

		w->sender = index;
		w->is_over = w->is_over || r->ends[i] != WORLD_HELD;
		s->waits += r->ends[i] == WORLD_HELD;
		s->refused += r->ends[i] == WORLD_TEMPFAIL ||
			      r->ends[i] == WORLD_REJECTED;
	}
}

static void
play_mail(struct run *r, const struct past_mail *m)
{
	struct world_mail mail = {
	    .facts = m->facts,
	    .addresses = r->addresses,
	    .labels = r->labels,
	};
	size_t waits = r->wait_count;
	const char *source;

	for (uint32_t i = 0; i < m->count; i++) {
		struct str address = m->recipients[i].address;

		if (m->put_off && !is_first(r, m->source, address))
			continue;
		r->addresses[mail.count] = address;
		r->labels[mail.count++] = add_wait(r);
	}
	if (mail.count == 0)
		return;
	source = world_send(r->world, &mail, r->ends);
	end_mail(r, m, source, mail.count);
	/* Most pass: their places are taken again. */
	while (r->wait_count > waits && r->waits[r->wait_count - 1].is_over)
		r->wait_count--;
}

/* Everything that the schedule lets go. */
static void
drain(struct run *r)
{
	int64_t last = world_now(r->world) + DRAIN_MS;

	for (uint32_t i = 0; i < r->out->count; i++) {
		if (r->out->senders[i].frozen_at != 0)
			world_discard(r->world, r->out->senders[i].source.p);
	}
	while (world_waiting(r->world) > 0) {
		int64_t due = world_next_due(r->world);

		if (due > last)
			break;
		world_advance(r->world, due);
	}
	for (size_t i = 0; i < r->wait_count; i++) {
		if (!r->waits[i].is_over)
			r->out->senders[r->waits[i].sender].never++;
	}
}

static bool
is_stopped(const volatile sig_atomic_t *stop)
{
	return stop != NULL && *stop != 0;
}

/* 0, or a sysexits status with why in err. The result is cleared by the caller
 * in any case. stop: set from outside to end early, with an error; may be NULL.
 */
static int
past_run(const struct past *past, const struct world_settings *settings,
    const volatile sig_atomic_t *stop, struct past_result *out, struct err *err)
{
	struct run *r = xcalloc(1, sizeof(*r));
	int status = 0;

	*out = (struct past_result){.began = past->began};
	r->past = past;
	r->out = out;
	r->senders = map_new();
	r->seen = map_new();
	r->world = world_new(settings, &callbacks, r, err, &status);
	if (r->world != NULL) {
		assume_known(r);
		for (uint32_t i = 0; i < past->count && !is_stopped(stop);
		     i++) {
			world_advance(r->world, past->mails[i].at);
			play_mail(r, &past->mails[i]);
		}
		out->ended = past->began + world_now(r->world);
		if (!is_stopped(stop))
			drain(r);
		if (world_error(r->world) != NULL) {
			err_set(err, "the temporary directory: %s",
			    world_error(r->world));
			status = EX_IOERR;
		}
	}
	if (status == 0 && is_stopped(stop)) {
		err_set(err, "ended by a signal");
		status = EX_TEMPFAIL;
	}
	world_free(r->world);
	map_free(r->senders, NULL);
	map_free(r->seen, NULL);
	free(r->waits);
	free(r);
	return status;
}

static void
past_result_clear(struct past_result *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		free((char *)r->senders[i].source.p);
		free(r->senders[i].policy);
		free(r->senders[i].reason);
	}
	free(r->senders);
	*r = (struct past_result){0};
}

/* ---- the report ---- */

/* Nothing to say of the others. */
static bool
is_touched(const struct past_sender *s)
{
	return s->waits > 0 || s->waited > 0 || s->refused > 0 ||
	       s->frozen_at != 0;
}

/* The most touched first. */
static int
by_weight(const void *a, const void *b)
{
	const struct past_sender *x = a, *y = b;

	if ((x->frozen_at != 0) != (y->frozen_at != 0))
		return x->frozen_at != 0 ? -1 : 1;
	if (x->waits + x->refused != y->waits + y->refused)
		return x->waits + x->refused > y->waits + y->refused ? -1 : 1;
	return strcmp(x->source.p, y->source.p);
}

/* ---- JSON ---- */

static json_t *
time_of(int64_t wall)
{
	char text[UNITS_TEXT_MAX];

	return wall != 0 ? json_string(units_format_time(wall, text))
			 : json_null();
}

static json_t *
json_sender(const struct past_sender *s)
{
	return json_pack(
	    "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:s?}",
	    "sender", s->source.p, "policy", s->policy, "messages",
	    (json_int_t)s->messages, "recipients", (json_int_t)s->recipients,
	    "waited", (json_int_t)s->waited, "would_wait", (json_int_t)s->waits,
	    "would_stay", (json_int_t)s->never, "would_be_refused",
	    (json_int_t)s->refused, "longest_wait_s", (double)s->longest / 1000,
	    "would_be_frozen_at", time_of(s->frozen_at), "reason", s->reason);
}

static bool
print_json(const struct past_result *r)
{
	json_t *senders = json_array(), *all;
	bool ok;

	for (uint32_t i = 0; i < r->count; i++) {
		if (is_touched(&r->senders[i]))
			json_array_append_new(
			    senders, json_sender(&r->senders[i]));
	}
	all = json_pack("{s:o, s:o, s:I, s:I, s:I, s:o}", "from",
	    time_of(r->began), "to", time_of(r->ended), "messages",
	    (json_int_t)r->messages, "recipients", (json_int_t)r->recipients,
	    "senders", (json_int_t)r->count, "touched", senders);
	ok = json_dumpf(all, stdout, JSON_INDENT(1)) == 0 && puts("") >= 0;
	json_decref(all);
	return ok && fflush(stdout) == 0;
}

/* ---- text ---- */

static void
print_sender(const struct past_sender *s)
{
	char text[UNITS_TEXT_MAX];
	/* Names are written by whoever sends. */
	struct str name = s->source;

	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		putchar(c >= 0x20 && c != 0x7f ? c : '?');
	}
	printf(" (policy %s): %" PRIu64 " of %" PRIu64 " recipients would wait",
	    s->policy, s->waits, s->recipients);
	if (s->longest > 0)
		printf(", up to %s", units_format_duration(s->longest, text));
	if (s->never > 0)
		printf(", %" PRIu64 " until somebody releases them", s->never);
	if (s->waited != s->waits)
		printf(" (%" PRIu64 " did)", s->waited);
	if (s->refused > 0)
		printf("; %" PRIu64 " would be refused", s->refused);
	if (s->frozen_at != 0)
		printf("; would be frozen at %s: %s",
		    units_format_time(s->frozen_at, text), s->reason);
	putchar('\n');
}

static bool
print_text(const struct past_result *r)
{
	char from[UNITS_TEXT_MAX], to[UNITS_TEXT_MAX];
	uint64_t waits = 0, waited = 0, frozen = 0, touched = 0;

	for (uint32_t i = 0; i < r->count; i++) {
		const struct past_sender *s = &r->senders[i];

		waits += s->waits;
		waited += s->waited;
		frozen += s->frozen_at != 0;
		touched += is_touched(s);
	}
	printf("mail from %s to %s: %" PRIu64 " messages to %" PRIu64
	       " recipients by %" PRIu32 " senders\n",
	    units_format_time(r->began, from), units_format_time(r->ended, to),
	    r->messages, r->recipients, r->count);
	printf("%" PRIu64 " recipients would wait (%" PRIu64 " did), %" PRIu64
	       " senders would be frozen\n",
	    waits, waited, frozen);
	if (touched > 0)
		putchar('\n');
	for (uint32_t i = 0; i < r->count; i++) {
		if (is_touched(&r->senders[i]))
			print_sender(&r->senders[i]);
	}
	return fflush(stdout) == 0 && !ferror(stdout);
}

int
command_history(const struct command_args *args, struct err *err)
{
	struct past past = {0};
	struct past_result result = {0};
	struct setup setup;
	int status = setup_load(&setup, args->config, args->policy, err);
	bool ok = true;

	if (status == 0)
		status = input_read(args->files[0], past_add_line, &past, err);
	if (status == 0 && past.count == 0) {
		err_set(err, "%s: contains no message", args->files[0]);
		status = EX_DATAERR;
	}
	if (status == 0)
		status =
		    past_run(&past, &setup.world, args->stop, &result, err);
	if (status == 0) {
		qsort(result.senders, result.count, sizeof(*result.senders),
		    by_weight);
		ok = args->json ? print_json(&result) : print_text(&result);
	}
	if (!ok) {
		err_set(err, "the report cannot be written");
		status = EX_IOERR;
	}
	past_result_clear(&result);
	past_clear(&past);
	setup_clear(&setup);
	return status;
}
